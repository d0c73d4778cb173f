//! Flags of the controller.

use args::{Installation, ListenAddress, Logging};
use clap::Args;
use store::scope::Scope;

#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[command(
    mut_arg("installation", |arg| arg.help("Name of this installation, to run several in one cluster: a DNS label of at most 20 characters")),
    mut_arg("listen", |arg| arg.default_value("0.0.0.0:9478")),
)]
pub struct ControllerConfig {
    #[command(flatten)]
    pub installation: Installation,

    #[command(flatten)]
    pub scope: Scope,

    #[command(flatten)]
    pub listen: ListenAddress,

    #[command(flatten)]
    pub logging: Logging,
}

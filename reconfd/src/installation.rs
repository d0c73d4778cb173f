//! One copy of podconfig on a node: where it is, and what it shares with others. Several copies have the
//! plugin, the chain entry and the record folder in common; these go with the last of them.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::config::installation;

/// Which copies are installed on this node.
pub mod notes;
/// The plugin, into the chain and out of it.
pub mod plugin;

/// Where a copy of podconfig is on the node.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct OnNode {
    /// Tells several installations on one node apart: a DNS label of at most 20 characters
    #[arg(long, env = "PODCONFIG_INSTALLATION", value_name = "NAME", default_value = "default", value_parser = installation)]
    pub installation: String,

    /// The folder for locks, and for the notes of which copies are installed
    #[arg(
        long,
        env = "PODCONFIG_RUN_DIR",
        value_name = "PATH",
        default_value = "/run/podconfig"
    )]
    pub run_dir: PathBuf,

    /// The folder that the switch is pinned in
    #[arg(
        long,
        env = "PODCONFIG_SWITCH_FOLDER",
        value_name = "PATH",
        default_value = "/run/netns"
    )]
    pub switch_folder: PathBuf,

    #[command(flatten)]
    pub chain: Chain,
}

/// Where the plugin and its chain are.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Chain {
    /// How the plugin joins the chain, as `podconfig-cni install --help` tells; none: the chain is left alone
    #[arg(
        long,
        env = "PODCONFIG_CNI_MODE",
        value_name = "MODE",
        value_enum,
        default_value = "inline"
    )]
    pub mode: Mode,

    /// Where the runtime reads its chains
    #[arg(
        long,
        env = "PODCONFIG_CNI_CONF_DIR",
        value_name = "PATH",
        default_value = "/etc/cni/net.d"
    )]
    pub conf_dir: PathBuf,

    #[command(flatten)]
    pub choice: Choice,

    /// Where the runtime looks for plugins
    #[arg(
        long,
        env = "PODCONFIG_CNI_BIN_DIR",
        value_name = "PATH",
        default_value = "/opt/cni/bin"
    )]
    pub bin_dir: PathBuf,

    /// The folder of the plugin's records
    #[arg(
        long,
        env = "PODCONFIG_RECORDS",
        value_name = "PATH",
        default_value = "/run/podconfig/records"
    )]
    pub records: PathBuf,

    /// The plugin's program; by default podconfig-cni beside this program
    #[arg(long, env = "PODCONFIG_CNI_PROGRAM", value_name = "PATH")]
    pub plugin: Option<PathBuf>,
}

/// Which file of the runtime's folder is the chain, where it is not the first one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[group(multiple = false)]
pub struct Choice {
    /// The chain is in this file of the folder, not in the first one
    #[arg(long, env = "PODCONFIG_CNI_CONF_FILE", value_name = "NAME")]
    pub conf_file: Option<String>,

    /// The chain is in the first file that loads and has this name, as with CRI-O's cni_default_network
    #[arg(long, env = "PODCONFIG_CNI_NETWORK", value_name = "NAME")]
    pub network: Option<String>,

    /// The chain is in the first file that loads, as CRI-O chooses
    #[arg(long, env = "PODCONFIG_CNI_SKIP_INVALID")]
    pub skip_invalid: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    Inline,
    Owned,
    DropIn,
    None,
}

impl Mode {
    /// As the plugin says it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Inline => "inline",
            Self::Owned => "owned",
            Self::DropIn => "drop-in",
            Self::None => "none",
        }
    }
}

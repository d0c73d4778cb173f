//! An installation of podconfig on a node, and what it shares with others. Several installations share the plugin,
//! the chain entry and the record folder; these are removed with the last of them.

use std::path::PathBuf;

use args::{Installation, RecordsDir, RunDir, SwitchFolder};
use clap::{Args, ValueEnum};

/// Lock files of daemon and keeper.
pub mod lock;
/// Adds the plugin to the chain and removes it.
pub mod plugin;
/// The installations on this node.
pub mod registry;

/// Paths of an installation on a node.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct OnNode {
    #[command(flatten)]
    pub installation: Installation,

    #[command(flatten)]
    pub run_dir: RunDir,

    #[command(flatten)]
    pub switch_folder: SwitchFolder,

    #[command(flatten)]
    pub chain: ChainConfig,
}

/// Paths of the plugin and its chain.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct ChainConfig {
    /// How the plugin joins the chain, see `podconfig-install install --help`; none: the chain is not changed
    #[arg(
        long,
        env = "PODCONFIG_CNI_MODE",
        value_name = "MODE",
        value_enum,
        default_value = "inline"
    )]
    pub mode: Mode,

    /// The folder of the runtime's CNI configurations
    #[arg(
        long,
        env = "PODCONFIG_CNI_CONF_DIR",
        value_name = "PATH",
        default_value = "/etc/cni/net.d"
    )]
    pub conf_dir: PathBuf,

    #[command(flatten)]
    pub choice: Choice,

    /// The folder of the runtime's CNI plugins
    #[arg(
        long,
        env = "PODCONFIG_CNI_BIN_DIR",
        value_name = "PATH",
        default_value = "/opt/cni/bin"
    )]
    pub bin_dir: PathBuf,

    #[command(flatten)]
    pub records: RecordsDir,

    /// The plugin's executable; by default podconfig-cni in the installer's folder
    #[arg(long, env = "PODCONFIG_CNI_PROGRAM", value_name = "PATH")]
    pub plugin: Option<PathBuf>,

    /// The installer's executable; by default podconfig-install in this program's folder
    #[arg(long, env = "PODCONFIG_INSTALL_PROGRAM", value_name = "PATH")]
    pub installer: Option<PathBuf>,
}

/// Which file of the runtime's folder is the chain, if it is not the first one.
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
    /// The value of the plugin's `--mode`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inline => "inline",
            Self::Owned => "owned",
            Self::DropIn => "drop-in",
            Self::None => "none",
        }
    }
}

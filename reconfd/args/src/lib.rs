//! Arguments that several subcommands have.

/// Logging.
mod logging;

use std::{net::SocketAddr, path::PathBuf, str::FromStr};

use clap::Args;

pub use logging::{LogFormat, Logging};

/// The installation that a program belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Installation {
    /// Name of this installation, to run several on one node: a DNS label of at most 20 characters
    #[arg(
        id = "installation",
        long = "installation",
        env = "PODCONFIG_INSTALLATION",
        value_name = "NAME",
        default_value = "default",
        value_parser = installation
    )]
    pub name: String,
}

/// What the programs of a node share while they run.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct RunDir {
    /// The folder for locks, and for the registry of installations
    #[arg(
        id = "run_dir",
        long = "run-dir",
        env = "PODCONFIG_RUN_DIR",
        value_name = "PATH",
        default_value = "/run/podconfig"
    )]
    pub path: PathBuf,
}

/// What outlives a restart of the node.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct StateDir {
    /// The folder of what outlives a restart of the node; attachments are in the folder `attachments` of each installation
    #[arg(
        id = "state_dir",
        long = "state-dir",
        env = "PODCONFIG_STATE_DIR",
        value_name = "PATH",
        default_value = "/var/lib/podconfig"
    )]
    pub path: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct RecordsDir {
    /// The folder of the plugin's records
    #[arg(
        id = "records",
        long = "records",
        env = "PODCONFIG_RECORDS",
        value_name = "PATH",
        default_value = "/run/podconfig/records"
    )]
    pub path: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct NetnsFolders {
    /// A folder of pods' network namespaces; may be repeated, or separated by colons
    #[arg(
        id = "netns_folders",
        long = "netns-folder",
        env = "PODCONFIG_NETNS_FOLDERS",
        value_name = "PATH",
        value_delimiter = ':',
        default_value = "/run/netns"
    )]
    pub folders: Vec<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct SwitchFolder {
    /// The folder where the switch is pinned
    #[arg(
        id = "switch_folder",
        long = "switch-folder",
        env = "PODCONFIG_SWITCH_FOLDER",
        value_name = "PATH",
        default_value = "/run/netns"
    )]
    pub path: PathBuf,
}

/// Where probes and metrics are served.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct ListenAddress {
    /// Address of /livez, /readyz and /metrics: ADDRESS:PORT, or off
    #[arg(
        id = "listen",
        long = "listen",
        env = "PODCONFIG_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:9478"
    )]
    pub at: Listen,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    Off,
    At(SocketAddr),
}

impl FromStr for Listen {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let wrong = |_| {
            "not an address with a port, such as 127.0.0.1:9478 or [::]:9478, and not off"
                .to_owned()
        };
        text.parse().map(Self::At).map_err(wrong)
    }
}

/// Parses the name of an installation.
fn installation(text: &str) -> Result<String, String> {
    if text.len() > 20 {
        return Err(format!(
            "{} characters long; at most 20 fit into the marks on links",
            text.len()
        ));
    }
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if text.is_empty() || !text.bytes().all(inner) || text.starts_with('-') || text.ends_with('-') {
        return Err("not a DNS label: a to z, 0 to 9 and inner hyphens".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_installation_is_a_short_dns_label() {
        assert!(installation("second-2").is_ok());
        for odd in [
            "",
            "-a",
            "a-",
            "A",
            "a.b",
            "a/b",
            "a:b",
            "../x",
            "ä",
            "a b",
            "twenty-one-characters",
        ] {
            assert!(installation(odd).is_err(), "{odd}");
        }
        assert!(installation(&"a".repeat(20)).is_ok());
    }

    #[test]
    fn listening_can_be_turned_off() {
        assert_eq!("off".parse(), Ok(Listen::Off));
        assert_eq!(
            "[::1]:80".parse(),
            Ok(Listen::At("[::1]:80".parse().unwrap()))
        );
        for odd in [
            "",
            "9478",
            ":9478",
            "localhost",
            "127.0.0.1",
            "127.0.0.1:99999",
            "OFF",
        ] {
            assert!(odd.parse::<Listen>().is_err(), "{odd}");
        }
    }
}

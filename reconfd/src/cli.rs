//! The command line: the daemon, and its subcommands.

use std::ffi::OsString;

use args::Logging;
use attachments::command::AttachmentsConfig;
use clap::{Command, CommandFactory as _, FromArgMatches as _, Subcommand};
use controller::config::ControllerConfig;
use keep::KeepConfig;
use networks::NetworksConfig;
use runner::config::RunConfig;
use uninstall::UninstallConfig;

use crate::config::Config;

/// Without a subcommand, the program is the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cli {
    Daemon(Box<Config>),
    Other(Program),
}

#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Program {
    /// Prints what CNI plugins attached on this node at runtime, or forgets an attachment that could not be undone
    Attachments(Box<AttachmentsConfig>),
    /// The cluster controller: status, allowances, peers; one per cluster
    Controller(Box<ControllerConfig>),
    /// Keeps the switch pinned and the plugin in the chain, for a daemon that may not mount
    Keep(Box<KeepConfig>),
    /// Prints the networks that no link may overlap, where each was read, and what could not be read
    Networks(Box<NetworksConfig>),
    /// Executes CNI plugins for running pods, as the daemon asks; the only program that does
    Run(Box<RunConfig>),
    /// Uninstalls podconfig from this node or from a cluster; may be repeated
    Uninstall(Box<UninstallConfig>),
}

impl Cli {
    pub fn parse() -> Self {
        Self::try_from_words(std::env::args_os()).unwrap_or_else(|error| error.exit())
    }

    fn try_from_words<W>(words: impl IntoIterator<Item = W>) -> Result<Self, clap::Error>
    where
        W: Into<OsString> + Clone,
    {
        let matches = Self::command().try_get_matches_from(words)?;
        match matches.subcommand_name() {
            Some(_) => Program::from_arg_matches(&matches).map(Self::Other),
            None => Config::from_arg_matches(&matches).map(|config| Self::Daemon(Box::new(config))),
        }
    }

    /// Every flag and subcommand; the reference of flags is made from it.
    pub fn command() -> Command {
        Program::augment_subcommands(Config::command())
            .args_conflicts_with_subcommands(true)
            .subcommand_negates_reqs(true)
    }

    pub fn logging(&self) -> &Logging {
        match self {
            Self::Daemon(config) => &config.logging,
            Self::Other(Program::Attachments(config)) => &config.logging,
            Self::Other(Program::Controller(config)) => &config.logging,
            Self::Other(Program::Keep(config)) => &config.logging,
            Self::Other(Program::Networks(config)) => &config.logging,
            Self::Other(Program::Run(config)) => &config.logging,
            Self::Other(Program::Uninstall(config)) => &config.logging,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_hold_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn without_a_word_it_is_the_daemon() {
        let cli = Cli::try_from_words(["reconfd", "--source", "cluster"]).unwrap();
        assert!(matches!(cli, Cli::Daemon(_)), "{cli:?}");
        assert!(Cli::try_from_words(["reconfd"]).is_err());
    }

    #[test]
    fn a_further_program_needs_nothing_of_the_daemon() {
        let words = [
            "reconfd",
            "controller",
            "--namespaces",
            "a,b",
            "--log",
            "debug",
        ];
        let cli = Cli::try_from_words(words).unwrap();
        assert_eq!(cli.logging().filter, "debug");
        let Cli::Other(Program::Controller(config)) = cli else {
            unreachable!("{cli:?}");
        };
        assert_eq!(config.scope.namespaces, ["a", "b"]);
    }
}

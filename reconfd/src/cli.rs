//! The command line: the daemon, and its subcommands.

use std::{ffi::OsString, fmt};

use clap::{Args, Command, CommandFactory as _, FromArgMatches as _, Subcommand, ValueEnum};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use crate::{
    config::{Config, Listen, installation},
    keep::KeepConfig,
    networks::NetworksConfig,
    scope::Scope,
    uninstall::UninstallConfig,
};

/// Without a subcommand, the program is the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cli {
    Daemon(Box<Config>),
    Other(Program),
}

#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Program {
    /// The cluster controller: status, allowances, peers; one per cluster
    Controller(Box<ControllerConfig>),
    /// Keeps the switch pinned and the plugin in the chain, for a daemon that may not mount
    Keep(Box<KeepConfig>),
    /// Prints the networks that no link may overlap, where each was read, and what could not be read
    Networks(Box<NetworksConfig>),
    /// Uninstalls podconfig from this node or from a cluster; may be repeated
    Uninstall(Box<UninstallConfig>),
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct ControllerConfig {
    /// Name of this installation, to run several in one cluster: a DNS label of at most 20 characters
    #[arg(long, env = "PODCONFIG_INSTALLATION", value_name = "NAME", default_value = "default", value_parser = installation)]
    pub installation: String,

    #[command(flatten)]
    pub scope: Scope,

    /// Address of /livez, /readyz and /metrics: ADDRESS:PORT, or off
    #[arg(
        long,
        env = "PODCONFIG_LISTEN",
        value_name = "ADDR",
        default_value = "0.0.0.0:9478"
    )]
    pub listen: Listen,

    #[command(flatten)]
    pub logging: Logging,
}

/// Logging options of every subcommand.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Logging {
    /// auto: text on a terminal, JSON otherwise
    #[arg(
        long = "log-format",
        env = "PODCONFIG_LOG_FORMAT",
        value_name = "FORMAT",
        value_enum,
        default_value_t
    )]
    pub format: LogFormat,

    /// error, warn, info, debug or trace, or a filter such as info,reconfd::node=debug
    #[arg(long = "log", env = "RUST_LOG", value_name = "LEVEL", default_value = "info", value_parser = log_filter)]
    pub filter: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    #[default]
    Auto,
    Text,
    Json,
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
            Self::Other(Program::Controller(config)) => &config.logging,
            Self::Other(Program::Keep(config)) => &config.logging,
            Self::Other(Program::Networks(config)) => &config.logging,
            Self::Other(Program::Uninstall(config)) => &config.logging,
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_possible_value()
            .map_or(Ok(()), |value| f.write_str(value.get_name()))
    }
}

/// Targets that write to this log.
const LOG_TARGETS: [&str; 7] = [
    "reconfd",
    "kube_client",
    "kube_runtime",
    "hyper",
    "hyper_util",
    "tower",
    "rustls",
];

/// Checks a log filter. `EnvFilter` takes a word that is not a level for a target, and a filter of unknown targets
/// matches nothing: a misspelt level would silence the program.
fn log_filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map_err(|error| error.to_string())?;
    let mut directives = text.split(',').map(str::trim);
    match directives.clone().any(|directive| !directive.is_empty()) {
        true => directives.try_for_each(names_something)?,
        false => return Err("the filter is empty; write a level, such as info".into()),
    }
    Ok(text.to_owned())
}

fn names_something(directive: &str) -> Result<(), String> {
    let target = directive
        .split(['=', '['])
        .next()
        .unwrap_or_default()
        .trim();
    let is_level = !directive.contains('=') && target.parse::<LevelFilter>().is_ok();
    let is_of = |known: &&str| {
        let rest = target.strip_prefix(known);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    if target.is_empty() || is_level || LOG_TARGETS.iter().any(is_of) {
        return Ok(());
    }
    Err(format!(
        "{target:?} is neither a level (error, warn, info, debug, trace, off) nor a target that writes to this log: {}, \
         or a module of one, as in info,reconfd::node=debug",
        LOG_TARGETS.join(", ")
    ))
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
    fn a_log_filter_that_would_let_nothing_through_is_refused() {
        for filter in [
            "info",
            "DEBUG",
            "off",
            "3",
            "reconfd",
            "info,reconfd::controller=debug",
            "warn,kube_client=trace",
            "reconfd[{pod=web-0}]=debug",
        ] {
            assert_eq!(log_filter(filter), Ok(filter.into()), "{filter}");
        }
        for filter in [
            "verbose",
            "inf",
            "reconf=debug",
            "info,reconfdx=debug",
            "verbose=debug",
        ] {
            let why = log_filter(filter).unwrap_err();
            assert!(why.contains("neither a level"), "{filter}: {why}");
        }
        for filter in ["", " ", ","] {
            assert!(log_filter(filter).is_err(), "{filter:?}");
        }
        assert!(log_filter("info=verbose").is_err());
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

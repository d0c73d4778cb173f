//! Logging options, and the check of a log filter.

use std::fmt;

use clap::{Args, ValueEnum};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// Targets of the program's own crates.
const OWN_TARGETS: [&str; 14] = [
    "reconfd",
    "address",
    "cluster",
    "controller",
    "dirwatch",
    "installation",
    "keep",
    "kubeio",
    "manifests",
    "networks",
    "node",
    "runner",
    "telemetry",
    "uninstall",
];

/// Targets of dependencies that write to this log.
const OTHER_TARGETS: [&str; 6] = [
    "kube_client",
    "kube_runtime",
    "hyper",
    "hyper_util",
    "tower",
    "rustls",
];

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

    /// error, warn, info, debug or trace, or a filter such as info,node=debug
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

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_possible_value()
            .map_or(Ok(()), |value| f.write_str(value.get_name()))
    }
}

/// Checks a log filter. `EnvFilter` takes a word that is not a level for a target, and a filter of unknown targets
/// matches nothing: a misspelt level would silence the program.
fn log_filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map_err(|error| error.to_string())?;
    let mut directives = text.split(',').map(str::trim);
    match directives.clone().any(|directive| !directive.is_empty()) {
        true => directives.try_for_each(names_something)?,
        false => return Err("the filter is empty; write a level, such as info".into()),
    }
    let directives = text.split(',').flat_map(for_all_crates);
    Ok(directives.collect::<Vec<_>>().join(","))
}

/// `reconfd=debug` is for the whole program: its crates log with targets of their own.
fn for_all_crates(directive: &str) -> Vec<String> {
    let directive = directive.trim();
    let rest = directive.strip_prefix("reconfd");
    match rest.filter(|rest| rest.is_empty() || rest.starts_with('=')) {
        Some(rest) => OWN_TARGETS.map(|target| format!("{target}{rest}")).to_vec(),
        None => vec![directive.to_owned()],
    }
}

fn targets() -> impl Iterator<Item = &'static str> {
    OWN_TARGETS.into_iter().chain(OTHER_TARGETS)
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
    if target.is_empty() || is_level || targets().any(|known| is_of(&known)) {
        return Ok(());
    }
    Err(format!(
        "{target:?} is neither a level (error, warn, info, debug, trace, off) nor a target that writes to this log: {}, \
         or a module of one, as in info,node=debug",
        targets().collect::<Vec<_>>().join(", ")
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    #[test]
    fn every_crate_that_logs_is_a_target() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let folders = fs::read_dir(root).unwrap().map(|entry| entry.unwrap());
        let logging = folders.filter(|folder| {
            let manifest = fs::read_to_string(folder.path().join("Cargo.toml"));
            manifest.is_ok_and(|text| text.contains("\ntracing."))
        });
        let mut logging: BTreeSet<String> = logging
            .map(|folder| folder.file_name().into_string().unwrap())
            .collect();
        logging.insert("reconfd".to_owned());
        assert_eq!(logging, OWN_TARGETS.map(str::to_owned).into());
    }

    #[test]
    fn a_log_filter_that_would_let_nothing_through_is_refused() {
        for filter in [
            "info",
            "DEBUG",
            "off",
            "3",
            "info,controller=debug",
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
    fn the_name_of_the_program_is_for_all_its_crates() {
        let all = log_filter("info,reconfd=debug").unwrap();
        let mut directives = all.split(',');
        assert_eq!(directives.next(), Some("info"));
        let targets = OWN_TARGETS.map(|target| format!("{target}=debug"));
        assert_eq!(directives.collect::<Vec<_>>(), targets);
        let module = "reconfd::daemon=debug";
        assert_eq!(log_filter(module), Ok(module.into()));
    }
}

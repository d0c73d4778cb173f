//! Hand-written parser of the installer's command line. Unknown, repeated and empty flags are errors.

use std::path::PathBuf;

use crate::mode::Mode;
use crate::placement::Choice;

/// The parsed command.
#[derive(Debug, PartialEq, Eq)]
pub enum InstallCommand {
    Help(&'static str),
    Version,
    Install(Options),
    Uninstall(Options),
}

/// Folders and mode; each command uses the fields that concern it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    pub mode: Mode,
    pub choice: Choice,
    pub conf_dir: PathBuf,
    pub bin_dir: PathBuf,
    /// The plugin's program; `None`: the one beside this program.
    pub plugin: Option<PathBuf>,
    pub cache_dir: PathBuf,
    pub records: String,
    pub watch: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            mode: Mode::Inline,
            choice: Choice::default(),
            conf_dir: "/etc/cni/net.d".into(),
            bin_dir: "/opt/cni/bin".into(),
            plugin: None,
            cache_dir: "/var/lib/cni/results".into(),
            records: "/run/podconfig/records".into(),
            watch: false,
        }
    }
}

const HELP: &str = "\
podconfig-install puts podconfig-cni, the plugin of podconfig, into this node's CNI chain.

  podconfig-install install --help      put it into the chain
  podconfig-install uninstall --help    take it out again
  podconfig-install --version
";

const INSTALL_HELP: &str = "\
Put podconfig-cni into a node's CNI chain: the binary first, then the chain entry.
Run again, it changes nothing. Files of others keep their names, and every byte but the entry.

usage: podconfig-install install [flags]

  --mode MODE      how the entry joins the chain (default inline)
      inline       appended to the first conf file, the one that the runtime reads; a .conf
                   or .json cannot hold it and stays as it is: the entry is in a copy,
                   NAME-podconfig.conflist, which sorts before it, follows its changes and
                   goes with it; use it with --watch
      owned        in a copy of that file in any case, 00-podconfig.conflist; what others put
                   into the copy stays there; use it with --watch
      drop-in      in a file of its own, <conf-dir>/<network>/99-podconfig.conf; needs a
                   runtime with libcni 1.3 (containerd 2.1, CRI-O 1.33), older ones ignore
                   it silently; CRI-O does not call it when a pod ends
  --conf-dir DIR   where the runtime reads its chains (default /etc/cni/net.d)
  --conf-file NAME the chain is in this file of the conf folder, not in the first one
  --network NAME   the chain is in the first file that loads and has this name, as with
                   CRI-O's cni_default_network
  --skip-invalid   the chain is in the first file that loads: so chooses CRI-O, whereas
                   containerd loads nothing as long as the first file is broken
  --bin-dir DIR    where the runtime looks for plugins (default /opt/cni/bin)
  --plugin PATH    the plugin's program to install (default podconfig-cni beside this program)
  --records DIR    where the plugin writes its records (default /run/podconfig/records)
  --watch          stay, and put the entry back when another program removes it; wait
                   while there is no chain yet. SIGTERM ends it and leaves the entry in place

exit codes: 0 installed, 1 failed or refused, 2 wrong flags, 3 no chain to join yet,
4 another program removed the entry three times within a minute
";

const UNINSTALL_HELP: &str = "\
Take podconfig-cni out of a node's CNI chain: the entry first, whichever mode put it there,
then the binary, unless the cached result of a pod that still runs names it.
Stop `podconfig-install install --watch` before. The records are left to the daemon.

usage: podconfig-install uninstall [flags]

  --conf-dir DIR   where the runtime reads its chains (default /etc/cni/net.d)
  --bin-dir DIR    where the runtime looks for plugins (default /opt/cni/bin)
  --records DIR    understood, so that both verbs take the same flags; nothing there is touched
  --cache-dir DIR  where the runtime keeps results (default /var/lib/cni/results)

exit codes: 0 the entry is removed (the binary too, unless reported), 1 failed or refused,
2 wrong flags, 4 another program put the entry back meanwhile
";

/// Reads the command line without the program's name.
pub fn parse(args: &[String]) -> Result<InstallCommand, String> {
    let expected = "expected install or uninstall (see podconfig-install --help)";
    let (verb, flags) = args.split_first().ok_or(expected)?;
    let (help, known): (_, &[&str]) = match verb.as_str() {
        "install" => (
            INSTALL_HELP,
            &[
                "--mode",
                "--conf-dir",
                "--conf-file",
                "--network",
                "--skip-invalid",
                "--bin-dir",
                "--plugin",
                "--records",
                "--watch",
            ],
        ),
        "uninstall" => (
            UNINSTALL_HELP,
            &["--conf-dir", "--bin-dir", "--records", "--cache-dir"],
        ),
        "--help" | "-h" | "help" => return Ok(InstallCommand::Help(HELP)),
        "--version" | "-V" => return Ok(InstallCommand::Version),
        other => return Err(format!("unknown verb {other:?}: {expected}")),
    };
    if flags.iter().any(|flag| flag == "--help" || flag == "-h") {
        return Ok(InstallCommand::Help(help));
    }
    let hint = |text: String| format!("{text} (see podconfig-install {verb} --help)");
    let options = read(flags, known).map_err(hint)?;
    Ok(if verb == "install" {
        InstallCommand::Install(options)
    } else {
        InstallCommand::Uninstall(options)
    })
}

fn read(flags: &[String], known: &[&str]) -> Result<Options, String> {
    let mut options = Options::default();
    let mut seen: Vec<&str> = Vec::new();
    let mut words = flags.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let (flag, inline) = match word.split_once('=') {
            Some((flag, value)) => (flag, Some(value)),
            None => (word, None),
        };
        if !known.contains(&flag) {
            return Err(format!(
                "unknown flag {flag:?}; known are {}",
                known.join(", ")
            ));
        }
        if seen.contains(&flag) {
            return Err(format!("{flag} is given twice"));
        }
        seen.push(flag);
        if matches!(flag, "--watch" | "--skip-invalid") {
            if let Some(value) = inline {
                return Err(format!("{flag} takes no value, not {value:?}"));
            }
            match flag {
                "--watch" => options.watch = true,
                _ => options.choice.skip_invalid = true,
            }
            continue;
        }
        let value = inline.or_else(|| words.next()).unwrap_or_default();
        set(&mut options, flag, value)?;
    }
    let Choice {
        file,
        network,
        skip_invalid,
    } = &options.choice;
    if usize::from(file.is_some()) + usize::from(network.is_some()) + usize::from(*skip_invalid) > 1
    {
        return Err(
            "--conf-file, --network and --skip-invalid each select the chain's file: give only one"
                .into(),
        );
    }
    Ok(options)
}

fn set(options: &mut Options, flag: &str, value: &str) -> Result<(), String> {
    if value.is_empty() || value.starts_with("--") {
        return Err(format!("{flag} wants a value"));
    }
    match flag {
        "--mode" => options.mode = mode(value)?,
        "--conf-dir" => options.conf_dir = folder(flag, value)?,
        "--conf-file" => options.choice.file = Some(file(value)?),
        "--network" => options.choice.network = Some(value.to_owned()),
        "--bin-dir" => options.bin_dir = folder(flag, value)?,
        "--plugin" => options.plugin = Some(value.into()),
        "--cache-dir" => options.cache_dir = folder(flag, value)?,
        _ => {
            folder(flag, value)?;
            options.records = value.to_owned();
        }
    }
    Ok(())
}

fn mode(value: &str) -> Result<Mode, String> {
    let known = Mode::ALL.into_iter().find(|mode| mode.word() == value);
    known.ok_or_else(|| format!("unknown mode {value:?}: expected inline, owned or drop-in"))
}

/// The name of a file in the conf folder that a runtime would load.
fn file(value: &str) -> Result<String, String> {
    let loaded = [".conf", ".conflist", ".json"];
    if value.contains('/') || !loaded.iter().any(|end| value.ends_with(end)) {
        return Err(format!(
            "--conf-file wants the name of a .conf, .conflist or .json in the conf folder, not {value:?}"
        ));
    }
    Ok(value.to_owned())
}

/// The runtime calls the plugin in its own working directory, so a path must be absolute.
fn folder(flag: &str, value: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(value);
    let climbs = path
        .components()
        .any(|part| part == std::path::Component::ParentDir);
    if !path.is_absolute() || climbs {
        return Err(format!(
            "{flag} wants an absolute path without \"..\", not {value:?}"
        ));
    }
    Ok(path)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<InstallCommand, String> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        parse(&words)
    }

    #[test]
    fn the_defaults_are_those_of_a_common_node() {
        assert_eq!(
            parsed("install").unwrap(),
            InstallCommand::Install(Options::default())
        );
        assert_eq!(
            parsed("uninstall").unwrap(),
            InstallCommand::Uninstall(Options::default())
        );
    }

    #[test]
    fn a_value_may_follow_an_equals_sign_or_a_space() {
        let wanted = Options {
            mode: Mode::DropIn,
            conf_dir: "/a".into(),
            watch: true,
            ..Options::default()
        };
        assert_eq!(
            parsed("install --mode=drop-in --conf-dir /a --watch").unwrap(),
            InstallCommand::Install(wanted)
        );
    }

    #[test]
    fn help_is_given_whatever_else_is_wrong() {
        assert_eq!(
            parsed("install --what --help").unwrap(),
            InstallCommand::Help(INSTALL_HELP)
        );
        assert_eq!(
            parsed("uninstall -h").unwrap(),
            InstallCommand::Help(UNINSTALL_HELP)
        );
        for line in ["--help", "-h", "help install"] {
            assert_eq!(parsed(line).unwrap(), InstallCommand::Help(HELP));
        }
        assert_eq!(parsed("--version").unwrap(), InstallCommand::Version);
    }

    #[test]
    fn nonsense_is_reported_and_never_guessed() {
        for (line, part) in [
            ("remove", "unknown verb"),
            ("install --conf", "unknown flag"),
            ("install extra", "unknown flag"),
            ("install --watch --watch", "twice"),
            ("install --watch=yes", "no value"),
            ("install --mode", "wants a value"),
            ("install --mode --watch", "wants a value"),
            ("install --mode=", "wants a value"),
            ("install --mode chained", "unknown mode"),
            ("install --conf-file a/b.conf", "in the conf folder"),
            ("install --conf-file 10-a", "in the conf folder"),
            ("install --skip-invalid=1", "no value"),
            ("install --network a --skip-invalid", "give only one"),
            ("install --network a --conf-file a.conf", "give only one"),
            ("install --records run", "absolute"),
            ("install --bin-dir /opt/../cni", "absolute"),
            ("install --cache-dir /x", "unknown flag"),
            ("install --plugin=", "wants a value"),
            ("uninstall --plugin /x", "unknown flag"),
            ("uninstall --mode inline", "unknown flag"),
        ] {
            let text = parsed(line).unwrap_err();
            assert!(text.contains(part), "{line}: {text}");
        }
    }
}

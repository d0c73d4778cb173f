//! The plugin comes into the chain and out of it by its own program, which copies itself.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
};

use anyhow::{Context as _, bail};
use nix::sys::{prctl::set_pdeathsig, signal::Signal};

use super::Chain;

/// What the exit codes of `podconfig-cni install` say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Well,
    /// There is no chain to join yet.
    NoChain,
    /// Somebody takes the entry out as often as it is put back.
    Undone,
    Failed,
}

impl Ended {
    pub fn of(status: ExitStatus) -> Self {
        match status.code() {
            Some(0) => Self::Well,
            Some(3) => Self::NoChain,
            Some(4) => Self::Undone,
            _ => Self::Failed,
        }
    }

    pub fn words(self) -> &'static str {
        match self {
            Self::Well => "the plugin is in the chain",
            Self::NoChain => "there is no chain to join yet",
            Self::Undone => {
                "somebody takes the plugin's entry out of the chain again and again; podconfig-cni's last words \
                 in this log name who, and the remedy"
            }
            Self::Failed => {
                "the plugin cannot be put into the chain; podconfig-cni's last words in this log tell why"
            }
        }
    }
}

impl Chain {
    /// The plugin's program: named, or beside this one.
    fn program(&self) -> anyhow::Result<PathBuf> {
        if let Some(program) = &self.plugin {
            return Ok(program.clone());
        }
        let own = std::env::current_exe().context("find this program's own file")?;
        Ok(own.with_file_name("podconfig-cni"))
    }

    fn command(&self, verb: &str) -> anyhow::Result<Command> {
        let mut command = Command::new(self.program()?);
        command.arg(verb);
        for (flag, folder) in [
            ("--conf-dir", &self.conf_dir),
            ("--bin-dir", &self.bin_dir),
            ("--records", &self.records),
        ] {
            command.arg(flag).arg(folder);
        }
        Ok(command)
    }

    fn install(&self) -> anyhow::Result<Command> {
        let mut command = self.command("install")?;
        command.args(["--mode", self.mode.word()]);
        for (flag, name) in [
            ("--conf-file", &self.choice.conf_file),
            ("--network", &self.choice.network),
        ] {
            if let Some(name) = name {
                command.arg(flag).arg(name);
            }
        }
        if self.choice.skip_invalid {
            command.arg("--skip-invalid");
        }
        Ok(command)
    }

    /// Puts the plugin into the chain once.
    pub fn install_once(&self) -> anyhow::Result<Ended> {
        run(&mut self.install()?).map(Ended::of)
    }

    /// Starts what puts it there and keeps it there.
    pub fn watch(&self) -> anyhow::Result<Child> {
        let mut command = self.install()?;
        command.arg("--watch");
        die_with_parent(&mut command);
        let program = command.get_program().to_owned();
        command
            .spawn()
            .with_context(|| format!("start {}", program.display()))
    }

    /// Takes the entry out, and then the binary, unless a runtime may still call it.
    pub fn uninstall(&self, cache_dir: &Path) -> anyhow::Result<()> {
        let mut command = self.command("uninstall")?;
        command.arg("--cache-dir").arg(cache_dir);
        match Ended::of(run(&mut command)?) {
            Ended::Well => Ok(()),
            Ended::Undone => bail!(
                "take the plugin out of the chain: somebody put the entry back; end `podconfig-cni install --watch` on this node"
            ),
            _ => bail!(
                "take the plugin out of the chain: podconfig-cni's last words in this log tell why; correct that, and run this again"
            ),
        }
    }
}

/// A keeper that is killed must not leave a second watcher to the next one. Started by the thread that lives
/// as long as the program.
#[allow(unsafe_code)]
fn die_with_parent(command: &mut Command) {
    use std::os::unix::process::CommandExt as _;
    let before_it_runs = || Ok(set_pdeathsig(Signal::SIGTERM)?);
    // SAFETY: between fork and exec only one system call is made, and nothing is allocated or locked.
    unsafe { command.pre_exec(before_it_runs) };
}

fn run(command: &mut Command) -> anyhow::Result<ExitStatus> {
    let program = command.get_program().to_owned();
    command
        .status()
        .with_context(|| format!("run {}", program.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::installation::{Choice, Mode};

    fn chain(mode: Mode) -> Chain {
        Chain {
            mode,
            conf_dir: "/c".into(),
            bin_dir: "/b".into(),
            records: "/r".into(),
            plugin: Some("/p".into()),
            choice: Choice::default(),
        }
    }

    #[test]
    fn the_plugin_is_told_what_we_were_told() {
        let command = chain(Mode::DropIn).install().unwrap();
        let words: Vec<_> = command
            .get_args()
            .map(|word| word.to_string_lossy())
            .collect();
        assert_eq!(
            words.join(" "),
            "install --conf-dir /c --bin-dir /b --records /r --mode drop-in"
        );
        assert_eq!(command.get_program(), "/p");
    }

    #[test]
    fn the_plugin_is_given_the_choice_of_the_chain() {
        for (choice, words) in [
            (
                Choice {
                    conf_file: Some("10-a.conf".into()),
                    ..Choice::default()
                },
                "--conf-file 10-a.conf",
            ),
            (
                Choice {
                    network: Some("pods".into()),
                    ..Choice::default()
                },
                "--network pods",
            ),
            (
                Choice {
                    skip_invalid: true,
                    ..Choice::default()
                },
                "--skip-invalid",
            ),
        ] {
            let chain = Chain {
                choice,
                ..chain(Mode::Inline)
            };
            let command = chain.install().unwrap();
            let found: Vec<_> = command
                .get_args()
                .map(|word| word.to_string_lossy())
                .collect();
            assert!(found.join(" ").ends_with(words), "{found:?}");
        }
    }

    #[test]
    fn exit_codes_have_words() {
        use std::os::unix::process::ExitStatusExt as _;
        let ended = |code: i32| Ended::of(ExitStatus::from_raw(code << 8));
        assert_eq!(
            [0, 1, 2, 3, 4].map(ended),
            [
                Ended::Well,
                Ended::Failed,
                Ended::Failed,
                Ended::NoChain,
                Ended::Undone
            ]
        );
        assert_eq!(Ended::of(ExitStatus::from_raw(9)), Ended::Failed);
    }
}

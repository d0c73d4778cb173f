//! Adds the plugin to the chain and removes it, by running the installer.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
};

use anyhow::{Context as _, bail};
use nix::sys::{prctl::set_pdeathsig, signal::Signal};

use super::ChainConfig;

/// Result of `podconfig-install install`, by its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstallOutcome {
    Success,
    /// There is no chain to join yet.
    NoChain,
    /// Another program removes the entry as often as it is added.
    Reverted,
    Failed,
}

impl InstallOutcome {
    pub fn of(status: ExitStatus) -> Self {
        match status.code() {
            Some(0) => Self::Success,
            Some(3) => Self::NoChain,
            Some(4) => Self::Reverted,
            _ => Self::Failed,
        }
    }

    pub fn message(self) -> &'static str {
        match self {
            Self::Success => "the plugin is in the chain",
            Self::NoChain => "there is no chain to join yet",
            Self::Reverted => {
                "another program removes the plugin's entry from the chain again and again; see podconfig-install's \
                 last lines in this log for the program and the remedy"
            }
            Self::Failed => {
                "cannot add the plugin to the chain; see podconfig-install's last lines in this log"
            }
        }
    }
}

impl ChainConfig {
    /// The installer's executable: as configured, or in this program's folder.
    fn program(&self) -> anyhow::Result<PathBuf> {
        if let Some(program) = &self.installer {
            return Ok(program.clone());
        }
        let own = std::env::current_exe().context("find this program's executable")?;
        Ok(own.with_file_name("podconfig-install"))
    }

    fn command(&self, verb: &str) -> anyhow::Result<Command> {
        let mut command = Command::new(self.program()?);
        command.arg(verb);
        for (flag, folder) in [
            ("--conf-dir", &self.conf_dir),
            ("--bin-dir", &self.bin_dir),
            ("--records", &self.records.path),
        ] {
            command.arg(flag).arg(folder);
        }
        Ok(command)
    }

    fn install(&self) -> anyhow::Result<Command> {
        let mut command = self.command("install")?;
        command.args(["--mode", self.mode.as_str()]);
        if let Some(plugin) = &self.plugin {
            command.arg("--plugin").arg(plugin);
        }
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

    /// Adds the plugin to the chain once.
    pub fn install_once(&self) -> anyhow::Result<InstallOutcome> {
        run(&mut self.install()?).map(InstallOutcome::of)
    }

    /// Starts the child that adds the plugin and keeps it in the chain.
    pub fn watch(&self) -> anyhow::Result<Child> {
        let mut command = self.install()?;
        command.arg("--watch");
        die_with_parent(&mut command);
        let program = command.get_program().to_owned();
        command.spawn().with_context(|| {
            format!(
                "start the installer {} (see --installer)",
                program.display()
            )
        })
    }

    /// Removes the entry, and then the executable, unless a runtime may still call it.
    pub fn uninstall(&self, cache_dir: &Path) -> anyhow::Result<()> {
        let mut command = self.command("uninstall")?;
        command.arg("--cache-dir").arg(cache_dir);
        match InstallOutcome::of(run(&mut command)?) {
            InstallOutcome::Success => Ok(()),
            InstallOutcome::Reverted => bail!(
                "remove the plugin from the chain: another program added the entry again; end `podconfig-install install --watch` on this node"
            ),
            _ => bail!(
                "remove the plugin from the chain: see podconfig-install's last lines in this log; correct the error, and run this again"
            ),
        }
    }
}

/// Sends SIGTERM to the child when the keeper dies, so that the next keeper does not find a second one running. The
/// signal is bound to the thread that starts the child, which must live as long as the program.
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
        .with_context(|| format!("run the installer {} (see --installer)", program.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{Choice, Mode};
    use args::RecordsDir;

    fn chain(mode: Mode) -> ChainConfig {
        ChainConfig {
            mode,
            conf_dir: "/c".into(),
            bin_dir: "/b".into(),
            records: RecordsDir { path: "/r".into() },
            plugin: None,
            installer: Some("/i".into()),
            choice: Choice::default(),
        }
    }

    fn words(command: &Command) -> String {
        let words = command.get_args().map(|word| word.to_string_lossy());
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_installer_gets_our_options() {
        let mut chain = chain(Mode::DropIn);
        let command = chain.install().unwrap();
        let expected = "install --conf-dir /c --bin-dir /b --records /r --mode drop-in";
        assert_eq!(words(&command), expected);
        assert_eq!(command.get_program(), "/i");
        chain.plugin = Some("/p".into());
        let command = chain.install().unwrap();
        assert_eq!(words(&command), format!("{expected} --plugin /p"));
    }

    #[test]
    fn an_uninstallation_takes_no_plugin() {
        let mut chain = chain(Mode::Inline);
        chain.plugin = Some("/p".into());
        let command = chain.command("uninstall").unwrap();
        let expected = "uninstall --conf-dir /c --bin-dir /b --records /r";
        assert_eq!(words(&command), expected);
    }

    #[test]
    fn by_default_the_installer_is_beside_this_program() {
        let mut chain = chain(Mode::Inline);
        chain.installer = None;
        let own = std::env::current_exe().unwrap();
        let expected = own.with_file_name("podconfig-install");
        assert_eq!(chain.program().unwrap(), expected);
    }

    #[test]
    fn the_installer_is_given_the_choice_of_the_chain() {
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
            let chain = ChainConfig {
                choice,
                ..chain(Mode::Inline)
            };
            let command = chain.install().unwrap();
            let found = self::words(&command);
            assert!(found.ends_with(words), "{found}");
        }
    }

    #[test]
    fn exit_codes_have_words() {
        use std::os::unix::process::ExitStatusExt as _;
        let ended = |code: i32| InstallOutcome::of(ExitStatus::from_raw(code << 8));
        assert_eq!(
            [0, 1, 2, 3, 4].map(ended),
            [
                InstallOutcome::Success,
                InstallOutcome::Failed,
                InstallOutcome::Failed,
                InstallOutcome::NoChain,
                InstallOutcome::Reverted
            ]
        );
        assert_eq!(
            InstallOutcome::of(ExitStatus::from_raw(9)),
            InstallOutcome::Failed
        );
    }
}

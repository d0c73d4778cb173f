//! The real runner, in the account of its installation.

use std::{
    fs::File,
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use super::account::Account;
use crate::daemon::end_with_parent;

const SOCKET: &str = "/run/podconfig/run.sock";
pub const FLAGS: [&str; 4] = [
    "--runner-socket",
    SOCKET,
    "--state-dir",
    "/run/podconfig/state",
];
pub const PLUGINS: &str = "/usr/lib/cni";
const TYPES: [&str; 5] = ["macvlan", "bridge", "host-local", "tuning", "portmap"];

pub struct Runner(Child);

impl Runner {
    pub fn start(program: &str, account: &Account) -> Result<Self> {
        let _ = std::fs::remove_file(SOCKET);
        let log = File::options()
            .append(true)
            .create(true)
            .open("/run/podconfig/runner.log")?;
        let mut command = Command::new(program);
        command.args(["run", "--socket", SOCKET, "--plugin-folder", PLUGINS]);
        for plugin in TYPES {
            command.args(["--plugin", plugin]);
        }
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        end_with_parent(&mut command);
        account.take(&mut command)?;
        let runner = Self(
            command
                .spawn()
                .with_context(|| format!("start {program}"))?,
        );
        for _ in 0..1000 {
            if Path::new(SOCKET).exists() {
                return Ok(runner);
            }
            sleep(Duration::from_millis(5));
        }
        let log = std::fs::read_to_string("/run/podconfig/runner.log").unwrap_or_default();
        ensure!(false, "the runner does not listen; its log:\n{log}");
        Ok(runner)
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

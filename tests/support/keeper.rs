//! The real keeper on a throwaway node, its chain, and the explicit uninstallation.

use std::{
    fs,
    process::{Child, ExitStatus, Output, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;

use super::{
    binary,
    daemon::child_of,
    node::TestNode,
    program_log::ProgramLog,
    wait::{eventually, seen, within},
};

/// Where the node's runtime would read its chain. The machine's own folders are never touched.
const CONF_DIR: &str = "/run/cni/net.d";
const BIN_DIR: &str = "/run/cni/bin";
const CACHE_DIR: &str = "/run/cni/results";
const CONFLIST: &str = "/run/cni/net.d/10-primary.conflist";
pub const NOTES: &str = "/run/podconfig/installations";

pub struct Keeper<'n> {
    node: &'n TestNode,
    door: Child,
    pid: Pid,
    log: ProgramLog,
}

fn where_it_is() -> Vec<String> {
    let plugin = binary("PODCONFIG_CNI_BIN", "podconfig-cni");
    let installer = binary("PODCONFIG_INSTALL_BIN", "podconfig-install");
    let flags = [
        ("--conf-dir", CONF_DIR),
        ("--bin-dir", BIN_DIR),
        ("--plugin", &plugin),
        ("--installer", &installer),
    ];
    flags
        .iter()
        .flat_map(|(flag, value)| [(*flag).to_owned(), (*value).to_owned()])
        .collect()
}

impl TestNode {
    /// A chain of one plugin, as a primary CNI writes it.
    pub fn add_chain(&self) {
        for folder in [CONF_DIR, BIN_DIR, CACHE_DIR] {
            fs::create_dir_all(self.path(folder)).expect("the node's /run takes folders");
        }
        self.write_chain();
    }

    /// Again as the primary CNI writes it, without any entry of ours.
    pub fn write_chain(&self) {
        let list = json!({
            "cniVersion": "1.0.0", "name": "cluster", "plugins": [{"type": "bridge", "bridge": "cni0"}],
        });
        fs::write(self.path(CONFLIST), list.to_string()).expect("the chain can be written");
    }

    pub fn chain(&self) -> String {
        fs::read_to_string(self.path(CONFLIST)).unwrap_or_default()
    }

    pub fn is_in_chain(&self) -> bool {
        self.chain().contains("podconfig-cni")
    }

    pub fn has_plugin(&self) -> bool {
        self.path(BIN_DIR).join("podconfig-cni").exists()
    }

    /// A runtime's result of a pod that was started with our entry in the chain.
    pub fn remember_result(&self, name: &str) {
        let result = json!({"kind": "cniCacheV1", "config": self.chain()});
        fs::write(self.path(CACHE_DIR).join(name), result.to_string())
            .expect("a result can be written");
    }

    pub fn forget_result(&self, name: &str) {
        fs::remove_file(self.path(CACHE_DIR).join(name)).expect("the result is there");
    }

    /// `reconfd keep --once …`, as the init container.
    pub fn keep_once(&self, more: &[&str]) -> Output {
        self.reconfd("keep", &[&["--once"], more].concat())
    }

    /// `reconfd uninstall …`; what it said.
    pub fn uninstall(&self, more: &[&str]) -> String {
        let output = self.try_uninstall(more);
        let said = String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}: {said}", output.status);
        said
    }

    pub fn try_uninstall(&self, more: &[&str]) -> Output {
        let cache = ["--cache-dir", CACHE_DIR];
        self.reconfd("uninstall", &[&cache, more].concat())
    }

    /// The same, and not waited for.
    pub fn begin_uninstall(&self) -> Child {
        self.command(&binary("RECONFD_BIN", "reconfd"))
            .arg("uninstall")
            .args(where_it_is())
            .args(["--cache-dir", CACHE_DIR])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nsenter runs")
    }

    /// `reconfd keep --check`: how the chain is, as the keeper noted it.
    pub fn keep_check(&self) -> Output {
        self.reconfd("keep", &["--check"])
    }

    fn reconfd(&self, verb: &str, more: &[&str]) -> Output {
        self.command(&binary("RECONFD_BIN", "reconfd"))
            .arg(verb)
            .args(where_it_is())
            .args(more)
            .output()
            .expect("nsenter runs")
    }

    /// `reconfd keep …`, once it has pinned the switch and has the plugin in the chain.
    pub fn keeper(&self, more: &[&str]) -> Keeper<'_> {
        let keeper = self.keeper_unawaited(more);
        let check = [&["--check"], more].concat();
        within(
            Duration::from_secs(10),
            "the keeper has the plugin in the chain",
            || {
                let output = self.reconfd("keep", &check);
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                seen(output.status.success(), said + &keeper.log())
            },
        );
        keeper
    }

    pub fn keeper_unawaited(&self, more: &[&str]) -> Keeper<'_> {
        let mut command = self.command(&binary("RECONFD_BIN", "reconfd"));
        command.arg("keep").args(where_it_is()).args(more);
        let log = ProgramLog::of("keeper", &mut command);
        let door = command.spawn().expect("nsenter runs");
        let pid = eventually("the keeper's process", || child_of(door.id()));
        Keeper {
            node: self,
            door,
            pid,
            log,
        }
    }
}

impl Keeper<'_> {
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// SIGTERM, and how it ended.
    pub fn terminate(mut self) -> ExitStatus {
        self.end(Signal::SIGTERM)
    }

    /// SIGKILL, and gone when this returns.
    pub fn kill(mut self) {
        self.end(Signal::SIGKILL);
    }

    /// The watchers of the chain that run on the node.
    pub fn watchers(&self) -> usize {
        let found = self
            .node
            .try_run(&["pgrep", "-fc", "podconfig-install install"]);
        let text = String::from_utf8_lossy(&found.stdout);
        text.trim().parse().unwrap_or_default()
    }

    fn end(&mut self, signal: Signal) -> ExitStatus {
        kill(self.pid, signal).expect("the keeper lives");
        let door = &mut self.door;
        within(Duration::from_secs(10), "the keeper ends", || {
            door.try_wait()
                .expect("a child can be waited for")
                .ok_or("it still runs".to_owned())
        })
    }
}

impl Drop for Keeper<'_> {
    fn drop(&mut self) {
        if matches!(self.door.try_wait(), Ok(None)) {
            let _ = kill(self.pid, Signal::SIGKILL);
            let _ = self.door.wait();
        }
    }
}

//! The runner of CNI plugins on a throwaway node, and chains for it.

use std::{
    fs::{self, File},
    os::{fd::AsFd as _, unix::fs::PermissionsExt as _},
    path::PathBuf,
    process::{Child, Command},
};

use cni::{FrozenChain, FrozenPlugin};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use runner::{
    client::Client,
    protocol::{Executed, Operation, Refusal, Request, Response},
};
use sandbox_record::netns::Netns;
use serde_json::Value;

use super::{
    binary,
    daemon::child_of,
    node::TestNode,
    pod::TestPod,
    program_log::ProgramLog,
    wait::{eventually, seen},
};

/// Debian's plugins.
const PLUGINS: &str = "/usr/lib/cni";
/// The CNI configuration of a node; what the machine has is none of its.
pub const CONF_DIR: &str = "/run/net.d";
/// Multus' confDir on a node.
pub const MULTUS_CONF_DIR: &str = "/run/multus.d";
/// A folder that a jail shows, wherever the repository is: it covers `/tmp`, `/home` and `/root`.
pub const VISIBLE: &str = "/var/tmp";
const SOCKET: &str = "/run/podconfig/run.sock";

/// A runner that ends with its node.
pub struct TestRunner {
    client: Client,
    /// Plugins that a test has written, outside of what a jail covers.
    fakes: tempfile::TempDir,
    _log: ProgramLog,
}

/// A runner that a test ends.
pub struct RunnerProcess {
    /// `nsenter`, which ends with the runner.
    door: Child,
    pid: Pid,
    _log: ProgramLog,
}

impl RunnerProcess {
    /// SIGKILL, unless it has ended by itself.
    pub fn kill(mut self) {
        if !self.has_ended() {
            // It may end in this moment.
            let _ = kill(self.pid, Signal::SIGKILL);
            self.door.wait().expect("its end is seen");
        }
    }

    pub fn has_ended(&mut self) -> bool {
        let ended = self.door.try_wait().expect("it is a child of the test");
        ended.is_some()
    }
}

impl Drop for RunnerProcess {
    fn drop(&mut self) {
        // It ends with its node at the latest.
        let _ = self.door.kill();
        let _ = self.door.wait();
    }
}

impl TestNode {
    /// A file system of the node's own for reservations.
    pub fn prepare_for_plugins(&self) {
        self.shell(
            "mkdir -p /var/lib/cni && mount -t tmpfs tmpfs /var/lib/cni && touch /run/xtables.lock",
        );
    }

    /// A runner with Debian's plugins, which may not listen yet.
    pub fn runner_process(&self, plugins: &[&str]) -> RunnerProcess {
        let mut command = self.run_command(plugins);
        let log = ProgramLog::of("runner", &mut command);
        let door = command.spawn().expect("reconfd is built");
        let pid = eventually("the runner's process", || child_of(door.id()));
        RunnerProcess {
            door,
            pid,
            _log: log,
        }
    }

    /// A runner that may execute these plugins. Reservations are in a file system of the node's own.
    pub fn runner(&self, plugins: &[&str], flags: &[&str]) -> TestRunner {
        self.prepare_for_plugins();
        // A guest's root is read-only; its tests execute no fake.
        let fakes = tempfile::tempdir_in(VISIBLE)
            .or_else(|_| tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")))
            .expect("the machine has a folder for files");
        let mut command = self.run_command(plugins);
        command.arg("--plugin-folder").arg(fakes.path()).args(flags);
        let log = ProgramLog::of("runner", &mut command);
        self.keep(command.spawn().expect("reconfd is built"));
        let socket = self.path(SOCKET);
        eventually("the runner listens", || seen(socket.exists(), "no socket"));
        TestRunner {
            client: Client::new(socket),
            fakes,
            _log: log,
        }
    }

    /// `reconfd run` with these of Debian's plugins.
    fn run_command(&self, plugins: &[&str]) -> Command {
        let mut command = self.command(&binary("RECONFD_BIN", "reconfd"));
        command.args(["run", "--socket", SOCKET, "--plugin-folder", PLUGINS]);
        command.args(["--conf-dir", CONF_DIR, "--multus-conf-dir", MULTUS_CONF_DIR]);
        for plugin in plugins {
            command.args(["--plugin", plugin]);
        }
        command
    }
}

impl TestRunner {
    /// A plugin that is a script. It answers VERSION by itself.
    pub fn fake(&self, name: &str, script: &str) -> PathBuf {
        let path = self.fakes.path().join(name);
        let version = r#"{"cniVersion":"1.1.0","supportedVersions":["0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}"#;
        let text = format!(
            "#!/bin/sh\n[ \"$CNI_COMMAND\" != VERSION ] || {{ echo '{version}'; exit 0; }}\n{script}\n"
        );
        fs::write(&path, text).expect("the folder takes files");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode can be set");
        path
    }

    pub fn ask(
        &self,
        pod: Option<&TestPod<'_>>,
        chain: &FrozenChain,
        operation: Operation,
    ) -> Result<Executed, Refusal> {
        let netns = pod.map(|pod| {
            File::open(pod.node.path(&pod.attachment.netns)).expect("the namespace is there")
        });
        self.ask_in(netns.as_ref(), chain, operation)
    }

    /// ADD in a namespace that is open.
    pub fn add_in(&self, netns: &File, chain: &FrozenChain) -> Result<Executed, Refusal> {
        self.ask_in(Some(netns), chain, Operation::Add)
    }

    fn ask_in(
        &self,
        netns: Option<&File>,
        chain: &FrozenChain,
        operation: Operation,
    ) -> Result<Executed, Refusal> {
        // Of what is no pod's namespace there is none.
        let copy = netns.map(|file| file.try_clone().expect("a descriptor can be copied"));
        let netns_of = copy.and_then(|copy| Netns::from_fd(copy.into()).ok());
        let request = Request {
            operation,
            chain: chain.clone(),
            cookie: netns_of.map(|netns| netns.identity().cookie),
        };
        let asked = self.client.ask(&request, netns.map(|file| file.as_fd()));
        match asked.expect("the runner responds") {
            Response::Ran(executed) => Ok(executed),
            Response::Refused(refusal) => Err(refusal),
            Response::Unknown(what) => panic!("the end of the chain is not known: {what}"),
        }
    }

    /// ADD that must succeed; its result.
    pub fn add(&self, pod: &TestPod<'_>, chain: &FrozenChain) -> Value {
        let executed = self
            .ask(Some(pod), chain, Operation::Add)
            .expect("it is not refused");
        assert_eq!(executed.first_fault(), None);
        executed
            .result
            .expect("a chain that succeeded has a result")
    }

    /// DEL of the whole chain.
    pub fn del(&self, pod: Option<&TestPod<'_>>, chain: &FrozenChain, result: &Value) -> Executed {
        self.ask(pod, chain, del(result))
            .expect("it is not refused")
    }

    /// DEL in a namespace that is open.
    pub fn del_in(&self, netns: &File, chain: &FrozenChain, result: &Value) -> Executed {
        let asked = self.ask_in(Some(netns), chain, del(result));
        asked.expect("it is not refused")
    }
}

fn del(result: &Value) -> Operation {
    Operation::Del {
        prev_result: Some(result.clone()),
        which: None,
        all: false,
    }
}

/// A chain of these plugins for an interface `net1` of the pod.
pub fn chain_of(pod: &TestPod<'_>, version: &str, plugins: &[Value]) -> FrozenChain {
    let plugins = plugins.iter().map(|plugin| {
        let object = plugin.as_object().expect("a plugin is an object").clone();
        FrozenPlugin::of(object).expect("its types are names")
    });
    FrozenChain {
        network: "fast".into(),
        cni_version: version.parse().expect("a version"),
        plugins: plugins.collect(),
        disable_check: false,
        disable_gc: false,
        runtime_config: serde_json::Map::new(),
        args: vec![("IgnoreUnknown".into(), "true".into())],
        container_id: pod.attachment.container.clone(),
        ifname: "net1".into(),
        netns: pod.attachment.netns.clone(),
        digests: Default::default(),
    }
}

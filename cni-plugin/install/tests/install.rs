//! `podconfig-install install` and `uninstall` on folders of their own: the real installer, real files, and a plugin
//! that is only copied.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs::{self, Permissions};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::Value;
use tempfile::TempDir;

#[path = "install/any_chain.rs"]
mod any_chain;
#[path = "install/choice.rs"]
mod choice;
#[path = "install/crash.rs"]
mod crash;
#[path = "install/inline.rs"]
mod inline;
#[path = "install/other_modes.rs"]
mod other_modes;
#[path = "install/others.rs"]
mod others;
#[path = "install/program.rs"]
mod program;
#[path = "install/refusals.rs"]
mod refusals;
#[path = "install/removal.rs"]
mod removal;
#[path = "install/watch.rs"]
mod watch;
#[path = "install/watcher.rs"]
mod watcher;

const INSTALLER: &str = env!("CARGO_BIN_EXE_podconfig-install");
/// The content of the plugin that is installed.
const PLUGIN: &str = "#!/bin/sh\nexit 0\n";

const FLANNEL: &str = r#"{
  "name": "cbr0",
  "cniVersion": "0.3.1",
  "plugins": [
    {
      "type": "flannel",
      "delegate": { "hairpinMode": true, "mtu": 1.450e3, "note": "caf\u00e9 é" }
    },
    { "type": "portmap", "capabilities": {"portMappings": true} }
  ]
}
"#;

const BRIDGE_CONF: &str = "{\"cniVersion\":\"0.4.0\", \"name\":\"pods\",\n \"type\":\"bridge\",\
                           \"ipam\" : {\"type\": \"host-local\", \"n\": 1.0}}\n";

/// A node's folders.
struct Node(TempDir);

impl Node {
    fn new() -> Node {
        let node = Node(TempDir::new().unwrap());
        fs::create_dir(node.path("net.d")).unwrap();
        fs::create_dir(node.path("bin")).unwrap();
        executable(&node.plugin(), PLUGIN);
        node
    }

    fn with(name: &str, text: &str) -> Node {
        let node = Node::new();
        node.write(name, text);
        node
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn conf(&self, name: &str) -> PathBuf {
        self.path("net.d").join(name)
    }

    /// The program to install.
    fn plugin(&self) -> PathBuf {
        self.path("plugin")
    }

    /// The program that is installed.
    fn binary(&self) -> PathBuf {
        self.path("bin/podconfig-cni")
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.conf(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.conf(name)).unwrap()
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.read(name)).unwrap()
    }

    /// The names in the conf folder, sorted.
    fn names(&self) -> Vec<String> {
        names(&self.path("net.d"))
    }

    /// Caches a result that names the plugin: `uninstall` leaves the binary, and need not wait for the runtime.
    fn runs_a_pod(&self) {
        fs::create_dir(self.path("results")).unwrap();
        fs::write(self.path("results/cbr0-c1-eth0"), removal::OURS).unwrap();
    }

    fn command(&self, verb: &str, more: &[&str]) -> Command {
        let mut command = self.bare_command(INSTALLER.as_ref(), verb, more);
        match verb {
            "install" => command.arg("--plugin").arg(self.plugin()),
            _ => command.arg("--cache-dir").arg(self.path("results")),
        };
        command
    }

    fn bare_command(&self, installer: &Path, verb: &str, more: &[&str]) -> Command {
        let mut command = Command::new(installer);
        command.arg(verb).arg("--conf-dir").arg(self.path("net.d"));
        command.arg("--bin-dir").arg(self.path("bin")).args(more);
        command
    }

    fn install(&self, more: &[&str]) -> Output {
        self.command("install", more).output().unwrap()
    }

    fn installed(&self, more: &[&str]) {
        let output = self.install(more);
        assert!(output.status.success(), "{output:?}");
    }

    fn uninstalled(&self) -> String {
        let output = self.command("uninstall", &[]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// An installation that fails with that code and those words, and changes nothing.
    fn refuses(&self, more: &[&str], code: i32, said: &str) {
        let before = self.state();
        let output = self.install(more);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}: {output:?}");
        assert!(text.contains(said), "wanted {said:?}, got {text}");
        assert_eq!(self.state(), before, "{said}: something was changed");
    }

    /// Everything below, with inode, mode and content.
    fn state(&self) -> Vec<(PathBuf, u64, u32, Vec<u8>)> {
        let mut found = Vec::new();
        let mut open = vec![self.0.path().to_owned()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let metadata = path.symlink_metadata().unwrap();
                if metadata.is_dir() {
                    open.push(path.clone());
                }
                let content = if metadata.is_file() {
                    fs::read(&path).unwrap()
                } else {
                    Vec::new()
                };
                found.push((path, metadata.ino(), metadata.mode(), content));
            }
        }
        found.sort();
        found
    }
}

fn executable(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn types(list: &Value) -> Vec<&str> {
    let plugins = list["plugins"].as_array().unwrap();
    plugins
        .iter()
        .map(|plugin| plugin["type"].as_str().unwrap())
        .collect()
}

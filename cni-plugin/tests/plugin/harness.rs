//! A node with one folder of namespaces and one of records, and a runtime that calls the plugin.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sandbox_record::{Record, RecordFolder};

use crate::outcome::Outcome;

pub const PLUGIN: &str = env!("CARGO_BIN_EXE_podconfig-cni");
pub const VERSIONS: [&str; 5] = cni_plugin::SUPPORTED_VERSIONS;
pub const ARGS: &str =
    "IgnoreUnknown=1;K8S_POD_NAMESPACE=tenant-a;K8S_POD_NAME=web-0;K8S_POD_UID=11-22";

pub struct Node {
    home: tempfile::TempDir,
}

impl Node {
    pub fn new() -> Self {
        let home = tempfile::tempdir_in("/dev/shm").unwrap();
        fs::create_dir(home.path().join("netns")).unwrap();
        Self { home }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub fn netns_path(&self, name: &str) -> PathBuf {
        self.home.path().join("netns").join(name)
    }

    /// A network namespace that is pinned under this name.
    pub fn netns(&self, name: &str) -> PathBuf {
        let path = self.netns_path(name);
        File::create(&path).unwrap();
        let mut unshare = Command::new("unshare");
        unshare.arg(format!("--net={}", path.display())).arg("true");
        assert!(
            unshare.status().unwrap().success(),
            "these tests need root and unshare(1)"
        );
        path
    }

    pub fn end_netns(&self, name: &str) {
        let path = self.netns_path(name);
        assert!(
            Command::new("umount")
                .arg(&path)
                .status()
                .unwrap()
                .success()
        );
        fs::remove_file(path).unwrap();
    }

    pub fn folder(&self) -> RecordFolder {
        RecordFolder::new(self.path("records"))
    }

    pub fn record(&self) -> Option<Record> {
        self.folder().read("c0ffee.eth0.json").ok()
    }

    /// What is in the record folder, temporary files included.
    pub fn files(&self) -> usize {
        fs::read_dir(self.path("records")).map_or(0, Iterator::count)
    }

    /// A call with everything right, for a sandbox that exists.
    pub fn call(&self, command: &str) -> Call {
        let path = self.netns_path("pod");
        let path = if path.exists() {
            path
        } else {
            self.netns("pod")
        };
        Call::new(command, &path, &self.path("records"))
    }

    /// A sandbox with its record.
    pub fn with_record() -> Self {
        let node = Self::new();
        node.call("ADD").run().passes_through();
        assert!(node.record().is_some());
        node
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        for entry in fs::read_dir(self.path("netns"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let _ = Command::new("umount")
                .args(["-l", "-q"])
                .arg(entry.path())
                .status();
        }
    }
}

/// One call. Fields of the configuration are JSON text, so that tests can write what no writer would.
pub struct Call {
    env: BTreeMap<String, OsString>,
    config: Vec<(String, String)>,
    stdin: Option<Vec<u8>>,
}

impl Call {
    fn new(command: &str, netns: &Path, records: &Path) -> Self {
        let call = Self {
            env: BTreeMap::new(),
            config: Vec::new(),
            stdin: None,
        };
        call.env("CNI_COMMAND", command)
            .env("CNI_CONTAINERID", "c0ffee")
            .env("CNI_NETNS", netns)
            .env("CNI_IFNAME", "eth0")
            .env("CNI_ARGS", ARGS)
            .env("CNI_PATH", "/opt/cni/bin")
            .config("cniVersion", "\"1.1.0\"")
            .config("name", "\"cluster\"")
            .config("type", "\"podconfig-cni\"")
            .config("recordsDir", &format!("{records:?}"))
            .config("prevResult", RESULT)
    }

    /// An empty value is an unset variable.
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    pub fn config(mut self, key: &str, value: &str) -> Self {
        self.config.retain(|(name, _)| name != key);
        self.config.push((key.into(), value.into()));
        self
    }

    pub fn without(mut self, key: &str) -> Self {
        self.config.retain(|(name, _)| name != key);
        self
    }

    /// Also the result's own version.
    pub fn version(self, version: &str) -> Self {
        let result = RESULT.replace("1.1.0", version);
        self.config("cniVersion", &format!("{version:?}"))
            .config("prevResult", &result)
    }

    pub fn stdin(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(text.into());
        self
    }

    pub fn text(&self) -> Vec<u8> {
        let members: Vec<String> = self
            .config
            .iter()
            .map(|(key, value)| format!("{key:?}: {value}"))
            .collect();
        let whole = format!("{{{}}}", members.join(", ")).into_bytes();
        self.stdin.clone().unwrap_or(whole)
    }

    pub fn command(&self) -> Command {
        self.around(Command::new(PLUGIN))
    }

    /// The same call with the plugin as the last argument of another program.
    pub fn around(&self, mut command: Command) -> Command {
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .envs(&self.env);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn run(&self) -> Outcome {
        self.run_in(self.command())
    }

    pub fn run_in(&self, mut command: Command) -> Outcome {
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let text = self.text();
        let writer = std::thread::spawn(move || stdin.write_all(&text));
        let output = child.wait_with_output().unwrap();
        drop(writer.join().unwrap());
        Outcome::from(output)
    }
}

/// What a primary plugin printed, in nobody's canonical form.
pub const RESULT: &str = "{ \"cniVersion\" : \"1.1.0\",\n\t\"interfaces\":[ {\"name\":\"eth0\",\"sandbox\":\"/x\"} ],\r\n  \
     \"ips\": [{\"address\":\"10.1.2.3/24\",\"gateway\":\"10.1.2.1\"},{\"address\":\"fd00::3/64\"}], \
     \"dns\":{}, \"odd\":[1.0E+02,-0,1e999,\"\\u00e9\u{e9}\\ud800 \\/\"],\"dup\":1,\"dup\":2 }";

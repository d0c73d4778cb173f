//! A throwaway node: network, mount and pid namespaces of its own, with a private `/run`.
//! Its holder lives as long as a pipe of the test is open, so nothing outlives a killed test run.

use std::{
    cell::{Cell, RefCell},
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;

use super::{daemon::Daemon, wait::set_step_in};

/// Runs as pid 1 of the node; `cat` ends with the test's end of the pipe, and takes everything with it.
const HOLDER: &str = r#"
set -e
read -r outer rest </proc/self/stat
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/netns /run/podconfig/objects /run/podconfig/records /run/podconfig/reports
chmod 700 /run/podconfig/records
mount --bind /run/netns /run/netns
mount --make-shared /run/netns
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
[ ! -e /proc/sys/net/ipv6 ] || echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
echo "$outer"
exec cat >/dev/null
"#;

pub struct TestNode {
    holder: Child,
    pid: u32,
    /// What pods and uids are numbered with.
    counter: Cell<u32>,
    background: RefCell<Vec<Child>>,
    daemon: RefCell<Option<Daemon>>,
}

impl TestNode {
    pub fn new() -> Self {
        let mut holder = Command::new("unshare")
            .args([
                "--net",
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "sh",
                "-c",
                HOLDER,
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare (util-linux) is there");
        let mut line = String::new();
        let said = holder.stdout.take().expect("stdout is piped");
        BufReader::new(said)
            .read_line(&mut line)
            .expect("the holder speaks");
        let pid = line
            .trim()
            .parse()
            .expect("node tests need root, to make namespaces: run `make test` as root");
        set_step_in(format!("nsenter -t {pid} -n -m -p"));
        Self {
            holder,
            pid,
            counter: Cell::new(0),
            background: RefCell::default(),
            daemon: RefCell::default(),
        }
    }

    /// Its pid 1, as the test sees it.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// A file of the node, as the test sees it.
    pub fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.pid))
    }

    pub fn next_number(&self) -> u32 {
        self.counter.set(self.counter.get() + 1);
        self.counter.get()
    }

    /// A program on the node.
    pub fn command(&self, program: &str) -> Command {
        self.command_in(&format!("/proc/{}/ns/net", self.pid), program)
    }

    /// A program on the node with another network namespace: a path as the test sees it.
    pub fn command_in(&self, netns: &str, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["-t", &self.pid.to_string(), "-m", "-p"])
            .arg(format!("--net={netns}"))
            .args(["--", program]);
        command
    }

    /// The words must succeed; what they print.
    pub fn run(&self, words: &[&str]) -> String {
        expect_success(words, self.try_run(words))
    }

    pub fn try_run(&self, words: &[&str]) -> Output {
        self.command(words[0])
            .args(&words[1..])
            .output()
            .expect("nsenter runs")
    }

    /// Several lines of shell, stopping at the first that fails.
    pub fn shell(&self, script: &str) -> String {
        self.run(&["sh", "-ec", script])
    }

    /// `ip -j …` in the node's network namespace.
    pub fn ip(&self, words: &[&str]) -> Value {
        json(self.run(&[&["ip", "-j", "-d"], words].concat()))
    }

    /// `ip -n podconfig -j …`; nothing at all while there is no switch.
    pub fn switch_ip(&self, words: &[&str]) -> Value {
        self.in_switch(&[&["ip", "-n", "podconfig", "-j", "-d"], words].concat())
    }

    /// `bridge -n podconfig -j …`.
    pub fn switch_bridge(&self, words: &[&str]) -> Value {
        self.in_switch(&[&["bridge", "-n", "podconfig", "-j", "-d"], words].concat())
    }

    fn in_switch(&self, words: &[&str]) -> Value {
        if !self.has_switch() {
            return Value::Array(Vec::new());
        }
        json(self.run(words))
    }

    pub fn has_switch(&self) -> bool {
        self.switch_path().exists()
    }

    pub fn switch_path(&self) -> PathBuf {
        self.path("/run/netns/podconfig")
    }

    /// A bridge of the node for `hostBridge`.
    pub fn add_bridge(&self, name: &str, address: &str) {
        self.run(&["ip", "link", "add", name, "type", "bridge"]);
        self.run(&["ip", "address", "add", address, "dev", name]);
        self.run(&["ip", "link", "set", name, "up"]);
    }

    /// What kube-proxy and a host firewall make of a node.
    pub fn drop_forwarded_and_filter_bridges(&self) {
        self.shell(
            "for f in iptables ip6tables arptables; do echo 1 >/proc/sys/net/bridge/bridge-nf-call-$f; done
             nft add table inet wall
             nft 'add chain inet wall forward { type filter hook forward priority 0; policy drop; }'",
        );
    }

    /// Runs `deed` with the node's network namespace around it.
    pub fn in_net<T: Send>(&self, deed: impl FnOnce() -> T + Send) -> T {
        super::enter::with_netns(&PathBuf::from(format!("/proc/{}/ns/net", self.pid)), deed)
    }

    /// Keeps a child process that ends with the node.
    pub fn keep(&self, child: Child) {
        self.background.borrow_mut().push(child);
    }

    /// Keeps a daemon that ends with the node.
    pub fn keep_daemon(&self, daemon: Daemon) {
        self.daemon.replace(Some(daemon));
    }

    /// Writes a manifest by rename, as careful people do.
    pub fn apply(&self, name: &str, yaml: &str) {
        let folder = self.path("/run/podconfig/objects");
        let hidden = folder.join(format!(".{name}.new"));
        fs::write(&hidden, yaml).expect("the manifest folder takes files");
        fs::rename(&hidden, folder.join(format!("{name}.yaml"))).expect("the manifest is renamed");
    }

    pub fn withdraw(&self, name: &str) {
        let file = self
            .path("/run/podconfig/objects")
            .join(format!("{name}.yaml"));
        fs::remove_file(file).expect("the manifest is there to be removed");
    }

    /// The PodReport of a pod.
    pub fn report(&self, namespace: &str, pod: &str) -> Option<Value> {
        self.yaml(&format!("{namespace}/podreport-{pod}.yaml"))
    }

    /// The PodConfig as reported, with its `status`.
    pub fn status(&self, namespace: &str, config: &str) -> Option<Value> {
        self.yaml(&format!("{namespace}/podconfig-{config}.yaml"))
    }

    /// What the daemon could not take from the manifest folder, as text.
    pub fn refused(&self) -> String {
        fs::read_to_string(self.path("/run/podconfig/reports/refused.yaml")).unwrap_or_default()
    }

    fn yaml(&self, file: &str) -> Option<Value> {
        let text = fs::read_to_string(self.path("/run/podconfig/reports").join(file)).ok()?;
        match serde_saphyr::from_str(&text) {
            Ok(value) => Some(value),
            Err(error) => panic!("{file} is torn or no YAML: {error}\n{text}"),
        }
    }

    /// The record files of the node, in no order.
    pub fn records(&self) -> Vec<PathBuf> {
        let folder = fs::read_dir(self.path("/run/podconfig/records"))
            .expect("the record folder is readable");
        folder
            .map(|entry| entry.expect("an entry is readable").path())
            .filter(|path| {
                !path
                    .file_name()
                    .is_some_and(|n| n.as_encoded_bytes().starts_with(b"."))
            })
            .collect()
    }

    /// A record made by hand, with the mode that the plugin gives.
    pub fn plant_record(&self, name: &str, content: &[u8]) {
        let path = self.path("/run/podconfig/records").join(name);
        fs::write(&path, content).expect("the record folder takes files");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode can be set");
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("PODCONFIG_TEST_HOLD").is_some() {
            eprintln!(
                "the node is held; step in: nsenter -t {} -n -m -p",
                self.pid
            );
            loop {
                std::thread::park();
            }
        }
        drop(self.daemon.take());
        if let Some(mut pipe) = self.holder.stdin.take() {
            let _ = pipe.flush();
        }
        let _ = self.holder.wait();
        for child in self.background.get_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What a program printed that had to succeed.
pub fn expect_success(words: &[&str], output: Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    let hint = if errors.contains("Unknown device type") {
        "This kernel cannot make such a link; `make test` tells the story on one that can."
    } else {
        ""
    };
    assert!(
        output.status.success(),
        "{}: {}\n{}{errors}{hint}",
        words.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stdout),
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// iproute2 prints nothing at all instead of an empty list.
pub fn json(text: String) -> Value {
    if text.trim().is_empty() {
        return Value::Array(Vec::new());
    }
    let mut value: Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"));
    // Where it filters by itself, it leaves an empty object for each entry that it hides.
    if let Some(entries) = value.as_array_mut() {
        entries.retain(|entry| entry.as_object().is_none_or(|fields| !fields.is_empty()));
    }
    value
}

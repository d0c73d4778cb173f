//! Pods of a throwaway node: a network namespace with a process in it, recorded by a real CNI chain.

use std::{
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

use super::{
    chain::{self, Attachment},
    frame::{Mac, mac},
    node::{TestNode, expect_success, json as parse},
    wait::{eventually, seen},
};

pub struct TestPod<'n> {
    pub node: &'n TestNode,
    pub attachment: Attachment,
    result: Value,
    start: Start,
    labels: Value,
    annotations: Value,
    /// Further members of its manifest: `spec`, `status`.
    said: Value,
}

/// What runs when a sandbox is made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    /// Debian's bridge plugin, for an `eth0`, and the recorder.
    Wired,
    /// The recorder alone.
    Bare,
    /// The recorder alone, in a network namespace that a user namespace owns.
    Contained,
    /// Nobody: the recorder is not in the chain.
    Unplugged,
}

impl TestNode {
    /// A pod with the label `pod: <its name>`, as the runtime starts it.
    pub fn pod(&self, namespace: &str, name: &str) -> TestPod<'_> {
        self.start(namespace, name, Start::Wired, Value::Null)
    }

    /// A pod with no `eth0` and no process: only what the recorder sees.
    pub fn bare_pod(&self, namespace: &str, name: &str) -> TestPod<'_> {
        self.start(namespace, name, Start::Bare, Value::Null)
    }

    /// The same with more in its manifest: `spec`, `status`.
    pub fn bare_pod_saying(&self, namespace: &str, name: &str, said: Value) -> TestPod<'_> {
        self.start(namespace, name, Start::Bare, said)
    }

    /// The same as a runtime makes it for `hostUsers: false`.
    pub fn user_namespace_pod(&self, namespace: &str, name: &str, said: Value) -> TestPod<'_> {
        self.start(namespace, name, Start::Contained, said)
    }

    /// A pod with one address of its own that the recorder has not seen.
    pub fn unplugged_pod(&self, namespace: &str, name: &str, said: Value) -> TestPod<'_> {
        self.start(namespace, name, Start::Unplugged, said)
    }

    fn start(&self, namespace: &str, name: &str, start: Start, said: Value) -> TestPod<'_> {
        let number = self.next_number();
        let attachment = Attachment {
            namespace: namespace.into(),
            name: name.into(),
            uid: format!("00000000-0000-4000-8000-{number:012}"),
            container: format!("{number:064x}"),
            netns: format!("/run/netns/cni-{number:08x}"),
        };
        let labels = json!({"pod": name});
        let mut pod = TestPod {
            node: self,
            attachment,
            result: Value::Null,
            start,
            labels,
            annotations: json!({}),
            said,
        };
        pod.write_manifest();
        pod.create_sandbox();
        pod
    }
}

impl TestPod<'_> {
    fn create_sandbox(&mut self) {
        match self.start {
            Start::Contained => self.contain(),
            _ => drop(self.node.run(&["ip", "netns", "add", self.netns_name()])),
        }
        match self.start {
            Start::Wired => {
                self.run(&["ip", "link", "set", "lo", "up"]);
                self.spawn(&["sleep", "infinity"]);
                self.result = chain::add(self.node, &self.attachment);
            }
            Start::Bare | Start::Contained => {
                let previous = chain::made_up_result(&self.attachment);
                self.result = chain::add_recorder(self.node, &self.attachment, &previous);
            }
            Start::Unplugged => {
                let address = format!("{}/16", self.primary_address());
                self.run(&["ip", "address", "add", &address, "dev", "lo"]);
            }
        }
    }

    fn contain(&self) {
        let path = &self.attachment.netns;
        self.node.shell(&format!(
            "touch {path}
             unshare --user --map-root-user --net sleep infinity & pid=$!
             until [ \"$(readlink /proc/$pid/ns/net)\" != \"$(readlink /proc/self/ns/net)\" ]; do sleep 0.02; done
             mount --bind /proc/$pid/ns/net {path}
             kill $pid"
        ));
    }

    /// The address of a pod that the recorder has not seen.
    pub fn primary_address(&self) -> String {
        let number = &self.attachment.container[60..];
        let number = u16::from_str_radix(number, 16).expect("containers are numbered");
        format!("10.88.{}.{}", number >> 8, number & 0xff)
    }

    /// The recorder comes into the chain after all, and the runtime checks the pod.
    pub fn check(&mut self) {
        self.result = chain::made_up_result(&self.attachment);
        chain::check_recorder(self.node, &self.attachment, &self.result);
    }

    pub fn netns_name(&self) -> &str {
        self.attachment.netns.rsplit('/').next().unwrap_or_default()
    }

    /// The namespace, as the test sees it.
    pub fn netns(&self) -> PathBuf {
        self.node.path(&self.attachment.netns)
    }

    fn manifest_name(&self) -> String {
        format!("pod-{}-{}", self.attachment.namespace, self.attachment.name)
    }

    fn write_manifest(&self) {
        let Attachment {
            namespace,
            name,
            uid,
            ..
        } = &self.attachment;
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"namespace": namespace, "name": name, "uid": uid, "labels": self.labels,
                "annotations": self.annotations},
        });
        for (member, value) in self.said.as_object().into_iter().flatten() {
            pod[member] = value.clone();
        }
        self.node.apply(&self.manifest_name(), &pod.to_string());
    }

    pub fn relabel(&mut self, labels: Value) {
        self.labels = labels;
        self.write_manifest();
    }

    /// Other annotations.
    pub fn annotate(&mut self, annotations: Value) {
        self.annotations = annotations;
        self.write_manifest();
    }

    /// Says something else in the manifest.
    pub fn say(&mut self, said: Value) {
        self.said = said;
        self.write_manifest();
    }

    /// A program in the pod's network namespace, as root there.
    pub fn command(&self, program: &str) -> Command {
        self.node
            .command_in(&self.netns().to_string_lossy(), program)
    }

    pub fn run(&self, words: &[&str]) -> String {
        expect_success(words, self.try_run(words))
    }

    pub fn try_run(&self, words: &[&str]) -> Output {
        self.command(words[0])
            .args(&words[1..])
            .output()
            .expect("nsenter runs")
    }

    pub fn shell(&self, script: &str) -> String {
        self.run(&["sh", "-ec", script])
    }

    /// A process that lives as long as the node or the sandbox.
    pub fn spawn(&self, words: &[&str]) {
        let mut command = self.command(words[0]);
        command
            .args(&words[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.node.keep(command.spawn().expect("nsenter runs"));
    }

    /// `ip -j …` in the pod.
    pub fn ip(&self, words: &[&str]) -> Value {
        parse(self.run(&[&["ip", "-j", "-d"], words].concat()))
    }

    /// The link as `ip -j -d address` shows it.
    pub fn find(&self, link: &str) -> Option<Value> {
        let all = self.ip(&["address", "show"]);
        let found = all.as_array()?.iter().find(|one| one["ifname"] == link);
        found.cloned().map(settled)
    }

    /// The MAC address of a link. Waits for it: a link can be deleted and created again for a moment.
    pub fn mac_of(&self, link: &str) -> Mac {
        let found = eventually(&format!("{link} exists"), || {
            self.find(link).ok_or_else(|| self.told())
        });
        mac(found["address"].as_str().expect("a MAC address"))
    }

    /// Waits until the link has this MTU.
    pub fn carries(&self, link: &str, mtu: u64) {
        eventually(&format!("{link} carries {mtu}"), || {
            let found = self.find(link).map(|link| link["mtu"].clone());
            seen(found == Some(mtu.into()), format!("{found:?}"))
        });
    }

    /// The link, there and up; fails when it does not come.
    pub fn link(&self, link: &str) -> Value {
        let name = &self.attachment.name;
        eventually(&format!("{link} is up in {name}"), || {
            let found = self.find(link).ok_or_else(|| self.told())?;
            seen(
                found["operstate"] == "UP",
                format!("{found}\n{}", self.told()),
            )?;
            Ok(found)
        })
    }

    /// Waits for the report to say `Ready`; the kernel must agree at once.
    pub fn ready(&self, link: &str) -> Value {
        self.reason(link, "LinkReady");
        match self.find(link) {
            Some(found)
                if found["flags"]
                    .as_array()
                    .is_some_and(|f| f.contains(&"UP".into())) =>
            {
                found
            }
            other => panic!("{link} is reported ready, the kernel says {other:?}"),
        }
    }

    /// Waits until the link is not in the pod.
    pub fn lacks(&self, link: &str) {
        let name = &self.attachment.name;
        eventually(&format!("{link} is gone from {name}"), || {
            let found = self.find(link);
            seen(found.is_none(), format!("{found:?}\n{}", self.told()))
        });
    }

    /// Waits for the report to give this reason for the link; the link as reported.
    pub fn reason(&self, link: &str, reason: &str) -> Value {
        let name = &self.attachment.name;
        eventually(&format!("{link} of {name} is reported {reason}"), || {
            let told = self.reported(link).ok_or_else(|| self.told())?;
            seen(told["reason"] == reason, self.told())?;
            Ok(told)
        })
    }

    /// Waits for that reason, whose message has these words.
    pub fn says(&self, link: &str, reason: &str, words: &str) -> Value {
        let report = self.reason(link, reason);
        let message = report["message"].as_str().unwrap_or_default();
        assert!(message.contains(words), "no {words:?} in {report}");
        report
    }

    pub fn reported(&self, link: &str) -> Option<Value> {
        let report = self.report()?;
        report["status"]["links"]
            .as_array()?
            .iter()
            .find(|one| one["name"] == link)
            .cloned()
    }

    pub fn report(&self) -> Option<Value> {
        self.node
            .report(&self.attachment.namespace, &self.attachment.name)
    }

    fn told(&self) -> String {
        match self.report() {
            Some(report) => report["status"].to_string(),
            None => "no report".into(),
        }
    }

    /// The record that the plugin wrote about this sandbox.
    pub fn record(&self) -> PathBuf {
        // By its name: what else lies in the folder may be a FIFO, or have no end.
        let container = self.attachment.container.as_bytes();
        let mut records = self.node.records().into_iter();
        let ours = records.find(|path| {
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            name.windows(container.len()).any(|part| part == container)
        });
        ours.expect("the plugin wrote a record")
    }

    /// The pod ends in order: DEL, then its namespace goes.
    pub fn delete(self) {
        self.end_sandbox();
        self.node.withdraw(&self.manifest_name());
    }

    /// The runtime says that the sandbox has ended, and leaves its namespace where it is.
    pub fn end_in_cni(&self) {
        chain::delete(self.node, &self.attachment, &self.result, false);
    }

    /// The same, and the pod's object goes.
    pub fn end_but_keep_namespace(&self) {
        self.end_in_cni();
        self.node.withdraw(&self.manifest_name());
    }

    /// DEL, then its namespace goes; its object says what it said.
    pub fn end_sandbox(&self) {
        let wired = self.start == Start::Wired;
        chain::delete(self.node, &self.attachment, &self.result, wired);
        self.kill_processes();
        self.node.run(&["ip", "netns", "delete", self.netns_name()]);
    }

    /// The namespace just goes, as when the runtime is killed; nobody calls DEL.
    pub fn vanish(&self) {
        self.kill_processes();
        self.node.run(&["ip", "netns", "delete", self.netns_name()]);
    }

    fn kill_processes(&self) {
        if self.start == Start::Wired {
            self.node.shell(&format!(
                "ip netns pids {} | xargs -r kill -9 || true",
                self.netns_name()
            ));
        }
    }

    /// The same pod in a new sandbox: another container id and namespace, the same uid.
    pub fn restart_sandbox(&mut self) {
        self.end_sandbox();
        self.start_another();
    }

    /// The same, where the runtime is killed before it calls DEL for the first one.
    pub fn lose_sandbox(&mut self) {
        self.vanish();
        self.start_another();
    }

    /// The same, where even the first one's namespace stays.
    pub fn lose_end_of_sandbox(&mut self) {
        self.start_another();
    }

    fn start_another(&mut self) {
        let number = self.node.next_number();
        self.attachment.container = format!("{number:064x}");
        self.attachment.netns = format!("/run/netns/cni-{number:08x}");
        self.create_sandbox();
    }
}

/// The automatic fe80 address is tentative for a second or two, which is nobody's doing.
fn settled(mut link: Value) -> Value {
    for address in link["addr_info"].as_array_mut().into_iter().flatten() {
        let fields = address.as_object_mut();
        if let Some(fields) = fields.filter(|fields| fields["scope"] == "link") {
            fields.remove("tentative");
        }
    }
    link
}

impl TestNode {
    /// Two bare pods of tenant-a on its bridge blue: a has 10.1.0.1, b has 10.1.0.2.
    pub fn neighbours(&self) -> (TestPod<'_>, TestPod<'_>) {
        self.joined(
            self.bare_pod("tenant-a", "a"),
            self.bare_pod("tenant-a", "b"),
        )
    }

    /// The same two, with an `eth0` each.
    pub fn wired_neighbours(&self) -> (TestPod<'_>, TestPod<'_>) {
        self.joined(self.pod("tenant-a", "a"), self.pod("tenant-a", "b"))
    }

    fn joined<'n>(&self, a: TestPod<'n>, b: TestPod<'n>) -> (TestPod<'n>, TestPod<'n>) {
        self.connect("tenant-a", "a", "data0", "10.1.0.1/24");
        self.connect("tenant-a", "b", "data0", "10.1.0.2/24");
        a.ready("data0");
        b.ready("data0");
        (a, b)
    }
}

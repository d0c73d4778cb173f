//! What Multus attached at pod start, and the annotation does not list any more. podconfig follows the annotation, and
//! knows of Multus' work what `network-status` and Multus' own files say.

use std::path::Path;

use serde_json::json;

use super::{
    annotation::{NETWORKS, STATUS, element, index_of, open_mode, start},
    *,
};
use crate::support::{multus::ByMultus, pod::TestPod};

const PLUGINS: &str = "/usr/lib/cni";

/// A pod with what Multus attached, listed in both annotations.
struct Pod<'n> {
    pod: TestPod<'n>,
    attached: Vec<ByMultus>,
}

impl<'n> Pod<'n> {
    /// `net1`, `net2`, … of these configurations, each of the definition `networks/m<N>`.
    fn with(node: &'n TestNode, folders: &[&Path], configs: &[Value]) -> Self {
        let pod = node.bare_pod("tenant-a", "web");
        let names = (1..=configs.len())
            .map(|number| (format!("networks/m{number}"), format!("net{number}")));
        let attached = names.zip(configs).map(|((definition, interface), config)| {
            pod.attach_by_multus((&definition, &interface), config, folders)
        });
        let attached = attached.collect();
        let mut pod = Self { pod, attached };
        pod.ask(&["net1", "net2", "net3"], &[]);
        pod
    }

    /// The annotations: elements of Multus' interfaces that are there, others, and a status that Multus wrote.
    fn ask(&mut self, listed: &[&str], more: &[Value]) {
        self.ask_with(listed, more, self.attached.len());
    }

    /// The status lists so many of Multus' interfaces from the last one on.
    fn ask_with(&mut self, listed: &[&str], more: &[Value], in_status: usize) {
        let listed = self
            .attached
            .iter()
            .filter(|one| listed.contains(&&*one.interface));
        let elements = listed.map(|one| element(&one.network, &one.interface));
        let elements: Vec<Value> = elements.chain(more.iter().cloned()).collect();
        let own = json!({"name": "cluster", "interface": "eth0", "default": true, "dns": {}});
        let skipped = self.attached.len() - in_status;
        let status = self
            .attached
            .iter()
            .skip(skipped)
            .map(|one| one.status.clone());
        let status: Vec<Value> = [own].into_iter().chain(status).collect();
        self.pod.annotate(json!({
            NETWORKS: json!(elements).to_string(),
            STATUS: json!(status).to_string(),
        }));
    }

    fn has_file(&self, number: usize) -> bool {
        self.pod.node.path(&self.attached[number - 1].file).exists()
    }

    /// Waits until the store says that it is detached, and its file is gone.
    fn is_detached(&self, number: usize) {
        let attached = &self.attached[number - 1];
        eventually("the store says that it is detached", || {
            let states = states(self.pod.node);
            let row = format!("{} Detached", attached.interface);
            seen(states.contains(&row), states)
        });
        assert!(!self.has_file(number));
        assert_eq!(self.pod.find(&attached.interface), None);
    }
}

/// Interface and state of each entry of the store.
fn states(node: &TestNode) -> String {
    let table = node.run(&[
        &crate::support::binary("RECONFD_BIN", "reconfd"),
        "attachments",
        "--state-dir",
        "/run/podconfig/state",
        "-o",
        "json",
    ]);
    let listing: Value = serde_json::from_str(&table).unwrap();
    let rows = listing["attachments"].as_array().unwrap();
    let row = |row: &Value| {
        format!(
            "{} {}",
            row["interface"].as_str().unwrap(),
            row["state"].as_str().unwrap()
        )
    };
    rows.iter().map(row).collect::<Vec<_>>().join("\n")
}

fn config(subnet: &str) -> Value {
    let mut config: Value = serde_json::from_str(&macvlan(subnet)).unwrap();
    config["cniVersion"] = "0.3.0".into();
    config
}

fn two() -> [Value; 2] {
    let tuned =
        json!({"cniVersion": "1.0.0", "plugins": [config("10.78.1.0/24"), {"type": "tuning"}]});
    [config("10.78.0.0/24"), tuned]
}

/// A script that makes its interface, and is slow or fails as the node's files say.
const SCRIPT: &str = r#"cat >/dev/null
case $CNI_COMMAND in
ADD) ip -n ${CNI_NETNS#/run/netns/} link add $CNI_IFNAME type bridge
  echo '{"cniVersion":"1.0.0","interfaces":[{"name":"'$CNI_IFNAME'","sandbox":"'$CNI_NETNS'"}]}';;
DEL) echo x >>/var/lib/cni/deletions
  [ ! -e /var/lib/cni/slow ] || sleep 1.5
  [ ! -e /var/lib/cni/broken ] || { echo '{"code": 100, "msg": "out of order"}'; exit 1; }
  nsenter --net=$CNI_NETNS ip link delete $CNI_IFNAME || true;;
esac"#;

fn deletions(node: &TestNode) -> usize {
    node.shell("cat /var/lib/cni/deletions 2>/dev/null || true")
        .lines()
        .count()
}

/// A pod with `net1` of the script.
fn scripted<'n>(node: &'n TestNode, opened: &Opened) -> Pod<'n> {
    let folder = opened.runner.fake("bad", SCRIPT);
    let config = json!({"cniVersion": "1.0.0", "type": "bad"});
    Pod::with(node, &[folder.parent().unwrap()], &[config])
}

#[test]
fn what_is_not_listed_any_more_is_detached_and_the_rest_is_left_alone() {
    let node = TestNode::new();
    let _opened = open_mode(&node, "strict");
    let mut pod = Pod::with(&node, &[Path::new(PLUGINS)], &two());
    let index = index_of(&pod.pod, "net2");
    let before = reservations(&node);
    assert_eq!(before.lines().count(), 2, "{before}");
    // Nothing is touched as long as it is listed.
    pod.ask(&["net1", "net2"], &[element("fast", "ens58")]);
    pod.pod.ready("ens58");
    assert!(pod.has_file(1) && pod.pod.find("net1").is_some());
    pod.ask(&["net2"], &[element("fast", "ens58")]);
    pod.is_detached(1);
    assert!(
        !reservations(&node).contains("/10.78.0."),
        "{}",
        reservations(&node)
    );
    assert_eq!(index_of(&pod.pod, "net2"), index);
    assert!(pod.has_file(2));
    // The annotation as a whole may go.
    pod.ask(&[], &[]);
    pod.is_detached(2);
    pod.pod.lacks("ens58");
    assert_eq!(reservations(&node), "");
    // What is stored says so as long as the status lists them.
    pod.ask_with(&[], &[], 0);
    is_clean(&node);
}

#[test]
fn interfaces_are_added_and_removed_in_the_same_operation() {
    let node = TestNode::new();
    let _opened = open_mode(&node, "strict");
    let mut pod = Pod::with(&node, &[Path::new(PLUGINS)], &two()[..1]);
    pod.ask(&[], &[element("fast", "eth321")]);
    pod.pod.ready("eth321");
    pod.is_detached(1);
    assert!(pod.pod.reported("net1").is_none());
}

#[test]
fn an_element_that_comes_back_is_attached_once_multus_entry_is_gone() {
    let node = TestNode::new();
    let opened = open_mode(&node, "match");
    let mut pod = scripted(&node, &opened);
    node.shell("touch /var/lib/cni/slow");
    pod.ask(&[], &[]);
    eventually("DEL runs", || seen(deletions(&node) > 0, "not yet"));
    // It is another definition's now, and waits for DEL and for the status.
    pod.ask(&[], &[element("fast", "net1")]);
    pod.pod.reason("net1", "Reconciling");
    pod.is_detached(1);
    pod.pod.reason("net1", "Reconciling");
    pod.ask_with(&[], &[element("fast", "net1")], 0);
    pod.pod.ready("net1");
    assert_eq!(pod.pod.link("net1")["linkinfo"]["info_kind"], "macvlan");
    assert_eq!(states(&node), "net1 Attached");
    assert_eq!(deletions(&node), 1);
}

#[test]
fn a_del_that_fails_is_reported_and_repeated_until_it_succeeds() {
    let node = TestNode::new();
    let opened = open_mode(&node, "match");
    let mut pod = scripted(&node, &opened);
    node.shell("touch /var/lib/cni/broken");
    pod.ask(&[], &[]);
    let report = pod.pod.reason("net1", "PluginFailed");
    let message = report["message"].as_str().unwrap();
    assert!(
        message.contains("out of order") && message.contains("Multus"),
        "{report}"
    );
    assert!(pod.has_file(1) && pod.pod.find("net1").is_some());
    eventually("DEL is repeated", || seen(deletions(&node) > 1, "not yet"));
    node.shell("rm /var/lib/cni/broken");
    pod.is_detached(1);
    eventually("the report says nothing of it", || {
        let report = pod.pod.reported("net1");
        seen(report.is_none(), format!("{report:?}"))
    });
}

#[test]
fn a_daemon_that_is_killed_during_del_is_followed_by_one_that_ends_it() {
    let node = TestNode::new();
    let opened = open_mode(&node, "match");
    let mut pod = scripted(&node, &opened);
    node.shell("touch /var/lib/cni/slow");
    pod.ask(&[], &[]);
    eventually("DEL runs", || seen(deletions(&node) > 0, "not yet"));
    opened.daemon.kill();
    assert_eq!(states(&node), "net1 Deleting");
    // Listed again meanwhile: what has begun is ended all the same.
    pod.ask(&["net1"], &[]);
    let _daemon = start(&node, "match");
    pod.is_detached(1);
    // The next daemon does not begin again.
    let runs = deletions(&node);
    _daemon.kill();
    let _daemon = start(&node, "match");
    pod.pod.reason("net1", "Reconciling");
    pod.ask_with(&[], &[], 0);
    is_clean(&node);
    assert_eq!(deletions(&node), runs);
}

#[test]
fn a_file_that_is_missing_torn_or_of_another_attachment_is_reported_and_nothing_is_done() {
    let node = TestNode::new();
    let opened = open_mode(&node, "match");
    let mut pod = scripted(&node, &opened);
    let file = pod.attached[0].file.clone();
    let other = "s/\"containerId\":\"00/\"containerId\":\"01/";
    let faults = [
        format!("mv {file} /run/kept"),
        format!("head -c 100 /run/kept >{file} && chmod 0600 {file}"),
        format!("sed '{other}' /run/kept >{file}"),
        format!("sed 's/cniCacheV1/other/' /run/kept >{file}"),
        format!("ln -sf /run/kept {file}"),
        format!(
            "rm {file} && cp /run/kept {file} && cp {file} {file}1 && mv {file}1 $(dirname {file})/x-$(basename {file})"
        ),
    ];
    for fault in faults {
        node.shell(&fault);
        pod.ask(&[], &[]);
        pod.pod.says("net1", "DetachIncomplete", "Multus");
        assert!(pod.pod.find("net1").is_some());
        assert_eq!(states(&node), "", "{fault}");
        pod.ask(&["net1"], &[]);
        eventually("the report says nothing of it", || {
            let report = pod.pod.reported("net1");
            seen(report.is_none(), format!("{report:?}"))
        });
    }
    assert_eq!(deletions(&node), 0);
    // Another program has detached it: there is nothing left to do.
    node.shell(&format!("rm $(dirname {file})/*"));
    pod.pod.run(&["ip", "link", "delete", "net1"]);
    pod.ask(&[], &[element("fast", "ens58")]);
    pod.pod.ready("ens58");
    assert!(pod.pod.reported("net1").is_none());
}

#[test]
fn a_plugin_that_the_nodes_list_does_not_name_is_not_run() {
    let node = TestNode::new();
    let opened = open_mode(&node, "match");
    let folder = opened.runner.fake("unlisted", SCRIPT);
    let config = json!({"cniVersion": "1.0.0", "type": "unlisted"});
    let mut pod = Pod::with(&node, &[folder.parent().unwrap()], &[config]);
    pod.ask(&[], &[]);
    pod.pod.says("net1", "PluginNotFound", "unlisted");
    assert!(pod.has_file(1) && pod.pod.find("net1").is_some());
    assert_eq!((states(&node), deletions(&node)), (String::new(), 0));
}

/// DEL by name alone would answer success, and leave it.
#[test]
fn an_interface_that_the_tenant_has_renamed_is_detached() {
    let node = TestNode::new();
    let _opened = open_mode(&node, "match");
    let mut pod = Pod::with(&node, &[Path::new(PLUGINS)], &two()[..1]);
    pod.pod
        .shell("ip link set net1 down && ip link set net1 name mine && ip link set mine up");
    pod.ask(&[], &[]);
    pod.is_detached(1);
    pod.pod.lacks("mine");
    assert_eq!(reservations(&node), "");
}

/// The annotation of a pod, and so its status, may be written by who runs it.
#[test]
fn a_forged_status_detaches_nothing() {
    let node = TestNode::new();
    let _opened = open_mode(&node, "match");
    let victim = Pod::with(&node, &[Path::new(PLUGINS)], &two()[..1]);
    let mut pod = node.pod("tenant-a", "hostile");
    let forged = ["eth0", "lo", "../net1", "", "net1", "net1-x", "all"]
        .map(|interface| json!({"name": "networks/m1", "interface": interface, "dns": {}}));
    pod.annotate(json!({
        NETWORKS: json!([element("fast", "ens58")]).to_string(),
        STATUS: json!(forged).to_string(),
    }));
    pod.ready("ens58");
    assert!(pod.find("eth0").is_some() && pod.find("lo").is_some());
    assert!(victim.has_file(1) && victim.pod.find("net1").is_some());
    assert_eq!(states(&node), "ens58 Attached");
}

#[test]
fn a_pod_that_ends_takes_what_is_stored_of_multus_with_it() {
    let node = TestNode::new();
    let opened = open_mode(&node, "match");
    let mut pod = scripted(&node, &opened);
    pod.ask(&[], &[]);
    pod.is_detached(1);
    pod.pod.delete();
    is_clean(&node);
    assert_eq!(deletions(&node), 1);
}

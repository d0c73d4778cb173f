use serde_json::json;

use super::*;
use crate::support::pod::TestPod;

pub const NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";
pub const STATUS: &str = "k8s.v1.cni.cncf.io/network-status";
const WHOLE: &str = "networks annotation";
const RULE: &str = "{cni: {definitions: [{namespace: networks, names: [fast, slow, static]}], cniArgs: [logicNetworkName]}, addresses: [10.77.0.0/16], macs: Any}";

/// A node whose daemon reads the annotation in this mode.
pub fn open_mode(node: &TestNode, mode: &str) -> Opened {
    let runner = prepare(node);
    node.apply("policy", &policy("telco", "{}", &format!("[{RULE}]")));
    define(node, "fast", &macvlan("10.77.0.0/24"));
    define(node, "slow", &macvlan("10.77.1.0/24"));
    Opened {
        daemon: start(node, mode),
        runner,
    }
}

pub fn start(node: &TestNode, mode: &str) -> Daemon {
    let flags = [FLAGS.as_slice(), &["--networks-annotation", mode]].concat();
    node.daemon_with(&Options {
        more: &flags,
        ..Options::default()
    })
}

fn ask(pod: &mut TestPod<'_>, elements: Value) {
    pod.annotate(json!({NETWORKS: elements.to_string()}));
}

pub fn element(name: &str, interface: &str) -> Value {
    json!({"name": name, "namespace": "networks", "interface": interface})
}

pub fn index_of(pod: &TestPod<'_>, link: &str) -> Value {
    pod.link(link)["ifindex"].clone()
}

/// Its own address is in this network.
fn is_in(pod: &TestPod<'_>, link: &str, beginning: &str) {
    let report = pod.reported(link).unwrap();
    assert!(address_of(&report).starts_with(beginning), "{report}");
}

#[test]
fn an_element_that_is_added_is_attached_and_one_that_is_removed_is_detached() {
    let node = TestNode::new();
    let _opened = open_mode(&node, "match");
    let mut pod = node.bare_pod("tenant-a", "web");
    ask(&mut pod, json!([element("fast", "ens58")]));
    pod.ready("ens58");
    assert_eq!(pod.link("ens58")["linkinfo"]["info_kind"], "macvlan");
    let report = pod.reported("ens58").unwrap();
    assert_eq!(
        (&report["kind"], &report["podConfig"]),
        (&json!("cni"), &json!(NETWORKS))
    );
    is_in(&pod, "ens58", "10.77.0.");
    // Both at once, and what stays is not touched.
    let index = index_of(&pod, "ens58");
    ask(
        &mut pod,
        json!([element("fast", "ens58"), element("slow", "ens59")]),
    );
    pod.ready("ens59");
    ask(
        &mut pod,
        json!([element("fast", "ens58"), element("fast", "ens60")]),
    );
    pod.ready("ens60");
    pod.lacks("ens59");
    assert_eq!(index_of(&pod, "ens58"), index);
    pod.annotate(json!({}));
    pod.lacks("ens58");
    pod.lacks("ens60");
    is_clean(&node);
}

#[test]
fn the_flag_is_off_by_default_and_detaches_when_it_is_taken_back() {
    let node = TestNode::new();
    let opened = open_mode(&node, "match");
    let mut pod = node.bare_pod("tenant-a", "web");
    ask(&mut pod, json!([element("fast", "ens58")]));
    pod.ready("ens58");
    opened.daemon.terminate();
    let _daemon = node.daemon_with(&options());
    pod.lacks("ens58");
    is_clean(&node);
}

#[test]
fn ips_and_mac_are_honoured_and_a_changed_element_is_attached_anew() {
    let node = TestNode::new();
    let _opened = open_mode(&node, "strict");
    let with_ips = r#"{"cniVersion": "0.3.0", "type": "macvlan", "master": "up0", "mode": "bridge", "capabilities": {"ips": true}, "ipam": {"type": "static"}}"#;
    define(&node, "static", with_ips);
    let mut pod = node.bare_pod("tenant-a", "web");
    let mut asked = element("static", "ens202");
    asked["ips"] = json!(["10.77.10.111/24"]);
    asked["mac"] = json!("02:03:04:05:06:07");
    ask(&mut pod, json!([asked]));
    let link = pod.ready("ens202");
    assert_eq!(link["address"], "02:03:04:05:06:07");
    assert!(
        link["addr_info"].to_string().contains("10.77.10.111"),
        "{link}"
    );
    asked["ips"] = json!(["10.77.10.112/24"]);
    ask(&mut pod, json!([asked]));
    eventually("the link has the other address", || {
        let link = pod.find("ens202").unwrap_or_default();
        seen(link["addr_info"].to_string().contains("10.77.10.112"), link)
    });
    asked["ips"] = json!(["10.96.0.1/24"]);
    ask(&mut pod, json!([asked]));
    pod.reason("ens202", "NotAllowed");
    pod.lacks("ens202");
    is_clean(&node);
}

#[test]
fn strict_waits_until_each_element_has_a_name() {
    let node = TestNode::new();
    let _opened = open_mode(&node, "strict");
    let mut pod = node.bare_pod("tenant-a", "web");
    ask(&mut pod, json!([element("fast", "ens58")]));
    pod.ready("ens58");
    let index = index_of(&pod, "ens58");
    let unnamed = json!({"name": "slow", "namespace": "networks"});
    ask(&mut pod, json!([element("fast", "ens59"), unnamed]));
    pod.says(WHOLE, "InterfaceUnnamed", "networks/slow");
    // What is attached stays, and is in the report.
    pod.ready("ens58");
    assert!(pod.find("ens59").is_none());
    ask(
        &mut pod,
        json!([element("fast", "ens58"), element("slow", "ens59")]),
    );
    pod.ready("ens59");
    assert_eq!(index_of(&pod, "ens58"), index);
    assert!(pod.reported(WHOLE).is_none());
}

#[test]
fn match_finds_the_interface_of_an_unnamed_element() {
    let node = TestNode::new();
    let opened = open_mode(&node, "match");
    let mut pod = node.bare_pod("tenant-a", "web");
    // Multus attached net1 at pod start; podconfig never touches it.
    pod.run(&["ip", "link", "add", "net1", "type", "bridge"]);
    let status = json!([
        {"name": "cluster", "interface": "eth0", "default": true},
        {"name": "networks/fast", "interface": "net1"},
    ]);
    let unnamed = |name: &str| json!({"name": name, "namespace": "networks"});
    let asked = json!([unnamed("fast"), unnamed("slow"), unnamed("fast")]);
    let annotations = json!({NETWORKS: asked.to_string(), STATUS: status.to_string()});
    pod.annotate(annotations.clone());
    pod.ready("net2");
    pod.ready("net3");
    is_in(&pod, "net2", "10.77.1.");
    is_in(&pod, "net3", "10.77.0.");
    assert!(pod.reported("net1").is_none());
    let index = index_of(&pod, "net3");
    // The next daemon finds the same names.
    opened.daemon.terminate();
    let _daemon = start(&node, "match");
    let asked = json!([unnamed("fast"), unnamed("fast")]);
    pod.annotate(json!({NETWORKS: asked.to_string(), STATUS: status.to_string()}));
    pod.lacks("net2");
    assert_eq!(index_of(&pod, "net3"), index);
    assert_eq!(pod.find("net1").unwrap()["linkinfo"]["info_kind"], "bridge");
}

/// As virt-controller writes it: the name of the interface is a hash, that of a binding plugin has none.
#[test]
fn the_annotation_of_kubevirt_is_followed() {
    let node = TestNode::new();
    let _opened = open_mode(&node, "match");
    let mut pod = node.bare_pod("tenant-a", "virt-launcher");
    let binding =
        json!({"name": "slow", "namespace": "networks", "cni-args": {"logicNetworkName": "passt"}});
    ask(&mut pod, json!([binding]));
    pod.ready("net1");
    let mut hotplugged = element("fast", "pod16477688c0e");
    hotplugged["mac"] = json!("02:7a:00:00:00:01");
    ask(&mut pod, json!([binding, hotplugged]));
    assert_eq!(pod.ready("pod16477688c0e")["address"], "02:7a:00:00:00:01");
    // KubeVirt changes the MAC address inside; that is no drift.
    pod.shell("ip link set pod16477688c0e down && ip link set pod16477688c0e address 02:7a:00:00:00:02 && ip link set pod16477688c0e up");
    ask(&mut pod, json!([binding]));
    pod.lacks("pod16477688c0e");
    pod.ready("net1");
}

#[test]
fn what_the_policy_does_not_allow_takes_nothing_good_with_it() {
    let node = TestNode::new();
    let _opened = open_mode(&node, "match");
    define(&node, "secret", &macvlan("10.77.2.0/24"));
    let mut pod = node.bare_pod("tenant-a", "web");
    let mut args = element("fast", "ens3");
    args["cni-args"] = json!({"other": "1"});
    let mut device = element("fast", "ens4");
    device["default-route"] = json!(["10.77.0.1", "10.77.0.2"]);
    ask(
        &mut pod,
        json!([
            element("secret", "ens1"),
            element("fast", "ens2"),
            args,
            device
        ]),
    );
    pod.says("ens1", "NotAllowed", "networks/secret");
    pod.reason("ens3", "NotAllowed");
    pod.reason("ens4", "Invalid");
    pod.ready("ens2");
    node.withdraw("policy");
    pod.lacks("ens2");
    is_clean(&node);
}

#[test]
fn an_edited_definition_does_nothing() {
    let node = TestNode::new();
    let _opened = open_mode(&node, "match");
    let mut pod = node.bare_pod("tenant-a", "web");
    ask(&mut pod, json!([element("fast", "ens58")]));
    pod.ready("ens58");
    let index = index_of(&pod, "ens58");
    define(&node, "fast", &macvlan("10.77.3.0/24"));
    ask(
        &mut pod,
        json!([element("fast", "ens58"), element("fast", "ens59")]),
    );
    pod.ready("ens59");
    is_in(&pod, "ens59", "10.77.3.");
    pod.reason("ens58", "DefinitionChanged");
    assert_eq!(index_of(&pod, "ens58"), index);
    is_in(&pod, "ens58", "10.77.0.");
    // Without the definition both are detached all the same.
    node.withdraw("definition-fast");
    pod.reason("ens59", "DefinitionChanged");
    ask(&mut pod, json!([]));
    pod.lacks("ens58");
    pod.lacks("ens59");
    is_clean(&node);
}

#[test]
fn an_element_waits_for_its_definition() {
    let node = TestNode::new();
    let _opened = open_mode(&node, "match");
    let mut pod = node.bare_pod("tenant-a", "web");
    ask(&mut pod, json!([element("static", "ens58")]));
    pod.reason("ens58", "DefinitionNotFound");
    define(&node, "static", &macvlan("10.77.4.0/24"));
    pod.ready("ens58");
}

#[test]
fn a_malformed_annotation_changes_nothing_and_is_reported() {
    let node = TestNode::new();
    let _opened = open_mode(&node, "match");
    let mut pod = node.bare_pod("tenant-a", "web");
    ask(&mut pod, json!([element("fast", "ens58")]));
    pod.ready("ens58");
    let index = index_of(&pod, "ens58");
    let many: Vec<Value> = (0..10_000)
        .map(|n| element("fast", &format!("e{n}")))
        .collect();
    let odd = [
        "[null]".to_owned(),
        "x".repeat(200 << 10),
        json!(many[..2000]).to_string(),
        json!(many[..33]).to_string(),
        json!([element("fast", "eth0")]).to_string(),
        json!([element("../fast", "net1")]).to_string(),
    ];
    for text in odd {
        pod.annotate(json!({NETWORKS: text}));
        pod.reason(WHOLE, "Invalid");
        pod.ready("ens58");
        ask(&mut pod, json!([element("fast", "ens58")]));
        eventually("the report says nothing of it any more", || {
            let report = pod.reported(WHOLE);
            seen(report.is_none(), format!("{report:?}"))
        });
    }
    assert_eq!(index_of(&pod, "ens58"), index);
}

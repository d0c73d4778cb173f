//! Every form of a veth: on a bridge of the namespace, on one of the node, and routed.

use serde_json::json;

use crate::support::{
    look::{addresses, index, is_in_our_group, named},
    manifests::{config, on_bridge},
    node::TestNode,
    wait::{eventually, seen},
};

#[test]
fn a_running_pod_gains_a_link_on_a_bridge_that_is_made_for_it() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let pod = node.pod("tenant-a", "web-0");
    let eth0 = pod.find("eth0").unwrap();
    node.connect("tenant-a", "web-0", "data0", "10.1.0.1/24");
    let link = pod.ready("data0");
    assert_eq!(link["linkinfo"]["info_kind"], "veth");
    assert_eq!(addresses(&link), ["10.1.0.1/24"]);
    assert_eq!(pod.find("eth0").unwrap(), eth0, "eth0 is nobody's business");
    let bridges = node.bridges();
    assert_eq!(bridges.len(), 1, "{bridges:?}");
    assert_eq!(node.host_ends()[0]["master"], bridges[0]["ifname"]);
    assert_eq!(
        node.ours_on_node(),
        Vec::<serde_json::Value>::new(),
        "all of it is in the switch"
    );
}

#[test]
fn two_pods_of_one_segment_reach_each_other_and_another_namespace_does_not() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let pods = [
        node.bare_pod("tenant-a", "a"),
        node.bare_pod("tenant-a", "b"),
        node.bare_pod("tenant-b", "c"),
    ];
    for (number, pod) in pods.iter().enumerate() {
        let attachment = &pod.attachment;
        node.connect(
            &attachment.namespace,
            &attachment.name,
            "data0",
            &format!("10.1.0.{}/24", number + 1),
        );
        pod.ready("data0");
    }
    pods[0].ping("10.1.0.2");
    assert!(
        !pods[2].reaches("10.1.0.1"),
        "the same bridge name in another namespace is another bridge"
    );
    assert_eq!(node.bridges().len(), 2);
}

#[test]
fn a_bridge_goes_with_its_last_user() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let (first, second) = (
        node.bare_pod("tenant-a", "a"),
        node.bare_pod("tenant-a", "b"),
    );
    node.connect("tenant-a", "a", "data0", "10.1.0.1/24");
    node.connect("tenant-a", "b", "data0", "10.1.0.2/24");
    first.ready("data0");
    second.ready("data0");
    let before = index(&node.bridges()[0]);
    node.withdraw("tenant-a-a");
    first.lacks("data0");
    assert_eq!(
        index(&node.bridges()[0]),
        before,
        "the other pod still needs the bridge"
    );
    node.withdraw("tenant-a-b");
    second.lacks("data0");
    node.is_clean();
}

#[test]
fn a_host_bridge_that_a_policy_allows_takes_the_link() {
    let node = TestNode::new();
    node.add_bridge("br-lan", "192.168.7.1/24");
    node.allow_everything();
    let _daemon = node.daemon();
    let pod = node.pod("tenant-a", "web-0");
    let link = "[{name: lan0, veth: {hostBridge: br-lan}, addresses: [192.168.7.10/24]}]";
    node.configure("tenant-a", "lan", "web-0", link);
    pod.ready("lan0");
    pod.ping("192.168.7.1");
    let ports = node.ip(&["link", "show", "master", "br-lan"]);
    let port = &ports[0];
    let name = port["ifname"].as_str().unwrap();
    assert!(name.starts_with("pc") && name.len() == 15, "{name}");
    assert!(
        is_in_our_group(port),
        "outside of the switch a link is marked by its group: {port}"
    );
    assert!(
        port["ifalias"]
            .as_str()
            .unwrap()
            .starts_with("podconfig:v1:default:"),
        "{port}"
    );
    assert_eq!(pod.reported("lan0").unwrap()["hostInterface"], name);
}

#[test]
fn mtu_mac_and_both_families_of_addresses_are_there_when_the_link_is_reported() {
    let node = TestNode::builder().any_veth().daemon().start();
    let pod = node.bare_pod("tenant-a", "web-0");
    let links = "[{name: data0, veth: {bridge: blue}, mtu: 9000, \
                  addresses: [10.1.0.1/24, 'fd01::1/64', 10.1.0.2/24]}]";
    node.configure("tenant-a", "x", "web-0", links);
    let link = pod.ready("data0");
    assert_eq!(link["mtu"], 9000);
    assert_eq!(
        link["address"], "0a:58:0a:01:00:01",
        "the MAC comes from the first IPv4 address"
    );
    let mut all = addresses(&link);
    all.sort();
    assert_eq!(all, ["10.1.0.1/24", "10.1.0.2/24", "fd01::1/64"]);
    let six = link["addr_info"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["local"] == "fd01::1")
        .unwrap();
    assert!(six.get("tentative").is_none(), "usable at once: {six}");
    assert_eq!(
        node.host_ends()[0]["mtu"],
        9000,
        "the host end is no narrower"
    );
    let told = pod.reported("data0").unwrap();
    assert_eq!(
        (&told["mtu"], &told["mac"]),
        (&json!(9000), &json!("0a:58:0a:01:00:01"))
    );
}

#[test]
fn a_given_mac_is_taken_where_the_rule_lets_it() {
    let node = TestNode::builder().any_veth().daemon().start();
    let pods = [
        node.bare_pod("tenant-a", "a"),
        node.bare_pod("tenant-a", "b"),
    ];
    let links =
        "[{name: data0, veth: {bridge: blue}, mac: '02:11:22:33:44:55', addresses: [10.1.0.1/24]}]";
    node.configure("tenant-a", "a", "a", links);
    node.connect("tenant-a", "b", "data0", "10.1.0.2/24");
    assert_eq!(pods[0].ready("data0")["address"], "02:11:22:33:44:55");
    pods[1].ready("data0");
    pods[1].ping("10.1.0.1");
}

#[test]
fn a_link_without_an_address_has_a_mac_of_its_own_that_comes_back() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let pod = node.bare_pod("tenant-a", "web-0");
    let bare = config(
        "tenant-a",
        "x",
        "web-0",
        "[{name: data0, veth: {bridge: blue}}]",
    );
    node.apply("x", &bare);
    let first = pod.ready("data0")["address"].clone();
    node.withdraw("x");
    pod.lacks("data0");
    node.apply("x", &bare);
    assert_eq!(pod.link("data0")["address"], first, "derived, not drawn");
    let digits = u8::from_str_radix(&first.as_str().unwrap()[..2], 16).unwrap();
    assert_eq!(digits & 3, 2, "local and unicast: {first}");
}

#[test]
fn several_links_of_several_podconfigs_share_a_pod() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let pod = node.bare_pod("tenant-a", "web-0");
    let two = "[{name: data0, veth: {bridge: blue}, addresses: [10.1.0.1/24]}, \
                {name: data1, veth: {bridge: red}, addresses: [10.2.0.1/24]}]";
    node.configure("tenant-a", "two", "web-0", two);
    node.configure(
        "tenant-a",
        "one",
        "web-0",
        &on_bridge("data2", "green", "10.3.0.1/24"),
    );
    for link in ["data0", "data1", "data2"] {
        pod.ready(link);
    }
    assert_eq!(pod.report().unwrap()["status"]["summary"]["links"], "3/3");
    assert_eq!(node.bridges().len(), 3);
    node.withdraw("two");
    pod.lacks("data0");
    pod.lacks("data1");
    assert!(pod.find("data2").is_some());
}

#[test]
fn the_report_and_the_status_tell_what_is_there() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let pod = node.connected("tenant-a", "web-0", "10.1.0.1/24");
    pod.ready("data0");
    let told = pod.reported("data0").unwrap();
    assert_eq!(told["podConfig"], "web-0");
    assert_eq!(told["state"], "Ready");
    assert_eq!(told["addresses"], json!(["10.1.0.1/24"]));
    assert_eq!(told["hostInterface"], node.host_ends()[0]["ifname"]);
    assert_eq!(told["bridge"], node.bridges()[0]["ifname"]);
    let report = pod.report().unwrap();
    assert_eq!(report["status"]["podUID"], pod.attachment.uid.as_str());
    assert_eq!(
        report["status"]["sandbox"],
        pod.attachment.container.as_str()
    );
    eventually("the status counts the pod", || {
        let status = node.status("tenant-a", "web-0").ok_or("no status")?;
        let counts = (
            status["status"]["selected"].as_i64(),
            status["status"]["configured"].as_i64(),
        );
        let conditions = status["status"]["conditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let ready = conditions
            .iter()
            .any(|c| c["type"] == "Ready" && c["status"] == "True");
        seen(counts == (Some(1), Some(1)) && ready, status)
    });
    let switch = node.switch_ip(&["link", "show"]);
    assert!(named(&switch, told["hostInterface"].as_str().unwrap()).is_some());
}

//! The explicit end: one node without podconfig, working as before.

use std::time::Duration;

use crate::support::{
    daemon::Options,
    fabric::Fabric,
    keeper::NOTES,
    look::index,
    manifests::{ANY_VETH, policy},
    node::TestNode,
    wait::{eventually, seen},
};

const ADOPT: Options<'_> = Options {
    port: None,
    more: &["--switch", "adopt"],
    objects: None,
    reports: None,
};

fn has_table(node: &TestNode) -> bool {
    let tables = node.run(&["nft", "list", "tables"]);
    tables.contains("podconfig-default")
}

fn is_gone(node: &TestNode) {
    assert!(!node.has_switch(), "the switch is gone");
    assert!(!has_table(node), "the peer filter is gone");
    let links = node.ours_on_node();
    assert!(links.is_empty(), "{links:?}");
    assert!(!node.is_in_chain() && !node.has_plugin());
    assert!(!node.path("/run/podconfig/records").exists());
    assert!(!node.path(NOTES).exists());
}

#[test]
fn every_kind_of_link_goes_and_nothing_that_is_not_ours() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    node.add_chain();
    let keeper = node.keeper(&[]);
    let daemon = node.daemon_with(&ADOPT);
    node.add_bridge("br-lan", "10.7.0.1/24");
    let tunnels = "{vxlan: {underlays: [eth1], vnis: [{min: 1, max: 20000}], peers: [10.77.0.0/24, 10.88.0.0/16]}, \
                   addresses: [10.5.0.0/16, 10.6.0.0/16]}";
    node.apply(
        "policy",
        &policy("all", "{}", &format!("[{ANY_VETH}, {tunnels}]")),
    );
    let pod = node.pod("tenant-a", "a");
    let links = "[{name: data0, veth: {bridge: blue}, addresses: [10.1.0.1/24]}, \
        {name: lan0, veth: {hostBridge: br-lan}, addresses: [10.7.0.2/24]}, \
        {name: r0, veth: {routed: {}}, addresses: [172.31.5.7/32]}, \
        {name: over0, vxlan: {underlay: eth1, vni: 10042, peers: {addresses: [10.77.0.9]}}, addresses: [10.5.0.1/24]}, \
        {name: tun0, vxlan: {underlayLink: eth0, vni: 7, peers: {addresses: [10.88.9.9]}}, addresses: [10.6.0.1/24]}]";
    node.configure("tenant-a", "a", "a", links);
    for link in ["data0", "lan0", "r0", "over0", "tun0"] {
        pod.ready(link);
    }
    assert!(has_table(node));
    let eth0 = index(&pod.link("eth0"));
    daemon.terminate();
    keeper.terminate();
    let said = node.uninstall(&[]);
    for link in ["data0", "lan0", "r0", "over0", "tun0"] {
        pod.lacks(link);
    }
    is_gone(node);
    assert_eq!(index(&pod.link("eth0")), eth0, "{said}");
    node.run(&["ip", "link", "show", "br-lan"]);
    assert!(said.contains("removed all links"), "{said}");
    // Again, with nothing there.
    node.uninstall(&[]);
    is_gone(node);
}

#[test]
fn the_chain_is_as_its_owner_wrote_it() {
    let node = TestNode::new();
    node.add_chain();
    let before = node.chain();
    node.keeper(&[]).terminate();
    node.uninstall(&[]);
    assert_eq!(
        node.chain().replace([' ', '\n'], ""),
        before.replace([' ', '\n'], "")
    );
}

#[test]
fn links_that_are_to_stay_stay_until_their_pods_end() {
    let node = TestNode::new();
    node.add_chain();
    node.allow_own_bridges();
    let keeper = node.keeper(&[]);
    let daemon = node.daemon_with(&ADOPT);
    let (a, b) = node.wired_neighbours();
    let before = index(&a.link("data0"));
    let stream = a.ping_on("10.1.0.2");
    daemon.terminate();
    keeper.terminate();
    let said = node.uninstall(&["--links", "keep"]);
    stream.lost_nothing();
    assert_eq!(index(&a.link("data0")), before);
    assert!(said.contains("stay, as requested"), "{said}");
    assert!(!node.is_in_chain() && node.has_switch());
    b.vanish();
    eventually("the links of a pod end with it", || {
        seen(
            node.host_ends().len() == 1,
            format!("{:?}", node.host_ends()),
        )
    });
}

#[test]
fn what_two_copies_have_in_common_goes_with_the_last() {
    let node = TestNode::new();
    node.add_chain();
    node.allow_own_bridges();
    let other = ["--installation", "tenant-b"];
    let (first, second) = (node.keeper(&[]), node.keeper(&other));
    let daemon = node.daemon_with(&ADOPT);
    let (a, _b) = node.wired_neighbours();
    let before = index(&a.link("data0"));
    let stream = a.ping_on("10.1.0.2");
    second.terminate();
    let said = node.uninstall(&other);
    assert!(said.contains("other copies"), "{said}");
    assert!(node.is_in_chain() && node.has_plugin());
    assert!(!node.path("/run/netns/podconfig-tenant-b").exists());
    assert!(!node.path(NOTES).join("tenant-b").exists());
    assert!(node.path("/run/podconfig/records").exists());
    stream.lost_nothing();
    assert_eq!(
        index(&a.link("data0")),
        before,
        "of another copy nothing is touched"
    );
    daemon.terminate();
    first.terminate();
    node.uninstall(&[]);
    is_gone(&node);
}

#[test]
fn where_the_chain_is_left_alone_all_else_goes() {
    let node = TestNode::new();
    node.add_chain();
    node.keeper(&[]).terminate();
    let chain = node.chain();
    node.uninstall(&["--mode", "none"]);
    assert!(node.chain() == chain && node.has_plugin());
    assert!(!node.has_switch() && !node.path(NOTES).exists());
}

#[test]
fn the_program_stays_while_a_runtime_may_call_it_for_a_pod() {
    let node = TestNode::new();
    node.add_chain();
    node.keeper(&[]).terminate();
    node.remember_result("cluster-abc-eth0");
    let said = node.uninstall(&[]);
    assert!(node.has_plugin() && !node.is_in_chain());
    assert!(
        said.contains("cluster-abc-eth0"),
        "it says for whom: {said}"
    );
    node.forget_result("cluster-abc-eth0");
    node.uninstall(&[]);
    is_gone(&node);
}

#[test]
fn while_somebody_would_put_it_back_nothing_is_taken_away() {
    let node = TestNode::new();
    node.add_chain();
    node.allow_own_bridges();
    let keeper = node.keeper(&[]);
    let daemon = node.daemon_with(&ADOPT);
    let (a, _b) = node.wired_neighbours();
    let stream = a.ping_on("10.1.0.2");
    let refused = |more: &[&str]| {
        let output = node.try_uninstall(&[&["--patience", "0"], more].concat());
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said = refused(&[]);
    assert!(
        said.contains("daemon") && said.contains("still runs"),
        "{said}"
    );
    daemon.terminate();
    let said = refused(&[]);
    assert!(
        said.contains("keeper") && said.contains("still runs"),
        "{said}"
    );
    stream.lost_nothing();
    assert!(node.is_in_chain());
    keeper.terminate();
    node.uninstall(&[]);
    a.lacks("data0");
}

#[test]
fn an_uninstallation_waits_for_the_daemon_that_is_just_ending() {
    let node = TestNode::new();
    node.add_chain();
    let keeper = node.keeper(&[]);
    let mut at_work = node.begin_uninstall();
    std::thread::sleep(Duration::from_millis(800));
    assert!(node.is_in_chain());
    keeper.terminate();
    assert!(at_work.wait().unwrap().success());
    is_gone(&node);
}

/// Only the plugins can undo what they made: without the runner nothing is taken away.
#[test]
fn links_of_plugins_are_undone_by_their_plugins() {
    let node = TestNode::new();
    node.add_chain();
    node.shell("ip link add up0 type veth peer name up1 && ip link set up0 up");
    let _runner = node.runner(&["macvlan", "static"], &[]);
    let keeper = node.keeper(&[]);
    let socket = [
        "--runner-socket",
        "/run/podconfig/run.sock",
        "--state-dir",
        "/run/podconfig/state",
    ];
    let daemon = node.daemon_with(&Options {
        more: &[&["--switch", "adopt"], &socket[..]].concat(),
        ..Options::default()
    });
    let rule = "{cni: {plugins: [{type: macvlan, keys: {master: [up0]}}, {type: static}], inline: Allowed}, addresses: [10.77.0.0/16]}";
    node.apply("policy", &policy("all", "{}", &format!("[{rule}]")));
    let pod = node.pod("tenant-a", "a");
    let config = r#"{"cniVersion": "1.0.0", "type": "macvlan", "master": "up0", "ipam": {"type": "static", "addresses": [{"address": "10.77.0.9/24"}]}}"#;
    node.configure(
        "tenant-a",
        "a",
        "a",
        &format!("[{{name: net1, cni: {{config: '{config}'}}}}]"),
    );
    pod.ready("net1");
    daemon.terminate();
    keeper.terminate();
    let refused = node.try_uninstall(&socket[2..]);
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("--runner-socket"), "{said}");
    pod.ready("net1");
    let said = node.uninstall(&socket);
    assert!(said.contains("detached all links of CNI plugins"), "{said}");
    pod.lacks("net1");
    is_gone(&node);
}

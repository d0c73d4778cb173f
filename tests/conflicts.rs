//! Wishes that meet something: a bridge that is not there, a name that is taken, another wish.

use std::{thread::sleep, time::Duration};

use crate::support::{
    look::{addresses, index},
    manifests::{OWN_BRIDGES, config_born, config_for, on_bridge, policy},
    node::TestNode,
    pod::TestPod,
    wait::{eventually, seen, stays},
};

#[test]
fn a_host_bridge_may_come_later_and_go_away() {
    let node = TestNode::builder().any_veth().daemon().start();
    let pod = node.bare_pod("tenant-a", "web-0");
    let links = "[{name: lan0, veth: {hostBridge: br-lan}, addresses: [192.168.7.10/24]}]";
    node.configure("tenant-a", "lan", "web-0", links);
    let told = pod.reason("lan0", "BridgeNotFound");
    assert!(
        told["message"].as_str().unwrap().contains("br-lan"),
        "{told}"
    );
    node.add_bridge("br-lan", "192.168.7.1/24");
    pod.ready("lan0");
    pod.ping("192.168.7.1");
    node.run(&["ip", "link", "delete", "br-lan"]);
    pod.reason("lan0", "BridgeNotFound");
    node.add_bridge("br-lan", "192.168.7.1/24");
    pod.ready("lan0");
    pod.ping("192.168.7.1");
}

#[test]
fn a_host_bridge_that_is_no_bridge_is_refused() {
    let node = TestNode::builder().any_veth().start();
    node.run(&[
        "ip",
        "link",
        "add",
        "br-lan",
        "type",
        "veth",
        "peer",
        "name",
        "br-lan-peer",
    ]);
    let _daemon = node.daemon();
    let pod = node.bare_pod("tenant-a", "web-0");
    let links = "[{name: lan0, veth: {hostBridge: br-lan}, addresses: [192.168.7.10/24]}]";
    node.configure("tenant-a", "lan", "web-0", links);
    pod.reason("lan0", "NotABridge");
    assert_eq!(node.ours_on_node(), Vec::<serde_json::Value>::new());
}

/// Attack 18: two PodConfigs want the same interface name.
#[test]
fn of_two_podconfigs_for_one_name_the_older_wins_and_the_other_is_told() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let pod = node.bare_pod("tenant-a", "web-0");
    let (old, young) = (
        on_bridge("data0", "blue", "10.1.0.1/24"),
        on_bridge("data0", "red", "10.2.0.1/24"),
    );
    node.apply(
        "b",
        &config_born("tenant-a", "young", "2026-02-01T00:00:00Z", "web-0", &young),
    );
    assert_eq!(addresses(&pod.ready("data0")), ["10.2.0.1/24"]);
    node.apply(
        "a",
        &config_born("tenant-a", "old", "2026-01-01T00:00:00Z", "web-0", &old),
    );
    eventually("the older one's link is there", || {
        let link = pod.find("data0").ok_or("no link")?;
        seen(addresses(&link) == ["10.1.0.1/24"], link)
    });
    eventually("the other is told", || {
        let status = node.status("tenant-a", "young").ok_or("no status")?;
        let text = status["status"]["failures"].to_string();
        seen(
            text.contains("LinkNameTaken") && text.contains("old"),
            status,
        )
    });
    node.withdraw("a");
    eventually("the other takes over", || {
        let link = pod.find("data0").ok_or("no link")?;
        seen(addresses(&link) == ["10.2.0.1/24"], link)
    });
}

/// Two pods that ask for one address, on blue: only a gets it.
fn rivals(node: &TestNode) -> (TestPod<'_>, TestPod<'_>) {
    node.allow_own_bridges();
    let (a, b) = (
        node.bare_pod("tenant-a", "a"),
        node.bare_pod("tenant-a", "b"),
    );
    node.connect("tenant-a", "a", "data0", "10.1.0.1/24");
    (a, b)
}

/// Attack 3: an address that another pod has.
#[test]
fn of_two_pods_with_one_address_the_second_waits_until_the_first_leaves() {
    let node = TestNode::builder().daemon().start();
    let (a, b) = rivals(&node);
    a.ready("data0");
    node.connect("tenant-a", "b", "data0", "10.1.0.1/16");
    let told = b.reason("data0", "AddressTaken");
    let message = told["message"].as_str().unwrap();
    assert!(message.starts_with("10.1.0.1 is held by pod "), "{message}");
    assert!(b.find("data0").is_none());
    // In another routing domain it is another address.
    let c = node.bare_pod("tenant-b", "c");
    let elsewhere =
        "[{name: data0, veth: {bridge: blue}, ipam: {domain: b}, addresses: [10.1.0.1/24]}]";
    node.configure("tenant-b", "c", "c", elsewhere);
    c.reason("data0", "NotAllowed");
    let rule = format!(
        "[{OWN_BRIDGES}, {}]",
        OWN_BRIDGES.replace("routes:", "domains: [b], routes:")
    );
    node.apply("policy", &policy("own-bridges", "{}", &rule));
    c.ready("data0");
    node.withdraw("tenant-a-a");
    assert_eq!(addresses(&b.ready("data0")), ["10.1.0.1/16"]);
}

#[test]
fn an_address_is_not_given_away_while_its_holder_can_not_be_looked_at() {
    let (node, daemon) = TestNode::builder().start_with_daemon();
    let (a, b) = rivals(&node);
    let before = index(&a.ready("data0"));
    node.connect("tenant-a", "b", "data0", "10.1.0.1/24");
    b.reason("data0", "AddressTaken");
    daemon.may_open_files(false);
    eventually("the daemon could look at neither", || {
        let log = daemon.log();
        seen(log.matches("Too many open files").count() > 1, log)
    });
    daemon.may_open_files(true);
    a.ready("data0");
    // Each of the two at least twice.
    daemon.reconciles(4);
    assert_eq!(index(&a.link("data0")), before, "the holder is the same");
    assert_eq!(b.find("data0"), None);
    b.reason("data0", "AddressTaken");
}

/// A missing record is not a dead pod, also when nobody remembers the pod.
#[test]
fn the_address_of_a_pod_without_a_record_is_not_given_away_by_a_restart() {
    let (node, daemon) = TestNode::builder().start_with_daemon();
    let (a, b) = rivals(&node);
    a.ready("data0");
    std::fs::remove_file(a.record()).unwrap();
    daemon.kill();
    node.connect("tenant-a", "b", "data0", "10.1.0.1/24");
    let _daemon = node.daemon();
    b.reason("data0", "AddressTaken");
    assert!(a.find("data0").is_some() && b.find("data0").is_none());
    node.withdraw("tenant-a-a");
    b.ready("data0");
    a.lacks("data0");
}

#[test]
fn a_link_of_that_name_that_is_not_ours_is_never_touched() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let pod = node.bare_pod("tenant-a", "web-0");
    pod.shell(
        "ip link add data0 type veth peer name tenants-own; ip address add 10.66.0.1/24 dev data0",
    );
    let before = pod.find("data0").unwrap();
    node.connect("tenant-a", "web-0", "data0", "10.1.0.1/24");
    pod.reason("data0", "ForeignLink");
    assert_eq!(pod.find("data0").unwrap(), before);
    node.is_clean();
    node.withdraw("tenant-a-web-0");
    eventually("the report is without the link", || {
        let reported = pod.reported("data0");
        seen(reported.is_none(), format!("{reported:?}"))
    });
    assert_eq!(
        pod.find("data0").unwrap(),
        before,
        "not even when nobody wants the name any more"
    );
    node.connect("tenant-a", "web-0", "data0", "10.1.0.1/24");
    pod.reason("data0", "ForeignLink");
    pod.run(&["ip", "link", "delete", "data0"]);
    pod.ready("data0");
}

/// Attack 9: a selector that would fit pods of another namespace.
#[test]
fn pods_of_other_namespaces_are_never_selected() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let (mine, other) = (
        node.bare_pod("tenant-a", "web"),
        node.bare_pod("tenant-b", "web"),
    );
    node.apply(
        "all",
        &config_for(
            "tenant-a",
            "all",
            "{}",
            "[{name: data0, veth: {bridge: blue}}]",
        ),
    );
    mine.ready("data0");
    stays(
        "the other namespace's pod has nothing",
        Duration::from_millis(150),
        || {
            let found = other.find("data0");
            seen(
                found.is_none() && other.report().is_none(),
                format!("{found:?}"),
            )
        },
    );
}

#[test]
fn of_many_quick_edits_the_last_one_counts() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let pod = node.bare_pod("tenant-a", "web-0");
    for number in 1..=60 {
        node.connect("tenant-a", "web-0", "data0", &format!("10.1.0.{number}/24"));
        sleep(Duration::from_millis(number % 5));
    }
    eventually("the last address, and no other", || {
        let link = pod.find("data0").ok_or("no link")?;
        seen(addresses(&link) == ["10.1.0.60/24"], link)
    });
}

/// Attack 12: a way that leads nowhere. What the kernel does not take, it says why in its own words.
#[test]
fn a_route_through_a_gateway_that_is_off_link_is_told_in_the_kernels_words() {
    let node = TestNode::builder().any_veth().daemon().start();
    let pod = node.bare_pod("tenant-a", "web-0");
    // Only where the link has no address of its own is a gateway for the kernel to judge.
    let with_addresses = |addresses: &str| {
        let links = format!(
            "[{{name: data0, veth: {{bridge: blue}}, addresses: [{addresses}], \
             routes: [{{to: 172.20.0.0/16, via: 10.1.0.254}}]}}]"
        );
        node.configure("tenant-a", "x", "web-0", &links);
    };
    with_addresses("");
    let told = pod.reason("data0", "KernelRefused");
    let message = told["message"].as_str().unwrap();
    assert!(message.contains("172.20.0.0/16"), "the deed: {message}");
    assert!(
        message.contains("invalid gateway") || message.contains("unreachable"),
        "the kernel's text: {message}"
    );
    eventually("no half-made link stays", || {
        let found = (pod.find("data0"), node.host_ends());
        seen(found == (None, Vec::new()), format!("{found:?}"))
    });
    with_addresses("10.1.0.1/24");
    pod.ready("data0");
    assert_eq!(node.host_ends().len(), 1);
}

/// Attack 11: with the MAC address of the bridge or of its uplink a pod would take the node's traffic.
#[test]
fn a_link_with_the_mac_of_its_host_bridge_or_of_the_uplink_is_refused() {
    let node = TestNode::new();
    node.add_bridge("br-lan", "192.168.7.1/24");
    node.shell(
        "ip link set br-lan address 02:aa:00:00:00:01
         ip link add uplink address 02:aa:00:00:00:02 type veth peer name far
         ip link set uplink master br-lan up; ip link set far up",
    );
    node.allow_everything();
    let _daemon = node.daemon();
    let (pod, moving) = (
        node.bare_pod("tenant-a", "web-0"),
        node.bare_pod("tenant-a", "web-1"),
    );
    let with_mac = |pod: &str, address: &str, mac: &str| {
        let links = format!(
            "[{{name: lan0, veth: {{hostBridge: br-lan}}, mac: '{mac}', addresses: [{address}]}}]"
        );
        node.configure("tenant-a", pod, pod, &links);
    };
    with_mac("web-1", "192.168.7.11/24", "02:aa:00:00:00:03");
    moving.ready("lan0");
    for mac in ["02:aa:00:00:00:01", "02:aa:00:00:00:02"] {
        with_mac("web-0", "192.168.7.10/24", mac);
        eventually("that MAC address is refused", || {
            let told = pod.reported("lan0").ok_or("no report")?;
            let message = told["message"].as_str().unwrap_or_default();
            let is_it = told["reason"] == "AddressTaken" && message.contains(mac);
            seen(is_it, told)
        });
        assert!(pod.find("lan0").is_none());
        // One that is there already does not change to it either.
        with_mac("web-1", "192.168.7.11/24", mac);
        moving.reason("lan0", "AddressTaken");
        assert_eq!(moving.link("lan0")["address"], "02:aa:00:00:00:03");
        with_mac("web-1", "192.168.7.11/24", "02:aa:00:00:00:03");
        moving.ready("lan0");
    }
    with_mac("web-0", "192.168.7.10/24", "02:aa:00:00:00:04");
    pod.ready("lan0");
}

/// Attack 11: a link that the bridge cannot carry.
#[test]
fn a_link_wider_than_its_host_bridge_waits_for_the_bridge_to_grow() {
    let node = TestNode::new();
    node.add_bridge("br-lan", "192.168.7.1/24");
    node.run(&["ip", "link", "set", "br-lan", "mtu", "1400"]);
    node.allow_everything();
    let _daemon = node.daemon();
    let pod = node.bare_pod("tenant-a", "web-0");
    let links =
        "[{name: lan0, veth: {hostBridge: br-lan}, mtu: 1500, addresses: [192.168.7.10/24]}]";
    node.configure("tenant-a", "lan", "web-0", links);
    let told = pod.reason("lan0", "MTUTooLarge");
    let message = told["message"].as_str().unwrap();
    assert!(
        message.contains("1400") && message.contains("1500"),
        "{message}"
    );
    assert!(pod.find("lan0").is_none());
    node.run(&["ip", "link", "set", "br-lan", "mtu", "1500"]);
    assert_eq!(pod.ready("lan0")["mtu"], 1500);
    pod.ping("192.168.7.1");
}

/// Attack 11: a bridge without an MTU of its own takes the smallest of its ports.
#[test]
fn a_small_link_does_not_make_its_host_bridge_small() {
    let node = TestNode::new();
    node.add_bridge("br-lan", "192.168.7.1/24");
    node.allow_everything();
    let _daemon = node.daemon();
    let pod = node.bare_pod("tenant-a", "web-0");
    let links =
        "[{name: lan0, veth: {hostBridge: br-lan}, mtu: 1280, addresses: [192.168.7.10/24]}]";
    node.configure("tenant-a", "lan", "web-0", links);
    assert_eq!(pod.ready("lan0")["mtu"], 1280);
    assert_eq!(node.ip(&["link", "show", "br-lan"])[0]["mtu"], 1500);
    let port = &node.ip(&["link", "show", "master", "br-lan"])[0];
    assert_eq!(port["mtu"], 1500, "the end on the bridge is as wide as it");
    pod.ping("192.168.7.1");
}

/// A bridge of the node that nobody gave an address has the lowest of its ports: none of ours must be it, or
/// with each pod that goes the node would be dead to those who learned the last.
#[test]
fn pods_that_come_and_go_do_not_change_the_mac_address_of_a_bridge_of_the_node() {
    let node = TestNode::new();
    node.add_bridge("br-lan", "192.168.7.1/24");
    node.allow_everything();
    let mut daemon = node.daemon();
    let of_bridge = || node.ip(&["link", "show", "br-lan"])[0]["address"].clone();
    let join = |name: &str, address: &str| {
        let pod = node.bare_pod("tenant-a", name);
        let links =
            format!("[{{name: lan0, veth: {{hostBridge: br-lan}}, addresses: [{address}/24]}}]");
        node.configure("tenant-a", name, name, &links);
        pod.ready("lan0");
        pod
    };
    let high = join("high", "192.168.7.200");
    let before = of_bridge();
    let low = join("low", "192.168.7.9");
    let middle = join("middle", "192.168.7.50");
    assert_eq!(of_bridge(), before, "who comes changes nothing");
    let stream = middle.ping_on("192.168.7.1");
    low.delete();
    high.delete();
    eventually("their host ends are gone", || {
        let ours = node.ours_on_node();
        seen(ours.len() == 1, format!("{ours:?}"))
    });
    assert_eq!(of_bridge(), before, "who goes changes nothing");
    stream.lost_nothing();
    // An uplink gives the bridge its own, as without us.
    node.shell(
        "ip link add uplink address 02:aa:00:00:00:02 type veth peer name far
         ip link set uplink master br-lan up; ip link set far up",
    );
    assert_eq!(of_bridge(), "02:aa:00:00:00:02");
    let more = join("more", "192.168.7.2");
    assert_eq!(of_bridge(), "02:aa:00:00:00:02");
    // What the host ends do not tell is known again after a restart.
    daemon.kill();
    daemon = node.daemon();
    daemon.changed_nothing();
    let told = more.reported("lan0").unwrap();
    assert_eq!(told["mac"], "0a:58:c0:a8:07:02", "{told}");
    more.ping("192.168.7.50");
}

//! The switch itself: a namespace of podconfig's own that outlives its daemon and its pin.

use std::time::Duration;

use crate::support::{
    look::{index, names},
    node::TestNode,
    wait::{eventually, seen, stays},
};

#[test]
fn the_switch_is_a_namespace_of_its_own_that_speaks_no_protocol() {
    let node = TestNode::new();
    node.drop_forwarded_and_filter_bridges();
    node.allow_own_bridges();
    let _daemon = node.daemon();
    let (_a, _b) = node.wired_neighbours();
    let reads = [
        ("net/ipv4/ip_forward", "0"),
        ("net/ipv6/conf/all/forwarding", "0"),
        ("net/ipv6/conf/all/disable_ipv6", "1"),
        ("net/ipv6/conf/default/disable_ipv6", "1"),
        ("net/bridge/bridge-nf-call-iptables", "0"),
        ("net/bridge/bridge-nf-call-ip6tables", "0"),
        ("net/bridge/bridge-nf-call-arptables", "0"),
    ];
    for (file, wanted) in reads {
        let is = node.run(&[
            "ip",
            "netns",
            "exec",
            "podconfig",
            "cat",
            &format!("/proc/sys/{file}"),
        ]);
        assert_eq!(is.trim(), wanted, "{file}");
    }
    let addresses = node.switch_ip(&["address", "show"]);
    for link in addresses.as_array().unwrap() {
        assert_eq!(
            link["addr_info"].as_array().map(Vec::len),
            Some(0),
            "no address ever: {link}"
        );
    }
    let lo = addresses
        .as_array()
        .unwrap()
        .iter()
        .find(|link| link["ifname"] == "lo")
        .unwrap();
    assert!(
        !lo["flags"].as_array().unwrap().contains(&"UP".into()),
        "lo stays down"
    );
}

#[test]
fn links_outlive_the_unmounting_of_the_pin_and_the_pin_comes_back() {
    let (node, daemon) = TestNode::builder().own_bridges().start_with_daemon();
    let (a, _b) = node.wired_neighbours();
    let before = (
        index(&a.link("data0")),
        node.run(&["ls", "-Li", "/run/netns/podconfig"]),
    );
    let stream = a.ping_on("10.1.0.2");
    node.run(&["umount", "/run/netns/podconfig"]);
    eventually("the very same namespace is pinned again", || {
        let output = node.try_run(&["ls", "-Li", "/run/netns/podconfig"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        seen(
            text == before.1,
            format!("{text}, not {}\n{}", before.1, daemon.log()),
        )
    });
    stream.lost_nothing();
    assert_eq!(index(&a.link("data0")), before.0);
    let c = node.connected("tenant-a", "c", "10.1.0.3/24");
    c.ready("data0");
    c.ping("10.1.0.1");
}

#[test]
fn what_nobody_wants_in_the_switch_goes() {
    let (node, daemon) = TestNode::builder().own_bridges().start_with_daemon();
    let (a, _b) = node.wired_neighbours();
    let before = index(&a.link("data0"));
    node.run(&[
        "ip",
        "-n",
        "podconfig",
        "link",
        "add",
        "stranger",
        "type",
        "bridge",
    ]);
    daemon.kill();
    let _daemon = node.daemon();
    eventually("the stranger is gone", || {
        let all = names(&node.switch_ip(&["link", "show"]));
        seen(!all.contains(&"stranger".to_owned()), format!("{all:?}"))
    });
    assert_eq!(index(&a.link("data0")), before);
    stays("the links stay", Duration::from_millis(50), || {
        seen(node.host_ends().len() == 2, "one went")
    });
}

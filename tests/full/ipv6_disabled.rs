//! A kernel without IPv6, as one that was booted with `ipv6.disable=1`.

use crate::support::{
    look::addresses,
    node::TestNode,
    wait::{eventually, seen},
};

#[test]
#[ignore = "needs a kernel without IPv6: tests/vm.sh --no-ipv6"]
fn a_link_has_its_ipv4_part_and_the_report_says_what_is_left_out() {
    assert!(
        !std::path::Path::new("/proc/sys/net/ipv6").exists(),
        "this kernel has IPv6"
    );
    let node = TestNode::builder().any_veth().daemon().start();
    let (a, b) = (
        node.bare_pod("tenant-a", "a"),
        node.bare_pod("tenant-a", "b"),
    );
    let ask = |pod: &str, kind: &str, more: &str| {
        let links = format!("[{{name: data0, veth: {kind}, {more}}}]");
        node.configure("tenant-a", pod, pod, &links);
    };
    for kind in ["{bridge: blue}", "{routed: {}}"] {
        ask(
            "a",
            kind,
            "addresses: [10.99.0.1/24, 'fd99::1/64'], routes: [{to: 172.20.0.0/16}, \
             {to: 'fd72::/48', table: 150}]",
        );
        ask("b", kind, "addresses: [10.99.0.2/24]");
        b.ready("data0");
        let told = a.reason("data0", "KernelRefused");
        let message = told["message"].as_str().unwrap_or_default();
        assert!(
            message.contains("no IPv6") && message.contains("fd99::1/64 is left out"),
            "{told}"
        );
        eventually("the pods meet", || {
            let link = a.find("data0").ok_or("no link")?;
            seen(addresses(&link) == ["10.99.0.1/24"], &link)?;
            seen(a.reaches("10.99.0.2"), &link)
        });
        let routes = a.run(&["ip", "route", "show", "172.20.0.0/16"]);
        assert!(routes.contains("data0"), "{routes}");
    }
}

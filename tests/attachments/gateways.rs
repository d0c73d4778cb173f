//! Plugins that give the node an address or a route for a link: that never refuses the link itself, whatever the node's
//! own networks were known to be at that moment.

use super::*;
use crate::support::pod::TestPod;

const GATEWAY: &str = r#"{"cniVersion": "1.0.0", "type": "bridge", "bridge": "cbr", "isGateway": true, "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.77.0.0/24"}]]}}"#;
const PTP: &str = r#"{"cniVersion": "1.0.0", "type": "ptp", "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.77.3.0/24"}]]}}"#;

fn field(node: &TestNode) -> Opened {
    let runner = node.runner(&["bridge", "ptp", "host-local", "macvlan"], &[]);
    node.apply("policy", &policy("telco", "{}", &format!("[{RULE}]")));
    Opened {
        daemon: node.daemon_with(&options()),
        runner,
    }
}

fn attached<'a>(node: &'a TestNode, name: &str, definition: &str) -> TestPod<'a> {
    let pod = node.bare_pod("tenant-a", name);
    let link = LINK.replace("fast", definition);
    node.apply(name, &config("tenant-a", name, name, &link));
    pod.ready("net1");
    pod
}

/// Before the bridge has the address, after it, beside another pod, after a restart, and with a bridge from before.
#[test]
fn a_bridge_with_a_gateway_takes_pods_at_any_time() {
    let node = TestNode::new();
    let opened = field(&node);
    define(&node, "fast", GATEWAY);
    let first = attached(&node, "first", "fast");
    let bridge = || node.shell("ip -br -4 address show dev cbr");
    assert!(bridge().contains("10.77.0.1/24"), "{}", bridge());
    let second = attached(&node, "second", "fast");
    first.ping(
        address_of(&second.reported("net1").unwrap())
            .split('/')
            .next()
            .unwrap(),
    );
    opened.daemon.kill();
    let daemon = node.daemon_with(&options());
    daemon.reconciles(2);
    for pod in [&first, &second] {
        pod.ready("net1");
    }
    let _third = attached(&node, "third", "fast");
    for name in ["first", "second", "third"] {
        node.withdraw(name);
    }
    is_clean(&node);
    assert!(bridge().contains("10.77.0.1/24"), "{}", bridge());
    attached(&node, "fourth", "fast");
}

/// The node has a host route to each pod.
#[test]
fn a_route_of_the_node_to_a_pod_does_not_refuse_its_link() {
    let node = TestNode::new();
    let opened = field(&node);
    define(&node, "slow", PTP);
    let pods = ["first", "second"].map(|name| attached(&node, name, "slow"));
    opened.daemon.kill();
    let daemon = node.daemon_with(&options());
    daemon.reconciles(2);
    pods.iter().for_each(|pod| drop(pod.ready("net1")));
    pods.into_iter().for_each(TestPod::delete);
    is_clean(&node);
}

/// The node's own networks are reserved as before: on a bridge that no plugin makes a gateway, beside a gateway's bridge,
/// and on what is called as the bridge of the cluster's network plugin.
#[test]
fn networks_of_the_node_are_still_refused() {
    let node = TestNode::new();
    let _opened = field(&node);
    node.shell(
        "ip link add br0 type bridge && ip address add 10.77.1.1/24 dev br0 && ip link set br0 up
        ip link add up0 type veth peer name up1 && ip link set up0 up && ip link set up1 up",
    );
    define(&node, "fast", GATEWAY);
    let _beside = attached(&node, "beside", "fast");
    let attempts = [
        GATEWAY
            .replace("cbr", "br0")
            .replace(r#""isGateway": true, "#, "")
            .replace("10.77.0.", "10.77.1."),
        macvlan("10.77.0.0/24"),
        GATEWAY
            .replace("cbr", "cni0")
            .replace("10.77.0.", "10.77.2."),
    ];
    let pod = node.bare_pod("tenant-a", "web");
    node.apply(
        "web",
        &config("tenant-a", "web", "web", &LINK.replace("fast", "slow")),
    );
    for (attempt, network) in attempts
        .iter()
        .zip(["10.77.1.0/24", "10.77.0.0/24", "10.77.2."])
    {
        define(&node, "slow", attempt);
        eventually(&format!("{network} is refused"), || {
            let report = pod.reported("net1").unwrap_or_default();
            let message = report["message"].as_str().unwrap_or_default();
            seen(
                report["reason"] == "NetworkReserved" && message.contains(network),
                report,
            )
        });
    }
    node.withdraw("web");
    eventually("nothing of it is stored", || {
        let left = stored(&node);
        seen(left.lines().count() == 1, left)
    });
}

//! Tunnels over the pod's own links.

use serde_json::Value;

use crate::support::{
    fabric::Fabric,
    look::{addresses, index},
    manifests::{OWN_BRIDGES, policy},
    node::TestNode,
    pod::TestPod,
    wait::{eventually, seen},
};

const INSIDE: &str =
    "{vxlan: {vnis: [{min: 7, max: 7}], peers: [10.88.0.0/16]}, addresses: [10.6.0.0/24]}";

fn tunnel(carrier: &str, peer: &str, address: &str) -> String {
    format!(
        "[{{name: tun0, vxlan: {{underlayLink: {carrier}, vni: 7, peers: {{addresses: [{peer}]}}}}, \
         addresses: [{address}]}}]"
    )
}

fn primary(pod: &TestPod<'_>) -> String {
    let link = pod.find("eth0").unwrap();
    addresses(&link)[0].split('/').next().unwrap().to_owned()
}

#[test]
fn a_tunnel_over_the_pods_own_network_touches_nothing_of_the_node() {
    let (node, mut daemon) = TestNode::builder().start_with_daemon();
    node.apply("policy", &policy("tunnels", "{}", &format!("[{INSIDE}]")));
    let (a, b) = (node.pod("tenant-a", "a"), node.pod("tenant-a", "b"));
    for (other, name, ip) in [(&b, "a", "10.6.0.1/24"), (&a, "b", "10.6.0.2/24")] {
        let links = tunnel("eth0", &primary(other), ip);
        node.configure("tenant-a", name, name, &links);
    }
    assert_eq!(a.ready("tun0")["mtu"], 1450);
    b.ready("tun0");
    a.ping("10.6.0.2");
    assert_eq!(node.devices(), Vec::<Value>::new());
    let before = index(&a.ready("tun0"));
    daemon.kill();
    daemon = node.daemon();
    daemon.changed_nothing();
    assert_eq!(index(&a.ready("tun0")), before);
    a.shell("ip link set eth0 mtu 1400");
    a.carries("tun0", 1350);
    node.withdraw("a");
    a.lacks("tun0");
    assert!(a.find("eth0").is_some());
}

/// Attack 1 by another door: an `underlayLink` that means a link of the node.
#[test]
fn no_name_leads_from_a_pod_to_an_underlay_of_the_node() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let _daemon = node.daemon();
    node.apply("policy", &policy("tunnels", "{}", &format!("[{INSIDE}]")));
    let a = node.bare_pod("tenant-a", "a");
    for name in ["eth1", "lo", "podconfig"] {
        let links = tunnel(name, "10.88.0.9", "10.6.0.1/24");
        node.configure("tenant-a", "a", "a", &links);
        if name != "lo" {
            a.reason("tun0", "ParentNotFound");
        }
        let on_node = node.ip(&["link", "show", "type", "vxlan"]);
        assert_eq!(on_node, Value::Array(Vec::new()), "{name}");
        assert!(node.devices().is_empty());
    }
    let links = tunnel("eth1", "10.77.0.9", "10.6.0.1/24");
    node.configure("tenant-a", "a", "a", &links);
    a.reason("tun0", "NotAllowed");
}

#[test]
fn a_tunnel_over_a_link_of_podconfigs_own_comes_and_goes_with_it() {
    let node = TestNode::builder().daemon().start();
    let rules = format!("[{INSIDE}, {}]", OWN_BRIDGES);
    node.apply("policy", &policy("tunnels", "{}", &rules));
    let a = node.bare_pod("tenant-a", "a");
    let both = format!(
        "{}, {{name: data0, veth: {{bridge: blue}}, addresses: [10.1.0.1/24]}}]",
        tunnel("data0", "10.88.0.9", "10.6.0.1/24").trim_end_matches(']')
    );
    node.configure("tenant-a", "a", "a", &both);
    a.ready("data0");
    a.ready("tun0");
    a.run(&["ip", "link", "delete", "data0"]);
    a.link("data0");
    a.ready("tun0");
    assert_eq!(a.find("tun0").unwrap()["linkinfo"]["info_data"]["id"], 7);
    // Both grow in one edit: the one above is not told about how the one below was.
    let both = both.replace("bridge: blue}", "bridge: blue}, mtu: 9000");
    let both = both.replace("{name: tun0,", "{name: tun0, mtu: 8900,");
    let idle: Vec<_> = (0..20)
        .map(|n| node.bare_pod("tenant-c", &format!("idle{n}")))
        .collect();
    node.configure("tenant-a", "a", "a", &both);
    eventually("both have grown", || {
        let mtu = |link| a.find(link).map(|found| found["mtu"].clone());
        let mtus = (mtu("data0"), mtu("tun0"));
        seen(
            mtus == (Some(9000.into()), Some(8900.into())),
            format!("{mtus:?}"),
        )
    });
    a.ready("tun0");
    drop(idle);
    node.withdraw("a");
    a.lacks("tun0");
    node.is_clean();
}

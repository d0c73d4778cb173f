//! Every kind of link announces what comes onto it while it is up, and where it leads.

use std::path::Path;

use super::{PATIENCE, finds, has, hears};
use crate::{
    support::{
        fabric::Fabric,
        frame::is_announcement_of,
        manifests::{ANY_VETH, OWN_BRIDGES, config, policy},
        node::TestNode,
        pod::TestPod,
        wire::Wire,
    },
    vxlan::{TUNNELS, overlay, peers},
};

const FIRST: &str = "10.5.0.1/24";
const MORE: [&str; 2] = ["10.5.0.9", "fd05::9"];

fn with_more(links: &str) -> String {
    links.replace(
        &format!("'{FIRST}'"),
        &format!("'{FIRST}', '{}/24', '{}/64'", MORE[0], MORE[1]),
    )
}

/// The pod gets two more addresses on its link, and both are heard by the listener.
fn announces(pod: &TestPod<'_>, link: &str, links: &str, listener: &Wire) {
    let name = &pod.attachment.name;
    let manifest = config("tenant-a", name, name, &with_more(links));
    pod.node.apply(name, &manifest);
    for address in MORE {
        hears(listener, address, pod, link);
    }
}

#[test]
fn a_port_of_a_bridge_of_the_node() {
    let node = TestNode::new();
    node.add_bridge("br-lan", "192.168.7.1/24");
    node.apply("policy", &policy("all", "{}", &format!("[{ANY_VETH}]")));
    let _daemon = node.daemon();
    let pod = node.bare_pod("tenant-a", "a");
    let links = format!("[{{name: lan0, veth: {{hostBridge: br-lan}}, addresses: ['{FIRST}']}}]");
    node.configure("tenant-a", "a", "a", &links);
    pod.ready("lan0");
    let netns = format!("/proc/{}/ns/net", node.pid());
    let wire = Wire::on(Path::new(&netns), "br-lan");
    announces(&pod, "lan0", &links, &wire);
}

/// Its one neighbour is the node.
#[test]
fn a_routed_link() {
    let node = TestNode::builder().any_veth().daemon().start();
    let pod = node.bare_pod("tenant-a", "a");
    let links = format!("[{{name: out0, veth: {{routed: {{}}}}, addresses: ['{FIRST}']}}]");
    node.configure("tenant-a", "a", "a", &links);
    pod.ready("out0");
    let host_end = node.ours_on_node()[0]["ifname"].clone();
    let netns = format!("/proc/{}/ns/net", node.pid());
    let wire = Wire::on(Path::new(&netns), host_end.as_str().unwrap());
    announces(&pod, "out0", &links, &wire);
}

#[test]
fn a_tunnel_that_pods_share_and_one_that_is_in_the_pod() {
    let fabric = Fabric::new(2);
    let _daemons = [fabric[0].daemon(), fabric[1].daemon()];
    let rules = format!(
        "[{}]",
        TUNNELS.replace("underlays:", "modes: [Shared, Exclusive], underlays:")
    );
    let both = peers(&[0, 1]);
    let shared = overlay(&both, FIRST, "");
    let whole = overlay(&both, "10.5.0.2/24", "").replace("vni:", "mode: Exclusive, vni:");
    fabric
        .nodes()
        .iter()
        .for_each(|node| node.apply("policy", &policy("tunnels", "{}", &rules)));
    let a = fabric[0].bare_pod("tenant-a", "a");
    let b = fabric[1].bare_pod("tenant-a", "b");
    fabric[0].configure("tenant-a", "a", "a", &shared);
    fabric[1].configure("tenant-a", "b", "b", &whole);
    a.ready("overlay");
    b.ready("overlay");
    announces(&a, "overlay", &shared, &Wire::on(&b.netns(), "overlay"));
    let wire = Wire::on(&a.netns(), "overlay");
    let more = overlay(&both, "10.5.0.2/24', '10.5.0.8/24", "");
    let more = more.replace("vni:", "mode: Exclusive, vni:");
    fabric[1].configure("tenant-a", "b", "b", &more);
    hears(&wire, "10.5.0.8", &b, "overlay");
}

/// A tunnel of the pod's own, over a link of its own.
#[test]
fn a_tunnel_over_a_link_of_the_pod() {
    let node = TestNode::new();
    let rule = "{vxlan: {vnis: [{min: 7, max: 7}], peers: [10.1.0.0/16]}, \
        addresses: [10.5.0.0/24, 'fd05::/64']}";
    node.apply(
        "policy",
        &policy("all", "{}", &format!("[{OWN_BRIDGES}, {rule}]")),
    );
    let _daemon = node.daemon();
    let pods = ["a", "b"].map(|name| node.bare_pod("tenant-a", name));
    let over = |own: u8, other: u8, address: &str| {
        format!(
            "[{{name: data0, veth: {{bridge: blue}}, addresses: [10.1.0.{own}/24]}}, \
              {{name: top0, vxlan: {{underlayLink: data0, vni: 7, peers: {{addresses: [10.1.0.{other}]}}}}, \
                addresses: ['{address}']}}]"
        )
    };
    let of_a = over(1, 2, FIRST);
    node.configure("tenant-a", "a", "a", &of_a);
    node.configure("tenant-a", "b", "b", &over(2, 1, "10.5.0.2/24"));
    pods.iter().for_each(|pod| drop(pod.ready("top0")));
    let [a, b] = &pods;
    b.ping("10.5.0.1");
    announces(a, "top0", &of_a, &Wire::on(&b.netns(), "top0"));
}

/// A new link as a whole: its port forwards before it says anything.
#[test]
fn a_link_that_is_new() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let (_, b) = node.neighbours();
    for n in 10..20 {
        let name = format!("new-{n}");
        let pod = node.bare_pod("tenant-a", &name);
        let address = format!("10.1.0.{n}");
        let wire = Wire::on(&b.netns(), "data0");
        node.connect("tenant-a", &name, "data0", &format!("{address}/24"));
        let (ip, own) = (address.parse().unwrap(), [0x0a, 0x58, 10, 1, 0, n]);
        let heard = wire.hears(PATIENCE, |frame| is_announcement_of(frame, ip, own));
        assert!(heard.is_some(), "{address} is announced");
        has(&pod, "data0", &format!("{address}/24"));
        b.ping(&address);
        finds(&b, &address, &pod, "data0");
    }
}

#![allow(clippy::unwrap_used)]

use std::net::IpAddr;

use crds::Reason;
use nix::errno::Errno;
use node::{
    filter::{PeerFilter, Tunnel},
    link_info::{LinkData, LinkInfo},
    links::{
        DevicePolicy, Segment,
        device::{Data, Remotes, Vxlan, shared},
    },
};

use super::{
    device::{SegmentSpec, target},
    drift::{has_drifted, outdated_device},
    *,
};
use crate::podconfig::node_view::NodeView;

const PARENT: u32 = 5;
const DEVICE: u32 = 60;
const BRIDGE: u32 = 61;

/// A node, with one segment in its switch.
#[derive(Default)]
struct Node {
    links: Vec<LinkInfo>,
    moved: Vec<String>,
    bridge: Option<LinkInfo>,
    device: Option<LinkInfo>,
    peers: BTreeSet<IpAddr>,
    lacks_filter: bool,
    peer_filter: Option<PeerFilter>,
}

impl NodeView for Node {
    fn installation(&self) -> &str {
        "home"
    }

    fn of_switch(&self, _: &str) -> Option<u32> {
        self.bridge.as_ref().map(|bridge| bridge.index)
    }

    fn of_node(&self, name: &str) -> Option<&LinkInfo> {
        self.links.iter().find(|link| link.is_called(name))
    }

    fn is_elsewhere(&self, name: &str) -> bool {
        self.moved.iter().any(|moved| moved == name)
    }

    fn conflicting(&self, _: u32, data: &LinkData) -> Option<&LinkInfo> {
        let mut links = self.links.iter();
        links.find(|link| link.data.is_some_and(|other| other.meets(data)))
    }

    fn shared(&self, _: &Segment) -> shared::PresentSegment<'_> {
        shared::PresentSegment {
            bridge: self.bridge.as_ref(),
            device: self.device.as_ref(),
            peers: &self.peers,
        }
    }

    fn has_filter(&self) -> bool {
        !self.lacks_filter
    }

    fn peer_filter(&self, _: Tunnel) -> Option<&PeerFilter> {
        self.peer_filter.as_ref()
    }
}

fn link(index: u32, name: &str) -> LinkInfo {
    LinkInfo {
        index,
        name: name.into(),
        mtu: 9000,
        up: true,
        ..LinkInfo::default()
    }
}

fn vlan() -> Segment {
    Segment {
        name: "pcbabcdefghijkl".into(),
        parent: "trunk0".into(),
        data: Data::Vlan(100),
    }
}

fn tunnel(remotes: Remotes) -> Segment {
    let vxlan = Vxlan {
        vni: 7,
        port: 4789,
        remotes,
    };
    Segment {
        data: Data::Vxlan(vxlan),
        ..vlan()
    }
}

fn spec(segment: Segment, peers: &[&str]) -> SegmentSpec {
    SegmentSpec {
        segment,
        owner: "shop".into(),
        peers: peers.iter().map(|peer| peer.parse().unwrap()).collect(),
        sources: vec!["10.77.0.0/24".parse().unwrap()],
    }
}

/// The node after the segment was made as that target says.
fn after(target: &SegmentTarget, mut node: Node) -> Node {
    let (segment, device) = (&target.segment, target.device.as_ref().unwrap());
    node.bridge = Some(LinkInfo {
        alias: Some(shared::alias(segment, &device.owner, "home")),
        ..link(BRIDGE, &segment.name)
    });
    node.device = Some(LinkInfo {
        mtu: device.mtu,
        up: device.up,
        peer: Some(device.parent),
        master: Some(BRIDGE),
        data: Some(segment.data.as_link_data(device.parent)),
        port: Some(shared::UPLINK_PORT),
        ..link(DEVICE, &segment.device_name())
    });
    node.peers.clone_from(&device.peers);
    node.peer_filter.clone_from(&device.peer_filter);
    node
}

fn on_trunk() -> Node {
    Node {
        links: vec![link(PARENT, "trunk0")],
        ..Node::default()
    }
}

fn port() -> LinkInfo {
    LinkInfo {
        master: Some(9),
        ..link(PARENT, "trunk0")
    }
}

fn refused(errno: Errno) -> Error {
    Error {
        op: "create vxlan 7 port 4789".into(),
        errno,
        text: String::new(),
    }
}

#[test]
fn a_parent_that_is_not_fit_takes_the_device() {
    let conflicting = LinkInfo {
        data: Some(LinkData::Vlan { id: 100 }),
        ..link(8, "trunk0.100")
    };
    let elsewhere = Node {
        moved: vec!["trunk0".into()],
        ..Node::default()
    };
    let conflict = Node {
        links: vec![link(PARENT, "trunk0"), conflicting],
        ..Node::default()
    };
    let made = target(spec(vlan(), &[]), &on_trunk());
    for (node, reason) in [
        (Node::default(), Reason::ParentNotFound),
        (elsewhere, Reason::ParentMoved),
        (conflict, Reason::SegmentInUse),
    ] {
        let node = after(&made, node);
        let target = target(spec(vlan(), &[]), &node);
        assert_eq!(target.device.as_ref().unwrap_err().0, reason);
        let present = node.shared(&target.segment);
        assert_eq!(
            outdated_device(&target, true, present),
            Some(DEVICE),
            "{reason}"
        );
    }
    let nowhere = spec(tunnel(Remotes::Discovered(None)), &[]);
    let target = target(nowhere, &on_trunk());
    assert_eq!(target.device.unwrap_err().0, Reason::NoTunnelAddress);
}

#[test]
fn a_device_that_no_rule_permits_goes() {
    let made = target(spec(vlan(), &[]), &on_trunk());
    let node = Node {
        links: vec![port()],
        ..Node::default()
    };
    let node = after(&made, node);
    let target = target(spec(vlan(), &[]), &node);
    let permitting = DevicePolicy {
        on_port: true,
        ..DevicePolicy::default()
    };
    assert!(target.permitted(&permitting).is_ok());
    let (reason, _) = target.permitted(&DevicePolicy::default()).unwrap_err();
    assert_eq!(reason, Reason::ParentIsPort);
    let present = || node.shared(&target.segment);
    assert_eq!(outdated_device(&target, true, present()), None);
    assert_eq!(outdated_device(&target, false, present()), Some(DEVICE));
}

#[test]
fn a_device_that_is_as_it_should_be_is_left_alone() {
    let listed = Remotes::Peers(["10.77.0.2".parse().unwrap()].into());
    for segment in [vlan(), tunnel(listed)] {
        let target = target(spec(segment, &["10.77.0.2"]), &on_trunk());
        let device = target.device.as_ref().unwrap();
        let drifted = |node: &Node| has_drifted(&target.segment, device, node);
        assert!(drifted(&on_trunk()), "it is missing");
        assert!(!drifted(&after(&target, on_trunk())));
        let mut other = after(&target, on_trunk());
        other.device.as_mut().unwrap().mtu = 1500;
        assert!(drifted(&other));
    }
}

#[test]
fn a_tunnel_without_its_filter_has_drifted() {
    let listed = Remotes::Peers(["10.77.0.2".parse().unwrap()].into());
    let target = target(spec(tunnel(listed), &["10.77.0.2"]), &on_trunk());
    let mut open = after(&target, on_trunk());
    open.peer_filter = None;
    assert!(has_drifted(
        &target.segment,
        target.device.as_ref().unwrap(),
        &open
    ));
}

#[test]
fn links_rely_on_the_parent_and_not_on_the_peers() {
    let mut segments = Segments::default();
    let discovering = || tunnel(Remotes::Discovered(Some("10.77.0.1".parse().unwrap())));
    let mut evaluated = |peers: &[&str], node: &Node| {
        let target = target(spec(discovering(), peers), node);
        segments.targets.insert("pcbx".into(), target);
        segments.take_readiness("pcbx")
    };
    assert!(
        !evaluated(&["10.77.0.2"], &on_trunk()),
        "nothing was before"
    );
    assert!(!evaluated(&["10.77.0.2", "10.77.0.3"], &on_trunk()));
    let down = Node {
        links: vec![LinkInfo {
            up: false,
            ..link(PARENT, "trunk0")
        }],
        ..Node::default()
    };
    assert!(evaluated(&["10.77.0.2"], &down));
    assert!(!evaluated(&["10.77.0.2"], &down));
    assert!(evaluated(&["10.77.0.2"], &Node::default()), "it is gone");
}

#[test]
fn a_refusal_is_reported_when_it_begins_and_when_it_ends() {
    let mut segments = Segments::default();
    assert!(!segments.take_result("pcbx", Ok(())));
    let error = refused(Errno::EADDRINUSE);
    assert!(segments.take_result("pcbx", Err(&error)));
    assert!(!segments.take_result("pcbx", Err(&error)));
    assert!(segments.take_result("pcbx", Ok(())));
}

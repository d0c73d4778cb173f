use node::links::{
    Device, DevicePolicy, PresentDevice,
    device::{Remotes, Vxlan},
};

use super::*;

const PARENT: u32 = 5;
const DEVICE: u32 = 60;
const BRIDGE: u32 = 61;

fn vlan() -> Segment {
    Segment {
        name: "pcbabcdefghijkl".into(),
        parent: "trunk0".into(),
        data: Data::Vlan(100),
    }
}

fn tunnel() -> Segment {
    let peers = ["10.77.0.2".parse().unwrap()];
    Segment {
        data: Data::Vxlan(Vxlan {
            vni: 7,
            port: 4789,
            remotes: Remotes::Peers(peers.into()),
        }),
        ..vlan()
    }
}

fn with_kind(kind: LinkKind) -> Want {
    let mut want = on_lan("net0");
    want.link.kind = kind;
    want.link.mtu = None;
    want.policy = Some(DevicePolicy::default());
    want
}

fn shared_on(segment: Segment) -> Want {
    with_kind(LinkKind::Veth(Veth {
        host_end: HostEnd::Segment(segment),
        learning: false,
    }))
}

fn exclusive() -> Want {
    with_kind(LinkKind::Device(Device::Exclusive(vlan())))
}

fn inside(carrier: &str) -> Want {
    with_kind(LinkKind::Device(Device::Inside {
        namespace: "shop".into(),
        carrier: carrier.into(),
        data: Data::Vlan(200),
    }))
}

fn trunk() -> LinkInfo {
    LinkInfo {
        up: true,
        mtu: 9000,
        ..row(PARENT, "trunk0", "dummy")
    }
}

fn node(rows: impl IntoIterator<Item = LinkInfo>) -> Node {
    Node {
        rows: rows.into_iter().collect(),
        ..Node::default()
    }
}

/// The segment's device and bridge as they are left.
fn with_device(mut node: Node) -> Node {
    let segment = vlan();
    node.device = Some(LinkInfo {
        up: true,
        mtu: 9000,
        peer: Some(PARENT),
        master: Some(BRIDGE),
        data: Some(LinkData::Vlan { id: 100 }),
        port: Some(shared::UPLINK_PORT),
        ..row(DEVICE, &segment.device_name(), "vlan")
    });
    node.bridge = Some(LinkInfo {
        alias: Some(shared::alias(&segment, "shop", "home")),
        ..row(BRIDGE, &segment.name, "bridge")
    });
    node
}

fn plan_of(want: Want, node: Node) -> Plan {
    Pod {
        granted: vec![want],
        node,
        ..Pod::default()
    }
    .plan()
}

fn reasons(plan: &Plan) -> Vec<Reason> {
    plan.blocked.iter().map(|blocked| blocked.reason).collect()
}

#[test]
fn a_link_on_a_segment_carries_what_its_parent_does() {
    let plan = plan_of(shared_on(vlan()), node([trunk()]));
    let [Step::Create(want)] = &plan.steps[..] else {
        panic!("{:?}", plan.steps);
    };
    assert_eq!((want.mtu, want.host_mtu), (9000, 9000));
    let device = want.device.as_ref().unwrap();
    assert_eq!((device.parent, device.mtu, device.up), (PARENT, 9000, true));
    assert_eq!(plan.targets["net0"].mtu, 9000);
    let plan = plan_of(shared_on(tunnel()), node([trunk()]));
    assert_eq!(plan.targets["net0"].mtu, 8950);
}

#[test]
fn a_parent_that_is_not_fit_blocks_the_link() {
    let port = LinkInfo {
        master: Some(9),
        ..trunk()
    };
    let conflicting = LinkInfo {
        peer: Some(PARENT),
        data: Some(LinkData::Vlan { id: 100 }),
        ..row(8, "trunk0.100", "vlan")
    };
    let elsewhere = Node {
        moved: vec!["trunk0".into()],
        ..Node::default()
    };
    for (node, reason) in [
        (Node::default(), Reason::ParentNotFound),
        (elsewhere, Reason::ParentMoved),
        (node([port]), Reason::ParentIsPort),
        (node([trunk(), conflicting]), Reason::SegmentInUse),
    ] {
        let plan = plan_of(shared_on(vlan()), with_device(node));
        assert_eq!(reasons(&plan), [reason]);
        assert_eq!(plan.steps, [], "{reason}");
    }
}

#[test]
fn a_port_that_a_rule_names_and_a_member_of_a_vrf_are_parents_like_any_other() {
    let port = LinkInfo {
        master: Some(9),
        ..trunk()
    };
    let routed = LinkInfo {
        in_vrf: true,
        ..port.clone()
    };
    let mut allowed = shared_on(vlan());
    allowed.policy.as_mut().unwrap().on_port = true;
    for (want, parent) in [(allowed, port), (shared_on(vlan()), routed)] {
        assert_eq!(reasons(&plan_of(want, node([parent]))), []);
    }
}

#[test]
fn a_parent_that_is_down_is_reported_and_nothing_is_taken_away() {
    let down = LinkInfo {
        up: false,
        ..trunk()
    };
    let plan = plan_of(shared_on(vlan()), with_device(node([down])));
    assert_eq!(reasons(&plan), [Reason::ParentDown]);
    assert!(
        matches!(plan.steps[..], [Step::Create(_)]),
        "{:?}",
        plan.steps
    );
}

#[test]
fn without_a_filter_a_tunnel_takes_a_rules_word() {
    let bare = || Node {
        lacks_filter: true,
        ..node([trunk()])
    };
    let plan = plan_of(shared_on(tunnel()), bare());
    assert_eq!(reasons(&plan), [Reason::NoPeerFilter]);
    let mut want = shared_on(tunnel());
    want.policy.as_mut().unwrap().unfiltered = true;
    let plan = plan_of(want, bare());
    let [Step::Create(want)] = &plan.steps[..] else {
        panic!("{:?}", plan.steps);
    };
    assert_eq!(want.device.as_ref().unwrap().peer_filter, None);
}

fn found(own: Option<&str>) -> Segment {
    let ends = Remotes::Discovered(own.map(|own| own.parse().unwrap()));
    let (vni, port) = (7, 4789);
    Segment {
        data: Data::Vxlan(Vxlan {
            vni,
            port,
            remotes: ends,
        }),
        ..vlan()
    }
}

#[test]
fn a_tunnel_whose_ends_are_found_stands_on_the_end_here() {
    for (own, mtu) in [("10.77.0.1", 8950), ("fd77::1", 8930)] {
        let other = "10.77.0.2".parse().unwrap();
        let plan = Pod {
            granted: vec![shared_on(found(Some(own)))],
            node: node([trunk()]),
            peers: [other].into(),
            ..Pod::default()
        }
        .plan();
        assert_eq!(reasons(&plan), []);
        assert_eq!(plan.targets["net0"].mtu, mtu, "{own}");
        let [Step::Create(want)] = &plan.steps[..] else {
            panic!("{:?}", plan.steps);
        };
        let device = want.device.as_ref().unwrap();
        assert_eq!(device.peers, [other].into());
        let sources = &device.peer_filter.as_ref().unwrap().sources;
        assert_eq!(*sources, [other.into()].into());
    }
}

#[test]
fn without_an_end_here_a_tunnel_waits_and_nothing_goes_on_in_its_name() {
    let plan = Pod {
        granted: vec![shared_on(found(None))],
        node: with_device(node([trunk()])),
        sources: vec!["10.77.0.0/24".parse().unwrap()],
        ..Pod::default()
    }
    .plan();
    assert_eq!(reasons(&plan), [Reason::NoTunnelAddress]);
    assert!(must_go(Reason::NoTunnelAddress));
    assert_eq!(plan.steps, []);
    let message = &plan.blocked[0].message;
    assert!(
        message.contains("trunk0") && message.contains("10.77.0.0/24"),
        "{message}"
    );
}

/// Of a link that is the device: what was found is no request, and to follow it mends nothing.
#[test]
fn the_aim_of_a_device_in_the_pod_is_what_was_found_and_that_of_a_veth_is_not() {
    let other = "10.77.0.2".parse().unwrap();
    let target = |kind: LinkKind, peers: BTreeSet<std::net::IpAddr>| {
        let pod = Pod {
            granted: vec![with_kind(kind)],
            node: node([trunk()]),
            peers,
            ..Pod::default()
        };
        pod.plan().targets["net0"].clone()
    };
    let whole = |own| LinkKind::Device(Device::Exclusive(found(Some(own))));
    let first = target(whole("10.77.0.1"), [other].into());
    assert_eq!(first.others, [other].into());
    assert_ne!(first, target(whole("10.77.0.1"), BTreeSet::new()));
    assert_ne!(first, target(whole("10.77.0.9"), [other].into()));
    let shared = |own| shared_on(found(Some(own))).link.kind;
    let (one, another) = (
        target(shared("10.77.0.1"), [other].into()),
        target(shared("10.77.0.9"), BTreeSet::new()),
    );
    assert_eq!(one, another);
    let written = LinkKind::Device(Device::Exclusive(tunnel()));
    assert_eq!(target(written, [other].into()).others, BTreeSet::new());
}

/// A device in the pod, as the kernel shows it.
fn candidate(want: &Want, peer: u32, id: u16) -> Candidate {
    let pod = PodSide {
        index: 30,
        name: want.link.name.clone(),
        up: true,
        mtu: 9000,
        mac: Some(MAC),
        slaac: Some(false),
        has_ipv6_off: false,
        addresses: want
            .link
            .addresses
            .iter()
            .map(|network| address::PresentAddress {
                index: 30,
                network: *network,
                ours: true,
                prefix_route: PrefixRoute::Kernel,
            })
            .collect(),
        routes: BTreeSet::new(),
    };
    Candidate {
        info: LinkInfo {
            up: true,
            mtu: 9000,
            peer: Some(peer),
            data: Some(LinkData::Vlan { id }),
            alias: Some(want.mark.to_string()),
            ..row(30, &want.link.name, "vlan")
        },
        present: PresentDevice {
            mark: Some(want.mark.clone()),
            pod,
            peers: BTreeSet::new(),
        },
        on_node: true,
        marked: true,
        grouped: true,
    }
}

/// The pod's links as they are with that candidate.
fn with_candidate(want: Want, candidate: Candidate) -> Pod {
    Pod {
        inside: vec![candidate.info.clone()],
        granted: vec![want],
        candidates: vec![candidate],
        node: node([trunk()]),
        ..Pod::default()
    }
}

#[test]
fn a_device_that_is_as_wanted_is_left_alone() {
    let want = exclusive();
    let there = candidate(&want, PARENT, 100);
    assert!(with_candidate(want, there).plan().is_quiet());
}

#[test]
fn a_device_without_its_mark_is_known_by_what_the_pod_cannot_make() {
    let want = exclusive();
    let mut stripped = candidate(&want, PARENT, 100);
    stripped.present.mark = None;
    stripped.marked = false;
    stripped.grouped = false;
    stripped.info.alias = Some("mine".into());
    let plan = with_candidate(want.clone(), stripped.clone()).plan();
    let [Step::ChangeDevice { edits, .. }] = &plan.steps[..] else {
        panic!("{:?}", plan.steps);
    };
    assert_eq!(edits[..], [Edit::Mark]);
    // If it is not requested, without a mark its owner is unknown.
    let mut pod = with_candidate(want, stripped);
    pod.granted.clear();
    assert!(pod.plan().is_quiet());
}

#[test]
fn a_device_with_another_id_makes_place_for_the_wanted_one() {
    let want = exclusive();
    let other = candidate(&want, PARENT, 101);
    let plan = with_candidate(want, other).plan();
    assert!(
        matches!(
            plan.steps[..],
            [Step::RemoveDevice { index: 30, .. }, Step::Create(_)]
        ),
        "{:?}",
        plan.steps
    );
    assert_eq!(reasons(&plan), [], "what is deleted blocks nothing");
}

#[test]
fn a_device_that_the_pod_has_made_itself_is_not_ours() {
    let want = inside("data0");
    let carrier = LinkInfo {
        up: true,
        ..row(3, "data0", "veth")
    };
    let mut own = candidate(&want, 3, 200);
    own.on_node = false;
    own.marked = false;
    own.grouped = false;
    own.present.mark = None;
    own.info.alias = None;
    own.info.name = "mine".into();
    let mut pod = with_candidate(want.clone(), own.clone());
    pod.inside.push(carrier.clone());
    let plan = pod.plan();
    assert_eq!(blocked(&plan), ("net0", Reason::ForeignLink));
    // One that this daemon has made before is.
    let mut pod = with_candidate(want, own);
    pod.inside.push(carrier);
    pod.known.insert(30);
    assert!(matches!(pod.plan().steps[..], [Step::ChangeDevice { .. }]));
}

#[test]
fn a_name_means_a_link_of_the_pod_and_none_of_the_node() {
    let plan = plan_of(inside("trunk0"), node([trunk()]));
    assert_eq!(blocked(&plan), ("net0", Reason::ParentNotFound));
}

#[test]
fn a_link_that_leads_out_of_the_node_carries_no_tags_of_the_pods_own() {
    let carrier = LinkInfo {
        up: true,
        mtu: 1500,
        ..row(3, "net1", "veth")
    };
    for host_end in [
        HostEnd::Segment(vlan()),
        HostEnd::HostBridge("br-lan".into()),
    ] {
        let mut below = shared_on(vlan());
        below.link.name = "net1".into();
        below.link.kind = LinkKind::Veth(Veth {
            host_end,
            learning: true,
        });
        let plan = Pod {
            granted: vec![below, inside("net1")],
            inside: vec![carrier.clone()],
            node: node([trunk(), row(6, "br-lan", "bridge")]),
            ..Pod::default()
        }
        .plan();
        let blocked_link = plan.blocked.iter().find(|blocked| blocked.link == "net0");
        assert_eq!(blocked_link.unwrap().reason, Reason::NotAllowed);
    }
}

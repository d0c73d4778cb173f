#![allow(clippy::unwrap_used, clippy::panic)]

/// Links that reach beyond the node, and devices in the pod.
mod segments;

use std::collections::{BTreeMap, HashSet};

use node::{
    filter::{PeerFilter, Tunnel},
    link_info::{LinkData, LinkInfo},
    links::{
        HostEnd, HostSide, Link, OwnershipMark, PodSide, Route, Segment, Veth,
        address::{self, PrefixRoute},
        bridge,
        device::shared,
        ingress_filter::program::{self, Instruction},
        mac::Derived,
        ownership_mark::other_end,
    },
    present::{Candidate, Stranded},
};

use super::*;
use crate::podconfig::segments::device::{SegmentSpec, target};

const MAC: [u8; 6] = [0x0a, 0x58, 10, 9, 0, 5];

/// The bridges of a node, by name, and one of a namespace.
#[derive(Default)]
struct Node {
    rows: Vec<LinkInfo>,
    /// Names of links that have gone to another namespace.
    moved: Vec<String>,
    /// The device of the one segment, in the switch.
    device: Option<LinkInfo>,
    bridge: Option<LinkInfo>,
    lacks_filter: bool,
    peer_filter: Option<PeerFilter>,
}

impl NodeView for Node {
    fn installation(&self) -> &str {
        "home"
    }

    fn of_switch(&self, name: &str) -> Option<u32> {
        (name == "pcblan").then_some(70)
    }

    fn is_elsewhere(&self, name: &str) -> bool {
        self.moved.iter().any(|moved| moved == name)
    }

    fn conflicting(&self, parent: u32, data: &LinkData) -> Option<&LinkInfo> {
        let same =
            |row: &&LinkInfo| row.peer == Some(parent) && row.data.is_some_and(|d| d.meets(data));
        self.rows.iter().find(same)
    }

    fn shared(&self, _: &Segment) -> shared::PresentSegment<'_> {
        static NO_PEERS: BTreeSet<std::net::IpAddr> = BTreeSet::new();
        shared::PresentSegment {
            bridge: self.bridge.as_ref(),
            device: self.device.as_ref(),
            peers: &NO_PEERS,
        }
    }

    fn has_filter(&self) -> bool {
        !self.lacks_filter
    }

    fn peer_filter(&self, _: Tunnel) -> Option<&PeerFilter> {
        self.peer_filter.as_ref()
    }

    fn of_node(&self, name: &str) -> Option<&LinkInfo> {
        self.rows.iter().find(|row| row.is_called(name))
    }
}

fn row(index: u32, name: &str, kind: &str) -> LinkInfo {
    LinkInfo {
        index,
        name: name.into(),
        kind: Some(kind.into()),
        mtu: 1500,
        ..LinkInfo::default()
    }
}

fn want(name: &str, host_end: HostEnd) -> Want {
    let veth = Veth {
        host_end,
        learning: false,
    };
    Want {
        link: Link {
            name: name.into(),
            kind: LinkKind::Veth(veth),
            mtu: Some(1400),
            mac: None,
            addresses: vec!["10.9.0.5/24".parse().unwrap()],
            routes: BTreeSet::new(),
            slaac: false,
        },
        derived: Derived {
            of_addresses: vec![MAC],
            of_link: [0x0a, 1, 2, 3, 4, 5],
        },
        mark: OwnershipMark {
            installation: "home".into(),
            pod_uid: "pod-1".into(),
            podconfig_uid: "config-1".into(),
            link: name.into(),
            spec_hash: "0123".into(),
        },
        host_name: format!("pc{name}"),
        host_mtu: 1400,
        mtu: 1400,
        policy: None,
        device: None,
    }
}

fn on_lan(name: &str) -> Want {
    let host_end = HostEnd::Bridge {
        name: "pcblan".into(),
        stands_for: "shop/lan".into(),
    };
    want(name, host_end)
}

fn on_host_bridge(name: &str, bridge: &str) -> Want {
    want(name, HostEnd::HostBridge(bridge.into()))
}

fn filter_of(want: &Want) -> Vec<Instruction> {
    match &want.link.kind {
        LinkKind::Veth(veth) => program::of(veth, &want.link),
        LinkKind::Device(_) => Vec::new(),
    }
}

/// A link on the namespace's bridge as it is after it was made.
fn made(want: &Want, index: u32) -> Present {
    let address = |network: &_| address::PresentAddress {
        index: 3,
        network: *network,
        ours: true,
        prefix_route: PrefixRoute::Kernel,
    };
    Present {
        mark: Some(want.mark.clone()),
        place: HostNetns::Switch,
        host: HostSide {
            index,
            name: want.host_name.clone(),
            is_marked: true,
            up: true,
            mtu: want.host_mtu,
            own_mac: other_end(MAC),
            mac: Some(MAC),
            master: Some(70),
            port: Some(bridge::port(false)),
            pins: BTreeSet::from([MAC]),
            is_ingress_shared: false,
            ingress: filter_of(want),
            settings: BTreeMap::new(),
            addresses: Vec::new(),
            routes: BTreeSet::new(),
        },
        pod: Some(PodSide {
            index: 3,
            name: want.link.name.clone(),
            up: true,
            mtu: want.mtu,
            mac: Some(MAC),
            slaac: Some(false),
            has_ipv6_off: false,
            addresses: want.link.addresses.iter().map(address).collect(),
            routes: BTreeSet::new(),
        }),
    }
}

/// The plan for a pod, and what is there beside the links that are ours.
#[derive(Default)]
struct Pod {
    granted: Vec<Want>,
    candidates: Vec<Candidate>,
    known: HashSet<u32>,
    present: Vec<Present>,
    stale: Vec<(HostNetns, u32)>,
    inside: Vec<LinkInfo>,
    rules: BTreeSet<RoutingRule>,
    node: Node,
    stranded: Vec<Stranded>,
    moved_out: Vec<MovedOut>,
    lacks_ipv6: bool,
    /// Discovered peers of the segments, and where they may be.
    peers: BTreeSet<IpAddr>,
    sources: Vec<IpNetwork>,
}

impl Pod {
    fn plan(self) -> Plan {
        let segments = self.targets();
        let inside = self.inside.into_iter().map(|row| (row.index, row));
        let inside: HashMap<u32, LinkInfo> = inside.collect();
        let mut of_pod = PodDevices::new(&inside, self.candidates, &self.known, &self.granted);
        (of_pod.stranded, of_pod.has_ipv6) = (self.stranded, !self.lacks_ipv6);
        plan(PlanInput {
            inside: of_pod,
            moved_out: self.moved_out,
            granted: self.granted,
            present: self.present,
            stale: self.stale,
            rules: &self.rules,
            segments: &segments,
            node: &self.node,
        })
    }

    fn targets(&self) -> BTreeMap<String, SegmentTarget> {
        let kinds = self.granted.iter().map(|want| &want.link.kind);
        let segments = kinds.filter_map(LinkKind::segment).map(|segment| {
            let peers = match segment.data.found() {
                Some(_) => self.peers.clone(),
                None => segment.data.peers(&BTreeSet::new()),
            };
            let spec = SegmentSpec {
                segment: segment.clone(),
                owner: "shop".into(),
                peers,
                sources: self.sources.clone(),
            };
            (segment.name.clone(), target(spec, &self.node))
        });
        segments.collect()
    }
}

#[test]
fn a_device_that_the_pod_moved_out_goes_first() {
    let pod = Pod {
        granted: vec![on_lan("data0")],
        moved_out: vec![(3, 7)],
        ..Pod::default()
    };
    let plan = pod.plan();
    assert_eq!(plan.steps[0], Step::RemoveMovedOut(vec![(3, 7)]));
    assert_eq!(plan.steps.len(), 2);
}

fn removal(index: u32, link: &str) -> Step {
    Step::Remove {
        place: HostNetns::Switch,
        index,
        link: link.into(),
    }
}

/// The one link that is blocked, and why; nothing is done about it.
fn blocked(plan: &Plan) -> (&str, Reason) {
    assert_eq!(plan.steps, []);
    let [blocked] = plan.blocked.as_slice() else {
        panic!("not one link is blocked: {:?}", plan.blocked);
    };
    (&blocked.link, blocked.reason)
}

#[test]
fn a_link_that_is_not_there_is_made() {
    let plan = Pod {
        granted: vec![on_lan("data0")],
        ..Pod::default()
    }
    .plan();
    assert_eq!(plan.steps, [Step::Create(Box::new(on_lan("data0")))]);
    assert_eq!(plan.blocked, []);
}

#[test]
fn a_pod_that_has_what_it_shall_have_is_left_in_peace() {
    let plan = Pod {
        granted: vec![on_lan("data0")],
        present: vec![made(&on_lan("data0"), 7)],
        inside: vec![row(3, "data0", "veth")],
        ..Pod::default()
    }
    .plan();
    assert!(plan.is_quiet(), "{:?}", plan.steps);
    assert_eq!(plan.blocked, []);
}

#[test]
fn a_link_that_was_undone_is_changed_in_place() {
    let mut present = made(&on_lan("data0"), 7);
    present.host.up = false;
    let plan = Pod {
        granted: vec![on_lan("data0")],
        present: vec![present.clone()],
        ..Pod::default()
    }
    .plan();
    let change = Step::Change {
        present: Box::new(present),
        want: Box::new(on_lan("data0")),
        edits: vec![Edit::Port(bridge::port(false))],
    };
    assert_eq!(plan.steps, [change]);
}

#[test]
fn a_link_that_is_no_longer_requested_goes_and_the_other_stays() {
    let plan = Pod {
        granted: vec![on_lan("data0")],
        present: vec![made(&on_lan("old0"), 8), made(&on_lan("data0"), 7)],
        ..Pod::default()
    }
    .plan();
    assert_eq!(plan.steps, [removal(8, "old0")]);
}

#[test]
fn a_link_whose_pod_end_is_lost_goes_before_it_is_made_anew() {
    let mut present = made(&on_lan("data0"), 7);
    present.pod = None;
    let plan = Pod {
        granted: vec![on_lan("data0")],
        present: vec![present],
        ..Pod::default()
    }
    .plan();
    let again = Step::Create(Box::new(on_lan("data0")));
    assert_eq!(plan.steps, [removal(7, "data0"), again]);
}

#[test]
fn a_host_end_of_an_earlier_sandbox_goes_beside_the_one_that_is_made() {
    let plan = Pod {
        granted: vec![on_lan("data0")],
        stale: vec![(HostNetns::Switch, 9)],
        ..Pod::default()
    }
    .plan();
    let create = Step::Create(Box::new(on_lan("data0")));
    assert_eq!(plan.steps, [create, removal(9, "")]);
}

#[test]
fn a_bridge_that_the_node_lacks_is_waited_for() {
    let plan = Pod {
        granted: vec![on_host_bridge("data0", "br0")],
        ..Pod::default()
    }
    .plan();
    assert_eq!(blocked(&plan), ("data0", Reason::BridgeNotFound));
}

#[test]
fn a_network_card_is_not_taken_for_a_bridge() {
    let plan = Pod {
        granted: vec![on_host_bridge("data0", "eth1")],
        node: Node {
            rows: vec![row(20, "eth1", "vlan")],
            ..Node::default()
        },
        ..Pod::default()
    }
    .plan();
    assert_eq!(blocked(&plan), ("data0", Reason::NotABridge));
}

#[test]
fn more_mtu_than_the_bridge_of_the_node_has_is_refused() {
    let mut big = on_host_bridge("data0", "br0");
    big.mtu = 1501;
    let plan = Pod {
        granted: vec![big],
        node: Node {
            rows: vec![row(20, "br0", "bridge")],
            ..Node::default()
        },
        ..Pod::default()
    }
    .plan();
    assert_eq!(blocked(&plan), ("data0", Reason::MTUTooLarge));
}

#[test]
fn a_small_link_does_not_pull_down_the_bridge_of_the_node() {
    let plan = Pod {
        granted: vec![on_host_bridge("data0", "br0")],
        node: Node {
            rows: vec![row(20, "br0", "bridge")],
            ..Node::default()
        },
        ..Pod::default()
    }
    .plan();
    let [Step::Create(want)] = plan.steps.as_slice() else {
        panic!("not one link is made: {:?}", plan.steps);
    };
    assert_eq!((want.mtu, want.host_mtu), (1400, 1500));
}

#[test]
fn one_bridge_under_two_names_takes_only_the_first_link() {
    let mut bridge = row(20, "br0", "bridge");
    bridge.altnames = vec!["lan".into()];
    let plan = Pod {
        granted: vec![
            on_host_bridge("data0", "br0"),
            on_host_bridge("data1", "lan"),
        ],
        node: Node {
            rows: vec![bridge],
            ..Node::default()
        },
        ..Pod::default()
    }
    .plan();
    let [Step::Create(first)] = plan.steps.as_slice() else {
        panic!("not one link is made: {:?}", plan.steps);
    };
    assert_eq!(first.link.name, "data0");
    let [second] = plan.blocked.as_slice() else {
        panic!("not one link is blocked: {:?}", plan.blocked);
    };
    assert_eq!(
        (second.link.as_str(), second.reason),
        ("data1", Reason::SameSegment)
    );
}

#[test]
fn a_link_of_the_pods_own_keeps_its_name() {
    let plan = Pod {
        granted: vec![on_lan("data0")],
        inside: vec![row(2, "data0", "dummy")],
        ..Pod::default()
    }
    .plan();
    assert_eq!(blocked(&plan), ("data0", Reason::ForeignLink));
}

#[test]
fn a_link_whose_bridge_is_gone_is_not_taken_away() {
    let want = on_host_bridge("data0", "br0");
    let mut present = made(&want, 7);
    present.place = HostNetns::Node;
    present.host.master = None;
    let plan = Pod {
        granted: vec![want],
        present: vec![present],
        ..Pod::default()
    }
    .plan();
    assert_eq!(blocked(&plan), ("data0", Reason::BridgeNotFound));
}

#[test]
fn a_table_of_its_own_is_asked_by_the_links_addresses_and_no_others() {
    let mut want = on_lan("data0");
    want.link.routes.insert(Route {
        to: "10.20.0.0/16".parse().unwrap(),
        via: None,
        metric: None,
        table: Some(100),
    });
    let rule = |from: &str| RoutingRule {
        from: from.parse().unwrap(),
        table: 100,
    };
    let plan = Pod {
        granted: vec![want.clone()],
        rules: BTreeSet::from([rule("10.9.0.4")]),
        ..Pod::default()
    }
    .plan();
    let expected = [
        Step::DeleteRule(rule("10.9.0.4")),
        Step::AddRule(rule("10.9.0.5")),
        Step::Create(Box::new(want)),
    ];
    assert_eq!(plan.steps, expected);
}

#[test]
fn a_pod_end_that_leads_nowhere_goes_and_does_not_stand_in_the_links_way() {
    let plan = Pod {
        granted: vec![on_lan("data0")],
        stranded: vec![Stranded {
            index: 3,
            name: "data0".into(),
            link: "data0".into(),
        }],
        inside: vec![row(3, "data0", "veth")],
        ..Pod::default()
    }
    .plan();
    let gone = Step::RemoveDevice {
        index: 3,
        name: "data0".into(),
        link: "data0".into(),
    };
    assert_eq!(plan.steps, [gone, Step::Create(Box::new(on_lan("data0")))]);
    assert_eq!(plan.blocked, []);
}

#[test]
fn without_ipv6_in_the_kernel_the_rest_of_a_link_is_made_and_what_is_left_out_is_reported() {
    let mut both = on_lan("data0");
    let four: ipnetwork::IpNetwork = "10.9.0.5/24".parse().unwrap();
    both.link.addresses = vec![four, "fd99::5/64".parse().unwrap()];
    both.link.routes = BTreeSet::from([Route {
        to: "fd00::/8".parse().unwrap(),
        via: None,
        metric: None,
        table: Some(150),
    }]);
    let plan = Pod {
        granted: vec![both.clone()],
        lacks_ipv6: true,
        ..Pod::default()
    }
    .plan();
    both.link.addresses = vec![four];
    both.link.routes.clear();
    assert_eq!(plan.steps, [Step::Create(Box::new(both))]);
    let [left_out] = plan.blocked.as_slice() else {
        panic!("{:?}", plan.blocked);
    };
    assert_eq!(left_out.reason, Reason::KernelRefused);
    assert!(left_out.message.contains("fd99::5/64"), "{left_out:?}");
}

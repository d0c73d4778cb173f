use std::collections::BTreeSet;

use node::links::{Route, device::Vxlan};

use super::*;

fn link() -> Link {
    Link {
        name: "data0".into(),
        kind: LinkKind::Veth(Veth {
            host_end: HostEnd::HostBridge("br-lan".into()),
            learning: false,
        }),
        mtu: Some(1500),
        mac: None,
        addresses: vec![
            "10.99.0.10/24".parse().unwrap(),
            "fd99::10/64".parse().unwrap(),
        ],
        routes: [route("172.20.0.0/16")].into(),
        slaac: false,
    }
}

fn route(to: &str) -> Route {
    Route {
        to: to.parse().unwrap(),
        via: None,
        metric: None,
        table: None,
    }
}

#[test]
fn the_hash_of_a_link_never_changes() {
    assert_eq!(spec_hash(&link()), "c9ec789e36397a38");
}

fn all_differ(links: &[Link]) {
    let hashes: BTreeSet<String> = links.iter().chain([&link()]).map(spec_hash).collect();
    assert_eq!(hashes.len(), links.len() + 1);
}

#[test]
fn every_other_link_is_another_hash() {
    let veth = |host_end, learning| LinkKind::Veth(Veth { host_end, learning });
    let lan = || HostEnd::HostBridge("br-lan".into());
    let own = HostEnd::Bridge {
        name: "br-lan".into(),
        stands_for: "a/b".into(),
    };
    let mut swapped = link();
    swapped.addresses.reverse();
    all_differ(&[
        swapped,
        Link {
            name: "data1".into(),
            ..link()
        },
        Link {
            kind: veth(lan(), true),
            ..link()
        },
        Link {
            kind: veth(own, false),
            ..link()
        },
        Link {
            kind: veth(HostEnd::Routed, false),
            ..link()
        },
        Link {
            mtu: Some(9000),
            ..link()
        },
        Link {
            mac: Some([2, 0, 0, 0, 0, 1]),
            ..link()
        },
        Link {
            addresses: vec![],
            ..link()
        },
        Link {
            slaac: true,
            ..link()
        },
    ]);
}

fn segment(parent: &str, data: Data) -> Segment {
    Segment {
        name: "pcbof-whatever".into(),
        parent: parent.into(),
        data,
    }
}

fn tunnel(vni: u32, port: u16, ends: Remotes) -> Data {
    Data::Vxlan(Vxlan {
        vni,
        port,
        remotes: ends,
    })
}

fn peers(all: &[&str]) -> Remotes {
    Remotes::Peers(all.iter().map(|peer| peer.parse().unwrap()).collect())
}

fn to_two() -> Remotes {
    peers(&["10.77.0.2", "10.77.0.3"])
}

fn shared(segment: Segment) -> LinkKind {
    LinkKind::Veth(Veth {
        host_end: HostEnd::Segment(segment),
        learning: false,
    })
}

fn exclusive(segment: Segment) -> LinkKind {
    LinkKind::Device(Device::Exclusive(segment))
}

fn inside(namespace: &str, carrier: &str, data: Data) -> LinkKind {
    LinkKind::Device(Device::Inside {
        namespace: namespace.into(),
        carrier: carrier.into(),
        data,
    })
}

fn of_kind(kind: LinkKind) -> Link {
    Link {
        kind,
        mtu: None,
        ..link()
    }
}

#[test]
fn the_hash_of_a_vlan_and_of_a_vxlan_never_changes() {
    let vlan = segment("trunk0", Data::Vlan(100));
    let vxlan = segment("ens1f1", tunnel(10042, 4789, to_two()));
    let group = Remotes::Group("239.1.1.1".parse().unwrap());
    for (kind, hash) in [
        (shared(vlan.clone()), "6a6ad15f7c741bd6"),
        (exclusive(vlan), "703536bee803ce44"),
        (inside("a", "data0", Data::Vlan(200)), "5f464fe5b6c19574"),
        (shared(vxlan.clone()), "43d648b19fb5ea99"),
        (exclusive(vxlan), "dea05a437c5ca96f"),
        (
            inside("a", "eth0", tunnel(7, 4789, to_two())),
            "9e0e66580aa65466",
        ),
        (
            shared(segment("ens1f1", tunnel(10043, 4789, group))),
            "6dd3f40f432eeb46",
        ),
        (
            shared(segment(
                "ens1f1",
                tunnel(10042, 4789, Remotes::Discovered(None)),
            )),
            "091b41e87c2d3ae1",
        ),
        (
            exclusive(segment(
                "ens1f1",
                tunnel(10042, 4789, Remotes::Discovered(None)),
            )),
            "70aea6be2f90d4bf",
        ),
    ] {
        assert_eq!(spec_hash(&of_kind(kind.clone())), hash, "{kind:?}");
    }
}

#[test]
fn every_field_of_a_vlan_and_of_a_vxlan_is_in_the_hash() {
    let vlan = |parent: &str, id| segment(parent, Data::Vlan(id));
    let vxlan = |parent: &str, vni, port, ends| segment(parent, tunnel(vni, port, ends));
    let usual = || vxlan("p", 7, 4789, to_two());
    let group = |group: &str| Remotes::Group(group.parse().unwrap());
    let learning = LinkKind::Veth(Veth {
        host_end: HostEnd::Segment(usual()),
        learning: true,
    });
    let kinds = [
        shared(vlan("p", 7)),
        shared(vlan("q", 7)),
        shared(vlan("p", 8)),
        exclusive(vlan("p", 7)),
        exclusive(vlan("q", 7)),
        exclusive(vlan("p", 8)),
        inside("a", "p", Data::Vlan(7)),
        inside("a", "q", Data::Vlan(7)),
        inside("a", "p", Data::Vlan(8)),
        shared(usual()),
        learning,
        shared(vxlan("q", 7, 4789, to_two())),
        shared(vxlan("p", 8, 4789, to_two())),
        shared(vxlan("p", 7, 8472, to_two())),
        shared(vxlan("p", 7, 4789, peers(&["10.77.0.2"]))),
        shared(vxlan("p", 7, 4789, peers(&["10.77.0.2", "10.77.0.4"]))),
        shared(vxlan("p", 7, 4789, peers(&["fd77::2"]))),
        shared(vxlan("p", 7, 4789, group("239.1.1.1"))),
        shared(vxlan("p", 7, 4789, group("239.1.1.2"))),
        shared(vxlan("p", 7, 4789, Remotes::Discovered(None))),
        shared(vxlan("q", 7, 4789, Remotes::Discovered(None))),
        exclusive(vxlan("p", 7, 4789, Remotes::Discovered(None))),
        exclusive(usual()),
        inside("a", "p", usual().data),
        inside("a", "q", usual().data),
        inside("a", "p", tunnel(8, 4789, to_two())),
    ];
    let narrow = Link {
        mtu: Some(1400),
        ..of_kind(shared(usual()))
    };
    let links: Vec<Link> = kinds.into_iter().map(of_kind).chain([narrow]).collect();
    all_differ(&links);
}

#[test]
fn what_is_computed_or_known_anyway_is_not_in_the_hash() {
    let renamed = Segment {
        name: "pcbother".into(),
        ..segment("p", Data::Vlan(7))
    };
    assert_eq!(
        spec_hash(&of_kind(shared(renamed))),
        spec_hash(&of_kind(shared(segment("p", Data::Vlan(7)))))
    );
    // A pod never changes its namespace.
    assert_eq!(
        spec_hash(&of_kind(inside("a", "p", Data::Vlan(7)))),
        spec_hash(&of_kind(inside("b", "p", Data::Vlan(7))))
    );
    assert_eq!(
        spec_hash(&of_kind(shared(segment(
            "p",
            tunnel(7, 4789, peers(&["10.77.0.3", "10.77.0.2"]))
        )))),
        spec_hash(&of_kind(shared(segment("p", tunnel(7, 4789, to_two())))))
    );
}

#[test]
fn every_other_route_is_another_hash() {
    let with = |routes: Vec<Route>| Link {
        routes: routes.into_iter().collect(),
        ..link()
    };
    let base = route("172.20.0.0/16");
    all_differ(&[
        with(vec![]),
        with(vec![base.clone(), route("172.21.0.0/16")]),
        with(vec![Route {
            via: Some("10.99.0.1".parse().unwrap()),
            ..base.clone()
        }]),
        with(vec![Route {
            metric: Some(100),
            ..base.clone()
        }]),
        with(vec![Route {
            table: Some(100),
            ..base
        }]),
    ]);
}

/// It changes with the nodes, and the specification stays the same.
#[test]
fn what_is_found_is_not_in_the_hash() {
    for make in [shared, exclusive] {
        let link = |own: Option<&str>| {
            let own = own.map(|own| own.parse().unwrap());
            of_kind(make(segment(
                "p",
                tunnel(7, 4789, Remotes::Discovered(own)),
            )))
        };
        let hash = spec_hash(&link(None));
        for own in ["10.77.0.1", "10.77.0.2", "fd77::1"] {
            assert_eq!(spec_hash(&link(Some(own))), hash);
        }
    }
}

use std::net::IpAddr;

use node::links::{
    device::{Remotes, Vxlan},
    ownership_mark::segment_name,
};

use super::*;

/// Allows all that these tests ask for.
fn beyond() -> Arc<PodConfigPolicy> {
    policy(json!({"namespaceSelector": {}, "allow": [{
        "vlan": {"parents": ["trunk0", "trunk1"], "ids": [{"min": 1, "max": 4094}], "modes": ["Shared", "Exclusive"]},
        "vxlan": {"underlays": ["u0", "u1"], "vnis": [{"min": 1, "max": 16_777_215}], "ports": [{"min": 1, "max": 65535}],
            "peers": ["0.0.0.0/0", "::/0"], "groups": ["224.0.0.0/4", "ff00::/8"], "modes": ["Shared", "Exclusive"]},
        "veth": {"bridges": "Own"}, "addresses": ["10.99.0.0/16"]}]}))
}

fn of_links(links: Value) -> Desired {
    desired(&pod(), 0, &[config("a", 0, links)], &[beyond()], "default")
}

fn vlan(name: &str, vlan: Value) -> Value {
    json!({"name": name, "vlan": vlan})
}

fn vxlan(name: &str, vxlan: Value) -> Value {
    json!({"name": name, "vxlan": vxlan})
}

/// The kind of the one link, which is granted.
fn kind(request: Value) -> LinkKind {
    let mut wanted = of_links(json!([request]));
    assert_eq!(wanted.refused, []);
    wanted.granted.remove(0).link.kind
}

fn segment(parent: &str, data: Data) -> Segment {
    Segment {
        name: segment_name("default", &data, parent),
        parent: parent.into(),
        data,
    }
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

fn inside(carrier: &str, data: Data) -> LinkKind {
    LinkKind::Device(Device::Inside {
        namespace: "tenant-a".into(),
        carrier: carrier.into(),
        data,
    })
}

fn tunnel(vni: u32, port: u16, ends: Remotes) -> Data {
    Data::Vxlan(Vxlan {
        vni,
        port,
        remotes: ends,
    })
}

fn peers(all: &[&str]) -> Remotes {
    let parsed = all.iter().map(|peer| peer.parse::<IpAddr>().unwrap());
    Remotes::Peers(parsed.collect())
}

fn to(addresses: &[&str]) -> Value {
    json!({"addresses": addresses})
}

#[test]
fn a_vlan_comes_out_as_the_node_understands_it() {
    let on_trunk = || segment("trunk0", Data::Vlan(100));
    let request = |more: Value| {
        let mut request = vlan("v", json!({"parent": "trunk0", "id": 100}));
        let fields = request["vlan"].as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        request
    };
    assert_eq!(kind(request(json!({}))), shared(on_trunk()));
    assert_eq!(kind(request(json!({"mode": "Shared"}))), shared(on_trunk()));
    assert_eq!(
        kind(request(json!({"mode": "Exclusive"}))),
        exclusive(on_trunk())
    );
    let sub = vlan("data0.200", json!({"parentLink": "data0", "id": 200}));
    assert_eq!(kind(sub), inside("data0", Data::Vlan(200)));
}

#[test]
fn a_vxlan_comes_out_as_the_node_understands_it() {
    let two = || peers(&["10.77.0.2", "10.77.0.3"]);
    let request = |more: Value| {
        let mut request = vxlan(
            "x",
            json!({"underlay": "u0", "vni": 10042, "peers": to(&["10.77.0.3", "10.77.0.2"])}),
        );
        let fields = request["vxlan"].as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        request
    };
    let usual = || segment("u0", tunnel(10042, 4789, two()));
    assert_eq!(kind(request(json!({}))), shared(usual()));
    assert_eq!(
        kind(request(json!({"port": 8472}))),
        shared(segment("u0", tunnel(10042, 8472, two())))
    );
    assert_eq!(
        kind(request(json!({"mode": "Exclusive"}))),
        exclusive(usual())
    );
    let group: IpAddr = "ff05::100".parse().unwrap();
    assert_eq!(
        kind(request(json!({"peers": {"group": "ff05::100"}}))),
        shared(segment("u0", tunnel(10042, 4789, Remotes::Group(group))))
    );
    assert_eq!(
        kind(request(json!({"peers": {"auto": {}}}))),
        shared(segment(
            "u0",
            tunnel(10042, 4789, Remotes::Discovered(None))
        ))
    );
    assert_eq!(
        kind(request(json!({"peers": {"auto": {}}, "mode": "Exclusive"}))),
        exclusive(segment(
            "u0",
            tunnel(10042, 4789, Remotes::Discovered(None))
        ))
    );
    assert_eq!(
        kind(vxlan(
            "tun0",
            json!({"underlayLink": "eth0", "vni": 7, "peers": to(&["10.244.3.4"])})
        )),
        inside("eth0", tunnel(7, 4789, peers(&["10.244.3.4"])))
    );
}

#[test]
fn a_peer_is_one_however_it_is_spelled() {
    let with = |addresses: &[&str]| {
        kind(vxlan(
            "x",
            json!({"underlay": "u0", "vni": 7, "peers": to(addresses)}),
        ))
    };
    assert_eq!(
        with(&["FD77:0::2", "fd77::2"]),
        shared(segment("u0", tunnel(7, 4789, peers(&["fd77::2"]))))
    );
    assert_eq!(
        with(&["::ffff:10.77.0.2"]),
        shared(segment("u0", tunnel(7, 4789, peers(&["10.77.0.2"]))))
    );
}

#[test]
fn a_link_above_a_device_has_the_mtu_that_the_device_can_carry() {
    let requests = |mtu: Value| {
        let all = json!([
            vlan("a", json!({"parent": "trunk0", "id": 1})),
            vlan(
                "b",
                json!({"parent": "trunk0", "id": 2, "mode": "Exclusive"})
            ),
            vlan("c", json!({"parentLink": "eth0", "id": 3})),
            vxlan(
                "d",
                json!({"underlay": "u0", "vni": 4, "peers": to(&["10.77.0.2"])})
            ),
            vxlan(
                "e",
                json!({"underlayLink": "eth0", "vni": 5, "peers": to(&["10.77.0.2"])})
            ),
        ]);
        let links = all.as_array().unwrap().iter().map(|link| {
            let mut link = link.clone();
            if !mtu.is_null() {
                link["mtu"] = mtu.clone();
            }
            link
        });
        let wanted = of_links(links.collect());
        let mtus = wanted.granted.iter().map(|granted| granted.link.mtu);
        mtus.collect::<Vec<_>>()
    };
    assert_eq!(requests(Value::Null), [None; 5]);
    assert_eq!(requests(json!(1400)), [Some(1400); 5]);
}

#[test]
fn a_pod_has_one_link_on_a_segment() {
    let carried = |name: &str, vni: i32, port: i32, underlay: &str| {
        vxlan(
            name,
            json!({"underlay": underlay, "vni": vni, "port": port, "peers": to(&["10.77.0.2"])}),
        )
    };
    let wanted = of_links(json!([
        vlan("a0", json!({"parent": "trunk0", "id": 100})),
        vlan("a1", json!({"parent": "trunk0", "id": 100})),
        vlan(
            "a2",
            json!({"parent": "trunk0", "id": 100, "mode": "Exclusive"})
        ),
        vlan("a3", json!({"parent": "trunk0", "id": 101})),
        vlan("a4", json!({"parent": "trunk1", "id": 100})),
        vlan("b0", json!({"parentLink": "trunk0", "id": 100})),
        vlan("b1", json!({"parentLink": "trunk0", "id": 100})),
        vlan("b2", json!({"parentLink": "eth0", "id": 100})),
        carried("c0", 7, 4789, "u0"),
        carried("c1", 7, 4789, "u1"),
        carried("c2", 7, 8472, "u0"),
        carried("c3", 8, 4789, "u0"),
    ]));
    let same = |name| (name, "a", Reason::SameSegment);
    assert_eq!(
        refused(&wanted),
        [same("a1"), same("a2"), same("b1"), same("c1")]
    );
    let messages: Vec<&str> = wanted.refused.iter().map(|r| r.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            r#"link "a0" of this pod is on vlan 100 on trunk0 already"#,
            r#"link "a0" of this pod is on vlan 100 on trunk0 already"#,
            r#"link "b0" of this pod is on vlan 100 on "trunk0" in the pod already"#,
            r#"link "c0" of this pod is on vxlan 7 port 4789 already"#,
        ]
    );
}

#[test]
fn the_kind_of_a_refused_link_is_reported() {
    let links = json!([
        vlan("v", json!({"parent": "eth0", "id": 1})),
        vxlan(
            "x",
            json!({"underlay": "eth0", "vni": 1, "peers": to(&["10.77.0.2"])})
        ),
    ]);
    let wanted = of_links(links);
    let kinds: Vec<_> = wanted.refused.iter().map(|r| (r.kind, r.reason)).collect();
    assert_eq!(
        kinds,
        [("vlan", Reason::NotAllowed), ("vxlan", Reason::NotAllowed)]
    );
}

#[test]
fn a_segment_is_asked_for_in_the_name_of_its_podconfig() {
    let wanted = of_links(json!([vlan("v", json!({"parent": "trunk0", "id": 1}))]));
    let member = &wanted.granted[0].member;
    assert_eq!(
        (&*member.namespace, &*member.name, &*member.uid),
        ("tenant-a", "a", "uid-a")
    );
    assert!(!member.is_ageless);
}

#[test]
fn what_the_schema_should_have_caught_of_a_segment_is_caught_again() {
    let peer = to(&["10.77.0.2"]);
    let tunnel_to = |peers: Value| vxlan("x", json!({"underlay": "u0", "vni": 7, "peers": peers}));
    for odd in [
        vlan("v", json!({"id": 1})),
        vlan(
            "v",
            json!({"parent": "trunk0", "parentLink": "eth0", "id": 1}),
        ),
        vlan("v", json!({"parentLink": "v", "id": 1})),
        vlan("v", json!({"parentLink": "", "id": 1})),
        vlan("v", json!({"parentLink": "a/b", "id": 1})),
        vlan("v", json!({"parentLink": "eth%d", "id": 1})),
        vlan("v", json!({"parentLink": "eth0\n", "id": 1})),
        vlan("v", json!({"parentLink": "sixteen-letters-", "id": 1})),
        vxlan("x", json!({"vni": 7, "peers": peer})),
        vxlan("x", json!({"underlayLink": "x", "vni": 7, "peers": peer})),
        vxlan("x", json!({"underlayLink": "..", "vni": 7, "peers": peer})),
        tunnel_to(json!({})),
        tunnel_to(json!({"addresses": ["10.77.0.2"], "group": "239.1.1.1"})),
        tunnel_to(to(&[])),
        tunnel_to(to(&["10.77.0.2", "fd77::2"])),
        tunnel_to(to(&["127.0.0.1"])),
        tunnel_to(to(&["10.77.0.2", "239.1.1.1"])),
        tunnel_to(to(&["::"])),
    ] {
        let wanted = of_links(json!([odd]));
        let reasons: Vec<Reason> = wanted.refused.iter().map(|r| r.reason).collect();
        assert_eq!(reasons, [Reason::Invalid], "{odd}");
    }
}

#[test]
fn no_number_that_the_kernel_can_not_have_gets_past_a_rule_that_is_too_wide() {
    let all = policy(json!({"namespaceSelector": {}, "allow": [{
        "vlan": {"parents": ["p"], "ids": [{"min": -9, "max": 99_999}]},
        "vxlan": {"underlays": ["p"], "vnis": [{"min": -9, "max": 99_999_999}], "ports": [{"min": -9, "max": 99_999}],
            "peers": ["0.0.0.0/0"], "groups": ["0.0.0.0/0"]}}]}));
    let tunnel = |vni: i64, port: i64| {
        vxlan(
            "x",
            json!({"underlay": "p", "vni": vni, "port": port, "peers": to(&["10.77.0.2"])}),
        )
    };
    for odd in [
        vlan("v", json!({"parent": "p", "id": 0})),
        vlan("v", json!({"parent": "p", "id": -1})),
        vlan("v", json!({"parent": "p", "id": 4095})),
        vlan("v", json!({"parent": "p", "id": 65_636})),
        tunnel(0, 4789),
        tunnel(-1, 4789),
        tunnel(1 << 24, 4789),
        tunnel(7, 0),
        tunnel(7, -1),
        tunnel(7, 65_536),
        vxlan(
            "x",
            json!({"underlay": "p", "vni": 7, "peers": {"group": "10.77.0.2"}}),
        ),
    ] {
        let configs = [config("a", 0, json!([odd]))];
        let wanted = desired(&pod(), 0, &configs, std::slice::from_ref(&all), "i");
        let reasons: Vec<Reason> = wanted.refused.iter().map(|r| r.reason).collect();
        assert_eq!(reasons, [Reason::Invalid], "{odd}");
    }
}

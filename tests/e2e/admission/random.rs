//! Random links and random rules, always the same: an API server and the nodes judge them alike.

use crds::{PodConfigPolicy, podconfig::Link};
use policy::evaluate;
use proptest::{
    prelude::*, sample::subsequence, strategy::ValueTree as _, test_runner::TestRunner,
};
use serde_json::{Value, json};

use super::tenant::Tenant;

const ALLOWANCES: usize = 20;
const LINKS: usize = 32;
const NETWORKS: &[&str] = &[
    "10.1.0.0/16",
    "10.1.2.0/24",
    "10.2.0.0/16",
    "10.0.0.0/8",
    "0.0.0.0/0",
    "fd00:1::/32",
    "::/0",
];

/// Some of them, at least one.
fn some_of(all: &'static [&'static str]) -> impl Strategy<Value = Value> {
    subsequence(all, 1..=all.len()).prop_map(|some| json!(some))
}

/// As [`some_of`], or the member is not there.
fn maybe(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop_oneof![2 => value, 1 => Just(Value::Null)]
}

fn ranges(most: u32) -> impl Strategy<Value = Value> {
    let range = (1..=most, 0..2_u32).prop_map(|(min, more)| json!({"min": min, "max": min + more}));
    prop::collection::vec(range, 1..3).prop_map(Value::from)
}

fn ports() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!([{"min": 4789, "max": 4790}])),
        Just(json!([{"min": 8472, "max": 8472}]))
    ]
}

fn modes() -> impl Strategy<Value = Value> {
    maybe(some_of(&["Shared", "Exclusive"]))
}

fn veth_rule() -> impl Strategy<Value = Value> {
    let places = (
        maybe(Just(json!("Own"))),
        maybe(some_of(&["br0", "br1"])),
        maybe(Just(json!({}))),
    );
    places.prop_map(
        |(bridges, host_bridges, routed)| match (&bridges, &host_bridges, &routed) {
            (Value::Null, Value::Null, Value::Null) => json!({"bridges": "Own"}),
            _ => json!({"bridges": bridges, "hostBridges": host_bridges, "routed": routed}),
        },
    )
}

fn vlan_rule() -> impl Strategy<Value = Value> {
    (maybe(some_of(&["p", "q"])), maybe(some_of(&["p", "r"])), ranges(4), modes()).prop_map(
        |(parents, ports, ids, modes)| json!({"parents": parents, "portParents": ports, "ids": ids, "modes": modes}),
    )
}

fn vxlan_rule() -> impl Strategy<Value = Value> {
    let groups = maybe(some_of(&["239.1.0.0/16", "239.0.0.0/8", "ff05::/16"]));
    let peers = some_of(&["10.7.0.0/16", "10.7.0.0/30", "10.0.0.0/8", "fd77::/64"]);
    (maybe(some_of(&["p", "q"])), ranges(4), maybe(ports()), peers, groups, modes()).prop_map(
        |(underlays, vnis, ports, peers, groups, modes)| {
            json!({"underlays": underlays, "vnis": vnis, "ports": ports, "peers": peers, "groups": groups, "modes": modes})
        },
    )
}

/// Some definitions, or what a tenant's own may name, or both.
fn cni_rule() -> impl Strategy<Value = Value> {
    let names = || some_of(&["fast", "slow", "mine"]);
    let definitions = maybe((names(), names()).prop_map(
        |(of_others, own)| json!([{"namespace": "networks", "names": of_others}, {"namespace": "adm-random-7", "names": own}]),
    ));
    let plugins = maybe(Just(
        json!([{"type": "macvlan", "keys": {"master": ["up0"]}}]),
    ));
    let inline = maybe(some_of(&["Allowed", "Denied"]));
    let args = maybe(some_of(&["vlan", "example.com"]));
    (definitions, plugins, inline, args, maybe(ranges(4))).prop_map(
        |(definitions, plugins, inline, args, ports)| {
            let plugins = match (&definitions, &inline[0]) {
                (Value::Null, _) => json!([{"type": "macvlan"}]),
                (_, inline) if inline == "Allowed" => json!([{"type": "macvlan"}]),
                _ => plugins,
            };
            json!({"definitions": definitions, "plugins": plugins, "inline": inline[0], "cniArgs": args, "hostPorts": ports})
        },
    )
}

fn rule() -> impl Strategy<Value = Value> {
    let kinds = (veth_rule(), vlan_rule(), vxlan_rule(), cni_rule(), 0..6);
    let marks = (maybe(some_of(&["Any"])), maybe(some_of(&["Allowed"])));
    let rest = (
        maybe(some_of(NETWORKS)),
        maybe(some_of(NETWORKS)),
        maybe(ranges(3)),
        maybe(some_of(&["cluster", "blue", "0"])),
        marks,
    );
    (kinds, rest).prop_map(|((veth, vlan, vxlan, cni, only), (addresses, routes, tables, domains, (macs, slaac)))| {
        let kept = |number: i32, rule| if only > 3 || only == number { rule } else { Value::Null };
        without_nulls(json!({
            "veth": kept(0, veth), "vlan": kept(1, vlan), "vxlan": kept(2, vxlan), "cni": kept(3, cni),
            "addresses": addresses, "routes": routes, "tables": tables, "domains": domains, "macs": macs[0], "slaac": slaac[0],
        }))
    })
}

fn kind() -> impl Strategy<Value = Value> {
    let veth = prop_oneof![
        Just(json!({"bridge": "blue"})),
        Just(json!({"hostBridge": "br0"})),
        Just(json!({"hostBridge": "br1"})),
        Just(json!({"routed": {}})),
    ];
    let on = || {
        (
            prop_oneof![Just("p"), Just("q"), Just("r")],
            any::<bool>(),
            modes(),
        )
    };
    let vlan = (on(), 1..5).prop_map(|((device, of_node, mode), id)| match of_node {
        true => json!({"parent": device, "id": id, "mode": mode[0]}),
        false => json!({"parentLink": device, "id": id}),
    });
    let peers = prop_oneof![
        Just(json!({"auto": {}})),
        Just(json!({"addresses": ["10.7.0.1"]})),
        Just(json!({"addresses": ["10.7.0.2", "10.7.9.1"]})),
        Just(json!({"addresses": ["fd77::1", "fd77::2"]})),
        Just(json!({"group": "239.1.1.1"})),
        Just(json!({"group": "239.2.1.1"})),
        Just(json!({"group": "ff05::1"})),
    ];
    let port = maybe(prop_oneof![Just(json!(4789)), Just(json!(8472))]);
    let vxlan = (on(), 1..5, port, peers).prop_map(|((device, of_node, mode), vni, port, peers)| {
        let inside = match peers.get("auto") {
            Some(_) => json!({"addresses": ["10.7.0.1"]}),
            None => peers.clone(),
        };
        match of_node {
            true => json!({"underlay": device, "vni": vni, "port": port, "peers": peers, "mode": mode[0]}),
            false => json!({"underlayLink": device, "vni": vni, "port": port, "peers": inside}),
        }
    });
    prop_oneof![
        1 => veth.prop_map(|veth| json!({"veth": veth})),
        1 => vlan.prop_map(|vlan| json!({"vlan": vlan})),
        1 => vxlan.prop_map(|vxlan| json!({"vxlan": vxlan})),
        2 => cni().prop_map(|cni| json!({"cni": cni})),
    ]
}

fn cni() -> impl Strategy<Value = Value> {
    let source = prop_oneof![
        3 => prop::sample::select(vec!["networks/fast", "networks/slow", "other/fast", "adm-random-7/mine", "mine"])
            .prop_map(|definition| json!({"networkAttachmentDefinition": definition})),
        1 => Just(json!({"config": r#"{"cniVersion": "1.0.0", "type": "macvlan"}"#})),
    ];
    let args = prop::sample::select(vec![
        Value::Null,
        Value::Null,
        json!({"vlan": "7"}),
        json!({"vlan": "7", "example.com": "a"}),
        json!({"other": "7"}),
    ]);
    let port = (1..5).prop_map(|port| json!({"hostPort": port, "containerPort": 80}));
    let ports = prop::collection::vec(port, 0..3);
    (source, args, maybe(ports.prop_map(Value::from))).prop_map(|(mut cni, args, ports)| {
        cni["args"] = args;
        cni["portMappings"] = ports;
        cni
    })
}

/// At most two ranges that do not overlap, perhaps in a domain of their own, or a domain alone.
fn ipam() -> impl Strategy<Value = Value> {
    let ranges = prop::sample::select(vec![
        json!([]),
        json!(["10.1.2.0/24"]),
        json!(["10.1.0.0/16"]),
        json!(["10.1.2.128/25", "fd00:1::/64"]),
        json!(["10.1.3.0/24", "10.2.0.0/24"]),
        json!(["fd00:2::/48"]),
    ]);
    let domain = prop_oneof![3 => Just(Value::Null), 1 => Just(json!("cluster")), 3 => Just(json!("blue")), 1 => Just(json!("green"))];
    (domain, ranges).prop_map(|(domain, cidrs)| {
        let cidrs = cidrs.as_array().into_iter().flatten();
        let ranges: Vec<Value> = cidrs.map(|cidr| json!({"cidr": cidr})).collect();
        match (&domain, ranges.len()) {
            (Value::Null, 0) => Value::Null,
            _ => json!({"domain": domain, "ranges": ranges}),
        }
    })
}

fn link() -> impl Strategy<Value = Value> {
    let address = || {
        some_of(&[
            "10.1.2.3/24",
            "10.1.0.9/16",
            "10.1.2.5/8",
            "10.2.0.1/32",
            "fd00:1::1/64",
            "fd00:2::1/48",
        ])
    };
    let to = some_of(&[
        "10.1.2.0/24",
        "10.1.0.0/16",
        "0.0.0.0/0",
        "::/0",
        "fd00:1:5::/48",
    ]);
    let table = maybe((1..5).prop_map(Value::from));
    let few = |list: Value| {
        list.as_array()
            .map_or(json!([]), |all| json!(all[..all.len().min(2)]))
    };
    let marks = (prop::bool::weighted(0.2), prop::bool::weighted(0.2));
    (
        kind(),
        maybe(address()),
        maybe(ipam()),
        maybe(to),
        table,
        marks,
    )
        .prop_map(
            move |(mut link, addresses, ipam, to, table, (mac, slaac))| {
                let route = |to: &Value| json!({"to": to, "table": table});
                link["name"] = json!("l");
                link["addresses"] = few(addresses);
                link["ipam"] = ipam;
                link["routes"] = few(to)
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(route)
                    .collect();
                if link["cni"].is_object() {
                    // These are up to the plugins.
                    for field in ["ipam", "routes"] {
                        link[field] = Value::Null;
                    }
                }
                link["mac"] = if mac {
                    json!("02:00:00:00:00:01")
                } else {
                    Value::Null
                };
                let slaac = slaac && link["cni"].is_null();
                link["slaac"] = if slaac { json!("Accept") } else { Value::Null };
                without_nulls(link)
            },
        )
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.into_iter().filter(|(_, value)| !value.is_null());
            kept.map(|(name, value)| (name, without_nulls(value)))
                .collect()
        }
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

#[test]
fn an_api_server_and_the_nodes_judge_alike() {
    let mut runner = TestRunner::deterministic();
    let mut any = |strategy: &dyn Fn(&mut TestRunner) -> Value| strategy(&mut runner);
    let (rule, link) = (rule(), link());
    let (mut allowed, mut refused, mut plugins) = (0, 0, 0);
    for number in 0..ALLOWANCES {
        let allow: Value = (0..=number % 5)
            .map(|_| any(&|runner| rule.new_tree(runner).expect("a rule").current()))
            .collect();
        let links: Vec<(String, Vec<Value>)> = (0..LINKS)
            .map(|n| {
                (
                    format!("l{n}"),
                    vec![any(&|runner| {
                        link.new_tree(runner).expect("a link").current()
                    })],
                )
            })
            .collect();
        let policy = PodConfigPolicy::new(
            "telco",
            serde_json::from_value(json!({"namespaceSelector": {}, "allow": allow}))
                .expect("a policy"),
        );
        let tenant = Tenant::new(&format!("adm-random-{number}"), &allow, None);
        let said = tenant.says_of_all(&links);
        for (name, links) in &links {
            let wish: Link = serde_json::from_value(links[0].clone()).expect("a link");
            let by_node = evaluate(&wish, &tenant.name, &[&policy])
                .map(|_| ())
                .map_err(|refusal| refusal.message);
            assert_eq!(
                said[name].is_ok(),
                by_node.is_ok(),
                "{}\nby {allow}\nAPI server: {:?}\nnode: {by_node:?}",
                links[0],
                said[name],
            );
            if let Err(words) = &said[name] {
                assert!(
                    words.starts_with("link l: ") && words.contains("the allowance lists"),
                    "{words}"
                );
            }
            plugins += usize::from(by_node.is_ok() && wish.cni.is_some());
            *if by_node.is_ok() {
                &mut allowed
            } else {
                &mut refused
            } += 1;
        }
    }
    println!("{allowed} links allowed, {plugins} of plugins, and {refused} refused, by both");
    assert!(
        allowed > 60 && refused > 60 && plugins > 15,
        "{allowed}, {plugins} and {refused}: one kind is too rare"
    );
}

use proptest::prelude::*;

use super::*;

fn some_of(all: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    prop::sample::subsequence(all, 0..=all.len())
}

fn ranges() -> impl Strategy<Value = Value> {
    let range = (1..4, 1..4).prop_map(|(min, max)| json!({"min": min, "max": max}));
    prop::collection::vec(range, 0..3).prop_map(Value::from)
}

fn any_rule() -> impl Strategy<Value = Value> {
    let devices = || some_of(&["p", "q"]);
    let words = (
        some_of(&["Shared", "Exclusive"]),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
    );
    let networks = some_of(&["10.1.0.0/16", "10.2.0.0/16", "239.0.0.0/8"]);
    (devices(), devices(), ranges(), ranges(), networks, words).prop_map(
        |(some, more, numbers, ports, networks, (modes, across, unfiltered, any))| {
            let sharing = if across { "AcrossNamespaces" } else { "WithinNamespace" };
            let unfiltered = if unfiltered { "Allowed" } else { "Denied" };
            json!({
                "vlan": {"parents": some, "portParents": more, "ids": numbers, "modes": modes, "sharing": sharing},
                "vxlan": {"underlays": more, "vnis": numbers, "ports": ports, "modes": modes, "sharing": sharing,
                    "peers": networks, "groups": networks, "unfiltered": unfiltered},
                "addresses": networks,
                "macs": if any { "Any" } else { "Assigned" },
            })
        },
    )
}

fn any_link() -> impl Strategy<Value = Link> {
    let mode = prop_oneof![
        Just(Value::Null),
        Just(json!("Shared")),
        Just(json!("Exclusive"))
    ];
    let on = (prop_oneof![Just("p"), Just("q")], any::<bool>(), mode);
    let ends = prop_oneof![
        Just(json!({"addresses": ["10.1.0.1"]})),
        Just(json!({"addresses": ["10.1.0.1", "10.2.0.1"]})),
        Just(json!({"group": "239.1.1.1"})),
    ];
    let port = prop_oneof![Just(Value::Null), (1..4).prop_map(Value::from)];
    let address = prop::option::of(prop_oneof![Just("10.1.0.9/24"), Just("10.2.0.9/24")]);
    (on, any::<bool>(), 1..4, port, ends, address).prop_map(
        |((device, of_node, mode), is_vlan, number, port, peers, address)| {
            let (kind, on) = match (is_vlan, of_node) {
                (true, true) => ("vlan", "parent"),
                (true, false) => ("vlan", "parentLink"),
                (false, true) => ("vxlan", "underlay"),
                (false, false) => ("vxlan", "underlayLink"),
            };
            let mut inner = match is_vlan {
                true => json!({"id": number}),
                false => json!({"vni": number, "port": port, "peers": peers}),
            };
            inner[on] = json!(device);
            if of_node {
                inner["mode"] = mode;
            }
            link(json!({"name": "n", kind: inner, "addresses": Vec::from_iter(address)}))
        },
    )
}

proptest! {
    #[test]
    fn what_is_granted_is_granted_by_a_single_rule_alone(
        link in any_link(), all in prop::collection::vec(any_rule(), 0..5),
    ) {
        let alone: Vec<Permit> = all.iter().filter_map(|rule| check(&link, json!([rule])).ok()).collect();
        let together = check(&link, Value::from(all));
        prop_assert_eq!(together.is_ok(), !alone.is_empty());
        if let Ok(permit) = together {
            let grants: Vec<Grant> = alone.iter().flat_map(|one| one.grants.clone()).collect();
            prop_assert_eq!(&permit.grants, &grants);
            let sources: Vec<_> = alone.iter().flat_map(|one| one.sources.clone()).collect();
            prop_assert_eq!(&permit.sources, &sources);
            for (on_port, unfiltered) in [(false, false), (true, false), (false, true), (true, true)] {
                let by_one = alone.iter().any(|one| one.may_share(on_port, unfiltered));
                prop_assert_eq!(permit.may_share(on_port, unfiltered), by_one);
            }
            prop_assert_eq!(permit.learning, alone.iter().all(|one| one.learning));
        }
    }

    #[test]
    fn one_more_rule_takes_no_link_away(
        link in any_link(), all in prop::collection::vec(any_rule(), 0..4), more in any_rule(),
    ) {
        let before = check(&link, Value::from(all.clone()));
        let all: Vec<Value> = all.into_iter().chain([more]).collect();
        prop_assert!(before.is_err() || check(&link, Value::from(all)).is_ok());
    }
}

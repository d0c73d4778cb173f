use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn any_link() -> impl Strategy<Value = Value> {
    let place = prop_oneof![
        (0..4).prop_map(|n| json!({"bridge": format!("b{n}")})),
        prop_oneof![Just("br-lan"), Just("br-secret")].prop_map(|n| json!({"hostBridge": n})),
        Just(json!({"routed": {}})),
    ];
    let address = prop_oneof![
        Just("10.99.0.1/24"),
        Just("10.98.0.1/24"),
        Just("fd99::1/64")
    ];
    (
        0..6,
        place,
        prop::collection::vec(address, 0..3),
        any::<bool>(),
    )
        .prop_map(|(name, place, addresses, mac)| {
            let mut link =
                json!({"name": format!("n{name}"), "veth": place, "addresses": addresses});
            if mac {
                link["mac"] = json!("02:00:00:00:00:01");
            }
            link
        })
}

fn any_configs() -> impl Strategy<Value = Vec<Arc<PodConfig>>> {
    prop::collection::vec((0..3_u32, prop::collection::vec(any_link(), 0..4)), 0..5).prop_map(
        |configs| {
            let named = configs.into_iter().enumerate();
            named
                .map(|(n, (minute, links))| config(&format!("c{n}"), minute, json!(links)))
                .collect()
        },
    )
}

fn any_policies() -> Vec<Arc<PodConfigPolicy>> {
    let any = json!({"namespaceSelector": {}, "limits": {"linksPerPod": 2}, "allow": [
        {"veth": {"bridges": "Own"}, "addresses": ["10.99.0.0/16"], "macs": "Any"}]});
    let lan = json!({"namespaceSelector": {}, "allow": [{"veth": {"hostBridges": ["br-lan"]}, "addresses": ["fd99::/32"]}]});
    [("a", any), ("b", lan)]
        .map(|(name, spec)| {
            Arc::new(PodConfigPolicy::new(
                name,
                serde_json::from_value(spec).unwrap(),
            ))
        })
        .into()
}

proptest! {
    #[test]
    fn the_order_of_the_inputs_never_changes_the_result(
        (configs, shuffled) in any_configs().prop_flat_map(|c| (Just(c.clone()), Just(c).prop_shuffle())),
    ) {
        let policies = any_policies();
        let backwards: Vec<_> = policies.iter().rev().cloned().collect();
        let (one, other) = (desired(&pod(), 0, &configs, &policies, "i"), desired(&pod(), 0, &shuffled, &backwards, "i"));
        prop_assert_eq!(one.granted, other.granted);
        prop_assert_eq!(one.refused, other.refused);
    }

    #[test]
    fn names_and_segments_are_unique_and_every_request_is_answered(configs in any_configs()) {
        let wanted = desired(&pod(), 0, &configs, &any_policies(), "i");
        let names: BTreeSet<_> = wanted.granted.iter().map(|g| &g.link.name).collect();
        prop_assert_eq!(names.len(), wanted.granted.len());
        prop_assert!(wanted.granted.len() <= 2);
        let asked: usize = configs.iter().map(|c| c.spec.links.len()).sum();
        prop_assert_eq!(wanted.granted.len() + wanted.refused.len(), asked);
    }

    #[test]
    fn nothing_is_granted_that_the_policies_refuse_alone(configs in any_configs()) {
        let policies = any_policies();
        let all: Vec<&PodConfigPolicy> = policies.iter().map(Arc::as_ref).collect();
        for granted in desired(&pod(), 0, &configs, &policies, "i").granted {
            let config = configs.iter().find(|c| name_of(c) == granted.podconfig).unwrap();
            let alone = |request: &&podconfig::Link| request.name == granted.link.name && policy::evaluate(request, "tenant-a", &all).is_ok();
            prop_assert!(config.spec.links.iter().any(|request| alone(&request)));
        }
    }
}

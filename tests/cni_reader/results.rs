use cni::{CniResult, Version};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use serde_json::{Map, Value, json};

use super::answers;

const RESULTS: usize = 1000;

fn address() -> impl Strategy<Value = String> {
    prop_oneof![
        (any::<[u8; 4]>(), 0_u8..=32).prop_map(|(address, prefix)| format!(
            "{}/{prefix}",
            std::net::Ipv4Addr::from(address)
        )),
        // With zeros at random places, for the short forms of addresses.
        (any::<[bool; 8]>(), any::<u16>(), 0_u8..=128).prop_map(|(set, part, prefix)| {
            let parts = set.map(|set| if set { part } else { 0 });
            format!("{}/{prefix}", std::net::Ipv6Addr::from(parts))
        }),
    ]
}

fn gateway() -> impl Strategy<Value = Option<String>> {
    let plain = address().prop_map(|address| address.split('/').next().unwrap().to_owned());
    prop::option::of(plain)
}

fn object(members: Vec<(&str, Option<Value>)>) -> Value {
    let present = members
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Value::Object(present.collect::<Map<_, _>>())
}

fn interface() -> impl Strategy<Value = Value> {
    (
        "[a-z]{1,9}",
        prop::option::of("[0-9a-f]{2}"),
        prop::option::of(0_u32..9000),
        any::<bool>(),
    )
        .prop_map(|(name, mac, mtu, in_pod)| {
            object(vec![
                ("name", Some(json!(name))),
                ("mac", mac.map(Value::from)),
                ("mtu", mtu.map(Value::from)),
                ("sandbox", in_pod.then(|| json!("/run/netns/x"))),
                ("socketPath", (!in_pod).then(|| json!("/run/x"))),
            ])
        })
}

fn ip() -> impl Strategy<Value = Value> {
    (address(), gateway(), prop::option::of(0_usize..1)).prop_map(
        |(address, gateway, interface)| {
            let family = if address.contains(':') { "6" } else { "4" };
            object(vec![
                ("version", Some(json!(family))),
                ("address", Some(json!(address))),
                ("gateway", gateway.map(Value::from)),
                ("interface", interface.map(Value::from)),
            ])
        },
    )
}

fn route() -> impl Strategy<Value = Value> {
    let numbers = prop::option::of(0_u32..1000);
    (
        address(),
        gateway(),
        numbers.clone(),
        numbers.clone(),
        numbers,
    )
        .prop_map(|(dst, gw, mtu, priority, table)| {
            object(vec![
                ("dst", Some(json!(dst))),
                ("gw", gw.map(Value::from)),
                ("mtu", mtu.map(Value::from)),
                ("priority", priority.map(Value::from)),
                ("table", table.map(Value::from)),
                ("scope", table.map(Value::from)),
            ])
        })
}

fn result() -> impl Strategy<Value = Value> {
    let lists = (
        prop::collection::vec(interface(), 1..3),
        prop::collection::vec(ip(), 0..3),
        prop::collection::vec(route(), 0..3),
        prop::option::of("[a-z.]{0,5}"),
    );
    (0_usize..5, lists).prop_map(|(version, (interfaces, ips, routes, domain))| {
        json!({
            "cniVersion": Version::ALL[version], "interfaces": interfaces, "ips": ips, "routes": routes,
            "dns": {"domain": domain, "search": domain.clone().into_iter().collect::<Vec<_>>()},
        })
    })
}

#[test]
fn results_are_converted_as_libcni_does() {
    let mut runner = TestRunner::default();
    let results: Vec<_> = (0..RESULTS)
        .map(|_| result().new_tree(&mut runner).unwrap().current())
        .filter(|result| CniResult::parse(result.to_string().as_bytes(), Version::V1_0_0).is_ok())
        .collect();
    assert!(
        results.len() > RESULTS / 2,
        "{} results were read",
        results.len()
    );
    let texts: Vec<_> = results.iter().map(Value::to_string).collect();
    for version in Version::ALL {
        let converted = answers("results", &[version.as_str()], &texts);
        for (text, converted) in texts.iter().zip(converted) {
            let ours = CniResult::parse(text.as_bytes(), version).unwrap();
            assert_eq!(ours.render(version), converted, "{text} in {version}");
        }
    }
}

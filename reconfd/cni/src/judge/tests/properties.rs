//! Whatever a tenant writes with the keys of all plugins.

use proptest::{prelude::*, sample::select};
use serde_json::{Map, Value, json};

use super::super::{PluginRule, TenantRules, known, objections};
use super::{bare, parse};

/// A value that names something of the node, or harms it as a switch.
const HARMFUL: [&str; 4] = ["/etc/x", "eth0", "-j ACCEPT", "passthru"];

fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        4 => select(&HARMFUL[..]).prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => Just(json!("10.0.0.0/24")),
        1 => Just(json!("10.0.0.1")),
        1 => Just(Value::Null),
    ];
    scalar.prop_recursive(3, 6, 2, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..2).prop_map(Value::from),
            members(inner, 2).prop_map(Value::from),
        ]
    })
}

fn members(
    value: impl Strategy<Value = Value>,
    most: usize,
) -> impl Strategy<Value = Map<String, Value>> {
    let inner = ["subnet", "dst", "address", "gateway", "domain", "search"];
    let keys: Vec<_> = known::keys().chain(inner).collect();
    let member = (select(keys).prop_map(str::to_owned), value);
    prop::collection::vec(member, 0..most).prop_map(Map::from_iter)
}

fn typed(mut members: Map<String, Value>, name: &str) -> Map<String, Value> {
    members.insert("type".to_owned(), name.into());
    members
}

fn plugin() -> impl Strategy<Value = Value> {
    let names = select(known::names().collect::<Vec<_>>());
    let ipam =
        (members(value(), 3), names.clone()).prop_map(|(members, name)| typed(members, name));
    (members(value(), 3), names, prop::option::of(ipam)).prop_map(|(members, name, ipam)| {
        let mut plugin = typed(members, name);
        plugin.extend(ipam.map(|ipam| ("ipam".to_owned(), ipam.into())));
        plugin.into()
    })
}

fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(members) => members.values().flat_map(texts).collect(),
        _ => vec![],
    }
}

fn is_allowed(plugin: &Value, rules: &[PluginRule]) -> bool {
    let rules = TenantRules {
        plugins: rules,
        ..TenantRules::default()
    };
    parse(plugin).is_ok_and(|config| objections(&config, rules).is_empty())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// `vrfname` is the one name that is the pod's own.
    #[test]
    fn what_no_rule_lists_names_nothing_of_the_node(mut plugin in plugin()) {
        if is_allowed(&plugin, &bare()) {
            let members = plugin.as_object_mut().unwrap();
            members.remove("vrfname");
            let named = texts(&plugin);
            prop_assert!(!named.iter().any(|text| HARMFUL.contains(text)), "{}", plugin);
        }
    }

    #[test]
    fn no_path_is_allowed_by_a_rule_for_another_key(mut plugin in plugin(), key in select(known::keys().collect::<Vec<_>>())) {
        let mut rules = bare();
        for rule in &mut rules {
            rule.keys.insert(key.to_owned(), HARMFUL.map(str::to_owned).to_vec());
        }
        if is_allowed(&plugin, &rules) {
            let members = plugin.as_object_mut().unwrap();
            members.remove("vrfname");
            members.remove(key);
            if let Some(Value::Object(ipam)) = members.get_mut("ipam") {
                ipam.remove(key);
            }
            let named = texts(&plugin);
            prop_assert!(!named.iter().any(|text| HARMFUL.contains(text)), "{}", plugin);
        }
    }
}

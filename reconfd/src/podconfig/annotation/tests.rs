use serde_json::{Value, json};

use super::*;

fn pod(networks: Value, status: Value) -> Pod {
    let text = |value: Value| match value {
        Value::String(text) => text,
        value => value.to_string(),
    };
    let annotations = json!({NETWORKS: text(networks), NETWORK_STATUS: text(status)});
    serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "t", "uid": "u", "annotations": annotations},
        "status": {"phase": "Running"},
    }))
    .unwrap()
}

fn stored(interface: &str, definition: Option<&str>) -> Stored {
    Stored {
        interface: interface.into(),
        definition: definition.map(Into::into),
        is_leaving: false,
        is_of_multus: false,
    }
}

fn of(networks: Value, status: Value, stored: &[Stored]) -> Requested {
    let mode = NetworksAnnotation::Match;
    requested(&pod(networks, status), mode, stored, &BTreeSet::new())
}

/// Interfaces with their definitions.
fn links(requested: &Requested) -> Vec<(String, String)> {
    let links = requested
        .config
        .iter()
        .flat_map(|config| &config.spec.links);
    let definition = |link: &crds::podconfig::Link| {
        let cni = link.cni.as_ref().unwrap();
        cni.network_attachment_definition.clone().unwrap()
    };
    links
        .map(|link| (link.name.clone(), definition(link)))
        .collect()
}

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter()
        .map(|(a, b)| ((*a).into(), (*b).into()))
        .collect()
}

fn none() -> Value {
    json!([])
}

#[test]
fn elements_become_links_in_their_order() {
    let networks = json!([
        {"name": "fast", "interface": "ens58"},
        {"name": "slow", "namespace": "networks", "interface": "ens2"},
    ]);
    let all = links(&of(networks, none(), &[]));
    assert_eq!(
        all,
        pairs(&[("ens58", "t/fast"), ("ens2", "networks/slow")])
    );
}

#[test]
fn nothing_is_requested_without_the_flag_the_annotation_or_elements() {
    let off = requested(
        &pod(json!("fast@net1"), none()),
        NetworksAnnotation::Off,
        &[],
        &BTreeSet::new(),
    );
    for requested in [off, of(json!(""), none(), &[]), of(none(), none(), &[])] {
        assert!(requested.config.is_none() && !requested.is_held);
        assert_eq!(requested.trouble, None);
    }
}

#[test]
fn what_others_attached_is_left_alone_as_long_as_it_is_listed() {
    let status = json!([
        {"name": "cluster", "interface": "eth0", "default": true},
        {"name": "t/fast", "interface": "net1"},
        {"name": "t/fast", "interface": "net7", "podconfig.dev/attached": true},
    ]);
    let networks = json!([
        {"name": "fast", "interface": "net1"}, {"name": "fast", "interface": "net7"},
        {"name": "fast", "interface": "net8"},
    ]);
    let all = links(&of(networks, status, &[]));
    // An entry of podconfig's own, which the store does not have any more, is none of others.
    assert_eq!(all, pairs(&[("net7", "t/fast"), ("net8", "t/fast")]));
}

#[test]
fn an_unnamed_element_is_what_the_pod_has_of_its_definition() {
    let networks = json!([{"name": "fast"}, {"name": "fast", "interface": "net1"}, {"name": "fast"}, {"name": "slow"}]);
    let status = json!([
        {"name": "t/fast", "interface": "net1"}, {"name": "t/fast", "interface": "net2"},
        {"name": "t/slow", "interface": "net3", "default": true},
    ]);
    let have = [
        stored("net4", Some("t/fast")),
        stored("net5", Some("t/other")),
    ];
    let all = links(&of(networks, status, &have));
    // net1 and net2 are Multus' own, net4 is of an earlier pass, and the first free name is net3.
    assert_eq!(all, pairs(&[("net4", "t/fast"), ("net3", "t/slow")]));
}

#[test]
fn a_free_name_is_no_name_of_a_podconfig_nor_of_what_is_being_deleted() {
    let leaving = Stored {
        is_leaving: true,
        ..stored("net2", Some("t/fast"))
    };
    let taken = ["net1".to_owned()].into();
    let pod = pod(json!("fast"), none());
    let all = requested(&pod, NetworksAnnotation::Match, &[leaving], &taken);
    assert_eq!(links(&all), pairs(&[("net3", "t/fast")]));
}

#[test]
fn strict_does_nothing_while_an_element_has_no_name() {
    let pod = pod(
        json!([{"name": "fast", "interface": "a"}, {"name": "slow"}]),
        none(),
    );
    let held = requested(&pod, NetworksAnnotation::Strict, &[], &BTreeSet::new());
    assert!(held.is_held && held.config.is_none());
    let (reason, message) = held.trouble.unwrap();
    assert_eq!(reason, Reason::InterfaceUnnamed);
    assert!(message.contains("element 1 (t/slow)"), "{message}");
}

#[test]
fn a_malformed_annotation_holds_everything_and_says_why() {
    let many: Vec<Value> = (0..10_000)
        .map(|n| json!({"name": format!("n{n}")}))
        .collect();
    let odd = [
        json!("[null]"),
        json!("[{}]"),
        json!("{\"name\": \"fast\"}"),
        json!("[".repeat(10_000)),
        json!("a".repeat(1 << 20)),
        json!(format!("[\"{}\"]", "a".repeat(1 << 20))),
        json!("a,".repeat(1 << 19)),
        json!([{"name": "../x", "interface": "net1"}]),
        json!([{"name": "fast", "interface": "eth0"}]),
        json!([{"name": "fast", "interface": "a b"}]),
        json!([{"name": "fast", "deviceID": "0000:00:00.0"}]),
        json!([{"name": "fast", "interface": "a"}, {"name": "slow", "interface": "a"}]),
        json!(many),
    ];
    for networks in odd {
        let held = of(networks.clone(), none(), &[]);
        assert!(held.is_held && held.config.is_none());
        let (reason, message) = held.trouble.unwrap();
        assert_eq!(reason, Reason::Invalid);
        assert!(
            !message.is_empty() && message.len() < 2000,
            "{}",
            message.len()
        );
    }
}

#[test]
fn a_status_that_is_none_lists_nothing() {
    for odd in ["", "{}", "[null, 1, {\"name\": 1}]", "not json"] {
        let all = links(&of(json!("fast@net1"), json!(odd), &[]));
        assert_eq!(all, pairs(&[("net1", "t/fast")]), "{odd}");
    }
}

#[test]
fn a_pod_that_does_not_run_yet_keeps_what_it_has() {
    let mut pod = pod(json!("fast@net1"), none());
    pod.status.phase = Some("Pending".into());
    let held = requested(&pod, NetworksAnnotation::Match, &[], &BTreeSet::new());
    assert!(held.is_held && held.config.is_none() && held.trouble.is_none());
}

#[test]
fn what_is_invalid_concerns_its_own_element() {
    let networks = json!([
        {"name": "fast", "interface": "a", "default-route": ["10.0.0.1", "10.0.0.2"]},
        {"name": "fast", "interface": "c", "ips": ["10.0.0.9", "10.0.0.8/24"], "mac": "02:00:00:00:00:01"},
    ]);
    let all = of(networks, none(), &[]);
    assert_eq!(links(&all), pairs(&[("c", "t/fast")]));
    let refused: Vec<&str> = all.refused.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(refused, ["a"]);
    let link = &all.config.as_ref().unwrap().spec.links[0];
    let addresses: Vec<String> = link.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["10.0.0.9/32", "10.0.0.8/24"]);
    assert!(link.mac.is_some());
}

#[test]
fn default_routes_are_judged_as_routes_and_one_element_has_that_of_a_family() {
    let networks = json!([
        {"name": "fast", "interface": "a", "default-route": ["10.0.0.1", "fd00::1"]},
        {"name": "fast", "interface": "b", "default-route": ["fd00::2"]},
        {"name": "fast", "interface": "c", "default-route": []},
    ]);
    let all = of(networks, none(), &[]);
    assert_eq!(links(&all), pairs(&[("a", "t/fast"), ("c", "t/fast")]));
    let links = &all.config.as_ref().unwrap().spec.links;
    let routes = serde_json::to_value(&links[0].routes).unwrap();
    assert_eq!(
        routes,
        json!([{"to": "0.0.0.0/0", "via": "10.0.0.1"}, {"to": "::/0", "via": "fd00::1"}])
    );
    assert!(links[1].routes.is_empty());
    let (refused, (reason, why)) = &all.refused[0];
    assert_eq!((refused.as_str(), *reason), ("b", Reason::Invalid));
    assert!(why.contains("interface a"), "{why}");
}

fn left_over(requested: &Requested) -> Vec<&str> {
    let all = requested.left_over.iter();
    all.map(|entry| entry.interface.as_str()).collect()
}

#[test]
fn what_multus_attached_and_no_element_lists_is_left_over() {
    let status = json!([
        {"name": "cluster", "interface": "eth0", "default": true},
        {"name": "odd", "interface": "eth0"}, {"name": "odd", "interface": "lo"}, {"name": "odd"},
        {"name": "t/fast", "interface": "net1"}, {"name": "t/fast", "interface": "net2"},
        {"name": "t/default", "interface": "net3", "default": true},
        {"name": "t/own", "interface": "net4", "podconfig.dev/attached": true},
        {"name": "podconfig.dev/t/links", "interface": "net5"},
        {"name": "t/stored", "interface": "net6"}, {"name": "t/taken", "interface": "net7"},
    ]);
    let networks = json!([{"name": "fast", "interface": "net1"}]);
    let pod = pod(networks, status.clone());
    let taken = ["net7".to_owned()].into();
    let have = [stored("net6", Some("t/stored"))];
    let requested = requested(&pod, NetworksAnnotation::Match, &have, &taken);
    assert_eq!(left_over(&requested), ["net2"]);
    assert!(requested.config.is_none());
    // A missing annotation lists nothing; one that cannot be followed changes nothing.
    assert_eq!(
        left_over(&of(json!(""), status.clone(), &have)),
        ["net1", "net2", "net7"]
    );
    assert_eq!(left_over(&of(json!("[null]"), status, &have)), [""; 0]);
}

#[test]
fn an_element_waits_until_what_has_its_name_is_detached() {
    let status = json!([{"name": "t/fast", "interface": "net1"}]);
    let multus = Stored {
        is_leaving: true,
        is_of_multus: true,
        ..stored("net1", None)
    };
    let networks = json!([{"name": "fast", "interface": "net1"}]);
    for (networks, have) in [
        (networks.clone(), vec![multus.clone()]),
        (json!([{"name": "slow", "interface": "net1"}]), vec![]),
    ] {
        let held = of(networks, status.clone(), &have);
        assert_eq!(left_over(&held), ["net1"]);
        assert!(held.config.is_none());
        let [(interface, (reason, _))] = held.refused.as_slice() else {
            unreachable!("{held:?}");
        };
        assert_eq!((interface.as_str(), *reason), ("net1", Reason::Reconciling));
    }
    // Once it is not listed any more, podconfig attaches it.
    let free = of(networks, none(), &[multus]);
    assert_eq!(links(&free), pairs(&[("net1", "t/fast")]));
    assert!(free.left_over.is_empty());
}

#[test]
fn a_flood_in_the_status_is_bounded() {
    let entries: Vec<Value> = (0..10_000)
        .map(|n| json!({"name": "t/fast", "interface": format!("n{n}")}))
        .collect();
    let flood = of(json!("fast@n1"), json!(entries), &[]);
    assert_eq!(flood.left_over.len(), 32);
}

use super::*;

pub(super) fn vlan(vlan: Value) -> Link {
    link(json!({"name": "v", "vlan": vlan}))
}

fn vxlan(vxlan: Value) -> Link {
    link(json!({"name": "x", "vxlan": vxlan}))
}

pub(super) fn tunnel(port: Option<i32>, peers: Value) -> Link {
    let mut it = json!({"underlay": "u0", "vni": 10042, "peers": peers});
    if let Some(port) = port {
        it["port"] = json!(port);
    }
    vxlan(it)
}

pub(super) fn trunk() -> Link {
    vlan(json!({"parent": "trunk0", "id": 100}))
}

/// The rule with another value at that place, such as `vlan.ids`.
fn but(rule: &Value, place: &str, other: &Value) -> Value {
    let mut rule = rule.clone();
    *rule
        .pointer_mut(&format!("/{}", place.replace('.', "/")))
        .unwrap() = other.clone();
    rule
}

/// Of rules that each lack one thing, no two make a whole one.
fn no_two_make_one(link: &Link, whole: &Value, others: &[(&str, Value)]) {
    assert!(check(link, json!([whole])).is_ok(), "{whole}");
    let lacking: Vec<Value> = others
        .iter()
        .map(|(place, other)| but(whole, place, other))
        .collect();
    for one in &lacking {
        for other in &lacking {
            refused(link, json!([one, other]));
        }
    }
    refused(link, Value::from(lacking));
}

#[test]
fn the_parent_of_one_rule_and_the_id_of_another_make_no_link() {
    let mut request = trunk();
    request.vlan.as_mut().unwrap().mode = Some(crds::podconfig::Mode::Exclusive);
    request.addresses = vec!["10.99.0.10/24".parse().unwrap()];
    let whole = json!({"vlan": {"parents": ["trunk0"], "ids": [{"min": 100, "max": 199}], "modes": ["Exclusive"]},
        "addresses": ["10.99.0.0/16"]});
    no_two_make_one(
        &request,
        &whole,
        &[
            ("vlan.parents", json!(["trunk1"])),
            ("vlan.parents", json!([])),
            ("vlan.ids", json!([{"min": 101, "max": 199}])),
            ("vlan.ids", json!([])),
            ("vlan.modes", json!(["Shared"])),
            ("addresses", json!(["192.168.0.0/16"])),
        ],
    );
}

#[test]
fn the_underlay_vni_port_and_peers_of_a_tunnel_come_from_one_rule() {
    let whole = json!({"vxlan": {"underlays": ["u0"], "vnis": [{"min": 10000, "max": 10999}],
        "ports": [{"min": 8472, "max": 8472}], "peers": ["10.77.0.0/24"], "modes": ["Shared"]}});
    no_two_make_one(
        &tunnel(Some(8472), json!({"addresses": ["10.77.0.2", "10.77.0.3"]})),
        &whole,
        &[
            ("vxlan.underlays", json!(["u1"])),
            ("vxlan.vnis", json!([{"min": 1, "max": 10041}])),
            ("vxlan.ports", json!([])),
            ("vxlan.peers", json!(["10.77.0.2/32"])),
            ("vxlan.peers", json!(["10.77.0.3/32"])),
            ("vxlan.peers", json!([])),
            ("vxlan.modes", json!(["Exclusive"])),
        ],
    );
}

#[test]
fn the_group_of_a_tunnel_comes_from_the_rule_of_its_vni() {
    let whole = json!({"vxlan": {"underlays": ["u0"], "vnis": [{"min": 10042, "max": 10042}],
        "peers": ["10.77.0.0/24"], "groups": ["239.1.0.0/16"]}});
    no_two_make_one(
        &tunnel(None, json!({"group": "239.1.1.1"})),
        &whole,
        &[
            ("vxlan.groups", json!([])),
            ("vxlan.groups", json!(["239.2.0.0/16", "ff00::/8"])),
            ("vxlan.vnis", json!([{"min": 1, "max": 1}])),
            ("vxlan.underlays", json!([])),
        ],
    );
}

#[test]
fn a_rule_for_another_kind_allows_nothing_of_this_one() {
    let all = json!([{"veth": {"bridges": "Own", "hostBridges": ["trunk0", "u0"], "routed": {}}},
        {"vxlan": {"underlays": ["trunk0"], "vnis": [{"min": 1, "max": 16_777_215}], "peers": ["0.0.0.0/0"]}}]);
    assert_eq!(
        refused(&trunk(), all),
        "vlan needs a rule with vlan, which is not there (policy telco, rule 1)"
    );
    let request = tunnel(None, json!({"addresses": ["10.77.0.2"]}));
    assert_eq!(
        refused(
            &request,
            json!([{"vlan": {"parents": ["u0"], "ids": [{"min": 1, "max": 4094}]}}])
        ),
        "vxlan needs a rule with vxlan, which is not there (policy telco, rule 1)"
    );
    refused(
        &blue(json!({})),
        json!([{"vlan": {"ids": [{"min": 1, "max": 1}]}, "vxlan": {"vnis": [], "peers": []}}]),
    );
}

#[test]
fn where_a_rule_names_no_mode_a_device_is_shared() {
    let rule = |modes: Value| {
        json!([{"vlan": {"parents": ["trunk0"], "ids": [{"min": 100, "max": 100}], "modes": modes},
        "vxlan": {"underlays": ["u0"], "vnis": [{"min": 10042, "max": 10042}], "peers": ["10.77.0.0/24"], "modes": modes}}])
    };
    let in_mode = |mode: &str| {
        [
            vlan(json!({"parent": "trunk0", "id": 100, "mode": mode})),
            vxlan(
                json!({"underlay": "u0", "vni": 10042, "mode": mode, "peers": {"addresses": ["10.77.0.2"]}}),
            ),
        ]
    };
    for request in in_mode("Shared") {
        assert!(check(&request, rule(json!([]))).is_ok());
        assert!(check(&request, rule(json!(["Exclusive", "Shared"]))).is_ok());
        assert!(
            refused(&request, rule(json!(["Exclusive"])))
                .starts_with("mode Shared is not among [Exclusive]")
        );
    }
    for request in in_mode("Exclusive") {
        assert!(
            refused(&request, rule(json!([]))).starts_with("mode Exclusive is not among [Shared]")
        );
        assert!(check(&request, rule(json!(["Exclusive"]))).is_ok());
    }
    assert!(check(&trunk(), rule(json!(["Shared"]))).is_ok());
    assert!(refused(&trunk(), rule(json!(["Exclusive"]))).starts_with("mode Shared"));
}

#[test]
fn where_a_rule_names_no_port_it_is_4789() {
    let rule = |ports: Value| json!([{"vxlan": {"underlays": ["u0"], "vnis": [{"min": 10042, "max": 10042}], "ports": ports, "peers": ["10.77.0.0/24"]}}]);
    let at = |port| tunnel(port, json!({"addresses": ["10.77.0.2"]}));
    for port in [None, Some(4789)] {
        assert!(check(&at(port), rule(json!([]))).is_ok());
        assert!(check(&at(port), rule(json!([{"min": 4789, "max": 4790}]))).is_ok());
        assert!(
            refused(&at(port), rule(json!([{"min": 8472, "max": 8472}])))
                .starts_with("vxlan.port 4789 is not among [8472]")
        );
    }
    for port in [0, -1, 4788, 65536 + 4789] {
        assert!(
            refused(&at(Some(port)), rule(json!([])))
                .starts_with(&format!("vxlan.port {port} is not among [4789]"))
        );
    }
}

#[test]
fn a_range_holds_its_ends_and_a_reversed_one_holds_nothing() {
    let rule = |min: i32, max: i32| {
        json!([{"vlan": {"parents": ["trunk0"], "ids": [{"min": min, "max": max}]},
        "vxlan": {"underlays": ["u0"], "vnis": [{"min": min, "max": max}], "peers": ["0.0.0.0/0"]}}])
    };
    let with = |number: i32| {
        [
            vlan(json!({"parent": "trunk0", "id": number})),
            vxlan(json!({"underlay": "u0", "vni": number, "peers": {"addresses": ["10.77.0.2"]}})),
        ]
    };
    for number in [100, 150, 199] {
        for request in with(number) {
            assert!(check(&request, rule(100, 199)).is_ok(), "{number}");
            assert!(refused(&request, rule(199, 100)).contains("is not among [199-100]"));
        }
    }
    for number in [-1, 0, 99, 200, 4095] {
        for request in with(number) {
            assert!(
                refused(&request, rule(100, 199))
                    .contains(&format!("{number} is not among [100-199]"))
            );
        }
    }
}

#[test]
fn a_device_is_allowed_by_the_very_name_that_is_written() {
    let rule = json!([{"vlan": {"parents": ["trunk0"], "ids": [{"min": 100, "max": 100}]}}]);
    for name in ["trunk", "trunk00", "TRUNK0", "trunk0 ", "", "trunk0\n", "*"] {
        let request = vlan(json!({"parent": name, "id": 100}));
        assert_eq!(
            refused(&request, rule.clone()),
            format!("vlan.parent {name:?} is not among [trunk0] (policy telco, rule 1)")
        );
    }
}

#[test]
fn a_link_of_the_pod_needs_no_device_but_the_id() {
    let request = vlan(json!({"parentLink": "data0", "id": 200}));
    assert!(
        check(
            &request,
            json!([{"vlan": {"ids": [{"min": 200, "max": 200}]}}])
        )
        .is_ok()
    );
    assert!(
        check(
            &request,
            json!([{"vlan": {"ids": [{"min": 200, "max": 200}], "modes": ["Exclusive"]}}])
        )
        .is_ok(),
        "it has no mode"
    );
    assert_eq!(
        refused(
            &request,
            json!([{"vlan": {"parents": ["data0"], "ids": [{"min": 1, "max": 199}]}}])
        ),
        "vlan.id 200 is not among [1-199] (policy telco, rule 1)"
    );
}

#[test]
fn a_tunnel_over_a_link_of_the_pod_needs_vni_port_and_peers_all_the_same() {
    let request = vxlan(
        json!({"underlayLink": "eth0", "vni": 7, "port": 8472, "peers": {"addresses": ["10.244.3.4"]}}),
    );
    let whole = json!({"vxlan": {"vnis": [{"min": 7, "max": 7}], "ports": [{"min": 8472, "max": 8472}], "peers": ["10.244.0.0/16"]}});
    no_two_make_one(
        &request,
        &whole,
        &[
            ("vxlan.vnis", json!([{"min": 8, "max": 8}])),
            ("vxlan.ports", json!([{"min": 4789, "max": 4789}])),
            ("vxlan.peers", json!(["10.244.3.5/32"])),
        ],
    );
}

#[test]
fn every_peer_must_be_in_a_listed_network_of_its_own_family() {
    let rule = |peers: Value| json!([{"vxlan": {"underlays": ["u0"], "vnis": [{"min": 10042, "max": 10042}], "peers": peers, "groups": peers}}]);
    let to = |addresses: Value| tunnel(None, json!({"addresses": addresses}));
    let both = json!(["10.77.0.0/25", "10.77.0.128/25"]);
    assert!(check(&to(json!(["10.77.0.2", "10.77.0.200"])), rule(both)).is_ok());
    assert_eq!(
        refused(
            &to(json!(["10.77.0.2", "10.78.0.2", "10.79.0.2"])),
            rule(json!(["10.77.0.0/24"]))
        ),
        "vxlan.peers.addresses 10.78.0.2 is not among [10.77.0.0/24], and 1 more (policy telco, rule 1)"
    );
    refused(&to(json!(["fd77::2"])), rule(json!(["0.0.0.0/0"])));
    refused(&to(json!(["10.77.0.2"])), rule(json!(["::/0"])));
    let mapped = to(json!(["::ffff:10.77.0.2"]));
    refused(&mapped, rule(json!(["::/0"])));
    assert!(
        check(&mapped, rule(json!(["10.77.0.0/24"]))).is_ok(),
        "judged by what it is"
    );
}

#[test]
fn a_group_is_allowed_by_groups_and_not_by_peers() {
    let request = tunnel(None, json!({"group": "239.1.1.1"}));
    let rule = json!({"underlays": ["u0"], "vnis": [{"min": 10042, "max": 10042}], "peers": ["0.0.0.0/0"]});
    assert_eq!(
        refused(&request, json!([{"vxlan": rule}])),
        "vxlan.peers.group 239.1.1.1 is not allowed: the rule lists none (policy telco, rule 1)"
    );
    let mut rule = rule;
    rule["groups"] = json!(["239.1.0.0/16"]);
    assert!(check(&request, json!([{"vxlan": rule}])).is_ok());
}

#[test]
fn the_message_names_the_first_objection_of_the_nearest_rule() {
    let mut request = trunk();
    request.addresses = vec!["10.99.0.10/24".parse().unwrap()];
    let allow = json!([
        {"vxlan": {"vnis": [{"min": 1, "max": 1}], "peers": ["10.0.0.0/8"]}, "addresses": ["10.99.0.0/16"]},
        {"vlan": {"parents": ["eth1"], "ids": [{"min": 1, "max": 99}]}},
        {"vlan": {"parents": ["trunk0"], "ids": [{"min": 1, "max": 99}, {"min": 200, "max": 200}]}, "addresses": ["10.99.0.0/16"]},
    ]);
    assert_eq!(
        refused(&request, allow.clone()),
        "vlan.id 100 is not among [1-99, 200] (policy telco, rule 3)"
    );
    request.vlan.as_mut().unwrap().id = 50;
    request.addresses = vec!["192.168.0.1/24".parse().unwrap()];
    assert_eq!(
        refused(&request, allow),
        "addresses 192.168.0.1/24 is not among [10.99.0.0/16] (policy telco, rule 3)"
    );
}

#[test]
fn no_device_and_no_peer_can_break_or_flood_a_message() {
    let many: Vec<String> = (0..64)
        .map(|n| format!("p{n}{}\n", "x".repeat(2000)))
        .collect();
    let ranges: Vec<Value> = (0..16)
        .map(|n| json!({"min": n + 1, "max": 4000}))
        .collect();
    let rule = json!([{"vlan": {"parents": many, "portParents": many, "ids": ranges},
        "vxlan": {"underlays": many, "vnis": [{"min": 1, "max": 1}], "peers": ["10.0.0.0/8"]}}]);
    for name in [
        "é".repeat(5000).as_str(),
        "p\nReady=True",
        "\u{202e}0knurt",
        "\u{1b}[2J",
    ] {
        for request in [
            vlan(json!({"parent": name, "id": 4001})),
            vxlan(json!({"underlay": name, "vni": 2, "peers": {"addresses": ["11.0.0.1"]}})),
        ] {
            let message = refused(&request, rule.clone());
            assert!(message.len() <= 500, "{} bytes", message.len());
            assert!(
                !message.chars().any(|c| c.is_control() || c == '\u{202e}'),
                "{message}"
            );
        }
    }
}

#[test]
fn a_vlan_or_a_vxlan_that_makes_no_sense_is_invalid_whatever_is_allowed() {
    let all = json!([{"vlan": {"parents": ["p"], "ids": [{"min": 1, "max": 4094}], "modes": ["Shared", "Exclusive"]},
        "vxlan": {"underlays": ["p"], "vnis": [{"min": 1, "max": 9}], "peers": ["0.0.0.0/0"], "groups": ["224.0.0.0/4"]}}]);
    let peers = json!({"addresses": ["10.77.0.2"]});
    for odd in [
        json!({"vlan": {"id": 1}}),
        json!({"vlan": {"parent": "p", "parentLink": "q", "id": 1}}),
        json!({"vxlan": {"vni": 1, "peers": peers}}),
        json!({"vxlan": {"underlay": "p", "underlayLink": "q", "vni": 1, "peers": peers}}),
        json!({"vxlan": {"underlay": "p", "vni": 1, "peers": {}}}),
        json!({"vxlan": {"underlay": "p", "vni": 1, "peers": {"addresses": ["10.77.0.2"], "group": "239.1.1.1"}}}),
        json!({"vxlan": {"underlay": "p", "vni": 1, "peers": {"auto": {}, "group": "239.1.1.1"}}}),
        json!({"vxlan": {"underlay": "p", "vni": 1, "peers": {"auto": {}, "addresses": ["10.77.0.2"]}}}),
        json!({"vxlan": {"underlayLink": "q", "vni": 1, "peers": {"auto": {}}}}),
        json!({"vlan": {"parent": "p", "id": 1}, "veth": {"bridge": "blue"}}),
        json!({"vlan": {"parent": "p", "id": 1}, "vxlan": {"underlay": "p", "vni": 1, "peers": peers}}),
    ] {
        let mut request = odd;
        request["name"] = json!("x");
        let rejection = check(&link(request.clone()), all.clone()).unwrap_err();
        assert_eq!(rejection.reason, Reason::Invalid, "{request}");
    }
}

#[test]
fn the_policy_among_the_samples_allows_the_links_among_them() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conf/samples");
    let read = |path: std::path::PathBuf| std::fs::read_to_string(path).unwrap();
    let policy: PodConfigPolicy =
        serde_saphyr::from_str(&read(folder.join("podconfigpolicy.yaml"))).unwrap();
    let mut links = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if !name.starts_with("podconfig-") {
            continue;
        }
        let config: crds::PodConfig = serde_saphyr::from_str(&read(path.clone())).unwrap();
        for link in &config.spec.links {
            if let Err(rejection) = evaluate(link, "tenant-a", &[&policy]) {
                panic!("{path:?}: {}: {}", link.name, rejection.message);
            }
            links += 1;
        }
    }
    assert!(links >= 10, "only {links} links were seen");
}

/// Which nodes they are is not in the request: the rule says where they may be, whenever one is found.
#[test]
fn ends_that_are_found_need_underlay_vni_and_port_and_no_more() {
    let request = tunnel(Some(8472), json!({"auto": {}}));
    let whole = json!({"vxlan": {"underlays": ["u0"], "vnis": [{"min": 10000, "max": 10999}],
        "ports": [{"min": 8472, "max": 8472}], "peers": ["10.77.0.0/24"]}});
    no_two_make_one(
        &request,
        &whole,
        &[
            ("vxlan.underlays", json!(["u1"])),
            ("vxlan.vnis", json!([{"min": 1, "max": 10041}])),
            ("vxlan.ports", json!([])),
        ],
    );
    let over_pod = vxlan(json!({"underlayLink": "q", "vni": 10042, "peers": {"auto": {}}}));
    let rejection = check(&over_pod, json!([whole])).unwrap_err();
    assert!(
        rejection.message.contains("needs addresses or a group"),
        "{}",
        rejection.message
    );
    let peerless = vxlan(json!({"underlay": "u0", "vni": 10042, "peers": {}}));
    let rejection = check(&peerless, json!([whole])).unwrap_err();
    assert!(
        rejection.message.contains("auto, addresses and group"),
        "{}",
        rejection.message
    );
}

use ipnetwork::IpNetwork;

use super::{
    segments::{trunk, tunnel, vlan},
    *,
};

fn networks(all: &[&str]) -> Vec<IpNetwork> {
    all.iter().map(|network| network.parse().unwrap()).collect()
}

fn grants(link: &Link, allow: Value) -> Vec<Grant> {
    check(link, allow).unwrap().grants
}

#[test]
fn a_port_parent_is_a_parent_and_the_grant_says_so() {
    let ids = json!([{"min": 100, "max": 100}]);
    let port = json!({"vlan": {"portParents": ["trunk0"], "ids": ids}});
    let plain = json!({"vlan": {"parents": ["trunk0"], "ids": ids}});
    let on_port = Grant {
        on_port: true,
        ..Grant::default()
    };
    assert_eq!(grants(&trunk(), json!([port])), [on_port]);
    assert_eq!(grants(&trunk(), json!([plain])), [Grant::default()]);
    assert_eq!(
        grants(&trunk(), json!([plain, port])),
        [Grant::default(), on_port]
    );
    assert_eq!(
        refused(
            &vlan(json!({"parent": "eth1", "id": 100})),
            json!([{"vlan": {"parents": ["trunk0"], "portParents": ["bond0"], "ids": ids}}])
        ),
        r#"vlan.parent "eth1" is not among [trunk0, bond0] (policy telco, rule 1)"#
    );
    let inside = vlan(json!({"parentLink": "trunk0", "id": 100}));
    assert_eq!(
        grants(&inside, json!([port])),
        [Grant::default()],
        "no device of the node"
    );
}

#[test]
fn sharing_across_namespaces_and_going_unfiltered_are_granted_by_their_words_alone() {
    let peers = json!({"addresses": ["10.77.0.2"]});
    for (sharing, across) in [
        (Value::Null, false),
        (json!("WithinNamespace"), false),
        (json!("AcrossNamespaces"), true),
    ] {
        for (word, unfiltered) in [
            (Value::Null, false),
            (json!("Denied"), false),
            (json!("Allowed"), true),
        ] {
            let rule = json!([{"vxlan": {"underlays": ["u0"], "vnis": [{"min": 10042, "max": 10042}],
                "peers": ["10.77.0.0/24"], "sharing": sharing, "unfiltered": word}}]);
            let grant = Grant {
                across,
                on_port: false,
                unfiltered,
            };
            assert_eq!(grants(&tunnel(None, peers.clone()), rule), [grant]);
        }
        let rule = json!([{"vlan": {"parents": ["trunk0"], "ids": [{"min": 100, "max": 100}], "sharing": sharing}}]);
        let grant = Grant {
            across,
            ..Grant::default()
        };
        assert_eq!(grants(&trunk(), rule), [grant]);
    }
}

#[test]
fn there_is_one_grant_for_each_rule_that_allows_the_link_and_none_of_the_others() {
    let rule = |vni: i32, sharing: &str, unfiltered: &str| {
        json!({"vxlan": {"underlays": ["u0"], "vnis": [{"min": vni, "max": vni}], "peers": ["10.77.0.0/24"],
            "sharing": sharing, "unfiltered": unfiltered}})
    };
    let allow = json!([
        rule(10042, "WithinNamespace", "Allowed"),
        rule(1, "AcrossNamespaces", "Allowed"),
        rule(10042, "AcrossNamespaces", "Denied"),
        {"veth": {"routed": {}}},
    ]);
    let request = tunnel(None, json!({"addresses": ["10.77.0.2"]}));
    let permit = check(&request, allow).unwrap();
    let (within, across) = (
        Grant {
            unfiltered: true,
            ..Grant::default()
        },
        Grant {
            across: true,
            ..Grant::default()
        },
    );
    assert_eq!(permit.grants, [within, across]);
}

#[test]
fn no_two_grants_together_let_a_segment_be_shared() {
    let permit = |grants: &[Grant]| Permit {
        grants: grants.to_vec(),
        ..Permit::default()
    };
    let across = Grant {
        across: true,
        ..Grant::default()
    };
    let on_port = Grant {
        on_port: true,
        ..Grant::default()
    };
    let unfiltered = Grant {
        unfiltered: true,
        ..Grant::default()
    };
    let apart = permit(&[on_port, across, unfiltered]);
    assert!(apart.may_share(false, false));
    assert!(!apart.may_share(true, false) && !apart.may_share(false, true));
    let whole = permit(&[
        Grant {
            across: true,
            ..on_port
        },
        Grant {
            across: true,
            ..unfiltered
        },
    ]);
    assert!(whole.may_share(true, false) && whole.may_share(false, true));
    assert!(!whole.may_share(true, true));
    assert!(!permit(&[on_port, unfiltered]).may_share(false, false));
}

#[test]
fn frames_of_a_group_come_from_the_peers_of_the_first_rule_that_allows_it() {
    let rule = |group: &str, peers: Value| json!({"vxlan": {"underlays": ["u0"], "vnis": [{"min": 10042, "max": 10042}], "groups": [group], "peers": peers}});
    let request = tunnel(None, json!({"group": "239.1.1.1"}));
    let other = rule("239.2.0.0/16", json!(["0.0.0.0/0"]));
    let first = rule("239.1.0.0/16", json!(["10.77.0.0/24", "fd77::/64"]));
    let second = rule("239.0.0.0/8", json!(["10.0.0.0/8"]));
    let permit = check(&request, json!([other, first, second])).unwrap();
    assert_eq!(permit.sources[0], networks(&["10.77.0.0/24", "fd77::/64"]));
    let permit = check(&request, json!([second, first])).unwrap();
    assert_eq!(permit.sources[0], networks(&["10.0.0.0/8"]));
    let (a, z) = (
        policy("a", json!({"namespaceSelector": {}, "allow": [first]})),
        policy("z", json!({"namespaceSelector": {}, "allow": [second]})),
    );
    let permit = evaluate(&request, "tenant-a", &[&a, &z]).unwrap();
    assert_eq!(permit.sources[0], networks(&["10.77.0.0/24", "fd77::/64"]));
}

/// Grants never add up, nor do the networks of two rules: what one says counts with its own peers.
#[test]
fn of_ends_that_are_found_one_rule_counts_with_all_that_it_says() {
    let rule = |peers: &str, sharing: &str, unfiltered: &str| {
        json!({"vxlan": {"underlays": ["u0"], "vnis": [{"min": 10042, "max": 10042}], "peers": [peers],
            "sharing": sharing, "unfiltered": unfiltered}})
    };
    let near = rule("10.77.0.0/24", "WithinNamespace", "Allowed");
    let far = rule("10.88.0.0/16", "AcrossNamespaces", "Denied");
    let permit = check(&tunnel(None, json!({"auto": {}})), json!([near, far])).unwrap();
    assert!(permit.may_share(false, false));
    for (number, networks_of_it, across) in [(0, "10.77.0.0/24", false), (1, "10.88.0.0/16", true)]
    {
        let mut one = permit.clone();
        one.restrict_to_rule(number);
        assert_eq!(one.sources, [networks(&[networks_of_it])]);
        assert_eq!(one.may_share(false, false), across);
        assert_eq!(one.grants.len(), 1);
        assert_eq!(one.grants[0].unfiltered, !across);
    }
}

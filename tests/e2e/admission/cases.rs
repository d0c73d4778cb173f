//! One allowance, and many links: what is allowed by it, and what is said to the others.

use serde_json::{Value, json};

use super::tenant::Tenant;

/// What an administrator might write for a tenant.
fn allowance() -> Value {
    json!([
        {"veth": {"bridges": "Own"}, "addresses": ["192.168.0.0/16", "fd00:1::/32"], "routes": ["172.20.0.0/16"],
            "tables": [{"min": 100, "max": 199}]},
        {"veth": {"hostBridges": ["br-lan", "br-x"]}, "addresses": ["192.168.20.0/24"], "macs": "Any", "slaac": "Allowed"},
        {"veth": {"hostBridges": ["br-lan"]}, "addresses": ["192.168.30.0/24"], "routes": ["0.0.0.0/0"], "domains": ["cluster", "lan"]},
        {"vlan": {"parents": ["trunk0"], "portParents": ["trunk1"], "ids": [{"min": 100, "max": 199}, {"min": 300, "max": 300}]},
            "addresses": ["10.99.0.8/29"], "routes": ["10.99.0.0/24"]},
        {"vlan": {"parents": ["trunk0"], "ids": [{"min": 200, "max": 299}], "modes": ["Exclusive"]}},
        {"vxlan": {"underlays": ["ens1f1"], "vnis": [{"min": 10000, "max": 10999}], "peers": ["10.77.0.0/24", "fd77::/64"],
            "ports": [{"min": 4789, "max": 4789}, {"min": 8472, "max": 8475}]}, "addresses": ["10.50.0.0/16"]},
        {"vxlan": {"underlays": ["ens1f1"], "vnis": [{"min": 7, "max": 7}], "peers": ["10.78.0.0/24"], "groups": ["239.1.0.0/16"],
            "modes": ["Shared", "Exclusive"]}},
        {"cni": {"definitions": [{"namespace": "networks", "names": ["fast", "slow"]}], "cniArgs": ["vlan"],
            "hostPorts": [{"min": 30000, "max": 30099}, {"min": 8080, "max": 8080}]}, "addresses": ["10.98.0.0/16"]},
        {"cni": {"plugins": [{"type": "macvlan"}], "inline": "Denied"}, "macs": "Any"},
    ])
}

fn own(more: Value) -> Value {
    with(json!({"veth": {"bridge": "blue"}}), more)
}

fn lan(more: Value) -> Value {
    with(json!({"veth": {"hostBridge": "br-lan"}}), more)
}

fn trunk(more: Value) -> Value {
    with(json!({"vlan": {"parent": "trunk0", "id": 100}}), more)
}

fn vlan(vlan: Value) -> Value {
    json!({"vlan": vlan})
}

/// Fields of a link that takes an address of each of these ranges.
fn pool(domain: Option<&str>, cidrs: &[&str]) -> Value {
    let ranges: Vec<Value> = cidrs.iter().map(|cidr| json!({"cidr": cidr})).collect();
    match domain {
        Some(domain) => json!({"ipam": {"domain": domain, "ranges": ranges}}),
        None => json!({"ipam": {"ranges": ranges}}),
    }
}

fn overlay(vxlan: Value) -> Value {
    let peers = json!({"addresses": ["10.77.0.2"]});
    let usual = json!({"underlay": "ens1f1", "vni": 10042, "peers": peers});
    json!({"vxlan": with(usual, vxlan)})
}

fn attached(definition: &str, more: Value) -> Value {
    json!({"cni": with(json!({"networkAttachmentDefinition": definition}), more)})
}

/// With these members, or others in the place of those that it has.
fn with(mut it: Value, more: Value) -> Value {
    for (name, value) in more.as_object().expect("members") {
        it[name] = value.clone();
    }
    it
}

/// Lets all of them through, each as the one link of a PodConfig.
fn are_allowed(tenant: &str, links: &[Value]) {
    let tenant = Tenant::new(tenant, &allowance(), None);
    for (name, said) in tenant.says_of_all(&numbered(links)) {
        assert_eq!(said, Ok(()), "{name}");
    }
}

fn are_told(tenant: &str, table: &[(Value, &str)]) {
    let tenant = Tenant::new(tenant, &allowance(), None);
    let links: Vec<Value> = table.iter().map(|(link, _)| link.clone()).collect();
    let said = tenant.says_of_all(&numbered(&links));
    for (number, (link, words)) in table.iter().enumerate() {
        let expected = format!("link l{number}: {words}");
        assert_eq!(said[&format!("l{number}")], Err(expected), "{link}");
    }
}

fn numbered(links: &[Value]) -> Vec<(String, Vec<Value>)> {
    let named = |(number, link): (usize, &Value)| {
        let name = format!("l{number}");
        (
            name.clone(),
            vec![with(link.clone(), json!({"name": name}))],
        )
    };
    links.iter().enumerate().map(named).collect()
}

#[test]
fn what_a_rule_allows_is_let_through() {
    are_allowed(
        "adm-good",
        &[
            own(json!({})),
            own(
                json!({"mtu": 9000, "addresses": ["192.168.1.10/24", "fd00:1::10/64"], "slaac": "Ignore"}),
            ),
            own(
                json!({"routes": [{"to": "172.20.0.0/16"}, {"to": "172.20.7.0/24", "table": 100}, {"to": "172.20.8.0/24", "table": 199}]}),
            ),
            own(json!({"addresses": ["192.168.1.10/16"]})),
            lan(
                json!({"addresses": ["192.168.20.5/24"], "mac": "0a:58:c0:a8:14:05", "slaac": "Accept"}),
            ),
            lan(json!({"addresses": ["192.168.30.5/24"], "routes": [{"to": "0.0.0.0/0"}]})),
            with(lan(json!({})), json!({"veth": {"hostBridge": "br-x"}})),
            own(pool(None, &["192.168.100.0/24", "fd00:1::/64"])),
            own(with(
                pool(Some("cluster"), &["192.168.0.0/16"]),
                json!({"addresses": ["192.168.1.10/24"]}),
            )),
            lan(pool(Some("lan"), &["192.168.30.0/24"])),
            lan(json!({"addresses": ["192.168.30.5/24"], "ipam": {"domain": "lan"}})),
            // Only a link with addresses is in a domain.
            own(json!({"ipam": {"domain": "nobodys"}})),
            trunk(json!({"addresses": ["10.99.0.10/24"], "routes": [{"to": "10.99.0.128/25"}]})),
            vlan(json!({"parent": "trunk0", "id": 199, "mode": "Shared"})),
            vlan(json!({"parent": "trunk1", "id": 300})),
            vlan(json!({"parent": "trunk0", "id": 250, "mode": "Exclusive"})),
            vlan(json!({"parentLink": "eth0", "id": 250})),
            overlay(json!({})),
            overlay(json!({"port": 8473, "peers": {"addresses": ["fd77::2", "fd77::3"]}})),
            overlay(json!({"underlay": "ens1f1", "peers": {"auto": {}}})),
            overlay(json!({"vni": 7, "mode": "Exclusive", "peers": {"group": "239.1.1.1"}})),
            json!({"vxlan": {"underlayLink": "eth0", "vni": 7, "peers": {"addresses": ["10.78.0.3"]}}}),
            attached("networks/fast", json!({})),
            attached(
                "networks/slow",
                json!({"args": {"vlan": "7"}, "portMappings": [{"hostPort": 30099, "containerPort": 80}]}),
            ),
            with(
                attached("networks/fast", json!({})),
                json!({"addresses": ["10.98.1.1/16"]}),
            ),
            // Of its own namespace, and judged by the nodes.
            with(
                attached("mine", json!({})),
                json!({"mac": "02:00:00:00:00:01"}),
            ),
            attached("adm-good/mine", json!({})),
        ],
    );
}

#[test]
fn what_plugins_are_asked_for_is_judged_as_far_as_the_link_says_it() {
    let ports = |port: u16| json!({"portMappings": [{"hostPort": port, "containerPort": 80}]});
    let asked = "an argument or a host port of cni is not allowed; the allowance lists vlan, 30000-30099, 8080";
    are_told(
        "adm-plugins",
        &[
            (
                attached("networks/other", json!({})),
                "cni.networkAttachmentDefinition networks/other is not allowed; the allowance lists networks/fast, \
                 networks/slow, adm-plugins/*",
            ),
            (
                attached("other/fast", json!({})),
                "cni.networkAttachmentDefinition other/fast is not allowed; the allowance lists networks/fast, \
                 networks/slow, adm-plugins/*",
            ),
            (
                json!({"cni": {"config": r#"{"cniVersion": "1.0.0", "type": "macvlan"}"#}}),
                "cni.config is not allowed; the allowance lists networks/fast, networks/slow, adm-plugins/*",
            ),
            (
                attached(
                    "networks/fast",
                    json!({"args": {"vlan": "7", "sysctl": "x"}}),
                ),
                asked,
            ),
            (attached("networks/fast", ports(6443)), asked),
            (
                attached("mine", ports(30000)),
                "an argument or a host port of cni is not allowed; the allowance lists none",
            ),
            (
                with(
                    attached("networks/fast", json!({})),
                    json!({"addresses": ["10.97.0.1/24"]}),
                ),
                "address 10.97.0.1/24 is not allowed on such a link; the allowance lists 10.98.0.0/16",
            ),
            (
                with(
                    attached("networks/fast", json!({})),
                    json!({"mac": "02:00:00:00:00:01"}),
                ),
                "a mac of its own is not allowed; the allowance lists macs: Assigned",
            ),
        ],
    );
}

#[test]
fn a_place_that_is_not_allowed_is_named_beside_those_that_are() {
    are_told(
        "adm-places",
        &[
            (
                json!({"veth": {"routed": {}}}),
                "veth.routed is not allowed; the allowance lists bridge, hostBridge",
            ),
            (
                json!({"veth": {"hostBridge": "br-z"}}),
                "veth.hostBridge br-z is not allowed; the allowance lists br-lan, br-x",
            ),
            (
                vlan(json!({"parent": "eth1", "id": 100})),
                "vlan.parent eth1 is not allowed; the allowance lists trunk0, trunk1",
            ),
            (
                overlay(json!({"underlay": "ens9"})),
                "vxlan.underlay ens9 is not allowed; the allowance lists ens1f1",
            ),
            (
                vlan(json!({"parent": "trunk0", "id": 7})),
                "id 7 is not allowed on parent trunk0; the allowance lists 100-199, 300, 200-299",
            ),
            (
                vlan(json!({"parent": "trunk1", "id": 200})),
                "id 200 is not allowed on parent trunk1; the allowance lists 100-199, 300",
            ),
            (
                vlan(json!({"parentLink": "eth0", "id": 301})),
                "id 301 is not allowed on parentLink eth0; the allowance lists 100-199, 300, 200-299",
            ),
            (
                overlay(json!({"vni": 11000})),
                "vni 11000 is not allowed on underlay ens1f1; the allowance lists 10000-10999, 7",
            ),
            (
                json!({"vxlan": {"underlayLink": "eth0", "vni": 8, "peers": {"addresses": ["10.78.0.3"]}}}),
                "vni 8 is not allowed on underlayLink eth0; the allowance lists 10000-10999, 7",
            ),
            (
                vlan(json!({"parent": "trunk0", "id": 100, "mode": "Exclusive"})),
                "mode Exclusive is not allowed for id 100; the allowance lists Shared",
            ),
            (
                vlan(json!({"parent": "trunk0", "id": 250})),
                "mode Shared is not allowed for id 250; the allowance lists Exclusive",
            ),
            (
                overlay(json!({"mode": "Exclusive"})),
                "mode Exclusive is not allowed for vni 10042; the allowance lists Shared",
            ),
        ],
    );
}

#[test]
fn the_ends_of_a_tunnel_are_judged_one_by_one() {
    are_told(
        "adm-tunnels",
        &[
            (
                overlay(json!({"port": 4790})),
                "port 4790 is not allowed for vni 10042; the allowance lists 4789, 8472-8475",
            ),
            (
                overlay(json!({"vni": 7, "port": 8472, "peers": {"addresses": ["10.78.0.2"]}})),
                "port 8472 is not allowed for vni 7; the allowance lists 4789",
            ),
            (
                overlay(json!({"peers": {"addresses": ["10.77.0.2", "10.78.0.2"]}})),
                "peer 10.78.0.2 is not allowed for vni 10042; the allowance lists 10.77.0.0/24, fd77::/64",
            ),
            (
                overlay(json!({"peers": {"addresses": ["fd78::2"]}})),
                "peer fd78::2 is not allowed for vni 10042; the allowance lists 10.77.0.0/24, fd77::/64",
            ),
            (
                overlay(json!({"peers": {"group": "239.1.1.1"}})),
                "group 239.1.1.1 is not allowed for vni 10042; the allowance lists none",
            ),
            (
                overlay(json!({"vni": 7, "peers": {"group": "239.2.1.1"}})),
                "group 239.2.1.1 is not allowed for vni 7; the allowance lists 239.1.0.0/16",
            ),
        ],
    );
}

#[test]
fn marks_and_addresses_are_judged_by_the_rules_of_the_place() {
    are_told(
        "adm-addresses",
        &[
            (
                own(json!({"mac": "02:00:00:00:00:01"})),
                "a mac of its own is not allowed; the allowance lists macs: Assigned",
            ),
            (
                trunk(json!({"mac": "02:00:00:00:00:01"})),
                "a mac of its own is not allowed; the allowance lists macs: Assigned",
            ),
            (
                own(json!({"slaac": "Accept"})),
                "slaac Accept is not allowed; the allowance lists slaac: Denied",
            ),
            (
                own(json!({"addresses": ["192.168.1.1/24", "10.99.0.10/24"]})),
                "address 10.99.0.10/24 is not allowed on such a link; the allowance lists 192.168.0.0/16, fd00:1::/32",
            ),
            (
                own(json!({"addresses": ["fd00:2::1/64"]})),
                "address fd00:2::1/64 is not allowed on such a link; the allowance lists 192.168.0.0/16, fd00:1::/32",
            ),
            (
                trunk(json!({"addresses": ["10.99.0.16/24"]})),
                "address 10.99.0.16/24 is not allowed on such a link; the allowance lists 10.99.0.8/29",
            ),
            (
                with(
                    vlan(json!({"parent": "trunk0", "id": 250, "mode": "Exclusive"})),
                    json!({"addresses": ["10.99.0.10/24"]}),
                ),
                "address 10.99.0.10/24 is not allowed on such a link; the allowance lists none",
            ),
            (
                lan(json!({"addresses": ["192.168.20.5/24", "192.168.30.5/24"]})),
                "no single rule allows all of its addresses; the allowance lists 192.168.20.0/24, 192.168.30.0/24",
            ),
            (
                lan(json!({"mac": "02:00:00:00:00:01", "addresses": ["192.168.30.5/24"]})),
                "address 192.168.30.5/24 is not allowed on such a link; the allowance lists 192.168.20.0/24",
            ),
            (
                own(json!({"addresses": ["192.168.1.10/8"]})),
                "the network of address 192.168.1.10/8 reaches beyond what is allowed; the allowance lists 192.168.0.0/16, fd00:1::/32, 172.20.0.0/16",
            ),
            (
                trunk(json!({"addresses": ["10.99.0.10/16"]})),
                "the network of address 10.99.0.10/16 reaches beyond what is allowed; the allowance lists 10.99.0.8/29, 10.99.0.0/24",
            ),
        ],
    );
}

#[test]
fn domains_and_ranges_are_judged_as_addresses_are() {
    are_told(
        "adm-ranges",
        &[
            (
                own(pool(Some("blue"), &["192.168.100.0/24"])),
                "domain blue is not allowed on such a link; the allowance lists cluster",
            ),
            (
                own(json!({"addresses": ["192.168.1.10/24"], "ipam": {"domain": "lan"}})),
                "domain lan is not allowed on such a link; the allowance lists cluster",
            ),
            (
                lan(pool(Some("blue"), &["192.168.30.0/24"])),
                "domain blue is not allowed on such a link; the allowance lists cluster, lan",
            ),
            (
                lan(pool(Some("lan"), &["192.168.20.0/24"])),
                "range 192.168.20.0/24 is not allowed on such a link; the allowance lists 192.168.30.0/24",
            ),
            (
                own(pool(None, &["192.168.100.0/24", "10.0.0.0/8"])),
                "range 10.0.0.0/8 is not allowed on such a link; the allowance lists 192.168.0.0/16, fd00:1::/32",
            ),
            (
                own(pool(None, &["192.0.0.0/8"])),
                "range 192.0.0.0/8 is not allowed on such a link; the allowance lists 192.168.0.0/16, fd00:1::/32",
            ),
            (
                own(pool(None, &["fd00::/16"])),
                "range fd00::/16 is not allowed on such a link; the allowance lists 192.168.0.0/16, fd00:1::/32",
            ),
            // A network that routes may lead to is not yet one for addresses.
            (
                own(pool(None, &["172.20.0.0/24"])),
                "range 172.20.0.0/24 is not allowed on such a link; the allowance lists 192.168.0.0/16, fd00:1::/32",
            ),
            (
                lan(pool(None, &["192.168.20.0/24", "192.168.30.0/24"])),
                "no single rule allows all of its addresses and ranges; the allowance lists 192.168.20.0/24, 192.168.30.0/24",
            ),
            (
                lan(with(
                    pool(None, &["192.168.20.0/24"]),
                    json!({"addresses": ["192.168.30.5/24"]}),
                )),
                "no single rule allows all of its addresses and ranges; the allowance lists 192.168.20.0/24, 192.168.30.0/24",
            ),
            (
                with(
                    vlan(json!({"parent": "trunk0", "id": 250, "mode": "Exclusive"})),
                    pool(None, &["10.99.0.8/29"]),
                ),
                "range 10.99.0.8/29 is not allowed on such a link; the allowance lists none",
            ),
        ],
    );
}

#[test]
fn routes_and_tables_are_judged_by_the_rules_that_allow_the_rest() {
    are_told(
        "adm-routes",
        &[
            (
                own(json!({"routes": [{"to": "172.20.0.0/16"}, {"to": "0.0.0.0/0"}]})),
                "route to 0.0.0.0/0 is not allowed on such a link; the allowance lists 172.20.0.0/16",
            ),
            (
                own(json!({"routes": [{"to": "::/0"}]})),
                "route to ::/0 is not allowed on such a link; the allowance lists 172.20.0.0/16",
            ),
            (
                own(json!({"routes": [{"to": "172.20.0.0/15"}]})),
                "route to 172.20.0.0/15 is not allowed on such a link; the allowance lists 172.20.0.0/16",
            ),
            (
                lan(json!({"addresses": ["192.168.20.5/24"], "routes": [{"to": "10.0.0.0/8"}]})),
                "route to 10.0.0.0/8 is not allowed on such a link; the allowance lists none",
            ),
            (
                own(json!({"routes": [{"to": "172.20.0.0/16", "table": 99}]})),
                "table 99 is not allowed for its routes; the allowance lists 100-199",
            ),
            (
                own(
                    json!({"routes": [{"to": "172.20.0.0/16", "table": 100}, {"to": "172.20.0.0/16", "table": 200}]}),
                ),
                "table 200 is not allowed for its routes; the allowance lists 100-199",
            ),
            (
                lan(json!({"routes": [{"to": "10.0.0.0/8", "table": 100}]})),
                "table 100 is not allowed for its routes; the allowance lists none",
            ),
        ],
    );
}

#[test]
fn the_first_link_that_is_wrong_is_named_among_many() {
    let tenant = Tenant::new("adm-many", &allowance(), None);
    let mut links: Vec<Value> = (0..32)
        .map(|n| with(own(json!({})), json!({"name": format!("n{n}")})))
        .collect();
    assert_eq!(tenant.says("x", &links), Ok(()));
    links[17] = with(
        vlan(json!({"parent": "trunk0", "id": 7})),
        json!({"name": "vlan7"}),
    );
    tenant.is_told(
        &links,
        "link vlan7: id 7 is not allowed on parent trunk0; the allowance lists 100-199, 300, 200-299",
    );
}

#[test]
fn a_kind_that_no_rule_has_is_named_beside_those_that_there_are() {
    let tenant = Tenant::new(
        "adm-kinds",
        &json!([{"veth": {"bridges": "Own"}}, {"veth": {"routed": {}}}]),
        None,
    );
    tenant.is_told(
        &[with(trunk(json!({})), json!({"name": "v"}))],
        "link v: vlan is not allowed; the allowance lists veth",
    );
    tenant.is_told(
        &[with(overlay(json!({})), json!({"name": "x"}))],
        "link x: vxlan is not allowed; the allowance lists veth",
    );
    tenant.is_told(
        &[with(
            attached("networks/fast", json!({})),
            json!({"name": "c"}),
        )],
        "link c: cni is not allowed; the allowance lists veth",
    );
}

#[test]
fn long_lists_are_cut_and_no_word_is_said_twice() {
    let rule = |n: usize| json!({"vlan": {"parents": ["trunk0"], "ids": [{"min": 4094, "max": 4094}, {"min": n, "max": n}]}});
    let tenant = Tenant::new("adm-long", &(1..=16).map(|n| rule(100 * n)).collect(), None);
    let v = [json!({"name": "v", "vlan": {"parent": "trunk0", "id": 7}})];
    tenant.is_told(
        &v,
        "link v: id 7 is not allowed on parent trunk0; the allowance lists 4094, 100, 200, 300, 400, 500, 600, 700, 800, \
         900, 1000, 1100, 1200, 1300, 1400, 1500, 1600",
    );
    let bridges: Vec<String> = (0..60).map(|n| format!("bridge-{n:03}")).collect();
    let tenant = Tenant::new(
        "adm-cut",
        &json!([{"veth": {"hostBridges": bridges}}]),
        None,
    );
    let said = tenant.says("x", &[json!({"name": "l", "veth": {"hostBridge": "br"}})]);
    let said = said.expect_err("refused");
    assert!(said.ends_with(" …") && said.len() < 500, "{said}");
}

use serde_json::json;

use super::*;
use crate::{Trust, netconf::NetconfError};

mod properties;

/// A rule for a type, with its keys as an object.
fn rule(plugin_type: &str, keys: Value) -> PluginRule {
    PluginRule {
        plugin_type: plugin_type.to_owned(),
        keys: serde_json::from_value(keys).unwrap(),
    }
}

fn parse(plugin: &Value) -> Result<NetworkConfig, NetconfError> {
    let text = json!({"cniVersion": "1.0.0", "plugins": [plugin]}).to_string();
    NetworkConfig::parse(&text, "team-net", Trust::Tenant)
}

/// The objections to a plugin by rules, each as a text.
fn by(rules: &[PluginRule], plugin: Value) -> Vec<String> {
    let rules = TenantRules {
        plugins: rules,
        ..TenantRules::default()
    };
    let found = objections(&parse(&plugin).unwrap(), rules);
    found.iter().map(ToString::to_string).collect()
}

/// Rules for every known type, without keys.
fn bare() -> Vec<PluginRule> {
    known::names().map(|name| rule(name, json!({}))).collect()
}

/// A plugin that is refused even by a rule that lists each of its values.
fn never(plugin: Value, key: &str) {
    let mut rules = bare();
    for rule in &mut rules {
        let of_ipam = plugin.get("ipam").and_then(Value::as_object);
        let members = [plugin.as_object(), of_ipam]
            .into_iter()
            .flatten()
            .flatten();
        rule.keys = members
            .map(|(key, value)| {
                (
                    key.clone(),
                    vec![
                        value.as_str().map_or(value.to_string(), str::to_owned),
                        "x".into(),
                    ],
                )
            })
            .collect();
    }
    let found = by(&rules, plugin);
    assert_eq!(found, [format!("plugins[0].{key}: is never a tenant's")]);
}

/// A plugin that is refused because of this key alone, and allowed by a rule that lists this value.
fn needs(plugin: Value, of_type: &str, key: &str, value: &str) {
    let found = by(&bare(), plugin.clone());
    let path = if plugin["type"] == of_type {
        "plugins[0]."
    } else {
        "plugins[0].ipam."
    };
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with(path), "{found:?}");
    assert!(
        found[0].ends_with(&format!("under keys.{key}")),
        "{found:?}"
    );
    let mut rules = bare();
    rules.retain(|rule| rule.plugin_type != of_type);
    rules.push(rule(of_type, json!({key: [value]})));
    assert_eq!(by(&rules, plugin), [""; 0]);
}

#[test]
fn attack_1_the_device_of_host_device_must_be_listed() {
    needs(
        json!({"type": "host-device", "device": "eth0"}),
        "host-device",
        "device",
        "eth0",
    );
    needs(
        json!({"type": "host-device", "hwaddr": "0a:00:00:00:00:01"}),
        "host-device",
        "hwaddr",
        "0a:00:00:00:00:01",
    );
    needs(
        json!({"type": "host-device", "pciBusID": "0000:00:1f.6"}),
        "host-device",
        "pciBusID",
        "0000:00:1f.6",
    );
    needs(
        json!({"type": "host-device", "kernelpath": "/sys/devices/x"}),
        "host-device",
        "kernelpath",
        "/sys/devices/x",
    );
}

#[test]
fn attack_2_the_bridge_must_be_listed_and_said() {
    needs(
        json!({"type": "bridge", "bridge": "cni0"}),
        "bridge",
        "bridge",
        "cni0",
    );
    for absent in [
        json!({"type": "bridge"}),
        json!({"type": "bridge", "bridge": ""}),
        json!({"type": "bridge", "bridge": null}),
        json!({"type": "bridge", "bridge": []}),
        json!({"type": "bridge", "bridge": {}}),
    ] {
        let found = by(
            &[rule("bridge", json!({"bridge": ["", "br-team"]}))],
            absent,
        );
        assert_eq!(
            found,
            ["plugins[0].bridge: must be said: without it the node decides"]
        );
    }
}

#[test]
fn attack_3_switches_of_a_bridge_must_be_listed() {
    let allowed = [rule("bridge", json!({"bridge": ["br-team"]}))];
    for key in [
        "isGateway",
        "isDefaultGateway",
        "forceAddress",
        "ipMasq",
        "promiscMode",
        "hairpinMode",
    ] {
        let found = by(
            &allowed,
            json!({"type": "bridge", "bridge": "br-team", key: true}),
        );
        assert_eq!(
            found,
            [format!(
                "plugins[0].{key}: a rule for bridge must list true under keys.{key}"
            )]
        );
        assert_eq!(
            by(
                &allowed,
                json!({"type": "bridge", "bridge": "br-team", key: false})
            ),
            [""; 0]
        );
        let both = [rule(
            "bridge",
            json!({"bridge": ["br-team"], key: ["true"]}),
        )];
        for on in [true, false] {
            assert_eq!(
                by(
                    &both,
                    json!({"type": "bridge", "bridge": "br-team", key: on})
                ),
                [""; 0]
            );
        }
    }
    let trunk =
        json!({"type": "bridge", "bridge": "br-team", "vlanTrunk": [{"minID": 1, "maxID": 4094}]});
    assert_eq!(
        by(&allowed, trunk),
        ["plugins[0].vlanTrunk: bridge may have such a value only in a trusted definition"]
    );
    let masq = json!({"type": "ptp", "ipMasq": true});
    needs(masq, "ptp", "ipMasq", "true");
}

#[test]
fn attack_4_the_master_must_be_listed_and_said() {
    for (plugin_type, other) in [
        ("macvlan", json!({})),
        ("ipvlan", json!({})),
        ("vlan", json!({"vlanId": ["5"]})),
    ] {
        let mut keys = other;
        keys["master"] = json!(["trunk0"]);
        let rules = [rule(plugin_type, keys)];
        let with = |master: Value| json!({"type": plugin_type, "master": master, "vlanId": 5});
        let objections = |master: Value| {
            let mut plugin = with(master);
            if plugin_type != "vlan" {
                plugin.as_object_mut().unwrap().remove("vlanId");
            }
            by(&rules, plugin)
        };
        assert_eq!(objections(json!("trunk0")), [""; 0]);
        assert_eq!(
            objections(json!("eth0")),
            [format!(
                "plugins[0].master: a rule for {plugin_type} must list \"eth0\" under keys.master"
            )]
        );
        for absent in [json!(null), json!("")] {
            assert!(!objections(absent).is_empty());
        }
        for odd in [
            json!(["eth0"]),
            json!({"x": "trunk0"}),
            json!(1),
            json!("trunk0 "),
            json!("TRUNK0"),
        ] {
            assert!(!objections(odd).is_empty());
        }
    }
}

#[test]
fn attack_5_multus_is_never_a_tenants() {
    for name in ["multus", "multus-shim"] {
        let rules = [rule(name, json!({"binDir": ["/x"]}))];
        let found = by(
            &rules,
            json!({"type": name, "binDir": "/x", "delegates": []}),
        );
        assert_eq!(
            found,
            [format!("plugins[0].type: {name} is never a tenant's")]
        );
    }
}

#[test]
fn attack_6_a_hidden_type_needs_a_rule_of_its_own() {
    let rules = [rule("ptp", json!({})), rule("static", json!({}))];
    assert_eq!(
        by(&rules, json!({"type": "ptp", "ipam": {"type": "static"}})),
        [""; 0]
    );
    let found = by(
        &rules,
        json!({"type": "ptp", "ipam": {"type": "host-local"}}),
    );
    assert_eq!(
        found,
        ["plugins[0].ipam.type: a rule must list the plugin host-local"]
    );
    for plugin in [
        json!({"type": "ptp", "delegate": {"type": "static"}}),
        json!({"type": "ptp", "delegates": [{"type": "static"}]}),
        json!({"type": "ptp", "ipam": {"type": "static", "ipam": {"type": "static"}}}),
        json!({"type": "ptp", "ipam": {"type": "ptp"}}),
        json!({"type": "static"}),
        json!({"type": "ptp", "ipam": {"addresses": []}}),
    ] {
        assert_eq!(by(&rules, plugin).len(), 1);
    }
}

#[test]
fn attack_7_the_nodes_own_types_are_never_a_tenants() {
    let own = ["calico".to_owned(), "bridge".to_owned()];
    let bare = bare();
    let rules = TenantRules {
        plugins: &bare,
        denied_types: &own,
        denied_networks: &[],
    };
    let refused = objections(
        &parse(&json!({"type": "bridge", "bridge": "cni0"})).unwrap(),
        rules,
    );
    assert_eq!(
        refused[0].to_string(),
        "plugins[0].type: bridge is never a tenant's"
    );
    for name in ["flannel", "podconfig-cni"] {
        assert_eq!(by(&[rule(name, json!({}))], json!({"type": name})).len(), 1);
    }
    for name in ["calico", "cilium-cni", "ovn-k8s-cni-overlay", "unheard-of"] {
        let found = by(&[rule(name, json!({}))], json!({"type": name}));
        assert_eq!(
            found,
            [format!(
                "plugins[0].type: {name:?} is only possible in a trusted definition"
            )]
        );
    }
}

#[test]
fn attack_8_a_path_as_a_type_does_not_even_parse() {
    assert!(parse(&json!({"type": "../ptp"})).is_err());
    assert!(parse(&json!({"type": "ptp", "ipam": {"type": "../static"}})).is_err());
}

#[test]
fn attack_9_a_key_in_another_case_is_no_known_key() {
    let rules = [rule(
        "macvlan",
        json!({"master": ["up0"], "MASTER": ["up1"], "Mtu": ["9000"]}),
    )];
    for key in ["Mtu", "Mode", "linkincontainer"] {
        let found = by(
            &rules,
            json!({"type": "macvlan", "master": "up0", key: "9000"}),
        );
        assert_eq!(
            found,
            [format!(
                "plugins[0].{key}: macvlan has no such key that a tenant may use"
            )]
        );
    }
    let alone = by(&rules, json!({"type": "macvlan", "MASTER": "up1"}));
    assert_eq!(alone.len(), 2, "{alone:?}");
}

#[test]
fn attack_10_a_forged_result_does_not_even_parse() {
    for key in ["prevResult", "runtimeConfig", "args", "cni.dev/attachments"] {
        assert!(parse(&json!({"type": "portmap", key: {"portMappings": []}})).is_err());
    }
}

#[test]
fn attack_12_words_in_rules_of_the_firewall_are_never_a_tenants() {
    never(
        json!({"type": "portmap", "conditionsV4": ["-j", "ACCEPT"]}),
        "conditionsV4",
    );
    never(
        json!({"type": "portmap", "conditionsV6": ["!", "-d"]}),
        "conditionsV6",
    );
    never(
        json!({"type": "portmap", "externalSetMarkChain": "KUBE-MARK-MASQ"}),
        "externalSetMarkChain",
    );
    never(
        json!({"type": "firewall", "iptablesAdminChainName": "INPUT"}),
        "iptablesAdminChainName",
    );
}

#[test]
fn attack_13_files_that_a_plugin_writes_are_never_a_tenants() {
    never(
        json!({"type": "ptp", "ipam": {"type": "host-local", "dataDir": "/etc"}}),
        "ipam.dataDir",
    );
    never(json!({"type": "tuning", "dataDir": "/etc"}), "dataDir");
    never(
        json!({"type": "sriov", "logFile": "/etc/cron.d/x"}),
        "logFile",
    );
    never(
        json!({"type": "ptp", "ipam": {"type": "whereabouts", "log_file": "/etc/cron.d/x"}}),
        "ipam.log_file",
    );
}

#[test]
fn attack_14_files_that_a_plugin_reads_are_never_a_tenants() {
    never(
        json!({"type": "ptp", "ipam": {"type": "host-local", "resolvConf": "/etc/shadow"}}),
        "ipam.resolvConf",
    );
    for key in [
        "configuration_path",
        "etcd_key_file",
        "etcd_cert_file",
        "etcd_ca_cert_file",
        "etcd_host",
    ] {
        never(
            json!({"type": "ptp", "ipam": {"type": "whereabouts", key: "/x"}}),
            &format!("ipam.{key}"),
        );
    }
    never(
        json!({"type": "ptp", "ipam": {"type": "whereabouts", "kubernetes": {"kubeconfig": "/x"}}}),
        "ipam.kubernetes",
    );
}

#[test]
fn attack_15_sockets_are_never_a_tenants() {
    never(
        json!({"type": "ptp", "ipam": {"type": "dhcp", "daemonSocketPath": "/run/containerd/containerd.sock"}}),
        "ipam.daemonSocketPath",
    );
    never(
        json!({"type": "ovs", "bridge": "x", "socket_file": "/run/x"}),
        "socket_file",
    );
}

#[test]
fn attack_16_sysctls_must_be_listed_one_by_one() {
    let name = "net.ipv4.conf.all.arp_filter";
    let plugin = json!({"type": "tuning", "sysctl": {name: "1"}});
    needs(
        plugin.clone(),
        "tuning",
        "sysctl.net.ipv4.conf.all.arp_filter",
        "1",
    );
    let other = [rule(
        "tuning",
        json!({"sysctl": ["1"], name: ["1"], "sysctl.net.core.somaxconn": ["1"]}),
    )];
    assert_eq!(by(&other, plugin).len(), 1);
    needs(
        json!({"type": "tuning", "promisc": true}),
        "tuning",
        "promisc",
        "true",
    );
    needs(
        json!({"type": "tuning", "allmulti": true}),
        "tuning",
        "allmulti",
        "true",
    );
}

#[test]
fn attack_16_cni_args_over_a_trusted_definition_must_be_listed() {
    let arguments =
        json!({"sysctl": {"net.core.somaxconn": "1"}, "mac": "x", "promisc": true, "mtu": 1});
    let arguments = arguments.as_object().unwrap();
    assert_eq!(argument_objections(arguments, &[]).len(), 4);
    let found = argument_objections(
        arguments,
        &[
            "mac".into(),
            "mtu".into(),
            "PROMISC".into(),
            "sysctl".into(),
        ],
    );
    assert_eq!(
        found[0].to_string(),
        "cni-args.promisc: a rule must list \"promisc\" under cniArgs"
    );
    assert_eq!(found.len(), 1);
}

#[test]
fn attack_17_pools_of_whereabouts_must_be_listed() {
    let with =
        |key: &str| json!({"type": "ptp", "ipam": {"type": "whereabouts", key: "10.96.0.0/12"}});
    needs(with("range"), "whereabouts", "range", "10.96.0.0/12");
    needs(
        with("network_name"),
        "whereabouts",
        "network_name",
        "10.96.0.0/12",
    );
}

#[test]
fn attack_18_tables_must_be_listed() {
    needs(
        json!({"type": "sbr", "table": 254}),
        "sbr",
        "table",
        "200-254",
    );
    needs(
        json!({"type": "vrf", "vrfname": "blue", "table": 254}),
        "vrf",
        "table",
        "254",
    );
    let static_routes = json!({"type": "ptp", "ipam": {"type": "static", "routes": [{"dst": "0.0.0.0/0", "table": 254}]}});
    assert_eq!(by(&bare(), static_routes).len(), 1);
}

#[test]
fn attack_19_macs_and_spoof_checks_must_be_listed() {
    needs(
        json!({"type": "tuning", "mac": "0a:58:0a:00:00:01"}),
        "tuning",
        "mac",
        "0a:58:0a:00:00:01",
    );
    needs(
        json!({"type": "sriov", "spoofchk": "off"}),
        "sriov",
        "spoofchk",
        "off",
    );
    needs(
        json!({"type": "sriov", "trust": "on"}),
        "sriov",
        "trust",
        "on",
    );
    let bridge = |keys: Value| [rule("bridge", keys)];
    let off = json!({"type": "bridge", "bridge": "b", "macspoofchk": false});
    assert_eq!(by(&bridge(json!({"bridge": ["b"]})), off.clone()).len(), 1);
    assert_eq!(
        by(
            &bridge(json!({"bridge": ["b"], "macspoofchk": ["false"]})),
            off
        ),
        [""; 0]
    );
}

#[test]
fn attack_20_the_network_of_the_cluster_is_never_a_tenants() {
    let denied = ["cbr0".to_owned()];
    let bare = bare();
    let rules = TenantRules {
        plugins: &bare,
        denied_types: &[],
        denied_networks: &denied,
    };
    let named = |name: &str| {
        let text = json!({"cniVersion": "1.0.0", "name": name, "type": "ptp"}).to_string();
        objections(
            &NetworkConfig::parse(&text, "x", Trust::Tenant).unwrap(),
            rules,
        )
    };
    assert_eq!(
        named("cbr0")[0].to_string(),
        "name: cbr0 is a network of the node or of an administrator"
    );
    assert_eq!(named("team"), []);
}

#[test]
fn attack_22_addresses_of_a_configuration_are_addresses_alone() {
    for address in [
        "10.0.0.1/24;K8S_POD_NAMESPACE=kube-system",
        "10.0.0.1",
        "::ffff:10.0.0.1/120",
        "x",
        "10.0.0.1/255.0.0.0",
    ] {
        let plugin =
            json!({"type": "ptp", "ipam": {"type": "static", "addresses": [{"address": address}]}});
        assert_eq!(by(&bare(), plugin).len(), 1, "{address}");
    }
}

#[test]
fn vlans_must_be_listed_and_may_be_a_range() {
    let rules = [rule(
        "bridge",
        json!({"bridge": ["b"], "vlan": ["100-199", "300"]}),
    )];
    let with = |vlan: Value| {
        by(
            &rules,
            json!({"type": "bridge", "bridge": "b", "vlan": vlan}),
        )
    };
    for vlan in [json!(100), json!(199), json!(300)] {
        assert_eq!(with(vlan), [""; 0]);
    }
    for vlan in [
        json!(99),
        json!(200),
        json!(-1),
        json!(100.5),
        json!("150"),
        json!([150, 1]),
    ] {
        assert_eq!(with(vlan.clone()).len(), 1, "{vlan}");
    }
}

#[test]
fn a_rule_narrows_what_is_harmless_and_its_default_too() {
    let master = json!({"master": ["up0"]});
    let mode = |mode: &str| json!({"type": "macvlan", "master": "up0", "mode": mode});
    for harmless in ["bridge", "private", "vepa"] {
        assert_eq!(
            by(&[rule("macvlan", master.clone())], mode(harmless)),
            [""; 0]
        );
    }
    assert_eq!(by(&[rule("macvlan", master)], mode("passthru")).len(), 1);
    let private = [rule(
        "macvlan",
        json!({"master": ["up0"], "mode": ["private"]}),
    )];
    assert_eq!(by(&private, mode("private")), [""; 0]);
    assert_eq!(by(&private, mode("bridge")).len(), 1);
    let found = by(&private, json!({"type": "macvlan", "master": "up0"}));
    assert_eq!(
        found,
        ["plugins[0].mode: a rule for macvlan must list \"bridge\" under keys.mode"]
    );
}

#[test]
fn entries_for_one_type_never_add_up() {
    let rules = [
        rule("macvlan", json!({"master": ["up0"], "mode": ["passthru"]})),
        rule("macvlan", json!({"master": ["up1"]})),
    ];
    let with = |master: &str, mode: &str| {
        by(
            &rules,
            json!({"type": "macvlan", "master": master, "mode": mode}),
        )
    };
    assert_eq!(with("up0", "passthru"), [""; 0]);
    assert_eq!(with("up1", "vepa"), [""; 0]);
    assert_eq!(with("up1", "passthru").len(), 1);
}

#[test]
fn harmless_values_of_the_wrong_kind_are_refused() {
    for plugin in [
        json!({"type": "ptp", "mtu": "1500"}),
        json!({"type": "ptp", "mtu": -1}),
        json!({"type": "ptp", "mtu": 65536}),
        json!({"type": "ptp", "mtu": 1500.0}),
        json!({"type": "ptp", "dns": {"nameservers": ["x"]}}),
        json!({"type": "ptp", "dns": {"file": "/etc/shadow"}}),
        json!({"type": "bandwidth", "ingressRate": true}),
        json!({"type": "ptp", "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.0.0.0/8", "dataDir": "/x"}]]}}),
        json!({"type": "ptp", "ipam": {"type": "host-local", "ranges": [{"subnet": "10.0.0.0/8"}]}}),
        json!({"type": "ptp", "ipam": {"type": "static", "addresses": vec![json!({"address": "10.0.0.1/8"}); 65]}}),
    ] {
        assert_eq!(by(&bare(), plugin.clone()).len(), 1, "{plugin}");
    }
}

#[test]
fn usual_configurations_are_allowed() {
    for plugin in [
        json!({"type": "ptp", "mtu": 1400, "capabilities": {"ips": true}, "dns": {}, "ipam": null}),
        json!({"type": "ptp", "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/16", "rangeStart": "10.1.0.9"}]],
            "routes": [{"dst": "10.2.0.0/16", "gw": "10.1.0.1", "mtu": 1400}]}}),
        json!({"type": "ptp", "ipam": {"type": "static", "addresses": [{"address": "fd00::5/64", "gateway": "fd00::1"}]}}),
        json!({"type": "bandwidth", "ingressRate": 1_000_000, "ingressBurst": 2_000_000}),
        json!({"type": "tuning", "mtu": 1400}),
        json!({"type": "ptp", "ipam": {}}),
    ] {
        assert_eq!(by(&bare(), plugin.clone()), [""; 0], "{plugin}");
    }
}

#[test]
fn without_a_rule_nothing_is_allowed() {
    for name in known::names() {
        assert!(!by(&[], json!({"type": name})).is_empty());
    }
}

#[test]
fn an_objection_is_short_and_printable() {
    let key = "\u{1b}".repeat(200);
    let found = by(
        &bare(),
        json!({"type": "ptp", key: 1, "mtu": "\u{1b}".repeat(5000)}),
    );
    assert_eq!(found.len(), 2);
    assert!(
        found
            .iter()
            .all(|text| text.len() < 700 && !text.chars().any(char::is_control)),
        "{found:?}"
    );
}

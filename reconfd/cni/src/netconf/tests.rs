use serde_json::json;

use super::*;

pub(crate) fn parse(value: Value, trust: Trust) -> Result<NetworkConfig, NetconfError> {
    NetworkConfig::parse(&value.to_string(), "fast", trust)
}

fn trusted(value: Value) -> Result<NetworkConfig, NetconfError> {
    parse(value, Trust::Trusted)
}

fn list(plugins: Vec<Value>) -> Value {
    json!({"cniVersion": "0.3.1", "plugins": plugins})
}

#[test]
fn a_single_plugin_becomes_a_chain_of_one() {
    let config = trusted(json!({
        "cniVersion": "0.3.1", "type": "macvlan", "master": "up0", "disableCheck": true, "cniVersions": [],
    }))
    .unwrap();
    assert_eq!(config.network, "fast");
    assert_eq!(
        config.plugins,
        [json!({"type": "macvlan", "master": "up0"})
            .as_object()
            .cloned()
            .unwrap()]
    );
    assert!(config.disable_check && !config.disable_gc);
    assert_eq!(config.types().unwrap()[0].path, "type");
}

#[test]
fn a_list_keeps_its_order_and_its_plugins_get_its_name() {
    let config = trusted(json!({
        "cniVersion": "1.0.0", "name": "net", "disableCheck": "True", "disableGC": "false", "loadOnlyInlinedPlugins": true,
        "plugins": [{"type": "bridge", "name": "other", "cniVersion": "0.2.0", "ipam": {"type": "static"}}, {"type": "tuning"}],
    }))
    .unwrap();
    assert_eq!(
        (config.network.as_str(), config.cni_version),
        ("net", Version::V1_0_0)
    );
    assert!(config.disable_check && !config.disable_gc);
    assert!(
        !config.plugins[0].contains_key("name") && !config.plugins[0].contains_key("cniVersion")
    );
    let types: Vec<_> = config
        .types()
        .unwrap()
        .into_iter()
        .map(|found| found.path)
        .collect();
    assert_eq!(
        types,
        ["plugins[0].type", "plugins[0].ipam.type", "plugins[1].type"]
    );
}

#[test]
fn an_empty_name_is_that_of_the_definition() {
    let config = trusted(json!({"cniVersion": "0.3.1", "name": "", "type": "macvlan"})).unwrap();
    assert_eq!(config.network, "fast");
    assert!(matches!(
        trusted(json!({"cniVersion": "0.3.1", "name": "../x", "type": "macvlan"})),
        Err(NetconfError::Name(_))
    ));
}

#[test]
fn what_is_no_configuration_is_refused() {
    for value in [
        json!(null),
        json!([]),
        json!("x"),
        json!({}),
        json!({"cniVersion": "0.3.1"}),
        json!({"cniVersion": "0.3.1", "type": ""}),
        json!({"cniVersion": "0.3.1", "type": 1}),
        json!({"cniVersion": "0.3.1", "plugins": {}}),
        json!({"cniVersion": "0.3.1", "plugins": null}),
        list(vec![]),
        list(vec![json!(null)]),
        list(vec![json!({})]),
        list(vec![json!({"type": ""})]),
        list(vec![json!({"type": "x", "capabilities": ["ips"]})]),
        list(vec![json!({"type": "x", "capabilities": {"ips": 1}})]),
        list(vec![json!({"type": "x", "args": []})]),
        list(vec![json!({"type": "x", "args": {"cni": 1}})]),
        json!({"cniVersion": "0.3.1", "name": 1, "type": "x"}),
        json!({"cniVersion": 1, "type": "x"}),
        json!({"cniVersions": "0.3.1", "type": "x"}),
        json!({"cniVersion": "0.3.1", "disableCheck": 1, "type": "x"}),
        json!({"cniVersion": "0.3.1", "disableCheck": null, "type": "x"}),
    ] {
        assert!(trusted(value.clone()).is_err(), "{value}");
    }
}

#[test]
fn a_version_below_0_3_0_or_none_is_refused() {
    for value in [
        json!({"type": "x"}),
        json!({"cniVersion": "0.2.0", "type": "x"}),
    ] {
        assert!(matches!(trusted(value), Err(NetconfError::Version(_))));
    }
}

/// Multus takes the type, libcni takes the list.
#[test]
fn attack_9_a_type_beside_plugins_is_refused() {
    let both = json!({"cniVersion": "0.3.1", "type": "static", "plugins": [{"type": "multus"}]});
    assert_eq!(trusted(both), Err(NetconfError::TwoReadings));
}

#[test]
fn attack_9_a_protocol_key_in_another_case_is_refused() {
    for key in [
        "Name",
        "CNIVersion",
        "cniversions",
        "Plugins",
        "TYPE",
        "Ipam",
        "Args",
        "Capabilities",
        "Delegates",
    ] {
        let mut single = json!({"cniVersion": "0.3.1", "type": "x"});
        single[key] = json!(null);
        assert!(
            matches!(
                trusted(single.clone()),
                Err(NetconfError::Json(_) | NetconfError::Case(..))
            ),
            "{single}"
        );
        let mut plugin = json!({"type": "x"});
        plugin[key] = json!(null);
        assert!(trusted(list(vec![plugin])).is_err(), "{key}");
    }
}

#[test]
fn attack_10_a_forged_prev_result_or_runtime_config_is_refused_at_any_depth() {
    for key in [
        "prevResult",
        "PREVRESULT",
        "runtimeConfig",
        "RuntimeConfig",
        "cni.dev/valid-attachments",
        "CNI.dev/x",
    ] {
        let forged = |inner: Value| {
            let mut object = inner;
            object[key] = json!({});
            object
        };
        for value in [
            forged(json!({"cniVersion": "0.3.1", "type": "x"})),
            forged(list(vec![json!({"type": "x"})])),
            list(vec![json!({"type": "a"}), forged(json!({"type": "x"}))]),
            list(vec![
                json!({"type": "x", "delegate": forged(json!({"type": "y"}))}),
            ]),
            list(vec![
                json!({"type": "x", "delegates": [forged(json!({"type": "y"}))]}),
            ]),
            list(vec![
                json!({"type": "x", "ipam": forged(json!({"type": "y"}))}),
            ]),
        ] {
            assert!(
                matches!(trusted(value.clone()), Err(NetconfError::OfRuntime(_))),
                "{value}"
            );
        }
    }
}

#[test]
fn attack_16_args_in_a_tenants_configuration_are_refused() {
    for value in [
        json!({"cniVersion": "0.3.1", "type": "tuning", "args": {"cni": {"sysctl": {}}}}),
        list(vec![json!({"type": "tuning", "args": {}})]),
    ] {
        assert!(trusted(value.clone()).is_ok());
        assert!(matches!(
            parse(value, Trust::Tenant),
            Err(NetconfError::NotTrusted(_))
        ));
    }
}

#[test]
fn attack_26_more_than_16_plugins_are_refused() {
    let many = |count| list(vec![json!({"type": "x"}); count]);
    assert_eq!(trusted(many(16)).unwrap().plugins.len(), 16);
    assert_eq!(trusted(many(17)), Err(NetconfError::Plugins(17)));
    assert!(trusted(many(10_000)).is_err());
}

fn input() -> AttachmentInput {
    AttachmentInput {
        container_id: "abc".into(),
        ifname: "net1".into(),
        netns: "/run/netns/abc".into(),
        ..AttachmentInput::default()
    }
}

fn arguments(value: Value) -> AttachmentInput {
    AttachmentInput {
        cni_args: value.as_object().cloned().unwrap(),
        ..input()
    }
}

#[test]
fn a_frozen_chain_has_the_arguments_in_each_plugin() {
    let config = trusted(list(vec![
        json!({"type": "a", "args": {"x": 1, "cni": {"k": 1, "l": 2}}}),
        json!({"type": "b"}),
    ]));
    let chain = config.unwrap().freeze(arguments(json!({"k": 3}))).unwrap();
    assert_eq!(
        chain.plugins[0].object["args"],
        json!({"x": 1, "cni": {"k": 3, "l": 2}})
    );
    assert_eq!(chain.plugins[1].object["args"], json!({"cni": {"k": 3}}));
    assert_eq!(
        (
            chain.network.as_str(),
            chain.plugins[1].plugin_type.as_str()
        ),
        ("fast", "b")
    );
}

#[test]
fn attack_9_an_argument_that_folds_onto_another_is_refused() {
    let config = trusted(list(vec![
        json!({"type": "a", "args": {"cni": {"mac": "x"}}}),
    ]))
    .unwrap();
    assert!(config.freeze(arguments(json!({"MAC": "y"}))).is_err());
    assert!(config.freeze(arguments(json!({"mac": "y"}))).is_ok());
}

#[test]
fn attack_23_an_interface_that_is_no_name_is_not_frozen() {
    let config = trusted(list(vec![json!({"type": "a"})])).unwrap();
    assert!(
        config
            .freeze(AttachmentInput {
                ifname: "a/b".into(),
                ..input()
            })
            .is_err()
    );
}

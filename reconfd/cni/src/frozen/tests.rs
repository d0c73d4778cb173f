use serde_json::json;

use super::*;

pub(crate) fn object(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap()
}

pub(crate) fn chain(version: Version, plugins: &[Value]) -> FrozenChain {
    FrozenChain {
        network: "fast".into(),
        cni_version: version,
        plugins: plugins
            .iter()
            .map(|plugin| FrozenPlugin::of(object(plugin.clone())).unwrap())
            .collect(),
        disable_check: false,
        disable_gc: false,
        runtime_config: object(json!({"ips": ["10.0.0.5/24"], "mac": "0a:58:0a:00:00:05"})),
        args: vec![
            ("IgnoreUnknown".into(), "true".into()),
            ("K8S_POD_NAMESPACE".into(), "team".into()),
        ],
        container_id: "abc".into(),
        ifname: "net1".into(),
        netns: "/run/netns/abc".into(),
        digests: BTreeMap::new(),
    }
}

fn macvlan() -> Value {
    json!({"type": "macvlan", "master": "up0", "ipam": {"type": "static"}})
}

#[test]
fn a_chain_comes_back_the_same_from_a_file() {
    let mut chain = chain(
        Version::V0_3_1,
        &[macvlan(), json!({"type": "tuning", "x": 1.5})],
    );
    chain.digests.insert("macvlan".into(), "sha256:00".into());
    let text = serde_json::to_string(&chain).unwrap();
    assert_eq!(serde_json::from_str::<FrozenChain>(&text).unwrap(), chain);
    assert_eq!(chain.check(), Ok(()));
    assert_eq!(chain.plugins[0].ipam_type.as_deref(), Some("static"));
}

#[test]
fn attack_22_args_that_end_another_pair_are_refused() {
    let mut chain = chain(Version::V1_0_0, &[macvlan()]);
    chain
        .args
        .push(("IP".into(), "10.0.0.1;K8S_POD_NAMESPACE=kube-system".into()));
    assert!(chain.check().is_err());
}

#[test]
fn attack_25_an_object_of_another_type_than_was_judged_is_refused() {
    let mut chain = chain(Version::V1_0_0, &[macvlan()]);
    chain.plugins[0].plugin_type = "static".into();
    assert_eq!(chain.check(), Err(FrozenError::Type(0)));
    chain.plugins[0].plugin_type = "macvlan".into();
    chain.plugins[0].ipam_type = None;
    assert_eq!(chain.check(), Err(FrozenError::Type(0)));
}

#[test]
fn a_stored_chain_with_wrong_names_is_refused() {
    let good = chain(Version::V1_0_0, &[macvlan()]);
    let wrong: [fn(&mut FrozenChain); 6] = [
        |chain| chain.network = "../x".into(),
        |chain| chain.container_id = "a/b".into(),
        |chain| chain.ifname = "a b".into(),
        |chain| chain.netns = "run/netns/x".into(),
        |chain| chain.plugins.clear(),
        |chain| chain.args = vec![("A".into(), "1".into()); 65],
    ];
    for change in wrong {
        let mut chain = good.clone();
        change(&mut chain);
        assert!(chain.check().is_err(), "{chain:?}");
    }
}

/// A file can hold what the parser refuses.
#[test]
fn attack_9_a_stored_object_that_go_reads_otherwise_is_refused() {
    let forged = [
        json!({"type": "macvlan", "TYPE": "multus"}),
        json!({"type": "macvlan", "ipam": {"Type": "host-local"}}),
        json!({"type": "macvlan", "ma\u{17f}ter": "up1"}),
        json!({"type": "macvlan", "ipam": {"type": "../x"}}),
        json!({"type": "macvlan", "delegates": [{"type": "../x"}]}),
    ];
    for value in forged {
        let mut chain = chain(Version::V1_0_0, &[json!({"type": "macvlan"})]);
        chain.plugins[0].object = object(value);
        assert!(chain.check().is_err(), "{chain:?}");
    }
}

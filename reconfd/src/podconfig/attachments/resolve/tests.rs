use std::{collections::BTreeMap, sync::Arc};

use crds::{PodConfig, PodConfigPolicy};
use store::pod::NetAdmin;

use super::*;
use crate::podconfig::{desired::desired, outcome::LocalPod};

fn record() -> Record {
    serde_json::from_value(json!({
        "schema": 1, "podNamespace": "tenant-a", "podName": "web-0", "podUid": "u",
        "containerId": "c0ffee", "ifname": "eth0", "network": "cluster",
        "netns": "/run/netns/cni-1", "device": 4, "inode": 5, "cookie": 77,
        "bootId": "b", "time": "t",
    }))
    .unwrap()
}

/// The attachment of a link that this rule allows.
fn attachment(link: Value, rule: Value) -> DesiredAttachment {
    let config = json!({"apiVersion": "podconfig.dev/v1alpha1", "kind": "PodConfig",
        "metadata": {"name": "a", "namespace": "tenant-a", "uid": "uid-a"},
        "spec": {"podSelector": {}, "links": [link]}});
    let config: PodConfig = serde_json::from_value(config).unwrap();
    let spec = json!({"namespaceSelector": {}, "allow": [rule]});
    let policy = PodConfigPolicy::new("telco", serde_json::from_value(spec).unwrap());
    let pod = LocalPod {
        namespace: "tenant-a".into(),
        name: "web-0".into(),
        uid: "u".into(),
        labels: BTreeMap::new(),
        namespace_labels: BTreeMap::new(),
        sandbox: "c0ffee".into(),
        recorded_by: None,
        net_admin: NetAdmin::No,
        host_network: false,
    };
    let all = desired(&pod, 0, &[Arc::new(config)], &[Arc::new(policy)], "default");
    assert_eq!(all.refused, []);
    all.attachments.into_iter().next().unwrap()
}

fn trusted(link: Value) -> DesiredAttachment {
    let rule = json!({
        "cni": {"definitions": [{"namespace": "networks", "names": ["fast"]}],
            "cniArgs": ["logicNetworkName"], "hostPorts": [{"min": 30000, "max": 30099}]},
        "addresses": ["10.99.0.0/16"], "macs": "Any",
    });
    attachment(link, rule)
}

fn fast(more: Value) -> Value {
    let mut cni = json!({"networkAttachmentDefinition": "networks/fast"});
    cni.as_object_mut()
        .unwrap()
        .append(&mut more.as_object().unwrap().clone());
    json!({"name": "net1", "cni": cni})
}

const MACVLAN: &str = r#"{"cniVersion": "1.0.0", "type": "macvlan", "master": "up0",
    "capabilities": {"mac": true, "ips": true}, "ipam": {"type": "static"}}"#;

#[test]
fn a_trusted_definition_becomes_a_chain_with_the_runtimes_arguments() {
    let resolved = resolve(&trusted(fast(json!({}))), MACVLAN, &record()).unwrap();
    let chain = resolved.chain;
    assert_eq!(
        (chain.network.as_str(), chain.ifname.as_str()),
        ("fast", "net1")
    );
    assert_eq!(
        (chain.container_id.as_str(), chain.netns.as_str()),
        ("c0ffee", "/run/netns/cni-1")
    );
    let args = chain.cni_args();
    assert!(
        args.contains("K8S_POD_NAMESPACE=tenant-a;K8S_POD_NAME=web-0"),
        "{args}"
    );
    assert!(resolved.grants[0].trusted);
}

#[test]
fn what_the_link_asks_for_reaches_the_capabilities_and_the_arguments() {
    let mut link = fast(json!({
        "args": {"logicNetworkName": "blue"},
        "portMappings": [{"hostPort": 30080, "containerPort": 80}],
        "bandwidth": {"ingressRate": 1000, "ingressBurst": 2000},
    }));
    link["mac"] = json!("02:00:00:00:00:01");
    link["addresses"] = json!(["10.99.0.10/24"]);
    let chain = resolve(&trusted(link), MACVLAN, &record()).unwrap().chain;
    assert_eq!(chain.runtime_config["mac"], "02:00:00:00:00:01");
    assert_eq!(chain.runtime_config["ips"], json!(["10.99.0.10/24"]));
    assert_eq!(chain.runtime_config["portMappings"][0]["protocol"], "tcp");
    assert_eq!(chain.runtime_config["bandwidth"]["ingressRate"], 1000);
    let args = chain.cni_args();
    assert!(
        args.ends_with("MAC=02:00:00:00:00:01;IP=10.99.0.10/24"),
        "{args}"
    );
    let cni_args = &chain.plugins[0].object["args"]["cni"];
    assert_eq!(cni_args["logicNetworkName"], "blue");
}

#[test]
fn what_makes_a_definition_invalid_is_named() {
    let desired = trusted(fast(json!({})));
    let twice = r#"{"cniVersion": "1.0.0", "type": "macvlan", "master": "a", "MASTER": "b"}"#;
    let (reason, message) = resolve(&desired, twice, &record()).unwrap_err();
    assert_eq!(reason, Reason::DefinitionInvalid);
    assert!(message.contains("MASTER"), "{message}");
}

#[test]
fn an_inline_configuration_is_judged_and_its_network_is_of_the_tenant() {
    let rule = json!({"cni": {"plugins": [{"type": "macvlan", "keys": {"master": ["trunk0"]}}, {"type": "static"}],
        "inline": "Allowed"}});
    let of = |master: &str| {
        let config =
            json!({"cniVersion": "1.0.0", "name": "cluster", "type": "macvlan", "master": master})
                .to_string();
        attachment(
            json!({"name": "net1", "cni": {"config": config}}),
            rule.clone(),
        )
    };
    let text = |desired: &DesiredAttachment| match &desired.source {
        ConfigurationSource::Inline(text) => text.clone(),
        ConfigurationSource::Definition { .. } => unreachable!(),
    };
    let desired = of("trunk0");
    let chain = resolve(&desired, &text(&desired), &record()).unwrap().chain;
    assert!(
        chain.network.starts_with("pc.tenant-a."),
        "{}",
        chain.network
    );
    let desired = of("eth0");
    let (reason, message) = resolve(&desired, &text(&desired), &record()).unwrap_err();
    assert_eq!(reason, Reason::NotAllowed);
    assert!(message.contains("master"), "{message}");
}

#[test]
fn another_sandbox_makes_no_other_attachment_and_another_setting_does() {
    let desired = trusted(fast(json!({})));
    let first = resolve(&desired, MACVLAN, &record()).unwrap();
    let other = MACVLAN.replace("up0", "up1");
    let other = resolve(&desired, &other, &record()).unwrap();
    assert_ne!(first.spec_hash, other.spec_hash);
    let moved = Record {
        netns: "/run/netns/cni-2".into(),
        ..record()
    };
    assert_eq!(
        first.spec_hash,
        resolve(&desired, MACVLAN, &moved).unwrap().spec_hash
    );
}

#[test]
fn a_result_outside_of_the_rule_is_refused_by_address_and_by_route() {
    let grant = AttachmentGrant {
        addresses: vec!["10.99.0.0/16".parse().unwrap()],
        ..AttachmentGrant::default()
    };
    let result = |address: &str, route: &str| {
        cni::CniResult::from_value(json!({"cniVersion": "1.0.0",
            "ips": [{"address": address}], "routes": [{"dst": route}]}))
        .unwrap()
    };
    let objections = result_objections(&result("10.98.0.1/24", "0.0.0.0/0"), &grant);
    assert_eq!(objections.len(), 2, "{objections:?}");
    let allowed = AttachmentGrant {
        routes: vec!["0.0.0.0/0".parse().unwrap()],
        ..grant
    };
    assert!(result_objections(&result("10.99.0.1/24", "0.0.0.0/0"), &allowed).is_empty());
}

#[test]
fn one_rule_must_allow_all_of_a_result() {
    let grant = |addresses: &str, routes: &str| AttachmentGrant {
        addresses: vec![addresses.parse().unwrap()],
        routes: vec![routes.parse().unwrap()],
        ..AttachmentGrant::default()
    };
    let result = cni::CniResult::from_value(json!({"cniVersion": "1.0.0",
        "ips": [{"address": "10.99.0.1/24"}], "routes": [{"dst": "10.88.0.0/16"}]}))
    .unwrap();
    let halves = [
        grant("10.99.0.0/16", "10.1.0.0/16"),
        grant("10.1.0.0/16", "10.88.0.0/16"),
    ];
    let why = objection(&result, &halves).unwrap();
    assert!(why.contains("route to 10.88.0.0/16"), "{why}");
    let whole = [halves[0].clone(), grant("10.99.0.0/24", "10.0.0.0/8")];
    assert_eq!(objection(&result, &whole), None);
    // Where no rule is known nothing can be said.
    assert_eq!(objection(&result, &[]), None);
}

/// Attack: a network that is called as the cluster's fills its reservations.
#[test]
fn a_tenants_network_is_not_called_as_the_clusters() {
    let rule = json!({"cni": {"plugins": [{"type": "macvlan", "keys": {"master": ["trunk0"]}}, {"type": "static"}]}});
    let link = json!({"name": "net1", "cni": {"networkAttachmentDefinition": "mine"}});
    let desired = attachment(link, rule);
    let text = |name: &str| {
        json!({"cniVersion": "1.0.0", "name": name, "type": "macvlan", "master": "trunk0"})
            .to_string()
    };
    resolve(&desired, &text("mine"), &record()).unwrap();
    let (reason, message) = resolve(&desired, &text("cluster"), &record()).unwrap_err();
    assert_eq!(reason, Reason::NotAllowed);
    assert!(message.contains("cluster"), "{message}");
}

fn with_guid(rule: Value) -> DesiredAttachment {
    let element = json!([{"name": "fast", "namespace": "networks", "interface": "net1",
        "infiniband-guid": "C2-11-22-33-44-55-66-77"}]);
    let elements = cni::selection::parse(&element.to_string(), "tenant-a").unwrap();
    let mut desired = attachment(fast(json!({})), rule);
    desired.element = elements.into_iter().next();
    desired
}

#[test]
fn a_guid_is_a_hardware_address_and_a_capability() {
    let rule = |macs: Value| json!({"cni": {"definitions": [{"namespace": "networks", "names": ["fast"]}]}, "macs": macs});
    let desired = with_guid(rule("Any".into()));
    let resolved = resolve(&desired, MACVLAN, &record()).unwrap();
    let guid = &resolved.chain.runtime_config["infinibandGUID"];
    assert_eq!(*guid, "c2:11:22:33:44:55:66:77");
    for macs in [Value::Null, "Assigned".into()] {
        let refused = resolve(&with_guid(rule(macs)), MACVLAN, &record());
        let (reason, message) = refused.unwrap_err();
        assert_eq!(reason, Reason::NotAllowed);
        assert!(message.contains("macs: Any"), "{message}");
    }
}

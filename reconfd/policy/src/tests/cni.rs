//! Links that CNI plugins make.

use super::*;

fn definition(reference: &str, more: Value) -> Link {
    let mut cni = json!({"networkAttachmentDefinition": reference});
    cni.as_object_mut()
        .unwrap()
        .append(&mut more.as_object().unwrap().clone());
    link(json!({"name": "net1", "cni": cni}))
}

fn fast() -> Value {
    json!([{"cni": {"definitions": [{"namespace": "networks", "names": ["fast"]}]}}])
}

#[test]
fn a_listed_definition_is_trusted_and_another_one_is_refused() {
    let permit = check(&definition("networks/fast", json!({})), fast()).unwrap();
    assert!(permit.attachments[0].trusted);
    let message = refused(&definition("networks/slow", json!({})), fast());
    assert!(message.contains("networks/slow"), "{message}");
    assert!(message.contains("networks/fast"), "{message}");
}

/// Attack: the definition of another namespace, which the tenant may not even read.
#[test]
fn the_definition_of_another_namespace_needs_to_be_listed() {
    let plugins = json!([{"cni": {"plugins": [{"type": "bridge"}]}}]);
    refused(&definition("other/fast", json!({})), plugins.clone());
    refused(&definition("fast", json!({})), fast());
    let permit = check(&definition("fast", json!({})), plugins).unwrap();
    assert!(!permit.attachments[0].trusted);
    assert_eq!(permit.attachments[0].plugins[0].plugin_type, "bridge");
}

#[test]
fn the_own_namespace_is_trusted_only_by_name() {
    let rule = json!([{"cni": {"definitions": [{"namespace": "tenant-a", "names": ["fast"]}]}}]);
    let permit = check(&definition("fast", json!({})), rule.clone()).unwrap();
    assert!(permit.attachments[0].trusted);
    refused(&definition("mine", json!({})), rule);
}

#[test]
fn an_inline_configuration_needs_permission() {
    let inline = link(json!({"name": "net1", "cni": {"config": "{}"}}));
    let plugins = json!({"plugins": [{"type": "bridge"}]});
    let message = refused(&inline, json!([{"cni": plugins}]));
    assert!(message.contains("inline: Allowed"), "{message}");
    let allowed = json!({"plugins": [{"type": "bridge"}], "inline": "Allowed"});
    assert!(
        !check(&inline, json!([{"cni": allowed}]))
            .unwrap()
            .attachments[0]
            .trusted
    );
}

/// Attack: cni-args over a configuration of an administrator.
#[test]
fn each_argument_and_each_host_port_needs_permission_also_over_a_trusted_definition() {
    let sysctl = definition("networks/fast", json!({"args": {"sysctl": "x"}}));
    let message = refused(&sysctl, fast());
    assert!(message.contains("cni.args \"sysctl\""), "{message}");
    let port = json!({"portMappings": [{"hostPort": 6443, "containerPort": 80}]});
    let message = refused(&definition("networks/fast", port.clone()), fast());
    assert!(message.contains("hostPort 6443"), "{message}");
    let rule = json!([{"cni": {
        "definitions": [{"namespace": "networks", "names": ["fast"]}],
        "cniArgs": ["sysctl"], "hostPorts": [{"min": 30000, "max": 30099}],
    }}]);
    check(&sysctl, rule.clone()).unwrap();
    refused(&definition("networks/fast", port), rule);
}

#[test]
fn addresses_and_macs_are_allowed_as_on_any_link() {
    let mut request = definition("networks/fast", json!({}));
    request.addresses = vec!["10.99.0.10/24".parse().unwrap()];
    let message = refused(&request, fast());
    assert!(message.contains("addresses 10.99.0.10/24"), "{message}");
    let rule = json!([{
        "cni": {"definitions": [{"namespace": "networks", "names": ["fast"]}]},
        "addresses": ["10.99.0.0/16"],
    }]);
    let permit = check(&request, rule.clone()).unwrap();
    assert_eq!(permit.attachments[0].addresses.len(), 1);
    request.mac = Some("0a:58:0a:63:00:0a".parse().unwrap());
    refused(&request, rule);
}

#[test]
fn a_veth_rule_allows_no_cni_link_and_a_cni_rule_no_veth() {
    refused(
        &definition("networks/fast", json!({})),
        json!([{"veth": {"bridges": "Own"}}]),
    );
    refused(&blue(json!({})), fast());
}

#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use store::{Pod, pod::NETWORK_STATUS};

use super::*;

fn updater(except: &[&str]) -> StoreUpdater {
    let except_namespaces = except.iter().map(|&name| name.to_owned()).collect();
    let scope = Scope {
        namespaces: Vec::new(),
        except_namespaces,
    };
    StoreUpdater::new(
        StoreWriter::default(),
        (scope, "default"),
        ClaimAllocator::disabled(),
    )
}

fn pod(more: Value) -> ObjectEvent<Pod> {
    let mut pod = json!({"metadata": {"name": "a", "namespace": "t", "uid": "u"}});
    merge(&mut pod, more);
    ObjectEvent::Applied(Box::new(serde_json::from_value(pod).unwrap()))
}

fn merge(into: &mut Value, more: Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (name, value) in more {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more,
    }
}

fn networks_trigger() -> Option<Trigger> {
    Some(Trigger::Object(
        ObjectKind::ReservedNetworks,
        (String::new(), "default".into()),
    ))
}

fn told() -> Option<Trigger> {
    Some(Trigger::Object(ObjectKind::Pod, ("t".into(), "a".into())))
}

#[test]
fn a_status_that_nobody_looks_at_is_no_change() {
    let mut updater = updater(&[]);
    assert_eq!(updater.store(pod(json!({}))), told());
    assert_eq!(updater.store(pod(json!({}))), None);
    for unseen in [
        json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}),
        json!({"spec": {"ephemeralContainers": [{"name": "debugger", "image": "busybox"}]}}),
    ] {
        assert_eq!(updater.store(pod(unseen)), None);
    }
}

#[test]
fn what_is_looked_at_is_a_change() {
    let mut updater = updater(&[]);
    updater.store(pod(json!({})));
    for change in [
        json!({"metadata": {"labels": {"app": "x"}}}),
        json!({"metadata": {"uid": "v"}}),
        json!({"metadata": {"uid": "v", "deletionTimestamp": "2026-01-01T00:00:00Z"}}),
        json!({"status": {"podIPs": [{"ip": "10.0.0.1"}]}}),
        json!({"status": {"phase": "Succeeded"}}),
        json!({"status": {"conditions": [{"type": "podconfig.dev/ready", "status": "False"}]}}),
        json!({"metadata": {"annotations": {NETWORK_STATUS: "[]"}}}),
        json!({"spec": {"ephemeralContainers": [{"name": "debugger", "securityContext": {"privileged": true}}]}}),
        json!({"spec": {"hostUsers": false}}),
    ] {
        assert_eq!(updater.store(pod(change.clone())), told(), "{change}");
        assert_eq!(updater.store(pod(change.clone())), None, "{change}");
    }
}

#[test]
fn a_pod_that_went_is_told_once() {
    let mut updater = updater(&[]);
    updater.store(pod(json!({})));
    let went = || ObjectEvent::<Pod>::Deleted(("t".into(), "a".into()));
    assert_eq!(updater.store(went()), told());
    assert_eq!(updater.store(went()), None);
    assert!(updater.stores.pods().is_empty());
}

#[test]
fn what_another_copy_serves_is_not_taken() {
    let mut updater = updater(&["t"]);
    assert_eq!(updater.store(pod(json!({}))), None);
    assert!(updater.stores.pods().is_empty());
}

fn slice(vni: i32) -> ObjectEvent<PeerSlice> {
    let mut slice = PeerSlice::new("s", crds::PeerSliceSpec::default());
    slice.metadata.namespace = Some("t".into());
    (slice.spec.vni, slice.spec.port) = (vni, 4789);
    ObjectEvent::Applied(Box::new(slice))
}

#[test]
fn a_slice_that_is_deleted_and_comes_back_changes_nothing() {
    let (mut updater, now) = (updater(&[]), Instant::now());
    updater.peer_slice(slice(7), now);
    let gone = || ObjectEvent::Deleted(("t".into(), "s".into()));
    assert_eq!(updater.peer_slice(gone(), now), None);
    assert_eq!(updater.stores.peer_slices_of("t").len(), 1);
    assert_eq!(updater.peer_slice(slice(7), now), None);
    assert_eq!(updater.next_expiry(), None);

    updater.peer_slice(gone(), now);
    let due = updater.next_expiry().unwrap();
    assert_eq!(updater.expire_slices(false, due), [], "none can come back");
    let due = updater.next_expiry().unwrap();
    let changes = updater.expire_slices(true, due);
    assert!(matches!(changes[..], [Trigger::PeerSlice { vni: 7, .. }]));
    assert!(updater.stores.peer_slices_of("t").is_empty());
}

#[test]
fn a_slice_that_changes_its_segment_concerns_both() {
    let (mut updater, now) = (updater(&[]), Instant::now());
    let told = updater.peer_slice(slice(7), now);
    assert!(
        matches!(told, Some(Trigger::PeerSlice { vni: 7, .. })),
        "{told:?}"
    );
    assert_eq!(updater.peer_slice(slice(7), now), None);
    let told = updater.peer_slice(slice(8), now);
    assert_eq!(
        told,
        Some(Trigger::Object(
            ObjectKind::Namespace,
            (String::new(), "t".into())
        ))
    );
}

fn networks(name: &str, spec: Value) -> ObjectEvent<ReservedNetworks> {
    let object = json!({"metadata": {"name": name}, "spec": spec});
    ObjectEvent::Applied(Box::new(serde_json::from_value(object).unwrap()))
}

#[test]
fn networks_of_another_installation_are_not_ours() {
    let mut updater = updater(&[]);
    for other in ["default2", "other", "default-0"] {
        let object_event = networks(other, json!({"renewed": "2026-01-01T00:00:00Z"}));
        assert_eq!(updater.reserved_networks(object_event), None, "{other}");
    }
    assert!(updater.stores.reserved_networks().is_empty());
    assert_eq!(updater.stores.networks_confirmed(), None);
}

#[test]
fn what_is_said_again_is_heard_and_is_no_change() {
    let mut updater = updater(&[]);
    let said = |second: u8| json!({"renewed": format!("2026-01-01T00:00:{second:02}Z")});
    let mut say = |second| updater.reserved_networks(networks("default", said(second)));
    assert_eq!(say(0), networks_trigger(), "it came");
    assert_eq!(say(1), networks_trigger(), "it is relied on from now");
    assert_eq!(say(2), None);
    let confirmed = updater.stores.networks_confirmed().unwrap();
    assert_eq!(
        updater.reserved_networks(networks("default", said(2))),
        None
    );
    assert_eq!(
        updater.stores.networks_confirmed(),
        Some(confirmed),
        "it was not said again"
    );
    let prefix = json!({"prefix": "10.0.0.0/16", "use": "Pods", "source": "Nodes", "kind": "Node", "object": "n"});
    let part = networks("default.0", json!({"networks": [prefix]}));
    assert_eq!(updater.reserved_networks(part), networks_trigger());
    let gone = ObjectEvent::Deleted((String::new(), "default".into()));
    assert_eq!(updater.reserved_networks(gone), networks_trigger());
    assert_eq!(updater.stores.networks_confirmed(), None);
    assert_eq!(updater.stores.reserved_networks().len(), 1);
}

#[test]
fn of_another_installation_what_it_serves_is_heard() {
    let mut updater = updater(&[]);
    let serves = json!({"serves": {"namespaces": ["t"], "since": "2026-01-01T00:00:00Z"}});
    let said = || networks("hard", serves.clone());
    assert_eq!(updater.reserved_networks(said()), networks_trigger());
    assert_eq!(updater.reserved_networks(said()), None);
    assert_eq!(updater.stores.served()["hard"].namespaces, ["t"]);
    let gone = ObjectEvent::Deleted((String::new(), "hard".into()));
    assert_eq!(updater.reserved_networks(gone), networks_trigger());
    assert!(updater.stores.served().is_empty());
    assert!(updater.stores.reserved_networks().is_empty());
}

#[test]
fn definitions_of_namespaces_that_are_not_served_are_kept() {
    let mut updater = updater(&["networks"]);
    let definition = json!({"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": "fast", "namespace": "networks"}, "spec": {"config": "{}"}});
    let definition: crds::NetworkAttachmentDefinition = serde_json::from_value(definition).unwrap();
    let key = ("networks".to_owned(), "fast".to_owned());
    let trigger = Trigger::Object(ObjectKind::NetworkAttachmentDefinition, key.clone());
    let applied = ObjectEvent::Applied(Box::new(definition));
    assert_eq!(updater.store(applied.clone()), Some(trigger.clone()));
    assert_eq!(updater.store(applied), None);
    let deleted = ObjectEvent::<crds::NetworkAttachmentDefinition>::Deleted(key);
    assert_eq!(updater.store(deleted), Some(trigger));
}

#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;

fn stores(except: &[&str]) -> Stores {
    let except_namespaces = except.iter().map(|&name| name.to_owned()).collect();
    let scope = Scope {
        namespaces: Vec::new(),
        except_namespaces,
    };
    Stores::new(Feed::new(), scope)
}

fn pod(more: Value) -> News<Pod> {
    let mut pod = json!({"metadata": {"name": "a", "namespace": "t", "uid": "u"}});
    merge(&mut pod, more);
    News::Came(Box::new(serde_json::from_value(pod).unwrap()))
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

fn told() -> Option<Change> {
    Some(Change::Pod {
        namespace: "t".into(),
        name: "a".into(),
    })
}

#[test]
fn a_status_that_nobody_looks_at_is_no_change() {
    let mut stores = stores(&[]);
    assert_eq!(stores.pod(pod(json!({}))), told());
    assert_eq!(stores.pod(pod(json!({}))), None);
    let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    assert_eq!(stores.pod(pod(ready)), None);
}

#[test]
fn what_is_looked_at_is_a_change() {
    let mut stores = stores(&[]);
    stores.pod(pod(json!({})));
    for change in [
        json!({"metadata": {"labels": {"app": "x"}}}),
        json!({"metadata": {"uid": "v"}}),
        json!({"metadata": {"uid": "v", "deletionTimestamp": "2026-01-01T00:00:00Z"}}),
        json!({"status": {"podIPs": [{"ip": "10.0.0.1"}]}}),
        json!({"status": {"phase": "Succeeded"}}),
        json!({"status": {"conditions": [{"type": "podconfig.dev/ready", "status": "False"}]}}),
        json!({"metadata": {"annotations": {NETWORK_STATUS: "[]"}}}),
    ] {
        assert_eq!(stores.pod(pod(change.clone())), told(), "{change}");
        assert_eq!(stores.pod(pod(change.clone())), None, "{change}");
    }
}

#[test]
fn a_pod_that_went_is_told_once() {
    let mut stores = stores(&[]);
    stores.pod(pod(json!({})));
    let went = || News::Went(("t".into(), "a".into()));
    assert_eq!(stores.pod(went()), told());
    assert_eq!(stores.pod(went()), None);
    assert!(stores.objects.pods().is_empty());
}

#[test]
fn what_another_copy_serves_is_not_taken() {
    let mut stores = stores(&["t"]);
    assert_eq!(stores.pod(pod(json!({}))), None);
    assert!(stores.objects.pods().is_empty());
}

#[test]
fn a_slice_that_changes_its_segment_concerns_both() {
    let mut stores = stores(&[]);
    let slice = |vni| {
        let mut slice = PeerSlice::new("s", crds::PeerSliceSpec::default());
        slice.metadata.namespace = Some("t".into());
        (slice.spec.vni, slice.spec.port) = (vni, 4789);
        News::Came(Box::new(slice))
    };
    let told = stores.peer_slice(slice(7));
    assert!(
        matches!(told, Some(Change::PeerSlice { vni: 7, .. })),
        "{told:?}"
    );
    assert_eq!(stores.peer_slice(slice(7)), None);
    let told = stores.peer_slice(slice(8));
    assert_eq!(told, Some(Change::Namespace("t".into())));
}

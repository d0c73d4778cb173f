#![allow(clippy::unwrap_used)]

use super::*;

const NOW: Time = Time(Timestamp::UNIX_EPOCH);

fn pod(condition: Option<&str>, annotation: Option<&str>) -> Pod {
    let conditions = condition.map(|status| {
        json!([{"type": READINESS_GATE, "status": status, "reason": "LinkReady", "message": ""}])
    });
    let annotations = annotation.map(|text| json!({NETWORK_STATUS: text, "other": "kept"}));
    serde_json::from_value(json!({
        "metadata": {
            "name": "a", "namespace": "t", "uid": "u", "resourceVersion": "7",
            "annotations": annotations.unwrap_or(json!({})),
        },
        "status": {"conditions": conditions.unwrap_or(json!([]))},
    }))
    .unwrap()
}

fn ready() -> PodStatusWrite {
    PodStatusWrite {
        uid: "u".into(),
        gate: Some(Gate {
            is_ready: true,
            reason: "LinkReady".into(),
            message: String::new(),
        }),
        networks: None,
        detached: Vec::new(),
    }
}

fn with(networks: Vec<Network>) -> PodStatusWrite {
    PodStatusWrite {
        uid: "u".into(),
        gate: None,
        networks: Some(networks),
        detached: Vec::new(),
    }
}

fn data0() -> Network {
    Network::Link(LinkNetwork {
        podconfig: "data".into(),
        interface: "data0".into(),
        addresses: vec!["192.168.100.7".into()],
        mac: "0a:58:c0:a8:64:07".into(),
        mtu: 1500,
    })
}

fn entries(patch: &Value) -> Vec<Value> {
    let text = patch["metadata"]["annotations"][NETWORK_STATUS].as_str();
    serde_json::from_str(text.unwrap()).unwrap()
}

#[test]
fn the_condition_alone_is_written_and_once() {
    let patch = |pod: &Pod| patch(pod, &ready(), &NOW);
    let first = patch(&pod(None, None)).unwrap();
    let conditions = first["status"]["conditions"].as_array().unwrap();
    assert_eq!(conditions.len(), 1);
    assert_eq!(conditions[0]["status"], "True");
    assert!(conditions[0]["lastTransitionTime"].is_string());
    assert!(first["metadata"]["annotations"].is_null());
    assert_eq!(first["metadata"]["uid"], "u");
    assert_eq!(patch(&pod(Some("True"), None)), None);
}

#[test]
fn a_message_that_changes_keeps_the_time_of_the_condition() {
    let mut wish = ready();
    wish.gate.as_mut().unwrap().message = "now with words".into();
    let patch = patch(&pod(Some("True"), None), &wish, &NOW).unwrap();
    let condition = &patch["status"]["conditions"][0];
    assert!(condition["lastTransitionTime"].is_null(), "{condition}");
}

#[test]
fn our_interfaces_stand_behind_those_of_others() {
    let theirs = r#"[{"name":"default","interface":"eth0","ips":["10.0.0.1"],"default":true}]"#;
    let pod = pod(None, Some(theirs));
    let patch = patch(&pod, &with(vec![data0()]), &NOW).unwrap();
    let entries = entries(&patch);
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[0]["name"], "default");
    assert_eq!(entries[1]["name"], "podconfig.dev/t/data");
    assert_eq!(entries[1]["ips"][0], "192.168.100.7");
    // Who else writes the annotation meanwhile is not overwritten.
    assert_eq!(patch["metadata"]["resourceVersion"], "7");
}

#[test]
fn what_is_told_already_is_not_written_and_what_is_gone_is_taken_out() {
    let first = patch(&pod(None, Some("[]")), &with(vec![data0()]), &NOW).unwrap();
    let text = first["metadata"]["annotations"][NETWORK_STATUS].as_str();
    let told = pod(None, text);
    assert_eq!(patch(&told, &with(vec![data0()]), &NOW), None);
    let last = patch(&told, &with(Vec::new()), &NOW).unwrap();
    assert!(last["metadata"]["annotations"][NETWORK_STATUS].is_null());
    assert_eq!(patch(&pod(None, None), &with(Vec::new()), &NOW), None);
}

/// An attachment has the name of its definition, as an entry of Multus has.
#[test]
fn entries_of_attachments_are_told_from_those_of_others() {
    let theirs = r#"[{"name":"t/fast","interface":"net1","dns":{}}]"#;
    let ours =
        json!({"name": "t/fast", "interface": "net2", "mac": "02:00:00:00:00:01", "dns": {}});
    let networks = with(vec![Network::Attachment(ours)]);
    let first = patch(&pod(None, Some(theirs)), &networks, &NOW).unwrap();
    let both = entries(&first);
    assert_eq!(both.len(), 2);
    assert!(!is_own_network(&both[0]) && is_own_network(&both[1]));
    assert_eq!(both[1]["mac"], "02:00:00:00:00:01");
    let text = first["metadata"]["annotations"][NETWORK_STATUS].as_str();
    assert_eq!(patch(&pod(None, text), &networks, &NOW), None);
    let last = patch(&pod(None, text), &with(Vec::new()), &NOW).unwrap();
    assert_eq!(entries(&last), [both[0].clone()]);
}

#[test]
fn an_annotation_that_is_no_list_is_left_alone() {
    for odd in ["{}", "not json", "\"x\""] {
        let pod = pod(None, Some(odd));
        assert_eq!(patch(&pod, &with(vec![data0()]), &NOW), None, "{odd}");
    }
}

/// What Multus attached and podconfig has detached is listed no more; the rest stays as it is.
#[test]
fn what_is_detached_of_others_is_taken_out() {
    let theirs = r#"[{"name":"cluster","interface":"net1","default":true},{"name":"t/fast","interface":"net1","dns":{}},
        {"name":"t/slow","interface":"net2","dns":{}}]"#;
    let pod = pod(None, Some(theirs));
    let mut write = with(Vec::new());
    assert_eq!(patch(&pod, &write, &NOW), None);
    write.detached = vec!["net1".into()];
    let first = patch(&pod, &write, &NOW).unwrap();
    let left = entries(&first);
    assert_eq!(left.len(), 2, "{left:?}");
    assert_eq!(
        (&left[0]["default"], &left[1]["interface"]),
        (&json!(true), &json!("net2"))
    );
    assert_eq!(first["metadata"]["resourceVersion"], "7");
    write.detached = vec!["net9".into()];
    assert_eq!(patch(&pod, &write, &NOW), None);
}

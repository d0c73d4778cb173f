#![allow(clippy::unwrap_used)]

use std::time::UNIX_EPOCH;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const NAME: &str = "cluster-c0ffee-eth0";

/// What libcni 1.2 and newer write.
fn current() -> Value {
    json!({
        "kind": "cniCacheV1",
        "containerId": "c0ffee",
        "config": "eyJwbHVnaW5zIjpbXX0=",
        "ifName": "eth0",
        "networkName": "cluster",
        "netns": "/var/run/netns/cni-1",
        "cniArgs": [
            ["K8S_POD_UID", "6f1c2f9e-0f6f-4b0c-9e5f-1f2a3b4c5d6e"],
            ["IgnoreUnknown", "1"],
            ["K8S_POD_NAMESPACE", "tenant-a"],
            ["K8S_POD_NAME", "web-0"],
            ["K8S_POD_INFRA_CONTAINER_ID", "c0ffee"],
        ],
        "capabilityArgs": {"portMappings": [], "io.kubernetes.cri.pod-annotations": {"a": "b"}},
        "result": {
            "cniVersion": "1.0.0",
            "dns": {},
            "interfaces": [
                {"name": "cni0", "mac": "02:00:00:00:00:01"},
                {"name": "vethab", "mac": "02:00:00:00:00:02"},
                {"name": "eth0", "mac": "02:00:00:00:00:03", "sandbox": "/var/run/netns/cni-1"},
            ],
            "ips": [{"address": "10.88.0.2/16", "gateway": "10.88.0.1", "interface": 2}],
        },
    })
}

fn without(field: &str) -> Value {
    let mut entry = current();
    entry.as_object_mut().unwrap().remove(field);
    entry
}

fn read_value(entry: &Value) -> Result<Option<SandboxHint>, String> {
    read(NAME, entry.to_string().as_bytes(), UNIX_EPOCH)
}

#[test]
fn an_entry_of_today_tells_pod_sandbox_and_path() {
    let hint = read_value(&current()).unwrap().unwrap();
    assert_eq!(hint.namespace, "tenant-a");
    assert_eq!(hint.pod, "web-0");
    assert_eq!(
        hint.uid.as_deref(),
        Some("6f1c2f9e-0f6f-4b0c-9e5f-1f2a3b4c5d6e")
    );
    assert_eq!(hint.container, "c0ffee");
    assert_eq!(hint.ifname, "eth0");
    assert_eq!(hint.network, "cluster");
    assert_eq!(hint.netns, PathBuf::from("/var/run/netns/cni-1"));
    assert_eq!(hint.source, RecordSource::Cache);
}

#[test]
fn an_older_entry_tells_the_path_by_its_result() {
    let hint = read_value(&without("netns")).unwrap().unwrap();
    assert_eq!(hint.netns, PathBuf::from("/var/run/netns/cni-1"));
}

#[test]
fn the_result_of_an_older_entry_may_name_the_interface_otherwise_but_not_two_namespaces() {
    let mut entry = without("netns");
    entry["result"]["interfaces"][2]["name"] = "net1".into();
    assert!(read_value(&entry).unwrap().is_some());
    entry["result"]["interfaces"][1]["sandbox"] = "/var/run/netns/cni-2".into();
    assert!(read_value(&entry).unwrap_err().contains("several"));
}

#[test]
fn what_the_result_says_does_not_matter_where_the_path_is_told() {
    for odd in [
        json!(7),
        json!([]),
        json!({"interfaces": "none"}),
        Value::Null,
    ] {
        let mut entry = current();
        entry["result"] = odd;
        assert!(read_value(&entry).unwrap().is_some());
    }
}

#[test]
fn an_entry_that_is_about_no_pod_is_passed_over() {
    let mut none = current();
    none["cniArgs"] = json!([["IgnoreUnknown", "1"]]);
    let mut empty = current();
    empty["cniArgs"][3][1] = "".into();
    let mut bare = current();
    bare["kind"] = Value::Null;
    let result = json!({"cniVersion": "0.4.0", "interfaces": [], "ips": []});
    for entry in [
        none,
        empty,
        bare,
        without("cniArgs"),
        without("kind"),
        result,
    ] {
        assert_eq!(read_value(&entry), Ok(None), "{entry}");
    }
}

#[test]
fn the_first_of_a_repeated_argument_counts() {
    let mut entry = current();
    let pairs = entry["cniArgs"].as_array_mut().unwrap();
    pairs.push(json!(["K8S_POD_NAME", "evil"]));
    assert_eq!(read_value(&entry).unwrap().unwrap().pod, "web-0");
}

#[test]
fn a_runtime_that_tells_no_uid_is_heard() {
    let mut entry = current();
    entry["cniArgs"][0][0] = "ELSE".into();
    assert_eq!(read_value(&entry).unwrap().unwrap().uid, None);
}

#[test]
fn a_copy_under_another_name_is_no_entry() {
    for name in ["cluster-beef-eth0", "cluster-c0ffee-eth0.bak", "x", ""] {
        let text = current().to_string();
        let error = read(name, text.as_bytes(), UNIX_EPOCH).unwrap_err();
        assert!(error.contains("belongs under"), "{error}");
    }
}

#[test]
fn names_and_paths_that_lead_elsewhere_are_refused() {
    let cases = [
        ("netns", json!("/run/netns/../../proc/1/ns/net")),
        ("netns", json!("run/netns/x")),
        ("netns", json!("/run/netns/\u{0}")),
        ("containerId", json!("../../x")),
        ("containerId", Value::Null),
        ("ifName", json!("a/b")),
        ("ifName", Value::Null),
        ("networkName", json!("..")),
        ("networkName", Value::Null),
        (
            "cniArgs",
            json!([["K8S_POD_NAMESPACE", "A/b"], ["K8S_POD_NAME", "web-0"]]),
        ),
        (
            "cniArgs",
            json!([["K8S_POD_NAMESPACE", "a"], ["K8S_POD_NAME", "x\ny"]]),
        ),
    ];
    for (field, value) in cases {
        let mut entry = current();
        entry[field] = value.clone();
        assert!(read_value(&entry).is_err(), "{field}: {value}");
    }
}

#[test]
fn a_wrong_type_in_any_field_that_is_read_is_refused() {
    for field in [
        "kind",
        "containerId",
        "ifName",
        "networkName",
        "netns",
        "cniArgs",
    ] {
        for wrong in [json!({"x": 1}), json!([[1, 2]]), json!(7), json!(true)] {
            let mut entry = current();
            entry[field] = wrong;
            assert!(read_value(&entry).is_err(), "{entry}");
        }
    }
    for odd in [
        json!(7),
        json!({"interfaces": 7}),
        json!({"interfaces": [7]}),
        json!({}),
    ] {
        let mut entry = without("netns");
        entry["result"] = odd;
        assert!(read_value(&entry).is_err(), "{entry}");
    }
}

#[test]
fn a_field_that_is_written_twice_is_refused() {
    let text = current().to_string();
    let text = text.replacen('{', r#"{"netns":"/run/netns/evil","#, 1);
    assert!(read(NAME, text.as_bytes(), UNIX_EPOCH).is_err());
}

/// libcni writes in place: a reader may come in the middle.
#[test]
fn an_entry_cut_anywhere_is_no_entry() {
    let text = current().to_string();
    for end in 0..text.len() {
        assert!(read(NAME, &text.as_bytes()[..end], UNIX_EPOCH).is_err());
    }
}

#[test]
fn a_hundred_thousand_brackets_overflow_no_stack() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for field in ["config", "result", "capabilityArgs"] {
        let text = current().to_string();
        let text = text.replacen(
            &format!("\"{field}\":"),
            &format!("\"{field}\":{deep},\"{field}-\":"),
            1,
        );
        assert!(read(NAME, text.as_bytes(), UNIX_EPOCH).unwrap().is_some());
    }
    assert!(read(NAME, deep.as_bytes(), UNIX_EPOCH).is_err());
}

proptest! {
    #[test]
    fn no_bytes_at_all_can_panic(bytes: Vec<u8>) {
        prop_assert!(!matches!(read(NAME, &bytes, UNIX_EPOCH), Ok(Some(_))));
    }

    /// One byte changed: it is refused, passed over, or still a hint whose names are all valid.
    #[test]
    fn a_spoilt_byte_never_makes_an_invalid_hint(at: prop::sample::Index, byte: u8) {
        let mut text = current().to_string().into_bytes();
        let at = at.index(text.len());
        text[at] = byte;
        if let Ok(Some(hint)) = read(NAME, &text, UNIX_EPOCH) {
            prop_assert_eq!(hint.invalid_field(), None);
            prop_assert_eq!(super::file_name(&hint), NAME);
        }
    }

    /// Any text as a path: what comes through is absolute and has no `..`.
    #[test]
    fn any_path_is_plain_or_refused(path: String) {
        let mut entry = current();
        entry["netns"] = path.clone().into();
        if let Ok(Some(hint)) = read_value(&entry) {
            prop_assert!(path.is_empty() || hint.netns.is_absolute());
            prop_assert!(!hint.netns.components().any(|part| part.as_os_str() == ".."));
        }
    }
}

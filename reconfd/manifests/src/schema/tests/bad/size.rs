use std::time::{Duration, Instant};

use super::*;

/// The errors of a value that no YAML reader made, and that they came at once.
fn refused_at_once(kind: &str, value: Value) -> Vec<String> {
    let schema = Schema::for_kind(kind).unwrap();
    let start = Instant::now();
    let errors = messages(&schema.admit(value).unwrap_err());
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "took {:?}",
        start.elapsed()
    );
    assert!(
        errors.iter().map(String::len).sum::<usize>() < 8192,
        "{} errors",
        errors.len()
    );
    errors
}

fn object(spec: Value) -> Value {
    json!({"apiVersion": "podconfig.dev/v1alpha1", "kind": "PodConfig", "metadata": {"name": "a"}, "spec": spec})
}

#[test]
fn what_json_cannot_hold_arrives_as_null_and_is_refused() {
    let link = json!({"name": "a", "veth": {"bridge": "b"}, "mtu": f64::INFINITY});
    let errors = refused_at_once(
        "PodConfig",
        object(json!({"podSelector": {}, "links": [link]})),
    );
    assert_eq!(
        errors,
        ["spec.links[0].mtu: is null; give it a value or leave the field out"]
    );
}

#[test]
fn a_value_that_is_no_object_at_all_is_refused() {
    for (value, said) in [
        (json!(null), "null is not an object"),
        (json!([1]), "a list is not an object"),
        (json!("PodConfig"), "\"PodConfig\" is not an object"),
    ] {
        assert_eq!(refused_at_once("PodConfig", value), [said]);
    }
}

#[test]
fn one_link_too_few_and_one_too_many_are_refused() {
    let errors = messages(&admit_yaml(&links("[]")).unwrap_err());
    assert_eq!(errors, ["spec.links: needs at least 1 item"]);
    let many: Vec<String> = (0..33)
        .map(|n| format!("{{name: d{n}, veth: {{bridge: b}}}}"))
        .collect();
    let errors = messages(&admit_yaml(&links(&format!("[{}]", many.join(", ")))).unwrap_err());
    assert_eq!(errors, ["spec.links: 33 items are more than 32"]);
}

#[test]
fn a_hundred_thousand_links_are_one_fault() {
    let link = json!({"name": "a", "veth": 7});
    let errors = refused_at_once(
        "PodConfig",
        object(json!({"podSelector": {}, "links": vec![link; 100_000]})),
    );
    assert_eq!(errors[0], "spec.links: 100000 items are more than 32");
}

#[test]
fn a_hundred_thousand_labels_are_refused_in_few_words() {
    let labels: serde_json::Map<_, _> = (0..100_000)
        .map(|n| (format!("label-{n}"), json!("x")))
        .collect();
    let pod =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": labels}});
    assert_eq!(
        refused_at_once("Pod", pod),
        ["metadata.labels: 1188890 bytes are more than 262144"]
    );
    let labels: serde_json::Map<_, _> = (0..100_000)
        .map(|n| (format!("label {n}"), json!(n)))
        .collect();
    let pod =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": labels}});
    let errors = refused_at_once("Pod", pod);
    assert_eq!(
        (errors.len(), errors[20].as_str()),
        (21, "and 199981 more errors")
    );
}

#[test]
fn a_hundred_thousand_selector_labels_are_refused() {
    let labels: serde_json::Map<_, _> = (0..100_000)
        .map(|n| (format!("l{n}"), json!("x")))
        .collect();
    let spec = json!({"podSelector": {"matchLabels": labels}, "links": [{"name": "a", "veth": {"bridge": "b"}}]});
    assert_eq!(
        refused_at_once("PodConfig", object(spec)),
        ["spec.podSelector.matchLabels: 100000 entries are more than 32"]
    );
}

#[test]
fn a_string_of_megabytes_is_shown_by_its_head() {
    let long = "é".repeat(5_000_000);
    let mut fields = json!({"podSelector": {}, "links": [{"name": long, "veth": {"bridge": "b"}}]});
    fields[&long] = json!(1);
    let errors = refused_at_once("PodConfig", object(fields));
    let head = "é".repeat(60);
    assert_eq!(
        errors,
        [
            format!("spec.links[0].name: \"{head}\"… is longer than 15 characters"),
            format!("spec[\"{head}\"…]: unknown field"),
        ]
    );
}

#[test]
fn nothing_that_a_terminal_obeys_gets_into_a_message() {
    let errors = admit_yaml(&links(
        r#"[{name: "\e[2J\r\n", veth: {bridge: b}, "\e]0;x\a": 1}]"#,
    ))
    .unwrap_err();
    for error in messages(&errors) {
        assert!(error.chars().all(|c| !c.is_control()), "{error:?}");
    }
}

/// What the rules let in, the types must take: else an object that is admitted cannot be used.
#[test]
fn what_is_admitted_is_always_typed() {
    let mut admitted = 0;
    for address in [
        "10.0.0.1",
        "010.0.0.1",
        "10.0.0.01",
        "0x0a.0.0.1",
        "10.0.1",
        "::1.2.3.4",
        "::1.2.3.04",
        "fd00::0001",
        "00fd::1",
        "1::2::3",
        "FD::A",
        "fd::a%1",
    ] {
        for length in [
            "", "/", "/0", "/8", "/08", "/24", "/024", "/+24", "/ 24", "/32", "/33", "/64", "/128",
            "/129", "/256", "/0x8",
        ] {
            for spec in [
                format!("addresses: ['{address}{length}']"),
                format!("routes: [{{to: '{address}{length}'}}]"),
                format!(
                    "routes: [{{to: '{}', via: '{address}{length}'}}]",
                    if address.contains(':') {
                        "::/0"
                    } else {
                        "0.0.0.0/0"
                    }
                ),
            ] {
                if let Ok(value) = admit_yaml(&links(&format!(
                    "[{{name: a, veth: {{bridge: b}}, {spec}}}]"
                ))) {
                    serde_json::from_value::<crds::PodConfig>(value)
                        .unwrap_or_else(|e| panic!("{spec}: {e}"));
                    admitted += 1;
                }
            }
        }
    }
    assert!(admitted > 20, "only {admitted} passed");
}

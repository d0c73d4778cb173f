//! Requests that nobody should write: what can be passed on is, the rest is the specification's error.

use crate::harness::Node;
use crate::outcome::starts_without_record;

#[test]
fn a_wrong_type_in_the_configuration_stops_no_pod() {
    let node = Node::new();
    for wrong in ["7", "[]", "{}", "true", "[[{}]]"] {
        for field in ["name", "recordsDir"] {
            starts_without_record(&node, &node.call("ADD").config(field, wrong), field);
        }
    }
    for wrong in ["7", "[]", "\"x\"", "[[{}]]"] {
        for field in [
            "type",
            "capabilities",
            "args",
            "ipMasq",
            "dns",
            "runtimeConfig",
        ] {
            node.call("ADD").config(field, wrong).run().passes_through();
            assert!(node.record().is_some());
        }
    }
}

#[test]
fn a_network_without_a_usable_name_gets_no_record() {
    let node = Node::new();
    starts_without_record(&node, &node.call("ADD").without("name"), "no name");
    for name in [r#""""#, r#""../x""#, r#""a\u0000""#, r#""a\nb""#] {
        starts_without_record(&node, &node.call("ADD").config("name", name), "network");
    }
}

#[test]
fn a_records_folder_that_is_no_path_is_not_used() {
    let node = Node::new();
    for path in [
        r#""""#,
        r#""records""#,
        r#""/run/../etc""#,
        r#""/run/a\u0000b""#,
    ] {
        starts_without_record(
            &node,
            &node.call("ADD").config("recordsDir", path),
            "recordsDir",
        );
    }
}

#[test]
fn what_is_no_json_is_refused_as_the_specification_says() {
    let node = Node::new();
    let mut cases: Vec<Vec<u8>> = [
        "",
        " ",
        "null",
        "[]",
        "7",
        "\"x\"",
        "no json",
        "{}}",
        "{\"a\":1,}",
        "\u{feff}{}",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into();
    cases.push(b"{\"name\":\"\xff\xfe\"}".to_vec());
    cases.push(vec![0; 4096]);
    cases.push("[".repeat(200_000).into_bytes());
    cases.push("{\"a\":".repeat(200_000).into_bytes());
    for text in cases {
        node.call("ADD").stdin(text).run().fails_with(6);
    }
}

#[test]
fn a_request_cut_anywhere_is_refused() {
    let node = Node::new();
    let whole = node.call("ADD").text();
    for end in (1..whole.len()).step_by(whole.len() / 25) {
        node.call("ADD").stdin(&whole[..end]).run().fails_with(6);
    }
    assert_eq!(node.files(), 0);
}

#[test]
fn of_a_repeated_key_the_last_counts() {
    let node = Node::new();
    let text = String::from_utf8(node.call("ADD").text()).unwrap();
    let text = text.replacen('{', r#"{"prevResult": 7, "recordsDir": "/etc", "#, 1);
    node.call("ADD").stdin(text).run().passes_through();
    assert!(node.record().is_some());
}

#[test]
fn a_deep_result_is_passed_on_as_it_came() {
    let node = Node::new();
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(300_000), "]".repeat(300_000));
    node.call("ADD")
        .config("prevResult", &deep)
        .run()
        .prints(&deep);
    assert!(node.record().is_some());
    let config = format!("{{\"io.kubernetes.cri.pod-annotations\":{deep}}}");
    node.call("ADD")
        .config("runtimeConfig", &config)
        .run()
        .passes_through()
        .says("annotations");
}

#[test]
fn odd_addresses_in_a_result_are_left_out() {
    let node = Node::new();
    for ips in [
        "7",
        "[7]",
        "{}",
        r#"[{"address":7}]"#,
        r#"[{"address":"10.0.0.1/99\n"}]"#,
        r#"[{"address":"nonsense"}]"#,
    ] {
        let result = format!(r#"{{"ips":{ips}}}"#);
        let outcome = node
            .call("ADD")
            .config("prevResult", &result)
            .run()
            .prints(&result);
        outcome.says("left out").keeps_to_its_lines();
        assert!(node.record().unwrap().addresses.is_empty());
    }
}

#[test]
fn ten_megabytes_are_passed_on() {
    let node = Node::new();
    let result = format!("{{\"x\":\"{}\"}}", "x".repeat(10 << 20));
    node.call("ADD")
        .config("prevResult", &result)
        .run()
        .prints(&result)
        .quietly();
    assert!(node.record().is_some());
}

#[test]
fn a_request_without_end_is_refused() {
    let node = Node::new();
    node.call("ADD")
        .stdin(vec![b' '; 20 << 20])
        .run()
        .fails_with(6);
    node.call("DEL")
        .stdin(vec![b' '; 20 << 20])
        .run()
        .prints_nothing();
}

#[test]
fn annotations_that_are_too_many_are_left_out_largest_first() {
    let node = Node::new();
    let large = "\\u0001".repeat(20_000);
    let config =
        format!(r#"{{"io.kubernetes.cri.pod-annotations":{{"large":"{large}","small":"x"}}}}"#);
    let outcome = node
        .call("ADD")
        .config("runtimeConfig", &config)
        .run()
        .passes_through();
    outcome.says("annotation \"large\"");
    let record = node.record().unwrap();
    assert_eq!(
        record.annotations.into_keys().collect::<Vec<_>>(),
        ["small"]
    );
}

#[test]
fn annotations_of_a_wrong_type_are_left_out() {
    let node = Node::new();
    for wrong in [
        "7",
        "[]",
        "{\"a\":7}",
        "{\"a\":null}",
        "{\"a\":{}}",
        "{\"a\":\"\\ud800\"}",
    ] {
        let config = format!(r#"{{"io.kubernetes.cri.pod-annotations":{wrong}}}"#);
        let outcome = node
            .call("ADD")
            .config("runtimeConfig", &config)
            .run()
            .passes_through();
        outcome.says("annotations");
        assert!(node.record().unwrap().annotations.is_empty());
    }
}

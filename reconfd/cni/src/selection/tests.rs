use proptest::prelude::*;
use serde_json::json;

use super::*;

fn of(value: Value) -> Result<Vec<NetworkSelection>, SelectionError> {
    parse(&value.to_string(), "team")
}

fn one(mut element: Value) -> Result<NetworkSelection, SelectionError> {
    element["name"] = json!("fast");
    of(json!([element])).map(|mut elements| elements.remove(0))
}

fn short(text: &str) -> Vec<(String, String, Option<String>)> {
    let elements = parse(text, "team").unwrap();
    elements
        .into_iter()
        .map(|element| (element.namespace, element.name, element.interface))
        .collect()
}

#[test]
fn the_short_form_is_read() {
    let element = |namespace: &str, name: &str, interface: Option<&str>| {
        (
            namespace.to_owned(),
            name.to_owned(),
            interface.map(str::to_owned),
        )
    };
    assert_eq!(
        short(" fast , networks/slow@net2,x@net3 "),
        [
            element("team", "fast", None),
            element("networks", "slow", Some("net2")),
            element("team", "x", Some("net3"))
        ]
    );
}

#[test]
fn nothing_asked_for_is_nothing() {
    for nothing in ["", " ", "[]", " [ ] "] {
        assert_eq!(parse(nothing, "team"), Ok(vec![]));
    }
}

#[test]
fn a_bad_short_element_makes_all_of_it_void() {
    for bad in [
        "a,", ",a", "a//b", "a/b/c", "a@b@c", "A", "a_b", "-a", "a-", "a.b", "/a", "a@", "ns/",
        "a@x/y", "ä",
    ] {
        assert!(parse(bad, "team").is_err(), "{bad}");
        assert!(parse(&format!("good,{bad}"), "team").is_err(), "{bad}");
    }
}

#[test]
fn a_full_element_is_read_and_printed_anew() {
    let element = one(json!({
        "namespace": "networks", "interface": "net7", "ips": ["10.0.0.5/24", "fd00::0005"], "mac": "0A-58-0A-00-00-05",
        "infiniband-guid": "0a:58:0a:00:00:05:00:01", "default-route": ["10.0.0.1"], "ipam-claim-reference": "vm.net",
        "portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "TCP", "hostIP": "192.0.2.1"}],
        "bandwidth": {"ingressRate": 1000, "egressBurst": 5}, "cni-args": {"logicNetworkName": "x"},
        "vendor.example/x": 1, "unknown": {},
    }))
    .unwrap();
    let expected = json!({
        "ips": ["10.0.0.5/24", "fd00::5"], "mac": "0a:58:0a:00:00:05", "infinibandGUID": "0a:58:0a:00:00:05:00:01",
        "portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": "192.0.2.1"}],
        "bandwidth": {"ingressRate": 1000, "ingressBurst": 0, "egressRate": 0, "egressBurst": 5},
    });
    assert_eq!(Value::Object(element.runtime_config()), expected);
    let args = [("MAC", "0a:58:0a:00:00:05"), ("IP", "10.0.0.5/24,fd00::5")];
    assert_eq!(
        element.args(),
        args.map(|(key, value)| (key.to_owned(), value.to_owned()))
    );
    assert_eq!(
        (element.namespace.as_str(), element.interface.as_deref()),
        ("networks", Some("net7"))
    );
    assert_eq!(
        element.default_route,
        ["10.0.0.1".parse::<IpAddr>().unwrap()]
    );
    assert_eq!(element.cni_args["logicNetworkName"], "x");
    assert_eq!(one(json!({})).unwrap().runtime_config(), Map::new());
}

#[test]
fn the_old_key_for_the_interface_is_read() {
    assert_eq!(
        one(json!({"interfaceRequest": "net1"}))
            .unwrap()
            .interface
            .as_deref(),
        Some("net1")
    );
    assert!(one(json!({"interfaceRequest": "net1", "interface": "net2"})).is_err());
}

#[test]
fn attack_22_ips_and_mac_carry_nothing_else() {
    for ip in [
        "10.0.0.1;K8S_POD_NAMESPACE=kube-system",
        "10.0.0.1/24;A=b",
        "10.0.0.1,10.0.0.2",
        "::ffff:10.0.0.1",
        "10.0.0.1/33",
        "10.0.0.1/+8",
        "010.0.0.1",
        "fe80::1%eth0",
        "",
    ] {
        assert!(one(json!({"ips": [ip]})).is_err(), "{ip}");
        assert!(one(json!({"default-route": [ip]})).is_err(), "{ip}");
    }
    for mac in [
        "0a:58:0a:00:00:05;K8S_POD_NAME=x",
        "0a:58:0a:00:00",
        "0a:58:0a:00:00:05:00:01",
        "0a58.0a00.0005",
        "a:b:c:d:e:f",
    ] {
        assert!(one(json!({"mac": mac})).is_err(), "{mac}");
    }
}

#[test]
fn attack_23_the_pods_own_interfaces_and_odd_names_are_refused() {
    for interface in [
        "eth0",
        "lo",
        "all",
        "a/b",
        "a b",
        "net%d",
        "0123456789abcdef",
        "..",
    ] {
        assert!(one(json!({"interface": interface})).is_err(), "{interface}");
        assert!(
            one(json!({"interfaceRequest": interface})).is_err(),
            "{interface}"
        );
        assert!(
            parse(&format!("fast@{interface}"), "team").is_err(),
            "{interface}"
        );
    }
}

#[test]
fn attack_23_one_interface_twice_is_refused() {
    let twice = of(
        json!([{"name": "a", "interface": "net1"}, {"name": "b"}, {"name": "c", "interface": "net1"}]),
    );
    assert!(matches!(
        twice,
        Err(SelectionError::Twice {
            first: 0,
            second: 2,
            ..
        })
    ));
    assert!(parse("a@net1,b@net1", "team").is_err());
    assert_eq!(parse("a,a", "team").unwrap().len(), 2);
}

#[test]
fn attack_26_null_elements_and_wrong_forms_are_refused() {
    for value in [
        json!([null]),
        json!({}),
        json!({"name": "a"}),
        json!("a"),
        json!(["a"]),
        json!([[]]),
        json!([{}]),
        json!([{"name": null}]),
        json!([{"name": ""}]),
        json!([{"name": 1}]),
        json!([{"name": "a"}, null]),
        json!([{"name": "a", "namespace": "x.y"}]),
        json!([{"name": "../a"}]),
    ] {
        assert!(of(value.clone()).is_err(), "{value}");
    }
    assert_eq!(of(json!([{"name": "a.b"}])).unwrap()[0].name, "a.b");
}

#[test]
fn attack_26_many_elements_a_mebibyte_and_deep_nesting_are_refused() {
    let many = |count| of(json!(vec![json!({"name": "a"}); count]));
    assert_eq!(many(32).unwrap().len(), 32);
    assert_eq!(many(33), Err(SelectionError::TooMany(33)));
    assert!(many(10_000).is_err());
    assert_eq!(
        parse(&vec!["a"; 10_000].join(","), "team"),
        Err(SelectionError::TooMany(10_000))
    );
    assert!(parse(&format!("[{}", " ".repeat(1 << 20)), "team").is_err());
    let deep = format!(
        "[{{\"name\":\"a\",\"x\":{}{}}}]",
        "[".repeat(20),
        "]".repeat(20)
    );
    assert!(matches!(parse(&deep, "team"), Err(SelectionError::Json(_))));
    assert!(
        parse(
            "[{\"name\":\"a\",\"bandwidth\":{\"ingressRate\":18446744073709551616}}]",
            "team"
        )
        .is_err()
    );
    assert!(one(json!({"ips": vec!["10.0.0.1"; 65]})).is_err());
}

#[test]
fn attack_9_a_known_key_in_another_case_is_refused() {
    for key in [
        "Name",
        "NAMESPACE",
        "Interface",
        "IPs",
        "MAC",
        "CNI-Args",
        "portmappings",
        "Bandwidth",
        "deviceid",
    ] {
        assert!(one(json!({key: null})).is_err(), "{key}");
    }
    assert!(
        one(json!({"portMappings": [{"hostPort": 1, "containerPort": 1, "HostIP": "192.0.2.1"}]}))
            .is_err()
    );
    assert!(one(json!({"bandwidth": {"IngressRate": 1}})).is_err());
}

#[test]
fn a_device_is_refused_and_wrong_values_are() {
    assert!(matches!(
        one(json!({"deviceID": "0000:00:1f.6"})),
        Err(SelectionError::Element {
            problem: ElementError::NotPossible("deviceID"),
            ..
        })
    ));
    for wrong in [
        json!({"ips": "10.0.0.1"}),
        json!({"ips": [1]}),
        json!({"mac": 1}),
        json!({"cni-args": []}),
        json!({"bandwidth": []}),
        json!({"bandwidth": {"ingressRate": -1}}),
        json!({"bandwidth": {"ingressRate": u64::MAX}}),
        json!({"portMappings": {}}),
        json!({"portMappings": [null]}),
        json!({"portMappings": [{"hostPort": 0, "containerPort": 80}]}),
        json!({"portMappings": [{"hostPort": 65536, "containerPort": 80}]}),
        json!({"portMappings": [{"hostPort": 80}]}),
        json!({"portMappings": [{"hostPort": 80, "containerPort": 80, "protocol": "icmp"}]}),
        json!({"portMappings": [{"hostPort": 80, "containerPort": 80, "hostIP": "x"}]}),
        json!({"ipam-claim-reference": "../x"}),
    ] {
        assert!(one(wrong.clone()).is_err(), "{wrong}");
    }
}

proptest! {
    #[test]
    fn no_annotation_ends_the_parser(annotation in "[\\PC]{0,40}|[a-c/@, \\[\\]{}\":]{0,40}") {
        let _ = parse(&annotation, "team");
    }

    #[test]
    fn what_is_accepted_is_safe_in_cni_args(ip in "\\PC{0,20}|[0-9.:/;=]{0,20}", mac in "[0-9a-fA-F:;=-]{0,20}") {
        if let Ok(element) = one(json!({"ips": [ip], "mac": mac})) {
            for (key, value) in element.args() {
                prop_assert!(names::cni_arg(&key).is_ok() && names::cni_arg(&value).is_ok());
            }
        }
    }
}

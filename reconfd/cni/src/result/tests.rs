use proptest::prelude::*;
use serde_json::json;

use super::*;

fn parse(value: Value) -> Result<CniResult, ResultError> {
    CniResult::parse(value.to_string().as_bytes(), Version::V0_4_0)
}

fn full() -> Value {
    json!({
        "cniVersion": "1.1.0",
        "interfaces": [
            {"name": "br0", "mac": "0a:58:0a:00:00:01"},
            {"name": "net1", "mac": "0a:58:0a:00:00:05", "mtu": 1400, "sandbox": "/run/netns/x",
             "socketPath": "/run/s", "pciID": "0000:00:1f.6"},
        ],
        "ips": [
            {"address": "10.0.0.5/24", "gateway": "10.0.0.1", "interface": 1},
            {"address": "fd00::5/64", "interface": 1},
        ],
        "routes": [
            {"dst": "0.0.0.0/0", "gw": "10.0.0.1", "mtu": 1300, "advmss": 1200, "priority": 10, "table": 0, "scope": 0},
            {"dst": "fd01::/48"},
        ],
        "dns": {"nameservers": ["10.0.0.2"], "domain": "x", "search": ["y"], "options": ["ndots:2"]},
    })
}

#[test]
fn a_full_result_is_read_and_rendered_again() {
    let result = parse(full()).unwrap();
    assert_eq!(result.render(Version::V1_1_0), full());
    assert_eq!(
        result.of_pod().map(|(index, _)| index).collect::<Vec<_>>(),
        [1]
    );
    assert_eq!(result.interfaces[1].mtu, Some(1400));
    assert_eq!(result.ips[0].interface, Some(1));
    assert_eq!(result.routes[0].table, Some(0));
}

#[test]
fn below_1_0_0_addresses_have_a_family_and_interfaces_no_mtu() {
    let result = parse(full()).unwrap();
    for version in [Version::V0_3_0, Version::V0_3_1, Version::V0_4_0] {
        let rendered = result.render(version);
        assert_eq!(rendered["cniVersion"], json!(version));
        assert_eq!(rendered["ips"][0]["version"], "4");
        assert_eq!(rendered["ips"][1]["version"], "6");
        let expected =
            json!({"name": "net1", "mac": "0a:58:0a:00:00:05", "sandbox": "/run/netns/x"});
        assert_eq!(rendered["interfaces"][1], expected);
        let read = CniResult::from_value(rendered).unwrap();
        assert_eq!(read.ips, result.ips);
        assert_eq!(read.routes, result.routes);
    }
    assert_eq!(result.render(Version::V1_0_0)["interfaces"][1]["mtu"], 1400);
}

#[test]
fn an_mtu_in_an_old_version_is_not_read_as_libcni_does_not() {
    let old = json!({"cniVersion": "0.4.0", "interfaces": [{"name": "net1", "mtu": 1400}]});
    assert_eq!(parse(old).unwrap().interfaces[0].mtu, None);
}

#[test]
fn a_missing_version_is_that_of_the_configuration() {
    assert_eq!(parse(json!({})).unwrap(), CniResult::empty(Version::V0_4_0));
    assert_eq!(
        parse(json!({"cniVersion": ""})).unwrap().version,
        Version::V0_4_0
    );
    assert_eq!(
        parse(json!({"cniVersion": "1.0.0"})).unwrap().version,
        Version::V1_0_0
    );
}

#[test]
fn null_is_empty_at_any_place() {
    assert_eq!(
        parse(Value::Null).unwrap(),
        CniResult::empty(Version::V0_4_0)
    );
    let nulls =
        json!({"cniVersion": null, "interfaces": null, "ips": null, "routes": null, "dns": null});
    assert_eq!(parse(nulls).unwrap(), CniResult::empty(Version::V0_4_0));
    let ip = json!({"ips": [{"address": "10.0.0.5/24", "gateway": null, "interface": null}],
        "routes": [{"dst": "10.0.0.0/8", "gw": ""}]});
    let result = parse(ip).unwrap();
    assert_eq!((result.ips[0].gateway, result.routes[0].gw), (None, None));
}

#[test]
fn nothing_and_garbage_are_refused() {
    let refused = |text: &[u8]| CniResult::parse(text, Version::V0_4_0).unwrap_err();
    assert_eq!(refused(b""), ResultError::Empty);
    assert_eq!(refused(b" \n"), ResultError::Empty);
    assert_eq!(refused(b"\xff{}"), ResultError::Encoding);
    for text in [
        "banana",
        "{",
        "{}{}",
        "[]",
        "1",
        "\"x\"",
        "{\"ips\":{}}",
        "{\"ips\":[null]}",
        "{\"ips\":[{}]}",
        "{\"ips\":[[null,null,\"10.0.0.5/24\"]]}",
        "{\"dns\":[]}",
    ] {
        refused(text.as_bytes());
    }
    let large = format!("{{\"x\":\"{}\"}}", "x".repeat(LARGEST_RESULT));
    assert!(matches!(refused(large.as_bytes()), ResultError::Json(_)));
}

#[test]
fn wrong_values_are_refused() {
    for wrong in [
        json!({"cniVersion": "0.2.0", "ip4": {"ip": "10.0.0.5/24"}}),
        json!({"cniVersion": "7"}),
        json!({"cniVersion": 1}),
        json!({"ips": [{"address": "10.0.0.5"}]}),
        json!({"ips": [{"address": "10.0.0.5/255.255.255.0"}]}),
        json!({"ips": [{"address": "10.0.0.5/33"}]}),
        json!({"ips": [{"address": "10.0.0.5/24", "gateway": "x"}]}),
        json!({"ips": [{"address": "10.0.0.5/24", "interface": -1}]}),
        json!({"ips": [{"address": "10.0.0.5/24", "interface": 0}]}),
        json!({"interfaces": [{"name": "net1", "mtu": -1}]}),
        json!({"interfaces": [{"name": "net1", "mtu": 1400.5}]}),
        json!({"interfaces": [{"name": "a\u{1b}[31m"}]}),
        json!({"interfaces": [{"name": "x".repeat(256)}]}),
        json!({"dns": {"domain": "a\nb"}}),
        json!({"routes": [{"gw": "10.0.0.1"}]}),
        json!({"routes": [{"dst": "10.0.0.0/8", "table": 4294967296_u64}]}),
    ] {
        assert!(parse(wrong.clone()).is_err(), "{wrong}");
    }
}

#[test]
fn attack_17_an_ipv4_address_in_the_form_of_ipv6_is_refused() {
    for wrong in [
        json!({"ips": [{"address": "::ffff:10.96.0.1/120"}]}),
        json!({"ips": [{"address": "fd00::5/64", "gateway": "::ffff:10.0.0.1"}]}),
        json!({"routes": [{"dst": "::ffff:0.0.0.0/96"}]}),
        json!({"routes": [{"dst": "::/0", "gw": "::ffff:10.0.0.1"}]}),
    ] {
        assert!(matches!(parse(wrong), Err(ResultError::Mapped(_))));
    }
}

#[test]
fn a_member_in_another_case_is_refused_and_not_overlooked() {
    for wrong in [
        json!({"IPs": [{"address": "10.0.0.5/24"}]}),
        json!({"ips": [{"Address": "10.0.0.5/24"}]}),
        json!({"Routes": []}),
    ] {
        assert!(matches!(parse(wrong), Err(ResultError::Form(_))));
    }
}

#[test]
fn counts_are_bounded() {
    let ips = |count: usize| {
        let address =
            |index: usize| json!({"address": format!("10.0.{}.{}/8", index / 250, index % 250)});
        json!({"ips": (0..count).map(address).collect::<Vec<_>>()})
    };
    assert_eq!(parse(ips(64)).unwrap().ips.len(), 64);
    assert_eq!(
        parse(ips(65)),
        Err(ResultError::TooMany(65, "addresses", 64))
    );
    assert!(parse(ips(100_000)).is_err());
    let routes = json!({"routes": vec![json!({"dst": "10.0.0.0/8"}); 257]});
    assert!(parse(routes).is_err());
    assert!(parse(json!({"interfaces": vec![json!({"name": "x"}); 65]})).is_err());
    assert!(parse(json!({"dns": {"search": vec!["x"; 33]}})).is_err());
}

#[test]
fn an_error_message_is_short() {
    let error = parse(json!({"interfaces": "x".repeat(10_000)})).unwrap_err();
    assert!(error.to_string().len() < 300);
}

fn interfaces() -> impl Strategy<Value = Vec<Interface>> {
    let interface = ("[a-z]{1,15}", prop::option::of(1_u32..9000), any::<bool>()).prop_map(
        |(name, mtu, in_pod)| Interface {
            name,
            mtu,
            sandbox: in_pod.then(|| "/run/netns/x".to_owned()),
            ..Interface::default()
        },
    );
    prop::collection::vec(interface, 1..4)
}

fn results() -> impl Strategy<Value = CniResult> {
    let ip = (any::<[u8; 4]>(), 0_u8..=32, prop::option::of(0_usize..1));
    let route = (any::<u128>(), 0_u8..=128, prop::option::of(any::<u32>()));
    let lists = (
        interfaces(),
        prop::collection::vec(ip, 0..4),
        prop::collection::vec(route, 0..4),
    );
    (0_usize..5, lists).prop_map(|(version, (interfaces, ips, routes))| CniResult {
        version: Version::ALL[version],
        interfaces,
        ips: ips
            .into_iter()
            .map(|(address, prefix, interface)| IpConfig {
                address: IpNetwork::new(address.into(), prefix).unwrap(),
                gateway: None,
                interface,
            })
            .collect(),
        routes: routes
            .into_iter()
            .map(|(dst, prefix, table)| Route {
                dst: IpNetwork::new(std::net::Ipv6Addr::from(dst | 1 << 127).into(), prefix)
                    .unwrap(),
                gw: None,
                mtu: None,
                advmss: None,
                priority: None,
                table,
                scope: None,
            })
            .collect(),
        dns: Dns::default(),
    })
}

proptest! {
    #[test]
    fn a_result_survives_each_conversion_but_for_devices(result in results(), to in 0_usize..5) {
        let to = Version::ALL[to];
        let read = CniResult::from_value(result.render(to)).unwrap();
        let mut expected = CniResult { version: to, ..result };
        if to < Version::V1_0_0 {
            expected.interfaces.iter_mut().for_each(|interface| interface.mtu = None);
        }
        prop_assert_eq!(&read, &expected);
        let stored = serde_json::to_string(&read).unwrap();
        prop_assert_eq!(serde_json::from_str::<CniResult>(&stored).unwrap(), read);
    }

    #[test]
    fn no_output_ends_the_parser(output in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = CniResult::parse(&output, Version::V1_0_0);
    }
}

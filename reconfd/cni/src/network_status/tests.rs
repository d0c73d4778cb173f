use serde_json::{Value, json};

use super::*;
use crate::Version;

fn status(result: Value) -> Value {
    let result = CniResult::parse(result.to_string().as_bytes(), Version::V0_3_0).unwrap();
    json!(of_result("team/fast", &result))
}

#[test]
fn a_macvlan_of_0_3_0_has_the_members_that_multus_writes() {
    let result = json!({
        "cniVersion": "0.3.0",
        "interfaces": [{"name": "ens58", "mac": "02:03:04:05:06:07", "mtu": 1500, "sandbox": "/run/netns/x"}],
        "ips": [{"version": "4", "address": "10.10.10.111/24", "interface": 0}],
    });
    let expected = json!([{
        "name": "team/fast", "interface": "ens58", "ips": ["10.10.10.111"], "mac": "02:03:04:05:06:07", "dns": {},
    }]);
    assert_eq!(status(result), expected);
}

#[test]
fn the_mtu_is_that_of_the_result_from_1_0_0_on() {
    let result = json!({"cniVersion": "1.0.0", "interfaces": [{"name": "net1", "mtu": 1400, "sandbox": "/x"}]});
    assert_eq!(
        status(result),
        json!([{"name": "team/fast", "interface": "net1", "mtu": 1400, "dns": {}}])
    );
}

#[test]
fn a_bridge_has_one_element_for_the_interface_in_the_pod() {
    let result = json!({
        "interfaces": [{"name": "br0"}, {"name": "veth1"}, {"name": "net1", "sandbox": "/x"}],
        "ips": [{"address": "10.0.0.5/24", "interface": 2}, {"address": "10.0.0.9/24", "interface": 0}, {"address": "fd00::5/64"}],
        "routes": [{"dst": "0.0.0.0/0", "gw": "10.0.0.1"}, {"dst": "::/0", "gw": "fd00::1"}, {"dst": "10.1.0.0/16", "gw": "10.0.0.2"}],
        "dns": {"nameservers": ["10.0.0.2"]},
    });
    let expected = json!([{
        "name": "team/fast", "interface": "net1", "ips": ["10.0.0.5", "fd00::5"], "dns": {"nameservers": ["10.0.0.2"]},
        "gateway": ["10.0.0.1", "fd00::1"],
    }]);
    assert_eq!(status(result), expected);
}

#[test]
fn two_interfaces_in_the_pod_have_an_element_each() {
    let result = json!({
        "interfaces": [{"name": "net1", "sandbox": "/x"}, {"name": "net2", "sandbox": "/x"}],
        "ips": [{"address": "10.0.0.5/24", "interface": 0}, {"address": "10.0.0.6/24"}],
    });
    let expected = json!([
        {"name": "team/fast", "interface": "net1", "ips": ["10.0.0.5"], "dns": {}},
        {"name": "team/fast", "interface": "net2", "ips": ["10.0.0.6"], "dns": {}},
    ]);
    assert_eq!(status(result), expected);
}

#[test]
fn a_result_without_an_interface_of_the_pod_has_no_interface() {
    assert_eq!(status(json!({})), json!([]));
    let host_only = json!({"interfaces": [{"name": "veth1"}], "ips": [{"address": "10.0.0.5/24", "interface": 0}]});
    assert_eq!(
        status(host_only),
        json!([{"name": "team/fast", "ips": ["10.0.0.5"], "dns": {}}])
    );
}

#[test]
fn an_element_of_multus_is_read() {
    let element = json!({"name": "cbr0", "interface": "eth0", "ips": ["10.244.0.5"], "mac": "x", "default": true,
        "dns": {}, "gateway": ["10.244.0.1"]});
    let read: NetworkStatus = serde_json::from_value(element.clone()).unwrap();
    assert!(read.default);
    assert_eq!(json!(read), element);
}

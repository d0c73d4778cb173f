//! Debian's plugins, alone and through the daemon, in every version and in every way to end.

use super::*;
use crate::support::plugins::{
    End::{Deleted, MasterGone},
    PluginCase,
};

const UP0: &str = "ip link show up0 >/dev/null 2>&1 || ip link add up0 type veth peer name up1; \
    ip link set up0 up; ip link set up1 up";
const BRIDGE: &str = r#"{"type": "bridge", "bridge": "cbr", "isGateway": true, "ipMasq": true, "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.77.0.0/24"}]]}}"#;
const MACVLAN: &str = r#"{"type": "macvlan", "master": "up0", "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.77.0.0/24"}]]}}"#;

#[test]
fn bridge_with_gateway_and_masquerade_leaves_nothing() {
    PluginCase {
        kinds: &["bridge", "host-local"],
        plugins: &[BRIDGE],
        ..PluginCase::default()
    }
    .leaves_nothing();
}

#[test]
fn macvlan_leaves_nothing() {
    PluginCase {
        kinds: &["macvlan", "host-local"],
        plugins: &[MACVLAN],
        devices: UP0,
        ..PluginCase::default()
    }
    .leaves_nothing();
}

#[test]
fn macvlan_with_a_static_address_leaves_nothing() {
    PluginCase {
        kinds: &["macvlan", "static"],
        plugins: &[
            r#"{"type": "macvlan", "master": "up0", "ipam": {"type": "static", "addresses": [{"address": "10.77.0.7/24"}]}}"#,
        ],
        devices: UP0,
        ..PluginCase::default()
    }
    .leaves_nothing();
}

#[test]
fn ptp_leaves_nothing() {
    PluginCase {
        kinds: &["ptp", "host-local"],
        plugins: &[
            r#"{"type": "ptp", "ipMasq": true, "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.77.0.0/24"}]]}}"#,
        ],
        ..PluginCase::default()
    }
    .leaves_nothing();
}

/// The device comes back to the node, unless it ends with its namespace, as a veth does.
#[test]
fn host_device_leaves_nothing() {
    PluginCase {
        kinds: &["host-device", "host-local"],
        plugins: &[
            r#"{"type": "host-device", "device": "up0", "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.77.0.0/24"}]]}}"#,
        ],
        devices: UP0,
        fails: &[Deleted],
        ..PluginCase::default()
    }
    .leaves_nothing();
}

#[test]
fn tuning_leaves_nothing() {
    PluginCase {
        kinds: &["macvlan", "host-local", "tuning"],
        plugins: &[
            MACVLAN,
            r#"{"type": "tuning", "mtu": 1400, "sysctl": {"net.ipv4.conf.net1.arp_notify": "1"}}"#,
        ],
        devices: UP0,
        ..PluginCase::default()
    }
    .leaves_nothing();
}

#[test]
fn bandwidth_leaves_nothing() {
    PluginCase {
        kinds: &["bridge", "host-local", "bandwidth"],
        plugins: &[
            BRIDGE,
            r#"{"type": "bandwidth", "capabilities": {"bandwidth": true}}"#,
        ],
        request: ", bandwidth: {ingressRate: 1000000, ingressBurst: 1000000, egressRate: 1000000, egressBurst: 1000000}",
        runtime_config: r#"{"bandwidth": {"ingressRate": 1000000, "ingressBurst": 1000000, "egressRate": 1000000, "egressBurst": 1000000}}"#,
        ..PluginCase::default()
    }
    .leaves_nothing();
}

/// Its CHECK looks for a chain of IPv6 on a link without.
#[test]
fn portmap_leaves_nothing() {
    PluginCase {
        kinds: &["bridge", "host-local", "portmap"],
        plugins: &[
            BRIDGE,
            r#"{"type": "portmap", "capabilities": {"portMappings": true}}"#,
        ],
        request: ", portMappings: [{hostPort: 30080, containerPort: 80}]",
        runtime_config: r#"{"portMappings": [{"hostPort": 30080, "containerPort": 80, "protocol": "tcp"}]}"#,
        unchecked: &["portmap"],
        ..PluginCase::default()
    }
    .leaves_nothing();
}

#[test]
fn firewall_leaves_nothing() {
    PluginCase {
        kinds: &["bridge", "host-local", "firewall"],
        plugins: &[BRIDGE, r#"{"type": "firewall"}"#],
        since: "0.4.0",
        ..PluginCase::default()
    }
    .leaves_nothing();
}

/// It moves the route that CHECK of macvlan looks for. Its DEL fails without link or namespace.
#[test]
fn sbr_leaves_nothing() {
    PluginCase {
        kinds: &["macvlan", "host-local", "sbr"],
        plugins: &[MACVLAN, r#"{"type": "sbr"}"#],
        devices: UP0,
        unchecked: &["macvlan"],
        fails: &[Deleted, MasterGone],
        ..PluginCase::default()
    }
    .leaves_nothing();
}

/// A port was kept from others for a while after its attachment was gone.
#[test]
fn a_port_is_free_when_its_attachment_is_gone() {
    let node = TestNode::new();
    let _runner = node.runner(&["bridge", "host-local", "portmap"], &[]);
    let rule = RULE.replace(
        "names: [fast, slow]}]",
        "names: [fast]}], hostPorts: [{min: 30080, max: 30080}]",
    );
    node.apply("policy", &policy("telco", "{}", &format!("[{rule}]")));
    let daemon = node.daemon_with(&options());
    let portmap = r#"{"type": "portmap", "capabilities": {"portMappings": true}}"#;
    let plugins = format!(r#"{{"cniVersion": "1.0.0", "plugins": [{BRIDGE}, {portmap}]}}"#);
    define(&node, "fast", &plugins);
    let link = LINK.replace(
        "networks/fast",
        "networks/fast, portMappings: [{hostPort: 30080, containerPort: 80}]",
    );
    for name in ["first", "second"] {
        let pod = node.bare_pod("tenant-a", name);
        node.apply("web", &config("tenant-a", "web", name, &link));
        pod.ready("net1");
        node.withdraw("web");
        is_clean(&node);
    }
    assert!(!daemon.log().contains("leads to another pod"));
}

//! Debian's plugins that need VLAN and ipvlan devices.

use crate::support::plugins::PluginCase;

const UP0: &str = "ip link show up0 >/dev/null 2>&1 || ip link add up0 type veth peer name up1; \
    ip link set up0 up; ip link set up1 up";
const IPAM: &str = r#""ipam": {"type": "host-local", "ranges": [[{"subnet": "10.77.0.0/24"}]]}"#;

fn leaves_nothing(plugin: &str, rest: &str) {
    let object = format!(r#"{{"type": "{plugin}", "master": "up0"{rest}, {IPAM}}}"#);
    PluginCase {
        kinds: &[plugin, "host-local"],
        plugins: &[&object],
        devices: UP0,
        ..PluginCase::default()
    }
    .leaves_nothing();
}

#[test]
fn vlan_leaves_nothing() {
    leaves_nothing("vlan", r#", "vlanId": 5"#);
}

#[test]
fn ipvlan_leaves_nothing() {
    leaves_nothing("ipvlan", "");
}

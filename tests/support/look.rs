//! Questions about the kernel's links that many stories ask, answered from iproute2's JSON.

use serde_json::Value;

use super::{
    node::TestNode,
    wait::{eventually, seen},
};

/// Links of ours outside of the switch are in this group.
pub const OUR_GROUP: u64 = 0x7063_6667;

pub fn index(link: &Value) -> u64 {
    link["ifindex"]
        .as_u64()
        .unwrap_or_else(|| panic!("a link has an index: {link}"))
}

/// `address/length` of each address, in the kernel's order; the automatic fe80 one is left out.
pub fn addresses(link: &Value) -> Vec<String> {
    let all = link["addr_info"].as_array().into_iter().flatten();
    all.map(|one| {
        format!(
            "{}/{}",
            one["local"].as_str().unwrap_or_default(),
            one["prefixlen"]
        )
    })
    .filter(|text| !text.starts_with("fe80:"))
    .collect()
}

pub fn named<'v>(links: &'v Value, name: &str) -> Option<&'v Value> {
    links.as_array()?.iter().find(|link| link["ifname"] == name)
}

pub fn names(links: &Value) -> Vec<String> {
    let all = links.as_array().into_iter().flatten();
    all.filter_map(|link| link["ifname"].as_str().map(str::to_owned))
        .collect()
}

/// `ip -d` tells groups that have no name as hexadecimal or decimal text.
pub fn is_in_our_group(link: &Value) -> bool {
    let group = link["group"].as_str().unwrap_or_default();
    group.parse() == Ok(OUR_GROUP) || group.trim_start_matches("0x") == "70636667"
}

impl TestNode {
    /// Host ends in the switch.
    pub fn host_ends(&self) -> Vec<Value> {
        self.in_switch_named("pc", 15)
    }

    /// Namespace bridges in the switch.
    pub fn bridges(&self) -> Vec<Value> {
        self.in_switch_named("pcb", 15)
            .into_iter()
            .filter(|l| l["linkinfo"]["info_kind"] == "bridge")
            .collect()
    }

    /// Devices of segments in the switch.
    pub fn devices(&self) -> Vec<Value> {
        let links = self.switch_ip(&["link", "show"]);
        let is_device = |link: &&Value| {
            let kind = &link["linkinfo"]["info_kind"];
            kind == "vxlan" || kind == "vlan"
        };
        let all = links.as_array().into_iter().flatten();
        all.filter(is_device).cloned().collect()
    }

    /// Waits until no device of a segment is left in the switch.
    pub fn lacks_devices(&self) {
        eventually("no device of a segment is left", || {
            let devices = self.devices();
            seen(devices.is_empty(), format!("{devices:?}"))
        });
    }

    /// The one device of a segment in the switch.
    pub fn device(&self) -> Value {
        let devices = self.devices();
        assert_eq!(devices.len(), 1, "{devices:?}");
        devices[0].clone()
    }

    fn in_switch_named(&self, start: &str, length: usize) -> Vec<Value> {
        let links = self.switch_ip(&["link", "show"]);
        let ours = links.as_array().into_iter().flatten().filter(|link| {
            let name = link["ifname"].as_str().unwrap_or_default();
            name.starts_with(start)
                && name.len() == length
                && (start == "pcb" || link["linkinfo"]["info_kind"] == "veth")
        });
        ours.cloned().collect()
    }

    /// Links of ours in the node's own namespace.
    pub fn ours_on_node(&self) -> Vec<Value> {
        let links = self.ip(&["link", "show"]);
        links
            .as_array()
            .into_iter()
            .flatten()
            .filter(|link| is_in_our_group(link))
            .cloned()
            .collect()
    }

    /// Waits until nothing of ours is left anywhere but the empty switch.
    pub fn is_clean(&self) {
        eventually("nothing of ours is left", || {
            let switch = self.switch_ip(&["link", "show"]);
            let left: Vec<String> = names(&switch)
                .into_iter()
                .filter(|name| name != "lo")
                .collect();
            let ours = self.ours_on_node();
            seen(
                left.is_empty() && ours.is_empty(),
                format!("in the switch {left:?}, on the node {ours:?}"),
            )
        });
    }
}

//! Pure: the networks that a node has because plugins made a link: that of the gateway on a bridge, and the host route to
//! a pod's address. They must not refuse the link that they are for, before or after the kernel reports them.

use address::overlap::NodeNetwork;
use cni::{CniResult, FrozenChain, FrozenPlugin};
use ipnetwork::IpNetwork;
use serde_json::Value;

/// The bridge of a plugin `bridge` that names none.
const DEFAULT_BRIDGE: &str = "cni0";

/// Networks of the node that are there for this result.
pub fn networks(chain: &FrozenChain, result: &CniResult) -> Vec<NodeNetwork> {
    let bridges = chain.plugins.iter().filter_map(bridge);
    let bridges: Vec<(String, bool)> = bridges.collect();
    let on_node = result.interfaces.iter();
    let on_node = on_node.filter(|link| link.sandbox.as_deref().is_none_or(str::is_empty));
    let on_node = on_node.flat_map(|link| {
        let bridge = bridges
            .iter()
            .find(|(name, _)| is_of_bridge(&link.name, name));
        match bridge {
            Some((_, true)) => gateways(result),
            // The node's own bridge, which only a policy may let a link overlap.
            Some((_, false)) => Vec::new(),
            None => addresses(result),
        }
        .into_iter()
        .map(|network| NodeNetwork {
            link: link.name.clone(),
            network,
        })
    });
    on_node.collect()
}

/// The bridge that a plugin uses, and whether it gives the gateway's address to it.
fn bridge(plugin: &FrozenPlugin) -> Option<(String, bool)> {
    let says = |key| plugin.object.get(key) == Some(&Value::Bool(true));
    let name = plugin.object.get("bridge").and_then(Value::as_str);
    let name = name.filter(|name| !name.is_empty());
    (plugin.plugin_type == "bridge").then(|| {
        (
            name.unwrap_or(DEFAULT_BRIDGE).to_owned(),
            says("isGateway") || says("isDefaultGateway"),
        )
    })
}

/// With a VLAN the gateway's address is on a link `<bridge>.<vlan>`.
fn is_of_bridge(link: &str, bridge: &str) -> bool {
    let rest = link.strip_prefix(bridge);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The plugin refuses a bridge with another address of the family, so the gateway's network is the only one there.
fn gateways(result: &CniResult) -> Vec<IpNetwork> {
    let gateways = result.ips.iter();
    let gateways = gateways.filter_map(|ip| IpNetwork::new(ip.gateway?, ip.address.prefix()).ok());
    gateways.collect()
}

fn addresses(result: &CniResult) -> Vec<IpNetwork> {
    let addresses = result.ips.iter();
    addresses.map(|ip| ip.address.ip().into()).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn chain(plugin: &Value) -> FrozenChain {
        FrozenChain {
            network: "fast".into(),
            cni_version: cni::Version::LATEST,
            plugins: vec![FrozenPlugin::of(plugin.as_object().unwrap().clone()).unwrap()],
            disable_check: false,
            disable_gc: false,
            runtime_config: serde_json::Map::new(),
            args: Vec::new(),
            container_id: "c1".into(),
            ifname: "net1".into(),
            netns: "/run/netns/web".into(),
            digests: Default::default(),
        }
    }

    fn on_node(plugin: &Value, links: &[&str]) -> Vec<String> {
        let links = links.iter().map(|name| json!({"name": name}));
        let mut interfaces: Vec<Value> = links.collect();
        interfaces.push(json!({"name": "net1", "sandbox": "/run/netns/web"}));
        let result = json!({"cniVersion": "1.0.0", "interfaces": interfaces,
            "ips": [{"address": "10.77.0.5/24", "gateway": "10.77.0.1"}]});
        let result = CniResult::from_value(result).unwrap();
        let all = networks(&chain(plugin), &result).into_iter();
        all.map(|made| format!("{} {}", made.link, made.network))
            .collect()
    }

    #[test]
    fn a_gateway_is_on_the_bridge_that_the_chain_names() {
        let gateway = json!({"type": "bridge", "bridge": "cbr", "isGateway": true});
        let links = ["cbr", "veth1", "cbr.5"];
        assert_eq!(
            on_node(&gateway, &links),
            [
                "cbr 10.77.0.1/24",
                "veth1 10.77.0.5/32",
                "cbr.5 10.77.0.1/24"
            ]
        );
        let default = json!({"type": "bridge", "isDefaultGateway": true});
        assert_eq!(on_node(&default, &["cni0"]), ["cni0 10.77.0.1/24"]);
    }

    #[test]
    fn a_bridge_that_gets_no_address_counts_for_nothing() {
        for plain in [
            json!({"type": "bridge", "bridge": "br0"}),
            json!({"type": "bridge", "bridge": "br0", "isGateway": false}),
            json!({"type": "bridge", "bridge": "br0", "isGateway": "true"}),
        ] {
            assert_eq!(on_node(&plain, &["br0"]), [""; 0]);
        }
    }

    #[test]
    fn a_host_end_has_a_route_to_the_address_alone() {
        let ptp = json!({"type": "ptp"});
        assert_eq!(on_node(&ptp, &["veth1"]), ["veth1 10.77.0.5/32"]);
        let macvlan = json!({"type": "macvlan", "master": "up0"});
        assert_eq!(on_node(&macvlan, &[]), [""; 0]);
    }
}

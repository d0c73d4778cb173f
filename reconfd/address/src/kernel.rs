//! Pure: the node's and pods' addresses and routes as reserved networks. Routes through a gateway count only if a
//! network plugin made them: a node with `10.0.0.0/8 via …` is ordinary, and has no network of that size.

use std::net::IpAddr;

use crds::{
    Cidr,
    reserved::{ReservedNetwork, Source, Usage},
};
use ipnetwork::IpNetwork;

use node::networks::{By, KernelNetwork};

/// Stands for the kind of an object, for networks found in a kernel.
pub const KIND: &str = "interface";

/// Interfaces of network plugins on a node; a name that ends in `*` is a prefix.
const OF_PLUGINS: [&str; 22] = [
    "antrea-*",
    "cali*",
    "cbr0",
    "cilium_*",
    "cni*",
    "egress.calico",
    "flannel*",
    "genev_sys_*",
    "kube-bridge",
    "kube-dummy-if",
    "kube-ipvs0",
    "lxc*",
    "nodelocaldns",
    "ovn0",
    "ovn-k8s-*",
    "tunl0",
    "vxlan.calico",
    "vxlan-v6.calico",
    "vxlan_sys_*",
    "weave",
    "wg-v6.cali",
    "wireguard.cali",
];
/// Where kube-proxy puts the addresses of services.
const OF_SERVICES: [&str; 3] = ["kube-ipvs0", "kube-dummy-if", "nodelocaldns"];
/// Route protocol numbers: BIRD, such as Calico's for address blocks, and Calico's Felix.
const BIRD: u8 = 12;
const FELIX: u8 = 80;

/// Whether links must not overlap this network of the node.
pub fn matters_on_node(network: &KernelNetwork) -> bool {
    if is_special(network.prefix) {
        return false;
    }
    match network.by {
        By::Address
        | By::Route {
            has_gateway: false, ..
        } => true,
        By::Route { protocol, .. } => is_of_plugin(&network.link) || protocol == FELIX,
        By::Dead { protocol } => matches!(protocol, BIRD | FELIX),
    }
}

/// Other networks of the pod, which podconfig must not take over.
pub fn matters_in_pod(network: &KernelNetwork) -> bool {
    !is_special(network.prefix) && !matches!(network.by, By::Dead { .. })
}

/// The networks of the node.
pub fn of_node<'a>(
    networks: impl IntoIterator<Item = &'a KernelNetwork>,
) -> impl Iterator<Item = ReservedNetwork> {
    let networks = networks.into_iter().filter(|n| matters_on_node(n));
    networks.flat_map(|network| {
        let usage = node_usage(network);
        let own = matches!(network.by, By::Address).then(|| {
            reserved(
                network,
                alone(network.prefix),
                own_usage(usage),
                Source::NodeAddresses,
            )
        });
        let around = !is_alone(network.prefix) || own.is_none();
        let around = around.then(|| reserved(network, network.prefix, usage, Source::NodeRoutes));
        own.into_iter().chain(around)
    })
}

/// The other networks of a pod.
pub fn of_pod<'a>(
    networks: impl IntoIterator<Item = &'a KernelNetwork>,
) -> impl Iterator<Item = ReservedNetwork> {
    let networks = networks.into_iter().filter(|n| matters_in_pod(n));
    networks.map(|network| {
        let of_pod = KernelNetwork {
            link: format!("{} of the pod", network.link),
            ..network.clone()
        };
        reserved(&of_pod, network.prefix, Usage::Pods, Source::PodRoutes)
    })
}

fn node_usage(network: &KernelNetwork) -> Usage {
    let is_route = !matches!(network.by, By::Address);
    if OF_SERVICES.contains(&network.link.as_str()) {
        Usage::Services
    } else if is_of_plugin(&network.link) || is_of_others(network.by) {
        Usage::Pods
    } else if is_route && is_alone(network.prefix) {
        Usage::Address
    } else {
        Usage::Connected
    }
}

/// A route that is not about the node's own links: it counts only because a network plugin made it.
fn is_of_others(by: By) -> bool {
    matches!(
        by,
        By::Route {
            has_gateway: true,
            ..
        } | By::Dead { .. }
    )
}

/// The usage of an address of the node itself.
fn own_usage(around: Usage) -> Usage {
    match around {
        Usage::Services | Usage::Pods => around,
        _ => Usage::Address,
    }
}

fn reserved(
    network: &KernelNetwork,
    prefix: IpNetwork,
    usage: Usage,
    source: Source,
) -> ReservedNetwork {
    let field = match network.by {
        By::Address => format!("address {}", network.prefix),
        By::Route { .. } | By::Dead { .. } => format!("route {}", network.prefix),
    };
    ReservedNetwork {
        prefix: Cidr::of(prefix),
        usage,
        source,
        kind: KIND.into(),
        object: match network.link.as_str() {
            "" => "none".into(),
            link => link.into(),
        },
        field,
        since: None,
    }
}

fn is_of_plugin(link: &str) -> bool {
    OF_PLUGINS.iter().any(|name| match name.strip_suffix('*') {
        Some(beginning) => link.starts_with(beginning),
        None => link == *name,
    })
}

/// Special networks, which no link may have anyway.
fn is_special(prefix: IpNetwork) -> bool {
    match prefix.ip() {
        IpAddr::V4(ip) => {
            ip.is_loopback() || ip.is_link_local() || ip.is_multicast() || ip.is_unspecified()
        }
        IpAddr::V6(ip) => {
            ip.is_loopback()
                || ip.is_unicast_link_local()
                || ip.is_multicast()
                || ip.is_unspecified()
        }
    }
}

fn is_alone(prefix: IpNetwork) -> bool {
    alone(prefix) == prefix
}

fn alone(prefix: IpNetwork) -> IpNetwork {
    prefix.ip().into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn on(link: &str, by: By, prefix: &str) -> KernelNetwork {
        KernelNetwork {
            prefix: prefix.parse().unwrap(),
            by,
            link: link.into(),
        }
    }

    fn route(has_gateway: bool) -> By {
        By::Route {
            has_gateway,
            protocol: 3,
        }
    }

    fn reserved_lines(network: KernelNetwork) -> Vec<String> {
        let reserved_lines = of_node([&network]);
        reserved_lines
            .map(|n| format!("{} {:?} {}", n.prefix, n.usage, n.source))
            .collect()
    }

    #[test]
    fn a_route_through_a_gateway_is_ordinary_unless_a_network_plugin_made_it() {
        let ordinary = on("eth0", route(true), "10.0.0.0/8");
        assert!(reserved_lines(ordinary).is_empty());
        let tunnel = on("flannel.1", route(true), "10.244.3.0/24");
        assert_eq!(reserved_lines(tunnel), ["10.244.3.0/24 Pods NodeRoutes"]);
        let felix = By::Route {
            has_gateway: true,
            protocol: FELIX,
        };
        let direct = on("eth0", felix, "10.244.4.0/26");
        assert_eq!(reserved_lines(direct), ["10.244.4.0/26 Pods NodeRoutes"]);
    }

    #[test]
    fn a_connected_network_counts_and_so_does_the_address_in_it() {
        let address = on("eth1", By::Address, "10.99.0.7/16");
        assert_eq!(
            reserved_lines(address),
            [
                "10.99.0.7/32 Address NodeAddresses",
                "10.99.0.0/16 Connected NodeRoutes"
            ]
        );
        let neighbour = on("gke1", route(false), "10.4.0.9/32");
        assert_eq!(
            reserved_lines(neighbour),
            ["10.4.0.9/32 Address NodeRoutes"]
        );
    }

    #[test]
    fn a_block_of_a_plugin_and_its_bridge_are_pod_networks() {
        let block = on("", By::Dead { protocol: BIRD }, "10.244.7.0/26");
        assert_eq!(reserved_lines(block), ["10.244.7.0/26 Pods NodeRoutes"]);
        assert!(reserved_lines(on("", By::Dead { protocol: 4 }, "10.0.0.0/8")).is_empty());
        let bridge = on("cni0", By::Address, "10.244.1.1/24");
        assert_eq!(
            reserved_lines(bridge),
            [
                "10.244.1.1/32 Pods NodeAddresses",
                "10.244.1.0/24 Pods NodeRoutes"
            ]
        );
        let service = on("kube-ipvs0", By::Address, "10.96.0.1/32");
        assert_eq!(
            reserved_lines(service),
            ["10.96.0.1/32 Services NodeAddresses"]
        );
    }

    #[test]
    fn what_every_node_has_says_nothing() {
        for prefix in ["127.0.0.1/8", "fe80::1/64", "169.254.1.1/32", "::1/128"] {
            assert!(
                reserved_lines(on("lo", By::Address, prefix)).is_empty(),
                "{prefix}"
            );
        }
    }

    #[test]
    fn all_that_a_pod_has_otherwise_is_kept_from() {
        let networks = [
            on("eth0", By::Address, "10.244.1.5/24"),
            on("eth0", route(true), "10.96.0.0/12"),
        ];
        let reserved_lines: Vec<String> = of_pod(&networks).map(|n| n.to_string()).collect();
        assert_eq!(
            reserved_lines,
            [
                "10.244.1.0/24, the pod network of interface/eth0 of the pod (address 10.244.1.5/24)",
                "10.96.0.0/12, the pod network of interface/eth0 of the pod (route 10.96.0.0/12)"
            ]
        );
    }
}

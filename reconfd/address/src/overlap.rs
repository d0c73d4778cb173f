//! Pure: checks a link's networks against reserved networks. A single rule must exempt all overlaps of the link;
//! exemptions of different rules are not combined.

use std::net::IpAddr;

use crds::{
    policy::MayOverlap,
    reserved::{ReservedNetwork, Source, Usage},
};
use ipnetwork::IpNetwork;

use super::{
    kernel,
    reserved::{Query, Reserved},
};

/// The networks, addresses and routes of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkNetworks {
    /// The namespace of its pod.
    pub namespace: String,
    /// The networks of its addresses and of its ranges.
    pub networks: Vec<IpNetwork>,
    /// The addresses that are known already.
    pub addresses: Vec<IpAddr>,
    /// The destinations of its routes.
    pub routes: Vec<IpNetwork>,
    /// What the node has because of this link.
    pub on_node: Vec<NodeNetwork>,
    /// The pools that its addresses may be from, if CNI plugins gave them.
    pub pools: PluginPools,
}

/// Pools from which IPAM plugins give out addresses, each once. They are reserved from all others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PluginPools {
    /// Those of NetworkAttachmentDefinitions.
    pub definitions: Definitions,
    /// Those of whereabouts.
    pub whereabouts: bool,
}

/// Of which namespaces NetworkAttachmentDefinitions are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Definitions {
    #[default]
    None,
    /// The namespace of the pod.
    Own,
    All,
}

impl PluginPools {
    fn have(self, reserved: &ReservedNetwork, namespace: &str) -> bool {
        match reserved.source {
            Source::Whereabouts => self.whereabouts,
            Source::NetworkAttachments => match self.definitions {
                Definitions::None => false,
                Definitions::Own => {
                    let object = reserved.object.split_once('/');
                    object.is_some_and(|(of, _)| of == namespace)
                }
                Definitions::All => true,
            },
            _ => false,
        }
    }
}

/// A network that the node has on a link because of a pod's link, such as that of a gateway on a bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeNetwork {
    /// The link on the node.
    pub link: String,
    pub network: IpNetwork,
}

impl NodeNetwork {
    /// A link that is called as one of the cluster's network plugin is taken for it: only a route to a single address is
    /// not a pod network.
    fn is(&self, reserved: &ReservedNetwork) -> bool {
        let network = reserved.prefix.network();
        let may_be = match reserved.usage {
            Usage::Connected | Usage::Address => true,
            Usage::Pods => network.prefix() == IpNetwork::from(network.ip()).prefix(),
            _ => false,
        };
        may_be
            && reserved.kind == kernel::KIND
            && reserved.object == self.link
            && (network.network(), network.prefix())
                == (self.network.network(), self.network.prefix())
    }
}

/// The result of an overlap check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OverlapResult {
    /// The overlap, as text.
    pub collision: Option<String>,
    /// Addresses in its networks that are used or allocated by others.
    pub excluded: Vec<IpNetwork>,
}

impl LinkNetworks {
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty() && self.routes.is_empty()
    }

    pub fn extend(&mut self, other: &Self) {
        self.networks.extend(&other.networks);
        self.addresses.extend(&other.addresses);
        self.routes.extend(&other.routes);
        self.on_node.extend(other.on_node.iter().cloned());
    }

    /// Whether it has an address in common with one of these networks.
    pub fn touches(&self, networks: &[IpNetwork]) -> bool {
        let mut own = self.networks.iter().chain(&self.routes);
        own.any(|own| networks.iter().any(|other| overlap(*own, *other)))
    }
}

/// Checks the link with each of the rules that allow it. Without a rule, nothing is exempt.
pub fn check_overlap(
    reach: &LinkNetworks,
    reserved: &[&Reserved],
    rules: &[Vec<MayOverlap>],
) -> OverlapResult {
    let result = rules.iter().map(|rule| check_rule(reach, reserved, rule));
    let mut nearest = None;
    for result in result {
        if result.collision.is_none() {
            return result;
        }
        nearest = nearest.or(Some(result));
    }
    nearest.unwrap_or_else(|| check_rule(reach, reserved, &[]))
}

fn check_rule(reach: &LinkNetworks, reserved: &[&Reserved], rule: &[MayOverlap]) -> OverlapResult {
    let exempt = |reserved: &ReservedNetwork, network: IpNetwork| {
        rule.iter()
            .any(|may| may.sources.contains(&reserved.source) && may.prefix.holds(network))
    };
    let query = Query {
        namespace: &reach.namespace,
        own: &|reserved| {
            reach.pools.have(reserved, &reach.namespace)
                || reach.on_node.iter().any(|own| own.is(reserved))
        },
        exempt: &exempt,
    };
    // A default route is the last resort: the rule's routes allow it explicitly.
    let routes = reach.routes.iter().filter(|route| route.prefix() > 0);
    let networks = || reach.networks.iter().chain(routes.clone());
    let conflicts = |reserved: &&Reserved| {
        let mut addresses = reach.addresses.iter();
        let mut networks = networks();
        networks
            .find_map(|network| reserved.conflict_with_network(*network, &query))
            .or_else(|| {
                addresses.find_map(|address| reserved.conflict_with_address(*address, &query))
            })
    };
    let taken = |reserved: &&Reserved| {
        let networks = reach.networks.iter();
        let taken = networks.flat_map(|network| reserved.addresses_taken_in(*network, &query));
        taken.collect::<Vec<_>>()
    };
    OverlapResult {
        collision: reserved.iter().find_map(conflicts),
        excluded: reserved.iter().flat_map(taken).collect(),
    }
}

/// Whether two networks have an address in common.
pub fn overlap(a: IpNetwork, b: IpNetwork) -> bool {
    a.is_ipv4() == b.is_ipv4() && (a.contains(b.network()) || b.contains(a.network()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn reserved(prefix: &str, usage: Usage, source: Source) -> ReservedNetwork {
        ReservedNetwork {
            prefix: prefix.parse().unwrap(),
            usage,
            source,
            kind: "Kind".into(),
            object: "object".into(),
            field: String::new(),
            since: None,
        }
    }

    fn may(prefix: &str, sources: &[Source]) -> MayOverlap {
        MayOverlap {
            prefix: prefix.parse().unwrap(),
            sources: sources.to_vec(),
        }
    }

    fn reach(network: &str) -> LinkNetworks {
        LinkNetworks {
            networks: vec![network.parse().unwrap()],
            ..LinkNetworks::default()
        }
    }

    fn on_node(link: &str, network: &str, usage: Usage) -> ReservedNetwork {
        ReservedNetwork {
            kind: kernel::KIND.into(),
            object: link.into(),
            ..reserved(network, usage, Source::NodeRoutes)
        }
    }

    /// A plugin gives its bridge the gateway's address, or the node a route to the pod's.
    #[test]
    fn what_the_node_has_because_of_a_link_is_not_in_its_way() {
        let of = |link: &str, network: &str| LinkNetworks {
            addresses: vec!["10.77.0.5".parse().unwrap()],
            on_node: vec![NodeNetwork {
                link: link.into(),
                network: network.parse().unwrap(),
            }],
            ..reach("10.77.0.5/24")
        };
        let collides = |one: &ReservedNetwork, reach: &LinkNetworks| {
            let all = Reserved::new([one.clone()]);
            check_overlap(reach, &[&all], &[]).collision.is_some()
        };
        let bridge = on_node("cbr", "10.77.0.0/24", Usage::Connected);
        let host_end = on_node("veth1", "10.77.0.5/32", Usage::Address);
        assert!(!collides(&bridge, &of("cbr", "10.77.0.1/24")));
        assert!(!collides(&host_end, &of("veth1", "10.77.0.5/32")));
        // Another link, another network around it, and what only looks like the kernel's.
        assert!(collides(&bridge, &of("eth0", "10.77.0.1/24")));
        assert!(collides(&host_end, &of("veth2", "10.77.0.5/32")));
        let wider = on_node("cbr", "10.0.0.0/8", Usage::Connected);
        assert!(collides(&wider, &of("cbr", "10.77.0.1/24")));
        let machines = ReservedNetwork {
            kind: "Kind".into(),
            ..bridge.clone()
        };
        assert!(collides(&machines, &of("cbr", "10.77.0.1/24")));
        let cluster = on_node("cni0", "10.77.0.0/24", Usage::Pods);
        assert!(collides(&cluster, &of("cni0", "10.77.0.1/24")));
        let pod = on_node("cali1", "10.77.0.5/32", Usage::Pods);
        assert!(!collides(&pod, &of("cali1", "10.77.0.5/32")));
    }

    /// An IPAM plugin gives each address out once: its pool is not in the way of what it gave.
    #[test]
    fn pools_of_plugins_are_not_in_the_way_of_addresses_from_them() {
        let pool = |source, object: &str, usage| ReservedNetwork {
            object: object.into(),
            ..reserved("10.77.0.0/24", usage, source)
        };
        let own = pool(Source::NetworkAttachments, "tenant-a/fast", Usage::Pool);
        let everybodys = pool(Source::NetworkAttachments, "default/fast", Usage::Pool);
        let given = pool(
            Source::Whereabouts,
            "kube-system/10.77.0.0-24",
            Usage::Address,
        );
        let collides = |one: &ReservedNetwork, definitions, whereabouts| {
            let reach = LinkNetworks {
                namespace: "tenant-a".into(),
                addresses: vec!["10.77.0.5".parse().unwrap()],
                pools: PluginPools {
                    definitions,
                    whereabouts,
                },
                ..reach("10.77.0.5/24")
            };
            let all = Reserved::new([one.clone()]);
            check_overlap(&reach, &[&all], &[]).collision.is_some()
        };
        assert!(!collides(&own, Definitions::Own, false));
        assert!(!collides(&everybodys, Definitions::All, false));
        assert!(!collides(&given, Definitions::None, true));
        assert!(collides(&own, Definitions::None, true));
        assert!(collides(&everybodys, Definitions::Own, true));
        assert!(collides(&given, Definitions::All, false));
        let machines = pool(Source::Nodes, "n0", Usage::Pods);
        assert!(collides(&machines, Definitions::All, true));
    }

    #[test]
    fn two_rules_never_add_up() {
        let all = Reserved::new([
            reserved("10.1.0.0/16", Usage::Connected, Source::NodeRoutes),
            reserved("10.1.5.0/24", Usage::Machines, Source::MachineNetwork),
        ]);
        let rules = [
            vec![may("10.1.0.0/16", &[Source::NodeRoutes])],
            vec![may("10.1.0.0/16", &[Source::MachineNetwork])],
        ];
        let result = check_overlap(&reach("10.1.5.0/24"), &[&all], &rules);
        assert_eq!(
            result.collision.as_deref(),
            Some("10.1.5.0/24 overlaps 10.1.5.0/24, the machine network of Kind/object")
        );
        let both = [vec![may(
            "10.1.0.0/16",
            &[Source::NodeRoutes, Source::MachineNetwork],
        )]];
        assert_eq!(
            check_overlap(&reach("10.1.5.0/24"), &[&all], &both),
            OverlapResult::default()
        );
    }

    #[test]
    fn what_a_rule_names_is_overlapped_inside_of_it_alone() {
        let all = Reserved::new([reserved("10.0.0.0/8", Usage::Connected, Source::NodeRoutes)]);
        let rules = [vec![may("10.99.0.0/16", &[Source::NodeRoutes])]];
        let collision = |network| check_overlap(&reach(network), &[&all], &rules).collision;
        assert_eq!(collision("10.99.3.0/24"), None);
        assert!(collision("10.0.0.0/8").is_some());
    }

    #[test]
    fn no_policy_lets_a_link_overlap_a_pod_or_a_service_network() {
        for usage in [Usage::Pods, Usage::Services, Usage::Special] {
            let all = Reserved::new([reserved("10.1.0.0/16", usage, Source::NodeRoutes)]);
            let rules = [vec![may("10.0.0.0/8", &[Source::NodeRoutes])]];
            assert!(
                check_overlap(&reach("10.1.2.0/24"), &[&all], &rules)
                    .collision
                    .is_some()
            );
        }
    }

    #[test]
    fn a_pool_of_others_inside_bars_its_addresses_and_no_more() {
        let all = Reserved::new([reserved("10.1.0.128/25", Usage::Pool, Source::MetalLB)]);
        let mut wanted = reach("10.1.0.0/24");
        let result = check_overlap(&wanted, &[&all], &[]);
        assert_eq!(result.collision, None);
        assert_eq!(
            result.excluded,
            ["10.1.0.128/25".parse::<IpNetwork>().unwrap()]
        );
        wanted.addresses = vec!["10.1.0.200".parse().unwrap()];
        let message = check_overlap(&wanted, &[&all], &[]).collision.unwrap();
        assert_eq!(
            message,
            "10.1.0.200 overlaps 10.1.0.128/25, the address pool of Kind/object"
        );
    }

    #[test]
    fn a_route_to_the_service_network_collides_and_a_default_route_does_not() {
        let all = Reserved::new([reserved(
            "10.96.0.0/12",
            Usage::Services,
            Source::ServiceCIDR,
        )]);
        let to = |text: &str| LinkNetworks {
            routes: vec![text.parse().unwrap()],
            ..LinkNetworks::default()
        };
        assert!(
            check_overlap(&to("10.96.0.10/32"), &[&all], &[])
                .collision
                .is_some()
        );
        assert!(
            check_overlap(&to("10.0.0.0/8"), &[&all], &[])
                .collision
                .is_some()
        );
        assert!(
            check_overlap(&to("0.0.0.0/1"), &[&all], &[])
                .collision
                .is_some()
        );
        assert_eq!(
            check_overlap(&to("0.0.0.0/0"), &[&all], &[]).collision,
            None
        );
    }
}

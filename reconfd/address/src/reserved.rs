//! Pure: the networks that no link may overlap, from all sources, and the conflicts of a requested network, address
//! or route with them.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use crds::reserved::{ReservedNetwork, Source, Usage};
use ipnetwork::IpNetwork;

/// All reserved networks, indexed by address. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Reserved {
    /// By network: (first address, prefix length). Networks are nested or disjoint.
    by_network: Arc<BTreeMap<(IpAddr, u8), Vec<ReservedNetwork>>>,
}

/// The link that a lookup is for.
pub struct Query<'a> {
    /// The namespace of its pod: reservations of other tenants do not apply.
    pub namespace: &'a str,
    /// What the node has because of the link itself.
    pub own: &'a dyn Fn(&ReservedNetwork) -> bool,
    /// Overlaps that the rules of a policy allow.
    pub exempt: &'a dyn Fn(&ReservedNetwork, IpNetwork) -> bool,
}

impl Reserved {
    pub fn new(networks: impl IntoIterator<Item = ReservedNetwork>) -> Self {
        let mut by_network: BTreeMap<_, Vec<ReservedNetwork>> = BTreeMap::new();
        for network in networks {
            let prefix = network.prefix.network();
            let key = (prefix.network(), prefix.prefix());
            by_network.entry(key).or_default().push(network);
        }
        Self {
            by_network: Arc::new(by_network),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &ReservedNetwork> {
        self.by_network.values().flatten()
    }

    /// All reserved networks that share an address with this network: the wider ones first.
    pub fn overlapping(&self, network: IpNetwork) -> impl Iterator<Item = &ReservedNetwork> {
        let first = network.network();
        let around = (0..=network.prefix()).filter_map(move |length| {
            let wider = IpNetwork::new(first, length).ok()?.network();
            self.by_network.get(&(wider, length))
        });
        let longer = network.prefix().saturating_add(1);
        let inside = self
            .by_network
            .range((first, 0)..=(network.broadcast(), u8::MAX))
            .filter(move |((_, length), _)| *length >= longer)
            .map(|(_, networks)| networks);
        around.chain(inside).flatten()
    }

    /// The conflict of a link in this network: it would take traffic for the reserved network as its own.
    pub fn conflict_with_network(&self, network: IpNetwork, query: &Query<'_>) -> Option<String> {
        let mut conflicts = self.overlapping(network).filter(|reserved| {
            !reserved.usage.is_of_addresses() && !query.is_exempt(reserved, network)
        });
        conflicts
            .next()
            .map(|reserved| collision(network, reserved))
    }

    /// The conflict of a link with this very address.
    pub fn conflict_with_address(&self, address: IpAddr, query: &Query<'_>) -> Option<String> {
        let alone = IpNetwork::from(address);
        let mut conflicts = self
            .overlapping(alone)
            .filter(|reserved| !query.is_exempt(reserved, alone));
        conflicts.next().map(|reserved| collision(alone, reserved))
    }

    /// Addresses of this network that others use or allocate.
    pub fn addresses_taken_in(&self, network: IpNetwork, query: &Query<'_>) -> Vec<IpNetwork> {
        let taken = self.overlapping(network).filter(|reserved| {
            reserved.usage.is_of_addresses() && !query.is_exempt(reserved, network)
        });
        taken.map(|reserved| reserved.prefix.network()).collect()
    }
}

impl Query<'_> {
    /// An address in use is never exempt, whatever a policy allows for the network around it.
    fn is_exempt(&self, reserved: &ReservedNetwork, network: IpNetwork) -> bool {
        let may_be = reserved.usage.may_be_overlapped() && reserved.usage != Usage::Address;
        !reserved.concerns(self.namespace)
            || (self.own)(reserved)
            || may_be && (self.exempt)(reserved, network)
    }
}

fn collision(wanted: IpNetwork, reserved: &ReservedNetwork) -> String {
    let is_alone = wanted.prefix() == if wanted.is_ipv4() { 32 } else { 128 };
    match is_alone {
        true => format!("{} overlaps {reserved}", wanted.ip()),
        false => format!("{wanted} overlaps {reserved}"),
    }
}

/// Special networks that no interface may have, in any cluster.
pub fn special() -> impl Iterator<Item = ReservedNetwork> {
    const SPECIAL: [(&str, &str); 8] = [
        ("0.0.0.0/8", "this host on this network"),
        ("127.0.0.0/8", "loopback"),
        (
            "169.254.0.0/16",
            "link-local, the cloud's metadata among it",
        ),
        ("224.0.0.0/4", "multicast"),
        ("255.255.255.255/32", "broadcast"),
        ("::/127", "unspecified and loopback"),
        ("fe80::/10", "link-local"),
        ("ff00::/8", "multicast"),
    ];
    SPECIAL.into_iter().filter_map(|(prefix, what)| {
        Some(ReservedNetwork {
            prefix: crds::Cidr::of(prefix.parse().ok()?),
            usage: Usage::Special,
            source: Source::Protocol,
            kind: "the Internet Protocol".into(),
            object: String::new(),
            field: what.into(),
            since: None,
        })
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn network(prefix: &str, usage: Usage, source: Source) -> ReservedNetwork {
        ReservedNetwork {
            prefix: prefix.parse().unwrap(),
            usage,
            source,
            kind: "Kind".into(),
            object: prefix.replace('/', "-"),
            field: String::new(),
            since: None,
        }
    }

    fn net(text: &str) -> IpNetwork {
        text.parse().unwrap()
    }

    const NONE: &Query<'static> = &Query {
        namespace: "tenant-a",
        own: &|_| false,
        exempt: &|_, _| false,
    };

    #[test]
    fn a_network_overlaps_what_is_around_it_and_what_is_in_it_and_nothing_beside() {
        let reserved = Reserved::new([
            network("10.0.0.0/8", Usage::Pods, Source::Calico),
            network("10.1.0.0/16", Usage::Services, Source::ServiceCIDR),
            network("10.2.0.0/16", Usage::Services, Source::ServiceCIDR),
            network("fd00::/8", Usage::Pods, Source::Calico),
        ]);
        let names = |text: &str| -> Vec<String> {
            let all = reserved.overlapping(net(text));
            all.map(|reserved| reserved.prefix.to_string()).collect()
        };
        assert_eq!(names("10.1.2.0/24"), ["10.0.0.0/8", "10.1.0.0/16"]);
        assert_eq!(names("10.0.0.0/15"), ["10.0.0.0/8", "10.1.0.0/16"]);
        assert_eq!(
            names("0.0.0.0/0"),
            ["10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/16"]
        );
        assert_eq!(names("11.0.0.0/8"), [""; 0]);
        assert_eq!(names("fd00:1::/64"), ["fd00::/8"]);
    }

    #[test]
    fn a_pod_network_is_never_exempt_and_an_address_in_use_neither() {
        let reserved = Reserved::new([
            network("10.0.0.0/16", Usage::Pods, Source::NodeRoutes),
            network("10.99.0.0/16", Usage::Connected, Source::NodeRoutes),
            network("10.99.0.7/32", Usage::Address, Source::NodeRoutes),
        ]);
        let exempt = &Query {
            namespace: "tenant-a",
            own: &|_| false,
            exempt: &|reserved, _| reserved.source == Source::NodeRoutes,
        };
        assert!(
            reserved
                .conflict_with_network(net("10.0.1.0/24"), exempt)
                .is_some()
        );
        assert!(
            reserved
                .conflict_with_network(net("10.99.0.0/24"), exempt)
                .is_none()
        );
        assert!(
            reserved
                .conflict_with_network(net("10.99.0.0/24"), NONE)
                .is_some()
        );
        assert!(
            reserved
                .conflict_with_address("10.99.0.7".parse().unwrap(), exempt)
                .is_some()
        );
        assert!(
            reserved
                .conflict_with_address("10.99.0.8".parse().unwrap(), exempt)
                .is_none()
        );
        assert_eq!(
            reserved.addresses_taken_in(net("10.99.0.0/24"), exempt),
            [net("10.99.0.7/32")]
        );
    }

    #[test]
    fn what_another_tenant_reserves_is_nothing_to_a_link() {
        let of = |usage: Usage, prefix: &str| ReservedNetwork {
            kind: "NetworkAttachmentDefinition.k8s.cni.cncf.io".into(),
            object: "tenant-b/greedy".into(),
            ..network(prefix, usage, Source::NetworkAttachments)
        };
        let reserved = Reserved::new([
            of(Usage::Pool, "10.0.0.0/8"),
            of(Usage::Address, "10.1.0.7/32"),
        ]);
        let (all, one) = (net("10.1.0.0/24"), "10.1.0.7".parse().unwrap());
        assert_eq!(reserved.addresses_taken_in(all, NONE), []);
        assert_eq!(reserved.conflict_with_address(one, NONE), None);
        let own = &Query {
            namespace: "tenant-b",
            ..*NONE
        };
        assert_eq!(reserved.addresses_taken_in(all, own).len(), 2);
        assert!(reserved.conflict_with_address(one, own).is_some());
    }

    #[test]
    fn what_collides_is_named() {
        let reserved = Reserved::new(special());
        let message = reserved.conflict_with_address("169.254.169.254".parse().unwrap(), NONE);
        assert_eq!(
            message.as_deref(),
            Some(
                "169.254.169.254 overlaps 169.254.0.0/16, reserved by the Internet Protocol (link-local, the cloud's metadata among it)"
            )
        );
        assert_eq!(reserved.iter().count(), 8);
    }
}

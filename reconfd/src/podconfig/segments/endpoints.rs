//! Pure: the endpoints (VTEPs) of a tunnel with `peers: {auto: {}}`, local and remote. An address
//! that the rule does not allow as a peer is never an endpoint, whatever its source.

use std::{borrow::Borrow, collections::BTreeSet, net::IpAddr};

use crds::PeerSlice;
use ipnetwork::IpNetwork;

use node::filter::Tunnel;

/// The local endpoint: the first address of the underlay that the rule allows as a peer.
pub fn local(addresses: &[IpAddr], networks: &[IpNetwork]) -> Option<IpAddr> {
    let mut addresses = addresses.iter().copied();
    addresses.find(|address| is_node(*address) && is_in(*address, networks))
}

/// The remote endpoints from the slices, of the local one's address family; addresses of this node
/// are excluded.
pub fn remote<S: Borrow<PeerSlice>>(
    slices: impl IntoIterator<Item = S>,
    tunnel: Tunnel,
    own: IpAddr,
    is_own: impl Fn(&IpAddr) -> bool,
    networks: &[IpNetwork],
) -> BTreeSet<IpAddr> {
    let mut others = BTreeSet::new();
    for slice in slices {
        let spec = &slice.borrow().spec;
        if !is_tunnel(tunnel, spec.vni, spec.port) {
            continue;
        }
        let named = spec.peers.iter().map(|peer| peer.address.to_canonical());
        others.extend(named.filter(|address| {
            address.is_ipv6() == own.is_ipv6()
                && is_node(*address)
                && is_in(*address, networks)
                && !is_own(address)
        }));
    }
    others
}

/// Whether a slice with this VNI and port is about the tunnel.
pub fn is_tunnel(tunnel: Tunnel, vni: i32, port: i32) -> bool {
    u32::try_from(vni) == Ok(tunnel.vni) && u16::try_from(port) == Ok(tunnel.port)
}

/// Whether an address can identify one node.
fn is_node(address: IpAddr) -> bool {
    let is_odd = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(is_odd || address.is_multicast() || address.is_loopback() || address.is_unspecified())
}

fn is_in(address: IpAddr, networks: &[IpNetwork]) -> bool {
    networks.iter().any(|network| network.contains(address))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crds::{Peer, PeerSliceSpec};
    use proptest::prelude::*;

    use super::*;

    const TUNNEL: Tunnel = Tunnel { vni: 7, port: 4789 };

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn ips(all: &[&str]) -> Vec<IpAddr> {
        all.iter().map(|text| ip(text)).collect()
    }

    fn networks(all: &[&str]) -> Vec<IpNetwork> {
        all.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn slice(vni: i32, port: i32, addresses: &[IpAddr]) -> PeerSlice {
        let peers = addresses.iter().enumerate().map(|(number, address)| Peer {
            node: format!("node-{number}"),
            address: *address,
        });
        let spec = PeerSliceSpec {
            vni,
            port,
            peers: peers.collect(),
        };
        PeerSlice::new("vxlan-7-4789-0", spec)
    }

    fn found(slices: &[PeerSlice], own: &str, allowed: &[&str]) -> Vec<IpAddr> {
        let own = ip(own);
        let others = remote(slices, TUNNEL, own, |a| *a == own, &networks(allowed));
        others.into_iter().collect()
    }

    #[test]
    fn this_end_is_the_first_address_that_a_rule_lets_be_a_peer() {
        let on_underlay = ips(&[
            "192.168.0.1",
            "10.77.0.9",
            "10.77.0.1",
            "fe80::1",
            "fd77::1",
        ]);
        for (allowed, own_end) in [
            (&["10.77.0.0/24"][..], Some("10.77.0.9")),
            (&["fd77::/64", "10.77.0.1/32"], Some("10.77.0.1")),
            (&["fd77::/64"], Some("fd77::1")),
            (&["::/0"], Some("fd77::1")),
            (&["10.88.0.0/16"], None),
            (&[], None),
        ] {
            let allowed = networks(allowed);
            assert_eq!(
                local(&on_underlay, &allowed),
                own_end.map(ip),
                "{allowed:?}"
            );
        }
        assert_eq!(local(&[], &networks(&["0.0.0.0/0"])), None);
    }

    #[test]
    fn the_others_are_what_all_slices_of_the_tunnel_name() {
        let slices = [
            slice(7, 4789, &ips(&["10.77.0.1", "10.77.0.2"])),
            slice(7, 4789, &ips(&["10.77.0.3", "10.77.0.2"])),
            slice(8, 4789, &ips(&["10.77.0.8"])),
            slice(7, 4790, &ips(&["10.77.0.9"])),
            slice(-7, 70000, &ips(&["10.77.0.9"])),
        ];
        let all = found(&slices, "10.77.0.1", &["10.77.0.0/24"]);
        assert_eq!(all, ips(&["10.77.0.2", "10.77.0.3"]));
        assert!(found(&[], "10.77.0.1", &["10.77.0.0/24"]).is_empty());
    }

    #[test]
    fn what_no_rule_lets_be_a_peer_is_none() {
        let odd = [
            "10.88.0.1",
            "0.0.0.0",
            "127.0.0.1",
            "169.254.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::ffff:10.88.0.2",
            "fd77::2",
        ];
        let slices = [slice(7, 4789, &ips(&odd))];
        assert!(found(&slices, "10.77.0.1", &["10.77.0.0/24"]).is_empty());
        let everywhere = found(&slices, "10.77.0.1", &["0.0.0.0/0", "::/0"]);
        assert_eq!(everywhere, ips(&["10.88.0.1", "10.88.0.2"]));
        let odd = ["::", "::1", "fe80::1", "ff02::1", "fd77::2", "10.77.0.2"];
        let slices = [slice(7, 4789, &ips(&odd))];
        let everywhere = found(&slices, "fd77::1", &["0.0.0.0/0", "::/0"]);
        assert_eq!(everywhere, ips(&["fd77::2"]));
    }

    proptest! {
        #[test]
        fn whatever_a_slice_says_no_end_is_outside_of_the_rule_or_this_node(
            all in prop::collection::vec(any::<IpAddr>(), 0..100), length in 0u8..=32,
        ) {
            let network = IpNetwork::new(ip("10.0.0.0"), length).unwrap();
            let near = all.iter().map(|address| match address {
                IpAddr::V4(v4) => IpAddr::from([10, 0, v4.octets()[2] & 1, v4.octets()[3]]),
                IpAddr::V6(v6) => IpAddr::V6(*v6),
            });
            let named: Vec<IpAddr> = all.iter().copied().chain(near).collect();
            let own = ip("10.0.0.1");
            let is_own = |address: &IpAddr| *address == own || *address == ip("10.0.0.2");
            let others = remote([slice(7, 4789, &named)], TUNNEL, own, is_own, &[network]);
            for end in &others {
                prop_assert!(end.is_ipv4() && network.contains(*end) && !is_own(end), "{end}");
            }
            let said = named.iter().map(IpAddr::to_canonical);
            let fit = said.filter(|ip| network.contains(*ip) && !is_own(ip) && is_node(*ip));
            prop_assert_eq!(others.len(), fit.collect::<BTreeSet<_>>().len());
        }
    }
}

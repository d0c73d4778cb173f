//! Pure: converts a link of the API to a link of the node. Validates again what the schema
//! validates, because objects may have been stored under an older schema.

use std::{collections::BTreeSet, net::IpAddr};

use crds::{
    Reason,
    podconfig::{self, Mode},
};
use ipnetwork::IpNetwork;

use address::{overlap::overlap, range::Range};
use node::links::{
    Device, HostEnd, Link, LinkKind, Route, Segment, Veth,
    device::{self, Data},
    ownership_mark::{bridge_name, segment_name},
};
use policy::{
    MAIN_TABLE, Permit, Rejection, bounded, clipped,
    requested::{ParentRef, RequestedLink, RequestedPeers, VethPlace},
};

const DEFAULT_MTU: u32 = 1500;
const RESERVED: [&str; 4] = ["lo", "eth0", "all", "default"];

/// Converts a link, or returns what is invalid in it.
pub fn link_of(
    request: &podconfig::Link,
    permit: &Permit,
    namespace: &str,
    installation: &str,
) -> Result<Link, Rejection> {
    let invalid = |message: String| Rejection {
        reason: Reason::Invalid,
        message: bounded(message),
    };
    if !is_interface_name(&request.name) {
        return Err(invalid(format!(
            "{} is not a valid interface name for a pod",
            clipped(&request.name)
        )));
    }
    let kind = kind(request, permit.learning, namespace, installation).map_err(invalid)?;
    let mtu = request.mtu.map(|mtu| {
        u32::try_from(mtu)
            .ok()
            .filter(|mtu| (68..=65535).contains(mtu))
            .ok_or_else(|| invalid(format!("mtu {mtu} is not from 68 to 65535")))
    });
    let mtu = mtu.transpose()?.or(default_mtu(&kind));
    let mut seen = BTreeSet::new();
    let addresses = request.addresses.iter().map(|a| a.network());
    Ok(Link {
        name: request.name.clone(),
        kind,
        mtu,
        mac: request.mac.map(|mac| mac.0),
        addresses: addresses.filter(|a| seen.insert(*a)).collect(),
        routes: request
            .routes
            .iter()
            .map(|route_request| route(route_request, request))
            .collect::<Result<_, _>>()
            .map_err(invalid)?,
        slaac: request.slaac == Some(podconfig::Slaac::Accept),
    })
}

/// Without a lower device that limits it, a link has the MTU of Ethernet.
fn default_mtu(kind: &LinkKind) -> Option<u32> {
    match kind {
        LinkKind::Veth(veth) if !matches!(veth.host_end, HostEnd::Segment(_)) => Some(DEFAULT_MTU),
        LinkKind::Veth(_) | LinkKind::Device(_) => None,
    }
}

fn kind(
    request: &podconfig::Link,
    learning: bool,
    namespace: &str,
    installation: &str,
) -> Result<LinkKind, String> {
    let (carrier, data) = match RequestedLink::of(request)? {
        RequestedLink::Veth(place) => {
            let host_end = host_end(place, namespace, installation);
            return Ok(LinkKind::Veth(Veth { host_end, learning }));
        }
        RequestedLink::Vlan(vlan, carrier) => {
            let id = u16::try_from(vlan.id)
                .ok()
                .filter(|id| (1..=4094).contains(id));
            let id = id.ok_or_else(|| format!("vlan.id {} is not from 1 to 4094", vlan.id))?;
            (carrier, Data::Vlan(id))
        }
        RequestedLink::Vxlan(vxlan, carrier, ends) => (carrier, Data::Vxlan(tunnel(vxlan, ends)?)),
        RequestedLink::Cni(..) => return Err("a cni link is made by its plugins".to_owned()),
    };
    let segment = |parent: &str| Segment {
        name: segment_name(installation, &data, parent),
        parent: parent.to_owned(),
        data: data.clone(),
    };
    Ok(match carrier {
        ParentRef::Node(parent, Mode::Shared) => LinkKind::Veth(Veth {
            host_end: HostEnd::Segment(segment(parent)),
            learning,
        }),
        ParentRef::Node(parent, Mode::Exclusive) => {
            LinkKind::Device(Device::Exclusive(segment(parent)))
        }
        ParentRef::Pod(carrier) if carrier == request.name => {
            return Err(format!("{} cannot be based on itself", clipped(carrier)));
        }
        ParentRef::Pod(carrier) if is_carrier(carrier) => LinkKind::Device(Device::Inside {
            namespace: namespace.to_owned(),
            carrier: carrier.to_owned(),
            data,
        }),
        ParentRef::Pod(carrier) => {
            return Err(format!("{} is not a valid link name", clipped(carrier)));
        }
    })
}

fn tunnel(vxlan: &podconfig::Vxlan, ends: RequestedPeers<'_>) -> Result<device::Vxlan, String> {
    let vni = u32::try_from(vxlan.vni)
        .ok()
        .filter(|vni| (1..1 << 24).contains(vni));
    Ok(device::Vxlan {
        vni: vni.ok_or_else(|| format!("vxlan.vni {} is not from 1 to 16777215", vxlan.vni))?,
        port: vxlan
            .port()
            .filter(|port| *port > 0)
            .ok_or("vxlan.port is not from 1 to 65535")?,
        remotes: match ends {
            RequestedPeers::Addresses(addresses) => device::Remotes::Peers(peers(addresses)?),
            RequestedPeers::Group(group) if group.is_multicast() => device::Remotes::Group(group),
            RequestedPeers::Group(group) => {
                return Err(format!(
                    "vxlan.peers.group {group} is not a multicast address"
                ));
            }
            RequestedPeers::Auto => device::Remotes::Discovered(None),
        },
    })
}

/// The peers: each another node, all of one family.
fn peers(addresses: &[IpAddr]) -> Result<BTreeSet<IpAddr>, String> {
    let peers: BTreeSet<IpAddr> = addresses.iter().map(IpAddr::to_canonical).collect();
    let is_odd = |ip: &&IpAddr| ip.is_multicast() || ip.is_loopback() || ip.is_unspecified();
    if let Some(odd) = peers.iter().find(is_odd) {
        return Err(format!("vxlan.peers.addresses {odd} is not another node"));
    }
    let in_ipv4 = peers.iter().filter(|peer| peer.is_ipv4()).count();
    match in_ipv4 == 0 || in_ipv4 == peers.len() {
        _ if peers.is_empty() => Err("vxlan.peers.addresses names no other node".to_owned()),
        true => Ok(peers),
        false => Err("vxlan.peers.addresses mix IPv4 and IPv6".to_owned()),
    }
}

fn host_end(place: VethPlace<'_>, namespace: &str, installation: &str) -> HostEnd {
    match place {
        VethPlace::Bridge(bridge) => HostEnd::Bridge {
            name: bridge_name(installation, namespace, bridge),
            stands_for: format!("{namespace}/{bridge}"),
        },
        VethPlace::HostBridge(name) => HostEnd::HostBridge(name.to_owned()),
        VethPlace::Routed => HostEnd::Routed,
    }
}

/// A route without `via` goes out of the link itself; on a routed link the node fills in the
/// gateway.
fn route(request: &podconfig::Route, link: &podconfig::Link) -> Result<Route, String> {
    let to: IpNetwork = request.to.network();
    let via = request.via.map(|via| via.to_canonical());
    let via = via.or_else(|| gateway(link, to.is_ipv4()));
    if let Some(via) = via.filter(|via| via.is_ipv4() != to.is_ipv4()) {
        return Err(format!(
            "routes to {to}: via {via} is of the other address family"
        ));
    }
    let number = |what: &str, value: Option<i64>| match value.map(u32::try_from) {
        None => Ok(None),
        Some(Ok(number)) => Ok(Some(number)),
        Some(Err(_)) => Err(format!(
            "routes to {to}: {what} is not from 0 to {}",
            u32::MAX
        )),
    };
    Ok(Route {
        to,
        via,
        // 0 is how the kernel spells "none given".
        metric: number("metric", request.metric)?.filter(|metric| *metric != 0),
        table: number("table", request.table.filter(|table| *table != MAIN_TABLE))?,
    })
}

/// The gateway of the link's ranges in one family. On a routed link the node is the gateway.
fn gateway(link: &podconfig::Link, is_ipv4: bool) -> Option<IpAddr> {
    let is_routed = link.veth.as_ref().is_some_and(|veth| veth.routed.is_some());
    let mut ranges = link.ranges().iter().filter(|_| !is_routed);
    ranges.find_map(|range| range.gateway.filter(|via| via.is_ipv4() == is_ipv4))
}

/// The ranges of a link; the link gets one address from each.
pub fn ranges_of(request: &podconfig::Link) -> Result<Vec<Range>, Rejection> {
    let invalid = |message: String| Rejection {
        reason: Reason::Invalid,
        message: bounded(format!("ipam.ranges: {message}")),
    };
    let ranges = request.ranges().iter().map(Range::new);
    let ranges: Vec<Range> = ranges.collect::<Result<_, _>>().map_err(invalid)?;
    for (at, range) in ranges.iter().enumerate() {
        let network = range.cidr();
        let mut earlier = ranges[..at].iter().map(Range::cidr);
        if let Some(other) = earlier.find(|other| overlap(*other, network)) {
            return Err(invalid(format!(
                "{network} and {other} of one link overlap; write one range"
            )));
        }
    }
    Ok(ranges)
}

/// Names that the kernel accepts.
fn is_carrier(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_graphic() && !matches!(b, b'/' | b':' | b'%');
    (1..=15).contains(&name.len()) && name.bytes().all(allowed) && !matches!(name, "." | "..")
}

/// Names that the kernel accepts, except reserved ones and those that match more than one link.
fn is_interface_name(name: &str) -> bool {
    is_carrier(name) && !RESERVED.contains(&name)
}

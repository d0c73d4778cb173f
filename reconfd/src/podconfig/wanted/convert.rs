//! Pure: the link of the API as the node understands it. Checks again what the schema has checked: what
//! came in through an older schema must not get any further.

use std::{collections::BTreeSet, net::IpAddr};

use crds::{
    Reason,
    podconfig::{self, Mode},
};
use ipnetwork::IpNetwork;

use crate::{
    address::{collision::overlap, range::Range},
    node::links::{
        Device, HostEnd, Kind, Link, Route, Segment, Veth,
        device::{self, Data},
        mark::{bridge_name, segment_name},
    },
    podconfig::policy::{
        MAIN_TABLE, Permit, Refusal, bounded, clipped,
        wish::{Carrier, Ends, Place, Wish},
    },
};

const DEFAULT_MTU: u32 = 1500;
const RESERVED: [&str; 4] = ["lo", "eth0", "all", "default"];

/// The wanted link, or what is wrong with the wish.
pub fn link_of(
    wish: &podconfig::Link,
    permit: &Permit,
    namespace: &str,
    installation: &str,
) -> Result<Link, Refusal> {
    let invalid = |message: String| Refusal {
        reason: Reason::Invalid,
        message: bounded(message),
    };
    if !is_interface_name(&wish.name) {
        return Err(invalid(format!(
            "{} is no name for an interface of a pod",
            clipped(&wish.name)
        )));
    }
    let kind = kind(wish, permit.learning, namespace, installation).map_err(invalid)?;
    let mtu = wish.mtu.map(|mtu| {
        u32::try_from(mtu)
            .ok()
            .filter(|mtu| (68..=65535).contains(mtu))
            .ok_or_else(|| invalid(format!("mtu {mtu} is not from 68 to 65535")))
    });
    let mtu = mtu.transpose()?.or(default_mtu(&kind));
    let mut seen = BTreeSet::new();
    let addresses = wish.addresses.iter().map(|a| a.network());
    Ok(Link {
        name: wish.name.clone(),
        kind,
        mtu,
        mac: wish.mac.map(|mac| mac.0),
        addresses: addresses.filter(|a| seen.insert(*a)).collect(),
        routes: wish
            .routes
            .iter()
            .map(|wished| route(wished, wish))
            .collect::<Result<_, _>>()
            .map_err(invalid)?,
        slaac: wish.slaac == Some(podconfig::Slaac::Accept),
    })
}

/// With nothing below it that says how much it carries, a link carries what Ethernet does.
fn default_mtu(kind: &Kind) -> Option<u32> {
    match kind {
        Kind::Veth(veth) if !matches!(veth.host_end, HostEnd::Segment(_)) => Some(DEFAULT_MTU),
        Kind::Veth(_) | Kind::Device(_) => None,
    }
}

fn kind(
    wish: &podconfig::Link,
    learning: bool,
    namespace: &str,
    installation: &str,
) -> Result<Kind, String> {
    let (carrier, data) = match Wish::of(wish)? {
        Wish::Veth(place) => {
            let host_end = host_end(place, namespace, installation);
            return Ok(Kind::Veth(Veth { host_end, learning }));
        }
        Wish::Vlan(vlan, carrier) => {
            let id = u16::try_from(vlan.id)
                .ok()
                .filter(|id| (1..=4094).contains(id));
            let id = id.ok_or_else(|| format!("vlan.id {} is not from 1 to 4094", vlan.id))?;
            (carrier, Data::Vlan(id))
        }
        Wish::Vxlan(vxlan, carrier, ends) => (carrier, Data::Vxlan(tunnel(vxlan, ends)?)),
    };
    let segment = |parent: &str| Segment {
        name: segment_name(installation, &data, parent),
        parent: parent.to_owned(),
        data: data.clone(),
    };
    Ok(match carrier {
        Carrier::Node(parent, Mode::Shared) => Kind::Veth(Veth {
            host_end: HostEnd::Segment(segment(parent)),
            learning,
        }),
        Carrier::Node(parent, Mode::Exclusive) => Kind::Device(Device::Exclusive(segment(parent))),
        Carrier::Pod(carrier) if carrier == wish.name => {
            return Err(format!("{} can not carry itself", clipped(carrier)));
        }
        Carrier::Pod(carrier) if is_carrier(carrier) => Kind::Device(Device::Inside {
            namespace: namespace.to_owned(),
            carrier: carrier.to_owned(),
            data,
        }),
        Carrier::Pod(carrier) => {
            return Err(format!("{} is no name of a link", clipped(carrier)));
        }
    })
}

fn tunnel(vxlan: &podconfig::Vxlan, ends: Ends<'_>) -> Result<device::Vxlan, String> {
    let vni = u32::try_from(vxlan.vni)
        .ok()
        .filter(|vni| (1..1 << 24).contains(vni));
    Ok(device::Vxlan {
        vni: vni.ok_or_else(|| format!("vxlan.vni {} is not from 1 to 16777215", vxlan.vni))?,
        port: vxlan
            .port()
            .filter(|port| *port > 0)
            .ok_or("vxlan.port is not from 1 to 65535")?,
        ends: match ends {
            Ends::Addresses(addresses) => device::Ends::Peers(peers(addresses)?),
            Ends::Group(group) if group.is_multicast() => device::Ends::Group(group),
            Ends::Group(group) => {
                return Err(format!("vxlan.peers.group {group} is no multicast address"));
            }
            Ends::Auto => device::Ends::Found(None),
        },
    })
}

/// The other ends one by one: each another node, all of one family.
fn peers(addresses: &[IpAddr]) -> Result<BTreeSet<IpAddr>, String> {
    let peers: BTreeSet<IpAddr> = addresses.iter().map(IpAddr::to_canonical).collect();
    let is_odd = |ip: &&IpAddr| ip.is_multicast() || ip.is_loopback() || ip.is_unspecified();
    if let Some(odd) = peers.iter().find(is_odd) {
        return Err(format!("vxlan.peers.addresses {odd} is no other node"));
    }
    let in_ipv4 = peers.iter().filter(|peer| peer.is_ipv4()).count();
    match in_ipv4 == 0 || in_ipv4 == peers.len() {
        _ if peers.is_empty() => Err("vxlan.peers.addresses names no other node".to_owned()),
        true => Ok(peers),
        false => Err("vxlan.peers.addresses are of two families".to_owned()),
    }
}

fn host_end(place: Place<'_>, namespace: &str, installation: &str) -> HostEnd {
    match place {
        Place::Bridge(bridge) => HostEnd::Bridge {
            name: bridge_name(installation, namespace, bridge),
            stands_for: format!("{namespace}/{bridge}"),
        },
        Place::HostBridge(name) => HostEnd::HostBridge(name.to_owned()),
        Place::Routed => HostEnd::Routed,
    }
}

/// A route without `via` goes out of the link itself; on a routed link the node fills the gateway in.
fn route(wish: &podconfig::Route, link: &podconfig::Link) -> Result<Route, String> {
    let to: IpNetwork = wish.to.network();
    let via = wish.via.map(|via| via.to_canonical());
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
        metric: number("metric", wish.metric)?.filter(|metric| *metric != 0),
        table: number("table", wish.table.filter(|table| *table != MAIN_TABLE))?,
    })
}

/// The gateway of the link's ranges in one family. A link that the node routes has the node for one.
fn gateway(link: &podconfig::Link, is_ipv4: bool) -> Option<IpAddr> {
    let is_routed = link.veth.as_ref().is_some_and(|veth| veth.routed.is_some());
    let mut ranges = link.ranges().iter().filter(|_| !is_routed);
    ranges.find_map(|range| range.gateway.filter(|via| via.is_ipv4() == is_ipv4))
}

/// The ranges of a link, each of which gives it an address.
pub fn ranges_of(wish: &podconfig::Link) -> Result<Vec<Range>, Refusal> {
    let invalid = |message: String| Refusal {
        reason: Reason::Invalid,
        message: bounded(format!("ipam.ranges: {message}")),
    };
    let ranges = wish.ranges().iter().map(Range::new);
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

/// What the kernel takes as a name.
fn is_carrier(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_graphic() && !matches!(b, b'/' | b':' | b'%');
    (1..=15).contains(&name.len()) && name.bytes().all(allowed) && !matches!(name, "." | "..")
}

/// What the kernel takes as a name, less what is not a tenant's to name or means more than one link.
fn is_interface_name(name: &str) -> bool {
    is_carrier(name) && !RESERVED.contains(&name)
}

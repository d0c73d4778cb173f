//! Pure: the link of the API as the node understands it. Checks again what the schema has checked: what
//! came in through an older schema must not get any further.

use std::collections::BTreeSet;

use crds::{Reason, podconfig};
use ipnetwork::IpNetwork;

use crate::{
    node::links::{HostEnd, Kind, Link, Route, Veth, mark::bridge_name},
    podconfig::policy::{self, MAIN_TABLE, Permit, Place, Refusal, bounded, clipped},
};

const DEFAULT_MTU: u32 = 1500;
const RESERVED: [&str; 4] = ["lo", "eth0", "all", "default"];

/// The wanted link, or what is wrong with the wish.
pub fn link_of(
    wish: &podconfig::Link,
    permit: Permit,
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
    let veth = wish
        .veth
        .as_ref()
        .ok_or_else(|| invalid("the link has no kind; it needs veth".to_owned()))?;
    let place = policy::place(veth).map_err(|why| invalid(format!("veth {why}")))?;
    let mtu = wish.mtu.map_or(Ok(DEFAULT_MTU), |mtu| {
        u32::try_from(mtu)
            .ok()
            .filter(|mtu| (68..=65535).contains(mtu))
            .ok_or_else(|| invalid(format!("mtu {mtu} is not from 68 to 65535")))
    })?;
    let mut seen = BTreeSet::new();
    let addresses = wish.addresses.iter().map(|a| a.network());
    Ok(Link {
        name: wish.name.clone(),
        kind: Kind::Veth(Veth {
            host_end: host_end(place, namespace, installation),
            learning: permit.learning,
        }),
        mtu,
        mac: wish.mac.map(|mac| mac.0),
        addresses: addresses.filter(|a| seen.insert(*a)).collect(),
        routes: wish
            .routes
            .iter()
            .map(route)
            .collect::<Result<_, _>>()
            .map_err(invalid)?,
        slaac: wish.slaac == Some(podconfig::Slaac::Accept),
    })
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
fn route(wish: &podconfig::Route) -> Result<Route, String> {
    let to: IpNetwork = wish.to.network();
    let via = wish.via.map(|via| via.to_canonical());
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

/// What the kernel takes as a name, less what is not a tenant's to name or means more than one link.
fn is_interface_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_graphic() && !matches!(b, b'/' | b':' | b'%');
    (1..=15).contains(&name.len())
        && name.bytes().all(allowed)
        && !matches!(name, "." | "..")
        && !RESERVED.contains(&name)
}

//! Pure: checks a vlan or a vxlan against one rule, field by field.

use std::net::IpAddr;

use crds::{
    Cidr,
    podconfig::{Mode, Vlan, Vxlan},
    policy::{IdRange, PortRange, VlanRule, VniRange, VxlanRule},
};
use ipnetwork::IpNetwork;

use super::{clipped, escaped, not_among, requested::ParentRef, requested::RequestedPeers};

/// Objections, with the distance of the rule: 0 allows the place, 1 allows others of that kind, 2
/// none.
pub(super) type Objections = (u8, Vec<String>);

/// The default port of a tunnel; allowed by a rule without ports.
const USUAL_PORT: PortRange = PortRange {
    min: crds::podconfig::vxlan::VXLAN_PORT as i32,
    max: crds::podconfig::vxlan::VXLAN_PORT as i32,
};

pub(super) fn against_vlan(
    vlan: &Vlan,
    carrier: ParentRef<'_>,
    rule: Option<&VlanRule>,
) -> Objections {
    let Some(rule) = rule else {
        return (
            2,
            vec!["vlan needs a rule with vlan, which is not there".to_owned()],
        );
    };
    let parents: Vec<&String> = rule.parents.iter().chain(&rule.port_parents).collect();
    let carried = carried("vlan.parent", carrier, &parents, &rule.modes);
    let id = (!rule.ids.iter().any(|range| range.holds(vlan.id))).then(|| {
        let spell = |range: &IdRange| span(range.min, range.max);
        format!("vlan.id {} {}", vlan.id, not_among(&rule.ids, spell))
    });
    with_distance(carried.into_iter().chain(id).collect())
}

pub(super) fn against_vxlan(
    vxlan: &Vxlan,
    carrier: ParentRef<'_>,
    ends: RequestedPeers<'_>,
    rule: Option<&VxlanRule>,
) -> Objections {
    let Some(rule) = rule else {
        return (
            2,
            vec!["vxlan needs a rule with vxlan, which is not there".to_owned()],
        );
    };
    let underlays: Vec<&String> = rule.underlays.iter().collect();
    let mut objections = carried("vxlan.underlay", carrier, &underlays, &rule.modes);
    if !rule.vnis.iter().any(|range| range.holds(vxlan.vni)) {
        let spell = |range: &VniRange| span(range.min, range.max);
        objections.push(format!(
            "vxlan.vni {} {}",
            vxlan.vni,
            not_among(&rule.vnis, spell)
        ));
    }
    objections.extend(against_port(vxlan, rule));
    objections.extend(against_ends(ends, rule));
    with_distance(objections)
}

fn against_port(vxlan: &Vxlan, rule: &VxlanRule) -> Option<String> {
    let usual = [USUAL_PORT];
    let ports = match &rule.ports[..] {
        [] => &usual,
        some => some,
    };
    let port = vxlan.port.unwrap_or(USUAL_PORT.min);
    let spell = |range: &PortRange| span(range.min, range.max);
    (!ports.iter().any(|range| range.holds(port)))
        .then(|| format!("vxlan.port {port} {}", not_among(ports, spell)))
}

fn against_ends(ends: RequestedPeers<'_>, rule: &VxlanRule) -> Vec<String> {
    let against = |field: &str, address: &IpAddr, allowed: &[Cidr]| {
        let alone = IpNetwork::from(address.to_canonical());
        let is_in = allowed.iter().any(|network| network.holds(alone));
        (!is_in).then(|| {
            format!(
                "vxlan.peers.{field} {address} {}",
                not_among(allowed, escaped)
            )
        })
    };
    match ends {
        RequestedPeers::Addresses(addresses) => addresses
            .iter()
            .filter_map(|peer| against("addresses", peer, &rule.peers))
            .collect(),
        RequestedPeers::Group(group) => {
            against("group", &group, &rule.groups).into_iter().collect()
        }
        // Discovered peers are limited to those that the rule allows.
        RequestedPeers::Auto => Vec::new(),
    }
}

/// A link of the pod itself needs no permission; a device of the node does, and so does exclusive
/// use of it.
fn carried(
    field: &str,
    carrier: ParentRef<'_>,
    allowed: &[&String],
    modes: &[Mode],
) -> Vec<String> {
    let ParentRef::Node(name, mode) = carrier else {
        return Vec::new();
    };
    let device = (!allowed.iter().any(|device| *device == name))
        .then(|| format!("{field} {} {}", clipped(name), not_among(allowed, escaped)));
    let modes = match modes {
        [] => &[Mode::Shared],
        some => some,
    };
    let mode = (!modes.contains(&mode)).then(|| {
        format!(
            "mode {mode:?} {}",
            not_among(modes, |mode| format!("{mode:?}"))
        )
    });
    device.into_iter().chain(mode).collect()
}

fn with_distance(objections: Vec<String>) -> Objections {
    (u8::from(!objections.is_empty()), objections)
}

pub(super) fn span(min: i32, max: i32) -> String {
    match min == max {
        true => min.to_string(),
        false => format!("{min}-{max}"),
    }
}

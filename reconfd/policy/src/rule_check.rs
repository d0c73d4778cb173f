//! Pure: checks a link against one rule, each field against its plural in the rule. Never considers
//! a second rule.

use crds::{
    claim::DEFAULT_DOMAIN,
    podconfig::{Link, Route, Slaac},
    policy::{Bridges, Macs, Rule, SlaacRule, VethRule},
};
use ipnetwork::IpNetwork;

use super::{
    MAIN_TABLE, clipped,
    cni_rule::against_cni,
    device_rules::{against_vlan, against_vxlan},
    escaped, listed, not_among,
    requested::{RequestedLink, VethPlace},
};

pub(super) struct RuleCheck {
    /// 0: the rule allows the place; 1: it allows others of that kind; 2: none of that kind.
    off_place: u8,
    pub objections: Vec<String>,
}

impl RuleCheck {
    pub fn of(link: &Link, namespace: &str, requested: RequestedLink<'_>, rule: &Rule) -> Self {
        let (off_place, mut objections) = match requested {
            RequestedLink::Veth(place) => match may_be_at(place, rule.veth.as_ref()) {
                Ok(()) => (0, Vec::new()),
                Err((off_place, objection)) => (off_place, vec![objection]),
            },
            RequestedLink::Vlan(vlan, carrier) => against_vlan(vlan, carrier, rule.vlan.as_ref()),
            RequestedLink::Vxlan(vxlan, carrier, ends) => {
                against_vxlan(vxlan, carrier, ends, rule.vxlan.as_ref())
            }
            RequestedLink::Cni(cni, source) => {
                against_cni(cni, source, namespace, rule.cni.as_ref())
            }
        };
        objections.extend(
            link.addresses
                .iter()
                .filter_map(|a| against_address(a.network(), rule)),
        );
        objections.extend(against_domain(link, rule));
        let ranges = link.ranges().iter();
        objections.extend(ranges.filter_map(|range| against_range(range.cidr.network(), rule)));
        objections.extend(
            link.routes
                .iter()
                .filter_map(|route| against_route(route, rule)),
        );
        if let Some(mac) = link.mac.filter(|_| rule.macs != Some(Macs::Any)) {
            objections.push(format!("mac {mac} needs macs: Any, which is not there"));
        }
        if link.slaac == Some(Slaac::Accept) && rule.slaac != Some(SlaacRule::Allowed) {
            objections.push("slaac Accept needs slaac: Allowed, which is not there".to_owned());
        }
        Self {
            off_place,
            objections,
        }
    }

    /// The distance of the rule from allowing the link.
    pub fn distance(&self) -> (u8, usize) {
        (self.off_place, self.objections.len())
    }

    pub fn summary(&self) -> String {
        let more = match self.objections.len() {
            0 | 1 => String::new(),
            n => format!(", and {} more", n - 1),
        };
        let first = self.objections.first().map_or("", String::as_str);
        format!("{first}{more}")
    }
}

fn may_be_at(place: VethPlace<'_>, rule: Option<&VethRule>) -> Result<(), (u8, String)> {
    match place {
        VethPlace::Bridge(_) if rule.is_some_and(|r| r.bridges == Some(Bridges::Own)) => Ok(()),
        VethPlace::Bridge(name) => Err((
            2,
            format!(
                "veth.bridge {} needs bridges: Own, which is not there",
                clipped(name)
            ),
        )),
        VethPlace::Routed if rule.is_some_and(|r| r.routed.is_some()) => Ok(()),
        VethPlace::Routed => Err((
            2,
            "veth.routed needs routed: {}, which is not there".to_owned(),
        )),
        VethPlace::HostBridge(name) => {
            let allowed = rule.map_or(&[][..], |r| &r.host_bridges);
            if allowed.iter().any(|bridge| bridge == name) {
                return Ok(());
            }
            let among = not_among(allowed, escaped);
            Err((
                if allowed.is_empty() { 2 } else { 1 },
                format!("veth.hostBridge {} {among}", clipped(name)),
            ))
        }
    }
}

/// An address is allowed if `addresses` contains it. Its network becomes a route, so that all of
/// the network must be within `addresses` or `routes`: a /8 cannot be requested as the network of
/// an address.
fn against_address(address: IpNetwork, rule: &Rule) -> Option<String> {
    let network = IpNetwork::new(address.network(), address.prefix()).unwrap_or(address);
    let alone = IpNetwork::from(address.ip());
    if !rule.addresses.iter().any(|prefix| prefix.holds(alone)) {
        return Some(format!(
            "addresses {address} {}",
            not_among(&rule.addresses, escaped)
        ));
    }
    let mut wide = rule.addresses.iter().chain(&rule.routes);
    (!wide.any(|prefix| prefix.holds(network))).then(|| {
        let prefixes = listed(rule.addresses.iter().chain(&rule.routes).map(escaped));
        format!("addresses {address}: its network {network} reaches beyond [{prefixes}]")
    })
}

/// Only a link with addresses is in a domain.
fn against_domain(link: &Link, rule: &Rule) -> Option<String> {
    let has_addresses = !link.addresses.is_empty() || !link.ranges().is_empty();
    if !has_addresses || rule.allows_domain(link.domain()) {
        return None;
    }
    let default = [DEFAULT_DOMAIN.to_owned()];
    let domains = match rule.domains.as_slice() {
        [] => &default[..],
        domains => domains,
    };
    let among = not_among(domains, escaped);
    Some(format!("ipam.domain {} {among}", clipped(link.domain())))
}

/// All of a range must be within one of `addresses`: its network becomes a route.
fn against_range(range: IpNetwork, rule: &Rule) -> Option<String> {
    let is_allowed = rule.addresses.iter().any(|prefix| prefix.holds(range));
    (!is_allowed).then(|| {
        let among = not_among(&rule.addresses, escaped);
        format!("ipam.ranges cidr {range} {among}")
    })
}

fn against_route(route: &Route, rule: &Rule) -> Option<String> {
    if !rule
        .routes
        .iter()
        .any(|prefix| prefix.holds(route.to.network()))
    {
        return Some(format!(
            "routes to {} {}",
            route.to,
            not_among(&rule.routes, escaped)
        ));
    }
    let table = route.table.filter(|table| *table != MAIN_TABLE)?;
    if rule
        .tables
        .iter()
        .any(|range| (range.min..=range.max).contains(&table))
    {
        return None;
    }
    let among = not_among(&rule.tables, |range| format!("{}-{}", range.min, range.max));
    Some(format!("routes to {} table {table} {among}", route.to))
}

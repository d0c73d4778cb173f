//! Pure: whether an API server can evaluate these rules at admission. Each request has a CEL cost
//! budget, and is refused beyond it; so if the budget could be exceeded, the allowance says
//! `complete: false`, admission lets the PodConfigs through, and only the nodes evaluate them.
//!
//! Rules **match alike** if a link can match all of them by its kind, its place and its number:
//!
//! * the rules for veths with `bridges`, those with `routed`, and those that list the same host bridge;
//! * the rules for vlans that allow the same id, on any parent, since a `parentLink` needs none;
//! * the rules for vxlans that allow the same VNI, on any underlay;
//! * the rules for cni that list the same definition, with all of those that have `plugins`, which are for any
//!   definition of the tenant's own.
//!
//! Admission scans all rules of a kind for those, and checks the rest of the link against each of
//! them. The cost is linear in the lengths of their lists. The figures below are those of API
//! servers, measured and rounded up, for the largest PodConfig that its schema permits, all in
//! IPv6.

use std::collections::{BTreeMap, BTreeSet};

use crds::{
    allowance::MOST_RULES,
    policy::{CniRule, Rule},
};

use super::requested::VethPlace;

/// Maximum number of rules that match alike.
const MOST_ALIKE: usize = 16;
/// The maximum of each in a PodConfig, a link, a tunnel.
const LINKS: usize = 32;
const ROUTES: usize = 16;
const PEERS: usize = 64;
const PORT_MAPPINGS: usize = 16;
/// What is checked for the halves of the links in two expressions.
const HALF_OF_LINKS: usize = LINKS / 2;
/// Share of the limit of one expression, which is a million.
const ONE_EXPRESSION: usize = 950_000;
/// Share of the limit of all expressions, which is ten million: spent twice, for the check and for
/// its message.
const ALL_EXPRESSIONS: usize = 4_800_000;

/// Whether admission can evaluate every PodConfig by these rules.
pub fn fits_admission(rules: &[Rule]) -> bool {
    let vlans = rules.iter().filter_map(|rule| {
        let ids = &rule.vlan.as_ref()?.ids;
        Some((rule, ids.iter().map(|ids| (ids.min, ids.max)).collect()))
    });
    let vxlans = rules.iter().filter_map(|rule| {
        let vnis = &rule.vxlan.as_ref()?.vnis;
        Some((rule, vnis.iter().map(|vnis| (vnis.min, vnis.max)).collect()))
    });
    rules.len() <= MOST_RULES
        && are_veths_judgeable(rules)
        && are_numbers_judgeable(vlans.collect(), |_| 0)
        && are_numbers_judgeable(vxlans.collect(), peers)
        && are_definitions_judgeable(rules)
}

fn are_veths_judgeable(rules: &[Rule]) -> bool {
    let (mut search_all, mut by_place) = (0, BTreeMap::<VethPlace<'_>, Vec<&Rule>>::new());
    for rule in rules {
        let Some(veth) = &rule.veth else { continue };
        search_all += search(0);
        let bridges = veth.host_bridges.iter().collect::<BTreeSet<_>>();
        let bridges = bridges.into_iter().map(|name| VethPlace::HostBridge(name));
        let own = veth.bridges.map(|_| VethPlace::Bridge("of any name"));
        let routed = veth.routed.as_ref().map(|_| VethPlace::Routed);
        for place in bridges.chain(own).chain(routed) {
            by_place.entry(place).or_default().push(rule);
        }
    }
    by_place
        .into_values()
        .all(|alike| is_affordable(search_all, alike, |_| 0))
}

/// Rules with the ranges of numbers that each allows. The most ranges overlap where one of them
/// begins.
fn are_numbers_judgeable(
    rules: Vec<(&Rule, Vec<(i32, i32)>)>,
    more: impl Fn(&Rule) -> usize + Copy,
) -> bool {
    let search = rules.iter().map(|(_, ranges)| search(ranges.len())).sum();
    let beginnings: BTreeSet<i32> = rules
        .iter()
        .flat_map(|(_, ranges)| ranges.iter().map(|(min, _)| *min))
        .collect();
    beginnings.into_iter().all(|number| {
        let holds = |ranges: &[(i32, i32)]| ranges.iter().any(|(a, b)| (*a..=*b).contains(&number));
        let alike = rules
            .iter()
            .filter_map(|(rule, ranges)| holds(ranges).then_some(*rule));
        is_affordable(search, alike.collect(), more)
    })
}

fn are_definitions_judgeable(rules: &[Rule]) -> bool {
    let (mut search, mut own) = (0, Vec::new());
    let mut by_definition = BTreeMap::<(&str, &str), Vec<&Rule>>::new();
    for rule in rules {
        let Some(cni) = &rule.cni else { continue };
        search += search_definition(cni);
        if !cni.plugins.is_empty() {
            own.push(rule);
            continue;
        }
        let definitions = cni.definitions.iter();
        let definitions: BTreeSet<_> = definitions
            .flat_map(|of| of.names.iter().map(|name| (&*of.namespace, &**name)))
            .collect();
        for definition in definitions {
            by_definition.entry(definition).or_default().push(rule);
        }
    }
    by_definition
        .into_values()
        .chain([Vec::new()])
        .all(|listing| are_attachments_affordable(search, &[listing, own.clone()].concat()))
}

fn are_attachments_affordable(search: usize, alike: &[&Rule]) -> bool {
    let asked: usize = alike.iter().map(|rule| asked(rule)).sum();
    let others = alike.iter().map(|rule| marks(rule) + of_addresses(rule));
    alike.len() <= MOST_ALIKE
        && HALF_OF_LINKS * asked <= ONE_EXPRESSION
        && LINKS * (search + asked + others.sum::<usize>()) <= ALL_EXPRESSIONS
}

fn is_affordable(search: usize, alike: Vec<&Rule>, peers: impl Fn(&Rule) -> usize) -> bool {
    let of_all = |cost: &dyn Fn(&Rule) -> usize| alike.iter().map(|rule| cost(rule)).sum::<usize>();
    let (peers, tables) = (of_all(&peers), of_all(&tables));
    let others = of_all(&|rule| marks(rule) + networks(rule));
    alike.len() <= MOST_ALIKE
        && LINKS * peers <= ONE_EXPRESSION
        && LINKS * tables <= ONE_EXPRESSION
        && LINKS * (search + peers + tables + others) <= ALL_EXPRESSIONS
}

/// Cost of matching one rule by place and number for one link.
fn search(ranges: usize) -> usize {
    42 + 8 * ranges
}

/// Cost of matching one rule by the definition of one link. A name is looked up at a constant cost.
fn search_definition(rule: &CniRule) -> usize {
    60 + 8 * rule.definitions.len()
}

/// The maximum of a link: 16 arguments and 16 host ports.
fn asked(rule: &Rule) -> usize {
    let ports = rule.cni.as_ref().map_or(0, |cni| cni.host_ports.len());
    250 + PORT_MAPPINGS * (22 + 11 * ports)
}

/// Mode, port, `macs`, `slaac` and domain.
fn marks(rule: &Rule) -> usize {
    110 + rule
        .vxlan
        .as_ref()
        .map_or(0, |vxlan| 40 + 8 * vxlan.ports.len())
}

fn peers(rule: &Rule) -> usize {
    let allowed = rule.vxlan.as_ref().map_or(0, |vxlan| vxlan.peers.len());
    PEERS * (21 + 5 * allowed)
}

/// The maximum of a link: 8 addresses, the network of each, 4 ranges, and 16 destinations of
/// routes.
fn networks(rule: &Rule) -> usize {
    let (addresses, routes) = (rule.addresses.len(), rule.routes.len());
    let of_addresses = of_addresses(rule);
    let of_ranges = 90 + 21 * addresses;
    let of_routes = 355 + 99 * routes;
    of_addresses + of_ranges + of_routes
}

fn of_addresses(rule: &Rule) -> usize {
    let (addresses, routes) = (rule.addresses.len(), rule.routes.len());
    (210 + 43 * addresses) + (205 + 59 * (addresses + routes))
}

fn tables(rule: &Rule) -> usize {
    ROUTES * (22 + 9 * rule.tables.len())
}

#[cfg(test)]
mod tests;

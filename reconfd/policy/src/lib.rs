//! Pure: policy evaluation. Default deny: a link is allowed only if a single rule allows all of it;
//! rules are never combined.

use std::{collections::BTreeMap, fmt::Display};

use crds::{
    PodConfigPolicy, Reason,
    podconfig::Link,
    policy::{NetAdmin, OnConflict, Rule},
    reserved::{ReservedNetwork, Source, Usage},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt};

use address::reserved::Reserved;

/// Whether admission can evaluate a set of rules.
pub mod admission_cost;
/// Checks of a cni link against one rule.
mod cni_rule;
/// Checks of a vlan or vxlan against one rule.
mod device_rules;
/// What an allowed link may do.
mod permit;
/// The requested kind and place of a link.
pub mod requested;
/// Checks of a link against one rule.
mod rule_check;
pub use cni_rule::AttachmentGrant;
pub use permit::{Grant, Permit};
use requested::RequestedLink;
use rule_check::RuleCheck;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub reason: Reason,
    pub message: String,
}

/// Limits from the policies of a namespace. `None`: no policy sets one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub links_per_pod: Option<usize>,
    pub pods_per_namespace: Option<usize>,
}

/// The policies that select a namespace.
#[derive(Debug, Default)]
pub struct Selected<'a> {
    /// Sorted by name, so that the result does not depend on their order.
    pub policies: Vec<&'a PodConfigPolicy>,
    /// One sentence for each policy with an invalid selector; such a policy selects nothing.
    pub troubles: Vec<String>,
}

/// The routing table `main`, which needs no permission.
pub const MAIN_TABLE: i64 = 254;
const LONGEST_MESSAGE: usize = 500;
const LONGEST_NAME: usize = 64;
const LISTED: usize = 6;

/// The policies whose `namespaceSelector` selects a namespace with these labels.
pub fn selecting<'a>(
    policies: impl IntoIterator<Item = &'a PodConfigPolicy>,
    namespace_labels: &BTreeMap<String, String>,
) -> Selected<'a> {
    let mut selected = Selected::default();
    for policy in policies {
        match selector(&policy.spec.namespace_selector) {
            Ok(selector) if selector.matches(namespace_labels) => selected.policies.push(policy),
            Ok(_) => {}
            Err(why) => selected.troubles.push(bounded(format!(
                "policy {} selects nothing: namespaceSelector {why}",
                name_of(policy)
            ))),
        }
    }
    selected
        .policies
        .sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    selected.troubles.sort_unstable();
    selected
}

/// A label selector ready to match. Refuses what Kubernetes refuses: a `NotIn` without values would
/// otherwise select everything.
pub fn selector(selector: &LabelSelector) -> Result<Selector, String> {
    for requirement in selector.match_expressions.iter().flatten() {
        let values = requirement.values.as_ref().is_some_and(|v| !v.is_empty());
        let key = clipped(&requirement.key);
        match (requirement.operator.as_str(), values) {
            ("In" | "NotIn", true) | ("Exists" | "DoesNotExist", false) => {}
            ("In" | "NotIn", false) => {
                return Err(format!(
                    "{} of key {key} needs values",
                    requirement.operator
                ));
            }
            ("Exists" | "DoesNotExist", true) => {
                return Err(format!(
                    "{} of key {key} takes no values",
                    requirement.operator
                ));
            }
            (other, _) => {
                return Err(format!(
                    "operator {} of key {key} is not In, NotIn, Exists or DoesNotExist",
                    clipped(other)
                ));
            }
        }
    }
    Selector::try_from(selector.clone()).map_err(|error| error.to_string())
}

/// Evaluates a link of a PodConfig in `namespace` by the policies that select it: one rule must allow all of it.
pub fn evaluate(
    link: &Link,
    namespace: &str,
    policies: &[&PodConfigPolicy],
) -> Result<Permit, Rejection> {
    let refused = |reason, message| Rejection {
        reason,
        message: bounded(message),
    };
    let requested = RequestedLink::of(link).map_err(|why| refused(Reason::Invalid, why))?;
    if policies.is_empty() {
        let message = "no PodConfigPolicy selects the namespace".to_owned();
        return Err(refused(Reason::NoPolicy, message));
    }
    let mut allowing = Vec::new();
    let mut nearest: Option<(RuleCheck, &PodConfigPolicy, usize)> = None;
    for (policy, number, rule) in rules(policies) {
        let check = RuleCheck::of(link, namespace, requested, rule);
        if check.objections.is_empty() {
            allowing.push(rule);
        } else if nearest
            .as_ref()
            .is_none_or(|(other, ..)| check.distance() < other.distance())
        {
            nearest = Some((check, policy, number));
        }
    }
    if !allowing.is_empty() {
        return Ok(Permit::of(requested, namespace, &allowing));
    }
    let message = nearest.map_or_else(
        || {
            let names = listed(policies.iter().map(|policy| name_of(policy)));
            format!("none of the policies that select the namespace has a rule ({names})")
        },
        |(check, policy, number)| {
            format!(
                "{} (policy {}, rule {number})",
                check.summary(),
                name_of(policy)
            )
        },
    );
    Err(refused(Reason::NotAllowed, message))
}

/// The limits of a namespace: the highest of each. A policy without a limit does not count, so that
/// a general policy without limits does not lift those of a special one.
pub fn limits(policies: &[&PodConfigPolicy]) -> Limits {
    let highest = |limit: fn(&crds::policy::Limits) -> Option<i32>| {
        let named = policies
            .iter()
            .filter_map(|p| p.spec.limits.as_ref().and_then(limit));
        named.max().map(|n| usize::try_from(n).unwrap_or(0))
    };
    Limits {
        links_per_pod: highest(|l| l.links_per_pod),
        pods_per_namespace: highest(|l| l.pods_per_namespace),
    }
}

/// The networks that the policies of a namespace reserve, whatever their rules allow.
pub fn reserved(policies: &[&PodConfigPolicy]) -> Reserved {
    let networks = policies.iter().flat_map(|policy| {
        let prefixes = policy.spec.reserved.iter().enumerate();
        prefixes.map(|(number, prefix)| ReservedNetwork {
            prefix: *prefix,
            usage: Usage::Reserved,
            source: Source::Administrator,
            kind: "PodConfigPolicy".into(),
            object: name_of(policy),
            field: format!("spec.reserved[{number}]"),
            since: None,
        })
    });
    Reserved::new(networks)
}

/// Whether one of the policies detaches a link when a network appears that it overlaps.
pub fn detaches(policies: &[&PodConfigPolicy]) -> bool {
    policies
        .iter()
        .any(|policy| policy.spec.on_conflict == Some(OnConflict::Detach))
}

/// The first policy that excludes pods which may administer the node's network.
pub fn contains(policies: &[&PodConfigPolicy]) -> Option<String> {
    let mut policies = policies.iter();
    let policy = policies.find(|p| p.spec.net_admin == Some(NetAdmin::UserNamespace));
    policy.map(|policy| name_of(policy))
}

/// A message that fits into a condition, whatever names a tenant has put into it.
pub fn bounded(mut message: String) -> String {
    if message.len() > LONGEST_MESSAGE {
        let mut end = LONGEST_MESSAGE - '…'.len_utf8();
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
        message.push('…');
    }
    message
}

/// A name in quotes, escaped and not too long.
pub fn clipped(name: &str) -> String {
    match name.char_indices().nth(LONGEST_NAME) {
        Some((end, _)) => format!("{:?}…", &name[..end]),
        None => format!("{name:?}"),
    }
}

fn rules<'a>(
    policies: &'a [&PodConfigPolicy],
) -> impl Iterator<Item = (&'a PodConfigPolicy, usize, &'a Rule)> {
    policies.iter().flat_map(|p| {
        p.spec
            .allow
            .iter()
            .enumerate()
            .map(|(n, rule)| (*p, n + 1, rule))
    })
}

fn not_among<T>(allowed: &[T], spell: impl Fn(&T) -> String) -> String {
    match allowed {
        [] => "is not allowed: the rule lists none".to_owned(),
        some => format!("is not among [{}]", listed(some.iter().map(spell))),
    }
}

fn listed(mut items: impl Iterator<Item = String>) -> String {
    let first: Vec<String> = items.by_ref().take(LISTED).collect();
    let more = match items.count() {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    format!("{}{more}", first.join(", "))
}

fn escaped(item: &impl Display) -> String {
    item.to_string()
        .chars()
        .take(LONGEST_NAME)
        .flat_map(char::escape_debug)
        .collect()
}

fn name_of(policy: &PodConfigPolicy) -> String {
    escaped(&policy.metadata.name.as_deref().unwrap_or("without a name"))
}

#[cfg(test)]
mod tests;

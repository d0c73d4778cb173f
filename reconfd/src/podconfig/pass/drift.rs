//! Pure: drift. Which steps restore what another program changed, and how they are described.

use std::collections::HashMap;

use node::links::{Want, edit::Edit};

use crate::podconfig::{
    desired::DesiredLink,
    plan::{Plan, Step, Target},
};

/// Drift of one pod's links.
#[derive(Default)]
pub struct Drift {
    /// Links whose steps repair drift.
    pub repairs: Vec<String>,
    /// Rules that are restored, as text, with their links.
    pub rule_repairs: Vec<(String, String)>,
    /// Repairs in backoff.
    pub waiting: Vec<String>,
    /// What drifted of each link, as text.
    pub parts: HashMap<String, String>,
    /// Links whose last change was rejected by the kernel and is in backoff.
    pub rejected_again: Vec<String>,
}

/// Rules that a plan adds again, with their links: they existed for the same specification.
pub fn rule_repairs(
    plan: &Plan,
    granted: &[DesiredLink],
    hashes: &HashMap<String, (String, Target)>,
) -> Vec<(String, String)> {
    let was_there = |granted: &&DesiredLink| {
        let before = hashes.get(&granted.link.name);
        before.is_some_and(|(hash, _)| *hash == granted.mark.spec_hash)
    };
    let repaired = |step: &Step| {
        let Step::AddRule(rule) = step else {
            return None;
        };
        let mut candidates = granted.iter().filter(was_there);
        let of = candidates.find(|granted| {
            let mut addresses = granted.link.addresses.iter();
            addresses.any(|address| address.ip() == rule.from)
        });
        let what = format!("rule from {} lookup {}", rule.from, rule.table);
        of.map(|granted| (granted.link.name.clone(), what))
    };
    plan.steps.iter().filter_map(repaired).collect()
}

/// What is restored of each link that drifted.
pub fn drifted_parts(plan: &Plan, repairs: &[String]) -> HashMap<String, String> {
    let parts = plan.steps.iter().filter_map(|step| match step {
        Step::Create(want) => Some((&want.link.name, "the link".to_owned())),
        Step::Change { want, edits, .. } | Step::ChangeDevice { want, edits, .. } => {
            let mut words: Vec<&str> = edits.iter().map(Edit::what).collect();
            words.dedup();
            Some((&want.link.name, words.join(", ")))
        }
        _ => None,
    });
    let drifted = parts.filter(|(link, _)| repairs.contains(link));
    drifted.map(|(link, what)| (link.clone(), what)).collect()
}

/// Links whose steps restore what existed for the same specification: they drifted.
pub fn repairs(plan: &Plan, hashes: &HashMap<String, (String, Target)>) -> Vec<String> {
    let drifted = |want: &Want| {
        let before = hashes.get(&want.link.name);
        before.is_some_and(|(hash, target)| {
            *hash == want.mark.spec_hash && *target == Target::of(want)
        })
    };
    let repaired = plan.steps.iter().filter_map(|step| match step {
        Step::Create(want) | Step::Change { want, .. } | Step::ChangeDevice { want, .. }
            if drifted(want) =>
        {
            Some(want.link.name.clone())
        }
        _ => None,
    });
    repaired.collect()
}

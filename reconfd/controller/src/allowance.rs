//! Pure: computes the PodConfigAllowance of a namespace from the policies that select it.

use std::collections::BTreeMap;

use crds::{
    PodConfigAllowanceSpec, PodConfigPolicy,
    allowance::{AllowanceSummary, MOST_RULES},
    policy::{Limits, NetAdmin, Rule},
};

use policy::{admission_cost, bounded};

/// Maximum number of policy names in an allowance.
const MOST_POLICIES: usize = 256;
/// Maximum size of the rules in one object; 256 rules of maximum size exceed it.
const MOST_BYTES: usize = 1_000_000;

/// The allowance of a namespace with these labels. Without a policy it allows nothing: the admission policy can
/// give an actionable message only if an allowance exists.
pub fn effective<'a>(
    policies: impl IntoIterator<Item = &'a PodConfigPolicy>,
    labels: &BTreeMap<String, String>,
) -> PodConfigAllowanceSpec {
    union(&policy::selecting(policies, labels).policies)
}

fn union(policies: &[&PodConfigPolicy]) -> PodConfigAllowanceSpec {
    let rules: Vec<&Rule> = policies.iter().flat_map(|p| &p.spec.allow).collect();
    let names: Vec<&str> = policies
        .iter()
        .filter_map(|policy| policy.metadata.name.as_deref())
        .collect();
    let allow = as_many_as_fit(&rules);
    PodConfigAllowanceSpec {
        installation: String::new(),
        complete: allow.len() == rules.len() && admission_cost::fits_admission(&allow),
        allow,
        limits: limits(policies),
        net_admin: policy::contains(policies).map(|_| NetAdmin::UserNamespace),
        summary: AllowanceSummary {
            policies: bounded(names.join(",")),
            rules: count(rules.len()),
        },
        policies: names
            .into_iter()
            .take(MOST_POLICIES)
            .map(str::to_owned)
            .collect(),
    }
}

fn as_many_as_fit(rules: &[&Rule]) -> Vec<Rule> {
    let size = |rule: &Rule| serde_json::to_vec(rule).map_or(MOST_BYTES, |bytes| bytes.len());
    let mut left = MOST_BYTES;
    let fits = |rule: &&&Rule| {
        let rest = left.checked_sub(size(rule));
        left = rest.unwrap_or_default();
        rest.is_some()
    };
    let fitting = rules.iter().take(MOST_RULES).take_while(fits);
    fitting.map(|rule| (*rule).clone()).collect()
}

fn limits(policies: &[&PodConfigPolicy]) -> Option<Limits> {
    let limits = policy::limits(policies);
    let limits = Limits {
        links_per_pod: limits.links_per_pod.map(count),
        pods_per_namespace: limits.pods_per_namespace.map(count),
    };
    (limits != Limits::default()).then_some(limits)
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;

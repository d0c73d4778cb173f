//! Backoff: steps that are held back, because their link is suspended, drifts too often or is
//! created too often.

use std::time::Instant;

use crds::Reason;

use super::{
    drift::{drifted_parts, repairs, rule_repairs},
    pod_links::PodLinks,
};
use crate::podconfig::{
    applied::AppliedState,
    desired::DesiredLink,
    plan::{Blocked, Plan, Step},
    rate_limit::NamespaceBuckets,
};

/// Takes over the plan. Only drift that recurs too often is held back: a pod that changes one
/// link must not delay the repair of another.
pub(super) fn hold_back(
    links: &mut PodLinks,
    mut plan: Plan,
    (applied, buckets): (&mut AppliedState, &mut NamespaceBuckets),
) {
    let now = Instant::now();
    let namespace = &links.known.pod.namespace;
    let drift = &mut links.drift;
    if applied.sandbox == links.known.pod.sandbox {
        // In another sandbox nothing existed that could have drifted.
        drift.repairs = repairs(&plan, &applied.hashes);
        drift.rule_repairs = rule_repairs(&plan, &links.desired.granted, &applied.hashes);
        drift.parts = drifted_parts(&plan, &drift.repairs);
    }
    if !drift.repairs.is_empty() && applied.must_back_off(now) {
        drift.waiting = std::mem::take(&mut drift.repairs);
        let why = "the link was changed inside the pod repeatedly; its repair is rate-limited and follows later";
        back_off(&mut plan, &drift.waiting, why);
    }
    drift.rejected_again = applied.rejections.hold_back(&mut plan, now);
    let made = plan.steps.iter().filter_map(Step::made);
    let too_many: Vec<String> = made
        .filter(|_| !applied.may_make(now, || buckets.take(namespace, now)))
        .map(str::to_owned)
        .collect();
    let why = "links of this pod or its namespace are created too often; creation is rate-limited and follows soon";
    back_off(&mut plan, &too_many, why);
    links.plan = plan;
}

/// Suspended links stay as they are, present or not.
pub(super) fn leave_suspended(granted: &[DesiredLink], plan: &mut Plan) {
    for granted in granted {
        let Some((reason, message)) = &granted.suspended else {
            continue;
        };
        let link = granted.link.name.clone();
        plan.steps
            .retain(|step| !step.is_of(std::slice::from_ref(&link)));
        plan.blocked.retain(|blocked| blocked.link != link);
        plan.blocked.push(Blocked {
            link,
            reason: *reason,
            message: message.clone(),
        });
    }
}

fn back_off(plan: &mut Plan, links: &[String], why: &str) {
    plan.steps.retain(|step| !step.is_of(links));
    let later = |link: &String| Blocked {
        link: link.clone(),
        reason: Reason::BackingOff,
        message: why.into(),
    };
    plan.blocked.extend(links.iter().map(later));
}

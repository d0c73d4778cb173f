//! Pure: changes that the kernel rejected, by link. Retried with exponential backoff, however often
//! the pod is observed meanwhile; a changed specification or target is tried at once.

use std::{collections::BTreeMap, time::Instant};

use crds::Reason;
use workqueue::Attempts;

use super::REJECTED;
use crate::podconfig::plan::{Blocked, Plan, Step, Target};

/// What was tried: the specification's hash and the target.
pub type Spec = (String, Target);

/// A rejected change of one link.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rejected {
    spec: Spec,
    why: (Reason, String),
    attempts: Attempts,
    not_before: Instant,
}

/// By the name of the link.
#[derive(Debug, Default)]
pub struct Rejections(BTreeMap<String, Rejected>);

impl Rejections {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Drops the steps of links that are in backoff from the plan; returns the names of these
    /// links.
    pub fn hold_back(&self, plan: &mut Plan, now: Instant) -> Vec<String> {
        let mut held = Vec::new();
        for step in &plan.steps {
            let (Step::Create(want) | Step::Change { want, .. } | Step::ChangeDevice { want, .. }) =
                step
            else {
                continue;
            };
            let rejected = self.0.get(&want.link.name).filter(|rejected| {
                rejected.not_before > now
                    && rejected.spec.0 == want.mark.spec_hash
                    && rejected.spec.1 == Target::of(want)
            });
            if let Some(rejected) = rejected {
                held.push((want.link.name.clone(), rejected.why.clone()));
            }
        }
        let is_held = |link: &str| held.iter().any(|(name, _)| name == link);
        plan.steps.retain(|step| match step {
            Step::Create(want) | Step::Change { want, .. } | Step::ChangeDevice { want, .. } => {
                !is_held(&want.link.name)
            }
            _ => true,
        });
        plan.blocked.retain(|blocked| !is_held(&blocked.link));
        let blocked = held.iter().cloned();
        plan.blocked
            .extend(blocked.map(|(link, (reason, message))| Blocked {
                link,
                reason,
                message,
            }));
        held.into_iter().map(|(link, _)| link).collect()
    }

    /// Takes over the result of a pass: rejected and held-back links stay, all others are
    /// forgotten.
    pub fn take(
        &mut self,
        refused: Vec<(String, Spec, (Reason, String))>,
        held_back: &[String],
        now: Instant,
    ) {
        let mut before = std::mem::take(&mut self.0);
        for (link, spec, why) in refused {
            let same = before.remove(&link).filter(|before| before.spec == spec);
            let rejected = match same {
                // It was tried before it was due, for another reason.
                Some(early) if early.not_before > now => Rejected { why, ..early },
                same => {
                    let mut attempts = same.map_or_else(Attempts::default, |same| same.attempts);
                    Rejected {
                        spec,
                        why,
                        not_before: now + attempts.failed(&REJECTED, now),
                        attempts,
                    }
                }
            };
            self.0.insert(link, rejected);
        }
        before.retain(|link, _| held_back.contains(link));
        for (link, rejected) in before {
            self.0.entry(link).or_insert(rejected);
        }
    }

    /// When the next one is due.
    pub fn next(&self) -> Option<Instant> {
        self.0.values().map(|rejected| rejected.not_before).min()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::podconfig::applied::LONGEST_WAIT;

    /// For how long nothing is tried.
    fn wait_of(rejections: &Rejections, now: Instant) -> Option<Duration> {
        Some(rejections.next()?.saturating_duration_since(now))
    }

    fn refused(hash: &str) -> Vec<(String, Spec, (Reason, String))> {
        let why = (Reason::KernelRefused, "no".to_owned());
        vec![("data0".into(), (hash.into(), Target::default()), why)]
    }

    #[test]
    fn what_is_refused_again_and_again_waits_twice_as_long_each_time() {
        let (mut rejections, mut now) = (Rejections::default(), Instant::now());
        let mut waits = Vec::new();
        for _ in 0..12 {
            rejections.take(refused("a"), &[], now);
            waits.extend(wait_of(&rejections, now));
            now = rejections.next().unwrap_or(now);
        }
        assert_eq!(waits[0], Duration::from_millis(800));
        assert_eq!(waits[1], 2 * waits[0]);
        assert_eq!(waits[2], 4 * waits[0]);
        assert_eq!(waits.last(), Some(&LONGEST_WAIT));
    }

    #[test]
    fn what_is_to_be_otherwise_starts_afresh() {
        let (mut rejections, now) = (Rejections::default(), Instant::now());
        rejections.take(refused("a"), &[], now);
        let first = wait_of(&rejections, now);
        rejections.take(refused("b"), &[], now);
        assert_eq!(wait_of(&rejections, now), first);
    }

    #[test]
    fn a_try_that_was_not_due_does_not_put_the_next_one_off() {
        let (mut rejections, now) = (Rejections::default(), Instant::now());
        rejections.take(refused("a"), &[], now);
        let next = rejections.next();
        rejections.take(refused("a"), &[], now + Duration::from_millis(100));
        assert_eq!(rejections.next(), next);
    }

    #[test]
    fn what_went_through_is_forgotten_and_what_was_held_back_is_not() {
        let (mut rejections, now) = (Rejections::default(), Instant::now());
        rejections.take(refused("a"), &[], now);
        rejections.take(Vec::new(), &["data0".into()], now);
        assert!(!rejections.is_empty());
        rejections.take(Vec::new(), &[], now);
        assert!(rejections.is_empty());
    }
}

//! Pure: the status of a PodConfig from the state of its links in the selected pods. The input is either the
//! outcomes of one node or the PodReports of all nodes.

use std::time::SystemTime;

use crds::{
    PodConfig, Reason,
    podconfig::{Failure, PodConfigStatus},
    report::LinkState,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use policy::bounded;

use super::{ConditionsBuilder, Revision, Trouble, time};

/// Condition status of an uninstalled PodConfig.
const UNKNOWN: &str = "Unknown";
/// Maximum number of failures in a status.
const SHOWN: usize = 5;

/// Reported state of one link.
#[derive(Clone, Copy, Debug)]
pub struct LinkStatus<'a> {
    pub link: &'a str,
    /// Name of the PodConfig that requests the link. `uid` and `generation` are those reported.
    pub podconfig: &'a str,
    pub uid: &'a str,
    pub generation: i64,
    pub state: LinkState,
    pub reason: Reason,
    pub message: &'a str,
}

/// Counts of the selected pods, and their troubles.
#[derive(Debug, Default)]
pub struct Tally<'a> {
    pub selected: usize,
    pub configured: usize,
    pub failed: usize,
    /// Ordered by pod name.
    pub troubles: Vec<Trouble<'a>>,
    /// Messages about networks that links overlap.
    pub conflicts: Vec<String>,
    /// Message when there is no trouble: why no pod is selected, or which links do not reach other nodes.
    pub remark: String,
}

impl<'a> Tally<'a> {
    /// Adds one selected pod. Pods must be added in the order of their names.
    pub fn add(&mut self, troubles: Vec<Trouble<'a>>) {
        self.selected += 1;
        self.configured += usize::from(troubles.is_empty());
        self.failed += usize::from(troubles.iter().any(Trouble::is_failure));
        self.troubles.extend(troubles);
    }
}

/// Messages about networks that the links of one pod overlap, for this PodConfig.
pub fn pod_conflicts<'a>(
    config: &PodConfig,
    pod: &str,
    links: impl Iterator<Item = (LinkStatus<'a>, Option<&'a str>)>,
) -> Vec<String> {
    let own = links.filter(|(link, _)| is_current(link, config));
    let messages = own.filter_map(|(link, conflict)| {
        let link = policy::clipped(link.link);
        Some(format!("pod {pod}, link {link}: {}", conflict?))
    });
    messages.collect()
}

/// Whether the status is about the current revision of the PodConfig.
fn is_current(link: &LinkStatus<'_>, config: &PodConfig) -> bool {
    let revision = Revision::of(config);
    Some(link.podconfig) == config.metadata.name.as_deref()
        && (link.uid, link.generation >= revision.generation) == (revision.uid.as_str(), true)
}

/// The troubles of one pod with this PodConfig. `whole` affects all links of the pod; `not_reported` is added
/// when a link has no status for the current revision.
pub fn pod_troubles<'a>(
    config: &PodConfig,
    links: impl Iterator<Item = LinkStatus<'a>>,
    whole: Option<Trouble<'a>>,
    not_reported: Trouble<'a>,
) -> Vec<Trouble<'a>> {
    let own: Vec<LinkStatus<'a>> = links.filter(|link| is_current(link, config)).collect();
    let is_reported = |name: &str| own.iter().any(|link| link.link == name);
    let all_reported = config.spec.links.iter().all(|link| is_reported(&link.name));
    let pod = not_reported.pod;
    let unready = own.iter().filter(|link| link.state != LinkState::Ready);
    let unready = unready.map(|link| Trouble {
        pod,
        link: link.link,
        state: link.state,
        reason: link.reason,
        message: link.message.into(),
    });
    let not_reported = Some(not_reported).filter(|_| whole.is_none() && !all_reported);
    let mut troubles = Trouble::of_pod(whole, unready);
    troubles.extend(not_reported);
    troubles
}

/// The status of a PodConfig.
pub fn status(
    config: &PodConfig,
    mut tally: Tally<'_>,
    previous: Option<&PodConfigStatus>,
    now: SystemTime,
) -> PodConfigStatus {
    let selector = policy::selector(&config.spec.pod_selector);
    if let Err(why) = &selector {
        let why = format!("podSelector {why}");
        tally.troubles.push(Trouble::of_object(why));
    }
    let links = config.spec.links.iter().map(|link| link.name.as_str());
    PodConfigStatus {
        links: links.collect::<Vec<_>>().join(","),
        selector: selector.map_or_else(|_| String::new(), |selector| selector.to_string()),
        ..status_of(config.metadata.generation, tally, previous, now)
    }
}

/// The status of an object that cannot be read.
pub fn unreadable(
    generation: Option<i64>,
    why: &str,
    previous: Option<&PodConfigStatus>,
    now: SystemTime,
) -> PodConfigStatus {
    let mut tally = Tally::default();
    let why = format!("the object cannot be read: {why}");
    tally.troubles.push(Trouble::of_object(why));
    status_of(generation, tally, previous, now)
}

/// The status of an object after the uninstallation of podconfig.
pub fn uninstalled(
    generation: Option<i64>,
    previous: &PodConfigStatus,
    links_stay: bool,
    now: SystemTime,
) -> PodConfigStatus {
    let links = match links_stay {
        true => "the links of running pods stay until these end",
        false => "its links are removed",
    };
    let message = format!("podconfig was uninstalled: {links}, and this object has no effect");
    let condition = |type_: &str| {
        let mut before = previous.conditions.iter();
        let before =
            before.find(|condition| condition.type_ == type_ && condition.status == UNKNOWN);
        Condition {
            type_: type_.to_owned(),
            status: UNKNOWN.to_owned(),
            reason: Reason::Uninstalled.to_string(),
            message: message.clone(),
            observed_generation: generation,
            last_transition_time: before
                .map_or_else(|| time(now), |before| before.last_transition_time.clone()),
        }
    };
    PodConfigStatus {
        observed_generation: generation,
        conditions: ["Ready", "Progressing", "Degraded"].map(condition).into(),
        selector: previous.selector.clone(),
        links: previous.links.clone(),
        ..PodConfigStatus::default()
    }
}

fn status_of(
    generation: Option<i64>,
    tally: Tally<'_>,
    previous: Option<&PodConfigStatus>,
    now: SystemTime,
) -> PodConfigStatus {
    let builder = ConditionsBuilder {
        troubles: tally.troubles,
        conflicts: tally.conflicts,
        net_admin: None,
        ok_reason: match tally.selected {
            0 => Reason::NoPodsSelected,
            _ => Reason::AllPodsConfigured,
        },
        remark: bounded(tally.remark),
        is_idle: tally.selected == 0,
        mixed_reason: Some(Reason::PodsFailed),
        prefix: "pod",
    };
    let before = previous.map_or(&[][..], |previous| &previous.conditions);
    let failures = builder.failures().filter(|trouble| !trouble.pod.is_empty());
    PodConfigStatus {
        observed_generation: generation,
        conditions: builder.build(generation, before, time(now)),
        selected: count(tally.selected),
        configured: count(tally.configured),
        failed: count(tally.failed),
        failures: failures.take(SHOWN).map(failure).collect(),
        ..PodConfigStatus::default()
    }
}

fn failure(trouble: &Trouble<'_>) -> Failure {
    Failure {
        pod: trouble.pod.to_owned(),
        link: trouble.link.to_owned(),
        reason: trouble.reason,
        message: bounded(trouble.message.to_string()),
    }
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_uninstalled_is_unknown_from_then_on() {
        let began = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1000);
        let tally = || Tally {
            selected: 2,
            configured: 2,
            ..Tally::default()
        };
        let ready = status_of(Some(3), tally(), None, began);
        let first = uninstalled(Some(3), &ready, false, began);
        let of = |condition: &Condition| (condition.status.clone(), condition.reason.clone());
        let unknown = ("Unknown".to_owned(), "Uninstalled".to_owned());
        let conditions = first.conditions.iter();
        assert!(conditions.map(of).eq(std::iter::repeat_n(unknown, 3)));
        assert_eq!((first.configured, first.selected), (0, 0));
        // A job that runs again changes nothing.
        let later = began + std::time::Duration::from_secs(60);
        assert_eq!(uninstalled(Some(3), &first, false, later), first);
        // A controller that comes back says what is so.
        let back = status_of(Some(3), tally(), Some(&first), later);
        assert_eq!(back.conditions[0].last_transition_time, time(later));
    }
}

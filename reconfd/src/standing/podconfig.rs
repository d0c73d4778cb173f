//! Pure: how a PodConfig fares in the pods that it selects → its status. Where the pods are told of, the
//! outcomes of one node or the reports of all, makes no difference.

use std::time::SystemTime;

use crds::{
    PodConfig, Reason,
    podconfig::{Failure, PodConfigStatus},
    report::LinkState,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{Edition, Standing, Trouble, time};
use crate::podconfig::policy::{self, bounded};

/// Of a condition that nobody can tell.
const UNKNOWN: &str = "Unknown";
/// How many failures a status shows.
const SHOWN: usize = 5;

/// What was said of one link.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    pub link: &'a str,
    /// Who asks for the link: the name of the PodConfig, and what it was when this was said.
    pub podconfig: &'a str,
    pub uid: &'a str,
    pub generation: i64,
    pub state: LinkState,
    pub reason: Reason,
    pub message: &'a str,
}

/// The selected pods, counted, and what they lack.
#[derive(Debug, Default)]
pub struct Tally<'a> {
    pub selected: usize,
    pub configured: usize,
    pub failed: usize,
    /// In the order of the pods' names.
    pub troubles: Vec<Trouble<'a>>,
    /// What links overlap, in words.
    pub conflicts: Vec<String>,
    /// What is worth knowing although nothing is lacking: why no pod is selected, where links do not lead.
    pub remark: String,
}

impl<'a> Tally<'a> {
    /// Adds one selected pod. None must come before one whose name is less.
    pub fn add(&mut self, troubles: Vec<Trouble<'a>>) {
        self.selected += 1;
        self.configured += usize::from(troubles.is_empty());
        self.failed += usize::from(troubles.iter().any(Trouble::is_failure));
        self.troubles.extend(troubles);
    }
}

/// What the links that one pod has by this PodConfig overlap.
pub fn conflicts_in<'a>(
    config: &PodConfig,
    pod: &str,
    said: impl Iterator<Item = (Said<'a>, Option<&'a str>)>,
) -> Vec<String> {
    let own = said.filter(|(said, _)| is_of(said, config));
    let told = own.filter_map(|(said, conflict)| {
        let link = policy::clipped(said.link);
        Some(format!("pod {pod}, link {link}: {}", conflict?))
    });
    told.collect()
}

/// Whether this speaks of the PodConfig as it is now.
fn is_of(said: &Said<'_>, config: &PodConfig) -> bool {
    let edition = Edition::of(config);
    Some(said.podconfig) == config.metadata.name.as_deref()
        && (said.uid, said.generation >= edition.generation) == (edition.uid.as_str(), true)
}

/// What keeps a pod from what this PodConfig asks for. `whole` is what keeps it from everything; `untold` is
/// what it means that a link is not spoken of as the PodConfig asks for it now.
pub fn in_pod<'a>(
    config: &PodConfig,
    said: impl Iterator<Item = Said<'a>>,
    whole: Option<Trouble<'a>>,
    untold: Trouble<'a>,
) -> Vec<Trouble<'a>> {
    let own: Vec<Said<'a>> = said.filter(|said| is_of(said, config)).collect();
    let is_told = |name: &str| own.iter().any(|said| said.link == name);
    let all_told = config.spec.links.iter().all(|link| is_told(&link.name));
    let pod = untold.pod;
    let lacking = own.iter().filter(|said| said.state != LinkState::Ready);
    let lacking = lacking.map(|said| Trouble {
        pod,
        link: said.link,
        state: said.state,
        reason: said.reason,
        message: said.message.into(),
    });
    let untold = Some(untold).filter(|_| whole.is_none() && !all_told);
    let mut troubles = Trouble::of_pod(whole, lacking);
    troubles.extend(untold);
    troubles
}

/// The status that says so.
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
        ..told(config.metadata.generation, tally, previous, now)
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
    told(generation, tally, previous, now)
}

/// The status of an object that nobody looks after any more.
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

fn told(
    generation: Option<i64>,
    tally: Tally<'_>,
    previous: Option<&PodConfigStatus>,
    now: SystemTime,
) -> PodConfigStatus {
    let standing = Standing {
        troubles: tally.troubles,
        conflicts: tally.conflicts,
        net_admin: None,
        well: match tally.selected {
            0 => Reason::NoPodsSelected,
            _ => Reason::AllPodsConfigured,
        },
        remark: bounded(tally.remark),
        is_idle: tally.selected == 0,
        mixed: Some(Reason::PodsFailed),
        of: "pod",
    };
    let before = previous.map_or(&[][..], |previous| &previous.conditions);
    let failures = standing
        .failures()
        .filter(|trouble| !trouble.pod.is_empty());
    PodConfigStatus {
        observed_generation: generation,
        conditions: standing.conditions(generation, before, time(now)),
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
        let ready = told(Some(3), tally(), None, began);
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
        let back = told(Some(3), tally(), Some(&first), later);
        assert_eq!(back.conditions[0].last_transition_time, time(later));
    }
}

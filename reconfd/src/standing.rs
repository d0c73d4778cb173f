//! Pure: what stands between a wish and its fulfilment → the conditions `Ready`, `Progressing` and
//! `Degraded`, `AddressConflict` where there is one, and a pod's `NetAdmin`. The time of a condition changes with its status and with nothing else.

use std::{borrow::Cow, time::SystemTime};

use crds::{PodConfig, Reason, report::LinkState};
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

use crate::podconfig::policy::{bounded, clipped};

/// Labels that come near a selector.
pub mod near_miss;
/// The status of a PodConfig.
pub mod podconfig;

/// Which object of a name, and as it was when: what is said of one says nothing of the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edition {
    pub uid: String,
    pub generation: i64,
}

impl Edition {
    pub fn of(config: &PodConfig) -> Self {
        Self {
            uid: config.metadata.uid.clone().unwrap_or_default(),
            generation: config.metadata.generation.unwrap_or_default(),
        }
    }
}

/// One thing that is not as wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Trouble<'a> {
    /// Empty: the object itself is in trouble.
    pub pod: &'a str,
    /// Empty: the pod as a whole.
    pub link: &'a str,
    /// `Pending` or `Failed`.
    pub state: LinkState,
    pub reason: Reason,
    pub message: Cow<'a, str>,
}

/// A condition that is there only while it is true.
pub const ADDRESS_CONFLICT: &str = "AddressConflict";

/// Another one: the pod may administer the node's network.
pub const NET_ADMIN: &str = "NetAdmin";

pub struct Standing<'a> {
    pub troubles: Vec<Trouble<'a>>,
    /// What links overlap, each in words.
    pub conflicts: Vec<String>,
    /// How the pod may administer the node's network, in words.
    pub net_admin: Option<&'a str>,
    /// The reason when there is no trouble.
    pub well: Reason,
    /// What is worth knowing although there is no trouble, in words.
    pub remark: String,
    /// Whether nothing was asked of anything, so that nothing can be said to be ready.
    pub is_idle: bool,
    /// The reason when failures have several; `None`: that of the first.
    pub mixed: Option<Reason>,
    /// `link`: a message begins with the link's name; `pod`: with the pod's.
    pub of: &'static str,
}

impl<'a> Trouble<'a> {
    pub fn of_object(message: String) -> Self {
        Self {
            pod: "",
            link: "",
            state: LinkState::Failed,
            reason: Reason::Invalid,
            message: message.into(),
        }
    }

    /// What was done about the object in this pod has not been told yet.
    pub fn untold(pod: &'a str, why: impl Into<Cow<'a, str>>) -> Self {
        Self {
            pod,
            link: "",
            state: LinkState::Pending,
            reason: Reason::Reconciling,
            message: why.into(),
        }
    }

    /// What is wrong with a pod as a whole, and with its links beside: a link that lacks for the pod's own
    /// reason is no second trouble.
    pub fn of_pod(whole: Option<Self>, links: impl Iterator<Item = Self>) -> Vec<Self> {
        let reason = whole.as_ref().map(|whole| whole.reason);
        let others = links.filter(|link| Some(link.reason) != reason);
        let others: Vec<Self> = others.collect();
        whole.into_iter().chain(others).collect()
    }

    pub fn is_of_untold_pod(&self) -> bool {
        self.reason == Reason::Reconciling && self.link.is_empty()
    }

    /// What a pod has on a node that does not answer: neither wrong nor right.
    pub fn is_unknown(&self) -> bool {
        self.reason == Reason::NodeUnreachable
    }

    pub fn is_failure(&self) -> bool {
        self.state == LinkState::Failed
    }
}

impl Standing<'_> {
    pub fn failures(&self) -> impl Iterator<Item = &Trouble<'_>> {
        self.troubles.iter().filter(|trouble| trouble.is_failure())
    }

    pub fn conditions(
        &self,
        generation: Option<i64>,
        previous: &[Condition],
        now: Time,
    ) -> Vec<Condition> {
        let failures: Vec<&Trouble<'_>> = self.failures().collect();
        let others = self.troubles.iter().filter(|t| !t.is_failure());
        let (unknown, waits): (Vec<_>, Vec<_>) = others.partition(|t| t.is_unknown());
        let failed = self.said(&failures, self.mixed);
        let waiting = self.said(&waits, self.mixed.and(Some(Reason::Reconciling)));
        let unknown = self.said(&unknown, None);
        let ready = match failed.clone().or(waiting.clone()) {
            Some(unready) => ("False", unready),
            None => match unknown {
                Some(unknown) => ("Unknown", unknown),
                None if self.is_idle => ("Unknown", (self.well, self.remark.clone())),
                None => ("True", (self.well, self.remark.clone())),
            },
        };
        let quiet = ("False", (ready.1.0, String::new()));
        let or_quiet = |said: Option<_>| said.map_or(quiet.clone(), |said| ("True", said));
        let (progressing, degraded) = (or_quiet(waiting), or_quiet(failed));
        let of = [
            ("Ready", ready),
            ("Progressing", progressing),
            ("Degraded", degraded),
        ];
        let conflict = self.conflict().map(|message| {
            let said = (Reason::AddressConflict, message);
            (ADDRESS_CONFLICT, ("True", said))
        });
        let net_admin = self.net_admin.map(|how| {
            let message =
                format!("{how}: without a user namespace it may administer the node's network");
            (NET_ADMIN, ("True", (Reason::NetAdminPod, bounded(message))))
        });
        let all = of.into_iter().chain(conflict).chain(net_admin);
        all.map(|(type_, (status, (reason, message)))| {
            let same = previous
                .iter()
                .find(|before| before.type_ == type_ && before.status == status);
            Condition {
                type_: type_.to_owned(),
                status: status.to_owned(),
                reason: reason.to_string(),
                message,
                observed_generation: generation,
                last_transition_time: same
                    .map_or(&now, |before| &before.last_transition_time)
                    .clone(),
            }
        })
        .collect()
    }

    fn conflict(&self) -> Option<String> {
        let first = self.conflicts.first()?;
        Some(match self.conflicts.len() {
            1 => bounded(first.clone()),
            many => bounded(format!("(1 of {many}) {first}")),
        })
    }

    /// The reason that the troubles share, else `mixed`, and the first of them in words.
    fn said(&self, troubles: &[&Trouble<'_>], mixed: Option<Reason>) -> Option<(Reason, String)> {
        let first = troubles.first()?;
        let shared = troubles
            .iter()
            .all(|trouble| trouble.reason == first.reason);
        let reason = if shared {
            first.reason
        } else {
            mixed.unwrap_or(first.reason)
        };
        let link = if first.link.is_empty() {
            String::new()
        } else {
            format!("link {}", clipped(first.link))
        };
        let place = match (self.of, first.pod) {
            ("pod", pod) if !pod.is_empty() && link.is_empty() => format!("pod {pod}: "),
            ("pod", pod) if !pod.is_empty() => format!("pod {pod}, {link}: "),
            _ if link.is_empty() => String::new(),
            _ => format!("{link}: "),
        };
        let more = if troubles.len() > 1 {
            format!("(1 of {}) ", troubles.len())
        } else {
            String::new()
        };
        Some((reason, bounded(format!("{more}{place}{}", first.message))))
    }
}

/// In whole seconds, as the API keeps it: what is read back equals what was written.
pub fn time(at: SystemTime) -> Time {
    let seconds = Timestamp::try_from(at).map_or(0, Timestamp::as_second);
    Time(Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH))
}

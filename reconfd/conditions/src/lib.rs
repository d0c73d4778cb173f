//! Pure: builds the conditions `Ready`, `Progressing` and `Degraded` from a list of troubles, and the optional
//! `AddressConflict` and `NetAdmin`. `lastTransitionTime` changes only with the status of a condition.

use std::{borrow::Cow, time::SystemTime};

use crds::{PodConfig, Reason, report::LinkState};
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

use policy::{bounded, clipped};

/// Pod labels that nearly match a selector.
pub mod near_miss;
/// The status of a PodConfig.
pub mod podconfig;

/// UID and generation of an object. A report about one revision does not apply to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revision {
    pub uid: String,
    pub generation: i64,
}

impl Revision {
    pub fn of(config: &PodConfig) -> Self {
        Self {
            uid: config.metadata.uid.clone().unwrap_or_default(),
            generation: config.metadata.generation.unwrap_or_default(),
        }
    }
}

/// One deviation from the desired state.
#[derive(Clone, Debug, PartialEq)]
pub struct Trouble<'a> {
    /// Empty: the object itself is at fault.
    pub pod: &'a str,
    /// Empty: the whole pod is affected.
    pub link: &'a str,
    /// `Pending` or `Failed`.
    pub state: LinkState,
    pub reason: Reason,
    pub message: Cow<'a, str>,
}

/// A condition that exists only while it is true.
pub const ADDRESS_CONFLICT: &str = "AddressConflict";

/// Also exists only while it is true: the pod may administer the node's network.
pub const NET_ADMIN: &str = "NetAdmin";

/// Input of the conditions of one object.
pub struct ConditionsBuilder<'a> {
    pub troubles: Vec<Trouble<'a>>,
    /// Messages about networks that links overlap.
    pub conflicts: Vec<String>,
    /// Message: how the pod may administer the node's network.
    pub net_admin: Option<&'a str>,
    /// Reason when there is no trouble.
    pub ok_reason: Reason,
    /// Message when there is no trouble.
    pub remark: String,
    /// Nothing is requested, so `Ready` is `Unknown`.
    pub is_idle: bool,
    /// Reason when the failures have different ones; `None`: that of the first.
    pub mixed_reason: Option<Reason>,
    /// `link`: messages begin with the link's name; `pod`: with the pod's.
    pub prefix: &'static str,
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

    /// There is no report about this pod yet.
    pub fn not_reported(pod: &'a str, why: impl Into<Cow<'a, str>>) -> Self {
        Self {
            pod,
            link: "",
            state: LinkState::Pending,
            reason: Reason::Reconciling,
            message: why.into(),
        }
    }

    /// The trouble of the whole pod, followed by those of its links. Links with the pod's own reason are left
    /// out.
    pub fn of_pod(whole: Option<Self>, links: impl Iterator<Item = Self>) -> Vec<Self> {
        let reason = whole.as_ref().map(|whole| whole.reason);
        let others = links.filter(|link| Some(link.reason) != reason);
        let others: Vec<Self> = others.collect();
        whole.into_iter().chain(others).collect()
    }

    pub fn is_not_reported(&self) -> bool {
        self.reason == Reason::Reconciling && self.link.is_empty()
    }

    /// The node of the pod is unreachable, so the state of its links is unknown.
    pub fn is_unknown(&self) -> bool {
        self.reason == Reason::NodeUnreachable
    }

    pub fn is_failure(&self) -> bool {
        self.state == LinkState::Failed
    }
}

impl ConditionsBuilder<'_> {
    pub fn failures(&self) -> impl Iterator<Item = &Trouble<'_>> {
        self.troubles.iter().filter(|trouble| trouble.is_failure())
    }

    /// Returns the conditions. `previous` supplies the transition times of those whose status is unchanged.
    pub fn build(
        &self,
        generation: Option<i64>,
        previous: &[Condition],
        now: Time,
    ) -> Vec<Condition> {
        let failures: Vec<&Trouble<'_>> = self.failures().collect();
        let others = self.troubles.iter().filter(|t| !t.is_failure());
        let (unknown, waits): (Vec<_>, Vec<_>) = others.partition(|t| t.is_unknown());
        let failed = self.summarize(&failures, self.mixed_reason);
        let waiting = self.summarize(&waits, self.mixed_reason.and(Some(Reason::Reconciling)));
        let unknown = self.summarize(&unknown, None);
        let ready = match failed.clone().or(waiting.clone()) {
            Some(unready) => ("False", unready),
            None => match unknown {
                Some(unknown) => ("Unknown", unknown),
                None if self.is_idle => ("Unknown", (self.ok_reason, self.remark.clone())),
                None => ("True", (self.ok_reason, self.remark.clone())),
            },
        };
        let inactive = ("False", (ready.1.0, String::new()));
        let or_inactive =
            |detail: Option<_>| detail.map_or(inactive.clone(), |detail| ("True", detail));
        let (progressing, degraded) = (or_inactive(waiting), or_inactive(failed));
        let of = [
            ("Ready", ready),
            ("Progressing", progressing),
            ("Degraded", degraded),
        ];
        let conflict = self.conflict().map(|message| {
            let detail = (Reason::AddressConflict, message);
            (ADDRESS_CONFLICT, ("True", detail))
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

    /// The reason that all troubles share, else `mixed`, and the message of the first.
    fn summarize(
        &self,
        troubles: &[&Trouble<'_>],
        mixed: Option<Reason>,
    ) -> Option<(Reason, String)> {
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
        let place = match (self.prefix, first.pod) {
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

/// Truncated to whole seconds as in the API, so that a value read back equals the one written.
pub fn time(at: SystemTime) -> Time {
    let seconds = Timestamp::try_from(at).map_or(0, Timestamp::as_second);
    Time(Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH))
}

//! Pure: what stands between a wish and its fulfilment → the conditions `Ready`, `Progressing` and
//! `Degraded`. The time of a condition changes with its status and with nothing else.

use std::borrow::Cow;

use crds::{Reason, report::LinkState};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::podconfig::policy::{bounded, clipped};

/// One thing that is not as wanted.
pub(super) struct Trouble<'a> {
    /// Empty: the object itself is in trouble.
    pub pod: &'a str,
    /// Empty: the pod as a whole.
    pub link: &'a str,
    /// `Pending` or `Failed`.
    pub state: LinkState,
    pub reason: Reason,
    pub message: Cow<'a, str>,
}

pub(super) struct Standing<'a> {
    pub troubles: Vec<Trouble<'a>>,
    /// The reason when there is no trouble.
    pub well: Reason,
    /// The reason when the troubles have several; `None`: that of the first.
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

    /// The pod has not been looked at since the object came.
    pub fn unseen(pod: &'a str) -> Self {
        let message = "the pod's turn has not come yet".into();
        Self {
            pod,
            link: "",
            state: LinkState::Pending,
            reason: Reason::Reconciling,
            message,
        }
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
        let waits: Vec<&Trouble<'_>> = self
            .troubles
            .iter()
            .filter(|trouble| !trouble.is_failure())
            .collect();
        let unready = if failures.is_empty() {
            &waits
        } else {
            &failures
        };
        let ready = self.said(unready).unwrap_or((self.well, String::new()));
        let quiet = (ready.0, String::new());
        let of = [
            ("Ready", unready.is_empty(), ready),
            (
                "Progressing",
                !waits.is_empty(),
                self.said(&waits).unwrap_or(quiet.clone()),
            ),
            (
                "Degraded",
                !failures.is_empty(),
                self.said(&failures).unwrap_or(quiet),
            ),
        ];
        of.map(|(type_, holds, (reason, message))| {
            let status = if holds { "True" } else { "False" };
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
        .into()
    }

    /// The reason that the troubles share, and the first of them in words.
    fn said(&self, troubles: &[&Trouble<'_>]) -> Option<(Reason, String)> {
        let first = troubles.first()?;
        let shared = troubles
            .iter()
            .all(|trouble| trouble.reason == first.reason);
        let reason = if shared {
            first.reason
        } else {
            self.mixed.unwrap_or(first.reason)
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

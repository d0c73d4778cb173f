//! Pure: the state of an attachment as the outcome of a link.

use std::time::SystemTime;

use attachments::{
    entry::Entry,
    status::{Failure, FailureReason, LinkState as State},
};
use cni::CniResult;
use conditions::Revision;
use crds::{Mac, Reason, report::LinkState};
use policy::bounded;

use crate::podconfig::{
    annotation::ANNOTATION,
    cause::Cause,
    desired::{CNI, DesiredAttachment},
    outcome::{LinkOutcome, PresentFacts},
};

/// `cause`: why its chain could not be made; what is attached stays, and one that is still to be read says nothing of it.
/// `since`: when it was attached.
pub fn outcome(
    desired: &DesiredAttachment,
    state: &State,
    cause: Option<Cause>,
    since: Option<SystemTime>,
) -> LinkOutcome {
    match (state, cause) {
        (State::Attached { entry, degraded }, cause) => {
            let cause = cause.filter(|cause| cause.0 != Reason::Reconciling);
            let why = cause.or(degraded.as_ref().map(cause_of));
            let why = why.unwrap_or((Reason::LinkReady, String::new()));
            LinkOutcome {
                present: facts(entry),
                domain: Some(desired.domain.clone()),
                last_change: since,
                ..desired.outcome(LinkState::Ready, why)
            }
        }
        (_, Some(cause)) if cause.0 == Reason::Reconciling => {
            desired.outcome(LinkState::Pending, cause)
        }
        (_, Some(cause)) => desired.outcome(LinkState::Failed, cause),
        (state, None) => not_attached(desired, state),
    }
}

fn not_attached(desired: &DesiredAttachment, state: &State) -> LinkOutcome {
    let pending = |why: &str| {
        let why = match why {
            "" => "its plugins have not run yet",
            why => why,
        };
        desired.outcome(LinkState::Pending, (Reason::Reconciling, why.to_owned()))
    };
    match state {
        State::Pending(why) => pending(why),
        State::Attaching | State::Attached { .. } => pending("its plugins are running"),
        State::Detaching(None) => pending("an earlier link of this name is being detached"),
        State::Detaching(Some(failure)) => desired.outcome(
            LinkState::Pending,
            (Reason::DetachIncomplete, bounded(failure.message.clone())),
        ),
        State::Failed(failure) => desired.outcome(LinkState::Failed, cause_of(failure)),
        State::Detached => pending(""),
    }
}

/// The outcome of what stays attached while the annotation that requested it cannot be followed.
pub fn kept(entry: &Entry) -> LinkOutcome {
    let ready = (Reason::LinkReady, String::new());
    let of = (ANNOTATION, Revision::default());
    LinkOutcome {
        present: facts(entry),
        ..LinkOutcome::absent(&entry.chain.ifname, of, CNI, LinkState::Ready, ready)
    }
}

/// The outcome of what Multus attached, is not requested any more, and cannot be detached.
pub fn not_detached(interface: &str, failure: &Failure) -> LinkOutcome {
    let (reason, message) = cause_of(failure);
    let of = (ANNOTATION, Revision::default());
    LinkOutcome::absent(
        interface,
        of,
        CNI,
        LinkState::Failed,
        (
            reason,
            bounded(format!(
                "Multus attached it, and the annotation does not list it: {message}"
            )),
        ),
    )
}

fn facts(entry: &Entry) -> Option<PresentFacts> {
    let result = CniResult::from_value(entry.result.clone()?).ok()?;
    let mac = entry.facts.mac.as_deref()?.parse::<Mac>().ok()?;
    Some(PresentFacts {
        mac: mac.0,
        mtu: entry.facts.mtu.unwrap_or_default(),
        addresses: result.ips.iter().map(|ip| ip.address).collect(),
        host_interface: None,
        bridge: None,
    })
}

fn cause_of(failure: &Failure) -> Cause {
    let reason = match &failure.reason {
        FailureReason::PluginFailed => Reason::PluginFailed,
        FailureReason::PluginTimeout => Reason::PluginTimeout,
        FailureReason::PluginNotFound => Reason::PluginNotFound,
        FailureReason::PluginNotAvailable | FailureReason::RunnerUnavailable => {
            Reason::PluginNotAvailable
        }
        FailureReason::ResultInvalid => Reason::ResultInvalid,
        FailureReason::NameTaken => Reason::ForeignLink,
        FailureReason::DetachIncomplete => Reason::DetachIncomplete,
        FailureReason::Drifted => Reason::Drifted,
        FailureReason::SandboxUnknown => Reason::NamespaceGone,
        FailureReason::StoreFailed => Reason::KernelRefused,
        FailureReason::Judged(word) => {
            let mut all = Reason::ALL.iter().copied();
            let named = all.find(|reason| reason.as_str() == *word);
            named.unwrap_or(Reason::NotAllowed)
        }
    };
    (reason, bounded(failure.message.clone()))
}

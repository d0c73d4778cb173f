//! Pure: the outcome of each link of a pod: state, reason, message.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::SystemTime,
};

use crds::{
    Reason,
    report::{LinkState, Tunnel},
};
use nix::errno::Errno;
use node::netlink::Error;

use super::{applied::Applied, present::facts};
use crate::podconfig::{
    desired::{self, Desired, DesiredLink},
    outcome::{LinkOutcome, LocalPod, NetworksOutcome, PodOutcome},
    plan::must_go,
    pods::UnrecordedPod,
};

impl Applied {
    /// Whether work is pending that depends on this daemon or the API alone: no tenant can cause
    /// that.
    pub fn is_behind(&self) -> bool {
        let is_due = |granted: &DesiredLink| {
            let is_present = self.links.present.contains_key(&granted.link.name);
            let (_, reason, _) = self.state_of_link(granted, is_present);
            matches!(reason, Reason::Reconciling | Reason::ClaimPending)
        };
        self.links.desired.granted.iter().any(is_due)
    }

    pub fn outcome(self, changed: &HashMap<String, SystemTime>, since: SystemTime) -> PodOutcome {
        let granted = self
            .links
            .desired
            .granted
            .iter()
            .map(|granted| (granted.order, self.link_outcome(granted, changed)))
            .chain(self.links.desired.attached.outcomes.iter().cloned())
            .collect::<Vec<_>>();
        PodOutcome {
            pod: self.links.known.pod.clone(),
            links: desired::in_order(granted, self.links.desired.refused),
            trouble: self.links.trouble,
            since,
            removed: [self.changes.deleted, self.links.desired.attached.removed].concat(),
            networks: self.links.desired.attached.networks,
            repaired: self
                .changes
                .repaired
                .into_iter()
                .map(|(link, _)| {
                    let what = self.links.drift.parts.get(&link).cloned();
                    (link, what.unwrap_or_default())
                })
                .collect(),
        }
    }

    fn link_outcome(
        &self,
        granted: &DesiredLink,
        changed: &HashMap<String, SystemTime>,
    ) -> LinkOutcome {
        let name = &granted.link.name;
        let present = self.links.present.get(name);
        let (state, reason, message) = self.state_of_link(granted, present.is_some());
        LinkOutcome {
            name: name.clone(),
            podconfig: granted.podconfig.clone(),
            revision: granted.revision.clone(),
            kind: granted.link.kind.name(),
            state,
            reason,
            message,
            present: present.map(|s| facts(s, granted)),
            domain: present
                .filter(|present| !present.addresses.is_empty())
                .map(|_| granted.domain.clone()),
            conflict: present.and(granted.conflict.clone()),
            tunnel: self.tunnel(granted),
            last_change: changed.get(name).copied(),
        }
    }

    /// The endpoint for the other nodes. It stays in the report while the link is repaired, its
    /// underlay is down or the pod cannot be observed: each change of it is one on every node.
    fn tunnel(&self, granted: &DesiredLink) -> Option<Tunnel> {
        let name = &granted.link.name;
        let address = *self.links.endpoints.get(name)?;
        let tunnel = granted.link.kind.data()?.found()?;
        let is_away = |reason: Reason| reason != Reason::KernelRefused;
        let mut blocked = self.links.plan.blocked.iter();
        let is_none = self
            .links
            .trouble
            .as_ref()
            .is_some_and(|why| is_away(why.0))
            || blocked.any(|blocked| blocked.link == *name && must_go(blocked.reason));
        (!is_none).then_some(Tunnel {
            vni: i32::try_from(tunnel.vni).ok()?,
            port: i32::from(tunnel.port),
            address,
        })
    }

    fn state_of_link(
        &self,
        granted: &DesiredLink,
        is_present: bool,
    ) -> (LinkState, Reason, String) {
        let name = &granted.link.name;
        if let Some(error) = self.changes.errors.get(name) {
            let (reason, message) = refusal(error);
            return (LinkState::Failed, reason, message);
        }
        if let Some(blocked) = self
            .links
            .plan
            .blocked
            .iter()
            .find(|blocked| blocked.link == *name)
        {
            let state = match blocked.reason {
                Reason::BridgeNotFound
                | Reason::BackingOff
                | Reason::ClaimPending
                | Reason::ParentNotFound
                | Reason::ParentDown
                | Reason::ParentMoved
                | Reason::NoTunnelAddress => LinkState::Pending,
                _ => LinkState::Failed,
            };
            return (state, blocked.reason, blocked.message.clone());
        }
        if self.changes.lost.contains(name) {
            let message =
                "the link was removed inside the pod while it was being created; it is created again".into();
            return (LinkState::Pending, Reason::BackingOff, message);
        }
        match (&self.links.trouble, is_present) {
            (Some((reason, message)), _) => (state_of(*reason), *reason, message.clone()),
            (None, true) => (LinkState::Ready, Reason::LinkReady, String::new()),
            (None, false) => (LinkState::Pending, Reason::Reconciling, String::new()),
        }
    }
}

/// The reason and message of a kernel error.
pub fn refusal(error: &Error) -> (Reason, String) {
    let reason = match error.errno {
        Errno::EADDRINUSE => Reason::AddressTaken,
        Errno::ENOTUNIQ => Reason::SegmentInUse,
        _ => Reason::KernelRefused,
    };
    (reason, error.to_string())
}

/// The outcome of a link that the policies allow and something else forbids.
pub fn refused(granted: &DesiredLink, reason: Reason, message: String) -> LinkOutcome {
    LinkOutcome::absent(
        &granted.link.name,
        (&granted.podconfig, granted.revision.clone()),
        granted.link.kind.name(),
        LinkState::Failed,
        (reason, message),
    )
}

/// The trouble of a pod without a record. `unproved`: why a hinted namespace was not accepted.
pub fn why_unrecorded(
    missing: &UnrecordedPod,
    unproved: Option<&str>,
    among_bad: bool,
) -> (Reason, String) {
    if let Some(why) = &missing.unsupported {
        return (Reason::Unsupported, why.clone());
    }
    // The pod of an invalid record is unknown: its content is for the log, not for a tenant.
    let why = match (unproved, among_bad) {
        (Some(why), _) => why,
        (None, true) => "one of the node's records is invalid; the daemon's log names it",
        (None, false) => "a pod that was started before the plugin was installed has none",
    };
    let message = format!("no record says where the pod's network namespace is; {why}");
    (Reason::NoRecord, message)
}

/// The trouble of a pod whose record went with its sandbox.
pub fn sandbox_ended() -> (Reason, String) {
    let message = "the pod's sandbox has ended; links follow if the runtime makes another";
    (Reason::NamespaceGone, message.into())
}

/// The outcome of a selected pod without a record.
pub fn unrecorded(pod: LocalPod, desired: Desired, trouble: (Reason, String)) -> PodOutcome {
    let links = desired.granted.iter().map(|granted| {
        let waiting = LinkOutcome {
            state: state_of(trouble.0),
            ..refused(granted, trouble.0, trouble.1.clone())
        };
        (granted.order, waiting)
    });
    let attachments = desired.attachments.iter().map(|attachment| {
        let waiting = attachment.outcome(state_of(trouble.0), trouble.clone());
        (attachment.order, waiting)
    });
    let links = links.chain(attachments).collect::<Vec<_>>();
    let links = desired::in_order(links, desired.refused);
    PodOutcome {
        pod: Arc::new(pod),
        links,
        trouble: Some(trouble),
        since: SystemTime::now(),
        removed: Vec::new(),
        repaired: BTreeMap::new(),
        networks: NetworksOutcome::default(),
    }
}

/// The state of a link while its pod is in trouble: failed, if time will not help.
fn state_of(trouble: Reason) -> LinkState {
    match trouble {
        Reason::Unsupported => LinkState::Failed,
        _ => LinkState::Pending,
    }
}

/// Merges later refusals with the earlier ones, in the order of the requests. `kept`: the orders of links that are
/// not refused.
pub fn merge(
    earlier: Vec<LinkOutcome>,
    later: Vec<(usize, LinkOutcome)>,
    kept: impl Iterator<Item = usize>,
) -> Vec<LinkOutcome> {
    if later.is_empty() {
        return earlier;
    }
    let taken: Vec<usize> = kept.chain(later.iter().map(|(order, _)| *order)).collect();
    let mut free = (0..).filter(|order| !taken.contains(order));
    let mut all: BTreeMap<usize, LinkOutcome> = earlier
        .into_iter()
        .filter_map(|outcome| Some((free.next()?, outcome)))
        .collect();
    all.extend(later);
    all.into_values().collect()
}

//! Exclusive resources: addresses, and segments of the node. The first claim wins.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

use crds::Reason;
use node::{
    link_info::LinkInfo,
    links::{Link, OwnershipMark, Segment, device::Data},
    netlink::Error,
    sandbox::Depth,
};
use policy::Permit;

use super::{
    observe::{Observed, Unread, primary},
    outcomes,
    pod_links::PodLinks,
};
use crate::podconfig::{
    NodeReconciler,
    desired::{self, Desired, DesiredLink},
    node_view::NodeView as _,
    outcome::{LinkOutcome, LocalPod},
    segments::{Member, Registration, choose_rule},
};

/// An observed pod whose links have, or wait for, their addresses and segments.
pub struct Claimed {
    pub observed: Observed,
    /// The local endpoints of tunnels with discovered peers, by link.
    pub endpoints: Result<HashMap<String, IpAddr>, Error>,
}

impl NodeReconciler {
    /// If pods request the same address, or the same segment with different settings, the first one
    /// gets it.
    pub(super) fn claim(&mut self, mut observed: Observed) -> Claimed {
        let pod = observed.known.pod.clone();
        let endpoints = if observed.netns.as_ref().is_err_and(Unread::is_final) {
            // A pod that is gone, or does not match its record, holds nothing.
            self.release_all(&pod.uid);
            Ok(HashMap::new())
        } else {
            let desired = &mut observed.desired;
            self.claim_segments(&pod, desired);
            let lineage = self.objects.lineage(&pod);
            self.addressing.claim(&pod, desired, &lineage);
            let stores = &self.objects.stores;
            desired.attached = self.attachments.request(&observed.known, desired, stores);
            desired.attached.networks = self.attachments.networks(&pod, desired);
            self.addressing
                .claim_attached(&pod, desired, &lineage, &self.attachments);
            let surroundings = (&mut self.machine, &self.objects.stores);
            self.segments.evaluate_links(&desired.granted, surroundings)
        };
        Claimed {
            observed,
            endpoints,
        }
    }

    fn claim_segments(&mut self, pod: &LocalPod, desired: &mut Desired) {
        let mut refused = Vec::new();
        let mut parents = Vec::new();
        for granted in &mut desired.granted {
            choose_rule(&mut self.machine, &granted.link, &mut granted.permit);
        }
        desired.granted.retain(|granted| {
            match self.claim_segment(&pod.uid, &granted.link, &granted.member, &granted.permit) {
                Ok(()) => true,
                Err((reason, message)) => {
                    parents.extend(granted.link.kind.node_link().map(str::to_owned));
                    let refusal = outcomes::refused(granted, reason, message);
                    refused.push((granted.order, refusal));
                    false
                }
            }
        });
        desired.parents = parents;
        refuse(desired, refused);
    }

    /// Releases what a pod neither requests nor has, now that its links are deleted.
    pub(super) fn release(&mut self, links: &PodLinks) {
        if links.trouble.is_some() {
            return;
        }
        let mut kept = names(links.desired.granted.iter().map(|granted| &granted.link));
        let applied = self.schedule.applied(links.uid());
        kept.extend(
            applied
                .into_iter()
                .flat_map(|s| s.segments.values().cloned()),
        );
        let freed = self.segments.owners.retain(links.uid(), &kept);
        self.enqueue_others(links.uid(), freed);
        self.addressing.release(links);
    }

    fn claim_segment(
        &mut self,
        uid: &str,
        link: &Link,
        member: &Member,
        permit: &Permit,
    ) -> Result<(), (Reason, String)> {
        let Some(segment) = link.kind.segment() else {
            return Ok(());
        };
        let registration = Registration {
            pod: uid,
            member,
            segment,
            exclusive: link.kind.is_device(),
            across: self.may_share(segment, permit),
            sources: permit.sources.first().map_or(&[], Vec::as_slice),
            grants: &permit.grants,
        };
        let (result, to_enqueue) = self.segments.owners.register(&registration);
        self.enqueue_others(uid, to_enqueue);
        result
    }

    /// One rule must allow sharing and the segment's state on this node; otherwise a rule for one
    /// namespace would open the segment to two.
    fn may_share(&self, segment: &Segment, permit: &Permit) -> bool {
        let machine = &self.machine;
        let (on_port, unfiltered) = match segment.data {
            Data::Vlan(_) => {
                let parent = machine.of_node(&segment.parent);
                (parent.is_some_and(LinkInfo::is_port), false)
            }
            Data::Vxlan(_) => (false, !machine.has_filter()),
        };
        permit.may_share(on_port, unfiltered)
    }

    /// What another pod already holds stays with it. Returns the links that cannot have their
    /// segment.
    pub(super) fn register_segments(
        &mut self,
        uid: &str,
        links: &[(Link, Member, Permit)],
    ) -> Vec<String> {
        let mut refused = Vec::new();
        for (link, member, permit) in links {
            let mut permit = permit.clone();
            choose_rule(&mut self.machine, link, &mut permit);
            if self.claim_segment(uid, link, member, &permit).is_err() {
                refused.push(link.name.clone());
            }
        }
        refused
    }

    /// Releases what is no longer requested, of a pod without a record.
    pub(super) fn release_all_but(&mut self, uid: &str, links: &[(Link, Member, Permit)]) {
        let mut kept = names(links.iter().map(|(link, ..)| link));
        kept.extend(self.devices_of(uid).cloned());
        let freed = self.segments.owners.retain(uid, &kept);
        self.enqueue_others(uid, freed);
    }

    /// A pod that is gone holds only what its links still use.
    pub(super) fn release_all(&mut self, uid: &str) {
        self.release_addresses_of(uid);
        let kept = self.used_segments(uid);
        let freed = self.segments.owners.retain(uid, &kept);
        self.segments.owners.stop_waiting(uid);
        self.enqueue_others(uid, freed);
    }

    /// Segments whose bridge has a host end of the pod as a port, and those of devices inside the
    /// pod until its namespace is known to have ended.
    fn used_segments(&self, uid: &str) -> BTreeSet<String> {
        let links = &self.machine.switch.links;
        let ends = self.machine.ends_of(uid).into_iter();
        let bridges = ends.filter_map(|(_, row, _)| links.get(&row.master?));
        let mut used: BTreeSet<String> = bridges.map(|row| row.name.clone()).collect();
        used.extend(self.devices_of(uid).cloned());
        used
    }

    /// Segments of devices inside a pod that is not known to be gone.
    pub(in crate::podconfig) fn devices_of(&self, uid: &str) -> impl Iterator<Item = &String> {
        let applied = self
            .schedule
            .applied(uid)
            .filter(|_| self.kernel_ids.has_netns(uid));
        applied.into_iter().flat_map(|s| s.segments.values())
    }

    /// After a restart: present links get the segments that they use before any other link claims
    /// them.
    pub(in crate::podconfig) fn restore_segments(&mut self) {
        let snapshot = self.objects.snapshot();
        let uids: BTreeSet<String> = self
            .objects
            .pods
            .uids()
            .into_iter()
            .chain(self.machine.pods_with_links())
            .collect();
        for uid in uids {
            let mut marks: Vec<OwnershipMark> = self
                .machine
                .ends_of(&uid)
                .into_iter()
                .map(|e| e.2)
                .collect();
            marks.extend(self.marks_in(&uid));
            let desired = marks
                .iter()
                .filter_map(|mark| self.objects.desired_by(mark, &snapshot));
            let desired: Vec<_> = desired.collect();
            self.register_segments(&uid, &desired);
        }
    }

    /// The aliases of devices inside a pod.
    fn marks_in(&mut self, uid: &str) -> Vec<OwnershipMark> {
        let Some(known) = self.objects.recorded(uid) else {
            return Vec::new();
        };
        let configs = self.objects.stores.podconfigs_of(&known.pod.namespace);
        let wants_devices = configs
            .iter()
            .any(|config| config.spec.links.iter().any(desired::is_device));
        if !wants_devices || known.trouble.is_some() {
            return Vec::new();
        }
        let candidates = self.machine.visit(&known.record).map(|mut sandbox| {
            let inside = sandbox.read(Depth::default())?;
            let primary = primary(&known.record);
            self.machine
                .candidates(&mut sandbox, uid, &inside, &primary)
        });
        // A pod that cannot be observed now is observed and reported later.
        let candidates = candidates.ok().and_then(Result::ok).unwrap_or_default();
        let marks = candidates.into_iter().filter(|candidate| candidate.marked);
        marks
            .filter_map(|candidate| candidate.info.mark())
            .collect()
    }

    fn enqueue_others(&mut self, uid: &str, to_enqueue: BTreeSet<String>) {
        let others = to_enqueue.into_iter().filter(|other| other != uid);
        self.schedule.enqueue(others);
    }
}

fn names<'a>(links: impl Iterator<Item = &'a Link>) -> BTreeSet<String> {
    let segments = links.filter_map(|link| link.kind.segment());
    segments
        .map(|segment: &Segment| segment.name.clone())
        .collect()
}

pub(super) fn refuse(desired: &mut Desired, refused: Vec<(usize, LinkOutcome)>) {
    let earlier = std::mem::take(&mut desired.refused);
    desired.refused = outcomes::merge(earlier, refused, desired.kept_orders());
}

/// What one of the rules that allow the whole link permits its device, including the sharing that
/// it needs.
pub(super) fn grants(granted: &DesiredLink, owner: &str) -> (bool, bool) {
    let is_shared = owner != granted.member.namespace;
    let fit = || {
        granted
            .permit
            .grants
            .iter()
            .filter(|grant| grant.across || !is_shared)
    };
    (
        fit().any(|grant| grant.on_port),
        fit().any(|grant| grant.unfiltered),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

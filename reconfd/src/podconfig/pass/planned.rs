//! Plans one pod: the steps between its present and its desired links. Changes nothing in the
//! kernel.

use std::collections::{BTreeSet, HashMap, HashSet};

use crds::{Reason, claim::DEFAULT_DOMAIN};
use node::{
    links::{DevicePolicy, Want, mac::Derived, ownership_mark::host_end_name},
    netlink::Error,
    sandbox::{NetnsState, Sandbox, Unreachable},
};

use super::{
    acd,
    addresses::suspend_overlapping,
    backoff::{hold_back, leave_suspended},
    claims::{Claimed, grants},
    observe::{Observed, Reading, Unread},
    pending_probe::PendingProbe,
    pod_links::{InsideFacts, PodLinks},
};
use crate::podconfig::{
    Addressing, NodeReconciler,
    applied::CarrierState,
    cause::Cause,
    desired::{Desired, DesiredLink},
    plan::{self, PlanInput, Step, plan},
    pods::RecordedPod,
    segments::owner::SegmentOwners,
};

/// A pod with the steps that its links need.
pub struct Planned {
    pub links: PodLinks,
    /// Kept open for the steps, unless too many are.
    pub sandbox: Option<Sandbox>,
    /// The next free index in the pod.
    pub next_index: u32,
}

impl NodeReconciler {
    /// Plans the steps of one pod.
    pub(super) fn plan(&mut self, claimed: Claimed, keep_open: bool) -> Planned {
        let Claimed {
            observed,
            endpoints,
        } = claimed;
        let Observed {
            known,
            desired,
            netns,
            ..
        } = observed;
        let mut planned = Planned {
            links: PodLinks::new(known, desired),
            sandbox: None,
            next_index: 1,
        };
        let links = &mut planned.links;
        let unknown = match endpoints {
            Ok(endpoints) => {
                links.endpoints = endpoints;
                None
            }
            Err(error) => Some(refused(&error)),
        };
        match (netns, unknown) {
            (Ok(mut reading), None) => {
                if let Err(error) = self.plan_links(links, &mut reading) {
                    links.trouble = Some(refused(&error));
                }
                planned.next_index = reading.next_index();
                planned.sandbox = keep_open.then_some(reading.sandbox);
            }
            (Ok(_), trouble) => links.trouble = trouble,
            (Err(unread), _) => {
                links.plan.steps = self.removals_of(&links.known);
                links.trouble = Some(trouble_of(unread));
            }
        }
        planned
    }

    /// The steps of a pod that is replaced, so that its links must not exist beside those of its
    /// successor, or that cannot use links.
    fn removals_of(&self, known: &RecordedPod) -> Vec<Step> {
        if !known.is_replaced && !known.is_unsupported() {
            return Vec::new();
        }
        let ends = self.machine.ends_of(&known.pod.uid).into_iter();
        let removals = ends.map(|(place, row, mark)| Step::Remove {
            place,
            index: row.index,
            link: mark.link,
        });
        removals.collect()
    }

    fn plan_links(&mut self, links: &mut PodLinks, reading: &mut Reading) -> Result<(), Error> {
        links.inside = Some(InsideFacts {
            has_rules: !reading.inside.rules.is_empty() || links.desired.requests_tables(),
            carriers: carriers(&links.desired, &reading.inside),
        });
        links.set_present(&reading.present, &reading.candidates);
        suspend_overlapping(links, reading)?;
        let owners = &self.segments.owners;
        let (granted, probing) = wants(links, &reading.inside, owners, &self.addressing);
        links.probing = probing;
        let applied = self.schedule.applied(links.uid());
        let applied = applied.filter(|applied| applied.sandbox == links.known.pod.sandbox);
        let known = applied.map(|applied| applied.pod_ends.keys().copied().collect());
        let known: HashSet<u32> = known.unwrap_or_default();
        let moved_out = applied.map(|applied| applied.moved_out.clone());
        let inside = &reading.inside;
        let candidates = std::mem::take(&mut reading.candidates);
        let mut of_pod = plan::PodDevices::new(&inside.links, candidates, &known, &granted);
        of_pod.stranded = std::mem::take(&mut reading.stranded);
        of_pod.has_ipv6 = inside.has_ipv6;
        let input = PlanInput {
            inside: of_pod,
            moved_out: moved_out.unwrap_or_default(),
            granted,
            present: std::mem::take(&mut reading.present),
            stale: std::mem::take(&mut reading.stale),
            rules: &inside.rules,
            segments: &self.segments.targets,
            node: &self.machine,
        };
        let mut plan = plan(input);
        leave_suspended(&links.desired.granted, &mut plan);
        acd::report(&links.probing, &mut plan);
        let limited = self.schedule.limited_state_of(links.uid());
        hold_back(links, plan, limited);
        Ok(())
    }
}

/// The granted links as the machine should make them.
fn wants(
    links: &PodLinks,
    inside: &NetnsState,
    owners: &SegmentOwners,
    addressing: &Addressing,
) -> (Vec<Want>, Vec<PendingProbe>) {
    let pod = &links.known.pod;
    let mut wants = Vec::with_capacity(links.desired.granted.len());
    let mut probing = Vec::new();
    for granted in &links.desired.granted {
        let mut link = granted.link.clone();
        let present = links.present.get(&link.name);
        if let (Some(_), Some(present)) = (&granted.suspended, present) {
            // The rules are for the addresses that it has.
            link.addresses.clone_from(&present.addresses);
        }
        link.kind
            .starts_at(links.endpoints.get(&link.name).copied());
        let mtu = link.mtu.unwrap_or_default();
        let domain = Some(granted.domain.as_str()).filter(|name| *name != DEFAULT_DOMAIN);
        let owner = (pod.namespace.as_str(), pod.name.as_str());
        let mut want = Want {
            derived: Derived::of(&link, owner, domain),
            host_name: host_end_name(&links.known.pod.sandbox, &link.name),
            host_mtu: mtu,
            mtu,
            policy: device_policy(links.uid(), granted, inside, owners),
            device: None,
            link,
            mark: granted.mark.clone(),
        };
        if granted.suspended.is_none() {
            probing.extend(addressing.probe_first(links, &mut want));
        }
        wants.push(want);
    }
    (wants, probing)
}

/// What the rules permit the device of a link, if it has one.
fn device_policy(
    uid: &str,
    granted: &DesiredLink,
    inside: &NetnsState,
    owners: &SegmentOwners,
) -> Option<DevicePolicy> {
    let kind = &granted.link.kind;
    let Some(segment) = kind.segment() else {
        let own = inside.addresses.iter().map(|a| a.network.ip()).collect();
        let peers = kind.data()?.peers(&own);
        return Some(DevicePolicy {
            peers,
            ..DevicePolicy::default()
        });
    };
    let owner = owners.owner(&segment.name).unwrap_or_default();
    let (on_port, unfiltered) = grants(granted, owner);
    Some(DevicePolicy {
        on_port,
        unfiltered,
        is_shared: owners.has_others(&segment.name, uid),
        peers: BTreeSet::new(),
    })
}

/// Links of the pod that other links are based on, as they are.
fn carriers(desired: &Desired, inside: &NetnsState) -> HashMap<u32, CarrierState> {
    let names = desired
        .granted
        .iter()
        .filter_map(|granted| granted.link.kind.carrier());
    let rows = names.filter_map(|name| inside.links.values().find(|row| row.is_called(name)));
    rows.map(|row| (row.index, CarrierState::from(row)))
        .collect()
}

fn refused(error: &Error) -> Cause {
    (Reason::KernelRefused, error.to_string())
}

/// The trouble of a pod whose namespace was not read.
fn trouble_of(unread: Unread) -> Cause {
    match unread {
        Unread::NotOpened(trouble) => trouble,
        Unread::Unreachable(error) => trouble(error),
    }
}

/// The trouble of a pod whose namespace cannot be opened.
pub fn trouble(error: Unreachable) -> (Reason, String) {
    let reason = match error {
        Unreachable::Gone(_) => Reason::NamespaceGone,
        Unreachable::Untrusted(_) => Reason::BadRecord,
        Unreachable::Kernel(_) => Reason::KernelRefused,
    };
    (reason, error.to_string())
}

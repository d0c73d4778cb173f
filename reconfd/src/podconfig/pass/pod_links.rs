//! The links of one pod during a pass: desired, present, and the plan between them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

use crds::Reason;
use node::{
    links::{HostNetns, Present, device::VLAN},
    present::Candidate,
};

use super::{
    drift::Drift,
    pending_probe::PendingProbe,
    present::{PresentLink, present_device, present_link},
};
use crate::podconfig::{
    applied::CarrierState,
    cause::Cause,
    desired::{Desired, DesiredLink},
    plan::{Plan, Step},
    pods::RecordedPod,
};

/// One pod from its plan to its report.
pub struct PodLinks {
    pub known: RecordedPod,
    pub desired: Desired,
    /// Present links by name, kept current while steps are applied.
    pub present: BTreeMap<String, PresentLink>,
    /// `None`: the pod's namespace was not read, so that its links are not known.
    pub inside: Option<InsideFacts>,
    /// The local endpoints of tunnels with discovered peers, by link.
    pub endpoints: HashMap<String, IpAddr>,
    /// Links with addresses that are being probed.
    pub probing: Vec<PendingProbe>,
    /// Whether a link is refused because of another interface or route of the pod.
    pub overlaps_in_pod: bool,
    pub plan: Plan,
    pub drift: Drift,
    pub trouble: Option<Cause>,
}

/// What later events are compared with, beside the links.
#[derive(Default)]
pub struct InsideFacts {
    /// Links of the pod that other links are based on, by index.
    pub carriers: HashMap<u32, CarrierState>,
    pub has_rules: bool,
}

impl PodLinks {
    pub fn new(known: RecordedPod, desired: Desired) -> Self {
        Self {
            known,
            desired,
            present: BTreeMap::new(),
            inside: None,
            endpoints: HashMap::new(),
            probing: Vec::new(),
            overlaps_in_pod: false,
            plan: Plan::default(),
            drift: Drift::default(),
            trouble: None,
        }
    }

    pub fn uid(&self) -> &str {
        &self.known.pod.uid
    }

    /// Takes over what was observed in the kernel.
    pub fn set_present(&mut self, present: &[Present], candidates: &[Candidate]) {
        let veths = present
            .iter()
            .filter_map(|p| Some((p.mark.as_ref()?.link.clone(), present_link(p))));
        let devices = candidates.iter().filter_map(|candidate| {
            let mark = candidate.present.mark.as_ref()?;
            Some((
                mark.link.clone(),
                present_device(&candidate.present.pod, mark),
            ))
        });
        self.present = veths.chain(devices).collect();
    }

    pub fn removals(&self) -> impl Iterator<Item = (HostNetns, u32, String)> {
        self.plan.steps.iter().filter_map(|step| match step {
            Step::Remove { place, index, link } => Some((*place, *index, link.clone())),
            _ => None,
        })
    }

    /// Names of the bridges in the switch that the pod's links are on or will be.
    pub fn bridges(&self) -> impl Iterator<Item = &str> {
        let granted = self.desired.granted.iter();
        granted.filter_map(|granted| granted.link.kind.switch_bridge())
    }

    /// Devices to delete, with their links.
    pub fn device_removals(&self) -> Vec<(u32, String, String)> {
        let steps = self.plan.steps.iter();
        let removals = steps.filter_map(|step| match step {
            Step::RemoveDevice { index, name, link } => Some((*index, name.clone(), link.clone())),
            _ => None,
        });
        removals.collect()
    }

    /// Whether a link is present as specified.
    pub fn is_as_specified(&self, granted: &DesiredLink) -> bool {
        let present = self.present.get(&granted.link.name);
        present.is_some_and(|present| present.spec_hash == granted.mark.spec_hash)
    }

    /// The PodConfigs that request something for this pod, granted or not.
    pub fn requesting_configs(&self) -> BTreeSet<String> {
        let granted = self
            .desired
            .granted
            .iter()
            .map(|granted| &granted.podconfig);
        let attachments = self.desired.attachments.iter();
        granted
            .chain(attachments.map(|attachment| &attachment.podconfig))
            .chain(
                self.desired
                    .refused
                    .iter()
                    .map(|refused| &refused.podconfig),
            )
            .cloned()
            .collect()
    }

    pub fn has_nothing_to_do(&self) -> bool {
        let mut steps = self.plan.steps.iter();
        steps.all(|step| matches!(step, Step::Remove { .. }))
            && !self.probing.iter().any(PendingProbe::is_open)
    }

    /// The kind of a link to delete, if it is still requested.
    pub fn kind_of(&self, link: &str) -> &'static str {
        let mut granted = self.desired.granted.iter();
        granted
            .find(|granted| granted.link.name == link)
            .map_or(VLAN, |granted| granted.link.kind.name())
    }

    /// Whether the pod could not be observed, for a transient reason: its links are unchanged.
    pub fn is_unknown(&self) -> bool {
        self.inside.is_none() && matches!(self.trouble, Some((Reason::KernelRefused, _)))
    }
}

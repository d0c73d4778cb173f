//! State of one pod during a pass.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    time::SystemTime,
};

use crds::Reason;
use nix::errno::Errno;

use self::present::{PresentLink, made_link, present_device, present_link};
use crate::{
    node::{
        apply::Made,
        link_info::LinkInfo,
        links::{
            Device, HostNetns, LinkKind, OwnershipMark, Present, Want, device::VLAN, edit::Edit,
        },
        netlink::Error,
        present::Candidate,
        sandbox::{Sandbox, Unreachable},
    },
    podconfig::{
        applied::CarrierState,
        desired::{Desired, DesiredLink},
        plan::{Plan, Step},
        pods::RecordedPod,
    },
};

use super::pending_probe::PendingProbe;

/// Repairs of drift.
mod repair;
pub use repair::{drifted_parts, repairs, rule_repairs};
/// The state that is saved after the pass.
mod applied;
/// Outcomes of the links: state, reason, message.
pub mod outcomes;
/// A present link.
pub mod present;
/// What the links of the pod need of segments.
mod segments;

pub struct PodContext {
    pub known: RecordedPod,
    pub sandbox: Option<Sandbox>,
    pub desired: Desired,
    pub plan: Plan,
    /// Present links by name, as they are at the end of the pass.
    pub present: BTreeMap<String, PresentLink>,
    /// Kernel errors, by link.
    errors: HashMap<String, Error>,
    /// Links whose steps repair drift.
    pub repairs: Vec<String>,
    /// Rules that are restored, as text, with their links.
    pub rule_repairs: Vec<(String, String)>,
    /// Repairs in backoff.
    pub waiting: Vec<String>,
    pub repaired: Vec<(String, &'static str)>,
    /// What drifted of each link, as text.
    pub drifted_parts: HashMap<String, String>,
    /// Links whose last change was rejected by the kernel and is in backoff.
    pub rejected_again: Vec<String>,
    /// Links that were removed in the pod while they were being created.
    lost: Vec<String>,
    touched: HashMap<String, SystemTime>,
    /// A tunnel got other endpoints, which is no change of the link.
    has_followed: bool,
    /// Whether a link has gone to another bridge, or to none.
    pub has_left_a_bridge: bool,
    /// Deleted links.
    deleted: Vec<String>,
    pub trouble: Option<(Reason, String)>,
    /// Whether the pod was observed, so that its links are known.
    was_observed: bool,
    /// Links of the pod that other links are based on, by index.
    pub carriers: HashMap<u32, CarrierState>,
    /// The local endpoints of tunnels with discovered peers, by link.
    pub ends: HashMap<String, IpAddr>,
    pub next_index: u32,
    pub has_rules: bool,
    /// Links with addresses that are being probed.
    pub probing: Vec<PendingProbe>,
    /// Links that neighbours must learn again, and whether they are new.
    pub moved: BTreeMap<String, bool>,
}

impl PodContext {
    pub fn new(known: RecordedPod, desired: Desired) -> Self {
        Self {
            known,
            sandbox: None,
            desired,
            plan: Plan::default(),
            present: BTreeMap::new(),
            errors: HashMap::new(),
            repairs: Vec::new(),
            rule_repairs: Vec::new(),
            waiting: Vec::new(),
            repaired: Vec::new(),
            drifted_parts: HashMap::new(),
            rejected_again: Vec::new(),
            lost: Vec::new(),
            touched: HashMap::new(),
            has_followed: false,
            has_left_a_bridge: false,
            deleted: Vec::new(),
            trouble: None,
            was_observed: false,
            carriers: HashMap::new(),
            ends: HashMap::new(),
            next_index: 1,
            has_rules: false,
            probing: Vec::new(),
            moved: BTreeMap::new(),
        }
    }

    pub fn uid(&self) -> &str {
        &self.known.pod.uid
    }

    /// Takes over what was observed in the kernel.
    pub fn set_present(&mut self, present: &[Present], candidates: &[Candidate]) {
        self.was_observed = true;
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

    /// Whether a link was created that another link of the pod is based on.
    pub fn created_a_carrier(&self) -> bool {
        self.desired
            .granted
            .iter()
            .any(|granted| match &granted.link.kind {
                LinkKind::Device(Device::Inside { carrier, .. }) => {
                    self.touched.contains_key(carrier)
                }
                _ => false,
            })
    }

    /// The PodConfigs that request something for this pod, granted or not.
    fn requesting_configs(&self) -> BTreeSet<String> {
        let granted = self
            .desired
            .granted
            .iter()
            .map(|granted| &granted.podconfig);
        granted
            .chain(
                self.desired
                    .refused
                    .iter()
                    .map(|refused| &refused.podconfig),
            )
            .cloned()
            .collect()
    }

    /// Whether nothing happened, so that there is nothing to report but pending claims.
    pub fn only_claims(&self) -> bool {
        let is_claiming = |granted: &DesiredLink| {
            let suspended = granted.suspended.as_ref();
            suspended.is_some_and(|(reason, _)| *reason == Reason::ClaimPending)
        };
        self.trouble.is_none()
            && self.desired.granted.iter().any(is_claiming)
            && self.errors.is_empty()
            && self.touched.is_empty()
            && self.deleted.is_empty()
            && self.repaired.is_empty()
    }

    /// Whether anything was created or changed, so that kernel events of it are still to come.
    pub fn has_changed(&self) -> bool {
        self.has_followed || !self.touched.is_empty()
    }

    pub fn has_nothing_to_do(&self) -> bool {
        let mut steps = self.plan.steps.iter();
        steps.all(|step| matches!(step, Step::Remove { .. }))
            && !self.probing.iter().any(PendingProbe::is_open)
    }

    pub fn removed(&mut self, link: &str, removed: &Result<(), Error>) {
        match removed {
            Ok(()) => {
                self.present.remove(link);
                self.deleted.push(link.into());
            }
            Err(error) => drop(self.errors.insert(link.into(), error.clone())),
        }
    }

    /// An existing link that could not be deleted blocks the new one of the same name.
    pub fn may_create(&self, link: &str) -> bool {
        !self.errors.contains_key(link)
    }

    pub fn made(&mut self, want: &Want, made: Result<Made, Error>) {
        match made {
            Ok(made) => {
                self.present
                    .insert(want.link.name.clone(), made_link(want, &made));
                self.moved.insert(want.link.name.clone(), true);
                self.done(want);
            }
            // The link existed a moment ago, or its first message would have failed.
            Err(error) if error.errno == Errno::ENODEV => self.lost.push(want.link.name.clone()),
            Err(error) => drop(self.errors.insert(want.link.name.clone(), error)),
        }
    }

    pub fn changed(&mut self, want: &Want, changed: Result<Made, Error>) {
        match changed {
            Ok(made) => {
                self.present
                    .insert(want.link.name.clone(), made_link(want, &made));
                self.done(want);
            }
            Err(error) if error.errno == Errno::ENODEV => {
                self.present.remove(&want.link.name);
                self.lost.push(want.link.name.clone());
            }
            Err(error) => drop(self.errors.insert(want.link.name.clone(), error)),
        }
    }

    /// Records that neighbours must learn the link again, if the edits require it.
    pub fn has_moved(&mut self, want: &Want, edits: &[Edit]) {
        if edits.iter().any(Edit::moves_addresses) {
            self.moved.entry(want.link.name.clone()).or_insert(false);
        }
    }

    /// A change of endpoints is no change of the link, or each new node would change a link on all
    /// others. The repair of endpoints that were changed in the pod is one.
    pub fn followed(&mut self, want: &Want, changed: Result<Made, Error>) {
        match changed {
            Ok(made) if !self.repairs.contains(&want.link.name) => {
                self.has_followed = true;
                let present = made_link(want, &made);
                self.present.insert(want.link.name.clone(), present);
            }
            changed => self.changed(want, changed),
        }
    }

    /// The kind of a link to delete, if it is still requested.
    pub fn kind_of(&self, link: &str) -> &'static str {
        let mut granted = self.desired.granted.iter();
        granted
            .find(|granted| granted.link.name == link)
            .map_or(VLAN, |granted| granted.link.kind.name())
    }

    fn done(&mut self, want: &Want) {
        let name = &want.link.name;
        self.touched.insert(name.clone(), SystemTime::now());
        let is_reported = self.repaired.iter().any(|(repaired, _)| repaired == name);
        if self.repairs.contains(name) && !is_reported {
            self.repaired.push((name.clone(), want.link.kind.name()));
        }
    }

    /// Whether the pod could not be observed, for a transient reason: its links are unchanged.
    pub fn is_unknown(&self) -> bool {
        !self.was_observed && matches!(self.trouble, Some((Reason::KernelRefused, _)))
    }

    pub fn errors(&self) -> impl Iterator<Item = &Error> {
        self.errors.values()
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

/// The step that deletes a host end.
pub fn removal((place, row, mark): (HostNetns, LinkInfo, OwnershipMark)) -> Step {
    Step::Remove {
        place,
        index: row.index,
        link: mark.link,
    }
}

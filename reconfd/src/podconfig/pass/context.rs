//! What a pass knows of one pod and does to it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    time::SystemTime,
};

use crds::Reason;
use nix::errno::Errno;

use self::present::{PresentLink, made_link, present_device, present_link};
use crate::{
    address::collision::Reach,
    node::{
        apply::Made,
        link_info::LinkInfo,
        links::{
            Device, HostNetns, LinkKind, OwnershipMark, Present, Want, device::VLAN, edit::Edit,
            veth,
        },
        netlink::Error,
        present::Candidate,
        sandbox::{Sandbox, Unreachable},
    },
    podconfig::{
        applied::CarrierState,
        desired::{Desired, DesiredLink},
        outcome::LinkOutcome,
        plan::{Plan, Step},
        pods::RecordedPod,
    },
};

use super::acd::PendingProbe;

/// What of links was undone, and is put back.
mod repair;
pub use repair::{repairs, rule_repairs, undone_parts};
/// What is written down of it when the pass is through.
mod applied;
/// What became of each link, in words.
pub mod outcomes;
/// A link that is there.
pub mod present;

pub struct PodContext {
    pub known: RecordedPod,
    pub sandbox: Option<Sandbox>,
    pub granted: Vec<DesiredLink>,
    refused: Vec<LinkOutcome>,
    /// Links of the node that refused links would be on.
    parents: Vec<String>,
    pub plan: Plan,
    /// Links that are there, by name, as they are at the end of the pass.
    pub present: BTreeMap<String, PresentLink>,
    /// What the kernel refused, by link.
    errors: HashMap<String, Error>,
    /// Links whose steps mend what somebody undid.
    pub repairs: Vec<String>,
    /// Rules that are put back, in words, with the links that they are for.
    pub rule_repairs: Vec<(String, String)>,
    /// Those of them that wait.
    pub waiting: Vec<String>,
    pub mended: Vec<(String, &'static str)>,
    /// What of each link was undone, in words.
    pub undone_parts: HashMap<String, String>,
    /// Links that the kernel refused, and that are not tried again yet.
    pub refused_again: Vec<String>,
    /// Links that somebody took away while they were made.
    undone: Vec<String>,
    touched: HashMap<String, SystemTime>,
    /// A link was led to other ends, which is no change of the link.
    has_followed: bool,
    /// Links that were taken away.
    taken: Vec<String>,
    pub trouble: Option<(Reason, String)>,
    /// Whether the pod was looked at: what it has is known.
    was_seen: bool,
    /// Links of the pod that others are on, by number.
    pub carriers: HashMap<u32, CarrierState>,
    /// The ends on this node of tunnels whose ends are found, by link.
    pub ends: HashMap<String, IpAddr>,
    pub next_index: u32,
    pub has_rules: bool,
    /// Links whose addresses are asked for on the wire.
    pub probing: Vec<PendingProbe>,
    /// Links that neighbours have to look for elsewhere than before, and whether they are new.
    pub moved: BTreeMap<String, bool>,
    /// Where its links reach, or would.
    reach: Reach,
    /// Links that have asked for their addresses.
    pub asking: BTreeSet<String>,
    is_unsure: bool,
}

impl PodContext {
    pub fn new(known: RecordedPod) -> Self {
        Self {
            known,
            sandbox: None,
            granted: Vec::new(),
            refused: Vec::new(),
            parents: Vec::new(),
            plan: Plan::default(),
            present: BTreeMap::new(),
            errors: HashMap::new(),
            repairs: Vec::new(),
            rule_repairs: Vec::new(),
            waiting: Vec::new(),
            mended: Vec::new(),
            undone_parts: HashMap::new(),
            refused_again: Vec::new(),
            undone: Vec::new(),
            touched: HashMap::new(),
            has_followed: false,
            taken: Vec::new(),
            trouble: None,
            was_seen: false,
            carriers: HashMap::new(),
            ends: HashMap::new(),
            next_index: 1,
            has_rules: false,
            probing: Vec::new(),
            moved: BTreeMap::new(),
            reach: Reach::default(),
            asking: BTreeSet::new(),
            is_unsure: false,
        }
    }

    pub fn uid(&self) -> &str {
        &self.known.pod.uid
    }

    pub fn judged(&mut self, judged: Desired) {
        self.granted = judged.granted;
        self.refused = judged.refused;
        self.parents = judged.parents;
        (self.reach, self.is_unsure) = (judged.reach, judged.is_unsure);
        self.asking = judged.asking;
    }

    /// Takes in what was found in the kernel.
    pub fn set_present(&mut self, present: &[Present], candidates: &[Candidate]) {
        self.was_seen = true;
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
        let granted = self.granted.iter();
        granted.filter_map(|granted| granted.link.kind.switch_bridge())
    }

    /// Devices that go, and the links that they are.
    pub fn device_removals(&self) -> Vec<(u32, String, String)> {
        let steps = self.plan.steps.iter();
        let removals = steps.filter_map(|step| match step {
            Step::RemoveDevice { index, name, link } => Some((*index, name.clone(), link.clone())),
            _ => None,
        });
        removals.collect()
    }

    /// Whether a link is there as it is asked for.
    pub fn is_as_asked(&self, granted: &DesiredLink) -> bool {
        let present = self.present.get(&granted.link.name);
        present.is_some_and(|present| present.spec_hash == granted.mark.spec_hash)
    }

    pub fn asks_for_devices(&self) -> bool {
        self.granted
            .iter()
            .any(|granted| granted.link.kind.is_device())
    }

    /// Whether a link was made that another link of the pod is to be on.
    pub fn has_made_a_carrier(&self) -> bool {
        self.granted.iter().any(|granted| match &granted.link.kind {
            LinkKind::Device(Device::Inside { carrier, .. }) => self.touched.contains_key(carrier),
            _ => false,
        })
    }

    /// The PodConfigs that ask for something here, granted or not.
    fn asked(&self) -> BTreeSet<String> {
        let granted = self.granted.iter().map(|granted| &granted.podconfig);
        granted
            .chain(self.refused.iter().map(|refused| &refused.podconfig))
            .cloned()
            .collect()
    }

    pub fn asks_for_routes(&self) -> bool {
        self.granted
            .iter()
            .any(|granted| !veth::pod_routes(&granted.link).is_empty())
    }

    pub fn asks_for_tables(&self) -> bool {
        let mut routes = self.granted.iter().flat_map(|granted| &granted.link.routes);
        routes.any(|route| route.table.is_some())
    }

    /// Whether nothing happened, and there is nothing to tell but that addresses are waited for.
    pub fn does_nothing_but_claim(&self) -> bool {
        let is_claiming = |granted: &DesiredLink| {
            let suspended = granted.suspended.as_ref();
            suspended.is_some_and(|(reason, _)| *reason == Reason::ClaimPending)
        };
        self.trouble.is_none()
            && self.granted.iter().any(is_claiming)
            && self.errors.is_empty()
            && self.touched.is_empty()
            && self.taken.is_empty()
            && self.mended.is_empty()
    }

    /// Whether anything was made or changed, whose echo is still to come.
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
                self.taken.push(link.into());
            }
            Err(error) => drop(self.errors.insert(link.into(), error.clone())),
        }
    }

    /// A link of that name that could not be taken away stands in the way of the new one.
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
            // It was there a moment ago, or its first message would have failed.
            Err(error) if error.errno == Errno::ENODEV => self.undone.push(want.link.name.clone()),
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
                self.undone.push(want.link.name.clone());
            }
            Err(error) => drop(self.errors.insert(want.link.name.clone(), error)),
        }
    }

    /// Whether neighbours are to be told, by what is changed of the link.
    pub fn has_moved(&mut self, want: &Want, edits: &[Edit]) {
        if edits.iter().any(Edit::moves_addresses) {
            self.moved.entry(want.link.name.clone()).or_insert(false);
        }
    }

    /// What a link leads to is no news of the link, or each node that comes would be a change on all. That
    /// somebody in the pod made it lead elsewhere is.
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

    /// What the link shares with others could not be made as it shall be.
    pub fn kept_segment(&mut self, want: &Want, kept: Result<u32, Error>) {
        if let Err(error) = kept {
            self.errors.insert(want.link.name.clone(), error);
        }
    }

    /// The kind of a link that goes, as far as it is still asked for.
    pub fn kind_of(&self, link: &str) -> &'static str {
        let mut granted = self.granted.iter();
        granted
            .find(|granted| granted.link.name == link)
            .map_or(VLAN, |granted| granted.link.kind.name())
    }

    fn done(&mut self, want: &Want) {
        let name = &want.link.name;
        self.touched.insert(name.clone(), SystemTime::now());
        let is_reported = self.mended.iter().any(|(mended, _)| mended == name);
        if self.repairs.contains(name) && !is_reported {
            self.mended.push((name.clone(), want.link.kind.name()));
        }
    }

    /// Whether all that the pod shall have is as it shall be, and what it shares with others too.
    pub fn is_whole(&self) -> bool {
        let is_there = |granted: &DesiredLink| self.present.contains_key(&granted.link.name);
        self.trouble.is_none()
            && self.errors.is_empty()
            && self.plan.blocked.is_empty()
            && self.granted.iter().all(is_there)
    }

    /// Whether the pod could not be looked at, for a reason that may pass: what it had, it has.
    pub fn is_unknown(&self) -> bool {
        !self.was_seen && matches!(self.trouble, Some((Reason::KernelRefused, _)))
    }

    /// Whether the pod could not be looked at, or a link of it that nobody asks for not be taken away, and may be
    /// another time.
    pub fn failed(&self) -> bool {
        let is_asked = |link: &String| self.granted.iter().any(|g| g.link.name == *link);
        matches!(self.trouble, Some((Reason::KernelRefused, _)))
            || !self.errors.keys().all(is_asked)
    }

    pub fn errors(&self) -> impl Iterator<Item = &Error> {
        self.errors.values()
    }
}

/// What is told of a pod that can not be visited.
pub fn trouble(error: Unreachable) -> (Reason, String) {
    let reason = match error {
        Unreachable::Gone(_) => Reason::NamespaceGone,
        Unreachable::Untrusted(_) => Reason::BadRecord,
        Unreachable::Kernel(_) => Reason::KernelRefused,
    };
    (reason, error.to_string())
}

/// The step that takes a host end away.
pub fn removal((place, row, mark): (HostNetns, LinkInfo, OwnershipMark)) -> Step {
    Step::Remove {
        place,
        index: row.index,
        link: mark.link,
    }
}

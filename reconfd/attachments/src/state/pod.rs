//! What one pod has stored, and what is requested for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use cni::{FrozenChain, Version};

use super::slot::SlotState;
use crate::entry::{Deletion, Entry, NetnsId, Phase, PodRef, Requester, Slot, Why};

/// What is requested for a pod, whole: what is not in it is detached.
#[derive(Clone, Debug, PartialEq)]
pub struct PodRequest {
    pub pod: PodRef,
    /// The current sandbox. None: it is not known, and nothing changes.
    pub sandbox: Option<Sandbox>,
    /// In the order of attachment.
    pub links: Vec<LinkRequest>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    pub container_id: String,
    pub netns: NetnsId,
}

#[derive(Clone, Debug, PartialEq)]
pub struct LinkRequest {
    pub ifname: String,
    pub target: Target,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    Attach(Box<Wanted>),
    /// Whether it is wanted is not known: what is there stays, and nothing begins.
    Keep,
    /// Multus attached it at pod start, and it is to be detached.
    TakeOver(Takeover),
}

/// What Multus attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Takeover {
    /// `namespace/name` of its definition.
    pub definition: String,
    /// Where the runtime keeps the pod's network namespace.
    pub netns: String,
}

/// A judged attachment.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    pub chain: FrozenChain,
    pub requester: Requester,
    /// Of everything that makes it another attachment: configuration, arguments, and what it asks for.
    pub spec_hash: String,
    /// Gateways of default routes through the link.
    pub gateways: Vec<IpAddr>,
    /// Interfaces of the pod that must be attached before.
    pub after: Vec<String>,
    pub check: CheckMode,
}

/// What CHECK is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CheckMode {
    Never,
    #[default]
    Report,
    /// A failed CHECK is followed by DEL and ADD.
    Repair,
}

#[derive(Debug, Default)]
pub(crate) struct Pod {
    /// None: not known yet, and what is attached stays.
    pub(crate) request: Option<PodRequest>,
    pub(crate) has_ended: bool,
    /// Sandboxes of the pod that have ended.
    pub(crate) ended: BTreeSet<String>,
    pub(crate) slots: BTreeMap<Slot, SlotState>,
}

/// What the request says about a slot.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked<'a> {
    /// Nothing is known.
    Unknown,
    Attach(&'a Wanted),
    Keep,
    TakeOver(&'a Takeover),
    /// The sandbox is the current one, and the link is not requested.
    Nothing,
    /// Another sandbox is the current one.
    OtherSandbox,
}

impl Pod {
    /// What is requested for a slot. Of several links with one interface name the first counts.
    pub(crate) fn asked(&self, slot: &Slot) -> Asked<'_> {
        let Some(request) = &self.request else {
            return Asked::Unknown;
        };
        match &request.sandbox {
            None => Asked::Unknown,
            Some(sandbox) if sandbox.container_id != slot.container_id => Asked::OtherSandbox,
            Some(_) => match request.links.iter().find(|link| link.ifname == slot.ifname) {
                None => Asked::Nothing,
                Some(link) => match &link.target {
                    Target::Attach(wanted) => Asked::Attach(wanted),
                    Target::Keep => Asked::Keep,
                    Target::TakeOver(takeover) => Asked::TakeOver(takeover),
                },
            },
        }
    }

    /// The entry that attaching a wanted link begins with.
    pub(crate) fn entry(&self, slot: &Slot, wanted: &Wanted) -> Option<Entry> {
        let request = self.request.as_ref()?;
        let sandbox = request.sandbox.as_ref()?;
        let mut links = request.links.iter();
        let place = links.position(|link| link.ifname == slot.ifname)?;
        Some(Entry {
            chain: wanted.chain.clone(),
            result: None,
            pod: request.pod.clone(),
            requester: wanted.requester.clone(),
            spec_hash: wanted.spec_hash.clone(),
            netns: sandbox.netns.clone(),
            phase: Phase::Adding,
            order: u32::try_from(place).unwrap_or(u32::MAX),
            after: wanted.after.clone(),
            facts: Default::default(),
            gateways: wanted.gateways.clone(),
            before: None,
            baseline: None,
        })
    }

    /// The entry of what Multus attached, whose chain is not known yet.
    pub(crate) fn unknown(&self, slot: &Slot, takeover: &Takeover) -> Option<Entry> {
        let request = self.request.as_ref()?;
        let sandbox = request.sandbox.as_ref()?;
        let chain = FrozenChain {
            network: String::new(),
            cni_version: Version::LATEST,
            plugins: Vec::new(),
            disable_check: true,
            disable_gc: true,
            runtime_config: Default::default(),
            args: Vec::new(),
            container_id: slot.container_id.clone(),
            ifname: slot.ifname.clone(),
            netns: takeover.netns.clone(),
            digests: Default::default(),
        };
        Some(Entry {
            chain,
            result: None,
            pod: request.pod.clone(),
            requester: Requester::Multus {
                definition: takeover.definition.clone(),
            },
            spec_hash: String::new(),
            netns: sandbox.netns.clone(),
            phase: Phase::Deleting(Deletion::new(Why::NotRequested)),
            order: 0,
            after: Vec::new(),
            facts: Default::default(),
            gateways: Vec::new(),
            before: None,
            baseline: None,
        })
    }

    /// Whether an interface of the sandbox is attached as requested.
    pub(crate) fn is_attached(&self, slot: &Slot) -> bool {
        let stored = self.slots.get(slot).and_then(|state| state.stored.as_ref());
        let Some(stored) = stored.filter(|stored| stored.phase == Phase::Attached) else {
            return false;
        };
        match self.asked(slot) {
            Asked::Attach(wanted) => wanted.spec_hash == stored.spec_hash,
            _ => true,
        }
    }

    /// The container of the current sandbox.
    pub(crate) fn current(&self) -> Option<&str> {
        let sandbox = self.request.as_ref()?.sandbox.as_ref()?;
        Some(&sandbox.container_id)
    }

    /// Whether a container has something stored, or is the current one.
    pub(crate) fn uses(&self, container_id: &str) -> bool {
        let mut slots = self.slots.iter();
        let is_stored = |(slot, state): (&Slot, &SlotState)| {
            slot.container_id == container_id && state.stored.is_some()
        };
        self.current() == Some(container_id) || slots.any(is_stored)
    }

    /// Drops slots in which nothing is stored and nothing is requested.
    pub(crate) fn prune(&mut self) {
        let is_requested = |slot: &Slot| {
            let asked = self.asked(slot);
            matches!(asked, Asked::Attach(_) | Asked::Keep | Asked::TakeOver(_))
        };
        let slots = self.slots.iter();
        let unused: Vec<Slot> = slots
            .filter(|(slot, state)| state.stored.is_none() && !is_requested(slot))
            .map(|(slot, _)| slot.clone())
            .collect();
        for slot in unused {
            self.slots.remove(&slot);
        }
    }

    /// Whether nothing is stored and nothing is requested.
    pub(crate) fn is_idle(&self) -> bool {
        let has_links = self
            .request
            .as_ref()
            .is_some_and(|request| !request.links.is_empty());
        (self.has_ended || !has_links) && self.slots.values().all(|slot| slot.stored.is_none())
    }
}

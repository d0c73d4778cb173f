//! One attachment as it is stored: the frozen chain, its result, and what must be known to undo it after a restart.

mod file;
/// What Multus stores.
mod multus;

use std::{collections::BTreeSet, fmt, net::IpAddr};

use cni::FrozenChain;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use file::{FileError, decode, encode};
pub use multus::{MultusFile, MultusFileError};

/// The only version of the member `podconfig` so far. A file of a newer one is left alone.
pub const VERSION: u32 = 1;

/// The largest file that is written and read. The rendering of a configuration of 64 KiB is in it twice, once in base64.
pub const MAX_BYTES: u64 = 2 * 1024 * 1024;

/// A place for an attachment: one interface name in one sandbox. It has one entry at most.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    pub container_id: String,
    pub ifname: String,
}

/// The pod that an attachment belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PodRef {
    pub namespace: String,
    pub name: String,
    pub uid: String,
}

/// What asks for an attachment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Requester {
    #[serde(rename_all = "camelCase")]
    PodConfig {
        uid: String,
        name: String,
        link: String,
    },
    /// An element of the pod's annotation.
    Annotation {
        /// `namespace/name` of its definition.
        definition: String,
        /// A hash of what the element asks for beside the definition: an edited definition makes no other element.
        #[serde(default)]
        element: String,
    },
    /// Multus, at pod start. podconfig stores it only to undo it.
    #[serde(rename_all = "camelCase")]
    Multus {
        /// `namespace/name` of its definition, as `network-status` names it.
        definition: String,
    },
}

/// Identity of the sandbox's network namespace: a cookie is unique within one boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetnsId {
    pub boot_id: String,
    pub cookie: u64,
}

/// What the kernel showed after ADD.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Facts {
    /// Of the link in the pod; its name may change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ifindex: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Results before CNI 1.1 do not have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Links that appeared on the node.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub host_links: Vec<String>,
}

/// How far an attachment is. It is written before each step that it names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "phase")]
pub enum Phase {
    /// The chain may have run in part or in whole; its result is not known.
    Adding,
    /// The chain has run, and its result is stored, not judged.
    Added,
    Attached,
    /// DEL may have run in part.
    Deleting(Deletion),
    /// Of Multus: undone, and its own file of it removed. Stored until `network-status` does not list it any more, so
    /// that no daemon takes it for attached.
    Detached,
}

/// The state of a DEL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deletion {
    pub why: Why,
    /// Whether its result was accepted before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub was_attached: bool,
    /// Tries that failed.
    #[serde(default)]
    pub failures: u32,
    /// Places in the chain of the plugins that have still to succeed. Before the first failure there is none, and
    /// all plugins run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining: Option<BTreeSet<usize>>,
    /// Seconds of failing without the namespace, counted while a daemon tries.
    #[serde(default)]
    pub failing_seconds: u64,
    /// The newest error.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
}

/// Why an attachment is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Why {
    /// Link, object, label, policy or element is gone.
    NotRequested,
    /// Another configuration is requested in its place.
    Changed,
    /// A link that it depends on is deleted.
    ParentDeleted,
    PodEnded,
    SandboxEnded,
    /// Stored in an earlier boot.
    Rebooted,
    AddFailed,
    /// The daemon or the runner ended during ADD.
    CutOff,
    /// The result is not allowed.
    Refused,
    /// CHECK failed, and the link asks for repair.
    Drifted,
    Uninstall,
}

/// One attachment as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub chain: FrozenChain,
    /// The final result of ADD, as the last plugin printed it.
    pub result: Option<Value>,
    pub pod: PodRef,
    pub requester: Requester,
    /// Of what was requested; another one is another attachment.
    pub spec_hash: String,
    pub netns: NetnsId,
    pub phase: Phase,
    /// Place of the link in its object.
    pub order: u32,
    /// Interfaces of the same pod that this one is made on.
    pub after: Vec<String>,
    pub facts: Facts,
    /// Gateways of default routes that the pod is to have through the link, one of a family at most.
    pub gateways: Vec<IpAddr>,
    /// What the host noted before ADD: for the judge, and for undoing what replaces default routes.
    pub before: Option<Value>,
    /// Places in the chain of the plugins whose first CHECK passed; none before it ran.
    pub baseline: Option<BTreeSet<usize>>,
}

impl Slot {
    pub fn new(container_id: impl Into<String>, ifname: impl Into<String>) -> Self {
        Self {
            container_id: container_id.into(),
            ifname: ifname.into(),
        }
    }

    /// The slot of a chain.
    pub fn of(chain: &FrozenChain) -> Self {
        Self::new(&chain.container_id, &chain.ifname)
    }
}

impl Entry {
    pub fn slot(&self) -> Slot {
        Slot::of(&self.chain)
    }

    /// The name of its file, which is also its id for `reconfd attachments`.
    pub fn id(&self) -> String {
        id(&self.chain)
    }

    pub fn deletion(&self) -> Option<&Deletion> {
        match &self.phase {
            Phase::Deleting(deletion) => Some(deletion),
            _ => None,
        }
    }

    /// Whether Multus has attached it.
    pub fn is_of_multus(&self) -> bool {
        matches!(self.requester, Requester::Multus { .. })
    }

    /// Whether its result was accepted, although it may be refused since.
    pub fn was_accepted(&self) -> bool {
        match &self.phase {
            Phase::Attached => true,
            Phase::Deleting(deletion) => deletion.was_attached,
            Phase::Adding | Phase::Added | Phase::Detached => false,
        }
    }

    /// This entry with a DEL that has not run yet. One that is in progress goes on for the reason it began with.
    #[must_use]
    pub fn deleting(mut self, why: Why) -> Self {
        if self.deletion().is_none() {
            self.phase = Phase::Deleting(Deletion {
                was_attached: self.phase == Phase::Attached,
                ..Deletion::new(why)
            });
        }
        self
    }
}

impl Deletion {
    pub fn new(why: Why) -> Self {
        Self {
            why,
            was_attached: false,
            failures: 0,
            remaining: None,
            failing_seconds: 0,
            error: String::new(),
        }
    }
}

impl Why {
    /// Whether the attachment can never be requested again in this sandbox.
    pub fn is_final(self) -> bool {
        matches!(self, Self::PodEnded | Self::SandboxEnded | Self::Rebooted)
    }
}

/// libcni's name of a cache file.
pub fn id(chain: &FrozenChain) -> String {
    format!("{}-{}-{}", chain.network, chain.container_id, chain.ifname)
}

impl fmt::Display for PodRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Adding => "Adding",
            Self::Added => "Added",
            Self::Attached => "Attached",
            Self::Deleting(_) => "Deleting",
            Self::Detached => "Detached",
        })
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotRequested => "no longer requested",
            Self::Changed => "another configuration is requested",
            Self::ParentDeleted => "the link below it is deleted",
            Self::PodEnded => "the pod has ended",
            Self::SandboxEnded => "the sandbox has ended",
            Self::Rebooted => "the node was restarted",
            Self::AddFailed => "ADD failed",
            Self::CutOff => "ADD was interrupted",
            Self::Refused => "the result is not allowed",
            Self::Drifted => "CHECK failed",
            Self::Uninstall => "uninstallation",
        })
    }
}

#[cfg(test)]
#[path = "entry/tests/samples.rs"]
#[allow(clippy::unwrap_used)]
pub(crate) mod samples;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

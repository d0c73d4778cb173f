//! What became of each link of one pod: made by the controller, told by `report`.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use crds::{
    Reason,
    report::{LinkState, RecordSource, Tunnel},
};
use ipnetwork::IpNetwork;

use crate::{conditions::Revision, source::pod::NetAdmin};

/// What the controller knows of a pod on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub labels: BTreeMap<String, String>,
    pub namespace_labels: BTreeMap<String, String>,
    /// The container id of its sandbox.
    pub sandbox: String,
    /// Who told where its namespace is.
    pub recorded_by: Option<RecordSource>,
    /// Whether it has `NET_ADMIN` in the node's own user namespace.
    pub net_admin: NetAdmin,
}

/// One pass over one pod, as it ended.
#[derive(Clone, Debug)]
pub struct PodOutcome {
    pub pod: Arc<Pod>,
    /// Every link that a PodConfig asks for in this pod, granted or not, in the order of asking.
    pub links: Vec<LinkOutcome>,
    /// What is wrong with the pod as a whole (its record, its namespace), if anything.
    pub trouble: Option<(Reason, String)>,
    /// When the pass began: what was changed since then, it changed.
    pub since: SystemTime,
    /// The names of links that it took away, also those that it made anew.
    pub removed: Vec<String>,
    /// Links that it repaired after another program had changed them, by name, and what it put back.
    pub mended: BTreeMap<String, String>,
}

impl PodOutcome {
    /// Whether another installation serves the pod, and what is written of it is that one's.
    pub fn is_anothers(&self) -> bool {
        let mut links = self.links.iter();
        links.any(|link| link.reason == Reason::ServedTwice)
    }

    /// The reason that the pass ended with: what is wrong with the pod as a whole, else with the first link
    /// that has failed, else with the first that waits.
    pub fn worst(&self) -> Reason {
        let first = |state: LinkState| {
            let mut links = self.links.iter();
            links
                .find(|link| link.state == state)
                .map(|link| link.reason)
        };
        let whole = self.trouble.as_ref().map(|(reason, _)| *reason);
        whole
            .or_else(|| first(LinkState::Failed))
            .or_else(|| first(LinkState::Pending))
            .unwrap_or(Reason::LinkReady)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct LinkOutcome {
    pub name: String,
    /// The name of the PodConfig.
    pub podconfig: String,
    pub revision: Revision,
    pub kind: &'static str,
    pub state: LinkState,
    pub reason: Reason,
    pub message: String,
    /// What is present, if the link is.
    pub present: Option<PresentFacts>,
    /// The routing domain of its addresses, if it has any.
    pub domain: Option<String>,
    /// What it overlaps since it was made.
    pub conflict: Option<String>,
    /// Of a tunnel whose ends are found: the end here, for the others to find.
    pub tunnel: Option<Tunnel>,
    /// When the link was last changed.
    pub last_change: Option<SystemTime>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentFacts {
    pub mac: [u8; 6],
    pub mtu: u32,
    pub addresses: Vec<IpNetwork>,
    pub host_interface: Option<String>,
    pub bridge: Option<String>,
}

//! Outcome of each link of one pod: produced by the reconciler, reported by `reporter`.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use cni::network_status::NetworkStatus;
use conditions::Revision;
use crds::{
    Reason,
    report::{LinkState, RecordSource, Tunnel},
};
use ipnetwork::IpNetwork;
use store::pod::NetAdmin;

use super::cause::Cause;

/// A pod on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalPod {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub labels: BTreeMap<String, String>,
    pub namespace_labels: BTreeMap<String, String>,
    /// The container id of its sandbox.
    pub sandbox: String,
    /// Source of its network namespace's location.
    pub recorded_by: Option<RecordSource>,
    /// Whether it has `NET_ADMIN` in the node's own user namespace.
    pub net_admin: NetAdmin,
    /// Whether it uses the node's own network, as far as its object is known.
    pub host_network: bool,
}

/// Result of one pass over one pod.
#[derive(Clone, Debug)]
pub struct PodOutcome {
    pub pod: Arc<LocalPod>,
    /// Every link that a PodConfig requests for this pod, granted or not, in the order of the
    /// requests.
    pub links: Vec<LinkOutcome>,
    /// The trouble of the pod as a whole (its record, its namespace), if any.
    pub trouble: Option<(Reason, String)>,
    /// Start of the pass: later changes were made by it.
    pub since: SystemTime,
    /// Names of the links that it deleted, including those that it recreated.
    pub removed: Vec<String>,
    /// Links that it repaired after another program had changed them, by name, with what was
    /// restored.
    pub repaired: BTreeMap<String, String>,
    /// What CNI plugins have made, and what its annotation asks for.
    pub networks: NetworksOutcome,
}

/// What CNI plugins have made in a pod, and what its annotation asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NetworksOutcome {
    pub attached: Vec<AttachedNetwork>,
    /// The elements of the annotation that are podconfig's to attach.
    pub elements: Vec<NetworkElement>,
    /// What Multus attached, and podconfig detaches.
    pub taken_over: Vec<TakenOver>,
}

/// What Multus attached at pod start, and the annotation does not list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenOver {
    pub element: NetworkElement,
    pub progress: TakeoverProgress,
}

/// How far it is detached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakeoverProgress {
    Detaching,
    /// The newest try failed.
    Failing,
    /// `network-status` is not to list it.
    Detached,
}

/// What one chain of plugins has made.
#[derive(Clone, Debug, PartialEq)]
pub struct AttachedNetwork {
    pub interface: String,
    /// The element of the annotation that it was made for, as far as it is stored.
    pub element: Option<NetworkElement>,
    /// Entries of `network-status`.
    pub status: Vec<NetworkStatus>,
    /// Whether a DEL has failed.
    pub has_failed_del: bool,
}

/// An element of the annotation, in the words of multus-dynamic-networks-controller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkElement {
    pub interface: String,
    /// The definition, without its namespace.
    pub network: String,
    /// `(ips: […], mac: …, cni-args: …)`, if any of these is asked for.
    pub attributes: String,
}

impl PodOutcome {
    /// Whether another installation serves the pod, and writes its report.
    pub fn is_anothers(&self) -> bool {
        let mut links = self.links.iter();
        links.any(|link| link.reason == Reason::ServedTwice)
    }

    /// The reason of the pass: the trouble of the pod as a whole, else that of the first failed
    /// link, else of the first pending one.
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
    /// The facts of the link, if it is present.
    pub present: Option<PresentFacts>,
    /// The routing domain of its addresses, if it has any.
    pub domain: Option<String>,
    /// The network that it overlaps since it was created.
    pub conflict: Option<String>,
    /// The local endpoint of a tunnel with discovered peers, for the other nodes.
    pub tunnel: Option<Tunnel>,
    /// When the link was last changed.
    pub last_change: Option<SystemTime>,
}

impl LinkOutcome {
    /// Of a link that is not present.
    pub fn absent(
        name: &str,
        (podconfig, revision): (&str, Revision),
        kind: &'static str,
        state: LinkState,
        (reason, message): Cause,
    ) -> Self {
        Self {
            name: name.to_owned(),
            podconfig: podconfig.to_owned(),
            revision,
            kind,
            state,
            reason,
            message,
            present: None,
            domain: None,
            conflict: None,
            tunnel: None,
            last_change: None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentFacts {
    pub mac: [u8; 6],
    pub mtu: u32,
    pub addresses: Vec<IpNetwork>,
    pub host_interface: Option<String>,
    pub bridge: Option<String>,
}

//! Pods and reports as far as the controller looks at them: of each there may be very many.

use std::{collections::BTreeMap, net::IpAddr};

use crds::{
    AddressClaim, PodReport, Reason,
    report::{LinkReport, LinkState, PodTrouble, Tunnel},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

use crate::{podconfig::report::REPORTED, source::Pod};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub uid: String,
    /// Where it runs, or shall run.
    pub node: Option<String>,
    pub labels: BTreeMap<String, String>,
    /// Whether it is neither ended nor about to: what counts for a ReplicaSet as well.
    pub is_active: bool,
    /// Whether its containers have ended for good, and its network namespace with them.
    pub has_ended: bool,
    /// Since when its node has not answered, if it does not.
    pub unreachable_since: Option<String>,
}

impl From<Pod> for Seen {
    fn from(pod: Pod) -> Self {
        Self {
            has_ended: pod.has_ended(),
            unreachable_since: None,
            is_active: !pod.has_ended() && pod.metadata.deletion_timestamp.is_none(),
            uid: pod.metadata.uid.unwrap_or_default(),
            node: pod.spec.node_name.filter(|node| !node.is_empty()),
            labels: pod.metadata.labels.unwrap_or_default(),
        }
    }
}

/// A node as far as it is looked at here; the rest of it is skipped as it is read.
#[derive(Clone, Debug, Default, Deserialize, kube::Resource)]
#[resource(inherit = k8s_openapi::api::core::v1::Node)]
pub struct Node {
    #[serde(default)]
    pub metadata: ObjectMeta,
    #[serde(default)]
    pub status: NodeStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub struct NodeStatus {
    #[serde(default)]
    pub conditions: Vec<NodeCondition>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeCondition {
    #[serde(rename = "type")]
    pub type_: String,
    pub status: String,
    #[serde(default)]
    pub last_transition_time: Option<String>,
}

/// How a node is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeSeen {
    /// Since when its kubelet has not been heard of, if that is so. One that says itself that it is not ready
    /// is heard of, and so are its daemons.
    pub unreachable_since: Option<String>,
}

impl From<Node> for NodeSeen {
    fn from(node: Node) -> Self {
        let mut conditions = node.status.conditions.into_iter();
        let ready = conditions.find(|condition| condition.type_ == "Ready");
        let unknown = ready.filter(|ready| ready.status == "Unknown");
        Self {
            unreachable_since: unknown.map(|ready| ready.last_transition_time.unwrap_or_default()),
        }
    }
}

/// A claim to an address, as far as it is looked at here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The claim itself, as it was when it was heard.
    pub uid: String,
    pub version: String,
    pub installation: String,
    pub node: String,
    pub namespace: String,
    pub pod: String,
    pub pod_uid: String,
    pub domain: String,
    pub address: IpAddr,
}

impl From<AddressClaim> for Claimed {
    fn from(claim: AddressClaim) -> Self {
        let pod = claim.spec.pod;
        Self {
            uid: claim.metadata.uid.unwrap_or_default(),
            version: claim.metadata.resource_version.unwrap_or_default(),
            installation: claim.spec.installation,
            node: claim.spec.node,
            domain: claim.spec.domain,
            address: claim.spec.address,
            namespace: pod.namespace,
            pod: pod.name,
            pod_uid: pod.uid,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// The report itself, as it was when it was heard.
    pub uid: String,
    pub version: String,
    pub pod_uid: String,
    pub node: String,
    pub trouble: Option<PodTrouble>,
    pub links: Vec<LinkTold>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct LinkTold {
    pub link: String,
    pub podconfig: String,
    pub podconfig_uid: String,
    pub generation: i64,
    pub state: LinkState,
    pub reason: Reason,
    pub message: String,
    pub conflict: Option<String>,
    pub tunnel: Option<Tunnel>,
}

impl From<PodReport> for Told {
    fn from(report: PodReport) -> Self {
        let status = report.status.unwrap_or_default();
        Self {
            uid: report.metadata.uid.unwrap_or_default(),
            version: report.metadata.resource_version.unwrap_or_default(),
            pod_uid: status.pod_uid,
            node: status.node,
            trouble: status.trouble,
            links: status.links.into_iter().map(LinkTold::from).collect(),
        }
    }
}

impl From<LinkReport> for LinkTold {
    fn from(link: LinkReport) -> Self {
        Self {
            link: link.name,
            podconfig: link.pod_config,
            podconfig_uid: link.pod_config_uid,
            generation: link.observed_generation,
            state: link.state,
            reason: link.reason,
            message: link.message,
            conflict: link.conflict,
            tunnel: link.tunnel,
        }
    }
}

impl Told {
    /// Whether the report speaks of this pod and comes from its node: any other counts for nothing.
    pub fn is_of(&self, pod: &Seen) -> bool {
        self.pod_uid == pod.uid && pod.node.as_ref() == Some(&self.node)
    }

    /// Whether links may be missing from it because there was no room.
    pub fn is_full(&self) -> bool {
        self.links.len() >= REPORTED
    }

    /// What it adds to the peers of tunnels.
    pub fn tunnels(&self) -> impl Iterator<Item = Tunnel> {
        self.links.iter().filter_map(|link| link.tunnel)
    }
}

//! Projections of pods, nodes, reports and claims: only the fields that the controller uses, because there may
//! be very many objects.

use std::{collections::BTreeMap, net::IpAddr};

use crds::{
    AddressClaim, PodReport, Reason,
    report::{LinkReport, LinkState, PodTrouble, Tunnel},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

use store::Pod;

/// Projection of a Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodInfo {
    pub uid: String,
    /// The node that it is assigned to.
    pub node: Option<String>,
    pub labels: BTreeMap<String, String>,
    /// Neither terminated nor being deleted; a ReplicaSet counts the same pods.
    pub is_active: bool,
    /// All containers have terminated for good, and the network namespace is gone with them.
    pub has_ended: bool,
    /// Since when its node is unreachable, if it is.
    pub unreachable_since: Option<String>,
}

impl From<Pod> for PodInfo {
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

/// A Node with the fields used here; deserialization skips the rest.
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

/// Projection of a Node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeInfo {
    /// Since when `Ready` is `Unknown`: the kubelet does not post its status. With `Ready` `False` the node, and
    /// its daemon, are still reachable.
    pub unreachable_since: Option<String>,
}

impl From<Node> for NodeInfo {
    fn from(node: Node) -> Self {
        let mut conditions = node.status.conditions.into_iter();
        let ready = conditions.find(|condition| condition.type_ == "Ready");
        let unknown = ready.filter(|ready| ready.status == "Unknown");
        Self {
            unreachable_since: unknown.map(|ready| ready.last_transition_time.unwrap_or_default()),
        }
    }
}

/// Projection of an AddressClaim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimInfo {
    /// UID and resource version of the claim.
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

impl From<AddressClaim> for ClaimInfo {
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

/// Projection of a PodReport.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportInfo {
    /// UID and resource version of the report.
    pub uid: String,
    pub version: String,
    pub pod_uid: String,
    pub node: String,
    pub trouble: Option<PodTrouble>,
    pub links: Vec<ReportedLink>,
}

/// Projection of a link in a PodReport.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportedLink {
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

impl From<PodReport> for ReportInfo {
    fn from(report: PodReport) -> Self {
        let status = report.status.unwrap_or_default();
        Self {
            uid: report.metadata.uid.unwrap_or_default(),
            version: report.metadata.resource_version.unwrap_or_default(),
            pod_uid: status.pod_uid,
            node: status.node,
            trouble: status.trouble,
            links: status.links.into_iter().map(ReportedLink::from).collect(),
        }
    }
}

impl From<LinkReport> for ReportedLink {
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

impl ReportInfo {
    /// Whether the report is about this pod and from its node. Others are ignored.
    pub fn is_of(&self, pod: &PodInfo) -> bool {
        self.pod_uid == pod.uid && pod.node.as_ref() == Some(&self.node)
    }

    /// Whether the report has the maximum number of links, so that some may be missing.
    pub fn is_full(&self) -> bool {
        self.links.len() >= crds::report::MAX_LINKS
    }

    /// The tunnel endpoints in the report.
    pub fn tunnels(&self) -> impl Iterator<Item = Tunnel> {
        self.links.iter().filter_map(|link| link.tunnel)
    }
}

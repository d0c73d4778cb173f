//! Pure: a pod, the PodConfigs and the policies → the links that the pod shall have, and why it shall
//! not have the others. The order of the inputs never matters: who asked first does.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crds::{PodConfig, PodConfigPolicy, Reason, podconfig};
use kube::core::SelectorExt;

use super::{
    outcome::{LinkOutcome, Pod},
    plan::Cause,
    policy::{self, Permit, Rejection, bounded, clipped},
    segments::Member,
};
use crate::{
    address::{collision::Reach, range::Range, reserved::Reserved},
    conditions::Revision,
    node::links::{Device, HostEnd, Link, LinkKind, OwnershipMark, Segment, Veth, device::Data},
};

/// From the API's link to the node's.
mod convert;
pub use convert::{link_of, ranges_of};
/// What is not granted.
mod refused;
/// The fingerprint of a link.
mod spec_hash;
pub use spec_hash::spec_hash;

/// The links of one pod, judged.
#[derive(Debug, Default)]
pub struct Desired {
    /// In the order of asking.
    pub granted: Vec<DesiredLink>,
    /// In the order of asking.
    pub refused: Vec<LinkOutcome>,
    /// Networks that the policies of the namespace reserve.
    pub reserved: Reserved,
    /// Whether a link goes when a network appears that it overlaps.
    pub detaches: bool,
    /// Where the granted links reach.
    pub reach: Reach,
    /// The links that have asked for their addresses, granted or refused since.
    pub asking: BTreeSet<String>,
    /// Whether a link was refused because nobody is sure which networks there are.
    pub is_unsure: bool,
    /// Links of the node that a link which was refused by another pod's claim would be on.
    pub parents: Vec<String>,
    /// Sentences for the log: selectors of policies and PodConfigs that make no sense.
    pub troubles: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredLink {
    pub link: Link,
    pub mark: OwnershipMark,
    /// The name of the PodConfig.
    pub podconfig: String,
    pub revision: Revision,
    /// The PodConfig as one who asks for a segment.
    pub member: Member,
    pub permit: Permit,
    /// The routing domain of its addresses.
    pub domain: String,
    /// It gets an address of each, beside those that it has.
    pub ranges: Vec<Range>,
    /// What it overlaps.
    pub conflict: Option<String>,
    /// Cause it is left as it is for now, there or not.
    pub suspended: Option<Cause>,
    /// The place among all that is asked for in this pod, refused or not.
    pub order: usize,
}

/// Where the policies do not say how many links a pod may have.
pub const LINKS_PER_POD: usize = 32;

/// Everything that is asked for in this pod, granted or refused. `rank` is the place of this pod among
/// the configured pods of its namespace on this node, from 0.
pub fn desired(
    pod: &Pod,
    rank: usize,
    configs: &[Arc<PodConfig>],
    policies: &[Arc<PodConfigPolicy>],
    installation: &str,
) -> Desired {
    let (asking, mut troubles) = asking(pod, configs);
    if asking.is_empty() {
        return Desired {
            troubles,
            ..Desired::default()
        };
    }
    let selected = policy::selecting(policies.iter().map(Arc::as_ref), &pod.namespace_labels);
    troubles.extend(selected.troubles);
    let mut evaluator = Evaluator {
        pod,
        installation,
        limits: policy::limits(&selected.policies),
        containing: policy::contains(&selected.policies),
        policies: selected.policies,
        rank,
        names: BTreeMap::new(),
        segments: BTreeMap::new(),
        granted: 0,
    };
    let mut desired = Desired {
        troubles,
        reserved: policy::reserved(&evaluator.policies),
        detaches: policy::detaches(&evaluator.policies),
        ..Desired::default()
    };
    let requests = asking.iter().flat_map(|config| {
        config
            .spec
            .links
            .iter()
            .map(move |request| (*config, request))
    });
    for (order, (config, request)) in requests.enumerate() {
        match evaluator.grant(config, request) {
            Ok((link, permit, ranges)) => desired.granted.push(DesiredLink {
                mark: mark(pod, config, &link, installation),
                link,
                podconfig: name_of(config).to_owned(),
                revision: Revision::of(config),
                member: member(config),
                permit,
                domain: request.domain().to_owned(),
                ranges,
                conflict: None,
                suspended: None,
                order,
            }),
            Err(rejection) => desired
                .refused
                .push(refused::outcome(config, request, rejection)),
        }
    }
    desired
}

/// Puts what became of the granted links (each with its `order`) and the refused ones back into the
/// order of asking.
pub fn in_order(
    granted: impl IntoIterator<Item = (usize, LinkOutcome)>,
    refused: Vec<LinkOutcome>,
) -> Vec<LinkOutcome> {
    let mut granted: BTreeMap<usize, LinkOutcome> = granted.into_iter().collect();
    let (mut refused, mut all) = (refused.into_iter(), Vec::new());
    for order in 0.. {
        match granted.remove(&order).or_else(|| refused.next()) {
            Some(outcome) => all.push(outcome),
            // A gap without a rejection: the caller left a granted link out.
            None if granted.is_empty() => break,
            None => {}
        }
    }
    all
}

/// Whether the PodConfig selects pods with these labels; a selector that makes no sense selects none.
pub fn selects(config: &PodConfig, labels: &BTreeMap<String, String>) -> bool {
    policy::selector(&config.spec.pod_selector).is_ok_and(|selector| selector.matches(labels))
}

/// The PodConfigs that select the pod, the oldest first: one without a time of creation is the newest,
/// for it cannot prove otherwise.
fn asking<'a>(pod: &Pod, configs: &'a [Arc<PodConfig>]) -> (Vec<&'a PodConfig>, Vec<String>) {
    let (mut asking, mut troubles) = (Vec::new(), Vec::new());
    let own =
        |config: &&Arc<PodConfig>| config.metadata.namespace.as_deref() == Some(&pod.namespace);
    for config in configs.iter().filter(own) {
        match policy::selector(&config.spec.pod_selector) {
            Ok(selector) if selector.matches(&pod.labels) => asking.push(&**config),
            Ok(_) => {}
            Err(why) => troubles.push(bounded(format!(
                "podconfig {}/{} selects nothing: podSelector {why}",
                pod.namespace,
                name_of(config)
            ))),
        }
    }
    asking.sort_by_cached_key(|config| member(config));
    troubles.sort_unstable();
    (asking, troubles)
}

/// Whether what is asked for is a device that is in the pod as a whole.
pub fn is_device(request: &podconfig::Link) -> bool {
    use policy::requested::{ParentRef, RequestedLink};
    let carrier = match RequestedLink::of(request) {
        Ok(RequestedLink::Vlan(_, carrier) | RequestedLink::Vxlan(_, carrier, _)) => carrier,
        Ok(RequestedLink::Veth(_)) | Err(_) => return false,
    };
    !matches!(carrier, ParentRef::Node(_, podconfig::Mode::Shared))
}

/// Who asks, the older before the younger.
pub fn member(config: &PodConfig) -> Member {
    let meta = &config.metadata;
    let created = meta.creation_timestamp.clone();
    Member {
        is_ageless: created.is_none(),
        created,
        namespace: meta.namespace.clone().unwrap_or_default(),
        name: name_of(config).to_owned(),
        uid: meta.uid.clone().unwrap_or_default(),
    }
}

/// One pod's links being judged, one after the other.
struct Evaluator<'a> {
    pod: &'a Pod,
    installation: &'a str,
    policies: Vec<&'a PodConfigPolicy>,
    limits: policy::Limits,
    /// The policy that gives no links to pods which may administer the node's network.
    containing: Option<String>,
    rank: usize,
    /// Interface name → the PodConfig that asked for it first, granted or not: what is wrong with the
    /// older one must not decide over who is the older one.
    names: BTreeMap<&'a str, &'a str>,
    /// Where the granted links are → their names.
    segments: BTreeMap<String, &'a str>,
    granted: usize,
}

impl<'a> Evaluator<'a> {
    fn grant(
        &mut self,
        config: &'a PodConfig,
        request: &'a podconfig::Link,
    ) -> Result<(Link, Permit, Vec<Range>), Rejection> {
        self.name_is_free(config, request)?;
        refused::contained(self.pod, self.containing.as_deref())?;
        let permit = policy::evaluate(request, &self.policies)?;
        let ranges = ranges_of(request)?;
        let link = link_of(request, &permit, &self.pod.namespace, self.installation)?;
        let segment = segment(&link.kind);
        self.segment_is_free(segment.as_deref())?;
        self.is_within_limits()?;
        if let Some(segment) = segment {
            self.segments.insert(segment, &request.name);
        }
        self.granted += 1;
        Ok((link, permit, ranges))
    }

    fn name_is_free(
        &mut self,
        config: &'a PodConfig,
        request: &'a podconfig::Link,
    ) -> Result<(), Rejection> {
        let Some(winner) = self.names.insert(&request.name, name_of(config)) else {
            return Ok(());
        };
        self.names.insert(&request.name, winner);
        let name = clipped(&request.name);
        refuse(
            Reason::LinkNameTaken,
            format!("the older podconfig {winner} asks for a link {name} in this pod"),
        )
    }

    fn segment_is_free(&self, segment: Option<&str>) -> Result<(), Rejection> {
        let Some((segment, first)) =
            segment.and_then(|segment| self.segments.get_key_value(segment))
        else {
            return Ok(());
        };
        refuse(
            Reason::SameSegment,
            format!(
                "link {} of this pod is on {segment} already",
                clipped(first)
            ),
        )
    }

    fn is_within_limits(&self) -> Result<(), Rejection> {
        let links = self.limits.links_per_pod.unwrap_or(LINKS_PER_POD);
        if self.granted >= links {
            return refuse(
                Reason::TooManyLinks,
                format!("the policies allow {links} links per pod"),
            );
        }
        match self.limits.pods_per_namespace {
            Some(pods) if self.rank >= pods => refuse(
                Reason::TooManyPods,
                format!(
                    "the policies allow {pods} configured pods in the namespace; this is number {}",
                    self.rank + 1
                ),
            ),
            _ => Ok(()),
        }
    }
}

fn mark(pod: &Pod, config: &PodConfig, link: &Link, installation: &str) -> OwnershipMark {
    OwnershipMark {
        installation: installation.to_owned(),
        pod_uid: pod.uid.clone(),
        podconfig_uid: config.metadata.uid.clone().unwrap_or_default(),
        link: link.name.clone(),
        spec_hash: spec_hash(link),
    }
}

/// What two links of one pod can not both be on, in words; none for a routed link.
fn segment(kind: &LinkKind) -> Option<String> {
    let beyond = |segment: &Segment| match &segment.data {
        // The kernel takes the frames of a tunnel for one device, whatever it is on.
        data @ Data::Vxlan(_) => data.to_string(),
        Data::Vlan(_) => segment.to_string(),
    };
    Some(match kind {
        LinkKind::Veth(Veth { host_end, .. }) => match host_end {
            HostEnd::Bridge { stands_for, .. } => format!("bridge {}", clipped(stands_for)),
            HostEnd::HostBridge(name) => format!("host bridge {}", clipped(name)),
            HostEnd::Routed => return None,
            HostEnd::Segment(segment) => beyond(segment),
        },
        LinkKind::Device(Device::Exclusive(segment)) => beyond(segment),
        LinkKind::Device(Device::Inside { carrier, data, .. }) => {
            format!("{data} on {} in the pod", clipped(carrier))
        }
    })
}

fn refuse(reason: Reason, message: String) -> Result<(), Rejection> {
    Err(Rejection {
        reason,
        message: bounded(message),
    })
}

fn name_of(config: &PodConfig) -> &str {
    config.metadata.name.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests;

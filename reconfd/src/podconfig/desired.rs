//! Pure: pod, PodConfigs and policies → the links that the pod should have, and why it should not
//! have the others. The result does not depend on the order of the inputs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use address::{overlap::LinkNetworks, range::Range, reserved::Reserved};
use conditions::Revision;
use crds::{PodConfig, PodConfigPolicy, Reason, podconfig};
use kube::core::SelectorExt;
use node::links::{Device, HostEnd, Link, LinkKind, OwnershipMark, Segment, Veth, device::Data};
use policy::{Permit, Rejection, bounded, clipped};

use super::{
    annotation::ANNOTATION,
    cause::Cause,
    outcome::{LinkOutcome, LocalPod},
    segments::Member,
};

/// Links that CNI plugins make.
mod attachment;
pub use attachment::{AttachedState, CNI, ConfigurationSource, DesiredAttachment, refers_to};
/// Links that the pod's annotation requests.
mod annotated;
pub use annotated::{AnnotationState, interfaces};
/// Conversion of the API's link to the node's.
mod convert;
pub use convert::{link_of, ranges_of};
/// Outcomes of refused links.
mod refused;
/// Hash of a link's specification.
mod spec_hash;
pub use spec_hash::spec_hash;

/// The links of one pod, evaluated.
#[derive(Debug, Default)]
pub struct Desired {
    /// In the order of the requests.
    pub granted: Vec<DesiredLink>,
    /// In the order of the requests.
    pub attachments: Vec<DesiredAttachment>,
    pub attached: AttachedState,
    /// What the pod's annotation requests, beside its PodConfigs.
    pub annotation: AnnotationState,
    /// In the order of the requests.
    pub refused: Vec<LinkOutcome>,
    /// Networks that the policies of the namespace reserve.
    pub reserved: Reserved,
    /// Whether a link is detached when a network appears that it overlaps.
    pub detaches: bool,
    /// The networks, addresses and routes of the granted links.
    pub reach: LinkNetworks,
    /// The links that have requested addresses, granted or refused since.
    pub requesting: BTreeSet<String>,
    /// Whether a link was refused because the networks of the cluster are not fully known.
    pub networks_unknown: bool,
    /// Links of the node that refused links would be based on; refused because of another pod's
    /// claim.
    pub parents: Vec<String>,
    /// Log messages about invalid selectors of policies and PodConfigs.
    pub troubles: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredLink {
    pub link: Link,
    pub mark: OwnershipMark,
    /// The name of the PodConfig.
    pub podconfig: String,
    pub revision: Revision,
    /// The PodConfig as a member of a segment.
    pub member: Member,
    pub permit: Permit,
    /// The routing domain of its addresses.
    pub domain: String,
    /// The link gets one address of each, beside its listed ones.
    pub ranges: Vec<Range>,
    /// The network that it overlaps.
    pub conflict: Option<String>,
    /// Why it is left as it is for now, present or not.
    pub suspended: Option<Cause>,
    /// The position among all requests for this pod, granted or refused.
    pub order: usize,
}

/// Limit if the policies set none.
pub const LINKS_PER_POD: usize = 32;

/// All requested links of this pod, granted or refused. `rank` is the position of this pod among
/// the configured pods of its namespace on this node, from 0.
pub fn desired(
    pod: &LocalPod,
    rank: usize,
    configs: &[Arc<PodConfig>],
    policies: &[Arc<PodConfigPolicy>],
    installation: &str,
) -> Desired {
    let (requesting, mut troubles) = requesting(pod, configs);
    if requesting.is_empty() {
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
    let requests = requesting.iter().flat_map(|config| {
        config
            .spec
            .links
            .iter()
            .map(move |request| (*config, request))
    });
    for (order, (config, request)) in requests.enumerate() {
        let evaluated = match request.cni {
            Some(_) => evaluator
                .grant_attachment(config, request, order)
                .map(|attachment| desired.attachments.push(attachment)),
            None => evaluator
                .grant_link(config, request, order)
                .map(|link| desired.granted.push(link)),
        };
        if let Err(rejection) = evaluated {
            let outcome = refused::outcome(config, request, rejection);
            desired.refused.push(outcome);
        }
    }
    desired
}

/// Merges the outcomes of granted links (each with its `order`) and the refused ones in the order
/// of the requests.
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

/// Whether the PodConfig selects pods with these labels; an invalid selector selects none.
pub fn selects(config: &PodConfig, labels: &BTreeMap<String, String>) -> bool {
    policy::selector(&config.spec.pod_selector).is_ok_and(|selector| selector.matches(labels))
}

/// The PodConfigs that select the pod, the oldest first: one without a creation time is the newest,
/// for it cannot prove otherwise.
fn requesting<'a>(
    pod: &LocalPod,
    configs: &'a [Arc<PodConfig>],
) -> (Vec<&'a PodConfig>, Vec<String>) {
    let (mut requesting, mut troubles) = (Vec::new(), Vec::new());
    let own =
        |config: &&Arc<PodConfig>| config.metadata.namespace.as_deref() == Some(&pod.namespace);
    for config in configs.iter().filter(own) {
        match policy::selector(&config.spec.pod_selector) {
            Ok(selector) if selector.matches(&pod.labels) => requesting.push(&**config),
            Ok(_) => {}
            Err(why) => troubles.push(bounded(format!(
                "podconfig {}/{} selects nothing: podSelector {why}",
                pod.namespace,
                name_of(config)
            ))),
        }
    }
    // The pod's annotation requests last.
    requesting.sort_by_cached_key(|config| (name_of(config) == ANNOTATION, member(config)));
    troubles.sort_unstable();
    (requesting, troubles)
}

/// Whether the requested link is a device inside the pod.
pub fn is_device(request: &podconfig::Link) -> bool {
    use policy::requested::{ParentRef, RequestedLink};
    let carrier = match RequestedLink::of(request) {
        Ok(RequestedLink::Vlan(_, carrier) | RequestedLink::Vxlan(_, carrier, _)) => carrier,
        Ok(RequestedLink::Veth(_) | RequestedLink::Cni(..)) | Err(_) => return false,
    };
    !matches!(carrier, ParentRef::Node(_, podconfig::Mode::Shared))
}

/// The PodConfig as a member of a segment, ordered by age.
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

/// Evaluates the links of one pod, one after the other.
struct Evaluator<'a> {
    pod: &'a LocalPod,
    installation: &'a str,
    policies: Vec<&'a PodConfigPolicy>,
    limits: policy::Limits,
    /// The policy that excludes pods which may administer the node's network.
    containing: Option<String>,
    rank: usize,
    /// Interface name → the oldest PodConfig that requested it, granted or not: an error in the
    /// older one must not change which one is older.
    names: BTreeMap<&'a str, &'a str>,
    /// Places of the granted links → their names.
    segments: BTreeMap<String, &'a str>,
    granted: usize,
}

impl<'a> Evaluator<'a> {
    fn grant_link(
        &mut self,
        config: &'a PodConfig,
        request: &'a podconfig::Link,
        order: usize,
    ) -> Result<DesiredLink, Rejection> {
        self.name_is_free(config, request)?;
        refused::contained(self.pod, self.containing.as_deref())?;
        let permit = policy::evaluate(request, &self.pod.namespace, &self.policies)?;
        let ranges = ranges_of(request)?;
        let link = link_of(request, &permit, &self.pod.namespace, self.installation)?;
        let segment = segment(&link.kind);
        self.segment_is_free(segment.as_deref())?;
        self.is_within_limits()?;
        if let Some(segment) = segment {
            self.segments.insert(segment, &request.name);
        }
        self.granted += 1;
        Ok(DesiredLink {
            mark: mark(self.pod, config, &link, self.installation),
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
        })
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

fn mark(pod: &LocalPod, config: &PodConfig, link: &Link, installation: &str) -> OwnershipMark {
    OwnershipMark {
        installation: installation.to_owned(),
        pod_uid: pod.uid.clone(),
        podconfig_uid: config.metadata.uid.clone().unwrap_or_default(),
        link: link.name.clone(),
        spec_hash: spec_hash(link),
    }
}

/// Description of what two links of one pod cannot share; none for a routed link.
fn segment(kind: &LinkKind) -> Option<String> {
    let segment_name = |segment: &Segment| match &segment.data {
        // The kernel delivers the frames of a tunnel to one device, whatever its parent.
        data @ Data::Vxlan(_) => data.to_string(),
        Data::Vlan(_) => segment.to_string(),
    };
    Some(match kind {
        LinkKind::Veth(Veth { host_end, .. }) => match host_end {
            HostEnd::Bridge { stands_for, .. } => format!("bridge {}", clipped(stands_for)),
            HostEnd::HostBridge(name) => format!("host bridge {}", clipped(name)),
            HostEnd::Routed => return None,
            HostEnd::Segment(segment) => segment_name(segment),
        },
        LinkKind::Device(Device::Exclusive(segment)) => segment_name(segment),
        LinkKind::Device(Device::Inside { carrier, data, .. }) => {
            format!("{data} on {} in the pod", clipped(carrier))
        }
    })
}

fn refuse<T>(reason: Reason, message: String) -> Result<T, Rejection> {
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

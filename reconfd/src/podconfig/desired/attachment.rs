//! Pure: a requested attachment: what CNI plugins are asked for. The policies allow it as far as its link says what it
//! is; its configuration is judged where that is known.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use cni::selection::NetworkSelection;
use crds::{PodConfig, Reason, podconfig, report::LinkState};
use ipnetwork::IpNetwork;
use policy::{
    Permit, Rejection,
    requested::{CniSource, RequestedLink},
};

use super::{
    super::{
        cause::Cause,
        outcome::{LinkOutcome, NetworksOutcome},
    },
    Desired, Evaluator, Revision, name_of, refuse, refused,
};

/// The kind of an attachment in reports.
pub const CNI: &str = "cni";

/// An attachment that one rule allows.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredAttachment {
    /// The interface in the pod.
    pub name: String,
    /// The name of the PodConfig.
    pub podconfig: String,
    pub podconfig_uid: String,
    pub revision: Revision,
    pub source: ConfigurationSource,
    /// What the plugins are asked for beside the configuration.
    pub request: podconfig::Cni,
    /// The element of the pod's annotation that requests it.
    pub element: Option<NetworkSelection>,
    pub mac: Option<[u8; 6]>,
    pub addresses: Vec<IpNetwork>,
    /// Gateways of default routes through it, one of a family at most.
    pub gateways: Vec<IpAddr>,
    /// The routing domain of its addresses.
    pub domain: String,
    pub permit: Permit,
    /// The position among all requests for this pod, granted or refused.
    pub order: usize,
}

/// Where the configuration is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigurationSource {
    /// A NetworkAttachmentDefinition.
    Definition { namespace: String, name: String },
    /// In the PodConfig.
    Inline(String),
}

impl ConfigurationSource {
    fn of(source: CniSource<'_>, own: &str) -> Self {
        match source {
            CniSource::Definition { namespace, name } => Self::Definition {
                namespace: namespace.unwrap_or(own).to_owned(),
                name: name.to_owned(),
            },
            CniSource::Inline(text) => Self::Inline(text.to_owned()),
        }
    }
}

/// What came of the attachments of a pod.
#[derive(Debug, Default)]
pub struct AttachedState {
    /// Each with its order.
    pub outcomes: Vec<(usize, LinkOutcome)>,
    /// Names of links that are detached since the last pass.
    pub removed: Vec<String>,
    pub networks: NetworksOutcome,
    /// The addresses of what is attached or being detached, by link.
    pub addresses: BTreeMap<String, BTreeSet<IpAddr>>,
}

impl Desired {
    /// An order after those of all requests.
    pub fn next_order(&self) -> usize {
        self.granted.len() + self.attachments.len() + self.refused.len()
    }

    /// The orders of the requests that are not refused.
    pub fn kept_orders(&self) -> impl Iterator<Item = usize> {
        let links = self.granted.iter().map(|granted| granted.order);
        links.chain(self.attachments.iter().map(|attachment| attachment.order))
    }
}

/// Whether a link of a PodConfig in `own` is made by this NetworkAttachmentDefinition.
pub fn refers_to(link: &podconfig::Link, own: &str, definition: (&str, &str)) -> bool {
    match RequestedLink::of(link) {
        Ok(RequestedLink::Cni(_, CniSource::Definition { namespace, name })) => {
            (namespace.unwrap_or(own), name) == definition
        }
        _ => false,
    }
}

impl<'a> Evaluator<'a> {
    /// Evaluates a link that CNI plugins make.
    pub(super) fn grant_attachment(
        &mut self,
        config: &'a PodConfig,
        request: &'a podconfig::Link,
        order: usize,
    ) -> Result<DesiredAttachment, Rejection> {
        self.name_is_free(config, request)?;
        refused::contained(self.pod, self.containing.as_deref())?;
        let permit = policy::evaluate(request, &self.pod.namespace, &self.policies)?;
        let (cni, source) = match RequestedLink::of(request) {
            Ok(RequestedLink::Cni(cni, source)) => (cni, source),
            Ok(_) => return invalid("the link is not a cni link".to_owned()),
            Err(why) => return invalid(why),
        };
        self.is_within_limits()?;
        self.granted += 1;
        let mut seen = BTreeSet::new();
        let addresses = request.addresses.iter().map(|a| a.network());
        Ok(DesiredAttachment {
            name: request.name.clone(),
            podconfig: name_of(config).to_owned(),
            podconfig_uid: config.metadata.uid.clone().unwrap_or_default(),
            revision: Revision::of(config),
            source: ConfigurationSource::of(source, &self.pod.namespace),
            request: cni.clone(),
            element: None,
            mac: request.mac.map(|mac| mac.0),
            addresses: addresses.filter(|a| seen.insert(*a)).collect(),
            // An element of the annotation has no other routes, and a PodConfig none.
            gateways: request
                .routes
                .iter()
                .filter_map(|route| route.via)
                .collect(),
            domain: request.domain().to_owned(),
            permit,
            order,
        })
    }
}

impl DesiredAttachment {
    /// Its outcome while it is not attached.
    pub fn outcome(&self, state: LinkState, cause: Cause) -> LinkOutcome {
        let of = (self.podconfig.as_str(), self.revision.clone());
        LinkOutcome::absent(&self.name, of, CNI, state, cause)
    }
}

fn invalid<T>(message: String) -> Result<T, Rejection> {
    refuse(Reason::Invalid, message)
}

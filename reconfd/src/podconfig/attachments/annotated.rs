//! Attachments that a pod's annotation requests: they stay as they are while their definition changes, and all of them
//! while the annotation cannot be followed.

use std::sync::Arc;

use attachments::{
    entry::{Entry, Phase, Requester, Why},
    state::{LinkRequest, Takeover, Target},
    status::LinkState,
};
use cni::{CniResult, network_status, selection::NetworkSelection};
use crds::{PodConfig, Reason};
use policy::bounded;
use sandbox_record::Record;

use super::{
    Attachments, outcomes,
    resolve::{Resolved, element_hash},
};
use crate::podconfig::{
    annotation::{NetworksAnnotation, Requested, StatusEntry, Stored, definition, requested},
    cause::Cause,
    desired::{ConfigurationSource, Desired, DesiredAttachment, interfaces},
    outcome::{
        AttachedNetwork, LinkOutcome, LocalPod, NetworkElement, NetworksOutcome, TakenOver,
        TakeoverProgress,
    },
};

impl Attachments {
    /// What the annotation of a pod is to podconfig on this node.
    #[must_use]
    pub fn with_annotation(mut self, mode: NetworksAnnotation) -> Self {
        self.annotation = mode;
        self
    }

    /// Whether pods may request networks by their annotation.
    pub fn follows_annotations(&self) -> bool {
        self.annotation.is_followed()
    }

    /// What the annotation of a pod requests; nothing where its object is not known.
    pub fn requested_by(
        &self,
        (pod, object): (&LocalPod, Option<&store::Pod>),
        configs: &[Arc<PodConfig>],
    ) -> Requested {
        let Some(object) = object.filter(|_| self.follows_annotations()) else {
            return Requested {
                // What was attached for an object that is gone ends with its pod.
                is_held: object.is_none(),
                ..Requested::default()
            };
        };
        let stored = self.stored_here(pod).filter(|entry| !entry.is_of_multus());
        let stored = stored.filter_map(|entry| of_entry(&entry));
        let stored: Vec<Stored> = stored.chain(self.taken_over(pod)).collect();
        requested(object, self.annotation, &stored, &interfaces(pod, configs))
    }

    /// What Multus attached in a pod, and podconfig detaches, or has detached.
    fn taken_over(&self, pod: &LocalPod) -> impl Iterator<Item = Stored> {
        let running = self.running.as_ref();
        let slots = running.map_or_else(Vec::new, |running| running.engine.taken_over(&pod.uid));
        let here = slots
            .into_iter()
            .filter(|slot| slot.container_id == pod.sandbox);
        here.map(|slot| Stored {
            interface: slot.ifname,
            definition: None,
            is_leaving: true,
            is_of_multus: true,
        })
    }

    /// What plugins have made in a pod, and what its annotation asks for.
    pub fn networks(&self, pod: &LocalPod, desired: &Desired) -> NetworksOutcome {
        let here = self.stored_here(pod);
        let elements = desired.annotation.elements.iter();
        NetworksOutcome {
            attached: here.filter_map(|entry| attached(&entry, desired)).collect(),
            taken_over: desired.attached.networks.taken_over.clone(),
            elements: elements
                .map(|(interface, element)| NetworkElement {
                    interface: interface.clone(),
                    network: element.name.clone(),
                    attributes: attributes(element),
                })
                .collect(),
        }
    }
}

/// Not of what Multus attached.
fn of_entry(entry: &Entry) -> Option<Stored> {
    let definition = match &entry.requester {
        Requester::Annotation { definition, .. } => Some(definition.clone()),
        Requester::PodConfig { .. } => None,
        Requester::Multus { .. } => return None,
    };
    let is_leaving = |why: Why| why == Why::NotRequested || why.is_final();
    Some(Stored {
        interface: entry.chain.ifname.clone(),
        definition,
        is_leaving: entry
            .deletion()
            .is_some_and(|deletion| is_leaving(deletion.why)),
        is_of_multus: false,
    })
}

/// What asks for an attachment.
pub fn requester(attachment: &DesiredAttachment) -> Requester {
    match &attachment.element {
        Some(element) => Requester::Annotation {
            definition: definition(element),
            element: element_hash(attachment),
        },
        None => Requester::PodConfig {
            uid: attachment.podconfig_uid.clone(),
            name: attachment.podconfig.clone(),
            link: attachment.name.clone(),
        },
    }
}

/// The chain of an attachment. An element that is attached keeps its chain when its definition is edited or deleted, as
/// in multus-dynamic-networks-controller; then also why it is not the current one.
pub fn as_attached(
    attachment: &DesiredAttachment,
    resolved: Result<Resolved, Cause>,
    stored: &[Entry],
) -> (Result<Resolved, Cause>, Option<Cause>) {
    let requester = requester(attachment);
    let is_it = |entry: &&Entry| {
        entry.chain.ifname == attachment.name
            && entry.requester == requester
            && matches!(entry.phase, Phase::Attached | Phase::Added)
    };
    let mut stored = stored.iter();
    let Some(entry) = stored.find(is_it).filter(|_| attachment.element.is_some()) else {
        return (resolved, None);
    };
    let (grants, why) = match resolved {
        Ok(resolved) if resolved.spec_hash != entry.spec_hash => {
            let why = "the definition has changed; the link stays as it was attached".to_owned();
            (resolved.grants, why)
        }
        Err((Reason::DefinitionNotFound | Reason::DefinitionInvalid, why)) => (
            attachment.permit.attachments.clone(),
            format!("{why}; the link stays as it was attached"),
        ),
        other => return (other, None),
    };
    let resolved = Resolved {
        chain: entry.chain.clone(),
        grants,
        spec_hash: entry.spec_hash.clone(),
    };
    (
        Ok(resolved),
        Some((Reason::DefinitionChanged, bounded(why))),
    )
}

/// Requests that keep what is attached for an annotation that cannot be followed, with their outcomes.
pub fn kept(desired: &Desired, stored: &[Entry]) -> (Vec<LinkRequest>, Vec<(usize, LinkOutcome)>) {
    let is_kept = |entry: &&Entry| {
        desired.annotation.is_held
            && matches!(
                entry.requester,
                Requester::Annotation { .. } | Requester::Multus { .. }
            )
            && !desired
                .attachments
                .iter()
                .any(|one| one.name == entry.chain.ifname)
    };
    let kept: Vec<&Entry> = stored.iter().filter(is_kept).collect();
    let request = |entry: &&Entry| LinkRequest {
        ifname: entry.chain.ifname.clone(),
        target: Target::Keep,
    };
    let first = desired.next_order();
    let attached = kept.iter().filter(|entry| entry.phase == Phase::Attached);
    let outcomes = attached
        .enumerate()
        .map(|(at, entry)| (first + at, outcomes::kept(entry)));
    (kept.iter().map(request).collect(), outcomes.collect())
}

/// What others may read of an attachment: it was allowed, and it is not undone yet.
fn attached(entry: &Entry, desired: &Desired) -> Option<AttachedNetwork> {
    let was_allowed = match &entry.phase {
        Phase::Attached => true,
        Phase::Deleting(deletion) => {
            let has_failed = matches!(deletion.why, Why::AddFailed | Why::CutOff);
            !has_failed && (deletion.why != Why::Refused || entry.was_accepted())
        }
        Phase::Adding | Phase::Added | Phase::Detached => false,
    };
    let name = match &entry.requester {
        Requester::Annotation { definition, .. } => definition.clone(),
        Requester::PodConfig { name, .. } => of_podconfig(entry, name, desired),
        // Its entry is Multus'.
        Requester::Multus { .. } => return None,
    };
    let result = CniResult::from_value(entry.result.clone().filter(|_| was_allowed)?).ok()?;
    let mut status = network_status::of_result(&name, &result);
    if !entry.gateways.is_empty() {
        let all = status.iter_mut();
        all.for_each(|one| one.gateway.clone_from(&entry.gateways));
    }
    Some(AttachedNetwork {
        interface: entry.chain.ifname.clone(),
        element: element(entry, desired),
        status,
        has_failed_del: entry
            .deletion()
            .is_some_and(|deletion| deletion.failures > 0),
    })
}

fn of_podconfig(entry: &Entry, podconfig: &str, desired: &Desired) -> String {
    let mut attachments = desired.attachments.iter();
    let source = attachments.find(|one| one.name == entry.chain.ifname);
    match source.map(|one| &one.source) {
        Some(ConfigurationSource::Definition { namespace, name }) => format!("{namespace}/{name}"),
        Some(ConfigurationSource::Inline(_)) | None => {
            format!("podconfig.dev/{}/{podconfig}", entry.pod.namespace)
        }
    }
}

/// Requests to detach what Multus attached and the annotation does not list. The pod's own interface is not of them.
pub fn takeovers(desired: &Desired, record: &Record) -> Vec<(LinkRequest, NetworkElement)> {
    let left_over = desired.annotation.left_over.iter();
    let others = left_over.filter(|entry| entry.interface != record.ifname);
    let request = |entry: &StatusEntry| {
        let takeover = Takeover {
            definition: entry.definition.clone(),
            netns: record.netns.display().to_string(),
        };
        let request = LinkRequest {
            ifname: entry.interface.clone(),
            target: Target::TakeOver(takeover),
        };
        (request, element_of(&entry.definition, &entry.interface))
    };
    others.map(request).collect()
}

/// How far it is, and what is to be reported of it.
pub fn taken_over(element: NetworkElement, state: &LinkState) -> (TakenOver, Option<LinkOutcome>) {
    let (progress, outcome) = match state {
        LinkState::Detached => (TakeoverProgress::Detached, None),
        LinkState::Detaching(Some(failure)) => {
            let outcome = outcomes::not_detached(&element.interface, failure);
            (TakeoverProgress::Failing, Some(outcome))
        }
        _ => (TakeoverProgress::Detaching, None),
    };
    (TakenOver { element, progress }, outcome)
}

fn element_of(definition: &str, interface: &str) -> NetworkElement {
    let network = definition.rsplit('/').next().unwrap_or_default();
    NetworkElement {
        interface: interface.to_owned(),
        network: network.to_owned(),
        attributes: String::new(),
    }
}

fn element(entry: &Entry, desired: &Desired) -> Option<NetworkElement> {
    let Requester::Annotation { definition, .. } = &entry.requester else {
        return None;
    };
    let interface = &entry.chain.ifname;
    let asked = desired.annotation.elements.get(interface);
    Some(NetworkElement {
        attributes: asked.map(attributes).unwrap_or_default(),
        ..element_of(definition, interface)
    })
}

/// As Go prints it there.
fn attributes(element: &NetworkSelection) -> String {
    let NetworkSelection {
        ips, mac, cni_args, ..
    } = element;
    if ips.is_empty() && mac.is_none() && cni_args.is_empty() {
        return String::new();
    }
    let ips: Vec<String> = ips.iter().map(ToString::to_string).collect();
    let text = |value: &serde_json::Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let args: Vec<String> = cni_args
        .iter()
        .map(|(key, value)| format!("{key}:{}", text(value)))
        .collect();
    let args = match args.is_empty() {
        true => "<nil>".to_owned(),
        false => format!("&map[{}]", args.join(" ")),
    };
    let mac = mac.as_deref().unwrap_or_default();
    format!("(ips: [{}], mac: {mac}, cni-args: {args})", ips.join(" "))
}

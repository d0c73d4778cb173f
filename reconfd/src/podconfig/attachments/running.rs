//! Requests of one pod: its attachments become chains, and what came of them becomes outcomes.

use std::{
    os::fd::{AsFd as _, OwnedFd},
    sync::Arc,
    time::SystemTime,
};

use attachments::{
    entry::{Entry, NetnsId, PodRef, Slot},
    state::{CheckMode, LinkRequest, PodRequest, Sandbox, Target, Wanted},
};
use crds::{NetworkAttachmentDefinition, Reason, podconfig::Check, report::LinkState};
use node::sandbox;
use policy::{AttachmentGrant, bounded};
use sandbox_record::Record;
use store::Stores;

use super::{
    Running, annotated, lock, networks, outcomes, parents,
    resolve::{Resolved, resolve},
};
use crate::podconfig::{
    cause::Cause,
    desired::{AttachedState, ConfigurationSource, Desired, DesiredAttachment},
    pods::RecordedPod,
};

impl Running {
    pub(super) fn request(
        &mut self,
        known: &RecordedPod,
        desired: &Desired,
        stores: &Stores,
    ) -> AttachedState {
        let uid = &known.pod.uid;
        let takeovers = annotated::takeovers(desired, &known.record);
        let has_none = desired.attachments.is_empty() && takeovers.is_empty();
        if has_none && !self.pods.contains_key(uid) {
            return AttachedState::default();
        }
        self.pods.insert(uid.clone(), Some(known.record.clone()));
        let stored = self.engine.entries_of(uid).into_iter();
        let here = stored.filter(|entry| entry.chain.container_id == known.record.container_id);
        let stored: Vec<Entry> = here.collect();
        let (kept, outcomes) = annotated::kept(desired, &stored);
        let (mut state, mut requested, mut links) = (AttachedState::default(), vec![], vec![]);
        state.outcomes.extend(outcomes);
        for attachment in &desired.attachments {
            let resolved = self.resolved(attachment, stores, &known.record);
            match annotated::as_attached(attachment, resolved, &stored) {
                (Ok(resolved), outdated) => {
                    links.push(self.link_request(attachment, resolved));
                    requested.push((attachment, outdated));
                }
                // What is attached does not depend on its definition any more.
                (Err(cause), _) if keeps(cause.0) => {
                    links.push(self.keep_request(&known.record.container_id, attachment));
                    requested.push((attachment, Some(cause)));
                }
                (Err(cause), _) => {
                    let outcome = attachment.outcome(LinkState::Failed, cause);
                    state.outcomes.push((attachment.order, outcome));
                }
            }
        }
        links.extend(kept);
        let (takeovers, elements): (Vec<_>, Vec<_>) = takeovers.into_iter().unzip();
        let first_takeover = links.len();
        links.extend(takeovers);
        self.engine.request(PodRequest {
            pod: pod_ref(known),
            sandbox: self.sandbox(known),
            links,
        });
        let links = self.engine.outcome(uid).links;
        let now = SystemTime::now();
        for ((attachment, cause), link) in requested.into_iter().zip(&links) {
            let since = self.history.since(uid, &attachment.name, link, now);
            let outcome = outcomes::outcome(attachment, link, cause, since);
            state.outcomes.push((attachment.order, outcome));
        }
        for (element, link) in elements.into_iter().zip(&links[first_takeover..]) {
            let (taken_over, outcome) = annotated::taken_over(element, link);
            let order = desired.next_order() + state.outcomes.len();
            state
                .outcomes
                .extend(outcome.map(|outcome| (order, outcome)));
            state.networks.taken_over.push(taken_over);
        }
        let stored = self.engine.entries_of(uid);
        state.removed = self.history.removed(uid, &stored);
        state
    }

    fn resolved(
        &self,
        attachment: &DesiredAttachment,
        stores: &Stores,
        record: &Record,
    ) -> Result<Resolved, Cause> {
        let text = self.configuration(attachment, stores)?;
        let resolved = resolve(attachment, &text, record)?;
        match networks::objection(&resolved, stores) {
            Some(objection) => Err((Reason::NotAllowed, objection)),
            None => Ok(resolved),
        }
    }

    /// The text of the configuration. A definition without one names a file of the node, whose content is no tenant's to
    /// use or to learn from what is refused.
    fn configuration(
        &self,
        attachment: &DesiredAttachment,
        stores: &Stores,
    ) -> Result<Arc<str>, Cause> {
        let (namespace, name) = match &attachment.source {
            ConfigurationSource::Inline(text) => return Ok(text.as_str().into()),
            ConfigurationSource::Definition { namespace, name } => (namespace, name),
        };
        let definition = stores.get::<NetworkAttachmentDefinition>(namespace, name);
        match definition {
            None => Err((
                Reason::DefinitionNotFound,
                bounded(format!(
                    "there is no NetworkAttachmentDefinition {namespace}/{name}"
                )),
            )),
            Some(found) if !found.spec.config.is_empty() => Ok(found.spec.config.as_str().into()),
            Some(_) if !AttachmentGrant::any_trusted(&attachment.permit.attachments) => Err((
                Reason::NotAllowed,
                bounded(format!(
                    "NetworkAttachmentDefinition {namespace}/{name} has no configuration, which stands for a file of the node; \
                     only a definition that a policy trusts (cni.definitions) may be empty"
                )),
            )),
            Some(_) => self.configurations.of((namespace.clone(), name.clone())),
        }
    }

    /// What is requested in one slot, and the rules for its result.
    fn link_request(&self, attachment: &DesiredAttachment, resolved: Resolved) -> LinkRequest {
        let slot = Slot::of(&resolved.chain);
        let mut rulings = lock(&self.rulings);
        let ruling = rulings.entry(slot).or_default();
        ruling.grants = resolved.grants;
        let check = match attachment.request.check.unwrap_or_default() {
            Check::Never => CheckMode::Never,
            Check::Report => CheckMode::Report,
            Check::Repair => CheckMode::Repair,
        };
        LinkRequest {
            ifname: attachment.name.clone(),
            target: Target::Attach(Box::new(Wanted {
                after: parents::of(&resolved.chain),
                chain: resolved.chain,
                requester: annotated::requester(attachment),
                spec_hash: resolved.spec_hash,
                gateways: attachment.gateways.clone(),
                check,
            })),
        }
    }

    /// Keeps what is attached, whose configuration is not known any more. All rules that allow the link are for it.
    fn keep_request(&self, container_id: &str, attachment: &DesiredAttachment) -> LinkRequest {
        let slot = Slot::new(container_id, &attachment.name);
        let mut rulings = lock(&self.rulings);
        rulings.entry(slot).or_default().grants = attachment.permit.attachments.clone();
        LinkRequest {
            ifname: attachment.name.clone(),
            target: Target::Keep,
        }
    }

    /// A pod in trouble keeps what it has.
    fn sandbox(&self, known: &RecordedPod) -> Option<Sandbox> {
        let record = &known.record;
        let is_usable = known.trouble.is_none() && record.boot_id == self.boot_id;
        is_usable.then(|| Sandbox {
            container_id: record.container_id.clone(),
            netns: NetnsId {
                boot_id: record.boot_id.clone(),
                cookie: record.cookie,
            },
        })
    }

    pub(super) fn open(&self, record: &Record) -> Option<OwnedFd> {
        let netns = sandbox::open(&self.folders, record, &self.boot_id).ok()?;
        netns.as_fd().try_clone_to_owned().ok()
    }
}

fn pod_ref(known: &RecordedPod) -> PodRef {
    PodRef {
        namespace: known.pod.namespace.clone(),
        name: known.pod.name.clone(),
        uid: known.pod.uid.clone(),
    }
}

/// A definition that is missing, broken or not read yet detaches nothing: links outlive an object that is replaced.
fn keeps(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::DefinitionNotFound
            | Reason::DefinitionInvalid
            | Reason::PluginNotAvailable
            | Reason::Reconciling
    )
}

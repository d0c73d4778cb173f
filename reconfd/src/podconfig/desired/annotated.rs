//! Pure: the links that the pod's annotation requests, beside those of its PodConfigs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use cni::selection::NetworkSelection;
use conditions::Revision;
use crds::{PodConfig, Reason, report::LinkState};
use policy::bounded;

use super::{CNI, Desired, selects};
use crate::podconfig::{
    annotation::{ANNOTATION, Requested, StatusEntry, WHOLE},
    cause::Cause,
    outcome::{LinkOutcome, LocalPod},
};

/// What the pod's annotation requests.
#[derive(Debug, Default)]
pub struct AnnotationState {
    /// By interface.
    pub elements: BTreeMap<String, NetworkSelection>,
    /// Whether what is attached for it stays as it is.
    pub is_held: bool,
    /// What Multus attached at pod start, and the annotation does not list.
    pub left_over: Vec<StatusEntry>,
}

impl Desired {
    /// Adds what its annotation says beside the links, which were evaluated as a PodConfig.
    #[must_use]
    pub fn with_annotation(mut self, requested: Requested) -> Self {
        for attachment in &mut self.attachments {
            if attachment.podconfig == ANNOTATION {
                attachment.element = requested.elements.get(&attachment.name).cloned();
            }
        }
        let refused = requested.refused.into_iter();
        let refused = refused.map(|(interface, cause)| outcome(&interface, cause));
        self.refused.extend(refused);
        let trouble = requested.trouble.map(|cause| outcome(WHOLE, cause));
        self.refused.extend(trouble);
        self.annotation = AnnotationState {
            elements: requested.elements,
            is_held: requested.is_held,
            left_over: requested.left_over,
        };
        self
    }
}

/// The interfaces that PodConfigs request in a pod.
pub fn interfaces(pod: &LocalPod, configs: &[Arc<PodConfig>]) -> BTreeSet<String> {
    let selecting = configs.iter().filter(|config| selects(config, &pod.labels));
    let links = selecting.flat_map(|config| &config.spec.links);
    links.map(|link| link.name.clone()).collect()
}

/// What does not come to a link.
fn outcome(name: &str, (reason, message): Cause) -> LinkOutcome {
    let state = match reason {
        // It waits for the annotation alone, or for what has its name.
        Reason::InterfaceUnnamed | Reason::Reconciling => LinkState::Pending,
        _ => LinkState::Failed,
    };
    LinkOutcome::absent(
        name,
        (ANNOTATION, Revision::default()),
        CNI,
        state,
        (reason, bounded(message)),
    )
}

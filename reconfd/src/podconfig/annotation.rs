//! Pure: what the annotation `k8s.v1.cni.cncf.io/networks` of a running pod requests of podconfig. It is judged as a
//! PodConfig of the pod's namespace would be.

use std::collections::{BTreeMap, BTreeSet};

use clap::ValueEnum;
use cni::selection::{self, NetworkSelection};
use crds::{PodConfig, Reason, podconfig::Link};
use store::{
    Pod,
    pod::{NETWORK_STATUS, NETWORKS},
};

use super::cause::Cause;

/// Elements as links.
mod link;
/// Which interface an element is about.
mod naming;
/// Elements of the annotation `network-status`.
mod status_entry;

use naming::{Named, Naming};
pub use status_entry::StatusEntry;

/// The name of the annotation as a PodConfig, in reports. No object can have it.
pub const ANNOTATION: &str = NETWORKS;
/// What stands for the annotation as a whole among the links of a report. No interface can have this name.
pub const WHOLE: &str = "networks annotation";

/// What the annotation of running pods is to podconfig.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum NetworksAnnotation {
    /// Not read.
    #[default]
    Off,
    /// Nothing is done while an element has no interface name, as in multus-dynamic-networks-controller.
    Strict,
    /// An element without an interface name is matched with what the pod has.
    Match,
}

impl NetworksAnnotation {
    pub fn is_followed(self) -> bool {
        self != Self::Off
    }
}

/// What the store has for a sandbox, in one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub interface: String,
    /// `namespace/name`, if it is attached for the annotation.
    pub definition: Option<String>,
    /// Whether it is deleted because nothing requests it any more.
    pub is_leaving: bool,
    /// Whether Multus attached it, and podconfig detaches it.
    pub is_of_multus: bool,
}

/// What the annotation of a pod requests.
#[derive(Debug, Default)]
pub struct Requested {
    /// The elements that podconfig attaches, as a PodConfig.
    pub config: Option<PodConfig>,
    /// By interface.
    pub elements: BTreeMap<String, NetworkSelection>,
    /// Elements that are refused before any policy, by interface.
    pub refused: Vec<(String, Cause)>,
    /// What Multus attached at pod start, and the annotation does not list.
    pub left_over: Vec<StatusEntry>,
    /// Whether everything stays as it is.
    pub is_held: bool,
    /// Why, where that is to be reported.
    pub trouble: Option<Cause>,
}

impl Requested {
    fn held(trouble: Option<Cause>) -> Self {
        Self {
            is_held: true,
            trouble,
            ..Self::default()
        }
    }
}

/// `namespace/name` of an element's definition.
pub fn definition(element: &NetworkSelection) -> String {
    format!("{}/{}", element.namespace, element.name)
}

/// What the annotation of a pod requests. `taken`: interfaces that PodConfigs request.
pub fn requested(
    pod: &Pod,
    mode: NetworksAnnotation,
    stored: &[Stored],
    taken: &BTreeSet<String>,
) -> Requested {
    if !mode.is_followed() {
        return Requested::default();
    }
    let text = pod.annotation(NETWORKS);
    // At pod start its networks are Multus' to attach.
    if !pod.is_running() {
        return text.map_or_else(Requested::default, |_| Requested::held(None));
    }
    let text = text.unwrap_or_default();
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let elements = match selection::parse(text, namespace) {
        Ok(elements) => elements,
        Err(error) => return Requested::held(Some((Reason::Invalid, error.to_string()))),
    };
    let unnamed = elements.iter().position(|one| one.interface.is_none());
    if let (NetworksAnnotation::Strict, Some(index)) = (mode, unnamed) {
        return Requested::held(Some(unnamed_element(index, &elements)));
    }
    let status = StatusEntry::list(pod.annotation(NETWORK_STATUS).unwrap_or_default());
    let naming = Naming::new(&status, stored, taken);
    as_podconfig(namespace, naming.name(elements))
}

/// Multus' entry in `network-status` would be taken for that of the next attachment.
fn leaves_first() -> Cause {
    let message =
        "what Multus attached under this name is detached, and listed in network-status until then";
    (Reason::Reconciling, message.to_owned())
}

fn unnamed_element(index: usize, elements: &[NetworkSelection]) -> Cause {
    let definition = elements.get(index).map(definition).unwrap_or_default();
    let message = format!(
        "element {index} ({definition}) has no interface name; nothing is attached or detached until each has one"
    );
    (Reason::InterfaceUnnamed, message)
}

fn as_podconfig(namespace: &str, named: Named) -> Requested {
    let Named { own, left_over } = named;
    let (mut links, mut refused) = (Vec::<Link>::new(), Vec::new());
    for (interface, element) in &own {
        if left_over.iter().any(|entry| entry.interface == *interface) {
            refused.push((interface.clone(), leaves_first()));
            continue;
        }
        match link::of(interface, element).and_then(|link| link::with_own_routes(link, &links)) {
            Ok(link) => links.push(link),
            Err(why) => refused.push((interface.clone(), (Reason::Invalid, why))),
        }
    }
    Requested {
        config: (!links.is_empty()).then(|| link::podconfig(namespace, links)),
        elements: own.into_iter().collect(),
        refused,
        left_over,
        ..Requested::default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

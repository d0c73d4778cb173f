//! Pods without a record: those that have links, those that were reported, and where to search for
//! more.

use std::collections::{BTreeSet, HashMap};

use super::pass::SandboxDiscovery;

/// A pod that was reported to have no record.
pub struct UnrecordedState {
    pub namespace: String,
    /// Whether it should have one.
    pub is_missed: bool,
}

pub struct UnrecordedPods {
    /// Pods without a record that have links.
    pub orphans: BTreeSet<String>,
    /// Pods that were reported to have no record.
    pub reported: HashMap<String, UnrecordedState>,
    /// Namespaces whose pods without a record are to be checked again.
    pub stale_namespaces: BTreeSet<String>,
    pub discovery: SandboxDiscovery,
}

impl UnrecordedPods {
    pub fn new(discovery: SandboxDiscovery) -> Self {
        Self {
            orphans: BTreeSet::new(),
            reported: HashMap::new(),
            stale_namespaces: BTreeSet::new(),
            discovery,
        }
    }

    /// Whether a namespace has pods to report, or to run the discovery for.
    pub fn has_work(&self) -> bool {
        !(self.stale_namespaces.is_empty() && self.discovery.pending.is_empty())
    }

    pub fn mark_stale(&mut self, namespace: &str) {
        self.stale_namespaces.insert(namespace.to_owned());
    }

    /// Marks the namespaces of all objects, and of all reported pods.
    pub fn mark_all_stale(&mut self, of_objects: impl Iterator<Item = String>) {
        let reported = self.reported.values().map(|pod| pod.namespace.clone());
        self.stale_namespaces.extend(of_objects.chain(reported));
    }

    /// Schedules the discovery for pods without a record in this namespace.
    pub fn discover_in(&mut self, namespace: &str) {
        self.discovery.pending.insert(namespace.to_owned());
        self.mark_stale(namespace);
    }

    /// Pods that should have a record.
    pub fn missed(&self) -> impl Iterator<Item = &String> {
        let missed = self.reported.iter().filter(|(_, state)| state.is_missed);
        missed.map(|(uid, _)| uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backfill::Backfill;

    #[test]
    fn a_reported_pod_is_checked_again_even_if_its_object_is_gone() {
        let mut pods = UnrecordedPods::new(SandboxDiscovery::new(Backfill::default()));
        assert!(!pods.has_work());
        let state = |namespace: &str, is_missed| UnrecordedState {
            namespace: namespace.into(),
            is_missed,
        };
        pods.reported.insert("u".into(), state("gone", true));
        pods.reported.insert("w".into(), state("gone", false));
        pods.mark_all_stale(["here".to_owned()].into_iter());
        let stale = ["gone".to_owned(), "here".to_owned()];
        assert_eq!(pods.stale_namespaces, BTreeSet::from(stale));
        assert!(pods.has_work());
        assert_eq!(pods.missed().collect::<Vec<_>>(), ["u"]);
    }
}

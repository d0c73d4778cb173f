//! Pods beyond `limits.podsPerNamespace`. The pods of a namespace are counted only if there are
//! more than the limit, once per pass, and only those whose position has changed are enqueued: a
//! new pod costs the others nothing.

use std::collections::{BTreeSet, HashMap};

use kube::core::SelectorExt as _;
use store::Stores;

use super::pods::Pods;

#[derive(Debug, Default)]
pub struct PodQuota {
    /// By namespace, the pods beyond its limit, with their positions among the counted ones, from
    /// 0.
    beyond: HashMap<String, HashMap<String, usize>>,
    /// Namespaces to be counted again.
    stale: BTreeSet<String>,
}

impl PodQuota {
    pub fn count_again(&mut self, namespace: &str) {
        self.stale.insert(namespace.into());
    }

    /// The position of a pod, if it is beyond the limit; otherwise 0.
    pub fn place(&self, namespace: &str, uid: &str) -> usize {
        let beyond = self.beyond.get(namespace);
        beyond
            .and_then(|beyond| beyond.get(uid))
            .copied()
            .unwrap_or_default()
    }

    /// Takes over the counted pods of a namespace, in order; returns those whose relevant position
    /// has changed.
    fn counted(&mut self, namespace: &str, limit: usize, pods: Vec<String>) -> Vec<String> {
        let now: HashMap<String, usize> = pods
            .into_iter()
            .enumerate()
            .skip(limit)
            .map(|(place, uid)| (uid, place))
            .collect();
        let before = self.beyond.remove(namespace).unwrap_or_default();
        let moved = now
            .iter()
            .filter(|(uid, place)| before.get(*uid) != Some(*place));
        let back = before.keys().filter(|uid| !now.contains_key(*uid));
        let changed = moved.map(|(uid, _)| uid).chain(back).cloned().collect();
        if !now.is_empty() {
            self.beyond.insert(namespace.into(), now);
        }
        changed
    }

    pub fn count_all_again(&mut self, namespaces: impl Iterator<Item = String>) {
        self.stale.extend(namespaces);
    }

    /// Counts changed namespaces; returns the pods that this concerns.
    pub fn count(&mut self, pods: &mut Pods, stores: &Stores) -> Vec<String> {
        self.stale.extend(pods.take_changed());
        let policies = match self.stale.is_empty() {
            true => return Vec::new(),
            false => stores.policies(),
        };
        let mut concerned = Vec::new();
        for namespace in std::mem::take(&mut self.stale) {
            let labels = stores.namespace_labels(&namespace);
            let selected = policy::selecting(policies.iter().map(AsRef::as_ref), &labels);
            let limit = policy::limits(&selected.policies).pods_per_namespace;
            let limit = limit.unwrap_or(usize::MAX);
            let counted = match pods.has_more_than(limit, &namespace) {
                true => counted_pods(pods, stores, &namespace),
                false => Vec::new(),
            };
            concerned.extend(self.counted(&namespace, limit, counted));
        }
        concerned
    }
}

/// The pods of a namespace that a PodConfig selects and that have a sandbox, the oldest first.
fn counted_pods(pods: &Pods, stores: &Stores, namespace: &str) -> Vec<String> {
    let configs = stores.podconfigs_of(namespace);
    let selectors = configs
        .iter()
        .filter_map(|config| policy::selector(&config.spec.pod_selector).ok());
    let selectors: Vec<_> = selectors.collect();
    let counts = |uid: &String| {
        let labels = pods.labels(uid, stores);
        !pods.is_gone(uid) && selectors.iter().any(|selector| selector.matches(&labels))
    };
    pods.in_order(namespace, counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods(uids: &[&str]) -> Vec<String> {
        uids.iter().map(|uid| (*uid).to_owned()).collect()
    }

    fn counted(quota: &mut PodQuota, uids: &[&str]) -> Vec<String> {
        let mut changed = quota.counted("t", 2, pods(uids));
        changed.sort_unstable();
        changed
    }

    #[test]
    fn only_pods_beyond_the_limit_and_those_that_come_back_are_concerned() {
        let mut quota = PodQuota::default();
        assert_eq!(counted(&mut quota, &["a", "b"]), pods(&[]));
        assert_eq!(
            counted(&mut quota, &["a", "b", "c", "d"]),
            pods(&["c", "d"])
        );
        assert_eq!(
            ["a", "b", "c", "d"].map(|uid| quota.place("t", uid)),
            [0, 0, 2, 3]
        );
        // The same again, and one behind them.
        assert_eq!(
            counted(&mut quota, &["a", "b", "c", "d", "e"]),
            pods(&["e"])
        );
        assert_eq!(
            counted(&mut quota, &["b", "c", "d", "e"]),
            pods(&["c", "d", "e"])
        );
        assert_eq!(
            ["b", "c", "d", "e"].map(|uid| quota.place("t", uid)),
            [0, 0, 2, 3]
        );
        assert_eq!(quota.place("u", "d"), 0);
        // Those that are gone are looked at as well: their links go.
        assert_eq!(counted(&mut quota, &["b"]), pods(&["d", "e"]));
        assert!(quota.beyond.is_empty());
    }

    #[test]
    fn where_no_pod_may_have_links_all_are_beyond_the_limit() {
        let mut quota = PodQuota::default();
        let changed = quota.counted("t", 0, pods(&["a"]));
        assert_eq!(changed, pods(&["a"]));
        assert_eq!(quota.place("t", "a"), 0);
    }
}

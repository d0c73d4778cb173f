//! Pure: the keys of the objects that a watch has reported. A relist yields exact additions and deletions.

use std::collections::BTreeSet;

use kube::{Resource, runtime::watcher::Event};

/// Namespace (empty for a cluster-scoped object) and name.
pub type ObjectKey = (String, String);

/// An object was created or changed, or it was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectEvent<K> {
    Applied(Box<K>),
    Deleted(ObjectKey),
}

#[derive(Debug, Default)]
pub struct KnownKeys {
    known: BTreeSet<ObjectKey>,
    /// The keys of the list in progress.
    listing: Option<BTreeSet<ObjectKey>>,
}

impl KnownKeys {
    /// Whether the object exists, as far as known.
    pub fn contains(&self, key: &ObjectKey) -> bool {
        self.known.contains(key)
    }

    pub fn take<K: Resource>(&mut self, event: Event<K>) -> Vec<ObjectEvent<K>> {
        match event {
            Event::Apply(object) => vec![self.applied(object)],
            Event::Delete(object) => self.deleted(&key(&object)).into_iter().collect(),
            Event::Init => {
                self.listing = Some(BTreeSet::new());
                Vec::new()
            }
            Event::InitApply(object) => {
                if let Some(listing) = &mut self.listing {
                    listing.insert(key(&object));
                }
                vec![self.applied(object)]
            }
            Event::InitDone => self.listed(),
        }
    }

    fn applied<K: Resource>(&mut self, object: K) -> ObjectEvent<K> {
        self.known.insert(key(&object));
        ObjectEvent::Applied(Box::new(object))
    }

    fn deleted<K>(&mut self, key: &ObjectKey) -> Option<ObjectEvent<K>> {
        self.known
            .remove(key)
            .then(|| ObjectEvent::Deleted(key.clone()))
    }

    /// The list is complete: objects that it does not contain are deleted.
    fn listed<K>(&mut self) -> Vec<ObjectEvent<K>> {
        let listing = self.listing.take().unwrap_or_default();
        let missing = self.known.difference(&listing);
        let missing: Vec<ObjectKey> = missing.cloned().collect();
        missing.iter().filter_map(|key| self.deleted(key)).collect()
    }
}

impl<K: Resource> ObjectEvent<K> {
    pub fn key(&self) -> ObjectKey {
        match self {
            Self::Applied(object) => key(object.as_ref()),
            Self::Deleted(key) => key.clone(),
        }
    }

    /// The key, and the object unless it was deleted.
    pub fn into_parts(self) -> (ObjectKey, Option<K>) {
        match self {
            Self::Applied(object) => (key(object.as_ref()), Some(*object)),
            Self::Deleted(key) => (key, None),
        }
    }
}

pub fn key(object: &impl Resource) -> ObjectKey {
    let meta = object.meta();
    (
        meta.namespace.clone().unwrap_or_default(),
        meta.name.clone().unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use kube::ResourceExt as _;

    use super::*;

    fn pod(name: &str) -> Pod {
        let mut pod = Pod::default();
        pod.metadata.namespace = Some("t".into());
        pod.metadata.name = Some(name.into());
        pod
    }

    fn after(keys: &mut KnownKeys, events: Vec<Event<Pod>>) -> Vec<String> {
        let events = events.into_iter().flat_map(|event| keys.take(event));
        let word = |events: ObjectEvent<Pod>| match events {
            ObjectEvent::Applied(pod) => format!("+{}", pod.name_any()),
            ObjectEvent::Deleted((_, name)) => format!("-{name}"),
        };
        events.map(word).collect()
    }

    #[test]
    fn what_a_whole_list_no_longer_holds_is_gone() {
        let mut keys = KnownKeys::default();
        let first = vec![
            Event::Init,
            Event::InitApply(pod("a")),
            Event::InitApply(pod("b")),
            Event::InitDone,
        ];
        assert_eq!(after(&mut keys, first), ["+a", "+b"]);
        let second = vec![Event::Init, Event::InitApply(pod("b")), Event::InitDone];
        assert_eq!(after(&mut keys, second), ["+b", "-a"]);
    }

    #[test]
    fn a_list_that_breaks_off_takes_nothing_away() {
        let mut keys = KnownKeys::default();
        let whole = vec![Event::Init, Event::InitApply(pod("a")), Event::InitDone];
        after(&mut keys, whole);
        let broken = vec![Event::Init, Event::InitApply(pod("b")), Event::Init];
        assert_eq!(after(&mut keys, broken), ["+b"]);
        let again = vec![Event::InitApply(pod("a")), Event::InitDone];
        assert_eq!(after(&mut keys, again), ["+a", "-b"]);
    }

    #[test]
    fn an_unknown_object_cannot_be_deleted() {
        let mut keys = KnownKeys::default();
        assert!(after(&mut keys, vec![Event::Delete(pod("a"))]).is_empty());
    }
}

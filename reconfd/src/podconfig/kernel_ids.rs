//! Pure: which pod a kernel event is about: by the id (nsid) that the switch has for a network
//! namespace, or by the ifindex of a host end.

use std::collections::{BTreeSet, HashMap};

use crate::node::links::HostNetns;

/// A host end: its place and index.
pub type HostEndKey = (HostNetns, u32);

#[derive(Debug, Default)]
pub struct NetnsIds {
    by_id: HashMap<i32, String>,
    /// A pod with a recreated sandbox has two, until the earlier one has ended.
    by_uid: HashMap<String, BTreeSet<i32>>,
}

impl NetnsIds {
    pub fn insert(&mut self, id: i32, uid: &str) {
        if self.by_id.get(&id).is_some_and(|owner| owner == uid) {
            return;
        }
        self.remove(id);
        self.by_id.insert(id, uid.to_owned());
        self.by_uid.entry(uid.to_owned()).or_default().insert(id);
    }

    /// Forgets a namespace that has ended; returns its pod.
    pub fn remove(&mut self, id: i32) -> Option<String> {
        let uid = self.by_id.remove(&id)?;
        let ids = self.by_uid.get_mut(&uid);
        if ids.is_some_and(|ids| ids.remove(&id) && ids.is_empty()) {
            self.by_uid.remove(&uid);
        }
        Some(uid)
    }

    /// The ids of matching pods.
    pub fn of(&self, is_meant: impl Fn(&str) -> bool) -> Vec<i32> {
        let meant = self.by_id.iter().filter(|(_, uid)| is_meant(uid));
        meant.map(|(id, _)| *id).collect()
    }

    pub fn forget(&mut self, uid: &str) {
        for id in self.by_uid.remove(uid).into_iter().flatten() {
            self.by_id.remove(&id);
        }
    }

    pub fn owner(&self, id: i32) -> Option<&String> {
        self.by_id.get(&id)
    }

    /// Whether a namespace of the pod exists, as far as the kernel has reported.
    pub fn has(&self, uid: &str) -> bool {
        self.by_uid.contains_key(uid)
    }
}

/// Host ends of links, with their pods' uids.
#[derive(Debug, Default)]
pub struct HostEndOwners(HashMap<HostEndKey, String>);

impl HostEndOwners {
    pub fn owner(&self, end: HostEndKey) -> Option<&String> {
        self.0.get(&end)
    }

    /// Replaces the host ends of a pod. Other pods keep theirs, even if one was `before` this pod's.
    pub fn replace<'e>(
        &mut self,
        uid: &str,
        before: impl Iterator<Item = &'e HostEndKey>,
        now: impl Iterator<Item = HostEndKey>,
    ) {
        for end in before {
            if self.0.get(end).is_some_and(|owner| owner == uid) {
                self.0.remove(end);
            }
        }
        self.0.extend(now.map(|end| (end, uid.to_owned())));
    }

    /// Ends in the switch that match, with their pods.
    pub fn in_switch(
        &self,
        is_meant: impl Fn(u32) -> bool,
    ) -> impl Iterator<Item = (u32, &String)> {
        let ends = self.0.iter();
        ends.filter_map(move |((place, index), uid)| {
            (*place == HostNetns::Switch && is_meant(*index)).then_some((*index, uid))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_pods_and_a_pod_may_have_two() {
        let mut ids = NetnsIds::default();
        ids.insert(1, "a");
        ids.insert(2, "a");
        ids.insert(2, "a");
        ids.insert(3, "b");
        assert_eq!(ids.owner(2).map(String::as_str), Some("a"));
        assert_eq!(ids.remove(1).as_deref(), Some("a"));
        assert!(ids.has("a"));
        assert_eq!(ids.of(|uid| uid == "a"), [2]);
        // The kernel gives the number of one that has ended to another.
        ids.insert(2, "b");
        assert!(!ids.has("a"));
        ids.forget("b");
        assert!(ids.by_id.is_empty() && ids.by_uid.is_empty());
        assert_eq!(ids.remove(2), None);
    }

    #[test]
    fn a_pod_gives_up_only_its_own_host_ends() {
        let (switch, node) = ((HostNetns::Switch, 5), (HostNetns::Node, 5));
        let mut ends = HostEndOwners::default();
        ends.replace("a", [].iter(), [switch, node].into_iter());
        // The kernel gave the index of a deleted end to another pod's.
        ends.replace("b", [].iter(), [switch].into_iter());
        ends.replace("a", [switch, node].iter(), [].into_iter());
        assert_eq!(ends.owner(switch).map(String::as_str), Some("b"));
        assert_eq!(ends.owner(node), None);
        assert_eq!(ends.in_switch(|index| index == 5).count(), 1);
    }
}

//! Pure: which pod a kernel event is about: by the id (nsid) that the switch has for a network
//! namespace, or by the ifindex of a host end.

use std::collections::{BTreeSet, HashMap};

use node::links::HostNetns;

/// A host end: its place and index.
pub type HostEndKey = (HostNetns, u32);

/// Index of what the kernel calls pods.
#[derive(Debug, Default)]
pub struct KernelIds {
    by_netns: HashMap<i32, String>,
    /// A pod with a recreated sandbox has two, until the earlier one has ended.
    by_uid: HashMap<String, BTreeSet<i32>>,
    host_ends: HashMap<HostEndKey, String>,
}

impl KernelIds {
    pub fn insert_netns(&mut self, id: i32, uid: &str) {
        if self.by_netns.get(&id).is_some_and(|owner| owner == uid) {
            return;
        }
        self.remove_netns(id);
        self.by_netns.insert(id, uid.to_owned());
        self.by_uid.entry(uid.to_owned()).or_default().insert(id);
    }

    /// Forgets a namespace that has ended; returns its pod.
    pub fn remove_netns(&mut self, id: i32) -> Option<String> {
        let uid = self.by_netns.remove(&id)?;
        let ids = self.by_uid.get_mut(&uid);
        if ids.is_some_and(|ids| ids.remove(&id) && ids.is_empty()) {
            self.by_uid.remove(&uid);
        }
        Some(uid)
    }

    /// The namespace ids of matching pods.
    pub fn netns_of(&self, is_meant: impl Fn(&str) -> bool) -> Vec<i32> {
        let meant = self.by_netns.iter().filter(|(_, uid)| is_meant(uid));
        meant.map(|(id, _)| *id).collect()
    }

    pub fn netns_owner(&self, id: i32) -> Option<&String> {
        self.by_netns.get(&id)
    }

    /// Whether a namespace of the pod exists, as far as the kernel has reported.
    pub fn has_netns(&self, uid: &str) -> bool {
        self.by_uid.contains_key(uid)
    }

    pub fn host_end_owner(&self, end: HostEndKey) -> Option<&String> {
        self.host_ends.get(&end)
    }

    /// Replaces the host ends of a pod. Other pods keep theirs, even if one was `before` this pod's.
    pub fn replace_host_ends<'e>(
        &mut self,
        uid: &str,
        before: impl Iterator<Item = &'e HostEndKey>,
        now: impl Iterator<Item = HostEndKey>,
    ) {
        for end in before {
            if self.host_ends.get(end).is_some_and(|owner| owner == uid) {
                self.host_ends.remove(end);
            }
        }
        self.host_ends.extend(now.map(|end| (end, uid.to_owned())));
    }

    /// Indexes of host ends in the switch that match.
    pub fn in_switch(&self, is_meant: impl Fn(u32) -> bool) -> impl Iterator<Item = u32> {
        let ends = self.host_ends.keys();
        ends.filter_map(move |(place, index)| {
            (*place == HostNetns::Switch && is_meant(*index)).then_some(*index)
        })
    }

    /// Forgets a pod with its namespaces and these host ends.
    pub fn forget<'e>(&mut self, uid: &str, ends: impl Iterator<Item = &'e HostEndKey>) {
        for id in self.by_uid.remove(uid).into_iter().flatten() {
            self.by_netns.remove(&id);
        }
        self.replace_host_ends(uid, ends, std::iter::empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_pods_and_a_pod_may_have_two() {
        let mut ids = KernelIds::default();
        ids.insert_netns(1, "a");
        ids.insert_netns(2, "a");
        ids.insert_netns(2, "a");
        ids.insert_netns(3, "b");
        assert_eq!(ids.netns_owner(2).map(String::as_str), Some("a"));
        assert_eq!(ids.remove_netns(1).as_deref(), Some("a"));
        assert!(ids.has_netns("a"));
        assert_eq!(ids.netns_of(|uid| uid == "a"), [2]);
        // The kernel gives the number of one that has ended to another.
        ids.insert_netns(2, "b");
        assert!(!ids.has_netns("a"));
        ids.forget("b", [].iter());
        assert!(ids.by_netns.is_empty() && ids.by_uid.is_empty());
        assert_eq!(ids.remove_netns(2), None);
    }

    #[test]
    fn a_pod_gives_up_only_its_own_host_ends() {
        let (switch, node) = ((HostNetns::Switch, 5), (HostNetns::Node, 5));
        let mut ends = KernelIds::default();
        ends.replace_host_ends("a", [].iter(), [switch, node].into_iter());
        // The kernel gave the index of a deleted end to another pod's.
        ends.replace_host_ends("b", [].iter(), [switch].into_iter());
        ends.replace_host_ends("a", [switch, node].iter(), [].into_iter());
        assert_eq!(ends.host_end_owner(switch).map(String::as_str), Some("b"));
        assert_eq!(ends.host_end_owner(node), None);
        assert_eq!(ends.in_switch(|index| index == 5).count(), 1);
    }
}

//! The owners of host ends. A link is identified by its mark when it is first seen, then by its ifindex,
//! which is unique while the link exists. So a host end that another program has renamed, or whose alias was
//! removed, is still ours and can be repaired in place.

use std::collections::{HashMap, HashSet};

use super::{
    link_info::LinkInfo,
    links::{HostNetns, OwnershipMark, VETH},
    present,
};

/// The mark and name that a host end was given.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owned {
    mark: OwnershipMark,
    name: String,
}

#[derive(Debug, Default)]
pub struct Ownership {
    ends: HashMap<(HostNetns, u32), Owned>,
    /// By the uid of the pod that the mark names.
    by_pod: HashMap<String, HashSet<(HostNetns, u32)>>,
}

impl Ownership {
    /// Adds a link if it has a mark: the first mark seen counts.
    pub fn see(&mut self, place: HostNetns, info: &LinkInfo, installation: &str) {
        if let Some(mark) = present::mark_of(info, installation)
            && !self.has(place, info.index)
        {
            self.mark(place, info.index, mark, &info.name);
        }
    }

    /// Records a link that this program marked and named.
    pub fn mark(&mut self, place: HostNetns, index: u32, mark: OwnershipMark, name: &str) {
        self.forget(place, index);
        let of_pod = self.by_pod.entry(mark.pod_uid.clone()).or_default();
        of_pod.insert((place, index));
        let name = name.to_owned();
        self.ends.insert((place, index), Owned { mark, name });
    }

    pub fn forget(&mut self, place: HostNetns, index: u32) {
        let Some(owned) = self.ends.remove(&(place, index)) else {
            return;
        };
        if let Some(of_pod) = self.by_pod.get_mut(&owned.mark.pod_uid) {
            of_pod.remove(&(place, index));
            if of_pod.is_empty() {
                self.by_pod.remove(&owned.mark.pod_uid);
            }
        }
    }

    /// After lost events: keeps the links that are still a veth with the recorded name or mark.
    pub fn retain_seen(&mut self, links: impl Fn(HostNetns, u32) -> Option<LinkInfo>) {
        let is_same = |place: HostNetns, index: u32, owned: &Owned| {
            links(place, index).is_some_and(|info| {
                let is_marked = info.alias.as_deref() == Some(&owned.mark.to_string());
                info.is_kind(VETH) && (info.name == owned.name || is_marked)
            })
        };
        let ends = self.ends.iter();
        let gone = ends.filter(|((place, index), owned)| !is_same(*place, *index, owned));
        let gone: Vec<(HostNetns, u32)> = gone.map(|(end, _)| *end).collect();
        gone.into_iter()
            .for_each(|(place, index)| self.forget(place, index));
    }

    pub fn has(&self, place: HostNetns, index: u32) -> bool {
        self.ends.contains_key(&(place, index))
    }

    pub fn mark_of(&self, place: HostNetns, index: u32) -> Option<&OwnershipMark> {
        self.ends.get(&(place, index)).map(|owned| &owned.mark)
    }

    /// Whether the link has the mark that it was given. True for unknown links.
    pub fn is_marked(&self, place: HostNetns, info: &LinkInfo) -> bool {
        let mark = self.mark_of(place, info.index);
        mark.is_none_or(|mark| info.alias.as_deref() == Some(&mark.to_string()))
    }

    pub fn of_pod(&self, uid: &str) -> impl Iterator<Item = (HostNetns, u32)> {
        self.by_pod.get(uid).into_iter().flatten().copied()
    }

    pub fn pods(&self) -> Vec<String> {
        self.by_pod.keys().cloned().collect()
    }

    pub fn all(&self) -> impl Iterator<Item = (HostNetns, u32)> {
        self.ends.keys().copied()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const NAME: &str = "pcabcdefghijklm";
    const ALIAS: &str = "podconfig:v1:default:uid-1:config-1:data0:hash";

    fn info(name: &str, alias: Option<&str>) -> LinkInfo {
        LinkInfo {
            index: 7,
            name: name.into(),
            alias: alias.map(str::to_owned),
            kind: Some(VETH.into()),
            ..LinkInfo::default()
        }
    }

    fn seen() -> Ownership {
        let mut ownership = Ownership::default();
        ownership.see(HostNetns::Node, &info(NAME, Some(ALIAS)), "default");
        ownership
    }

    #[test]
    fn a_host_end_that_lost_its_alias_or_its_name_is_still_the_pods() {
        let forged = ALIAS.replace("uid-1", "uid-2");
        for changed in [
            info(NAME, None),
            info("other0", Some(ALIAS)),
            info(NAME, Some(&forged)),
        ] {
            let mut ownership = seen();
            ownership.see(HostNetns::Node, &changed, "default");
            let of_pod: Vec<_> = ownership.of_pod("uid-1").collect();
            assert_eq!(of_pod, [(HostNetns::Node, 7)]);
            assert_eq!(ownership.of_pod("uid-2").count(), 0);
        }
        assert!(seen().is_marked(HostNetns::Node, &info("other0", Some(ALIAS))));
        assert!(!seen().is_marked(HostNetns::Node, &info(NAME, None)));
        assert!(!seen().is_marked(HostNetns::Node, &info(NAME, Some(&forged))));
    }

    #[test]
    fn a_link_of_that_number_that_is_another_is_not_taken_for_it_after_events_were_lost() {
        let mut ownership = seen();
        ownership.retain_seen(|_, _| Some(info(NAME, None)));
        assert!(ownership.has(HostNetns::Node, 7));
        ownership.retain_seen(|_, _| Some(info("veth0", None)));
        assert!(!ownership.has(HostNetns::Node, 7));
        assert!(ownership.pods().is_empty());
    }
}

//! Pod ends whose host end is neither in the switch nor in the node's namespace: it was moved to another one,
//! or is being deleted.

use std::collections::HashSet;

use super::mark_of;
use crate::{
    Machine,
    link_info::LinkInfo,
    links::{GROUP, Present, VETH},
    sandbox::{NetnsState, Sandbox},
};

/// A pod end without its host end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranded {
    pub index: u32,
    /// Its name in the pod.
    pub name: String,
    /// The name of the link.
    pub link: String,
}

impl Machine {
    /// A pod end is identified by its host end in any namespace except the pod's, or by its ifindex if this
    /// daemon knows it from this sandbox. The group alone is not sufficient: another installation uses the
    /// same.
    pub fn stranded(
        &self,
        sandbox: &mut Sandbox,
        pod_uid: &str,
        (inside, present): (&NetnsState, &[Present]),
        known: &HashSet<u32>,
    ) -> Vec<Stranded> {
        let has_host_end = |index: u32| {
            let mut pods = present.iter().filter_map(|link| link.pod.as_ref());
            pods.any(|pod| pod.index == index)
        };
        let is_pod_end = |info: &&LinkInfo| info.is_kind(VETH) && info.group == GROUP;
        let infos = inside.links.values().filter(is_pod_end);
        let left = infos.filter(|info| !has_host_end(info.index));
        let mut stranded = |info: &LinkInfo| {
            let host_end = other_end(sandbox, info);
            let mark = host_end.and_then(|host_end| mark_of(&host_end, &self.installation));
            let mark = mark.filter(|mark| mark.pod_uid == pod_uid);
            let is_known = known.contains(&info.index);
            (mark.is_some() || is_known).then(|| Stranded {
                index: info.index,
                name: info.name.clone(),
                link: mark.map_or_else(|| info.name.clone(), |mark| mark.link),
            })
        };
        left.filter_map(&mut stranded).collect()
    }
}

/// The host end; `None` if it is unreachable or in the pod, where the tenant can write marks.
fn other_end(sandbox: &mut Sandbox, info: &LinkInfo) -> Option<LinkInfo> {
    sandbox.link_in(info.peer_netns?, info.peer?)
}

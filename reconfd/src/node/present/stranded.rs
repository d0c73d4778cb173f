//! Pod ends whose host end is neither in the switch nor in the node's namespace: somebody took it to
//! another one, or it is going this very moment.

use std::collections::HashSet;

use super::mark_of;
use crate::node::{
    Machine,
    link_info::LinkInfo,
    links::{GROUP, Present, VETH},
    sandbox::{NetnsState, Sandbox},
};

/// What is left of a link in the pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranded {
    pub index: u32,
    /// What it is called in the pod.
    pub name: String,
    /// The link that it was.
    pub link: String,
}

impl Machine {
    /// Whose a pod end is, its host end says, wherever that is but in the pod; or this daemon has seen it in
    /// this sandbox before. The group alone says nothing: another installation uses the same.
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
        let is_pod_end = |row: &&LinkInfo| row.is_kind(VETH) && row.group == GROUP;
        let rows = inside.links.values().filter(is_pod_end);
        let left = rows.filter(|row| !has_host_end(row.index));
        let mut stranded = |row: &LinkInfo| {
            let host_end = other_end(sandbox, row);
            let mark = host_end.and_then(|host_end| mark_of(&host_end, &self.installation));
            let mark = mark.filter(|mark| mark.pod_uid == pod_uid);
            let is_known = known.contains(&row.index);
            (mark.is_some() || is_known).then(|| Stranded {
                index: row.index,
                name: row.name.clone(),
                link: mark.map_or_else(|| row.name.clone(), |mark| mark.link),
            })
        };
        left.filter_map(&mut stranded).collect()
    }
}

/// One that cannot be seen tells nothing, and neither does one in the pod: there, the tenant writes the marks.
fn other_end(sandbox: &mut Sandbox, row: &LinkInfo) -> Option<LinkInfo> {
    sandbox.link_in(row.peer_netns?, row.peer?)
}

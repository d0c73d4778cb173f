//! vlan and vxlan devices in a pod. They have no trusted host end, so attributes that the tenant can write
//! are checked against the kernel's own.

use std::{collections::BTreeSet, net::IpAddr};

use super::pod_side;
use crate::{
    Machine,
    link_info::LinkInfo,
    links::{GROUP, OwnershipMark, PresentDevice, device::VXLAN},
    netlink::Error,
    sandbox::{NetnsState, Sandbox},
    segments::is_device,
};

/// A vlan or vxlan in a pod that may be ours.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub info: LinkInfo,
    pub present: PresentDevice,
    /// Created through the node's namespace, which is impossible from inside the pod.
    pub on_node: bool,
    /// Has a mark of ours for this pod; the tenant may have written it.
    pub marked: bool,
    /// In the project's link group, as when it was created, unless the tenant changed it.
    pub grouped: bool,
}

impl Machine {
    /// The vlans and vxlans of a pod, except those with its primary addresses: these are never ours, even
    /// with a mark.
    pub fn candidates(
        &self,
        sandbox: &mut Sandbox,
        pod_uid: &str,
        inside: &NetnsState,
        primary: &BTreeSet<IpAddr>,
    ) -> Result<Vec<Candidate>, Error> {
        let infos: Vec<&LinkInfo> = inside
            .links
            .values()
            .filter(|info| is_device(info))
            .collect();
        if infos.is_empty() {
            return Ok(Vec::new());
        }
        let node = sandbox.nsid_of(&self.node.netns)?;
        let is_primary = |info: &LinkInfo| {
            let mut addresses = inside.addresses.iter();
            addresses.any(|a| a.index == info.index && primary.contains(&a.network.ip()))
        };
        let ours = |mark: &OwnershipMark| {
            mark.installation == self.installation && mark.pod_uid == pod_uid
        };
        let mut candidate = |info: &LinkInfo| {
            let (mark, grouped) = (info.mark().filter(ours), info.group == GROUP);
            let on_node = node.is_some() && info.peer_netns == node;
            // A tenant's own device may have any number of entries: they are not read.
            let is_asked = info.is_kind(VXLAN) && (on_node || grouped || mark.is_some());
            let peers = match is_asked {
                true => sandbox.peers(info.index)?,
                false => BTreeSet::new(),
            };
            let Some(pod) = pod_side(inside, info.index) else {
                return Ok(None);
            };
            Ok(Some(Candidate {
                marked: mark.is_some(),
                grouped,
                present: PresentDevice {
                    mark: mark.filter(|_| grouped),
                    pod,
                    peers,
                },
                on_node,
                info: info.clone(),
            }))
        };
        let others = infos.into_iter().filter(|info| !is_primary(info));
        others
            .filter_map(|info| candidate(info).transpose())
            .collect()
    }
}

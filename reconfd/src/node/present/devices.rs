//! Vlans and vxlans that are in a pod as a whole. They have no host end that could be believed, so what
//! the tenant can write is held against what the kernel says of the device.

use std::{collections::BTreeSet, net::IpAddr};

use super::pod_side;
use crate::node::{
    Machine,
    link_info::LinkInfo,
    links::{GROUP, OwnershipMark, PresentDevice, device::VXLAN},
    netlink::Error,
    sandbox::{NetnsState, Sandbox},
    segments::is_device,
};

/// A vlan or a vxlan in a pod that may be ours.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub info: LinkInfo,
    pub present: PresentDevice,
    /// Made by a message to the node's namespace: nobody in the pod can do that.
    pub on_node: bool,
    /// Has a mark of ours for this pod, whoever put it there.
    pub marked: bool,
    /// In the project's link group, as it was from its first moment, unless the tenant took it out.
    pub grouped: bool,
}

impl Machine {
    /// The vlans and vxlans of a pod, but for those that carry its primary addresses: whatever mark a
    /// tenant puts on such a one, it is not ours.
    pub fn candidates(
        &self,
        sandbox: &mut Sandbox,
        pod_uid: &str,
        inside: &NetnsState,
        primary: &BTreeSet<IpAddr>,
    ) -> Result<Vec<Candidate>, Error> {
        let rows: Vec<&LinkInfo> = inside.links.values().filter(|row| is_device(row)).collect();
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let node = sandbox.number_of(&self.node.netns)?;
        let is_primary = |row: &LinkInfo| {
            let mut addresses = inside.addresses.iter();
            addresses.any(|a| a.index == row.index && primary.contains(&a.network.ip()))
        };
        let ours = |mark: &OwnershipMark| {
            mark.installation == self.installation && mark.pod_uid == pod_uid
        };
        let mut candidate = |row: &LinkInfo| {
            let (mark, grouped) = (row.mark().filter(ours), row.group == GROUP);
            let on_node = node.is_some() && row.peer_netns == node;
            // A tenant's own may have as many entries as it likes: nobody asks for them.
            let is_asked = row.is_kind(VXLAN) && (on_node || grouped || mark.is_some());
            let peers = match is_asked {
                true => sandbox.peers(row.index)?,
                false => BTreeSet::new(),
            };
            let Some(pod) = pod_side(inside, row.index) else {
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
                info: row.clone(),
            }))
        };
        let others = rows.into_iter().filter(|row| !is_primary(row));
        others
            .filter_map(|row| candidate(row).transpose())
            .collect()
    }
}

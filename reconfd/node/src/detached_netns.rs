//! Network namespaces without a known path: reached by their nsid in the switch, which they keep as long as
//! they exist.

use std::collections::HashMap;

use nix::errno::Errno;

use super::{
    Machine,
    link_info::LinkInfo,
    links::{GROUP, OwnershipMark, device},
    netlink::{Error, Socket, in_netns},
    segments::is_device,
    watched_netns::get_nsid,
};

impl Machine {
    /// The nsids of all namespaces in the switch, except the node's own.
    pub fn netns_ids(&mut self) -> Result<Vec<i32>, Error> {
        let node = get_nsid(&mut self.switch.socket, &self.node.netns)?;
        let all = self.switch.netns_ids()?.into_iter();
        Ok(all.filter(|id| *id >= 0 && Some(*id) != node).collect())
    }

    /// Vlans and vxlans in a namespace, with this installation's marks, which the tenant may have written.
    pub fn devices_in(&mut self, netns: i32) -> Result<Vec<(u32, Option<OwnershipMark>)>, Error> {
        let infos = read_links_in(&mut self.switch.socket, netns)?;
        let devices = infos.into_values().filter(is_device);
        let mark_of = |info: &LinkInfo| {
            let mark = info.mark().filter(|_| info.group == GROUP);
            mark.filter(|mark| mark.installation == self.installation)
        };
        Ok(devices.map(|info| (info.index, mark_of(&info))).collect())
    }

    /// Removes links from a namespace. Missing ones count as removed.
    pub fn remove_in(&mut self, netns: i32, links: &[u32]) -> Result<(), Error> {
        for index in links {
            match self.switch.socket.change(device::delete_in(netns, *index)) {
                Err(error) if !is_gone(&error) => return Err(error),
                _ => (),
            }
        }
        Ok(())
    }
}

/// The link is gone, or its namespace, for which the kernel returns EINVAL.
fn is_gone(error: &Error) -> bool {
    matches!(error.errno, Errno::ENODEV | Errno::EINVAL)
}

/// All links of a namespace; empty if it is gone.
fn read_links_in(socket: &mut Socket, netns: i32) -> Result<HashMap<u32, LinkInfo>, Error> {
    let list = |links: &mut HashMap<u32, LinkInfo>, _, bytes: &[u8]| {
        links.extend(LinkInfo::read(bytes).map(|info| (info.index, info)));
    };
    match socket.dump(
        "list links of a namespace",
        &in_netns::list_links(netns),
        list,
    ) {
        Err(error) if is_gone(&error) => Ok(HashMap::new()),
        found => found,
    }
}

//! Network namespaces that no path leads to any more, or none that is known: reached by the number
//! (nsid) that the switch has for them, which they keep as long as they live.

use std::collections::HashMap;

use nix::errno::Errno;

use super::{
    Machine,
    link_info::LinkInfo,
    links::{GROUP, OwnershipMark, device},
    netlink::{Error, Socket, in_netns},
    segments::is_device,
    watched_netns::ask_number,
};

impl Machine {
    /// The numbers of all namespaces that the switch knows, but for the node's own.
    pub fn netns_ids(&mut self) -> Result<Vec<i32>, Error> {
        let node = ask_number(&mut self.switch.socket, &self.node.netns)?;
        let all = self.switch.netns_ids()?.into_iter();
        Ok(all.filter(|id| *id >= 0 && Some(*id) != node).collect())
    }

    /// Vlans and vxlans in a namespace, with the marks of this installation that are on them: whoever put
    /// them there.
    pub fn devices_in(&mut self, netns: i32) -> Result<Vec<(u32, Option<OwnershipMark>)>, Error> {
        let rows = read_links_in(&mut self.switch.socket, netns)?;
        let devices = rows.into_values().filter(is_device);
        let mark_of = |row: &LinkInfo| {
            let mark = row.mark().filter(|_| row.group == GROUP);
            mark.filter(|mark| mark.installation == self.installation)
        };
        Ok(devices.map(|row| (row.index, mark_of(&row))).collect())
    }

    /// Removes links from a namespace. One that is gone already is removed.
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

/// The link, or its namespace, which the kernel then calls an invalid argument.
fn is_gone(error: &Error) -> bool {
    matches!(error.errno, Errno::ENODEV | Errno::EINVAL)
}

/// All links of a namespace; none, where it is gone.
fn read_links_in(socket: &mut Socket, netns: i32) -> Result<HashMap<u32, LinkInfo>, Error> {
    let list = |links: &mut HashMap<u32, LinkInfo>, _, bytes: &[u8]| {
        links.extend(LinkInfo::read(bytes).map(|row| (row.index, row)));
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

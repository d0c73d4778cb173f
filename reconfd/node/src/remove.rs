//! Batched removal of links: each deletion waits for an RCU grace period, about 16 ms; the deletion of a
//! whole group waits once.

use std::collections::HashSet;

use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkMessage},
};
use rtnetlink::LinkUnspec;

use super::{
    Machine,
    links::{GROUP, HostNetns, ownership_mark::is_host_end_name},
    netlink::{Error, Request, first_error},
    watched_netns::{WatchedNetns, read_links},
};

/// Temporary link groups for batched deletion; the first unused one is taken.
const SCRATCH_GROUPS: std::ops::Range<u32> = 0x7063_7000..0x7063_7fff;

impl Machine {
    /// Removes links by ifindex. Missing ones count as removed.
    pub fn remove(&mut self, links: &[(HostNetns, u32)]) -> Result<(), Error> {
        for place in [HostNetns::Switch, HostNetns::Node] {
            let of_place = links.iter().filter(|(at, _)| *at == place);
            let mut indexes: Vec<u32> = of_place.map(|(_, index)| *index).collect();
            if indexes.is_empty() {
                continue;
            }
            let watched = self.host_netns_mut(place);
            if place == HostNetns::Node {
                keep_ours(watched, &mut indexes)?;
            }
            match indexes[..] {
                [] => (),
                [index] => one(watched, index)?,
                _ => set(watched, &indexes)?,
            }
            // Removed from the cache before the event arrives.
            for index in indexes {
                let gone = self.host_netns_mut(place).links.remove(&index);
                self.update_cache(place, gone.as_ref(), None);
            }
        }
        Ok(())
    }
}

/// In the node's namespace other programs create links as well and may have reused an ifindex.
fn keep_ours(watched: &mut WatchedNetns, indexes: &mut Vec<u32>) -> Result<(), Error> {
    let now = read_links(&mut watched.socket)?;
    let is_same = |index: &u32| {
        now.get(index).is_some_and(|info| {
            let is_ours = is_host_end_name(&info.name) || info.group == GROUP;
            let known = watched.links.get(index);
            is_ours && known.is_none_or(|known| known.name == info.name)
        })
    };
    indexes.retain(is_same);
    Ok(())
}

fn one(watched: &mut WatchedNetns, index: u32) -> Result<(), Error> {
    let message = LinkUnspec::new_with_index(index).build();
    let name = watched
        .links
        .get(&index)
        .map_or_else(|| format!("number {index}"), |info| info.name.clone());
    watched.socket.change(Request::deletion(
        format!("delete link {name}"),
        RouteNetlinkMessage::DelLink(message),
    ))
}

/// A group deletion removes all members of the group, so it must contain only the given links: it is unused
/// before, and its members are verified after they were added.
fn set(watched: &mut WatchedNetns, indexes: &[u32]) -> Result<(), Error> {
    let taken: HashSet<u32> = read_links(&mut watched.socket)?
        .values()
        .map(|info| info.group)
        .collect();
    let Some(group) = SCRATCH_GROUPS
        .into_iter()
        .find(|group| !taken.contains(group))
    else {
        return indexes.iter().try_for_each(|index| one(watched, *index));
    };
    let gather: Vec<Request> = indexes
        .iter()
        .map(|index| {
            let message = LinkUnspec::new_with_index(*index).link_group(group).build();
            Request::deletion(
                format!("group link {index}"),
                RouteNetlinkMessage::SetLink(message),
            )
        })
        .collect();
    first_error(watched.socket.batch(&gather))?;
    let gathered: HashSet<u32> = read_links(&mut watched.socket)?
        .values()
        .filter(|info| info.group == group)
        .map(|info| info.index)
        .collect();
    if !gathered.iter().all(|index| indexes.contains(index)) {
        return indexes.iter().try_for_each(|index| one(watched, *index));
    }
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::Group(group));
    let op = format!("delete {} links", gathered.len());
    watched
        .socket
        .change(Request::deletion(op, RouteNetlinkMessage::DelLink(message)))
}

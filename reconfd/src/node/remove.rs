//! Links taken away, in sets: one deletion waits out a grace period of the kernel, about 16 ms, and
//! one deletion of a whole group waits it out once.

use std::collections::HashSet;

use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkMessage},
};
use rtnetlink::LinkUnspec;

use super::{
    Machine,
    apply::first_error,
    links::{GROUP, HostNetns, ownership_mark::is_host_end_name},
    netlink::{Error, Request},
    watched_netns::{WatchedNetns, read_links},
};

/// Link groups that a set of victims is gathered in; the first that no link is in.
const SCRATCH_GROUPS: std::ops::Range<u32> = 0x7063_7000..0x7063_7fff;

impl Machine {
    /// Removes links by number. One that is gone already is removed.
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
            // Known to be gone before it is heard.
            for index in indexes {
                let gone = self.host_netns_mut(place).links.remove(&index);
                self.update_cache(place, gone.as_ref(), None);
            }
        }
        Ok(())
    }
}

/// In the node's namespace others make links as well, and a number whose link has just gone may be
/// theirs by now.
fn keep_ours(watched: &mut WatchedNetns, indexes: &mut Vec<u32>) -> Result<(), Error> {
    let now = read_links(&mut watched.socket)?;
    let is_same = |index: &u32| {
        now.get(index).is_some_and(|row| {
            let is_ours = is_host_end_name(&row.name) || row.group == GROUP;
            let known = watched.links.get(index);
            is_ours && known.is_none_or(|known| known.name == row.name)
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
        .map_or_else(|| format!("number {index}"), |row| row.name.clone());
    watched.socket.change(Request::deletion(
        format!("delete link {name}"),
        RouteNetlinkMessage::DelLink(message),
    ))
}

/// A group deletion takes whatever is in the group, so the group must hold the victims and no other:
/// it is empty before, and its members are read again after they were gathered.
fn set(watched: &mut WatchedNetns, indexes: &[u32]) -> Result<(), Error> {
    let taken: HashSet<u32> = read_links(&mut watched.socket)?
        .values()
        .map(|row| row.group)
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
                format!("gather link number {index}"),
                RouteNetlinkMessage::SetLink(message),
            )
        })
        .collect();
    first_error(watched.socket.batch(&gather))?;
    let gathered: HashSet<u32> = read_links(&mut watched.socket)?
        .values()
        .filter(|row| row.group == group)
        .map(|row| row.index)
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

//! Removes what is left of an installation after its pods' links are gone.

use std::io;

use super::{Machine, links::HostNetns, netlink::Error};

/// `lo`, which every namespace has.
const LO: u32 = 1;

impl Machine {
    /// Removes all links in the switch, the peer filter, and the switch's pin. The namespace is released when
    /// this value is dropped.
    pub fn close(mut self) -> io::Result<()> {
        self.read_again().map_err(io::Error::other)?;
        self.remove_ends().map_err(io::Error::other)?;
        self.empty_switch().map_err(io::Error::other)?;
        self.filter.retain(|_| false).map_err(io::Error::other)?;
        self.pin.unpin()
    }

    /// Removes the host ends of pods that could not be entered; the kernel deletes the other ends with them.
    fn remove_ends(&mut self) -> Result<(), Error> {
        let pods = self.pods_with_links();
        let ends = pods.iter().flat_map(|uid| self.ends_of(uid));
        let links: Vec<_> = ends.map(|(place, info, _)| (place, info.index)).collect();
        self.remove(&links)
    }

    /// All links in the switch are ours.
    fn empty_switch(&mut self) -> Result<(), Error> {
        let indexes = self.switch.links.keys().filter(|index| **index != LO);
        let links: Vec<_> = indexes.map(|index| (HostNetns::Switch, *index)).collect();
        self.remove(&links)
    }
}

//! The machine given back: what is left of an installation when its pods' links are gone.

use std::io;

use super::{Machine, links::HostNetns, netlink::Error};

/// `lo`, which no namespace is without.
const LO: u32 = 1;

impl Machine {
    /// Takes away what is still in the switch, the peer filter, and the switch's pin. The namespace itself
    /// goes with this value.
    pub fn close(mut self) -> io::Result<()> {
        self.read_again().map_err(io::Error::other)?;
        self.remove_ends().map_err(io::Error::other)?;
        self.empty_switch().map_err(io::Error::other)?;
        self.filter.retain(|_| false).map_err(io::Error::other)?;
        self.pin.unpin()
    }

    /// The host ends of pods that could not be visited; the other ends go with them.
    fn remove_ends(&mut self) -> Result<(), Error> {
        let pods = self.pods_with_links();
        let ends = pods.iter().flat_map(|uid| self.ends_of(uid));
        let links: Vec<_> = ends.map(|(place, row, _)| (place, row.index)).collect();
        self.remove(&links)
    }

    /// All that is in the switch is ours.
    fn empty_switch(&mut self) -> Result<(), Error> {
        let indexes = self.switch.links.keys().filter(|index| **index != LO);
        let links: Vec<_> = indexes.map(|index| (HostNetns::Switch, *index)).collect();
        self.remove(&links)
    }
}

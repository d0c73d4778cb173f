//! The machine given back: what is left of an installation when its pods' links are gone.

use std::io;

use super::{Machine, links::Place, netlink::Error};

/// `lo`, which no namespace is without.
const LO: u32 = 1;

impl Machine {
    /// Takes away what is still in the switch, the peer filter, and the switch's pin. The namespace itself
    /// goes with this value.
    pub fn close(mut self) -> io::Result<()> {
        self.read_again().map_err(io::Error::other)?;
        self.empty_switch().map_err(io::Error::other)?;
        self.filter.retain(|_| false).map_err(io::Error::other)?;
        self.pin.unpin()
    }

    /// All that is in the switch is ours.
    fn empty_switch(&mut self) -> Result<(), Error> {
        let indexes = self.switch.links.keys().filter(|index| **index != LO);
        let links: Vec<_> = indexes.map(|index| (Place::Switch, *index)).collect();
        self.remove(&links)
    }
}

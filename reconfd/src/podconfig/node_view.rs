//! What decisions see of the node.

use node::{
    Machine,
    filter::{PeerFilter, Tunnel},
    link_info::{LinkData, LinkInfo},
    links::{Segment, device::shared},
};

/// View of the node's links and filter, as they are now.
pub trait NodeView {
    fn installation(&self) -> &str;
    /// Index of a bridge in the switch, if it exists.
    fn of_switch(&self, name: &str) -> Option<u32>;
    /// A link of the node, by name or altname.
    fn of_node(&self, name: &str) -> Option<&LinkInfo>;
    /// Whether a link of that name has left the node's namespace for another.
    fn is_elsewhere(&self, name: &str) -> bool;
    /// A foreign link of the node that takes the same frames.
    fn conflicting(&self, parent: u32, data: &LinkData) -> Option<&LinkInfo>;
    fn shared(&self, segment: &Segment) -> shared::PresentSegment<'_>;
    fn has_filter(&self) -> bool;
    fn peer_filter(&self, tunnel: Tunnel) -> Option<&PeerFilter>;
}

impl NodeView for Machine {
    fn installation(&self) -> &str {
        &self.installation
    }

    fn of_switch(&self, name: &str) -> Option<u32> {
        self.bridge_index(name)
    }

    fn of_node(&self, name: &str) -> Option<&LinkInfo> {
        self.node.link_called(name)
    }

    fn is_elsewhere(&self, name: &str) -> bool {
        self.has_moved(name)
    }

    fn conflicting(&self, parent: u32, data: &LinkData) -> Option<&LinkInfo> {
        self.conflicting_device(parent, data)
    }

    fn shared(&self, segment: &Segment) -> shared::PresentSegment<'_> {
        self.shared_device(segment)
    }

    fn has_filter(&self) -> bool {
        self.filter.is_available()
    }

    fn peer_filter(&self, tunnel: Tunnel) -> Option<&PeerFilter> {
        self.filter.tunnels().get(&tunnel)
    }
}

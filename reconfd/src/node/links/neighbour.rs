//! What a pod has learned of its neighbours ↔ netlink messages, pure.

use netlink_packet_core::Parseable;
use netlink_packet_route::{
    RouteNetlinkMessage,
    neighbour::{NeighbourAttribute, NeighbourMessage, NeighbourState},
};

use crate::node::netlink::{Body, Request};

/// The question for the neighbours of both families.
pub fn list() -> Body {
    Body::Route(RouteNetlinkMessage::GetNeighbour(
        NeighbourMessage::default(),
    ))
}

/// A neighbour on a link that the kernel has learned by itself, from everything behind the netlink header.
pub fn read_learned(body: &[u8], index: u32) -> Option<NeighbourMessage> {
    let message = NeighbourMessage::parse(body).ok()?;
    let is_set = matches!(
        message.header.state,
        NeighbourState::Permanent | NeighbourState::Noarp
    );
    (message.header.ifindex == index && !is_set).then_some(message)
}

pub fn forget(mut neighbour: NeighbourMessage) -> Request {
    let is_destination = |a: &NeighbourAttribute| matches!(a, NeighbourAttribute::Destination(_));
    neighbour.attributes.retain(is_destination);
    Request::deletion(
        "forget a neighbour",
        RouteNetlinkMessage::DelNeighbour(neighbour),
    )
}

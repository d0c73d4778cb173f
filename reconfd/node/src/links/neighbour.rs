//! A pod's neighbour entries ↔ netlink messages, pure: learned entries, and those that the pod wrote.

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE, Parseable};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    neighbour::{NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState},
};

use crate::netlink::{Body, Request};

/// Dump request for the neighbours of both families.
pub fn list() -> Body {
    Body::Route(RouteNetlinkMessage::GetNeighbour(
        NeighbourMessage::default(),
    ))
}

/// A learned neighbour on a link, from a message payload.
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
        "delete a learned neighbour",
        RouteNetlinkMessage::DelNeighbour(neighbour),
    )
}

/// Dump requests for the neighbours on one link, one for each family.
pub fn list_on(index: u32) -> [Body; 2] {
    [AddressFamily::Inet, AddressFamily::Inet6].map(|family| {
        let mut message = NeighbourMessage::default();
        message.header.family = family;
        message.attributes.push(NeighbourAttribute::IfIndex(index));
        Body::Route(RouteNetlinkMessage::GetNeighbour(message))
    })
}

/// The request that restores a neighbour entry written by the pod or a routing daemon in it: with each change
/// of a link's MAC address, also to the same one, the kernel drops all entries of the link.
pub fn kept(body: &[u8], index: u32) -> Option<Request> {
    let mut message = NeighbourMessage::parse(body).ok()?;
    let header = &mut message.header;
    let is_written = header.state == NeighbourState::Permanent
        || header.flags.contains(NeighbourFlags::ExtLearned);
    if header.ifindex != index || !is_written {
        return None;
    }
    header.flags &= NeighbourFlags::ExtLearned | NeighbourFlags::Router;
    message.attributes.retain(|attribute| {
        matches!(
            attribute,
            NeighbourAttribute::Destination(_)
                | NeighbourAttribute::LinkLayerAddress(_)
                | NeighbourAttribute::Protocol(_)
        )
    });
    Some(Request::new(
        "restore a neighbour entry of the pod",
        NLM_F_CREATE | NLM_F_REPLACE,
        RouteNetlinkMessage::NewNeighbour(message),
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::net::Ipv4Addr;

    use netlink_packet_core::Emitable as _;

    use super::*;

    fn entry(state: NeighbourState, flags: NeighbourFlags) -> Vec<u8> {
        let mut message = NeighbourMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.ifindex = 7;
        message.header.state = state;
        message.header.flags = flags;
        message.attributes = vec![
            NeighbourAttribute::Destination(Ipv4Addr::new(10, 1, 0, 9).into()),
            NeighbourAttribute::LinkLayerAddress(vec![2, 0, 0, 0, 0, 9]),
        ];
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(&mut bytes);
        bytes
    }

    #[test]
    fn what_the_pod_wrote_comes_back_as_it_was() {
        for (state, flags) in [
            (NeighbourState::Permanent, NeighbourFlags::empty()),
            (NeighbourState::Reachable, NeighbourFlags::ExtLearned),
            (NeighbourState::Permanent, NeighbourFlags::Router),
        ] {
            let body = entry(state, flags);
            let Body::Route(RouteNetlinkMessage::NewNeighbour(again)) =
                kept(&body, 7).unwrap().body
            else {
                panic!("another message");
            };
            let mut bytes = vec![0; again.buffer_len()];
            again.emit(&mut bytes);
            assert_eq!(bytes, body);
        }
    }

    #[test]
    fn what_the_kernel_found_out_is_left_to_it_and_other_links_are_left_alone() {
        let none = NeighbourFlags::empty();
        assert!(kept(&entry(NeighbourState::Reachable, none), 7).is_none());
        assert!(kept(&entry(NeighbourState::Permanent, none), 8).is_none());
        assert!(kept(&[0; 4], 7).is_none(), "what is torn is nothing");
    }
}

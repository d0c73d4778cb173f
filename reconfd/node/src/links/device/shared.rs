//! Pure: the edits from a segment's present device in the switch to the wanted one.

use std::{collections::BTreeSet, net::IpAddr};

use netlink_packet_route::RouteNetlinkMessage;
use rtnetlink::LinkUnspec;

use super::{Segment, peers};
use crate::{
    link_info::LinkInfo,
    links::{WantDevice, bridge, ownership_mark},
    netlink::Request,
    port::Port,
};

/// The port flags of a segment's uplink: it learns, and unknown destinations are flooded to it.
pub const UPLINK_PORT: Port = Port {
    learning: true,
    flood: true,
    locked: false,
};

/// The present state of a segment in the switch.
#[derive(Clone, Copy, Debug)]
pub struct PresentSegment<'a> {
    pub bridge: Option<&'a LinkInfo>,
    pub device: Option<&'a LinkInfo>,
    pub peers: &'a BTreeSet<IpAddr>,
}

/// One change to a segment's device. Each may be repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SegmentEdit {
    /// The bridge's alias names the owner of the segment.
    Owner,
    Mtu,
    /// The device joins the bridge.
    Join,
    /// The port's flags, with the device raised where its parent is up.
    Port,
    DeletePeer(IpAddr),
    AddPeer(IpAddr),
}

/// The content of the bridge's alias: the owner and the segment.
pub fn stands_for(segment: &Segment, owner: &str) -> String {
    format!("{owner}/{segment}")
}

/// The bridge's alias.
pub fn alias(segment: &Segment, owner: &str, installation: &str) -> String {
    ownership_mark::bridge_alias(installation, &stands_for(segment, owner))
}

/// The edits to the wanted device, empty if it is correct; `None`: it must be created or recreated.
pub fn edits(
    present: PresentSegment<'_>,
    segment: &Segment,
    want: &WantDevice,
    installation: &str,
) -> Option<Vec<SegmentEdit>> {
    let (bridge, device) = (present.bridge?, present.device?);
    if !is_same(device, segment, want) || !segment.data.suits(present.peers) {
        return None;
    }
    let alias = alias(segment, &want.owner, installation);
    let mut edits = Vec::new();
    let mut when = |needed: bool, edit: SegmentEdit| edits.extend(needed.then_some(edit));
    when(bridge.alias.as_deref() != Some(&alias), SegmentEdit::Owner);
    when(device.mtu != want.mtu, SegmentEdit::Mtu);
    let joins = device.master != Some(bridge.index);
    when(joins, SegmentEdit::Join);
    let is_up = device.up || !want.up;
    when(
        joins || device.port != Some(UPLINK_PORT) || !is_up,
        SegmentEdit::Port,
    );
    // Additions before deletions: a segment is never without a peer.
    edits.extend(
        want.peers
            .difference(present.peers)
            .copied()
            .map(SegmentEdit::AddPeer),
    );
    edits.extend(
        present
            .peers
            .difference(&want.peers)
            .copied()
            .map(SegmentEdit::DeletePeer),
    );
    Some(edits)
}

/// Whether the device has the wanted identity and parent.
fn is_same(device: &LinkInfo, segment: &Segment, want: &WantDevice) -> bool {
    let is_on_parent = match &segment.data {
        super::Data::Vlan(_) => device.peer == Some(want.parent),
        super::Data::Vxlan(_) => true,
    };
    is_on_parent && device.data == Some(segment.data.as_link_data(want.parent))
}

/// The request of an edit, for the device and the bridge with these ifindexes.
pub fn requests(
    edit: &SegmentEdit,
    segment: &Segment,
    (device, bridge): (u32, u32),
    want: &WantDevice,
    installation: &str,
) -> Request {
    let name = segment.device_name();
    let set = |op: String, message| Request::new(op, 0, RouteNetlinkMessage::SetLink(message));
    match edit {
        SegmentEdit::Owner => {
            let alias = alias(segment, &want.owner, installation);
            set(
                format!("set the owner of {segment}"),
                LinkUnspec::new_with_index(bridge).alias(alias).build(),
            )
        }
        SegmentEdit::Mtu => set(
            format!("set the MTU of {segment}"),
            LinkUnspec::new_with_index(device).mtu(want.mtu).build(),
        ),
        SegmentEdit::Join => bridge::join(&name, device, bridge),
        SegmentEdit::Port => bridge::set_port(&name, device, UPLINK_PORT, want.up),
        SegmentEdit::AddPeer(peer) => peers::add(&name, device, *peer),
        SegmentEdit::DeletePeer(peer) => peers::delete(&name, device, *peer),
    }
}

/// The edits after the creation of the device.
pub fn follow(want: &WantDevice) -> Vec<SegmentEdit> {
    let peers = want.peers.iter().copied().map(SegmentEdit::AddPeer);
    peers.chain([SegmentEdit::Port]).collect()
}

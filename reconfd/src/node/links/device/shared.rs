//! Pure: what must change to make a segment's device in the switch the wanted one.

use std::{collections::BTreeSet, net::IpAddr};

use netlink_packet_route::RouteNetlinkMessage;
use rtnetlink::LinkUnspec;

use super::{Segment, peers};
use crate::node::{
    link_info::{LinkInfo, Port},
    links::{WantDevice, bridge, mark},
    netlink::Request,
};

/// The way out of a segment: unknown addresses are behind it, and known ones are remembered.
pub const WAY_OUT: Port = Port {
    learning: true,
    flood: true,
    locked: false,
};

/// A segment as it is in the switch.
#[derive(Clone, Copy, Debug)]
pub struct Present<'a> {
    pub bridge: Option<&'a LinkInfo>,
    pub device: Option<&'a LinkInfo>,
    pub peers: &'a BTreeSet<IpAddr>,
}

/// One change to a segment's device. Each may be repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// The bridge says who has the segment.
    Owner,
    Mtu,
    /// The device joins the bridge.
    Join,
    /// The port's flags, with the device raised where its parent is up.
    Port,
    DeletePeer(IpAddr),
    AddPeer(IpAddr),
}

/// What the bridge's alias says: who has the segment, and what it is.
pub fn stands_for(segment: &Segment, owner: &str) -> String {
    format!("{owner}/{segment}")
}

/// The bridge's alias.
pub fn alias(segment: &Segment, owner: &str, installation: &str) -> String {
    mark::bridge_alias(installation, &stands_for(segment, owner))
}

/// The edits to the wanted device, none if all is right; `None`: it must be made, or made anew.
pub fn edits(
    present: Present<'_>,
    segment: &Segment,
    want: &WantDevice,
    installation: &str,
) -> Option<Vec<Edit>> {
    let (bridge, device) = (present.bridge?, present.device?);
    if !is_same(device, segment, want) || !segment.data.suits(present.peers) {
        return None;
    }
    let alias = alias(segment, &want.owner, installation);
    let mut edits = Vec::new();
    let mut when = |needed: bool, edit: Edit| edits.extend(needed.then_some(edit));
    when(bridge.alias.as_deref() != Some(&alias), Edit::Owner);
    when(device.mtu != want.mtu, Edit::Mtu);
    let joins = device.master != Some(bridge.index);
    when(joins, Edit::Join);
    let is_up = device.up || !want.up;
    when(joins || device.port != Some(WAY_OUT) || !is_up, Edit::Port);
    // What comes, comes before what goes: a segment is never without any of its ends.
    edits.extend(
        want.peers
            .difference(present.peers)
            .copied()
            .map(Edit::AddPeer),
    );
    edits.extend(
        present
            .peers
            .difference(&want.peers)
            .copied()
            .map(Edit::DeletePeer),
    );
    Some(edits)
}

/// Whether the device is the one that is wanted, on the parent that is wanted.
fn is_same(device: &LinkInfo, segment: &Segment, want: &WantDevice) -> bool {
    let is_on_parent = match &segment.data {
        super::Data::Vlan(_) => device.peer == Some(want.parent),
        super::Data::Vxlan(_) => true,
    };
    is_on_parent && device.data == Some(segment.data.as_link_data(want.parent))
}

/// The messages of an edit, for the device and the bridge with these numbers.
pub fn requests(
    edit: &Edit,
    segment: &Segment,
    (device, bridge): (u32, u32),
    want: &WantDevice,
    installation: &str,
) -> Request {
    let name = segment.device_name();
    let set = |op: String, message| Request::new(op, 0, RouteNetlinkMessage::SetLink(message));
    match edit {
        Edit::Owner => {
            let alias = alias(segment, &want.owner, installation);
            set(
                format!("say who has {segment}"),
                LinkUnspec::new_with_index(bridge).alias(alias).build(),
            )
        }
        Edit::Mtu => set(
            format!("set the MTU of {segment}"),
            LinkUnspec::new_with_index(device).mtu(want.mtu).build(),
        ),
        Edit::Join => bridge::join(&name, device, bridge),
        Edit::Port => bridge::set_port(&name, device, WAY_OUT, want.up),
        Edit::AddPeer(peer) => peers::add(&name, device, *peer),
        Edit::DeletePeer(peer) => peers::delete(&name, device, *peer),
    }
}

/// What the device needs behind the message that makes it.
pub fn follow(want: &WantDevice) -> Vec<Edit> {
    let peers = want.peers.iter().copied().map(Edit::AddPeer);
    peers.chain([Edit::Port]).collect()
}

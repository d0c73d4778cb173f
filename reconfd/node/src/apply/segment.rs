//! Shared segments: a bridge in the switch, and on it a vlan or vxlan whose parent stays in the node's
//! namespace. Created before the first link on it.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    os::fd::{AsFd, AsRawFd},
};

use nix::errno::Errno;

use crate::{
    Machine, UplinkChange,
    link_info::LinkInfo,
    links::{
        HostEnd, HostNetns, Segment, Veth, WantDevice,
        device::{
            self, Site,
            peers::{self, Entry},
            shared::{self, SegmentEdit},
        },
    },
    netlink::{Error, Request, first_error},
    segments::{learned, read_peers},
};

static NO_PEERS: BTreeSet<IpAddr> = BTreeSet::new();

impl Machine {
    /// The present state of a segment in the switch.
    pub fn shared_device(&self, segment: &Segment) -> shared::PresentSegment<'_> {
        let bridge = self.bridge_index(&segment.name);
        let name = segment.device_name();
        let device = self.devices.get(&name).copied();
        let info = |index: Option<u32>| self.switch.links.get(&index?);
        shared::PresentSegment {
            bridge: info(bridge),
            device: info(device),
            peers: device
                .and_then(|index| self.peers.get(&index))
                .unwrap_or(&NO_PEERS),
        }
    }

    /// Reconciles the segment's peer filter, bridge and device.
    pub fn apply_segment(&mut self, segment: &Segment, device: &WantDevice) -> Result<(), Error> {
        let bridge = self.bridge(&segment.name, &shared::stands_for(segment, &device.owner))?;
        self.admit(&segment.data, device)?;
        let present = self.shared_device(segment);
        let found = present.device.map(|info| info.index);
        match (
            shared::edits(present, segment, device, &self.installation),
            found,
        ) {
            (Some(edits), Some(index)) => self.edit_shared(segment, device, index, bridge, &edits),
            (_, found) => {
                if let Some(index) = found {
                    self.remove(&[(HostNetns::Switch, index)])?;
                }
                self.make_shared(segment, device, bridge)
            }
        }
    }

    /// Restricts a tunnel to its peers, before its device exists.
    pub(super) fn admit(&mut self, data: &device::Data, want: &WantDevice) -> Result<(), Error> {
        let (device::Data::Vxlan(vxlan), Some(peer_filter)) = (data, &want.peer_filter) else {
            return Ok(());
        };
        self.filter.set(vxlan.tunnel(), peer_filter.clone())
    }

    /// The message is sent in the node's namespace, where the parent is; the device is created directly in
    /// the switch.
    fn make_shared(
        &mut self,
        segment: &Segment,
        want: &WantDevice,
        bridge: u32,
    ) -> Result<(), Error> {
        let index = self.switch.take_index();
        let name = segment.device_name();
        let site = Site {
            name: &name,
            index,
            parent: want.parent,
            netns: Some(self.switch.netns.as_fd().as_raw_fd()),
            mtu: want.mtu,
            mac: None,
            bridge: Some(bridge),
            grouped: false,
        };
        let create = device::create(&segment.data, &site);
        self.node.socket.change(create).map_err(in_use)?;
        let info = LinkInfo {
            index,
            name: name.clone(),
            up: false,
            mtu: want.mtu,
            mac: self.node.links.get(&want.parent).and_then(|info| info.mac),
            peer: Some(want.parent),
            master: Some(bridge),
            kind: Some(segment.data.kind().into()),
            data: Some(segment.data.as_link_data(want.parent)),
            ..LinkInfo::default()
        };
        self.switch.links.insert(index, info);
        self.devices.insert(name, index);
        let made = self.apply_shared(segment, want, index, bridge, &shared::follow(want));
        match made {
            Ok(()) => self.uplink_changes.push((bridge, UplinkChange::Opened)),
            Err(_) => self.unfinished.push((HostNetns::Switch, index)),
        }
        made
    }

    /// Changes the device of a segment, which may have pods already.
    fn edit_shared(
        &mut self,
        segment: &Segment,
        want: &WantDevice,
        index: u32,
        bridge: u32,
        edits: &[SegmentEdit],
    ) -> Result<(), Error> {
        self.apply_shared(segment, want, index, bridge, edits)?;
        let is_extended = edits
            .iter()
            .any(|edit| matches!(edit, SegmentEdit::AddPeer(_)));
        if is_extended {
            self.uplink_changes.push((bridge, UplinkChange::Extended));
            self.forget_learned(segment, index)?;
        }
        let is_opened = |edit: &SegmentEdit| matches!(edit, SegmentEdit::Join | SegmentEdit::Port);
        if edits.iter().any(is_opened) {
            self.uplink_changes.push((bridge, UplinkChange::Opened));
        }
        Ok(())
    }

    fn apply_shared(
        &mut self,
        segment: &Segment,
        want: &WantDevice,
        index: u32,
        bridge: u32,
        edits: &[SegmentEdit],
    ) -> Result<(), Error> {
        let requests: Vec<Request> = edits
            .iter()
            .map(|edit| shared::requests(edit, segment, (index, bridge), want, &self.installation))
            .collect();
        let mut done = first_error(self.switch.socket.batch(&requests)).map_err(in_use);
        if done.is_ok() {
            done = self.forget_ends(segment, index, edits);
        }
        if done.is_err() {
            // The edits may be partially applied: read the state again.
            self.peers = read_peers(&mut self.switch)?;
            return done;
        }
        self.unfinished
            .retain(|link| *link != (HostNetns::Switch, index));
        for edit in edits {
            self.expect_shared(segment, want, (index, bridge), edit);
        }
        Ok(())
    }

    /// Learned entries for a removed peer would direct frames there for minutes.
    fn forget_ends(
        &mut self,
        segment: &Segment,
        index: u32,
        edits: &[SegmentEdit],
    ) -> Result<(), Error> {
        let gone = edits.iter().filter_map(|edit| match edit {
            SegmentEdit::DeletePeer(peer) => Some(*peer),
            _ => None,
        });
        let gone: BTreeSet<IpAddr> = gone.collect();
        if gone.is_empty() {
            return Ok(());
        }
        let is_behind = |entry: &Entry| gone.contains(&entry.peer);
        self.forget(segment, index, is_behind)
    }

    /// Pods behind a new peer may have been behind another before and announced themselves while frames of
    /// their new node were filtered here. Unknown addresses are flooded to all peers and learned again.
    fn forget_learned(&mut self, segment: &Segment, index: u32) -> Result<(), Error> {
        self.forget(segment, index, |_| true)
    }

    fn forget(
        &mut self,
        segment: &Segment,
        index: u32,
        is_past: impl Fn(&Entry) -> bool,
    ) -> Result<(), Error> {
        let name = segment.device_name();
        let entries = learned(&mut self.switch.socket, index)?.into_iter();
        let past = entries.filter(is_past);
        let forget: Vec<Request> = past.map(|entry| peers::forget(&name, entry)).collect();
        first_error(self.switch.socket.batch(&forget))
    }

    /// A MAC address that moved to this node is not behind another VTEP any more. While it is here the
    /// bridge's entry wins; after it has moved on, the stale entry would direct frames back.
    pub(super) fn forget_elsewhere(&mut self, veth: &Veth, mac: [u8; 6]) -> Result<(), Error> {
        let HostEnd::Segment(segment) = &veth.host_end else {
            return Ok(());
        };
        let name = segment.device_name();
        let (device::Data::Vxlan(vxlan), Some(index)) = (&segment.data, self.devices.get(&name))
        else {
            return Ok(());
        };
        let forget = peers::forget_everywhere(&name, *index, mac, vxlan.remotes.is_ipv6());
        self.switch.socket.change(forget)
    }

    /// Updates the cache with an applied edit before its event arrives.
    fn expect_shared(
        &mut self,
        segment: &Segment,
        want: &WantDevice,
        (index, bridge): (u32, u32),
        edit: &SegmentEdit,
    ) {
        let peers = self.peers.entry(index).or_default();
        match edit {
            SegmentEdit::AddPeer(peer) => drop(peers.insert(*peer)),
            SegmentEdit::DeletePeer(peer) => drop(peers.remove(peer)),
            SegmentEdit::Owner => {
                let alias = shared::alias(segment, &want.owner, &self.installation);
                if let Some(info) = self.switch.links.get_mut(&bridge) {
                    info.alias = Some(alias);
                }
            }
            SegmentEdit::Mtu | SegmentEdit::Join | SegmentEdit::Port => {
                let Some(info) = self.switch.links.get_mut(&index) else {
                    return;
                };
                match edit {
                    SegmentEdit::Mtu => info.mtu = want.mtu,
                    SegmentEdit::Join => info.master = Some(bridge),
                    _ => {
                        info.port = Some(shared::UPLINK_PORT);
                        info.up |= want.up;
                    }
                }
            }
        }
    }
}

/// The kernel allows one device per parent and id, or per VNI and port, on the whole node; and another
/// program may have bound the port.
pub(super) fn in_use(error: Error) -> Error {
    let why = match error.errno {
        Errno::EEXIST => "there is one on the node already",
        Errno::EADDRINUSE => "something else on the node has the UDP port in use",
        _ => return error,
    };
    let text = if error.text.is_empty() {
        why.into()
    } else {
        error.text
    };
    Error {
        errno: Errno::ENOTUNIQ,
        text,
        op: error.op,
    }
}

//! The path of a pod's frames to its neighbours. An announcement before its port forwards is lost: the kernel
//! processes a carrier change, and a bridge enables a port, a moment after the link is up.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use crate::{
    Machine,
    link_info::LinkInfo,
    links::{HostEnd, HostNetns, Link, LinkKind},
    watched_netns::read_link,
};

/// How long a pass waits for all ports of a pod. The second announcement covers a port that takes longer.
const LONGEST_WAIT: Duration = Duration::from_millis(20);
const BETWEEN: Duration = Duration::from_micros(200);

impl Machine {
    /// The links that must be running and forwarding before a frame of the pod is delivered: its host end,
    /// and the device of its segment.
    pub fn path_of(&self, link: &Link, host: Option<(HostNetns, u32)>) -> Vec<(HostNetns, u32)> {
        let way_out = match &link.kind {
            LinkKind::Veth(veth) => match &veth.host_end {
                HostEnd::Segment(segment) => self.devices.get(&segment.device_name()).copied(),
                HostEnd::Bridge { .. } | HostEnd::HostBridge(_) | HostEnd::Routed => None,
            },
            LinkKind::Device(_) => None,
        };
        let way_out = way_out.map(|index| (HostNetns::Switch, index));
        host.into_iter().chain(way_out).collect()
    }

    /// Waits shortly until the whole path forwards frames.
    pub fn await_path(&mut self, path: &[(HostNetns, u32)]) {
        let until = Instant::now() + LONGEST_WAIT;
        for (place, index) in path {
            while !self.gets_through(*place, *index) && Instant::now() < until {
                sleep(BETWEEN);
            }
        }
    }

    /// Whether a link forwards incoming frames. A link that is gone or unreadable is not waited for.
    fn gets_through(&mut self, place: HostNetns, index: u32) -> bool {
        let found = read_link(&mut self.host_netns_mut(place).socket, index);
        let info: Option<LinkInfo> = found.ok().flatten();
        info.is_none_or(|info| info.running && (info.forwarding || !info.is_port()))
    }
}

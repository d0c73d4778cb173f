//! Drains kernel notifications: updates the cache and returns events for the reconciler, coalesced per link.

use std::{
    collections::BTreeSet,
    os::fd::{AsFd, BorrowedFd},
};

/// Coalescing of bursts.
mod coalesce;

use ipnetwork::IpNetwork;

use self::coalesce::Coalescer;
use super::{
    Machine,
    event_socket::{
        RTM_DELADDR, RTM_DELLINK, RTM_DELNEIGH, RTM_DELNSID, RTM_DELROUTE, RTM_DELRULE, RTM_NEWLINK,
    },
    link_info::LinkInfo,
    links::{self, HostNetns, device::peers::Entry},
    netlink::Error,
    watched_netns::{LinkEvent, read_nsid},
};

/// Bridge ports, forwarding entries, routes and addresses around host ends.
mod tables;

/// A change in the kernel, as the reconciler sees it. Small, because a burst queues thousands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelEvent {
    /// Drift in a table entry of a host end or of a segment's device.
    Table {
        place: HostNetns,
        index: u32,
        what: &'static str,
    },
    /// A change in the pod whose namespace has this nsid in the switch.
    InPod { number: i32, what: NetnsEvent },
    /// A namespace has ended and its nsid is free.
    PodGone(i32),
    /// A host end, or a former one.
    HostEnd {
        place: HostNetns,
        before: Option<Box<LinkInfo>>,
        now: Option<Box<LinkInfo>>,
    },
    /// A link of the node that is not a host end of ours, such as a bridge.
    NodeLink {
        before: Option<Box<LinkInfo>>,
        now: Option<Box<LinkInfo>>,
        /// It was moved to another namespace.
        moved: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetnsEvent {
    /// The current state of a link.
    Link(Box<LinkInfo>),
    LinkGone(u32),
    /// It was moved to another namespace: the pod's nsid of it, and the ifindex there.
    LinkLeft {
        index: u32,
        netns: i32,
        there: u32,
    },
    /// An address of the link with this ifindex is gone.
    AddressGone {
        index: u32,
        network: IpNetwork,
    },
    /// A route of ours is gone.
    RouteGone,
    /// A rule of ours is gone.
    RuleGone,
    /// A peer of the tunnel with this ifindex is gone.
    PeerGone(u32),
}

impl Machine {
    /// The sockets to poll for kernel notifications.
    pub fn events(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let watched = [&self.switch, &self.node].into_iter();
        let sockets = watched.flat_map(|watched| [watched.events.as_fd(), watched.tables.as_fd()]);
        sockets.chain(self.filter.events().map(AsFd::as_fd))
    }

    /// Processes all queued notifications. `Ok(None)`: events were lost, everything was read again and all
    /// pods must be reconciled.
    pub fn drain_events(&mut self) -> Result<Option<Vec<KernelEvent>>, Error> {
        let mut events = Vec::new();
        let lost = self.drain_switch(&mut events)?
            | self.drain_node(&mut events)?
            | self.drain_tables(&mut events)?;
        self.is_behind |= lost;
        if !self.is_behind {
            return Ok(Some(events));
        }
        // Until this succeeds, the whole cache may be stale.
        self.read_again()?;
        self.is_behind = false;
        Ok(None)
    }

    fn drain_switch(&mut self, out: &mut Vec<KernelEvent>) -> Result<bool, Error> {
        // Parsed in the buffer: the messages of a burst are a hundred times as large as their content.
        let mut latest = Coalescer::of_switch();
        let lost = self.switch.events.drain(|number, kind, body| {
            SocketMessage::read(number, kind, body)
                .into_iter()
                .for_each(|message| latest.push(message));
        });
        for event in latest.into_messages() {
            match event {
                SocketMessage::Own(event) => {
                    if let Some((before, now)) = self.switch.apply_event(event) {
                        self.update_cache(HostNetns::Switch, before.as_ref(), now.as_ref());
                        out.push(KernelEvent::HostEnd {
                            place: HostNetns::Switch,
                            before: before.map(Box::new),
                            now: now.map(Box::new),
                        });
                    }
                }
                SocketMessage::Other(event) => out.push(*event),
            }
        }
        lost.map_err(|e| Error::io("read events of the switch", &e))
    }

    fn drain_node(&mut self, out: &mut Vec<KernelEvent>) -> Result<bool, Error> {
        let (mut latest, mut lowered) = (Coalescer::of_node(), BTreeSet::new());
        let lost = self.node.events.drain(|_, kind, body| {
            let event = LinkEvent::read(kind, body);
            if let Some(LinkEvent::Link(info)) = &event {
                lowered.extend((!info.up).then_some(info.index));
            }
            let message = event.map(SocketMessage::Own);
            message.into_iter().for_each(|message| latest.push(message));
        });
        self.was_lowered(lowered, out);
        for message in latest.into_messages() {
            let SocketMessage::Own(event) = message else {
                continue;
            };
            let moved = matches!(event, LinkEvent::Gone { moved: true, .. });
            if let Some((before, now)) = self.node.apply_event(event) {
                let index = before.as_ref().or(now.as_ref()).map(|info| info.index);
                let is_ours = |machine: &Self| {
                    index.is_some_and(|index| machine.ownership.has(HostNetns::Node, index))
                };
                let was_ours = is_ours(self);
                self.update_cache(HostNetns::Node, before.as_ref(), now.as_ref());
                let (before, now) = (before.map(Box::new), now.map(Box::new));
                out.push(match was_ours || is_ours(self) {
                    true => KernelEvent::HostEnd {
                        place: HostNetns::Node,
                        before,
                        now,
                    },
                    false => KernelEvent::NodeLink { before, now, moved },
                });
            }
        }
        lost.map_err(|e| Error::io("read events of the node's namespace", &e))
    }
}

/// One message of the switch's socket.
enum SocketMessage {
    Own(LinkEvent),
    Other(Box<KernelEvent>),
}

impl SocketMessage {
    fn read(number: Option<i32>, kind: u16, body: &[u8]) -> Option<Self> {
        match (number, kind) {
            (_, RTM_DELNSID) => {
                read_nsid(body).map(|number| Self::Other(Box::new(KernelEvent::PodGone(number))))
            }
            (None, _) => LinkEvent::read(kind, body).map(Self::Own),
            (Some(number), kind) => in_pod(kind, body)
                .map(|what| Self::Other(Box::new(KernelEvent::InPod { number, what }))),
        }
    }
}

fn gone(info: LinkInfo) -> NetnsEvent {
    match info.left_for {
        Some((netns, there)) => NetnsEvent::LinkLeft {
            index: info.index,
            netns,
            there,
        },
        None => NetnsEvent::LinkGone(info.index),
    }
}

fn in_pod(kind: u16, body: &[u8]) -> Option<NetnsEvent> {
    match kind {
        RTM_NEWLINK => LinkInfo::read(body).map(|info| NetnsEvent::Link(Box::new(info))),
        RTM_DELLINK => LinkInfo::read(body).map(gone),
        RTM_DELADDR => links::address::read(body).map(|address| NetnsEvent::AddressGone {
            index: address.index,
            network: address.network,
        }),
        RTM_DELROUTE => Some(NetnsEvent::RouteGone),
        RTM_DELRULE => links::route::read_rule(body).map(|_| NetnsEvent::RuleGone),
        RTM_DELNEIGH => {
            let entry = links::device::peers::read(body).filter(Entry::is_default);
            entry.map(|entry| NetnsEvent::PeerGone(entry.index))
        }
        _ => None,
    }
}

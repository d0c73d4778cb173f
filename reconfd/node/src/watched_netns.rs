//! A permanently watched namespace, the switch or the node's own: a request socket, event sockets, and a
//! cache of its links.

use std::{
    collections::{HashMap, HashSet},
    io,
    os::fd::AsFd,
};

use netlink_packet_core::NlasIterator;
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkExtentMask, LinkMessage},
};
use nix::{
    errno::Errno,
    libc::{RTM_GETNSID, RTM_NEWNSID},
};
use sandbox_record::netns::Netns;

use super::{
    event_socket::{EventSocket, RTM_DELLINK, RTM_NEWLINK},
    link_info::LinkInfo,
    netlink::{Body, Changes, Error, Request, Socket},
};

const NETNSA_NSID: u16 = 1;
const NETNSA_FD: u16 = 3;

/// A decoded link event.
#[derive(Clone, Debug)]
pub enum LinkEvent {
    Link(Box<LinkInfo>),
    Gone {
        index: u32,
        /// Moved to another namespace.
        moved: bool,
    },
}

impl LinkEvent {
    pub fn read(kind: u16, body: &[u8]) -> Option<Self> {
        match kind {
            RTM_NEWLINK => LinkInfo::read(body).map(|info| Self::Link(Box::new(info))),
            RTM_DELLINK => LinkInfo::read(body).map(|info| Self::Gone {
                index: info.index,
                moved: info.left_for.is_some(),
            }),
            _ => None,
        }
    }
}

pub struct WatchedNetns {
    pub netns: Netns,
    pub socket: Socket,
    pub events: EventSocket,
    /// Events of the tables.
    pub tables: EventSocket,
    pub links: HashMap<u32, LinkInfo>,
    /// Ifindexes are never reused, so that a late request cannot hit a newer link.
    next_index: u32,
}

impl WatchedNetns {
    /// `events` must be opened before the links are read, or changes are missed.
    pub fn open(
        netns: Netns,
        changes: &Changes,
        events: impl FnOnce() -> io::Result<(EventSocket, EventSocket)> + Send,
    ) -> Result<Self, Error> {
        let ((events, tables), socket) = netns
            .enter(|| Ok::<_, io::Error>((events()?, Socket::open(changes)?)))
            .map_err(|e| Error::io("enter namespace", &io::Error::other(e.to_string())))?
            .map_err(|e| Error::io("open netlink socket", &e))?;
        let mut watched = Self {
            netns,
            socket,
            events,
            tables,
            links: HashMap::new(),
            next_index: 1,
        };
        watched.read_all()?;
        Ok(watched)
    }

    /// Reads all links again: at the start, and after events were lost.
    pub fn read_all(&mut self) -> Result<(), Error> {
        self.links = read_links(&mut self.socket)?;
        let highest = self.links.keys().max().copied().unwrap_or_default();
        self.next_index = self.next_index.max(highest + 1);
        Ok(())
    }

    /// A free ifindex.
    pub fn take_index(&mut self) -> u32 {
        let index = self.next_index;
        self.next_index += 1;
        index
    }

    pub fn link_called(&self, name: &str) -> Option<&LinkInfo> {
        self.links.values().find(|info| info.is_called(name))
    }

    /// Updates the cache with a link event; returns the link before and after, if it has changed.
    pub fn apply_event(
        &mut self,
        event: LinkEvent,
    ) -> Option<(Option<LinkInfo>, Option<LinkInfo>)> {
        match event {
            LinkEvent::Link(info) => {
                self.next_index = self.next_index.max(info.index + 1);
                let before = self.links.insert(info.index, (*info).clone());
                Some((before, Some(*info)))
            }
            LinkEvent::Gone { index, .. } => Some((self.links.remove(&index), None)),
        }
    }

    /// The nsid of `netns` in this namespace; assigns one if it has none.
    pub fn nsid_of(&mut self, netns: &Netns) -> Result<i32, Error> {
        if let Some(number) = get_nsid(&mut self.socket, netns)? {
            return Ok(number);
        }
        let body = Body::Raw(RTM_NEWNSID, nsid_message(netns, true));
        let request = Request::of_body("assign an nsid to the pod's namespace", 0, body);
        match self.socket.change(request) {
            // Assigned concurrently: a veth between the two namespaces assigns one as well.
            Ok(())
            | Err(Error {
                errno: Errno::EEXIST,
                ..
            }) => (),
            Err(error) => return Err(error),
        }
        let op = "assign an nsid to the pod's namespace";
        let found = get_nsid(&mut self.socket, netns)?;
        found.ok_or_else(|| Error::new(op, Errno::ENOENT, ""))
    }

    /// The nsids in this namespace.
    pub fn netns_ids(&mut self) -> Result<HashSet<i32>, Error> {
        let body = Body::Raw(RTM_GETNSID, vec![0; 4]);
        let add = |used: &mut HashSet<i32>, _, bytes: &[u8]| used.extend(read_nsid(bytes));
        self.socket.dump("list nsids", &body, add)
    }
}

/// The nsid of a namespace in the socket's own.
pub fn get_nsid(socket: &mut Socket, netns: &Netns) -> Result<Option<i32>, Error> {
    let body = Body::Raw(RTM_GETNSID, nsid_message(netns, false));
    let number = socket.get("get the nsid of a namespace", &body, read_nsid)?;
    Ok(number.filter(|number| *number >= 0))
}

/// `struct rtgenmsg`, padded, and the namespace by descriptor; with `give` the kernel chooses the nsid.
fn nsid_message(netns: &Netns, give: bool) -> Vec<u8> {
    use std::os::fd::AsRawFd;
    let mut bytes = vec![0; 4];
    let mut put = |kind: u16, value: i32| {
        bytes.extend_from_slice(&8u16.to_ne_bytes());
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&value.to_ne_bytes());
    };
    if give {
        put(NETNSA_NSID, -1);
    }
    put(NETNSA_FD, netns.as_fd().as_raw_fd());
    bytes
}

/// The nsid in a message about a namespace.
pub fn read_nsid(body: &[u8]) -> Option<i32> {
    let attributes = NlasIterator::new(body.get(4..)?);
    let number = attributes.flatten().find(|a| a.kind() == NETNSA_NSID)?;
    Some(i32::from_ne_bytes(number.value().try_into().ok()?))
}

/// Reads one link of the socket's namespace; `None`: there is none with that ifindex.
pub fn read_link(socket: &mut Socket, index: u32) -> Result<Option<LinkInfo>, Error> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message
        .attributes
        .push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    let body = Body::Route(RouteNetlinkMessage::GetLink(message));
    socket.get("get a link", &body, LinkInfo::read)
}

/// All links of the socket's namespace, without statistics.
pub fn read_links(socket: &mut Socket) -> Result<HashMap<u32, LinkInfo>, Error> {
    let mut message = LinkMessage::default();
    message
        .attributes
        .push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    let body = Body::Route(RouteNetlinkMessage::GetLink(message));
    socket.dump(
        "list links",
        &body,
        |links: &mut HashMap<u32, LinkInfo>, _, bytes| {
            if let Some(info) = LinkInfo::read(bytes) {
                links.insert(info.index, info);
            }
        },
    )
}

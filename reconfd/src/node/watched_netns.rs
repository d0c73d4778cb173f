//! A namespace that the daemon lives beside for good, the switch or the node's own: a socket to
//! change it, a socket that hears of changes, and its links kept true by what is heard.

use std::{
    collections::{HashMap, HashSet},
    io,
    os::fd::AsFd,
};

use cni_plugin::netns::Netns;
use netlink_packet_core::NlasIterator;
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkExtentMask, LinkMessage},
};
use nix::errno::Errno;

use super::{
    event_socket::{EventSocket, RTM_DELLINK, RTM_NEWLINK},
    link_info::LinkInfo,
    netlink::{Body, Changes, Error, Request, Socket},
};

const RTM_GETNSID: u16 = 90;
const NETNSA_NSID: u16 = 1;
const NETNSA_FD: u16 = 3;
const RTM_NEWNSID: u16 = 88;

/// What one link event says.
#[derive(Clone, Debug)]
pub enum LinkEvent {
    Link(Box<LinkInfo>),
    Gone {
        index: u32,
        /// To another namespace.
        moved: bool,
    },
}

impl LinkEvent {
    pub fn read(kind: u16, body: &[u8]) -> Option<Self> {
        match kind {
            RTM_NEWLINK => LinkInfo::read(body).map(|row| Self::Link(Box::new(row))),
            RTM_DELLINK => LinkInfo::read(body).map(|row| Self::Gone {
                index: row.index,
                moved: row.left_for.is_some(),
            }),
            _ => None,
        }
    }
}

pub struct WatchedNetns {
    pub netns: Netns,
    pub socket: Socket,
    pub events: EventSocket,
    /// What is around the links.
    pub tables: EventSocket,
    pub links: HashMap<u32, LinkInfo>,
    /// Numbers are never given twice, so that a late message can not hit a newer link.
    next_index: u32,
}

impl WatchedNetns {
    /// `events` must have been opened before the links are read, or a change between is lost.
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

    /// A free interface number.
    pub fn take_index(&mut self) -> u32 {
        let index = self.next_index;
        self.next_index += 1;
        index
    }

    pub fn link_called(&self, name: &str) -> Option<&LinkInfo> {
        self.links.values().find(|row| row.is_called(name))
    }

    /// Takes in one link event of this namespace; the link as it was before and is now, where the
    /// event says anything.
    pub fn hear(&mut self, word: LinkEvent) -> Option<(Option<LinkInfo>, Option<LinkInfo>)> {
        match word {
            LinkEvent::Link(row) => {
                self.next_index = self.next_index.max(row.index + 1);
                let before = self.links.insert(row.index, (*row).clone());
                Some((before, Some(*row)))
            }
            LinkEvent::Gone { index, .. } => Some((self.links.remove(&index), None)),
        }
    }

    /// The number that `netns` has in this namespace; one is given to it where it has none.
    pub fn number_of(&mut self, netns: &Netns) -> Result<i32, Error> {
        if let Some(number) = ask_number(&mut self.socket, netns)? {
            return Ok(number);
        }
        let body = Body::Raw(RTM_NEWNSID, nsid_message(netns, true));
        let request = Request::of_body("number the pod's namespace", 0, body);
        match self.socket.change(request) {
            // Somebody was quicker: a veth between the two gives a number as well.
            Ok(())
            | Err(Error {
                errno: Errno::EEXIST,
                ..
            }) => (),
            Err(error) => return Err(error),
        }
        let missing = || Error {
            op: "number the pod's namespace".into(),
            errno: Errno::ENOENT,
            text: String::new(),
        };
        ask_number(&mut self.socket, netns)?.ok_or_else(missing)
    }

    /// The ids that namespaces have in this one.
    pub fn netns_ids(&mut self) -> Result<HashSet<i32>, Error> {
        let body = Body::Raw(RTM_GETNSID, vec![0; 4]);
        let add = |used: &mut HashSet<i32>, _, bytes: &[u8]| used.extend(read_number(bytes));
        self.socket.dump("list the ids of namespaces", &body, add)
    }
}

/// The number that a namespace has in the socket's own.
pub fn ask_number(socket: &mut Socket, netns: &Netns) -> Result<Option<i32>, Error> {
    let body = Body::Raw(RTM_GETNSID, nsid_message(netns, false));
    let number = socket.get("ask the number of a namespace", &body, read_number)?;
    Ok(number.filter(|number| *number >= 0))
}

/// `struct rtgenmsg`, padded, and the namespace by descriptor; "any number" where one is to be given.
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

/// The number that a message about a namespace names.
pub fn read_number(body: &[u8]) -> Option<i32> {
    let attributes = NlasIterator::new(body.get(4..)?);
    let number = attributes.flatten().find(|a| a.kind() == NETNSA_NSID)?;
    Some(i32::from_ne_bytes(number.value().try_into().ok()?))
}

/// One link of the namespace that the socket is in, as it is now; `None`: there is none of that number.
pub fn read_link(socket: &mut Socket, index: u32) -> Result<Option<LinkInfo>, Error> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message
        .attributes
        .push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    let body = Body::Route(RouteNetlinkMessage::GetLink(message));
    socket.get("look at a link", &body, LinkInfo::read)
}

/// All links of the namespace that the socket is in, without their counters.
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
            if let Some(row) = LinkInfo::read(bytes) {
                links.insert(row.index, row);
            }
        },
    )
}

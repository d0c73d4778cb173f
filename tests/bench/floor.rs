//! The floor: the messages that make one link, hand-made and batched, two sends a link. What it
//! leaves in the kernel must be what the daemon leaves; `same.rs` compares the two.

use std::{
    fs::{self, File},
    net::Ipv4Addr,
};

use anyhow::{Context, Result};
use nix::{
    sched::{CloneFlags, setns},
    sys::socket::{SockFlag, SockProtocol},
};

use crate::{
    node::{self, Pod},
    wire::{Batch, CREATE, EXCL, REPLACE, Socket, attribute},
};

use self::message::{UP, link};

/// Bytes.
mod message;
/// What reaches beyond the node.
pub mod segment;
/// What a pod may not send to a bridge.
mod wall;

pub const HUB: &str = "hub";
const NEWLINK: u16 = 16;
const DELLINK: u16 = 17;
const SETLINK: u16 = 19;
const NEWADDR: u16 = 20;
const NEWNEIGH: u16 = 28;
/// The group of pod ends, and the protocol number of addresses, as the daemon gives them.
const GROUP: u32 = 0x7063_6667;
const PROTOCOL: u8 = 112;
/// A group that no link is in.
const SCRATCH: u32 = 0x6265_6e63;

/// The floor's own switch: a namespace with bridges and no pod's knowledge of it.
pub struct Floor {
    socket: Socket,
    /// In the node's namespace, where the parents of devices are.
    node: Socket,
    next: u32,
}

/// A link that is to be.
pub struct Wish<'a> {
    pub pod: &'a Pod,
    pub name: &'a str,
    pub address: Option<Ipv4Addr>,
    /// The number of the bridge.
    pub bridge: u32,
    pub mtu: u32,
    /// The pod's frames must have no tags.
    pub untagged: bool,
}

impl Wish<'_> {
    /// Of the address; else the number of the pod does.
    fn mac(&self) -> [u8; 6] {
        let number = Ipv4Addr::from_bits(self.pod.number as u32);
        let [a, b, c, d] = self.address.unwrap_or(number).octets();
        [0x0a, 0x58, a, b, c, d]
    }
}

impl Floor {
    pub fn new() -> Result<Self> {
        let open = || {
            // As in the daemon's switch: nothing there speaks IPv6 of its own.
            for which in ["all", "default"] {
                fs::write(format!("/proc/sys/net/ipv6/conf/{which}/disable_ipv6"), "1")?;
            }
            route_socket()
        };
        let (_, socket) = node::make_namespace(HUB, open)?;
        let (node, next) = (route_socket()?, 1000);
        Ok(Self { socket, node, next })
    }

    /// Its number.
    pub fn bridge(&mut self, name: &str) -> Result<u32> {
        let index = self.take_number();
        let mut batch = Batch::default();
        batch.message(NEWLINK, CREATE | EXCL, |out| {
            message::bridge(out, index, name)
        });
        batch.message(SETLINK, 0, |out| {
            link(out, index, UP);
            attribute(
                out,
                20,
                format!("podconfig:v1:floor:bench/{name}").as_bytes(),
            );
        });
        self.socket
            .send(&mut batch)
            .context("make the floor's bridge")?;
        Ok(index)
    }

    pub fn take_number(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    /// Makes one link; the number of its host end. The calling thread is in the pod afterwards.
    pub fn make(&mut self, wish: &Wish<'_>) -> Result<u32> {
        let (host, pod) = (self.take_number(), self.take_number());
        let netns = File::open(node::namespace_path(&wish.pod.name))?;
        let mut batch = Batch::default();
        batch.message(NEWLINK, CREATE | EXCL, |out| {
            message::veth(out, wish, (host, pod), &netns);
        });
        batch.message(SETLINK, 0, |out| {
            message::alias(out, host, &alias(wish.name))
        });
        wall::raise(&mut batch, host, wish.untagged);
        batch.message(NEWLINK, 0, |out| message::port(out, host, true));
        batch.message(NEWNEIGH, CREATE | REPLACE, |out| {
            message::pin(out, host, &wish.mac());
        });
        self.socket.send(&mut batch).context("make a veth")?;
        setns(&netns, CloneFlags::CLONE_NEWNET)?;
        raise(wish, pod, Batch::default(), false)?;
        Ok(host)
    }

    pub fn delete(&self, index: u32) -> Result<()> {
        let mut batch = Batch::default();
        batch.message(DELLINK, 0, |out| link(out, index, 0));
        self.socket.send(&mut batch).context("delete a link")
    }

    /// All at once, to clear the table for the next round.
    pub fn delete_all(&self, indexes: &[u32]) -> Result<()> {
        let mut batch = Batch::default();
        for index in indexes {
            batch.message(SETLINK, 0, |out| {
                link(out, *index, 0);
                attribute(out, 27, &SCRATCH.to_ne_bytes());
            });
        }
        batch.message(DELLINK, 0, |out| {
            link(out, 0, 0);
            attribute(out, 27, &SCRATCH.to_ne_bytes());
        });
        self.socket.send(&mut batch).context("delete all links")
    }
}

/// The pod's part, on a thread that is in the pod: settings, what the batch has already, up, address, and
/// the mark where the link is in the pod as a whole.
fn raise(wish: &Wish<'_>, index: u32, mut batch: Batch, is_whole: bool) -> Result<()> {
    for setting in ["accept_ra", "autoconf"] {
        let path = format!("/proc/sys/net/ipv6/conf/{}/{setting}", wish.name);
        fs::write(path, "0")?;
    }
    batch.message(SETLINK, 0, |out| link(out, index, UP));
    if let Some(address) = wish.address {
        batch.message(NEWADDR, CREATE | REPLACE, |out| {
            message::address(out, index, address, PROTOCOL);
        });
    }
    if is_whole {
        batch.message(SETLINK, 0, |out| {
            message::alias(out, index, &alias(wish.name));
            attribute(out, 27, &GROUP.to_ne_bytes());
        });
    }
    route_socket()?
        .send(&mut batch)
        .context("raise a link in the pod")
}

fn route_socket() -> Result<Socket> {
    Socket::open(SockProtocol::NetlinkRoute, 0, SockFlag::empty())
}

/// As long as the daemon's.
fn alias(link: &str) -> String {
    let uid = "00000000-0000-4000-8000-000000000000";
    format!("podconfig:v1:floor:{uid}:{uid}:{link}:0123456789abcdef")
}

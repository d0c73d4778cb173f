//! Segments and devices by hand: a bridge with a vlan or a vxlan on it, or the device itself in a pod,
//! and the filter that lets only peers into a tunnel.

use std::{
    fs::File,
    net::{IpAddr, Ipv4Addr},
    os::fd::AsRawFd,
};

use ::node::{
    filter::{PeerFilter, Tunnel, layout::Layout, message::replacement, state::State},
    netlink::{Body, Request},
};
use anyhow::{Context, Result};
use nix::{
    sched::{CloneFlags, setns},
    sys::socket::{SockFlag, SockProtocol},
};

use super::{
    DELLINK, Floor, HUB, NEWLINK, NEWNEIGH, SETLINK, Wish, alias,
    message::{self, link, text},
    raise,
};
use crate::{
    node,
    wire::{APPEND, Batch, CREATE, EXCL, Socket, attribute, nest},
};

const DELNEIGH: u16 = 29;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
/// The subsystem that a batch is for: nf_tables.
const NFTABLES: [u8; 4] = [0, 0, 0, 10];
const TTL: u8 = 64;

/// What the device of a segment is.
pub enum Reach {
    Vlan(u16),
    Vxlan {
        vni: u32,
        port: u16,
        peers: Vec<Ipv4Addr>,
    },
}

/// Numbers in the hub.
#[derive(Clone, Copy)]
pub struct Segment {
    pub bridge: u32,
    pub device: u32,
}

impl Reach {
    fn describe(&self, out: &mut Vec<u8>, parent: u32) {
        match self {
            Self::Vlan(id) => {
                attribute(out, 1, &text("vlan"));
                nest(out, 2, |out| {
                    attribute(out, 1, &id.to_ne_bytes());
                    attribute(out, 5, &0x8100_u16.to_be_bytes());
                });
            }
            Self::Vxlan { vni, port, .. } => {
                attribute(out, 1, &text("vxlan"));
                nest(out, 2, |out| tunnel(out, *vni, *port, parent));
            }
        }
    }

    fn peers(&self) -> &[Ipv4Addr] {
        match self {
            Self::Vlan(_) => &[],
            Self::Vxlan { peers, .. } => peers,
        }
    }
}

fn tunnel(out: &mut Vec<u8>, vni: u32, port: u16, underlay: u32) {
    attribute(out, 1, &vni.to_ne_bytes());
    attribute(out, 3, &underlay.to_ne_bytes());
    attribute(out, 15, &port.to_be_bytes());
    attribute(out, 5, &[TTL]);
    attribute(out, 7, &[1]);
    attribute(out, 9, &message::MOST_LEARNED.to_ne_bytes());
    attribute(out, 18, &[1]);
    attribute(out, 19, &[0]);
    attribute(out, 20, &[0]);
}

impl Floor {
    /// A bridge, and on it the device, whose parent is the node's link of that number: three sends.
    pub fn segment(&mut self, name: &str, reach: &Reach, parent: u32, mtu: u32) -> Result<Segment> {
        let (bridge, device) = (self.bridge(name)?, self.take_number());
        let hub = File::open(node::namespace_path(HUB))?;
        let mut batch = Batch::default();
        batch.message(NEWLINK, CREATE | EXCL, |out| {
            link(out, device, 0);
            attribute(out, 3, &text(&format!("fd{device:013}")));
            attribute(out, 4, &mtu.to_ne_bytes());
            attribute(out, 28, &hub.as_raw_fd().to_ne_bytes());
            attribute(out, 10, &bridge.to_ne_bytes());
            on_parent(out, reach, parent);
        });
        self.node.send(&mut batch).context("make a device")?;
        let mut batch = Batch::default();
        add_peers(&mut batch, device, reach.peers());
        batch.message(NEWLINK, 0, |out| message::port(out, device, false));
        self.socket.send(&mut batch).context("open a segment")?;
        Ok(Segment { bridge, device })
    }

    /// One peer comes, another goes.
    pub fn change_peer(&self, device: u32, comes: Ipv4Addr, goes: Ipv4Addr) -> Result<()> {
        let mut batch = Batch::default();
        add_peers(&mut batch, device, &[comes]);
        batch.message(DELNEIGH, 0, |out| message::peer(out, device, goes));
        self.socket.send(&mut batch).context("change a peer")
    }

    /// Says of every host end anew what it is for, as the daemon does when a PodConfig changes.
    pub fn mark_all(&self, hosts: &[u32], name: &str) -> Result<()> {
        for host in hosts {
            let mut batch = Batch::default();
            batch.message(SETLINK, 0, |out| message::alias(out, *host, &alias(name)));
            self.socket.send(&mut batch).context("mark a link")?;
        }
        Ok(())
    }

    /// The device itself in the pod; the calling thread is in the pod afterwards.
    pub fn exclusive(&mut self, wish: &Wish<'_>, reach: &Reach, parent: u32) -> Result<u32> {
        let index = self.take_number();
        let netns = File::open(node::namespace_path(&wish.pod.name))?;
        let mut batch = Batch::default();
        batch.message(NEWLINK, CREATE | EXCL, |out| {
            link(out, index, 0);
            message::ends(out, wish.name, wish.mtu, &wish.mac());
            message::in_pod(out, &netns);
            on_parent(out, reach, parent);
        });
        self.node
            .send(&mut batch)
            .context("make a device in a pod")?;
        setns(&netns, CloneFlags::CLONE_NEWNET)?;
        let mut batch = Batch::default();
        add_peers(&mut batch, index, reach.peers());
        raise(wish, index, batch, true)?;
        Ok(index)
    }
}

/// On a thread that is in the pod.
pub fn delete_in_pod(index: u32) -> Result<()> {
    let mut batch = Batch::default();
    batch.message(DELLINK, 0, |out| link(out, index, 0));
    super::route_socket()?.send(&mut batch)
}

fn on_parent(out: &mut Vec<u8>, reach: &Reach, parent: u32) {
    if let Reach::Vlan(_) = reach {
        attribute(out, 5, &parent.to_ne_bytes());
    }
    nest(out, 18, |out| reach.describe(out, parent));
}

fn add_peers(batch: &mut Batch, index: u32, peers: &[Ipv4Addr]) {
    for peer in peers {
        batch.message(NEWNEIGH, CREATE | APPEND, |out| {
            message::peer(out, index, *peer)
        });
    }
}

/// The peer filter by hand: the bytes that the daemon would send, made beforehand, in one transaction.
pub struct Filter {
    socket: Socket,
    table: &'static str,
}

impl Filter {
    /// In the calling thread's namespace.
    pub fn new() -> Result<Self> {
        let socket = Socket::open(SockProtocol::NetlinkNetFilter, 0, SockFlag::empty())?;
        let table = "podconfig-floor";
        Ok(Self { socket, table })
    }

    /// The table for one tunnel, closed to all links but the underlay; with no peers, no table.
    pub fn prepare(&self, tunnel: Tunnel, underlay: u32, peers: &[Ipv4Addr]) -> Batch {
        let mut state = State::default();
        if !peers.is_empty() {
            let sources = peers
                .iter()
                .copied()
                .map(|peer| IpAddr::from(peer).into())
                .collect();
            state
                .tunnels
                .insert(tunnel, PeerFilter { underlay, sources });
            state.closed.insert(tunnel.port, [underlay].into());
        }
        transaction(&replacement(self.table, &Layout::of(&state)))
    }

    pub fn write(&self, mut batch: Batch) -> Result<()> {
        self.socket.send(&mut batch).context("write the filter")
    }
}

fn transaction(requests: &[Request]) -> Batch {
    let mut batch = Batch::default();
    batch.message(BATCH_BEGIN, 0, |out| out.extend(NFTABLES));
    for request in requests {
        if let Body::Raw(kind, bytes) = &request.body {
            batch.message(*kind, request.flags, |out| out.extend(bytes));
        }
    }
    batch.ask();
    batch.message(BATCH_END, 0, |out| out.extend(NFTABLES));
    batch
}

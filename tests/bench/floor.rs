//! The floor: the messages that make one link, hand-made and batched, two sends a link. What it
//! leaves in the kernel must be what the daemon leaves; `same.rs` compares the two.

use std::{
    fs::{self, File},
    net::Ipv4Addr,
    os::fd::AsRawFd,
};

use anyhow::{Context, Result};
use nix::{
    sched::{CloneFlags, setns},
    sys::socket::SockFlag,
};

use crate::{
    node::{self, Pod},
    wire::{Batch, CREATE, EXCL, REPLACE, Socket, attribute, nest},
};

const HUB: &str = "hub";
const NEWLINK: u16 = 16;
const DELLINK: u16 = 17;
const SETLINK: u16 = 19;
const NEWADDR: u16 = 20;
const NEWNEIGH: u16 = 28;
const NEWMDB: u16 = 84;
const UP: u32 = 1;
/// The group of pod ends, and the protocol number of addresses, as the daemon gives them.
const GROUP: u32 = 0x7063_6667;
const PROTOCOL: u8 = 112;

/// The floor's own switch: a namespace with bridges and no pod's knowledge of it.
pub struct Floor {
    socket: Socket,
    next: u32,
}

/// A link that is to be.
pub struct Wish<'a> {
    pub pod: &'a Pod,
    pub name: &'a str,
    pub address: Ipv4Addr,
    /// The number of the bridge.
    pub bridge: u32,
    pub mtu: u32,
}

impl Floor {
    pub fn new() -> Result<Self> {
        let open = || {
            // As in the daemon's switch: nothing there speaks IPv6 of its own.
            for which in ["all", "default"] {
                fs::write(format!("/proc/sys/net/ipv6/conf/{which}/disable_ipv6"), "1")?;
            }
            Socket::open(0, SockFlag::empty())
        };
        let (_, socket) = node::make_namespace(HUB, open)?;
        Ok(Self { socket, next: 1000 })
    }

    /// Its number.
    pub fn bridge(&mut self, name: &str) -> Result<u32> {
        let index = self.take_number();
        let mut batch = Batch::default();
        batch.message(NEWLINK, CREATE | EXCL, |out| {
            link(out, index, 0);
            attribute(out, 3, &text(name));
            nest(out, 18, |out| {
                attribute(out, 1, &text("bridge"));
                nest(out, 2, |out| {
                    attribute(out, 5, &0_u32.to_ne_bytes());
                    attribute(out, 23, &[1]);
                });
            });
        });
        batch.message(SETLINK, 0, |out| link(out, index, UP));
        batch.message(NEWMDB, CREATE | REPLACE, |out| keep_bpdus(out, index));
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
        let [a, b, c, d] = wish.address.octets();
        let mac = [0x0a, 0x58, a, b, c, d];
        let name = format!("fl{host:013}");
        let mut batch = Batch::default();
        batch.message(NEWLINK, CREATE | EXCL, |out| {
            link(out, host, 0);
            ends(out, &name, wish.mtu, &[0xfe, 0x58, a, b, c, d]);
            attribute(out, 10, &wish.bridge.to_ne_bytes());
            nest(out, 18, |out| {
                attribute(out, 1, &text("veth"));
                nest(out, 2, |out| {
                    nest(out, 1, |out| peer(out, wish, pod, &netns, &mac))
                });
            });
        });
        batch.message(SETLINK, 0, |out| {
            link(out, host, 0);
            attribute(out, 20, alias(wish).as_bytes());
        });
        batch.message(NEWLINK, 0, |out| port(out, host));
        batch.message(NEWNEIGH, CREATE | REPLACE, |out| pin(out, host, &mac));
        self.socket.send(&mut batch).context("make a veth")?;
        setns(&netns, CloneFlags::CLONE_NEWNET)?;
        in_pod(wish, pod)?;
        Ok(host)
    }

    pub fn delete(&self, host: u32) -> Result<()> {
        let mut batch = Batch::default();
        batch.message(DELLINK, 0, |out| link(out, host, 0));
        self.socket.send(&mut batch).context("delete a veth")
    }

    /// All at once, to clear the table for the next round.
    pub fn delete_all(&self, hosts: &[u32]) -> Result<()> {
        let mut batch = Batch::default();
        for host in hosts {
            batch.message(SETLINK, 0, |out| {
                link(out, *host, 0);
                attribute(out, 27, &SCRATCH.to_ne_bytes());
            });
        }
        batch.message(DELLINK, 0, |out| {
            link(out, 0, 0);
            attribute(out, 27, &SCRATCH.to_ne_bytes());
        });
        self.socket.send(&mut batch).context("delete all veths")
    }
}

/// A group that no link is in.
const SCRATCH: u32 = 0x6265_6e63;

/// The pod's part, on a thread that is in the pod.
fn in_pod(wish: &Wish<'_>, index: u32) -> Result<()> {
    for setting in ["accept_ra", "autoconf"] {
        fs::write(
            format!("/proc/sys/net/ipv6/conf/{}/{setting}", wish.name),
            "0",
        )?;
    }
    let address = wish.address.octets();
    let broadcast = Ipv4Addr::from_bits(wish.address.to_bits() | 0xffff);
    let mut batch = Batch::default();
    batch.message(SETLINK, 0, |out| link(out, index, UP));
    batch.message(NEWADDR, CREATE | REPLACE, |out| {
        out.extend([2, 16, 0x82, 0]);
        out.extend(index.to_ne_bytes());
        attribute(out, 2, &address);
        attribute(out, 1, &address);
        attribute(out, 4, &broadcast.octets());
        attribute(out, 8, &0x82_u32.to_ne_bytes());
        attribute(out, 11, &[PROTOCOL]);
    });
    Socket::open(0, SockFlag::empty())?
        .send(&mut batch)
        .context("raise a link in the pod")
}

/// `struct ifinfomsg`.
fn link(out: &mut Vec<u8>, index: u32, flags: u32) {
    out.extend([0; 4]);
    out.extend(index.to_ne_bytes());
    out.extend(flags.to_ne_bytes());
    out.extend(flags.to_ne_bytes());
}

fn ends(out: &mut Vec<u8>, name: &str, mtu: u32, mac: &[u8; 6]) {
    attribute(out, 3, &text(name));
    attribute(out, 4, &mtu.to_ne_bytes());
    attribute(out, 1, mac);
}

fn peer(out: &mut Vec<u8>, wish: &Wish<'_>, index: u32, netns: &File, mac: &[u8; 6]) {
    link(out, index, 0);
    ends(out, wish.name, wish.mtu, mac);
    attribute(out, 27, &GROUP.to_ne_bytes());
    attribute(out, 28, &netns.as_raw_fd().to_ne_bytes());
}

/// A bridge port that neither learns nor floods, and up.
fn port(out: &mut Vec<u8>, index: u32) {
    link(out, index, UP);
    nest(out, 18, |out| {
        attribute(out, 4, &text("bridge"));
        nest(out, 5, |out| {
            attribute(out, 8, &[0]);
            attribute(out, 9, &[0]);
        });
    });
}

/// `struct ndmsg` of the bridge's family, permanent, for the controller.
fn pin(out: &mut Vec<u8>, index: u32, mac: &[u8; 6]) {
    out.extend([7, 0, 0, 0]);
    out.extend(index.to_ne_bytes());
    out.extend([0x40, 0, 0x04, 0]);
    attribute(out, 2, mac);
}

/// A host-joined entry for the bridge protocol's own address.
fn keep_bpdus(out: &mut Vec<u8>, index: u32) {
    out.extend([7, 0, 0, 0]);
    out.extend(index.to_ne_bytes());
    nest(out, 1, |out| {
        out.extend(index.to_ne_bytes());
        out.extend([1, 0, 0, 0]);
        out.extend([0x01, 0x80, 0xc2, 0, 0, 0]);
        out.extend([0; 14]);
    });
}

/// As long as the daemon's.
fn alias(wish: &Wish<'_>) -> String {
    let uid = "00000000-0000-4000-8000-000000000000";
    format!(
        "podconfig:v1:floor:{uid}:{uid}:{}:0123456789abcdef",
        wish.name
    )
}

fn text(name: &str) -> Vec<u8> {
    [name.as_bytes(), &[0]].concat()
}

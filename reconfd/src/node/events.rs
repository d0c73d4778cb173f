//! What the kernel tells unasked: one socket per namespace that is watched.
//!
//! The kernel queues an event before the change that caused it is acknowledged, so a drained socket
//! is never behind what this process has done.

use std::{
    io::{self, IoSliceMut},
    os::fd::{AsFd, AsRawFd, BorrowedFd},
};

use netlink_sys::protocols::NETLINK_ROUTE;
use nix::{
    cmsg_space,
    errno::Errno,
    libc,
    sys::socket::{
        ControlMessageOwned, MsgFlags, NetlinkAddr, recvmsg, setsockopt, sockopt::RcvBufForce,
    },
};

use super::netlink::messages;

pub const RTM_NEWLINK: u16 = 16;
pub const RTM_DELLINK: u16 = 17;
const RTM_NEWADDR: u16 = 20;
pub const RTM_DELADDR: u16 = 21;
const RTM_NEWROUTE: u16 = 24;
pub const RTM_DELROUTE: u16 = 25;
pub const RTM_DELNSID: u16 = 89;

const AF_BRIDGE: u32 = 7;

const RTNLGRP_LINK: u32 = 1;
const RTNLGRP_IPV4_IFADDR: u32 = 5;
const RTNLGRP_IPV4_ROUTE: u32 = 7;
const RTNLGRP_IPV6_IFADDR: u32 = 9;
const RTNLGRP_IPV6_ROUTE: u32 = 11;
const RTNLGRP_NSID: u32 = 28;

/// Room for a burst: 200 pods of three links each bring some ten thousand events.
const RECEIVE_BUFFER: usize = 16 << 20;
const MOST_AT_ONCE: usize = 50_000;
/// The protocol number that our routes, rules and addresses carry.
pub const PROTOCOL: u8 = 112;

/// An event socket in the namespace of the thread that opened it.
pub struct Events {
    socket: netlink_sys::Socket,
    buffer: Vec<u8>,
}

impl Events {
    /// Link events of this namespace alone.
    pub fn of_links() -> io::Result<Self> {
        Self::open(&[RTNLGRP_LINK])
    }

    /// Events of this namespace and of every one that has a number (nsid) in it. Does not keep those
    /// namespaces alive. Needs CAP_NET_BROADCAST.
    pub fn of_all_netns() -> io::Result<Self> {
        let events = Self::open(&[
            RTNLGRP_LINK,
            RTNLGRP_NSID,
            RTNLGRP_IPV4_IFADDR,
            RTNLGRP_IPV6_IFADDR,
        ])?;
        events.socket.set_listen_all_namespaces(true)?;
        join(&events.socket, &[RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE])?;
        Ok(events)
    }

    /// That addresses and routes of this namespace change; what is heard is a bell and is not read.
    pub fn of_networks() -> io::Result<Self> {
        let events = Self::open_unfiltered()?;
        let groups = [
            RTNLGRP_LINK,
            RTNLGRP_IPV4_IFADDR,
            RTNLGRP_IPV6_IFADDR,
            RTNLGRP_IPV4_ROUTE,
            RTNLGRP_IPV6_ROUTE,
        ];
        join(&events.socket, &groups)?;
        Ok(events)
    }

    fn open(groups: &[u32]) -> io::Result<Self> {
        let events = Self::open_unfiltered()?;
        setsockopt(&borrow(&events.socket), RcvBufForce, &RECEIVE_BUFFER)?;
        attach_filter(events.socket.as_raw_fd())?;
        join(&events.socket, groups)?;
        Ok(events)
    }

    fn open_unfiltered() -> io::Result<Self> {
        let mut socket = netlink_sys::Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.set_non_blocking(true)?;
        Ok(Self {
            socket,
            buffer: vec![0; 64 * 1024],
        })
    }

    /// Hands over all that is queued: the namespace's number (`None`: this one), type, body. Says
    /// whether the queue had overflowed, so that everything must be read again.
    pub fn drain(&mut self, mut each: impl FnMut(Option<i32>, u16, &[u8])) -> io::Result<bool> {
        let mut overrun = false;
        // What is left is heard the next time: somebody who talks without end must not be listened to so.
        for _ in 0..MOST_AT_ONCE {
            match self.receive(&mut each) {
                Ok(()) => (),
                Err(Errno::EAGAIN) => return Ok(overrun),
                Err(Errno::ENOBUFS) => overrun = true,
                Err(Errno::EINTR) => (),
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(overrun)
    }

    fn receive(&mut self, each: &mut impl FnMut(Option<i32>, u16, &[u8])) -> nix::Result<()> {
        let fd = self.socket.as_raw_fd();
        let mut control = cmsg_space!([u8; 64]);
        let mut parts = [IoSliceMut::new(&mut self.buffer)];
        let received =
            recvmsg::<NetlinkAddr>(fd, &mut parts, Some(&mut control), MsgFlags::empty())?;
        let from = received.cmsgs()?.find_map(|message| netns_number(&message));
        let (length, from_kernel) = (
            received.bytes,
            received.address.is_none_or(|a| a.pid() == 0),
        );
        if from_kernel {
            messages(&self.buffer[..length], |kind, _, _, body| {
                each(from, kind, body)
            });
        }
        Ok(())
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        borrow(&self.socket)
    }
}

#[allow(unsafe_code)]
pub fn borrow(socket: &netlink_sys::Socket) -> BorrowedFd<'_> {
    // SAFETY: the descriptor is open as long as the socket, which the result borrows.
    unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) }
}

/// `netlink_sys` wants the socket mutable for this, although the kernel does not.
fn join(socket: &netlink_sys::Socket, groups: &[u32]) -> io::Result<()> {
    groups.iter().try_for_each(|group| {
        set_option(
            socket.as_raw_fd(),
            libc::SOL_NETLINK,
            libc::NETLINK_ADD_MEMBERSHIP,
            group,
        )
    })
}

fn netns_number(message: &ControlMessageOwned) -> Option<i32> {
    let ControlMessageOwned::Unknown(message) = message else {
        return None;
    };
    let header = message.cmsg_header;
    if header.cmsg_level != libc::SOL_NETLINK || header.cmsg_type != libc::NETLINK_LISTEN_ALL_NSID {
        return None;
    }
    Some(i32::from_ne_bytes(*message.data_bytes.first_chunk()?))
}

/// Lets in only what may concern us. Of routes the deletion of one that is ours: a pod with a full BGP
/// table must not be able to drown the daemon. Of addresses no additions; of links not what a bridge
/// tells of its ports in a family of its own.
fn attach_filter(fd: i32) -> io::Result<()> {
    const TYPE: u32 = 4;
    const FAMILY: u32 = 16;
    const PROTOCOL_OF_ROUTE: u32 = 16 + 5;
    let code = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    let load = |size: u32, at: u32| code(libc::BPF_LD | size | libc::BPF_ABS, 0, 0, at);
    let equals = |value: u32, jt: u8, jf: u8| {
        code(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, jt, jf, value)
    };
    // Classic BPF loads in network byte order, netlink writes in the machine's.
    let is_type =
        |kind: u16, jt: u8| equals(u32::from(u16::from_be_bytes(kind.to_ne_bytes())), jt, 0);
    let end = |accept: u32| code(libc::BPF_RET, 0, 0, accept);
    let mut program = [
        load(libc::BPF_H, TYPE),
        is_type(RTM_NEWROUTE, 10),
        is_type(RTM_NEWADDR, 9),
        is_type(RTM_DELROUTE, 3),
        is_type(RTM_NEWLINK, 4),
        is_type(RTM_DELLINK, 3),
        end(u32::MAX),
        load(libc::BPF_B, PROTOCOL_OF_ROUTE),
        equals(u32::from(PROTOCOL), 2, 3),
        load(libc::BPF_B, FAMILY),
        equals(AF_BRIDGE, 1, 0),
        end(u32::MAX),
        end(0),
    ];
    let filter = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    set_option(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &filter)
}

#[allow(unsafe_code)]
fn set_option<T>(fd: i32, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: the kernel reads `size_of::<T>()` bytes at `value` and keeps no reference; a filter's
    // program, which `value` points to, outlives the call.
    let answer = unsafe {
        libc::setsockopt(
            fd,
            level,
            name,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    Errno::result(answer).map(drop).map_err(io::Error::from)
}

//! Sockets for kernel notifications, one per watched namespace.
//!
//! The kernel queues an event before the change that caused it is acknowledged, so a drained socket
//! is never behind what this process has done.

use std::{
    io::{self, IoSliceMut},
    os::fd::{AsFd, AsRawFd, BorrowedFd},
};

use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};
use nix::{
    cmsg_space,
    errno::Errno,
    libc::{
        self, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_NETCONF, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV4_RULE,
        RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV6_RULE, RTNLGRP_LINK, RTNLGRP_NEIGH,
        RTNLGRP_NSID, RTNLGRP_TC,
    },
    sys::socket::{
        ControlMessageOwned, MsgFlags, NetlinkAddr, recvmsg, setsockopt, sockopt::RcvBufForce,
    },
};

pub use nix::libc::{
    RTM_DELADDR, RTM_DELLINK, RTM_DELNEIGH, RTM_DELNSID, RTM_DELQDISC, RTM_DELROUTE, RTM_DELRULE,
    RTM_DELTFILTER, RTM_NEWADDR, RTM_NEWLINK, RTM_NEWNEIGH, RTM_NEWNETCONF, RTM_NEWROUTE,
    RTM_NEWTFILTER,
};

use super::netlink::messages;

/// The filter of a socket's receive queue.
mod filter;
use filter::{Accept, When};

const NFNLGRP_NFTABLES: u32 = 7;
/// NFNL_SUBSYS_NFTABLES and the message's own number in it.
const NFT_MSG_NEWGEN: u16 = 10 << 8 | 15;

/// The links of a namespace, without the AF_BRIDGE notifications of ports.
const LINKS: [Accept; 3] = [
    Accept(RTM_NEWLINK, When::NotBridge),
    Accept(RTM_DELLINK, When::NotBridge),
    Accept(RTM_DELNSID, When::Always),
];
/// Deletions in pods. No additions: a pod with a full BGP table must not flood the daemon.
const LOSSES: [Accept; 4] = [
    Accept(RTM_DELADDR, When::Always),
    Accept(RTM_DELROUTE, When::Ours),
    Accept(RTM_DELRULE, When::Always),
    Accept(RTM_DELNEIGH, When::Pinned),
];
/// The tables of host ends.
const TABLES: [Accept; 11] = [
    Accept(RTM_NEWLINK, When::Bridge),
    Accept(RTM_NEWNEIGH, When::Pinned),
    Accept(RTM_DELNEIGH, When::Pinned),
    Accept(RTM_NEWTFILTER, When::Always),
    Accept(RTM_DELTFILTER, When::Always),
    Accept(RTM_DELQDISC, When::Always),
    Accept(RTM_NEWADDR, When::Always),
    Accept(RTM_DELADDR, When::Always),
    Accept(RTM_NEWROUTE, When::OursOrReplacesHost),
    Accept(RTM_DELROUTE, When::Ours),
    Accept(RTM_NEWNETCONF, When::Always),
];

/// Sized for a burst: 200 pods of three links each cause about ten thousand events.
const RECEIVE_BUFFER: usize = 16 << 20;
const MOST_AT_ONCE: usize = 50_000;
/// The protocol number that our routes, rules and addresses carry.
pub const PROTOCOL: u8 = 112;

/// An event socket in the namespace of the thread that opened it.
pub struct EventSocket {
    socket: netlink_sys::Socket,
    buffer: Vec<u8>,
}

impl EventSocket {
    /// Link events of this namespace alone.
    pub fn of_links() -> io::Result<Self> {
        Self::open(&[RTNLGRP_LINK], &LINKS)
    }

    /// Events of this namespace and of every one that has an nsid in it. Does not keep those namespaces
    /// alive. Needs CAP_NET_BROADCAST.
    pub fn of_all_netns() -> io::Result<Self> {
        let groups = [
            RTNLGRP_LINK,
            RTNLGRP_NSID,
            RTNLGRP_IPV4_IFADDR,
            RTNLGRP_IPV6_IFADDR,
        ];
        let events = Self::open(&groups, &[&LINKS[..], &LOSSES].concat())?;
        events.socket.set_listen_all_namespaces(true)?;
        let groups = [
            RTNLGRP_IPV4_ROUTE,
            RTNLGRP_IPV6_ROUTE,
            RTNLGRP_IPV4_RULE,
            RTNLGRP_IPV6_RULE,
            RTNLGRP_NEIGH,
        ];
        join(&events.socket, &groups)?;
        Ok(events)
    }

    /// The tables of this namespace: bridge ports, forwarding entries, traffic control filters, and with IP
    /// (`has_ip`) our routes, addresses and the settings of links. A separate socket, because these groups
    /// are not watched in pods.
    pub fn of_tables(has_ip: bool) -> io::Result<Self> {
        let mut groups = vec![RTNLGRP_LINK, RTNLGRP_NEIGH, RTNLGRP_TC];
        if has_ip {
            groups.extend([
                RTNLGRP_IPV4_IFADDR,
                RTNLGRP_IPV6_IFADDR,
                RTNLGRP_IPV4_ROUTE,
                RTNLGRP_IPV6_ROUTE,
                RTNLGRP_IPV4_NETCONF,
            ]);
        }
        Self::open(&groups, &TABLES)
    }

    /// Changes of any nf_tables table of this namespace: one message per transaction.
    pub fn of_nftables() -> io::Result<Self> {
        let events = Self::open_unfiltered(NETLINK_NETFILTER)?;
        let generation = [Accept(NFT_MSG_NEWGEN, When::Always)];
        attach_filter(events.socket.as_raw_fd(), &generation)?;
        join(&events.socket, &[NFNLGRP_NFTABLES])?;
        Ok(events)
    }

    /// Changes of addresses and routes of this namespace. The messages only trigger a read and are not
    /// parsed.
    pub fn of_networks() -> io::Result<Self> {
        let events = Self::open_unfiltered(NETLINK_ROUTE)?;
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

    fn open(groups: &[u32], accepted: &[Accept]) -> io::Result<Self> {
        let events = Self::open_unfiltered(NETLINK_ROUTE)?;
        setsockopt(&borrow(&events.socket), RcvBufForce, &RECEIVE_BUFFER)?;
        attach_filter(events.socket.as_raw_fd(), accepted)?;
        join(&events.socket, groups)?;
        Ok(events)
    }

    fn open_unfiltered(protocol: isize) -> io::Result<Self> {
        let mut socket = netlink_sys::Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.set_non_blocking(true)?;
        Ok(Self {
            socket,
            buffer: vec![0; 64 * 1024],
        })
    }

    /// Passes all queued messages to `each`: nsid (`None`: this namespace), type, body. Returns whether the
    /// queue had overflowed, so that everything must be read again.
    pub fn drain(&mut self, mut each: impl FnMut(Option<i32>, u16, &[u8])) -> io::Result<bool> {
        let mut overrun = false;
        // The rest is read the next time: a continuous stream of events must not block the caller.
        for _ in 0..MOST_AT_ONCE {
            match self.receive(&mut each) {
                Ok(()) => (),
                Err(Errno::EAGAIN) => return Ok(overrun),
                Err(Errno::ENOBUFS | Errno::ENOMEM) => overrun = true,
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

impl AsFd for EventSocket {
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

fn attach_filter(fd: i32, accepted: &[Accept]) -> io::Result<()> {
    let mut program = filter::program(accepted);
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

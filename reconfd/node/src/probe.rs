//! Address conflict detection (RFC 5227): before an address is put on a link, ARP probes or neighbour
//! solicitations are sent in the pod's namespace, from its own MAC address.

use std::{
    io,
    net::IpAddr,
    os::fd::{AsRawFd as _, OwnedFd},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    libc,
    sys::{
        socket::{
            AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrLike as _,
            bind, recv, send, setsockopt, socket, sockopt,
        },
        time::{TimeVal, TimeValLike as _},
    },
};
use sandbox_record::netns::Netns;

use super::netlink::Error;

/// The frames.
mod frame;

/// Probes are repeated, because one may be lost.
const SEND_AT: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_millis(150),
    Duration::from_millis(300),
];
/// How long replies are waited for.
const TIMEOUT: Duration = Duration::from_millis(450);

/// The addresses to probe for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeRequest {
    /// The ifindex of the link in the pod.
    pub index: u32,
    pub mac: [u8; 6],
    pub addresses: Vec<IpAddr>,
}

/// A conflicting address and the MAC address of its owner.
pub type ProbeReply = (IpAddr, [u8; 6]);

/// Probes for these addresses and returns the conflicts. Takes half a second.
pub fn find_conflicts(netns: &Netns, request: &ProbeRequest) -> Result<Vec<ProbeReply>, Error> {
    let entered = netns.enter(|| open(request.index));
    let failed = |error: io::Error| Error::io("probe for address conflicts", &error);
    let socket = entered.map_err(|error| failed(io::Error::other(error.to_string())))?;
    exchange(&socket.map_err(|errno| failed(errno.into()))?, request)
        .map_err(|errno| failed(errno.into()))
}

fn exchange(socket: &OwnedFd, request: &ProbeRequest) -> nix::Result<Vec<ProbeReply>> {
    let (started, mut sent, mut replies) = (Instant::now(), 0, Vec::new());
    let mut buffer = [0; 256];
    while started.elapsed() < TIMEOUT && replies.len() < request.addresses.len() {
        if SEND_AT.get(sent).is_some_and(|at| started.elapsed() >= *at) {
            sent += 1;
            for address in &request.addresses {
                let frame = frame::probe(*address, request.mac);
                send(socket.as_raw_fd(), &frame, MsgFlags::empty())?;
            }
        }
        let received = match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Ok(length) => frame::read(&buffer[..length]),
            Err(Errno::EAGAIN | Errno::EINTR) => None,
            Err(errno) => return Err(errno),
        };
        let foreign = received.filter(|(address, mac)| {
            *mac != request.mac
                && request.addresses.contains(address)
                && !replies.iter().any(|(known, _)| known == address)
        });
        replies.extend(foreign);
    }
    Ok(replies)
}

fn open(index: u32) -> nix::Result<OwnedFd> {
    let socket = socket(
        AddressFamily::Packet,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::EthAll,
    )?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::milliseconds(20))?;
    bind(socket.as_raw_fd(), &link_address(index)?)?;
    Ok(socket)
}

#[allow(unsafe_code)]
fn link_address(index: u32) -> nix::Result<LinkAddr> {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
        sll_ifindex: i32::try_from(index).map_err(|_| Errno::ENODEV)?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let length = size_of_val(&address) as u32;
    // SAFETY: the pointer is to a whole sockaddr_ll with its family set, and lives through the call.
    let address = unsafe { LinkAddr::from_raw((&raw const address).cast(), Some(length)) };
    address.ok_or(Errno::EINVAL)
}

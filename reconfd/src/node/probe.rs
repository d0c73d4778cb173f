//! Whether somebody on the wire has an address already: asked before it is put on a link, by ARP and by
//! neighbour discovery, in the pod's own namespace and from its own MAC address.

use std::{
    io,
    net::IpAddr,
    os::fd::{AsRawFd as _, OwnedFd},
    time::{Duration, Instant},
};

use cni_plugin::netns::Netns;
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

use super::netlink::Error;

/// What goes over the wire.
mod frame;

/// Who asks once may not be heard.
const ASKED: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_millis(150),
    Duration::from_millis(300),
];
/// Who has the address answers within this.
const LISTENED: Duration = Duration::from_millis(450);

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeRequest {
    /// The number of the link in the pod.
    pub index: u32,
    pub mac: [u8; 6],
    pub addresses: Vec<IpAddr>,
}

/// An address that somebody has, and the MAC address that answers for it.
pub type ProbeReply = (IpAddr, [u8; 6]);

/// Who answers for these addresses. Takes half a second.
pub fn find_conflicts(netns: &Netns, question: &ProbeRequest) -> Result<Vec<ProbeReply>, Error> {
    let entered = netns.enter(|| open(question.index));
    let failed = |error: io::Error| Error::io("ask on the wire who has an address", &error);
    let wire = entered.map_err(|error| failed(io::Error::other(error.to_string())))?;
    listen(&wire.map_err(|errno| failed(errno.into()))?, question)
        .map_err(|errno| failed(errno.into()))
}

fn listen(wire: &OwnedFd, question: &ProbeRequest) -> nix::Result<Vec<ProbeReply>> {
    let (started, mut asked, mut answers) = (Instant::now(), 0, Vec::new());
    let mut buffer = [0; 256];
    while started.elapsed() < LISTENED && answers.len() < question.addresses.len() {
        if ASKED.get(asked).is_some_and(|at| started.elapsed() >= *at) {
            asked += 1;
            for address in &question.addresses {
                let frame = frame::question(*address, question.mac);
                send(wire.as_raw_fd(), &frame, MsgFlags::empty())?;
            }
        }
        let heard = match recv(wire.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Ok(length) => frame::read(&buffer[..length]),
            Err(Errno::EAGAIN | Errno::EINTR) => None,
            Err(errno) => return Err(errno),
        };
        let strange = heard.filter(|(address, mac)| {
            *mac != question.mac
                && question.addresses.contains(address)
                && !answers.iter().any(|(known, _)| known == address)
        });
        answers.extend(strange);
    }
    Ok(answers)
}

fn open(index: u32) -> nix::Result<OwnedFd> {
    let wire = socket(
        AddressFamily::Packet,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::EthAll,
    )?;
    setsockopt(&wire, sockopt::ReceiveTimeout, &TimeVal::milliseconds(20))?;
    bind(wire.as_raw_fd(), &link_address(index)?)?;
    Ok(wire)
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

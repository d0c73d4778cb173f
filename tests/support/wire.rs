//! Raw frames on a link of any namespace: what a hostile pod sends, and what arrives.

use std::{
    ffi::CString,
    io::IoSliceMut,
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
    time::{Duration, Instant},
};

use nix::{
    cmsg_space, libc,
    net::if_::if_nametoindex,
    sys::{
        socket::{
            AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SockFlag, SockProtocol,
            SockType, SockaddrLike, bind, recvmsg, send, setsockopt, socket, sockopt,
        },
        time::{TimeVal, TimeValLike},
    },
};

use super::enter::with_netns;

pub struct Wire(OwnedFd);

impl Wire {
    /// All frames of one link.
    pub fn on(netns: &Path, link: &str) -> Self {
        let name = CString::new(link).expect("a link name has no zero byte");
        with_netns(netns, || {
            let socket = packet_socket();
            let index =
                if_nametoindex(name.as_c_str()).unwrap_or_else(|error| panic!("{link}: {error}"));
            bind(socket.as_raw_fd(), &link_address(index)).expect("a packet socket can be bound");
            Self(socket)
        })
    }

    /// All frames of all links of a namespace.
    pub fn on_all(netns: &Path) -> Self {
        with_netns(netns, || Self(packet_socket()))
    }

    pub fn send(&self, frame: &[u8]) {
        let mut padded = frame.to_vec();
        padded.resize(frame.len().max(60), 0);
        send(self.0.as_raw_fd(), &padded, MsgFlags::empty()).expect("a frame can be sent");
    }

    /// The first frame that `wanted` likes and that others sent, if it comes in time.
    /// It is whole: with the tag that the kernel takes out of a frame on its way in.
    pub fn hears(&self, span: Duration, wanted: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
        let start = Instant::now();
        let mut buffer = vec![0; 65_536];
        while start.elapsed() < span {
            match self.receive(&mut buffer) {
                Some(frame) if wanted(&frame) => return Some(frame),
                _ => {}
            }
        }
        None
    }

    fn receive(&self, buffer: &mut [u8]) -> Option<Vec<u8>> {
        let mut aside = cmsg_space!(libc::tpacket_auxdata);
        let mut parts = [IoSliceMut::new(buffer)];
        let message = recvmsg::<()>(
            self.0.as_raw_fd(),
            &mut parts,
            Some(&mut aside),
            MsgFlags::empty(),
        )
        .ok()?;
        let tag = message.cmsgs().ok()?.find_map(|told| tag(&told));
        let mut frame = message.iovs().next()?.to_vec();
        if let Some(tag) = tag {
            frame.splice(12..12, tag);
        }
        Some(frame)
    }

    pub fn counts(&self, span: Duration, wanted: impl Fn(&[u8]) -> bool) -> u64 {
        let start = Instant::now();
        let mut heard = 0;
        while let Some(rest) = span.checked_sub(start.elapsed()) {
            heard += u64::from(self.hears(rest, &wanted).is_some());
        }
        heard
    }
}

/// The 802.1Q tag in what the kernel tells beside a frame, a `tpacket_auxdata`.
fn tag(told: &ControlMessageOwned) -> Option<[u8; 4]> {
    let ControlMessageOwned::Unknown(told) = told else {
        return None;
    };
    let bytes = &told.data_bytes;
    let status = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?);
    let short = |at: usize| Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let (control, protocol) = (short(16)?.to_be_bytes(), short(18)?.to_be_bytes());
    (status & libc::TP_STATUS_VLAN_VALID != 0).then_some([
        protocol[0],
        protocol[1],
        control[0],
        control[1],
    ])
}

fn packet_socket() -> OwnedFd {
    let socket = socket(
        AddressFamily::Packet,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::EthAll,
    )
    .expect("root may open packet sockets");
    let patience = TimeVal::milliseconds(20);
    setsockopt(&socket, sockopt::ReceiveTimeout, &patience).expect("a socket takes a timeout");
    setsockopt(&socket, sockopt::RcvBuf, &(8 << 20)).expect("a socket takes a buffer size");
    ask_for_tags(&socket);
    socket
}

#[allow(unsafe_code)]
fn ask_for_tags(socket: &OwnedFd) {
    let yes: libc::c_int = 1;
    // SAFETY: the pointer is to an int, of the size that is given, and lives through the call.
    let answer = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_AUXDATA,
            (&raw const yes).cast(),
            size_of_val(&yes) as libc::socklen_t,
        )
    };
    assert_eq!(answer, 0, "a packet socket tells what was in the tag");
}

#[allow(unsafe_code)]
fn link_address(index: u32) -> LinkAddr {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
        sll_ifindex: i32::try_from(index).expect("an interface index is an int"),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let length = size_of_val(&address) as u32;
    // SAFETY: the pointer is to a whole sockaddr_ll with its family set, and lives through the call.
    let address = unsafe { LinkAddr::from_raw((&raw const address).cast(), Some(length)) };
    address.expect("the family is AF_PACKET")
}

/// The number that the kernel gives to a network namespace once, asked of a socket in it.
#[allow(unsafe_code)]
pub fn netns_cookie(socket: &impl AsRawFd) -> u64 {
    let (mut cookie, mut length) = (0_u64, size_of::<u64>() as libc::socklen_t);
    // SAFETY: the pointers are to a u64 and its size, which is what SO_NETNS_COOKIE fills.
    let answer = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    assert_eq!(answer, 0, "SO_NETNS_COOKIE needs a kernel of 5.14 or later");
    cookie
}

//! Packets written by hand, and who sends them.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    os::fd::{AsRawFd, OwnedFd},
};

use nix::{
    libc,
    sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, socket},
};

pub const UDP: u8 = 17;
pub const FRAGMENT: u8 = 44;
pub const OPTIONS: u8 = 60;
/// The inner frames' protocol: one for experiments.
const PROTOCOL: [u8; 2] = [0x88, 0xb5];

/// A VXLAN header and a frame to everybody that says `word`.
pub fn vxlan(vni: u32, word: &str) -> Vec<u8> {
    let mut out = vec![8, 0, 0, 0];
    out.extend((vni << 8).to_be_bytes());
    out.extend([0xff; 6]);
    out.extend([0x0a, 0x58, 0, 0, 0, 1]);
    out.extend(PROTOCOL);
    out.extend(word.as_bytes());
    out.resize(8 + 64, 0);
    out
}

/// A UDP header without a checksum, and what follows.
pub fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for word in [40_000, port, 8 + payload.len() as u16, 0] {
        out.extend(word.to_be_bytes());
    }
    out.extend(payload);
    out
}

/// How a packet of IPv4 is divided: the word of flags and offset, and the options' length.
#[derive(Clone, Copy, Default)]
pub struct V4 {
    pub fragment: u16,
    pub options: u8,
    pub protocol: u8,
}

pub fn v4(from: IpAddr, to: IpAddr, how: V4, payload: &[u8]) -> Vec<u8> {
    let (IpAddr::V4(from), IpAddr::V4(to)) = (from, to) else {
        panic!("IPv4")
    };
    let header = 20 + how.options;
    let mut out = vec![0x40 + header / 4, 0];
    for word in [
        u16::from(header) + payload.len() as u16,
        0x1234,
        how.fragment,
    ] {
        out.extend(word.to_be_bytes());
    }
    out.extend([64, how.protocol, 0, 0]);
    out.extend(from.octets());
    out.extend(to.octets());
    // Options that do nothing.
    out.resize(header.into(), 1);
    out.extend(payload);
    out
}

pub fn v6(from: IpAddr, to: IpAddr, next: u8, payload: &[u8]) -> Vec<u8> {
    let (IpAddr::V6(from), IpAddr::V6(to)) = (from, to) else {
        panic!("IPv6")
    };
    let mut out = vec![0x60, 0, 0, 0];
    out.extend((payload.len() as u16).to_be_bytes());
    out.extend([next, 64]);
    out.extend(from.octets());
    out.extend(to.octets());
    out.extend(payload);
    out
}

/// A fragment header; the offset counts bytes.
pub fn fragment(next: u8, offset: u16, more: bool, number: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![next, 0];
    out.extend((offset | u16::from(more)).to_be_bytes());
    out.extend(number.to_be_bytes());
    out.extend(payload);
    out
}

/// A header of options (for the destination, or for every hop) of this length, that asks for nothing.
pub fn options(next: u8, length: usize, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![next, (length / 8 - 1) as u8];
    while out.len() < length {
        // An option that is unknown and may be skipped, or a pad.
        let rest = length - out.len();
        let part = rest.min(250);
        match part {
            1 => out.push(0),
            _ => {
                out.extend([0x1e, part as u8 - 2]);
                out.resize(out.len() + part - 2, 0);
            }
        }
    }
    out.extend(payload);
    out
}

/// Sends whole packets as they are, from wherever they say.
pub fn send(to: IpAddr, packets: &[Vec<u8>]) {
    let family = match to {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    let socket = socket(
        family,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::Raw,
    )
    .unwrap();
    // The standard library's sockets send whatever their kind.
    let socket = UdpSocket::from(socket);
    for packet in packets {
        socket.send_to(packet, (to, 0)).unwrap();
    }
}

/// Sends several datagrams of one length as one packet.
#[allow(unsafe_code)]
pub fn send_burst(to: SocketAddr, datagrams: &[Vec<u8>]) {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let length = libc::c_int::try_from(datagrams[0].len()).unwrap();
    // SAFETY: the option is an int, and that is what the pointer and the length say.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_UDP,
            libc::UDP_SEGMENT,
            (&raw const length).cast(),
            size_of_val(&length) as libc::socklen_t,
        )
    };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
    socket.send_to(&datagrams.concat(), to).unwrap();
}

/// Hears every frame of the namespace, also those that a vxlan device hands on.
pub struct Ear(OwnedFd);

impl Ear {
    pub fn open() -> Self {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let kind = SockType::Raw;
        Self(socket(AddressFamily::Packet, kind, flags, SockProtocol::EthAll).unwrap())
    }

    /// What the inner frames said that came since.
    pub fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        let mut frame = [0; 4096];
        while let Ok(length) = recv(self.0.as_raw_fd(), &mut frame, MsgFlags::empty()) {
            if frame[12..14] == PROTOCOL {
                let word = String::from_utf8_lossy(&frame[14..length]);
                words.push(word.trim_end_matches('\0').to_owned());
            }
        }
        words
    }
}

//! Netlink by hand: the bytes of messages, and a socket. Knows nothing of the daemon's own netlink,
//! because it is the measure for it.

use std::{
    io::IoSliceMut,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use anyhow::{Context, Result, bail};
use nix::{
    cmsg_space,
    errno::Errno,
    libc,
    sys::socket::{
        AddressFamily, ControlMessageOwned, MsgFlags, NetlinkAddr, SockFlag, SockProtocol,
        SockType, bind, recv, recvmsg, send, setsockopt, socket, sockopt,
    },
};

pub const CREATE: u16 = 0x400;
pub const EXCL: u16 = 0x200;
pub const REPLACE: u16 = 0x100;
pub const APPEND: u16 = 0x800;
const REQUEST: u16 = 1;
const ACK: u16 = 4;
const NLMSG_ERROR: u16 = 2;
const HEADER: usize = 16;
/// Room for the events of hundreds of links.
const EVENTS: usize = 64 << 20;

/// Messages for one send.
#[derive(Default)]
pub struct Batch {
    bytes: Vec<u8>,
    last: usize,
    count: u32,
    /// The message that the kernel shall answer to.
    asked: u32,
}

impl Batch {
    /// One message; `body` appends the fixed part and the attributes.
    pub fn message(&mut self, kind: u16, flags: u16, body: impl FnOnce(&mut Vec<u8>)) -> &mut Self {
        self.last = self.bytes.len();
        self.count += 1;
        self.bytes.extend([0; 4]);
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((REQUEST | flags).to_ne_bytes());
        self.bytes.extend(self.count.to_ne_bytes());
        self.bytes.extend([0; 4]);
        body(&mut self.bytes);
        let length = (self.bytes.len() - self.last) as u32;
        self.bytes[self.last..self.last + 4].copy_from_slice(&length.to_ne_bytes());
        self
    }

    /// Asks for an answer to the message that was put in last, and to no other.
    pub fn ask(&mut self) {
        let flags = self.last + 6;
        let asking = u16::from_ne_bytes([self.bytes[flags], self.bytes[flags + 1]]) | ACK;
        self.bytes[flags..flags + 2].copy_from_slice(&asking.to_ne_bytes());
        self.asked = self.count;
    }
}

pub fn attribute(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    nest(out, kind, |out| out.extend_from_slice(value));
}

pub fn nest(out: &mut Vec<u8>, kind: u16, inner: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0; 2]);
    out.extend(kind.to_ne_bytes());
    inner(out);
    let length = (out.len() - start) as u16;
    out[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    out.resize(out.len().next_multiple_of(4), 0);
}

/// A netlink socket in the network namespace of the thread that opens it.
pub struct Socket(OwnedFd);

impl Socket {
    pub fn open(protocol: SockProtocol, groups: u32, flags: SockFlag) -> Result<Self> {
        let flags = flags | SockFlag::SOCK_CLOEXEC;
        let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
        Ok(Self(fd))
    }

    /// Sends all in one system call and waits for the kernel's word on the one that asks, or the last.
    pub fn send(&self, batch: &mut Batch) -> Result<()> {
        if batch.asked == 0 {
            batch.ask();
        }
        send(self.0.as_raw_fd(), &batch.bytes, MsgFlags::empty())?;
        let (mut buffer, mut through, mut refused) = ([0; 8192], false, None);
        while !through {
            let length = recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
            messages(&buffer[..length], |kind, sequence, body| {
                let code = number(body, 0);
                if kind == NLMSG_ERROR && code != 0 && refused.is_none() {
                    refused = Some((sequence, Errno::from_raw(code.cast_signed().wrapping_neg())));
                }
                through |= sequence == batch.asked;
            });
        }
        match refused {
            Some((sequence, errno)) => bail!("message {sequence} of {}: {errno}", batch.count),
            None => Ok(()),
        }
    }

    /// Hears also what happens in every namespace that has a number (nsid) in the socket's own: one
    /// listener costs those who are listened to far less than one in each.
    #[allow(unsafe_code)]
    pub fn listen_everywhere(&self) -> Result<()> {
        setsockopt(&self.0, sockopt::RcvBufForce, &EVENTS)?;
        let (on, length) = (1_i32, size_of::<i32>() as libc::socklen_t);
        let fd = self.0.as_raw_fd();
        // SAFETY: the kernel reads an int at `on` and keeps no reference.
        let answer = unsafe {
            libc::setsockopt(
                fd,
                libc::SOL_NETLINK,
                libc::NETLINK_LISTEN_ALL_NSID,
                (&raw const on).cast(),
                length,
            )
        };
        Errno::result(answer)
            .map(drop)
            .context("listen in all namespaces")
    }

    /// Hands over one datagram's messages with the number of the namespace that they are from, none
    /// for the socket's own; false when none is there.
    pub fn hear(
        &self,
        buffer: &mut [u8],
        mut each: impl FnMut(Option<i32>, u16, &[u8]),
    ) -> Result<bool> {
        let mut control = cmsg_space!([u8; 64]);
        let mut parts = [IoSliceMut::new(buffer)];
        let received = recvmsg::<NetlinkAddr>(
            self.0.as_raw_fd(),
            &mut parts,
            Some(&mut control),
            MsgFlags::MSG_DONTWAIT,
        );
        let (length, from) = match received {
            Ok(received) => (
                received.bytes,
                received
                    .cmsgs()?
                    .find_map(|message| number_of_namespace(&message)),
            ),
            Err(Errno::EAGAIN) => return Ok(false),
            Err(errno) => bail!("hear the kernel's events: {errno}"),
        };
        messages(&buffer[..length], |kind, _, body| each(from, kind, body));
        Ok(true)
    }
}

fn number_of_namespace(message: &ControlMessageOwned) -> Option<i32> {
    let ControlMessageOwned::Unknown(message) = message else {
        return None;
    };
    let header = message.cmsg_header;
    let is_number =
        header.cmsg_level == libc::SOL_NETLINK && header.cmsg_type == libc::NETLINK_LISTEN_ALL_NSID;
    is_number
        .then(|| {
            message
                .data_bytes
                .first_chunk()
                .copied()
                .map(i32::from_ne_bytes)
        })
        .flatten()
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The messages of one datagram: type, sequence, body.
fn messages(mut bytes: &[u8], mut each: impl FnMut(u16, u32, &[u8])) {
    while bytes.len() >= HEADER {
        let length = number(bytes, 0) as usize;
        if length < HEADER || length > bytes.len() {
            return;
        }
        let kind = u16::from_ne_bytes([bytes[4], bytes[5]]);
        each(kind, number(bytes, 8), &bytes[HEADER..length]);
        bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
    }
}

/// The attributes behind a fixed part.
pub fn attributes(mut bytes: &[u8], mut each: impl FnMut(u16, &[u8])) {
    while bytes.len() >= 4 {
        let length = usize::from(u16::from_ne_bytes([bytes[0], bytes[1]]));
        if length < 4 || length > bytes.len() {
            return;
        }
        each(
            u16::from_ne_bytes([bytes[2], bytes[3]]) & 0x3fff,
            &bytes[4..length],
        );
        bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
    }
}

/// The 32 bits at a place; zero behind the end.
pub fn number(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..at + 4)
        .map_or(0, |b| u32::from_ne_bytes([b[0], b[1], b[2], b[3]]))
}

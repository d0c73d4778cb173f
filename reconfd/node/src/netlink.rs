//! A small netlink client: requests, the kernel's responses, and iteration over a datagram. Its socket is
//! blocking.

use std::{
    borrow::Cow,
    io,
    sync::{Arc, atomic::AtomicU64},
};

use netlink_packet_core::Emitable;
use netlink_packet_route::RouteNetlinkMessage;
use nix::errno::Errno;

/// Links of another network namespace.
pub mod in_netns;
/// A blocking socket.
mod socket;
pub use socket::Socket;

const NLMSG_HDR: usize = 16;

/// The number of change requests sent: a restart must send none.
pub type Changes = Arc<AtomicU64>;

/// The kernel's error for one request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{op}: {}", self.cause())]
pub struct Error {
    /// The operation and its object: `create veth data0`.
    pub op: String,
    pub errno: Errno,
    /// The kernel's extended-ack text; often empty.
    pub text: String,
}

impl Error {
    pub fn io(op: impl Into<String>, error: &io::Error) -> Self {
        let errno = error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
        Self::new(op, errno, "")
    }

    pub fn new(op: impl Into<String>, errno: Errno, text: impl Into<String>) -> Self {
        Self {
            op: op.into(),
            errno,
            text: text.into(),
        }
    }

    fn cause(&self) -> String {
        let number = self.errno as i32;
        match self.text.as_str() {
            "" => format!("{} (os error {number})", self.errno.desc()),
            text => format!("{text} ({}, os error {number})", self.errno.desc()),
        }
    }
}

/// One message of a batch.
#[derive(Clone, Debug)]
pub struct Request {
    pub op: Cow<'static, str>,
    /// Beside REQUEST and ACK.
    pub flags: u16,
    pub body: Body,
    /// Errors that mean that the change is already in effect, such as a deletion of a missing object.
    pub ignorable: &'static [Errno],
}

#[derive(Clone, Debug)]
pub enum Body {
    Route(RouteNetlinkMessage),
    /// Messages without a typed representation: the message type and the payload.
    Raw(u16, Vec<u8>),
}

impl Request {
    pub fn new(op: impl Into<Cow<'static, str>>, flags: u16, message: RouteNetlinkMessage) -> Self {
        Self::of_body(op, flags, Body::Route(message))
    }

    pub fn of_body(op: impl Into<Cow<'static, str>>, flags: u16, body: Body) -> Self {
        Self {
            op: op.into(),
            flags,
            body,
            ignorable: &[],
        }
    }

    /// A creation that succeeds if the object exists already.
    pub fn repeatable(op: impl Into<Cow<'static, str>>, flags: u16, body: Body) -> Self {
        Self {
            ignorable: &[Errno::EEXIST],
            ..Self::of_body(op, flags, body)
        }
    }

    /// An idempotent deletion.
    pub fn deletion(op: impl Into<Cow<'static, str>>, message: RouteNetlinkMessage) -> Self {
        Self {
            ignorable: &[
                Errno::ESRCH,
                Errno::EADDRNOTAVAIL,
                Errno::ENOENT,
                Errno::ENODEV,
            ],
            ..Self::new(op, 0, message)
        }
    }

    fn answered(&self, errno: Errno, text: String) -> Result<(), Error> {
        match self.ignorable.contains(&errno) {
            true => Ok(()),
            false => Err(Error::new(&*self.op, errno, text)),
        }
    }
}

impl Body {
    fn kind(&self) -> u16 {
        match self {
            Self::Route(message) => message.message_type(),
            Self::Raw(kind, _) => *kind,
        }
    }

    fn append(&self, flags: u16, sequence: u32, out: &mut Vec<u8>) {
        let length = match self {
            Self::Route(message) => message.buffer_len(),
            Self::Raw(_, bytes) => bytes.len(),
        };
        let start = out.len();
        out.extend_from_slice(&((NLMSG_HDR + length) as u32).to_ne_bytes());
        out.extend_from_slice(&self.kind().to_ne_bytes());
        out.extend_from_slice(&flags.to_ne_bytes());
        out.extend_from_slice(&sequence.to_ne_bytes());
        out.extend_from_slice(&0u32.to_ne_bytes());
        out.resize((start + NLMSG_HDR + length).next_multiple_of(4), 0);
        let room = &mut out[start + NLMSG_HDR..start + NLMSG_HDR + length];
        match self {
            Self::Route(message) => message.emit(room),
            Self::Raw(_, bytes) => room.copy_from_slice(bytes),
        }
    }
}

/// Iterates over the messages of one datagram: type, flags, sequence, body.
pub fn messages(mut bytes: &[u8], mut each: impl FnMut(u16, u16, u32, &[u8])) {
    while let Some(header) = bytes.first_chunk::<NLMSG_HDR>() {
        let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        if length < NLMSG_HDR || length > bytes.len() {
            return;
        }
        let kind = u16::from_ne_bytes([header[4], header[5]]);
        let flags = u16::from_ne_bytes([header[6], header[7]]);
        let sequence = u32::from_ne_bytes([header[8], header[9], header[10], header[11]]);
        each(kind, flags, sequence, &bytes[NLMSG_HDR..length]);
        bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
    }
}

/// The first failure in the order of the messages; later ones often only follow from it.
pub fn first_error(answers: Vec<Result<(), Error>>) -> Result<(), Error> {
    answers.into_iter().collect()
}

//! Messages on a unix stream socket: a length of four bytes, big-endian, then JSON. The descriptor of a namespace comes
//! with the first byte of its message.

use std::{
    io::{self, IoSlice, IoSliceMut, Read, Write},
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
};

use nix::{
    cmsg_space,
    errno::Errno,
    sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg},
};
use serde::{Serialize, de::DeserializeOwned};

/// A frozen chain with its result, or the result of one; more than both limits of a configuration and a result.
const LARGEST: usize = 8 << 20;

/// Sends a message, with a descriptor or without.
pub fn send(
    mut socket: &UnixStream,
    message: &impl Serialize,
    fd: Option<RawFd>,
) -> io::Result<()> {
    let body = serde_json::to_vec(message)?;
    let length = u32::try_from(body.len()).map_err(|_| too_large())?;
    let head = length.to_be_bytes();
    let sent = send_part(socket, &head, fd)?;
    socket.write_all(&head[sent..])?;
    socket.write_all(&body)
}

/// Receives a message and its descriptor. `None`: the other side has closed.
pub fn receive<T: DeserializeOwned>(
    mut socket: &UnixStream,
) -> io::Result<Option<(T, Option<OwnedFd>)>> {
    let mut head = [0; 4];
    let (read, fd) = receive_part(socket, &mut head)?;
    if read == 0 {
        return Ok(None);
    }
    socket.read_exact(&mut head[read..])?;
    let length = usize::try_from(u32::from_be_bytes(head)).unwrap_or(usize::MAX);
    if length > LARGEST {
        return Err(too_large());
    }
    let mut body = vec![0; length];
    socket.read_exact(&mut body)?;
    Ok(Some((serde_json::from_slice(&body)?, fd)))
}

/// Sends a descriptor, if there is one, with the first of some bytes. Returns how many of them were sent.
pub fn send_part(socket: &UnixStream, part: &[u8], fd: Option<RawFd>) -> io::Result<usize> {
    let fds = fd.map(|fd| [fd]);
    let control: Vec<_> = fds
        .iter()
        .map(|fds| ControlMessage::ScmRights(fds))
        .collect();
    let (part, flags) = ([IoSlice::new(part)], MsgFlags::MSG_NOSIGNAL);
    loop {
        match sendmsg::<()>(socket.as_raw_fd(), &part, &control, flags, None) {
            Err(Errno::EINTR) => {}
            sent => return Ok(sent?),
        }
    }
}

/// Receives some bytes, and the descriptor that came with them. 0 bytes: the other side has closed.
pub fn receive_part(socket: &UnixStream, part: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = cmsg_space!([RawFd; 4]);
    let mut parts = [IoSliceMut::new(part)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let received = loop {
        match recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags) {
            Err(Errno::EINTR) => {}
            received => break received?,
        }
    };
    let mut fds = Vec::new();
    for message in received.cmsgs()? {
        if let ControlMessageOwned::ScmRights(raw) = message {
            fds.extend(raw.into_iter().map(owned));
        }
    }
    Ok((received.bytes, fds.into_iter().next()))
}

#[allow(unsafe_code)]
fn owned(fd: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just made this descriptor for this process; nothing else owns it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn too_large() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the message is too large")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{fs::File, os::fd::AsFd as _};

    use super::*;

    #[test]
    fn a_message_arrives_whole_with_its_descriptor() {
        let (a, b) = UnixStream::pair().unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "inside").unwrap();
        let long = "x".repeat(1 << 20);
        let sender = std::thread::spawn(move || {
            send(&a, &long, Some(file.as_file().as_fd().as_raw_fd())).unwrap();
            send(&a, &"second", None).unwrap();
        });
        let (text, fd) = receive::<String>(&b).unwrap().unwrap();
        assert_eq!(text.len(), 1 << 20);
        let mut content = String::new();
        File::from(fd.unwrap())
            .read_to_string(&mut content)
            .unwrap();
        assert_eq!(content, "inside");
        let (text, fd) = receive::<String>(&b).unwrap().unwrap();
        assert!(text == "second" && fd.is_none());
        sender.join().unwrap();
        assert!(receive::<String>(&b).unwrap().is_none());
    }

    #[test]
    fn a_message_without_end_is_refused_before_it_is_read() {
        let (mut a, b) = UnixStream::pair().unwrap();
        a.write_all(&[0xff; 8]).unwrap();
        assert!(receive::<String>(&b).is_err());
    }
}

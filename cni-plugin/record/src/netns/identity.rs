//! The identity of a network namespace, read from an open fd. An inode number alone proves nothing: numbers
//! are reused within seconds.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use nix::sys::stat::fstat;

use super::{NetnsError, NetnsErrorKind, enter};

/// `_IO(0xb7, 3)`: the type of a namespace.
const NS_GET_NSTYPE: libc::c_ulong = 0xb703;
/// `_IO(0xb7, 1)`: the user namespace that owns it.
const NS_GET_USERNS: libc::c_ulong = 0xb701;
/// `_IOR(0xb7, 13, u64)`: the cookie, without entering. Linux 6.18 and newer.
const NS_GET_ID: libc::c_ulong = 0x8008_b70d;
/// The cookie of a socket's namespace. Linux 5.14 and newer.
const SO_NETNS_COOKIE: libc::c_int = 71;

/// The namespace of a socket, as an fd.
const SIOCGSKNS: libc::c_ulong = 0x894c;

/// The namespace file and the kernel's cookie for the namespace, which is unique per boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    pub device: u64,
    pub inode: u64,
    pub cookie: u64,
}

impl Identity {
    pub(super) fn read(fd: BorrowedFd<'_>) -> Result<Self, NetnsError> {
        Self::with_cookie(fd, cookie(fd)?)
    }

    /// As `read`, for the namespace of the calling thread, which needs no `setns`.
    pub(super) fn of_own(fd: BorrowedFd<'_>) -> Result<Self, NetnsError> {
        let cookie = cookie_by_ioctl(fd).or_else(|_| cookie_by_socket());
        Self::with_cookie(fd, cookie.map_err(NetnsErrorKind::Cookie)?)
    }

    fn with_cookie(fd: BorrowedFd<'_>, cookie: u64) -> Result<Self, NetnsError> {
        let stat = fstat(fd).map_err(NetnsErrorKind::Verify)?;
        Ok(Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            cookie,
        })
    }

    pub(super) fn is_file_of(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

/// The type that the kernel states, as a `CLONE_NEW…` flag.
#[allow(unsafe_code)]
pub(super) fn namespace_type(fd: BorrowedFd<'_>) -> Result<libc::c_int, Errno> {
    // SAFETY: this request takes no argument; the fd is open for the length of the call.
    Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), NS_GET_NSTYPE as _) })
}

/// The user namespace that owns a namespace. EPERM where it is not below the caller's.
#[allow(unsafe_code)]
pub(super) fn owner(fd: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    // SAFETY: this request takes no argument; the fd is open for the length of the call.
    let owner = Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), NS_GET_USERNS as _) })?;
    // SAFETY: the kernel has just made this fd (close-on-exec) for us, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(owner) })
}

/// Tries the cheap ioctl first. An older kernel gives the cookie only to a socket created inside; the thread
/// that creates it ends there, also in the plugin, which must still print its result outside.
fn cookie(fd: BorrowedFd<'_>) -> Result<u64, NetnsError> {
    cookie_by_ioctl(fd).or_else(|_| cookie_by_entering(fd))
}

pub(super) fn cookie_by_entering(fd: BorrowedFd<'_>) -> Result<u64, NetnsError> {
    let cookie = enter(fd, cookie_by_socket)?;
    cookie.map_err(|errno| NetnsErrorKind::Cookie(errno).into())
}

#[allow(unsafe_code)]
pub(super) fn cookie_by_ioctl(fd: BorrowedFd<'_>) -> Result<u64, Errno> {
    let mut cookie: u64 = 0;
    // SAFETY: the kernel writes 8 bytes to `cookie`, which lives across the call.
    Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), NS_GET_ID as _, &raw mut cookie) })?;
    real(cookie)
}

fn any_socket() -> Result<OwnedFd, Errno> {
    let (family, kind) = (AddressFamily::Unix, SockType::Datagram);
    socket(family, kind, SockFlag::SOCK_CLOEXEC, None)
}

/// The calling thread's namespace, by way of a socket that is made in it.
#[allow(unsafe_code)]
pub(super) fn own_by_socket() -> Result<OwnedFd, Errno> {
    let socket = any_socket()?;
    // SAFETY: this request takes no argument; the socket is open for the length of the call.
    let fd = Errno::result(unsafe { libc::ioctl(socket.as_raw_fd(), SIOCGSKNS as _) })?;
    // SAFETY: the kernel has just made this fd (close-on-exec) for us, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The cookie of the calling thread's namespace.
#[allow(unsafe_code)]
pub(super) fn cookie_by_socket() -> Result<u64, Errno> {
    let socket = any_socket()?;
    let mut cookie: u64 = 0;
    let mut length = libc::socklen_t::from(8u8);
    // SAFETY: the kernel writes at most `length` bytes, the size of `cookie`; both live across the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    Errno::result(result)?;
    real(cookie)
}

fn real(cookie: u64) -> Result<u64, Errno> {
    if cookie == 0 {
        Err(Errno::ENODATA)
    } else {
        Ok(cookie)
    }
}

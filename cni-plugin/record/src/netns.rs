//! Network namespace handles: open, verify, enter. The only `setns` of the project. No thread ever returns
//! from a foreign namespace, and no namespace is held longer than it is used.

mod error;
mod folders;
mod identity;
mod retry;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Mutex;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, setns};
use nix::sys::stat::{Mode, fstat};
use nix::sys::statfs::{NSFS_MAGIC, fstatfs};

pub use error::{NetnsError, NetnsErrorKind};
pub use folders::NetnsFolders;
pub use identity::Identity;
pub use retry::{is_transient, retry};

/// The flags for opening a namespace: no controlling terminal, not inherited by children, not blocking on a
/// FIFO.
const FLAGS: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_CLOEXEC)
    .union(OFlag::O_NONBLOCK)
    .union(OFlag::O_NOCTTY);

/// An open and verified network namespace. The handle keeps the namespace alive, also without processes and
/// links: hold it only while it is used.
#[derive(Debug)]
pub struct Netns {
    fd: OwnedFd,
    identity: Identity,
}

impl Netns {
    /// The namespace of the calling thread.
    pub fn own() -> Result<Self, NetnsError> {
        // SIOCGSKNS on a socket costs a third of opening /proc, but needs CAP_NET_ADMIN.
        let fd = identity::own_by_socket();
        let fd = fd.or_else(|_| open_path(Path::new("/proc/thread-self/ns/net")))?;
        check_type(&fd)?;
        let identity = Identity::of_own(fd.as_fd())?;
        Ok(Self { fd, identity })
    }

    /// A namespace from an fd, for example from `SIOCGSKNS`. Never the caller's own.
    pub fn from_fd(fd: OwnedFd) -> Result<Self, NetnsError> {
        Self::from_fd_beside(fd, None)
    }

    /// As `from_fd`, if the identity of the caller's own namespace is already known.
    fn from_fd_beside(fd: OwnedFd, own: Option<Identity>) -> Result<Self, NetnsError> {
        let own = own.map_or_else(|| Self::own().map(|own| own.identity), Ok)?;
        Self::verified(fd)?.not(own)
    }

    /// The namespace at a path that the runtime passed in the current call. Links are followed: the runtime
    /// is the only source. For records use [`NetnsFolders::open`].
    pub fn at_runtime_path(path: &Path) -> Result<Self, NetnsError> {
        let opened = open_path(path).and_then(Self::from_fd);
        opened.map_err(|error| error.at(path))
    }

    /// The identity of the namespace.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Whether the owning user namespace is the caller's own: a process with `NET_ADMIN` in that user
    /// namespace may administer every other network namespace that it owns.
    pub fn is_of_own_user_namespace(&self) -> Result<bool, NetnsError> {
        let owner = identity::owner(self.fd.as_fd()).map_err(NetnsErrorKind::Verify)?;
        let own = open_path(Path::new("/proc/self/ns/user"))?;
        let of = |fd: &OwnedFd| fstat(fd).map(|stat| (stat.st_dev, stat.st_ino));
        let same = of(&owner).and_then(|owner| Ok(owner == of(&own)?));
        Ok(same.map_err(NetnsErrorKind::Verify)?)
    }

    /// Runs `f` inside, on a thread that is created for it and ends there, so that no thread ever returns
    /// from the namespace. A panic in `f` becomes an error (where panics unwind).
    pub fn enter<T: Send>(&self, f: impl FnOnce() -> T + Send) -> Result<T, NetnsError> {
        enter(self.fd.as_fd(), f)
    }

    fn verified(fd: OwnedFd) -> Result<Self, NetnsError> {
        check_type(&fd)?;
        let identity = Identity::read(fd.as_fd())?;
        Ok(Self { fd, identity })
    }

    fn not(self, own: Identity) -> Result<Self, NetnsError> {
        if self.identity.is_file_of(&own) || self.identity.cookie == own.cookie {
            return Err(NetnsErrorKind::Own.into());
        }
        Ok(self)
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn open_path(path: &Path) -> Result<OwnedFd, NetnsError> {
    let opened = retry(|| open(path, FLAGS, Mode::empty()), |errno| Some(*errno));
    opened.map_err(|errno| NetnsErrorKind::Open(errno).at(path))
}

/// Verifies that an fd is a network namespace, by its file system and by NS_GET_NSTYPE.
fn check_type(fd: &OwnedFd) -> Result<(), NetnsError> {
    let system = fstatfs(fd).map_err(NetnsErrorKind::Verify)?;
    if system.filesystem_type() != NSFS_MAGIC {
        return Err(NetnsErrorKind::NotANamespace.into());
    }
    match identity::namespace_type(fd.as_fd()) {
        Ok(kind) if kind == CloneFlags::CLONE_NEWNET.bits() => Ok(()),
        Ok(_) => Err(NetnsErrorKind::OtherType.into()),
        Err(errno) => Err(NetnsErrorKind::Verify(errno).into()),
    }
}

fn enter<T: Send>(fd: BorrowedFd<'_>, f: impl FnOnce() -> T + Send) -> Result<T, NetnsError> {
    // Taken by the thread after it has entered: a thread that could not be started leaves it for the retry.
    let f = Mutex::new(Some(f));
    let inside = || -> Result<T, Errno> {
        retry(|| setns(fd, CloneFlags::CLONE_NEWNET), |errno| Some(*errno))?;
        let f = f.lock().ok().and_then(|mut f| f.take());
        f.map(|f| f()).ok_or(Errno::EINVAL)
    };
    std::thread::scope(|scope| {
        let start = || {
            let thread = std::thread::Builder::new().name("in-netns".into());
            thread.spawn_scoped(scope, inside)
        };
        let errno = |error: &std::io::Error| error.raw_os_error().map(Errno::from_raw);
        let thread = retry(start, errno);
        match thread
            .map_err(|error| NetnsErrorKind::Thread(error.to_string()))?
            .join()
        {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(errno)) => Err(NetnsErrorKind::Enter(errno).into()),
            Err(panic) => Err(NetnsErrorKind::Panicked(text_of(panic.as_ref())).into()),
        }
    })
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;

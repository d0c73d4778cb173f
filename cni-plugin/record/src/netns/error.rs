//! Why a namespace could not be opened or entered. It distinguishes a namespace that is gone from one that
//! could not be checked: links are removed only for the first.

use std::fmt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

/// The error and its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetnsError {
    pub path: Option<PathBuf>,
    pub kind: NetnsErrorKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetnsErrorKind {
    /// The path lies in none of the folders that namespaces may be opened in.
    OutsideFolders,
    /// The folder itself could not be opened: its content is unknown.
    Folder(Errno),
    /// The file could not be opened.
    Open(Errno),
    /// The file is there, but no namespace is mounted on it (any more).
    NotANamespace,
    /// A namespace of another type.
    OtherType,
    /// The caller's own namespace, which a record must never name.
    Own,
    /// The type of the fd could not be read.
    Verify(Errno),
    /// The kernel returned no cookie, so namespaces cannot be distinguished.
    Cookie(Errno),
    Enter(Errno),
    Thread(String),
    /// The closure panicked inside.
    Panicked(String),
}

impl NetnsErrorKind {
    pub(super) fn at(self, path: &Path) -> NetnsError {
        NetnsError::from(self).at(path)
    }
}

impl NetnsError {
    pub(super) fn at(self, path: &Path) -> Self {
        Self {
            path: Some(path.to_owned()),
            ..self
        }
    }

    /// Whether this proves that there is no namespace at the path: the file is missing, or nothing is mounted
    /// on it. No other error proves it.
    pub fn is_gone(&self) -> bool {
        matches!(
            self.kind,
            NetnsErrorKind::Open(Errno::ENOENT) | NetnsErrorKind::NotANamespace
        )
    }
}

impl NetnsErrorKind {
    /// The errno if the namespace could not be checked for a transient reason (no descriptor left, no
    /// memory); a retry may succeed.
    pub fn transient(&self) -> Option<Errno> {
        match self {
            // The path was resolved and is no namespace: missing, a link, outside of the folder, a socket.
            Self::Open(
                Errno::ENOENT
                | Errno::ENOTDIR
                | Errno::ELOOP
                | Errno::EXDEV
                | Errno::ENXIO
                | Errno::ENODEV,
            ) => None,
            Self::Folder(errno)
            | Self::Open(errno)
            | Self::Verify(errno)
            | Self::Cookie(errno)
            | Self::Enter(errno) => Some(*errno),
            Self::Thread(_) => Some(Errno::EAGAIN),
            _ => None,
        }
    }
}

impl From<NetnsErrorKind> for NetnsError {
    fn from(kind: NetnsErrorKind) -> Self {
        Self { path: None, kind }
    }
}

impl fmt::Display for NetnsErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutsideFolders => f.write_str("lies outside of the folders that are allowed"),
            Self::Folder(errno) => write!(f, "cannot open its folder: {}", errno.desc()),
            Self::Open(Errno::ELOOP) => f.write_str("cannot open it: it is a link"),
            Self::Open(errno) => write!(f, "cannot open it: {}", errno.desc()),
            Self::NotANamespace => f.write_str("is not a namespace"),
            Self::OtherType => f.write_str("is a namespace of another type"),
            Self::Own => f.write_str("is the caller's own namespace"),
            Self::Verify(errno) => write!(f, "cannot determine its type: {}", errno.desc()),
            Self::Cookie(errno) => write!(f, "cannot read its cookie: {}", errno.desc()),
            Self::Enter(errno) => write!(f, "cannot enter it: {}", errno.desc()),
            Self::Thread(text) => write!(f, "cannot start a thread: {text}"),
            Self::Panicked(text) => write!(f, "what ran inside panicked: {text}"),
        }
    }
}

impl fmt::Display for NetnsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "network namespace {path:?}: {}", self.kind),
            None => write!(f, "network namespace: {}", self.kind),
        }
    }
}

impl std::error::Error for NetnsError {}

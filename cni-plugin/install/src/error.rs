//! Errors of the installer, with the text for its user.

use std::io;
use std::path::Path;

/// An error, reported once by the exit code and on stderr.
#[derive(Debug, Clone)]
pub struct InstallError {
    pub kind: InstallErrorKind,
    pub text: String,
}

/// The class of an error: whether a retry may help, and the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstallErrorKind {
    /// There is no chain to join yet.
    NoChain,
    /// A file is half-written, or another program is working in the folder.
    Unsettled,
    /// A file was modified between reading and changing it.
    Modified,
    /// A file cannot be read completely, so its content is unknown.
    Unreadable,
    /// The configuration is not supported and needs a manual change.
    Refused,
    /// A system call failed.
    Io,
    /// Another program removes the entry as often as it is put back.
    Contended,
}

impl InstallErrorKind {
    /// Whether a retry may succeed.
    pub fn is_transient(self) -> bool {
        matches!(
            self,
            InstallErrorKind::NoChain | InstallErrorKind::Unsettled | InstallErrorKind::Modified
        )
    }

    pub fn exit_code(self) -> u8 {
        match self {
            InstallErrorKind::Unsettled
            | InstallErrorKind::Modified
            | InstallErrorKind::Unreadable
            | InstallErrorKind::Refused
            | InstallErrorKind::Io => 1,
            InstallErrorKind::NoChain => 3,
            InstallErrorKind::Contended => 4,
        }
    }
}

impl InstallError {
    pub fn new(kind: InstallErrorKind, text: impl Into<String>) -> InstallError {
        InstallError {
            kind,
            text: text.into(),
        }
    }

    pub fn refused(text: impl Into<String>) -> InstallError {
        InstallError::new(InstallErrorKind::Refused, text)
    }

    pub fn unreadable(text: impl Into<String>) -> InstallError {
        InstallError::new(InstallErrorKind::Unreadable, text)
    }

    /// A failed system call on a path.
    pub fn io(op: &str, path: &Path, error: &io::Error) -> InstallError {
        InstallError::new(
            InstallErrorKind::Io,
            format!("{op} {}: {error}", path.display()),
        )
    }
}

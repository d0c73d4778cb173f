//! Why an installation or removal came to nothing, in words for the person who ran it.

use std::io;
use std::path::Path;

/// A failure, told once, by the exit code and on stderr.
#[derive(Debug, Clone)]
pub struct Failure {
    pub kind: Kind,
    pub text: String,
}

/// What can be expected of a second try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// There is no chain to join yet.
    NoChain,
    /// A file is half-written, or somebody is at work in the folder: soon it may be different.
    Unsettled,
    /// A file was written anew between the look at it and the change.
    Overtaken,
    /// A file cannot be read whole, so that nothing is known of it.
    Unread,
    /// Something there is not understood, and will not be until somebody changes it.
    Refused,
    /// The machine said no.
    Machine,
    /// Somebody takes the entry out as often as it is put back.
    Undone,
}

impl Kind {
    /// Whether waiting may help.
    pub fn is_passing(self) -> bool {
        matches!(self, Kind::NoChain | Kind::Unsettled | Kind::Overtaken)
    }

    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Unsettled | Kind::Overtaken | Kind::Unread | Kind::Refused | Kind::Machine => 1,
            Kind::NoChain => 3,
            Kind::Undone => 4,
        }
    }
}

impl Failure {
    pub fn new(kind: Kind, text: impl Into<String>) -> Failure {
        Failure {
            kind,
            text: text.into(),
        }
    }

    pub fn refused(text: impl Into<String>) -> Failure {
        Failure::new(Kind::Refused, text)
    }

    /// The kernel's answer to a deed on a path.
    pub fn machine(deed: &str, path: &Path, error: &io::Error) -> Failure {
        Failure::new(Kind::Machine, format!("{deed} {}: {error}", path.display()))
    }
}

//! What can be wrong with a record: which file, which field, and what to do about it.
//! It must never hold back a cause: the kernel's own text is part of the message.

use std::fmt;
use std::path::{Path, PathBuf};

/// A record, or the folder of records, that could not be used.
#[derive(Debug)]
pub struct RecordError {
    pub kind: RecordErrorKind,
    /// The file, or the folder when no file is concerned.
    pub path: PathBuf,
    /// The JSON name of the field, when it is one field's fault.
    pub field: Option<String>,
    pub problem: String,
}

/// What to do depends on the kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordErrorKind {
    /// There is no such record.
    Missing,
    /// The container id, interface or file name can belong to no record.
    BadName,
    /// Not a plain file of root's that only root can write.
    Untrusted,
    /// Larger than any record.
    TooLarge,
    /// Not a record's JSON, or a value that no record has.
    Malformed,
    /// Written by a plugin of another release.
    UnknownSchema,
    /// The content belongs under another file name.
    Misfiled,
    /// The kernel refused.
    Io,
}

impl RecordError {
    pub(super) fn new(kind: RecordErrorKind, path: &Path, problem: impl Into<String>) -> Self {
        Self {
            kind,
            path: path.to_owned(),
            field: None,
            problem: problem.into(),
        }
    }

    pub(super) fn in_field(
        kind: RecordErrorKind,
        path: &Path,
        field: &str,
        problem: String,
    ) -> Self {
        Self {
            field: Some(field.to_owned()),
            ..Self::new(kind, path, problem)
        }
    }

    fn remedy(&self) -> &'static str {
        match self.kind {
            RecordErrorKind::Missing => "it appears at the pod's next ADD or CHECK",
            RecordErrorKind::BadName => "nothing was written or read",
            RecordErrorKind::Untrusted => {
                "find out who made it; root must own it and nobody else may write it"
            }
            RecordErrorKind::TooLarge | RecordErrorKind::Malformed | RecordErrorKind::Misfiled => {
                "remove the file; the pod's next ADD or CHECK writes it anew"
            }
            RecordErrorKind::UnknownSchema => "install plugin and daemon of one release",
            RecordErrorKind::Io => "see to the folder; the pod's next ADD or CHECK tries again",
        }
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {:?}: ", self.path)?;
        if let Some(field) = &self.field {
            write!(f, "field {field:?}: ")?;
        }
        write!(f, "{} ({})", self.problem, self.remedy())
    }
}

impl std::error::Error for RecordError {}

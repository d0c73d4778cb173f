//! Errors of records: the file, the field, and the remedy. The message always contains the cause, including
//! the kernel's text.

use std::fmt;
use std::path::{Path, PathBuf};

/// A record, or the folder of records, that could not be used.
#[derive(Debug)]
pub struct RecordError {
    pub kind: RecordErrorKind,
    /// The file, or the folder when no file is concerned.
    pub path: PathBuf,
    /// The JSON name of the invalid field, if it is one field.
    pub field: Option<String>,
    pub problem: String,
}

/// The class of an error, which determines the remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordErrorKind {
    /// There is no such record.
    Missing,
    /// The container id, interface or file name can belong to no record.
    BadName,
    /// Not a regular file that root owns and only root can write.
    Untrusted,
    /// Larger than any record.
    TooLarge,
    /// Not a record's JSON, or a value that no record has.
    Malformed,
    /// Written by a plugin of another release.
    UnknownSchema,
    /// The content does not match the file name.
    Misfiled,
    /// A system call failed.
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
                "check its origin; root must own it and be the only one who may write it"
            }
            RecordErrorKind::TooLarge | RecordErrorKind::Malformed | RecordErrorKind::Misfiled => {
                "remove the file; the pod's next ADD or CHECK writes it anew"
            }
            RecordErrorKind::UnknownSchema => "install plugin and daemon of one release",
            RecordErrorKind::Io => "check the folder; the pod's next ADD or CHECK tries again",
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

//! Pure: why the API server has not taken a write, and whether it may take it later.

use std::{fmt, time::Duration};

use crate::client::error_text;

/// Why a write failed.
#[derive(Debug)]
pub enum WriteError {
    /// Its object is gone.
    Gone(String),
    /// It is refused permanently.
    Invalid(String),
    /// The permission is missing, or not granted yet.
    Forbidden(String),
    /// It may succeed later.
    Retryable {
        why: String,
        /// The `retryAfterSeconds` of the server's response.
        after: Option<Duration>,
    },
}

impl WriteError {
    /// The delay that the server asks for.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Retryable { after, .. } => *after,
            Self::Gone(_) | Self::Invalid(_) | Self::Forbidden(_) => None,
        }
    }
}

impl From<kube::Error> for WriteError {
    fn from(error: kube::Error) -> Self {
        let why = error_text(&error);
        let kube::Error::Api(status) = &error else {
            return Self::Retryable { why, after: None };
        };
        let is_terminating = status.message.contains("because it is being terminated");
        let details = status.details.as_ref();
        // Without the name of an object, the CustomResourceDefinition is missing or about to be.
        let names_object = details.is_some_and(|details| !details.name.is_empty());
        let seconds = details.map_or(0, |details| details.retry_after_seconds);
        match status.code {
            404 if names_object => Self::Gone(why),
            403 if is_terminating => Self::Gone(why),
            403 => Self::Forbidden(why),
            400 | 422 => Self::Invalid(why),
            _ => Self::Retryable {
                why,
                after: (seconds > 0).then(|| Duration::from_secs(seconds.into())),
            },
        }
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone(why)
            | Self::Invalid(why)
            | Self::Forbidden(why)
            | Self::Retryable { why, .. } => f.write_str(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::{Status, response::StatusDetails};

    use super::*;

    fn answered(status: Status) -> WriteError {
        kube::Error::Api(Box::new(status)).into()
    }

    fn failure(code: u16, message: &str) -> WriteError {
        answered(Status {
            code,
            message: message.into(),
            ..Status::default()
        })
    }

    fn details(name: &str, retry_after_seconds: u32) -> Option<StatusDetails> {
        Some(StatusDetails {
            name: name.into(),
            group: String::new(),
            kind: "namespaces".into(),
            uid: String::new(),
            causes: Vec::new(),
            retry_after_seconds,
        })
    }

    #[test]
    fn what_may_go_through_another_time_is_tried_again() {
        // 404 and 405: the definition is gone, or going, and is put back.
        for code in [401, 404, 405, 409, 429, 500, 503] {
            let failure = failure(code, "no");
            assert!(matches!(failure, WriteError::Retryable { .. }), "{code}");
        }
        assert!(matches!(failure(422, "bad"), WriteError::Invalid(_)));
        assert!(matches!(failure(403, "no"), WriteError::Forbidden(_)));
    }

    #[test]
    fn nothing_is_written_about_what_is_gone() {
        let gone = answered(Status {
            code: 404,
            message: "no namespace t".into(),
            details: details("t", 0),
            ..Status::default()
        });
        assert_eq!(gone.to_string(), "no namespace t");
        assert!(matches!(gone, WriteError::Gone(_)));
        let going = "unable to create new content in namespace t because it is being terminated";
        assert!(matches!(failure(403, going), WriteError::Gone(_)));
    }

    #[test]
    fn the_server_says_when_to_try_again() {
        let busy = |seconds| {
            answered(Status {
                code: 429,
                details: details("", seconds),
                ..Status::default()
            })
        };
        assert_eq!(busy(7).retry_after(), Some(Duration::from_secs(7)));
        assert_eq!(busy(0).retry_after(), None);
        assert_eq!(failure(429, "busy").retry_after(), None);
        assert_eq!(failure(403, "no").retry_after(), None);
    }

    #[test]
    fn a_failed_connection_has_every_cause_in_its_text() {
        let cause = std::io::Error::other("connection refused");
        let error = anyhow::Error::from(cause).context("cannot connect");
        let lost = WriteError::from(kube::Error::Service(error.into()));
        let text = lost.to_string();
        assert!(
            text.ends_with(": cannot connect: connection refused"),
            "{text}"
        );
        assert!(matches!(lost, WriteError::Retryable { after: None, .. }));
    }
}

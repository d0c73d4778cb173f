//! Pure: why the API server has not taken a write, and whether it may take it later.

/// Why a write failed.
#[derive(Debug)]
pub enum WriteError {
    /// Its object is gone.
    Gone,
    /// It is refused permanently.
    Invalid(String),
    /// The permission is missing, or not granted yet.
    Forbidden(String),
    /// It may succeed later.
    Retryable(String),
}

impl From<kube::Error> for WriteError {
    fn from(error: kube::Error) -> Self {
        let kube::Error::Api(status) = &error else {
            return Self::Retryable(error.to_string());
        };
        let is_terminating = status.message.contains("because it is being terminated");
        // Without the name of an object, the CustomResourceDefinition is missing or about to be.
        let names_object = status.details.as_ref().is_some_and(|d| !d.name.is_empty());
        match status.code {
            404 if names_object => Self::Gone,
            403 if is_terminating => Self::Gone,
            403 => Self::Forbidden(status.message.clone()),
            400 | 422 => Self::Invalid(status.message.clone()),
            _ => Self::Retryable(status.message.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::{Status, response::StatusDetails};

    use super::*;

    fn failure(code: u16, message: &str) -> WriteError {
        let status = Status {
            code,
            message: message.into(),
            ..Status::default()
        };
        kube::Error::Api(Box::new(status)).into()
    }

    #[test]
    fn what_may_go_through_another_time_is_tried_again() {
        // 404 and 405: the definition is gone, or going, and is put back.
        for code in [401, 404, 405, 409, 429, 500, 503] {
            let failure = failure(code, "no");
            assert!(matches!(failure, WriteError::Retryable(_)), "{code}");
        }
        assert!(matches!(failure(422, "bad"), WriteError::Invalid(_)));
        assert!(matches!(failure(403, "no"), WriteError::Forbidden(_)));
    }

    #[test]
    fn nothing_is_written_about_what_is_gone() {
        let details = StatusDetails {
            name: "t".into(),
            group: String::new(),
            kind: "namespaces".into(),
            uid: String::new(),
            causes: Vec::new(),
            retry_after_seconds: 0,
        };
        let status = Status {
            code: 404,
            details: Some(details),
            ..Status::default()
        };
        let gone = WriteError::from(kube::Error::Api(Box::new(status)));
        assert!(matches!(gone, WriteError::Gone));
        let going = "unable to create new content in namespace t because it is being terminated";
        assert!(matches!(failure(403, going), WriteError::Gone));
    }
}

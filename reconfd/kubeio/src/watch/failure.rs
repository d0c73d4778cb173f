//! Pure: why a watch or its list failed.

use kube::runtime::watcher::Error;

use crate::client::{error_text, refusal};

/// A failure of a watch. Objects stay as they are known: what cannot be listed is unknown, and not deleted.
#[derive(Debug)]
pub struct WatchFailure(pub Error);

impl WatchFailure {
    /// Forbidden, or no such kind: known objects may be out of date until the next list.
    pub fn is_lost(&self) -> bool {
        matches!(self.code(), 403 | 404)
    }

    /// The HTTP status code; 0 without a response.
    pub fn code(&self) -> u16 {
        match &self.0 {
            Error::InitialListFailed(kube::Error::Api(status))
            | Error::WatchStartFailed(kube::Error::Api(status))
            | Error::WatchFailed(kube::Error::Api(status))
            | Error::WatchError(status) => status.code,
            _ => 0,
        }
    }

    /// Whether it was the list that failed, which is retried in any case.
    pub fn is_of_list(&self) -> bool {
        matches!(self.0, Error::InitialListFailed(_))
    }

    /// Whether a list or a watch was refused at its start, not ended later.
    pub fn is_at_start(&self) -> bool {
        matches!(
            self.0,
            Error::InitialListFailed(_) | Error::WatchStartFailed(_)
        )
    }

    /// The message of the API server.
    pub fn message(&self) -> String {
        match &self.0 {
            Error::InitialListFailed(error)
            | Error::WatchStartFailed(error)
            | Error::WatchFailed(error) => error_text(error),
            Error::WatchError(status) => status.message.clone(),
            Error::NoResourceVersion => self.0.to_string(),
        }
    }

    /// The error as text, with a hint for common causes.
    pub fn refusal(&self) -> String {
        match &self.0 {
            Error::InitialListFailed(error)
            | Error::WatchStartFailed(error)
            | Error::WatchFailed(error) => refusal(error),
            other => other.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn api(code: u16) -> kube::Error {
        kube::Error::Api(Box::new(Status {
            code,
            message: "no".into(),
            ..Status::default()
        }))
    }

    #[test]
    fn what_may_not_be_read_or_is_not_installed_is_lost() {
        assert!(WatchFailure(Error::InitialListFailed(api(404))).is_lost());
        assert!(WatchFailure(Error::WatchStartFailed(api(403))).is_lost());
        for code in [410, 429, 500] {
            assert!(
                !WatchFailure(Error::WatchStartFailed(api(code))).is_lost(),
                "{code}"
            );
        }
    }

    #[test]
    fn a_missing_definition_is_named() {
        let missing = WatchFailure(Error::InitialListFailed(api(404)));
        assert!(missing.refusal().contains("CustomResourceDefinition"));
        assert_eq!(missing.message(), "no");
    }
}

//! Whether a source has told all there is: before, what is missing may only not have been heard yet.

use std::{sync::mpsc, time::Duration};

/// Whether all that a source has is in the stores.
pub struct Complete(Option<mpsc::Receiver<anyhow::Result<()>>>);

impl Complete {
    pub fn at_once() -> Self {
        Self(None)
    }

    pub fn once(told: mpsc::Receiver<anyhow::Result<()>>) -> Self {
        Self(Some(told))
    }

    /// Waits for it as long as `go_on` says so, which is asked once a second; whether it is.
    pub fn wait(&self, go_on: impl Fn() -> bool) -> anyhow::Result<bool> {
        let Some(told) = &self.0 else {
            return Ok(true);
        };
        while go_on() {
            match told.recv_timeout(Duration::from_secs(1)) {
                Ok(complete) => return complete.map(|()| true),
                Err(mpsc::RecvTimeoutError::Timeout) => (),
                Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(false),
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_told_all_when_it_was_read() {
        assert!(Complete::at_once().wait(|| false).unwrap());
    }

    #[test]
    fn what_can_never_be_complete_says_why() {
        let (tell, told) = mpsc::channel();
        tell.send(Err(anyhow::anyhow!("too old"))).unwrap();
        let refused = Complete::once(told).wait(|| true).unwrap_err();
        assert_eq!(refused.to_string(), "too old");
    }

    #[test]
    fn whoever_is_told_to_stop_waits_no_longer() {
        let (_tell, told) = mpsc::channel();
        assert!(!Complete::once(told).wait(|| false).unwrap());
    }
}

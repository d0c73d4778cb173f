//! Initial-sync barrier: until it is reached, absence from the stores does not mean deletion.

use std::{sync::mpsc, time::Duration};

/// Resolves once the stores hold everything that the source has.
pub struct InitialSync(Option<mpsc::Receiver<anyhow::Result<()>>>);

impl InitialSync {
    pub fn done() -> Self {
        Self(None)
    }

    pub fn pending(result: mpsc::Receiver<anyhow::Result<()>>) -> Self {
        Self(Some(result))
    }

    /// Waits while `go_on` returns true, which is called once a second. Returns whether the barrier was reached.
    pub fn wait(&self, go_on: impl Fn() -> bool) -> anyhow::Result<bool> {
        let Some(result) = &self.0 else {
            return Ok(true);
        };
        while go_on() {
            match result.recv_timeout(Duration::from_secs(1)) {
                Ok(synced) => return synced.map(|()| true),
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
    fn a_source_that_is_synced_does_not_block() {
        assert!(InitialSync::done().wait(|| false).unwrap());
    }

    #[test]
    fn a_sync_that_cannot_complete_returns_its_error() {
        let (sender, result) = mpsc::channel();
        sender.send(Err(anyhow::anyhow!("too old"))).unwrap();
        let refused = InitialSync::pending(result).wait(|| true).unwrap_err();
        assert_eq!(refused.to_string(), "too old");
    }

    #[test]
    fn a_wait_ends_when_go_on_returns_false() {
        let (_sender, result) = mpsc::channel();
        assert!(!InitialSync::pending(result).wait(|| false).unwrap());
    }
}

//! Health of the controller, written by its loop and read by the probes.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use telemetry::http::{HealthCheck, check_heartbeat};

/// Shared health state.
#[derive(Clone, Debug)]
pub struct Health(Arc<Mutex<HealthState>>);

#[derive(Debug)]
struct HealthState {
    last_heartbeat: Instant,
    /// Why the controller is not ready.
    not_ready: Option<String>,
}

impl Health {
    /// Live, but not ready for the given reason.
    pub fn new(not_ready: &str) -> Self {
        Self(Arc::new(Mutex::new(HealthState {
            last_heartbeat: Instant::now(),
            not_ready: Some(not_ready.to_owned()),
        })))
    }

    /// Records a heartbeat; `not_ready`: why the controller is not ready.
    pub fn beat(&self, not_ready: Option<String>) {
        let last_heartbeat = Instant::now();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = HealthState {
            last_heartbeat,
            not_ready,
        };
    }

    fn live_at(&self, now: Instant) -> Result<(), String> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        check_heartbeat(state.last_heartbeat, now)
    }
}

impl HealthCheck for Health {
    fn live(&self) -> Result<(), String> {
        self.live_at(Instant::now())
    }

    fn ready(&self) -> Result<(), String> {
        self.live()?;
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.not_ready.clone().map_or(Ok(()), Err)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use telemetry::http::HEARTBEAT_TIMEOUT;

    #[test]
    fn it_is_ready_when_nothing_is_missing() {
        let health = Health::new("no list of Pods yet");
        assert_eq!(health.ready().unwrap_err(), "no list of Pods yet");
        health.beat(None);
        assert_eq!(health.ready(), Ok(()));
    }

    #[test]
    fn one_that_is_silent_hangs() {
        let health = Health::new("");
        let now = Instant::now();
        assert_eq!(health.live_at(now + HEARTBEAT_TIMEOUT / 2), Ok(()));
        assert!(health.live_at(now + HEARTBEAT_TIMEOUT).is_err());
    }
}

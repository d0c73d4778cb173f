//! How the controller is: written by it, read by the probes.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use crate::http::{HealthCheck, check_heartbeat};

#[derive(Clone, Debug)]
pub struct Health(Arc<Mutex<Signs>>);

#[derive(Debug)]
struct Signs {
    beaten: Instant,
    missing: Option<String>,
}

impl Health {
    /// Alive, and not ready because of this.
    pub fn new(missing: &str) -> Self {
        Self(Arc::new(Mutex::new(Signs {
            beaten: Instant::now(),
            missing: Some(missing.to_owned()),
        })))
    }

    /// The controller goes on, and lacks this.
    pub fn beat(&self, missing: Option<String>) {
        let beaten = Instant::now();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Signs { beaten, missing };
    }

    fn live_at(&self, now: Instant) -> Result<(), String> {
        let signs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        check_heartbeat(signs.beaten, now)
    }
}

impl HealthCheck for Health {
    fn live(&self) -> Result<(), String> {
        self.live_at(Instant::now())
    }

    fn ready(&self) -> Result<(), String> {
        self.live()?;
        let signs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        signs.missing.clone().map_or(Ok(()), Err)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::http::HEARTBEAT_TIMEOUT;

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

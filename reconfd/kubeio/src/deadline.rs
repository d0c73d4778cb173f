//! A deadline that may not be set.

use std::{future::pending, time::Instant};

use tokio::time::sleep_until;

/// Sleeps until then; without a time, forever.
pub async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time.into()).await,
        None => pending().await,
    }
}

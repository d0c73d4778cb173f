//! One way to send a request to the API server: within a time limit, with an error class, and with bounded
//! concurrency.

use std::{fmt, time::Duration};

use futures::{StreamExt as _, stream::FuturesUnordered};
use tokio::time::timeout;

use crate::write_error::WriteError;

/// Time limit of a single request.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The API server has not responded within this time. The request may have been executed or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoResponse(pub Duration);

impl fmt::Display for NoResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no response within {:?}", self.0)
    }
}

/// Waits for the response to a request, but not longer than the limit.
pub async fn within<T>(limit: Duration, request: impl Future<Output = T>) -> Result<T, NoResponse> {
    timeout(limit, request).await.map_err(|_| NoResponse(limit))
}

/// Tries a write once, within the limit, and classifies its error. `missing` is what the error of a time-out calls
/// the response: "no answer".
pub async fn attempt<T, E: Into<WriteError>>(
    limit: Duration,
    missing: &str,
    write: impl Future<Output = Result<T, E>>,
) -> Result<T, WriteError> {
    match within(limit, write).await {
        Ok(written) => written.map_err(Into::into),
        Err(NoResponse(limit)) => Err(WriteError::Retryable {
            why: format!("{missing} within {limit:?}"),
            after: None,
        }),
    }
}

/// Futures that run concurrently, at most `max` of them.
#[derive(Debug)]
pub struct InFlight<F> {
    max: usize,
    running: FuturesUnordered<F>,
}

impl<F: Future> InFlight<F> {
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self {
            max,
            running: FuturesUnordered::new(),
        }
    }

    #[must_use]
    pub fn has_room(&self) -> bool {
        self.running.len() < self.max
    }

    /// Takes futures from `next` while there is room. What does not fit stays with the caller.
    pub fn fill(&mut self, mut next: impl FnMut() -> Option<F>) {
        while self.has_room()
            && let Some(future) = next()
        {
            self.running.push(future);
        }
    }

    /// Result of the next future that completes; `None` if none is running.
    pub async fn next(&mut self) -> Option<F::Output> {
        self.running.next().await
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, future::pending};

    use futures::FutureExt as _;
    use tokio::sync::Semaphore;

    use super::*;

    const SHORT: Duration = Duration::from_millis(1);

    fn run<T>(test: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        runtime.expect("a runtime").block_on(test)
    }

    #[test]
    fn a_request_without_a_response_ends_at_its_limit() {
        let late = run(within(SHORT, pending::<()>())).expect_err("a time-out");
        assert_eq!(late, NoResponse(SHORT));
        assert_eq!(late.to_string(), "no response within 1ms");
        assert_eq!(run(within(SHORT, async { 7 })), Ok(7));
    }

    #[test]
    fn a_write_without_a_response_is_retried() {
        let late = run(attempt(SHORT, "no answer", pending::<kube::Result<()>>()))
            .expect_err("a time-out");
        assert!(matches!(&late, WriteError::Retryable { after: None, .. }));
        assert_eq!(late.to_string(), "no answer within 1ms");
    }

    #[test]
    fn the_error_of_a_write_keeps_its_class() {
        let gone = async { Err::<(), _>(WriteError::Gone("no such pod".into())) };
        let gone = run(attempt(REQUEST_TIMEOUT, "no answer", gone)).expect_err("gone");
        assert!(matches!(gone, WriteError::Gone(_)));
        assert_eq!(gone.to_string(), "no such pod");
    }

    #[test]
    fn no_more_than_the_bound_run_at_once() {
        let (most, running, gate) = (Cell::new(0), Cell::new(0), Semaphore::new(0));
        let mut waiting = 0..10;
        let mut in_flight = InFlight::new(3);
        let task = |number| {
            let (most, running, gate) = (&most, &running, &gate);
            async move {
                running.set(running.get() + 1);
                most.set(most.get().max(running.get()));
                gate.acquire().await.expect("open").forget();
                running.set(running.get() - 1);
                number
            }
        };
        let mut done = Vec::new();
        for left in [7, 6, 5, 4, 3, 2, 1, 0, 0, 0] {
            in_flight.fill(|| waiting.next().map(task));
            assert_eq!(
                (waiting.len(), in_flight.has_room()),
                (left, done.len() > 7)
            );
            assert!(
                in_flight.next().now_or_never().is_none(),
                "all of them wait"
            );
            gate.add_permits(1);
            done.extend(run(in_flight.next()));
        }
        assert_eq!(most.get(), 3);
        done.sort_unstable();
        assert_eq!(done, Vec::from_iter(0..10));
        assert!(run(in_flight.next()).is_none());
    }
}

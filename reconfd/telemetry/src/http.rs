//! `/livez`, `/readyz` and `/metrics`. Reads shared state and never blocks on it. The cost of clients is bounded: few
//! connections, one request each, with a deadline.

use std::{
    convert::Infallible,
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Bytes,
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::{encoding::text, registry::Registry};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};

/// Health of a program, for the probes.
pub trait HealthCheck: Clone + Send + Sync + 'static {
    /// An error if the program should be restarted.
    fn live(&self) -> Result<(), String>;
    /// An error if the program is not ready yet.
    fn ready(&self) -> Result<(), String>;
}

/// Metrics of a program.
pub trait Encode: Clone + Send + Sync + 'static {
    fn registry(&self) -> &Registry;

    /// All metrics in the OpenMetrics text format.
    fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail; the scraper would report an empty response.
        if text::encode(&mut text, self.registry()).is_err() {
            text.clear();
        }
        text
    }
}

/// Health of the daemon: written by the reconciler, read by the probes.
#[derive(Clone, Debug)]
pub struct DaemonHealth(Arc<State>);

#[derive(Debug)]
struct State {
    started: Instant,
    /// Milliseconds after the start.
    heartbeat: AtomicU64,
    passed: AtomicBool,
    pinned: AtomicBool,
    /// What the source waits for.
    waiting: Mutex<Option<String>>,
}

/// A reconciler without a heartbeat for this time hangs.
pub const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECTIONS: usize = 64;
const HEADERS_WITHIN: Duration = Duration::from_secs(5);
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
const FINISH_WITHIN: Duration = Duration::from_millis(500);
const HEADER_BYTES: usize = 16 * 1024;
const INDEX: &str = "reconfd\n\n/livez\n/readyz\n/metrics\n";
const TEXT: &str = "text/plain; charset=utf-8";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

impl Default for DaemonHealth {
    /// Live, and not ready yet.
    fn default() -> Self {
        Self(Arc::new(State {
            started: Instant::now(),
            heartbeat: AtomicU64::new(0),
            passed: AtomicBool::new(false),
            pinned: AtomicBool::new(false),
            waiting: Mutex::new(None),
        }))
    }
}

impl DaemonHealth {
    /// Records a heartbeat of the reconciler.
    pub fn beat(&self) {
        let since = u64::try_from(self.0.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.heartbeat.store(since, Relaxed);
    }

    /// Every recorded pod was reconciled once.
    pub fn first_pass_done(&self) {
        self.0.passed.store(true, Relaxed);
    }

    /// Sets whether the switch is pinned; returns whether it was before.
    pub fn set_switch_pinned(&self, pinned: bool) -> bool {
        self.0.pinned.swap(pinned, Relaxed)
    }

    /// Sets what the source waits for; returns whether that has changed.
    pub fn wait_for(&self, what: &str) -> bool {
        let mut waiting = self.waiting();
        let is_new = waiting.as_deref() != Some(what);
        *waiting = Some(what.to_owned());
        is_new
    }

    pub fn clear_wait(&self) {
        *self.waiting() = None;
    }

    fn waiting(&self) -> MutexGuard<'_, Option<String>> {
        // The text is replaced as a whole, so a panic in between leaves no partial update.
        self.0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn live_at(&self, now: Instant) -> Result<(), String> {
        let last = self.0.started + Duration::from_millis(self.0.heartbeat.load(Relaxed));
        check_heartbeat(last, now)
    }
}

impl HealthCheck for DaemonHealth {
    fn live(&self) -> Result<(), String> {
        self.live_at(Instant::now())
    }

    fn ready(&self) -> Result<(), String> {
        self.live()?;
        let missing = [
            (
                &self.0.passed,
                "the first pass over the pods is not complete",
            ),
            (
                &self.0.pinned,
                "the switch is not pinned where it should be",
            ),
        ];
        let missing = missing
            .iter()
            .filter(|(sign, _)| !sign.load(Relaxed))
            .map(|(_, why)| (*why).to_owned());
        let missing: Vec<String> = self.waiting().clone().into_iter().chain(missing).collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(missing.join("; "))
        }
    }
}

/// An error if the last heartbeat is too long ago.
pub fn check_heartbeat(last: Instant, now: Instant) -> Result<(), String> {
    match now.saturating_duration_since(last) {
        silence if silence < HEARTBEAT_TIMEOUT => Ok(()),
        silence => Err(format!(
            "no heartbeat of the controller for {} s",
            silence.as_secs()
        )),
    }
}

/// Serves until `shutdown` resolves; open requests then get a grace period.
pub async fn serve(
    listener: TcpListener,
    health: impl HealthCheck,
    metrics: impl Encode,
    shutdown: impl Future<Output = ()>,
) {
    let mut shutdown = std::pin::pin!(shutdown);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(one(stream, health.clone(), metrics.clone()));
                }
                Err(error) => {
                    tracing::warn!("cannot accept a connection to the probes: {error}");
                    // Most likely out of file descriptors: back off.
                    sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    drop(listener);
    let finish = async { while connections.join_next().await.is_some() {} };
    let _ = timeout(FINISH_WITHIN, finish).await;
}

/// One connection, one request.
async fn one(stream: TcpStream, health: impl HealthCheck, metrics: impl Encode) {
    let service = service_fn(|request: Request<_>| {
        let answer = answer(request.method(), request.uri().path(), &health, &metrics);
        async { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .keep_alive(false)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(ANSWERED_WITHIN, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("cannot answer a probe: {error}"),
        Err(_) => {
            tracing::debug!(
                "cannot answer a probe: the client took longer than {ANSWERED_WITHIN:?}"
            )
        }
    }
}

fn answer(
    method: &Method,
    path: &str,
    health: &impl HealthCheck,
    metrics: &impl Encode,
) -> Response<Full<Bytes>> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut refusal = text(
            StatusCode::METHOD_NOT_ALLOWED,
            "only GET and HEAD\n".to_owned(),
        );
        refusal
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    match path {
        "/" => text(StatusCode::OK, INDEX.to_owned()),
        "/livez" => verdict(health.live()),
        "/readyz" => verdict(health.ready()),
        "/metrics" => {
            let mut answer = text(StatusCode::OK, metrics.encode());
            answer
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static(OPENMETRICS));
            answer
        }
        _ => text(
            StatusCode::NOT_FOUND,
            "not found; try /livez, /readyz or /metrics\n".to_owned(),
        ),
    }
}

fn verdict(health: Result<(), String>) -> Response<Full<Bytes>> {
    match health {
        Ok(()) => text(StatusCode::OK, "ok\n".to_owned()),
        Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, why + "\n"),
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(TEXT));
    response
}

#[cfg(test)]
mod tests;

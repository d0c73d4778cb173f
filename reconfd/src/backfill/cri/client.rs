//! The two CRI calls, over the runtime's unix socket. A connection lives for one round of calls, so that a restarted
//! runtime is not called over a dead one, and each call has a deadline.

use std::{future::Future, io, path::Path, time::Duration};

use hyper::{Request, Uri, client::conn::http2, http::uri::PathAndQuery};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::{net::UnixStream, time::timeout};
use tonic::{Status, body::Body, client::Grpc};
use tonic_prost::ProstCodec;

use super::messages::{
    LIST, ListPodSandboxRequest, ListPodSandboxResponse, PodSandbox, PodSandboxFilter,
    PodSandboxState, PodSandboxStateValue, PodSandboxStatusRequest, PodSandboxStatusResponse,
    STATUS,
};

/// Enough for a busy runtime; a hanging one must not block for ever.
const DEADLINE: Duration = Duration::from_secs(5);
/// Limit of one response; many times a sandbox's specification.
const MAX_BYTES: usize = 16 << 20;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("connect: {0}")]
    Connect(io::Error),
    #[error("speak HTTP/2: {0}")]
    Protocol(#[from] hyper::Error),
    #[error("{0}: no response within {DEADLINE:?}")]
    Timeout(&'static str),
    #[error("{0}: {1}")]
    Refused(&'static str, String),
}

pub struct Client(http2::SendRequest<Body>);

impl Client {
    /// The connection is driven by a task of its own, which ends with the connection.
    pub async fn connect(socket: &Path) -> Result<Self, Error> {
        let stream = with_deadline("connect", UnixStream::connect(socket)).await?;
        let stream = TokioIo::new(stream.map_err(Error::Connect)?);
        let shaking = http2::handshake(TokioExecutor::new(), stream);
        let (sender, connection) = with_deadline("speak HTTP/2", shaking).await??;
        // Errors of the connection are returned by the calls on it.
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    /// All sandboxes that are ready.
    pub async fn ready_sandboxes(&self) -> Result<Vec<PodSandbox>, Error> {
        let state = PodSandboxState::Ready.into();
        let filter = PodSandboxFilter {
            state: Some(PodSandboxStateValue { state }),
        };
        let request = ListPodSandboxRequest {
            filter: Some(filter),
        };
        let answer: ListPodSandboxResponse = self.call("list sandboxes", LIST, request).await?;
        let mut sandboxes = answer.items;
        // A runtime that does not know the filter returns all of them.
        sandboxes.retain(|sandbox| sandbox.state == state);
        Ok(sandboxes)
    }

    /// The verbose info of a sandbox, in the runtime's own JSON.
    pub async fn info(&self, sandbox: &str) -> Result<String, Error> {
        let request = PodSandboxStatusRequest {
            pod_sandbox_id: sandbox.into(),
            verbose: true,
        };
        let op = "get the status of a sandbox";
        let mut answer: PodSandboxStatusResponse = self.call(op, STATUS, request).await?;
        let info = answer.info.remove("info");
        info.ok_or_else(|| Error::Refused(op, "the response has no info".into()))
    }

    async fn call<Q, A>(&self, op: &'static str, path: &'static str, request: Q) -> Result<A, Error>
    where
        Q: Message + Default + 'static,
        A: Message + Default + 'static,
    {
        let sender = self.0.clone();
        let send = move |request: Request<Body>| sender.clone().send_request(request);
        // HTTP/2 needs an authority; its value does not matter on a unix socket.
        let origin = Uri::from_static("http://localhost");
        let mut grpc =
            Grpc::with_origin(tower::service_fn(send), origin).max_decoding_message_size(MAX_BYTES);
        let refused = |status: Status| Error::Refused(op, with_causes(&status));
        let call = async {
            let ready = grpc.ready().await;
            ready.map_err(|error| Status::unavailable(error.to_string()))?;
            let codec: ProstCodec<Q, A> = ProstCodec::default();
            let path = PathAndQuery::from_static(path);
            grpc.unary(tonic::Request::new(request), path, codec).await
        };
        let answer = with_deadline(op, call).await?;
        Ok(answer.map_err(refused)?.into_inner())
    }
}

/// The message of a status, with all causes.
fn with_causes(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

async fn with_deadline<T>(op: &'static str, doing: impl Future<Output = T>) -> Result<T, Error> {
    timeout(DEADLINE, doing)
        .await
        .map_err(|_| Error::Timeout(op))
}

//! Two questions to a container runtime, over its unix socket. A connection lives for one round of them,
//! so that a runtime that was restarted is not asked over a dead one, and each answer has a deadline.

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

/// A runtime that is busy takes its time; one that hangs must not be waited for for ever.
const DEADLINE: Duration = Duration::from_secs(5);
/// The answer to one question; a sandbox's specification fits many times.
const MAX_BYTES: usize = 16 << 20;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("connect: {0}")]
    Connect(io::Error),
    #[error("speak HTTP/2: {0}")]
    Protocol(#[from] hyper::Error),
    #[error("{0}: no answer within {DEADLINE:?}")]
    Late(&'static str),
    #[error("{0}: {1}")]
    Refused(&'static str, String),
}

pub struct Client(http2::SendRequest<Body>);

impl Client {
    /// The connection is driven by a task of its own, which ends with it.
    pub async fn connect(socket: &Path) -> Result<Self, Error> {
        let stream = in_time("connect", UnixStream::connect(socket)).await?;
        let stream = TokioIo::new(stream.map_err(Error::Connect)?);
        let shaking = http2::handshake(TokioExecutor::new(), stream);
        let (sender, connection) = in_time("speak HTTP/2", shaking).await??;
        // What goes wrong on the connection, the questions on it are told.
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    /// Every sandbox that is there and well.
    pub async fn ready_sandboxes(&self) -> Result<Vec<PodSandbox>, Error> {
        let state = PodSandboxState::Ready.into();
        let filter = PodSandboxFilter {
            state: Some(PodSandboxStateValue { state }),
        };
        let question = ListPodSandboxRequest {
            filter: Some(filter),
        };
        let answer: ListPodSandboxResponse = self.ask("list sandboxes", LIST, question).await?;
        let mut sandboxes = answer.items;
        // A runtime that does not know the filter answers with all of them.
        sandboxes.retain(|sandbox| sandbox.state == state);
        Ok(sandboxes)
    }

    /// What the runtime says of a sandbox at length, in its own JSON.
    pub async fn info(&self, sandbox: &str) -> Result<String, Error> {
        let question = PodSandboxStatusRequest {
            pod_sandbox_id: sandbox.into(),
            verbose: true,
        };
        let deed = "look at a sandbox";
        let mut answer: PodSandboxStatusResponse = self.ask(deed, STATUS, question).await?;
        let info = answer.info.remove("info");
        info.ok_or_else(|| Error::Refused(deed, "the answer has no info".into()))
    }

    async fn ask<Q, A>(
        &self,
        deed: &'static str,
        path: &'static str,
        question: Q,
    ) -> Result<A, Error>
    where
        Q: Message + Default + 'static,
        A: Message + Default + 'static,
    {
        let sender = self.0.clone();
        let send = move |request: Request<Body>| sender.clone().send_request(request);
        // HTTP/2 asks for an authority; what a unix socket is called there is nobody's business.
        let origin = Uri::from_static("http://localhost");
        let mut grpc =
            Grpc::with_origin(tower::service_fn(send), origin).max_decoding_message_size(MAX_BYTES);
        let refused = |status: Status| Error::Refused(deed, in_full(&status));
        let asking = async {
            let ready = grpc.ready().await;
            ready.map_err(|error| Status::unavailable(error.to_string()))?;
            let codec: ProstCodec<Q, A> = ProstCodec::default();
            let path = PathAndQuery::from_static(path);
            grpc.unary(tonic::Request::new(question), path, codec).await
        };
        let answer = in_time(deed, asking).await?;
        Ok(answer.map_err(refused)?.into_inner())
    }
}

/// What a runtime says, or what stood in its way with every cause.
fn in_full(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

async fn in_time<T>(deed: &'static str, doing: impl Future<Output = T>) -> Result<T, Error> {
    timeout(DEADLINE, doing)
        .await
        .map_err(|_| Error::Late(deed))
}

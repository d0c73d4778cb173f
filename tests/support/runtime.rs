//! A container runtime as far as its CRI socket goes: two answers of gRPC, written down byte by byte, so
//! that nothing here shares a mistake with the daemon.

use std::{
    convert::Infallible,
    fs,
    os::unix::net::UnixListener,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{
    HeaderMap, Request, Response, body::Incoming, server::conn::http2, service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{
    daemon::{Daemon, Options},
    node::TestNode,
    pod::TestPod,
};

const SOCKET: &str = "/run/runtime.sock";

/// How the runtime is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Well,
    /// It takes every question and answers none.
    Hangs,
    /// Its answers are no messages.
    Raves,
}

struct Sandbox {
    id: String,
    namespace: String,
    name: String,
    uid: String,
    is_ready: bool,
    info: Value,
}

#[derive(Default)]
struct State {
    sandboxes: Mutex<Vec<Sandbox>>,
    mood: Mutex<Option<Mood>>,
    questions: AtomicUsize,
}

/// Runs until it is dropped.
pub struct Runtime {
    state: Arc<State>,
    _stop: oneshot::Sender<()>,
}

impl TestNode {
    /// The daemon, told where the runtime's socket is.
    pub fn daemon_with_runtime(&self) -> Daemon {
        self.daemon_with(&Options {
            more: &["--cri-socket", SOCKET],
            ..Options::default()
        })
    }

    /// Starts a runtime; one that ran before has left its socket.
    pub fn runtime(&self) -> Runtime {
        let path = self.path(SOCKET);
        let _ = fs::remove_file(&path);
        let listener = UnixListener::bind(path).expect("the socket can be made");
        listener.set_nonblocking(true).expect("a socket can be so");
        let (state, (stop, stopped)) = (Arc::new(State::default()), oneshot::channel::<()>());
        let serving = state.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("tokio starts");
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => (),
                    () = serve(listener, serving) => (),
                }
            });
        });
        Runtime { state, _stop: stop }
    }
}

impl Runtime {
    pub fn questions(&self) -> usize {
        self.state.questions.load(Ordering::Relaxed)
    }

    pub fn is_now(&self, mood: Mood) {
        *self.state.mood.lock().unwrap() = Some(mood);
    }

    /// A sandbox that is well, as containerd 2 tells it.
    pub fn runs(&self, pod: &TestPod<'_>) {
        let path = &pod.attachment.netns;
        self.tells(
            pod,
            json!({"sandboxMetadata": {"Metadata": {"NetNSPath": path}}}),
            true,
        );
    }

    /// A sandbox of the pod, with what the runtime says of it at length.
    pub fn tells(&self, pod: &TestPod<'_>, info: Value, is_ready: bool) {
        let of = &pod.attachment;
        self.state.sandboxes.lock().unwrap().push(Sandbox {
            id: of.container.clone(),
            namespace: of.namespace.clone(),
            name: of.name.clone(),
            uid: of.uid.clone(),
            is_ready,
            info,
        });
    }
}

async fn serve(listener: UnixListener, state: Arc<State>) {
    let listener = tokio::net::UnixListener::from_std(listener).expect("tokio takes it");
    loop {
        let (stream, _) = listener.accept().await.expect("a daemon connects");
        let state = state.clone();
        let service = service_fn(move |request| answer(request, state.clone()));
        tokio::spawn(
            http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service),
        );
    }
}

async fn answer(
    request: Request<Incoming>,
    state: Arc<State>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    state.questions.fetch_add(1, Ordering::Relaxed);
    let mood = state.mood.lock().unwrap().unwrap_or(Mood::Well);
    if mood == Mood::Hangs {
        std::future::pending::<()>().await;
    }
    let path = request.uri().path().to_owned();
    let question = request.into_body().collect().await.expect("a question");
    let question = question.to_bytes();
    let message = match (mood, path.as_str()) {
        (Mood::Raves, _) => vec![0xff; 64],
        (_, "/runtime.v1.RuntimeService/ListPodSandbox") => list(&state),
        (_, "/runtime.v1.RuntimeService/PodSandboxStatus") => status(&state, &question),
        (_, other) => panic!("nobody asks {other}"),
    };
    let mut framed = vec![0];
    framed.extend((message.len() as u32).to_be_bytes());
    framed.extend(message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().expect("a header"));
    let body = Full::new(Bytes::from(framed)).with_trailers(async { Some(Ok(trailers)) });
    let response = Response::builder().header("content-type", "application/grpc");
    Ok(response.body(body.boxed()).expect("a response"))
}

/// `ListPodSandboxResponse`: `items` = 1.
fn list(state: &State) -> Vec<u8> {
    let sandboxes = state.sandboxes.lock().unwrap();
    let items = sandboxes.iter().enumerate().map(|(number, sandbox)| {
        // `PodSandboxMetadata`: `name` = 1, `uid` = 2, `namespace` = 3, `attempt` = 4.
        let metadata = [
            text(1, &sandbox.name),
            text(2, &sandbox.uid),
            text(3, &sandbox.namespace),
        ];
        // `PodSandbox`: `id` = 1, `metadata` = 2, `state` = 3, `created_at` = 4.
        let item = [
            text(1, &sandbox.id),
            bytes(2, &metadata.concat()),
            number_of(3, u64::from(!sandbox.is_ready)),
            number_of(4, 1_700_000_000_000_000_000 + number as u64),
        ];
        bytes(1, &item.concat())
    });
    items.collect::<Vec<_>>().concat()
}

/// `PodSandboxStatusResponse`: `info` = 2, a map of `key` = 1 and `value` = 2.
fn status(state: &State, question: &[u8]) -> Vec<u8> {
    let sandboxes = state.sandboxes.lock().unwrap();
    let is_meant = |sandbox: &&Sandbox| {
        let id = sandbox.id.as_bytes();
        question.windows(id.len()).any(|part| part == id)
    };
    let sandbox = sandboxes.iter().find(is_meant).expect("it was listed");
    // `verbose` = 2.
    assert!(question.ends_with(&number_of(2, 1)), "{question:?}");
    let pair = [text(1, "info"), text(2, &sandbox.info.to_string())];
    bytes(2, &pair.concat())
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
    out
}

fn number_of(tag: u64, number: u64) -> Vec<u8> {
    [varint(tag << 3), varint(number)].concat()
}

fn bytes(tag: u64, content: &[u8]) -> Vec<u8> {
    [
        varint(tag << 3 | 2),
        varint(content.len() as u64),
        content.to_vec(),
    ]
    .concat()
}

fn text(tag: u64, content: &str) -> Vec<u8> {
    bytes(tag, content.as_bytes())
}

//! Queries the container runtime over its CRI socket, for pods that no other source knows. Only where an
//! administrator enables it, because access to that socket gives full control of the node.

/// The two calls, with their deadlines.
mod client;
/// The JSON in the response.
mod info;
/// The protobuf messages.
mod messages;

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime},
};

use crds::report::RecordSource;
use store::Trigger;
use tokio::sync::{mpsc, oneshot};
use workqueue::{Attempts, Backoff};

use self::{
    client::{Client, Error},
    messages::{PodSandbox, PodSandboxMetadata},
};
use super::{Hints, PodName, SandboxHint};

/// Interval of queries; pods that start together are queried together.
const PAUSE: Duration = Duration::from_secs(1);
/// While the runtime does not respond.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(30));
/// The network name in hints of the runtime, which has none.
const NETWORK: &str = "cri";
/// The name of the pod's own interface in every runtime.
const IFNAME: &str = "eth0";

/// The polling thread; it ends when this is dropped.
#[must_use]
pub struct Cri {
    requests: mpsc::UnboundedSender<PodName>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Cri {
    /// `notify` is called for each pod whose hints have changed.
    pub fn start(
        socket: &Path,
        hints: Hints,
        notify: impl Fn(Trigger) + Send + 'static,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (requests, requested) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel();
        let mut poller = Poller {
            socket: socket.into(),
            hints,
            last_error: None,
        };
        let thread = std::thread::Builder::new().name("cri".into());
        let thread = thread.spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => (),
                    () = poller.serve(requested, &notify) => (),
                }
            });
        })?;
        Ok(Self {
            requests,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Requests a hint to a pod; the result is sent as a trigger.
    pub fn request(&self, pod: PodName) {
        // A thread that has ended has logged why.
        let _ = self.requests.send(pod);
    }
}

impl Drop for Cri {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The panic hook has logged a panic of the thread.
            let _ = thread.join();
        }
    }
}

struct Poller {
    socket: PathBuf,
    hints: Hints,
    /// The error of the last query.
    last_error: Option<String>,
}

impl Poller {
    async fn serve(
        &mut self,
        mut requested: mpsc::UnboundedReceiver<PodName>,
        notify: &impl Fn(Trigger),
    ) {
        let (mut pods, mut attempts) = (BTreeSet::new(), Attempts::default());
        loop {
            if pods.is_empty() {
                let Some(first) = requested.recv().await else {
                    return;
                };
                pods.insert(first);
            }
            while let Ok(another) = requested.try_recv() {
                pods.insert(another);
            }
            let pause = match self.round(&pods).await {
                Ok(touched) => {
                    let touched = touched.into_iter();
                    touched.for_each(|(namespace, name)| notify(Trigger::Hint { namespace, name }));
                    self.last_error = None;
                    pods.clear();
                    attempts.reset();
                    PAUSE
                }
                // Retried for the same pods: the runtime may be starting.
                Err(error) => {
                    self.warn_once(&error.to_string());
                    attempts.failed(&BACKOFF, Instant::now())
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    fn warn_once(&mut self, last_error: &str) {
        if self.last_error.as_deref() != Some(last_error) {
            let socket = self.socket.display();
            tracing::warn!("cannot query the container runtime at {socket}: {last_error}");
            self.last_error = Some(last_error.into());
        }
    }

    /// Lists the sandboxes, and gets the status of those of these pods; returns the pods whose hints have changed.
    async fn round(&self, pods: &BTreeSet<PodName>) -> Result<Vec<PodName>, Error> {
        let client = Client::connect(&self.socket).await?;
        let sandboxes = client.ready_sandboxes().await?;
        let ids: BTreeSet<&str> = sandboxes.iter().map(|one| one.id.as_str()).collect();
        let source = RecordSource::Cri;
        let mut touched = self.hints.keep_only(source, |id| ids.contains(id));
        for (sandbox, metadata) in newest_of(pods, &sandboxes) {
            let hint = match client.info(&sandbox.id).await {
                Ok(info) => hint(sandbox, metadata, &info),
                // The sandbox may have ended since it was listed.
                Err(error @ Error::Refused(..)) => Err(error.to_string()),
                Err(error) => return Err(error),
            };
            if let Err(why) = &hint {
                tracing::debug!(
                    sandbox = sandbox.id,
                    "no hint from the container runtime: {why}"
                );
            }
            touched.extend(self.hints.put(source, &sandbox.id, hint.ok()));
        }
        Ok(touched)
    }
}

/// The newest sandbox of each of these pods.
fn newest_of<'s>(
    pods: &BTreeSet<PodName>,
    sandboxes: &'s [PodSandbox],
) -> Vec<(&'s PodSandbox, &'s PodSandboxMetadata)> {
    let of = |(namespace, name): &PodName| {
        let named = sandboxes
            .iter()
            .filter_map(|sandbox| Some((sandbox, sandbox.metadata.as_ref()?)));
        named
            .filter(|(_, metadata)| metadata.namespace == *namespace && metadata.name == *name)
            .max_by_key(|(sandbox, metadata)| (sandbox.created_at, metadata.attempt))
    };
    pods.iter().filter_map(of).collect()
}

fn hint(
    sandbox: &PodSandbox,
    metadata: &PodSandboxMetadata,
    info: &str,
) -> Result<SandboxHint, String> {
    let since = Duration::from_nanos(sandbox.created_at.try_into().unwrap_or_default());
    let hint = SandboxHint {
        source: RecordSource::Cri,
        namespace: metadata.namespace.clone(),
        pod: metadata.name.clone(),
        uid: Some(metadata.uid.clone()).filter(|uid| !uid.is_empty()),
        container: sandbox.id.clone(),
        ifname: IFNAME.into(),
        network: NETWORK.into(),
        netns: info::netns(info)?,
        since: SystemTime::UNIX_EPOCH + since,
    };
    match hint.invalid_field() {
        Some(invalid_field) => Err(invalid_field),
        None => Ok(hint),
    }
}

#[cfg(test)]
mod tests;

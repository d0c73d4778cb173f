//! The container runtime, asked over its CRI socket: only where an administrator says so, for whoever
//! may speak to that socket may do anything on the node; and only for pods that nothing else tells of.

/// Two questions, and their deadlines.
mod client;
/// The answer's JSON.
mod info;
/// What goes over the wire.
mod messages;

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    thread::JoinHandle,
    time::{Duration, SystemTime},
};

use crds::report::RecordSource;
use tokio::sync::{mpsc, oneshot};

use self::{
    client::{Client, Error},
    messages::{PodSandbox, PodSandboxMetadata},
};
use super::{Hints, PodName, SandboxHint};
use crate::source::Trigger;

/// Pods that start together are asked for together, and the runtime is left alone for so long.
const PAUSE: Duration = Duration::from_secs(1);
/// One that does not answer is asked less and less often.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The network that a hint of the runtime names: it tells none.
const NETWORK: &str = "cri";
/// What every runtime calls the pod's own interface.
const IFNAME: &str = "eth0";

/// The thread that asks; when it is dropped, the asking ends.
#[must_use]
pub struct Cri {
    asks: mpsc::UnboundedSender<PodName>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Cri {
    /// `notify` is called for each pod of which something else is said than before.
    pub fn start(
        socket: &Path,
        hints: Hints,
        notify: impl Fn(Trigger) + Send + 'static,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (asks, asked) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel();
        let mut asker = Asker {
            socket: socket.into(),
            hints,
            trouble: None,
        };
        let thread = std::thread::Builder::new().name("cri".into());
        let thread = thread.spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => (),
                    () = asker.serve(asked, &notify) => (),
                }
            });
        })?;
        Ok(Self {
            asks,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Asks for a pod soon; the answer comes as a change.
    pub fn ask(&self, pod: PodName) {
        // A thread that has ended has told why.
        let _ = self.asks.send(pod);
    }
}

impl Drop for Cri {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of its own has been told by the panic hook.
            let _ = thread.join();
        }
    }
}

struct Asker {
    socket: PathBuf,
    hints: Hints,
    /// Why the runtime could not be asked the last time.
    trouble: Option<String>,
}

impl Asker {
    async fn serve(
        &mut self,
        mut asked: mpsc::UnboundedReceiver<PodName>,
        notify: &impl Fn(Trigger),
    ) {
        let (mut pods, mut pause) = (BTreeSet::new(), PAUSE);
        loop {
            if pods.is_empty() {
                let Some(first) = asked.recv().await else {
                    return;
                };
                pods.insert(first);
            }
            while let Ok(another) = asked.try_recv() {
                pods.insert(another);
            }
            match self.round(&pods).await {
                Ok(touched) => {
                    let touched = touched.into_iter();
                    touched.for_each(|(namespace, name)| notify(Trigger::Hint { namespace, name }));
                    self.trouble = None;
                    (pods, pause) = (BTreeSet::new(), PAUSE);
                }
                // It is asked again for the same pods: it may be starting.
                Err(error) => {
                    self.doubt(&error.to_string());
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
            tokio::time::sleep(pause).await;
        }
    }

    fn doubt(&mut self, trouble: &str) {
        if self.trouble.as_deref() != Some(trouble) {
            let socket = self.socket.display();
            tracing::warn!("ask the container runtime at {socket}: {trouble}");
            self.trouble = Some(trouble.into());
        }
    }

    /// Lists the sandboxes, and looks at those of these pods; the pods of which something else is said.
    async fn round(&self, pods: &BTreeSet<PodName>) -> Result<Vec<PodName>, Error> {
        let client = Client::connect(&self.socket).await?;
        let sandboxes = client.ready_sandboxes().await?;
        let ids: BTreeSet<&str> = sandboxes.iter().map(|one| one.id.as_str()).collect();
        let source = RecordSource::Cri;
        let mut touched = self.hints.keep_only(source, |id| ids.contains(id));
        for (sandbox, metadata) in newest_of(pods, &sandboxes) {
            let hint = match client.info(&sandbox.id).await {
                Ok(info) => hint(sandbox, metadata, &info),
                // It may have ended since it was listed.
                Err(error @ Error::Refused(..)) => Err(error.to_string()),
                Err(error) => return Err(error),
            };
            if let Err(why) = &hint {
                tracing::debug!(
                    sandbox = sandbox.id,
                    "the container runtime's answer: {why}"
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
    match hint.flaw() {
        Some(flaw) => Err(flaw),
        None => Ok(hint),
    }
}

#[cfg(test)]
mod tests;

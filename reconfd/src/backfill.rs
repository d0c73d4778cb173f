//! Pods that no record speaks of: what others say about where their network namespaces are. All of it
//! is hearsay. Nothing here is opened or believed; whoever uses a hint proves the namespace first.

/// libcni's folder of results, read and watched.
pub mod cache;
/// The container runtime, asked.
pub mod cri;

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::SystemTime,
};

use cni_plugin::record::{is_container_id, is_dns_name, is_ifname, is_plain_path, is_uid};
use crds::report::RecordSource;

use self::{cache::Cache, cri::Cri};
use crate::source::{self, Trigger};

/// So many hints are kept of one source: stale ones stay on a disk for ever.
pub const MOST_HINTS: usize = 8192;

/// Everybody that is listened to beside the plugin.
#[derive(Default)]
pub struct Backfill {
    pub hints: Hints,
    cache: Option<Cache>,
    cri: Option<Cri>,
}

impl Backfill {
    /// Listens to those that are named; what the cache tells now is known when this returns.
    pub fn start(
        cni_cache: Option<&Path>,
        cri_socket: Option<&Path>,
        notify: impl Fn(Trigger) + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let hints = Hints::default();
        let cache = cni_cache.map(|path| Cache::start(path, hints.clone(), notify.clone()));
        let cri = cri_socket.map(|path| Cri::start(path, hints.clone(), notify));
        Ok(Self {
            cache: cache.transpose()?,
            cri: cri.transpose()?,
            hints,
        })
    }

    pub fn is_on(&self) -> bool {
        self.cache.is_some() || self.cri.is_some()
    }

    /// Asks for a pod that nothing tells of, where there is somebody to ask. One without an address could
    /// not be known by any answer.
    pub fn ask(&self, pod: &source::Pod) {
        let metadata = &pod.metadata;
        let names = metadata.namespace.clone().zip(metadata.name.clone());
        if let (Some(cri), Some(pod), false) = (&self.cri, names, pod.status.pod_ips.is_empty()) {
            cri.ask(pod);
        }
    }
}

/// Where somebody says that a pod's network namespace is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxHint {
    pub source: RecordSource,
    pub namespace: String,
    pub pod: String,
    /// Old runtimes tell none.
    pub uid: Option<String>,
    pub container: String,
    pub ifname: String,
    pub network: String,
    pub netns: PathBuf,
    /// When the sandbox was attached.
    pub since: SystemTime,
}

impl SandboxHint {
    /// What is wrong with it, if anything: the names become parts of paths, marks and log lines.
    pub fn flaw(&self) -> Option<String> {
        let uid = self.uid.as_deref().unwrap_or("-");
        let checks: [(&str, bool, &dyn std::fmt::Debug); 7] = [
            (
                "the pod's namespace",
                is_dns_name(&self.namespace, 63),
                &self.namespace,
            ),
            ("the pod's name", is_dns_name(&self.pod, 253), &self.pod),
            ("the pod's uid", is_uid(uid), &self.uid),
            (
                "the container id",
                is_container_id(&self.container),
                &self.container,
            ),
            ("the interface", is_ifname(&self.ifname), &self.ifname),
            ("the network", is_container_id(&self.network), &self.network),
            ("the path", is_plain_path(&self.netns), &self.netns),
        ];
        let wrong = checks.into_iter().find(|(_, right, _)| !right);
        wrong.map(|(what, _, value)| format!("{what} {value:?} is not valid"))
    }

    /// Of several hints to one pod: the newest sandbox first, and of one sandbox the primary network.
    fn rank(&self) -> impl Ord + use<> {
        let beside = (self.ifname == "lo", self.ifname != "eth0");
        (std::cmp::Reverse(self.since), beside, self.ifname.clone())
    }
}

/// A pod's namespace and name.
pub type PodName = (String, String);
/// Who said it, and under which name: a file's, or a sandbox's.
type Place = (RecordSource, String);

/// Everything that is said at this moment. Clones share it: the sources write, the controller reads.
#[derive(Clone, Debug, Default)]
pub struct Hints(Arc<RwLock<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    pods: HashMap<PodName, BTreeMap<Place, Arc<SandboxHint>>>,
    places: BTreeMap<Place, PodName>,
}

impl Hints {
    /// What is said under a name from now on; the pods that this concerns. Nothing, where it was said before.
    pub fn put(&self, source: RecordSource, name: &str, hint: Option<SandboxHint>) -> Vec<PodName> {
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        inner.put((source, name.to_owned()), hint)
    }

    /// Forgets what a source said under any name but these; the pods that this concerns.
    pub fn keep_only(&self, source: RecordSource, keep: impl Fn(&str) -> bool) -> Vec<PodName> {
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let of_source = inner.places.keys().filter(|place| place.0 == source);
        let gone: Vec<Place> = of_source.filter(|place| !keep(&place.1)).cloned().collect();
        gone.into_iter()
            .flat_map(|place| inner.put(place, None))
            .collect()
    }

    /// The hints to a pod, the most likely first.
    pub fn of(&self, namespace: &str, pod: &str) -> Vec<Arc<SandboxHint>> {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let key = (namespace.to_owned(), pod.to_owned());
        let mut hints: Vec<Arc<SandboxHint>> = inner
            .pods
            .get(&key)
            .map(|hints| hints.values().cloned().collect())
            .unwrap_or_default();
        hints.sort_by_cached_key(|hint| hint.rank());
        hints
    }
}

impl Inner {
    fn put(&mut self, place: Place, hint: Option<SandboxHint>) -> Vec<PodName> {
        let pod = hint.as_ref().map(|h| (h.namespace.clone(), h.pod.clone()));
        let before = self.places.get(&place).cloned();
        let said = before
            .as_ref()
            .and_then(|pod| self.pods.get(pod)?.get(&place));
        if said.map(Arc::as_ref) == hint.as_ref() || before.is_none() && self.is_full(place.0) {
            return Vec::new();
        }
        if let Some(pod) = &before {
            self.forget(&place, pod);
        }
        if let (Some(hint), Some(pod)) = (hint, &pod) {
            self.places.insert(place.clone(), pod.clone());
            let hints = self.pods.entry(pod.clone()).or_default();
            hints.insert(place, Arc::new(hint));
        }
        let mut touched: Vec<PodName> = before.into_iter().chain(pod).collect();
        touched.dedup();
        touched
    }

    fn forget(&mut self, place: &Place, pod: &PodName) {
        self.places.remove(place);
        if let Some(hints) = self.pods.get_mut(pod) {
            hints.remove(place);
            if hints.is_empty() {
                self.pods.remove(pod);
            }
        }
    }

    fn is_full(&self, source: RecordSource) -> bool {
        let of_source = self.places.keys().filter(|place| place.0 == source);
        self.places.len() >= MOST_HINTS && of_source.count() >= MOST_HINTS
    }
}

#[cfg(test)]
mod tests;

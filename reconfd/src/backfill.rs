//! Hints to the network namespaces of pods without a record, from other sources than the plugin. Hints are
//! unverified: nothing is opened here, and the user of a hint must verify the namespace first.

/// libcni's result cache, read and watched.
pub mod cache;
/// The container runtime, queried over CRI.
pub mod cri;

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::SystemTime,
};

use crds::report::RecordSource;
use sandbox_record::{is_container_id, is_dns_name, is_ifname, is_plain_path, is_uid};
use store::Trigger;

use self::{cache::CniCache, cri::Cri};

/// Hints kept per source: stale entries stay on the disk for ever.
pub const MOST_HINTS: usize = 8192;

/// The sources of hints beside the plugin.
#[derive(Default)]
pub struct Backfill {
    pub hints: Hints,
    cache: Option<CniCache>,
    cri: Option<Cri>,
}

impl Backfill {
    /// Starts the configured sources; the present entries of the cache are read before it returns.
    pub fn start(
        cni_cache: Option<&Path>,
        cri_socket: Option<&Path>,
        notify: impl Fn(Trigger) + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let hints = Hints::default();
        let cache = cni_cache.map(|path| CniCache::start(path, hints.clone(), notify.clone()));
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

    /// Requests a hint to a pod that no other source has, if there is a CRI socket. A pod without an address could
    /// not be verified by any answer.
    pub fn request(&self, pod: &store::Pod) {
        let metadata = &pod.metadata;
        let names = metadata.namespace.clone().zip(metadata.name.clone());
        if let (Some(cri), Some(pod), false) = (&self.cri, names, pod.status.pod_ips.is_empty()) {
            cri.request(pod);
        }
    }
}

/// An unverified location of a pod's network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxHint {
    pub source: RecordSource,
    pub namespace: String,
    pub pod: String,
    /// Old runtimes have none.
    pub uid: Option<String>,
    pub container: String,
    pub ifname: String,
    pub network: String,
    pub netns: PathBuf,
    /// When the sandbox was attached.
    pub since: SystemTime,
}

impl SandboxHint {
    /// The first invalid field, if any: the names become parts of paths, marks and log lines.
    pub fn invalid_field(&self) -> Option<String> {
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

    /// Sort key of the hints to one pod: the newest sandbox first, and of one sandbox the primary network.
    fn rank(&self) -> impl Ord + use<> {
        let beside = (self.ifname == "lo", self.ifname != "eth0");
        (std::cmp::Reverse(self.since), beside, self.ifname.clone())
    }
}

/// A pod's namespace and name.
pub type PodName = (String, String);
/// Source and name of a hint: the name of a file or of a sandbox.
type HintId = (RecordSource, String);

/// The current hints, shared by all clones: the sources write, the reconciler reads.
#[derive(Clone, Debug, Default)]
pub struct Hints(Arc<RwLock<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    pods: HashMap<PodName, BTreeMap<HintId, Arc<SandboxHint>>>,
    ids: BTreeMap<HintId, PodName>,
}

impl Hints {
    /// Sets the hint of a name; returns the affected pods, none if it is unchanged.
    pub fn put(&self, source: RecordSource, name: &str, hint: Option<SandboxHint>) -> Vec<PodName> {
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        inner.put((source, name.to_owned()), hint)
    }

    /// Removes a source's hints under all other names; returns the affected pods.
    pub fn keep_only(&self, source: RecordSource, keep: impl Fn(&str) -> bool) -> Vec<PodName> {
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let of_source = inner.ids.keys().filter(|id| id.0 == source);
        let gone: Vec<HintId> = of_source.filter(|id| !keep(&id.1)).cloned().collect();
        gone.into_iter()
            .flat_map(|id| inner.put(id, None))
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
    fn put(&mut self, id: HintId, hint: Option<SandboxHint>) -> Vec<PodName> {
        let pod = hint.as_ref().map(|h| (h.namespace.clone(), h.pod.clone()));
        let before = self.ids.get(&id).cloned();
        let known = before.as_ref().and_then(|pod| self.pods.get(pod)?.get(&id));
        if known.map(Arc::as_ref) == hint.as_ref() || before.is_none() && self.is_full(id.0) {
            return Vec::new();
        }
        if let Some(pod) = &before {
            self.forget(&id, pod);
        }
        if let (Some(hint), Some(pod)) = (hint, &pod) {
            self.ids.insert(id.clone(), pod.clone());
            let hints = self.pods.entry(pod.clone()).or_default();
            hints.insert(id, Arc::new(hint));
        }
        let mut touched: Vec<PodName> = before.into_iter().chain(pod).collect();
        touched.dedup();
        touched
    }

    fn forget(&mut self, id: &HintId, pod: &PodName) {
        self.ids.remove(id);
        if let Some(hints) = self.pods.get_mut(pod) {
            hints.remove(id);
            if hints.is_empty() {
                self.pods.remove(pod);
            }
        }
    }

    fn is_full(&self, source: RecordSource) -> bool {
        let of_source = self.ids.keys().filter(|id| id.0 == source);
        self.ids.len() >= MOST_HINTS && of_source.count() >= MOST_HINTS
    }
}

#[cfg(test)]
mod tests;

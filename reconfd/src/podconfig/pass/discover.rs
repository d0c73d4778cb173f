//! Pods without a record: is there a namespace that somebody else spoke of, and is it the pod's? Nothing
//! is believed that is not proved, in the namespace itself, at the moment when it is taken.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

use cni_plugin::record::Record;
use crds::report::RecordSource;

use crate::{
    backfill::{Backfill, PodName, SandboxHint},
    node::verify_netns::VerifyError,
    podconfig::{
        NodeReconciler,
        pods::found::{record_of, stated_addresses},
    },
    source,
};

/// A sandbox that is made again and again leaves entries; the newest ones are enough.
const MOST_TRIED: usize = 4;

/// What is known of the search.
pub(in crate::podconfig) struct Discovery {
    /// What others than the plugin say.
    pub backfill: Backfill,
    /// Namespaces where something new may be said of pods without a record.
    pub now: BTreeSet<String>,
    /// Those where a look failed that may not fail another time.
    later: BTreeSet<String>,
    /// Cause a namespace that somebody hinted_uid of was not taken.
    unproved: HashMap<PodName, String>,
}

impl Discovery {
    pub fn new(backfill: Backfill) -> Self {
        Self {
            backfill,
            now: BTreeSet::new(),
            later: BTreeSet::new(),
            unproved: HashMap::new(),
        }
    }

    /// Looks again when the next second has begun.
    pub fn look_later(&mut self, namespace: &str) {
        self.later.insert(namespace.into());
    }

    /// Cause no namespace was taken for this pod's, although somebody hinted_uid of one.
    pub fn why_unverified(&self, pod: &PodName) -> Option<&str> {
        self.unproved.get(pod).map(String::as_str)
    }
}

impl NodeReconciler {
    /// Something new may be said of pods without a record here.
    pub(in crate::podconfig) fn discover_in(&mut self, namespace: &str) {
        self.discovery.now.insert(namespace.into());
        self.stale_namespaces.insert(namespace.into());
    }

    /// Reads a record again. One that went may have gone with its pod: what others still say of it counts
    /// only when the runtime has had its time to end it.
    pub(in crate::podconfig) fn read_record(&mut self, file: &str) -> Vec<String> {
        let had_bad_ones = self.pods.has_invalid_records();
        let before = self.pods.namespace_of(file);
        let touched = self.pods.read(file);
        let now = self.pods.namespace_of(file);
        self.stale_namespaces
            .extend(before.clone().into_iter().chain(now.clone()));
        if self.pods.has_invalid_records() != had_bad_ones {
            // Of each pod without a record it is hinted_uid whether the record may be a bad one.
            self.mark_all_stale_namespaces();
        }
        self.discovery
            .later
            .extend(before.filter(|_| now.is_none()));
        touched
    }

    pub(in crate::podconfig) fn read_records(&mut self) -> Vec<String> {
        let touched = self.pods.read_all();
        self.discover_all();
        touched
    }

    /// Something new may be said of any pod.
    pub(in crate::podconfig) fn discover_all(&mut self) {
        self.mark_all_stale_namespaces();
        self.discovery
            .now
            .extend(self.stale_namespaces.iter().cloned());
    }

    /// What failed for a reason that may have passed by now.
    pub(in crate::podconfig) fn retry_discovery(&mut self) {
        let again = std::mem::take(&mut self.discovery.later);
        again
            .iter()
            .for_each(|namespace| self.discover_in(namespace));
    }

    /// Where something new may be said of pods without a record, listens and looks.
    pub(in crate::podconfig) fn discover(&mut self) {
        for namespace in std::mem::take(&mut self.discovery.now) {
            if !self.discovery.backfill.is_on() {
                continue;
            }
            let hints = &self.discovery.backfill.hints;
            let is_hinted = |record: &Record, source: RecordSource| {
                let hints = hints.of(&record.pod_namespace, &record.pod_name);
                hints.iter().any(|hint| tells(hint, record, source))
            };
            let unhinted = self.pods.withdraw(&namespace, is_hinted);
            self.dirty.extend(unhinted);
            self.discovery
                .unproved
                .retain(|(at, _), _| *at != namespace);
            for object in self.pods.lost(&namespace, &self.stores) {
                if self.pods.why_unsupported(&object).is_none() {
                    self.discover_pod(&namespace, &object);
                }
            }
        }
    }

    fn discover_pod(&mut self, namespace: &str, object: &source::Pod) {
        let name = object.metadata.name.clone().unwrap_or_default();
        let hints = self.discovery.backfill.hints.of(namespace, &name);
        if hints.is_empty() {
            return;
        }
        let addresses = stated_addresses(object);
        let mut first = None;
        for hint in hints.iter().take(MOST_TRIED) {
            match self.believe(hint, object, &addresses) {
                Ok(uid) => {
                    let path = hint.netns.display();
                    tracing::info!(namespace, pod = name, by = ?hint.source, "the pod's network namespace is {path}");
                    self.dirty.insert(uid);
                    return;
                }
                Err(VerifyError::Retry(why)) => {
                    self.discovery.later.insert(namespace.into());
                    first.get_or_insert(why);
                }
                Err(why) => drop(first.get_or_insert(why.to_string())),
            }
        }
        self.discovery
            .unproved
            .insert((namespace.into(), name), first.unwrap_or_default());
    }

    /// Takes the pod's record from a hint, if all of it is proved; the pod's uid as it goes on under.
    fn believe(
        &mut self,
        hint: &SandboxHint,
        object: &source::Pod,
        addresses: &BTreeSet<IpAddr>,
    ) -> Result<String, VerifyError> {
        let who = match hint.source {
            RecordSource::Cri => "the container runtime",
            _ => "libcni's result cache",
        };
        if self.pods.has_just_ended(&hint.container) {
            return Err(VerifyError::Retry("the pod's sandbox is ending".into()));
        }
        let refused = |why: String| VerifyError::Refused(format!("{who} tells of one, but {why}"));
        let own = object.metadata.uid.as_ref();
        if let (Some(hinted_uid), Some(own)) = (&hint.uid, own)
            && hinted_uid != own
        {
            return Err(refused(format!(
                "of an earlier pod, whose uid was {hinted_uid}"
            )));
        }
        if addresses.is_empty() {
            return Err(refused(
                "the pod's object states no address to know it by (status.podIPs)".into(),
            ));
        }
        let proved = match self.machine.verify_netns(&hint.netns, addresses) {
            Ok(proved) => proved,
            Err(VerifyError::Retry(why)) => return Err(VerifyError::Retry(why)),
            Err(VerifyError::Refused(why)) => return Err(refused(why)),
            Err(VerifyError::NoPodAddress) => {
                let listed: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                let (path, listed) = (hint.netns.display(), listed.join(" and "));
                return Err(refused(format!("{path} does not have the pod's {listed}")));
            }
        };
        let record = record_of(hint, object, &proved, self.machine.boot_id());
        let uid = record.pod_uid.as_deref().unwrap_or(&record.container_id);
        if let Some(owner) = self.pods.other_owner(&record, uid) {
            let path = hint.netns.display();
            return Err(refused(format!(
                "{path} is that of another pod, uid {owner}"
            )));
        }
        self.pods.hold(record, hint.source).map_err(refused)
    }
}

/// Whether a record still rests on this hint.
fn tells(hint: &SandboxHint, record: &Record, source: RecordSource) -> bool {
    hint.source == source
        && hint.container == record.container_id
        && hint.ifname == record.ifname
        && hint.netns == record.netns
}

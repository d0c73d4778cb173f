//! Sandbox discovery for pods without a record: verifies hints from other sources. No hint is
//! trusted before it is verified in the namespace itself, when it is accepted.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

use crds::report::RecordSource;
use node::verify_netns::VerifyError;
use sandbox_record::Record;

use crate::{
    backfill::{Backfill, PodName, SandboxHint},
    podconfig::{
        NodeReconciler,
        pods::found::{record_of, stated_addresses},
    },
};

/// A sandbox that is recreated again and again leaves entries; the newest ones are enough.
const MOST_TRIED: usize = 4;

/// State of the discovery.
pub(in crate::podconfig) struct SandboxDiscovery {
    /// Hints from other sources than the plugin.
    pub backfill: Backfill,
    /// Namespaces with new hints or new pods without a record.
    pub pending: BTreeSet<String>,
    /// Namespaces where a check failed for a transient reason.
    pub(super) retry: BTreeSet<String>,
    /// Why a hinted namespace was not accepted.
    unverified: HashMap<PodName, String>,
}

impl SandboxDiscovery {
    pub fn new(backfill: Backfill) -> Self {
        Self {
            backfill,
            pending: BTreeSet::new(),
            retry: BTreeSet::new(),
            unverified: HashMap::new(),
        }
    }

    /// Retries with the next housekeeping, within a second.
    pub fn retry_later(&mut self, namespace: &str) {
        self.retry.insert(namespace.into());
    }

    /// Why no hinted namespace was accepted for this pod.
    pub fn why_unverified(&self, pod: &PodName) -> Option<&str> {
        self.unverified.get(pod).map(String::as_str)
    }
}

impl NodeReconciler {
    /// Reads a record again. A deleted record may have gone with its pod: hints count only after
    /// the runtime has had time to end the sandbox.
    pub(in crate::podconfig) fn read_record(&mut self, file: &str) -> Vec<String> {
        let had_bad_ones = self.objects.pods.has_invalid_records();
        let before = self.objects.pods.namespace_of(file);
        let touched = self.objects.pods.read(file);
        let now = self.objects.pods.namespace_of(file);
        self.unrecorded
            .stale_namespaces
            .extend(before.clone().into_iter().chain(now.clone()));
        if self.objects.pods.has_invalid_records() != had_bad_ones {
            // The report of each pod without a record says whether it may be an invalid one.
            self.mark_all_stale_namespaces();
        }
        self.unrecorded
            .discovery
            .retry
            .extend(before.filter(|_| now.is_none()));
        touched
    }

    pub(in crate::podconfig) fn read_records(&mut self) -> Vec<String> {
        let touched = self.objects.pods.read_all();
        self.discover_all();
        touched
    }

    /// Schedules the discovery for all pods without a record.
    pub(in crate::podconfig) fn discover_all(&mut self) {
        self.mark_all_stale_namespaces();
        self.unrecorded
            .discovery
            .pending
            .extend(self.unrecorded.stale_namespaces.iter().cloned());
    }

    /// Retries discoveries that failed for a transient reason.
    pub(in crate::podconfig) fn retry_discovery(&mut self) {
        let again = std::mem::take(&mut self.unrecorded.discovery.retry);
        again
            .iter()
            .for_each(|namespace| self.unrecorded.discover_in(namespace));
    }

    /// Runs the discovery in all scheduled namespaces.
    pub(in crate::podconfig) fn discover(&mut self) {
        for namespace in std::mem::take(&mut self.unrecorded.discovery.pending) {
            if !self.unrecorded.discovery.backfill.is_on() {
                continue;
            }
            let hints = &self.unrecorded.discovery.backfill.hints;
            let is_hinted = |record: &Record, source: RecordSource| {
                let hints = hints.of(&record.pod_namespace, &record.pod_name);
                hints.iter().any(|hint| backs(hint, record, source))
            };
            let unhinted = self.objects.pods.retain_hinted(&namespace, is_hinted);
            self.schedule.enqueue(unhinted);
            self.unrecorded
                .discovery
                .unverified
                .retain(|(at, _), _| *at != namespace);
            for object in self
                .objects
                .pods
                .without_record(&namespace, &self.objects.stores)
            {
                if self.objects.pods.why_unsupported(&object).is_none() {
                    self.discover_pod(&namespace, &object);
                }
            }
        }
    }

    fn discover_pod(&mut self, namespace: &str, object: &store::Pod) {
        let name = object.metadata.name.clone().unwrap_or_default();
        let hints = self
            .unrecorded
            .discovery
            .backfill
            .hints
            .of(namespace, &name);
        if hints.is_empty() {
            return;
        }
        let addresses = stated_addresses(object);
        let mut first = None;
        for hint in hints.iter().take(MOST_TRIED) {
            match self.verify_hint(hint, object, &addresses) {
                Ok(uid) => {
                    let path = hint.netns.display();
                    tracing::info!(namespace, pod = name, by = ?hint.source, "the pod's network namespace is {path}");
                    self.schedule.enqueue([uid]);
                    return;
                }
                Err(VerifyError::Retry(why)) => {
                    self.unrecorded.discovery.retry.insert(namespace.into());
                    first.get_or_insert(why);
                }
                Err(why) => drop(first.get_or_insert(why.to_string())),
            }
        }
        self.unrecorded
            .discovery
            .unverified
            .insert((namespace.into(), name), first.unwrap_or_default());
    }

    /// Creates the pod's record from a hint, if all of it is verified; returns the pod's uid.
    fn verify_hint(
        &mut self,
        hint: &SandboxHint,
        object: &store::Pod,
        addresses: &BTreeSet<IpAddr>,
    ) -> Result<String, VerifyError> {
        let who = match hint.source {
            RecordSource::Cri => "the container runtime",
            _ => "libcni's result cache",
        };
        if self.objects.pods.has_just_ended(&hint.container) {
            return Err(VerifyError::Retry("the pod's sandbox is ending".into()));
        }
        let refused = |why: String| VerifyError::Refused(format!("{who} reports one, but {why}"));
        let own = object.metadata.uid.as_ref();
        if let (Some(hinted), Some(own)) = (&hint.uid, own)
            && hinted != own
        {
            return Err(refused(format!(
                "it is of an earlier pod, whose uid was {hinted}"
            )));
        }
        if addresses.is_empty() {
            return Err(refused(
                "the pod's object states no address to verify it by (status.podIPs)".into(),
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
        if let Some(owner) = self.objects.pods.other_owner(&record, uid) {
            let path = hint.netns.display();
            return Err(refused(format!(
                "{path} is that of another pod, uid {owner}"
            )));
        }
        self.objects
            .pods
            .add_found(record, hint.source)
            .map_err(refused)
    }
}

/// Whether a record is still backed by this hint.
fn backs(hint: &SandboxHint, record: &Record, source: RecordSource) -> bool {
    hint.source == source
        && hint.container == record.container_id
        && hint.ifname == record.ifname
        && hint.netns == record.netns
}

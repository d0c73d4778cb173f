//! One pod: its newest record joined with its object, and what is wrong with them before its
//! namespace is opened.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use crds::Reason;
use sandbox_record::Record;
use store::Stores;

use super::Pods;
use crate::podconfig::outcome::LocalPod;

/// A uid is part of a link's alias, between colons.
const LONGEST_UID: usize = 64;

/// A pod with the record of its newest sandbox.
#[derive(Clone, Debug)]
pub struct RecordedPod {
    pub pod: Arc<LocalPod>,
    pub record: Arc<Record>,
    /// Another pod has its name now, so that this one is gone.
    pub is_replaced: bool,
    /// Its trouble before its namespace is opened.
    pub trouble: Option<(Reason, String)>,
}

/// A pod without a record.
pub struct UnrecordedPod {
    pub pod: LocalPod,
    pub object: Arc<store::Pod>,
    /// Why it has none by design, if so.
    pub unsupported: Option<String>,
}

impl RecordedPod {
    /// Whether it cannot use links, and so gets none.
    pub fn is_unsupported(&self) -> bool {
        matches!(self.trouble, Some((Reason::Unsupported, _)))
    }
}

impl Pods {
    /// The labels of a recorded pod, where its object is known.
    pub fn labels(&self, uid: &str, stores: &Stores) -> BTreeMap<String, String> {
        let record = self.newest(uid);
        let object = record.and_then(|record| stores.pod(&record.pod_namespace, &record.pod_name));
        object
            .and_then(|object| object.metadata.labels.clone())
            .unwrap_or_default()
    }

    pub fn recorded(&self, uid: &str, stores: &Stores) -> Option<RecordedPod> {
        let (file, record) = self.newest_file(uid)?;
        let record = record.clone();
        let (namespace, name) = (record.pod_namespace.clone(), record.pod_name.clone());
        let object = stores.pod(&namespace, &name);
        let named = object.as_ref().and_then(|o| o.metadata.uid.clone());
        let unsupported = object.as_ref().and_then(|o| self.unsupported.why(o));
        let net_admin = object.as_ref().map(|o| o.net_admin()).unwrap_or_default();
        let host_network = object.as_ref().is_some_and(|o| o.spec.host_network);
        let labels = object
            .and_then(|object| object.metadata.labels.clone())
            .unwrap_or_default();
        let pod = LocalPod {
            net_admin,
            host_network,
            uid: uid.into(),
            labels,
            namespace_labels: stores.namespace_labels(&namespace),
            sandbox: record.container_id.clone(),
            recorded_by: Some(self.source_of(file)),
            namespace,
            name,
        };
        let successor = match (named, &record.pod_uid) {
            // The object knows which pod has the name now; clocks jump.
            (Some(named), Some(own)) => (named != *own).then_some(named),
            _ => self.successor(uid, &record),
        };
        let is_replaced = successor.is_some();
        let unsupported = unsupported
            .filter(|_| !is_replaced)
            .map(|why| (Reason::Unsupported, why));
        let trouble = unsupported.or_else(|| self.trouble(uid, &record, successor));
        Some(RecordedPod {
            pod: Arc::new(pod),
            record,
            is_replaced,
            trouble,
        })
    }

    /// A later pod of the same name: Kubernetes reuses a name only when its pod is gone.
    fn successor(&self, uid: &str, record: &Record) -> Option<String> {
        record.pod_uid.as_ref()?;
        let others = self
            .uids_of(&record.pod_namespace, &record.pod_name)
            .into_iter()
            .filter(|other| other != uid);
        let later = |other: &String| {
            self.newest(other)
                .is_some_and(|newest| newest.pod_uid.is_some() && newest.age() > record.age())
        };
        others.into_iter().find(later)
    }

    fn trouble(
        &self,
        uid: &str,
        record: &Record,
        stranger: Option<String>,
    ) -> Option<(Reason, String)> {
        let path = record.netns.display();
        if uid.len() > LONGEST_UID
            || !uid
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        {
            return Some((Reason::BadRecord, format!("the uid {uid:?} is invalid")));
        }
        if let Some(other) = stranger {
            return Some((
                Reason::NamespaceGone,
                format!("the record is of an earlier pod of this name, whose uid is now {other}"),
            ));
        }
        let owner = self.other_owner(record, uid)?;
        Some((
            Reason::BadRecord,
            format!("the network namespace {path} is recorded for another pod, uid {owner}"),
        ))
    }

    /// Pods of a namespace that run here without a record. One without a uid is identified by its
    /// name.
    pub fn unrecorded(&self, namespace: &str, stores: &Stores) -> Vec<UnrecordedPod> {
        let is_recorded = self.is_recorded(namespace);
        // Before it has an address, the runtime may not have called the plugin yet.
        let is_running = |object: &Arc<store::Pod>| {
            let is_going = object.metadata.deletion_timestamp.is_some() || object.has_ended();
            !is_going && (!stores.knows_all_pods() || !object.status.pod_ips.is_empty())
        };
        let objects_here = stores.pods_of(namespace).into_iter();
        let missing = objects_here.filter(is_running);
        let missing = missing.filter(|object| !is_recorded(object));
        let unrecorded = |object: Arc<store::Pod>| {
            let name = object.metadata.name.clone().unwrap_or_default();
            let pod = LocalPod {
                net_admin: object.net_admin(),
                host_network: object.spec.host_network,
                uid: object
                    .metadata
                    .uid
                    .clone()
                    .unwrap_or_else(|| format!("{namespace}/{name}")),
                labels: object.metadata.labels.clone().unwrap_or_default(),
                namespace_labels: stores.namespace_labels(namespace),
                sandbox: String::new(),
                recorded_by: None,
                namespace: namespace.into(),
                name,
            };
            UnrecordedPod {
                unsupported: self.unsupported.why(&object),
                pod,
                object,
            }
        };
        missing.map(unrecorded).collect()
    }

    /// Whether a pod of this namespace has a record.
    pub(super) fn is_recorded(&self, namespace: &str) -> impl Fn(&store::Pod) -> bool {
        let here = self.records.in_namespace(namespace);
        let recorded: HashMap<&str, Option<&str>> = here
            .map(|record| (record.pod_name.as_str(), record.pod_uid.as_deref()))
            .collect();
        move |object| {
            let own = object.metadata.uid.as_deref();
            match recorded.get(object.metadata.name.as_deref().unwrap_or_default()) {
                Some(Some(uid)) => own.is_none_or(|own| own == *uid || self.has(own)),
                Some(None) => true,
                None => false,
            }
        }
    }

    /// Why this pod gets no links, if so.
    pub fn why_unsupported(&self, object: &store::Pod) -> Option<String> {
        self.unsupported.why(object)
    }
}

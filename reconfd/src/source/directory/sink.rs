//! Where reports go: a folder for people to read, one file per object. A PodConfig's file is its
//! status as the controller tells it, and what is wrong with its newest manifest as the source does.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crds::{PodConfig, PodReport, Reason, podconfig::PodConfigStatus};
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{identity::ORIGIN, key::is_name, pages::Pages, shelf::Note};
use crate::source::Refusal;

const REFUSED: &str = "refused.yaml";
const REFUSED_HEAD: &str =
    "# What was not taken from the manifests. What was in force before stays in force.\n";
/// The longest name that a file may have, on every file system that counts.
const LONGEST_NAME: usize = 255;

/// Cheap to clone; every clone writes to the same folder.
#[derive(Clone)]
pub struct FileSink(Arc<Mutex<Desk>>);

/// Namespace and name.
type Id = (String, String);

struct Desk {
    pages: Pages,
    /// Each with its status as the controller wrote it last.
    told: BTreeMap<Id, (Arc<PodConfig>, PodConfigStatus)>,
    notes: BTreeMap<Id, (Note, Time)>,
}

impl FileSink {
    pub fn new(reports: &Path) -> Self {
        let pages = Pages::new(reports.to_owned());
        Self(Arc::new(Mutex::new(Desk {
            pages,
            told: BTreeMap::new(),
            notes: BTreeMap::new(),
        })))
    }

    pub fn write_pod_report(&self, report: &PodReport) {
        let metadata = &report.metadata;
        let Some(page) = page(
            "podreport",
            metadata.namespace.as_deref(),
            metadata.name.as_deref(),
        ) else {
            return tracing::error!(
                ?metadata,
                "a pod report without a sound name is not written"
            );
        };
        let mut value = json!(report);
        if let Some(members) = value.as_object_mut() {
            members.remove("spec");
        }
        self.desk().write(page, &value);
    }

    pub fn remove_pod_report(&self, namespace: &str, name: &str) {
        if let Some(page) = page("podreport", Some(namespace), Some(name)) {
            self.desk().pages.remove(page);
        }
    }

    pub fn write_podconfig(&self, podconfig: Arc<PodConfig>, status: PodConfigStatus) {
        let metadata = &podconfig.metadata;
        let (Some(namespace), Some(name)) = (&metadata.namespace, &metadata.name) else {
            return tracing::error!(?metadata, "a PodConfig without a name is not written");
        };
        let id = (namespace.clone(), name.clone());
        let mut desk = self.desk();
        desk.told.insert(id.clone(), (podconfig, status));
        desk.render(&id);
    }

    pub fn remove_podconfig(&self, namespace: &str, name: &str) {
        let id = (namespace.to_owned(), name.to_owned());
        let mut desk = self.desk();
        desk.told.remove(&id);
        desk.render(&id);
    }

    pub fn write_refusals(&self, refusals: &[Refusal]) {
        let mut desk = self.desk();
        match yaml(&json!({ "refused": refusals })) {
            _ if refusals.is_empty() => desk.pages.remove(REFUSED.into()),
            Some(text) => desk
                .pages
                .write(REFUSED.into(), format!("{REFUSED_HEAD}{text}")),
            None => {}
        }
    }

    /// Removes the reports of all others: for the start, when nobody knows what was left.
    pub fn keep_only<'a>(
        &self,
        pods: impl IntoIterator<Item = (&'a str, &'a str)>,
        podconfigs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) {
        let pods = pods
            .into_iter()
            .filter_map(|(ns, name)| page("podreport", Some(ns), Some(name)));
        let podconfigs = podconfigs
            .into_iter()
            .filter_map(|(ns, name)| page("podconfig", Some(ns), Some(name)));
        let mut desk = self.desk();
        let faulty = desk
            .notes
            .iter()
            .filter(|(_, (note, _))| note.fault.is_some());
        let faulty = faulty.filter_map(|((ns, name), _)| page("podconfig", Some(ns), Some(name)));
        let kept: BTreeSet<PathBuf> = pods.chain(podconfigs).chain(faulty).collect();
        for page in desk.pages.present() {
            if is_ours(&page) && !kept.contains(&page) {
                desk.pages.remove(page);
            }
        }
    }

    /// Writes what a full or read-only disk has refused so far; true if nothing is left.
    pub fn retry(&self) -> bool {
        self.desk().pages.retry()
    }

    pub fn folder(&self) -> PathBuf {
        self.desk().pages.root().to_owned()
    }

    /// What the source has to say of a PodConfig.
    pub(super) fn note(&self, namespace: &str, name: &str, note: Note) {
        let id = (namespace.to_owned(), name.to_owned());
        let mut desk = self.desk();
        let before = desk.notes.get(&id).cloned();
        let (before, since) =
            before.map_or((Note::default(), None), |(note, since)| (note, Some(since)));
        if before == note {
            return;
        }
        // A page that is about to be told anew, or to go, is not written for its origin alone.
        let shown =
            before.fault != note.fault || note.origin.is_some() || !desk.told.contains_key(&id);
        if note == Note::default() {
            desk.notes.remove(&id);
        } else {
            let since = since
                .filter(|_| before.fault.is_some())
                .unwrap_or_else(|| Time(Timestamp::now()));
            desk.notes.insert(id.clone(), (note, since));
        }
        if shown {
            desk.render(&id);
        }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        // A text is put in place as a whole, so a panic in between leaves nothing half-done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desk {
    fn render(&mut self, id: &Id) {
        let Some(page) = page("podconfig", Some(&id.0), Some(&id.1)) else {
            return tracing::error!(?id, "a PodConfig without a sound name is not written");
        };
        let note = self.notes.get(id);
        let origin = note.and_then(|(note, _)| note.origin.as_deref());
        let fault = note.and_then(|(note, since)| Some((note.fault.as_deref()?, since)));
        let value = match (self.told.get(id), fault) {
            (Some(known), fault) => Some(told(known, origin, fault)),
            // What is in force will be told by the controller.
            (None, _) if origin.is_some() => return,
            (None, Some((fault, since))) => Some(never_good(id, fault, since)),
            (None, None) => None,
        };
        match value {
            Some(value) => self.write(page, &value),
            None => self.pages.remove(page),
        }
    }

    fn write(&mut self, page: PathBuf, value: &Value) {
        if let Some(text) = yaml(value) {
            self.pages.write(page, text);
        }
    }
}

fn told(
    (podconfig, status): &(Arc<PodConfig>, PodConfigStatus),
    origin: Option<&str>,
    fault: Option<(&str, &Time)>,
) -> Value {
    let mut podconfig = (**podconfig).clone();
    podconfig.status = Some(status.clone());
    if let Some(origin) = origin {
        let annotations = podconfig.metadata.annotations.get_or_insert_default();
        annotations.insert(ORIGIN.into(), origin.into());
    }
    if let Some((fault, since)) = fault {
        let conditions = &mut podconfig.status.get_or_insert_default().conditions;
        conditions.retain(|condition| condition.type_ != "Degraded");
        conditions.push(invalid("Degraded", "True", fault, since));
    }
    json!(podconfig)
}

/// A PodConfig of which there is no version to show.
fn never_good(id: &Id, fault: &str, since: &Time) -> Value {
    let conditions = [
        invalid("Ready", "False", fault, since),
        invalid("Degraded", "True", fault, since),
    ];
    json!({
        "apiVersion": format!("{}/{}", crds::GROUP, crds::VERSION),
        "kind": "PodConfig",
        "metadata": {"namespace": id.0, "name": id.1},
        "status": {"conditions": conditions},
    })
}

fn invalid(type_: &str, status: &str, message: &str, since: &Time) -> Condition {
    Condition {
        type_: type_.into(),
        status: status.into(),
        reason: Reason::Invalid.as_str().into(),
        message: message.into(),
        last_transition_time: since.clone(),
        observed_generation: None,
    }
}

/// The place of a report below the folder; none for a name that Kubernetes would not take.
fn page(kind: &str, namespace: Option<&str>, name: Option<&str>) -> Option<PathBuf> {
    let (namespace, name) = (namespace?, name?);
    if !is_name(namespace, 63, false) || !is_name(name, 253, true) {
        return None;
    }
    let mut file = format!("{kind}-{name}.yaml");
    if file.len() > LONGEST_NAME {
        let hash = Sha256::digest(name.as_bytes());
        let hash: String = hash
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        file = format!(
            "{kind}-{}..{hash}.yaml",
            &name[..LONGEST_NAME - kind.len() - 24]
        );
    }
    Some(Path::new(namespace).join(file))
}

fn is_ours(page: &Path) -> bool {
    let name = page.file_name().unwrap_or_default().to_string_lossy();
    (name.starts_with("podreport-") || name.starts_with("podconfig-")) && name.ends_with(".yaml")
}

fn yaml(value: &impl Serialize) -> Option<String> {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let mut text = String::new();
    match serde_saphyr::to_fmt_writer_with_options(&mut text, value, options) {
        Ok(()) => Some(text),
        Err(error) => {
            tracing::error!(%error, "cannot put a report into words");
            None
        }
    }
}

#[cfg(test)]
mod tests;

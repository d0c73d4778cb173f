//! Report files, one per object. A PodConfig's file has its status as written by the controller, and the errors of
//! its newest manifest.

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
use store::Refusal;

use super::{atomic_files::AtomicFiles, identity::ORIGIN, index::ManifestStatus, key::is_name};

const REFUSED: &str = "refused.yaml";
const REFUSED_HEAD: &str =
    "# Manifests that were refused. The last valid versions stay in force.\n";
/// The longest file name, on all common file systems.
const LONGEST_NAME: usize = 255;

/// Cheap to clone; every clone writes to the same folder.
#[derive(Clone)]
pub struct FileSink(Arc<Mutex<ReportFiles>>);

/// Namespace and name.
type Id = (String, String);

struct ReportFiles {
    files: AtomicFiles,
    /// PodConfigs with the status that the controller wrote last.
    statuses: BTreeMap<Id, (Arc<PodConfig>, PodConfigStatus)>,
    manifests: BTreeMap<Id, (ManifestStatus, Time)>,
}

impl FileSink {
    pub fn new(reports: &Path) -> Self {
        let files = AtomicFiles::new(reports.to_owned());
        Self(Arc::new(Mutex::new(ReportFiles {
            files,
            statuses: BTreeMap::new(),
            manifests: BTreeMap::new(),
        })))
    }

    pub fn write_pod_report(&self, report: &PodReport) {
        let metadata = &report.metadata;
        let Some(path) = report_path(
            "podreport",
            metadata.namespace.as_deref(),
            metadata.name.as_deref(),
        ) else {
            return tracing::error!(?metadata, "pod report without a valid name; not written");
        };
        let mut value = json!(report);
        if let Some(members) = value.as_object_mut() {
            members.remove("spec");
        }
        self.reports().write(path, &value);
    }

    pub fn remove_pod_report(&self, namespace: &str, name: &str) {
        if let Some(path) = report_path("podreport", Some(namespace), Some(name)) {
            self.reports().files.remove(path);
        }
    }

    pub fn write_podconfig(&self, podconfig: Arc<PodConfig>, status: PodConfigStatus) {
        let metadata = &podconfig.metadata;
        let (Some(namespace), Some(name)) = (&metadata.namespace, &metadata.name) else {
            return tracing::error!(?metadata, "PodConfig without a name; not written");
        };
        let id = (namespace.clone(), name.clone());
        let mut reports = self.reports();
        reports.statuses.insert(id.clone(), (podconfig, status));
        reports.render(&id);
    }

    pub fn remove_podconfig(&self, namespace: &str, name: &str) {
        let id = (namespace.to_owned(), name.to_owned());
        let mut reports = self.reports();
        reports.statuses.remove(&id);
        reports.render(&id);
    }

    pub fn write_refusals(&self, refusals: &[Refusal]) {
        let mut reports = self.reports();
        match yaml(&json!({ "refused": refusals })) {
            _ if refusals.is_empty() => reports.files.remove(REFUSED.into()),
            Some(text) => reports
                .files
                .write(REFUSED.into(), format!("{REFUSED_HEAD}{text}")),
            None => {}
        }
    }

    /// Removes all other reports: for the start, when the folder may hold stale ones.
    pub fn keep_only<'a>(
        &self,
        pods: impl IntoIterator<Item = (&'a str, &'a str)>,
        podconfigs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) {
        let pods = pods
            .into_iter()
            .filter_map(|(ns, name)| report_path("podreport", Some(ns), Some(name)));
        let podconfigs = podconfigs
            .into_iter()
            .filter_map(|(ns, name)| report_path("podconfig", Some(ns), Some(name)));
        let mut reports = self.reports();
        let faulty = reports
            .manifests
            .iter()
            .filter(|(_, (manifest, _))| manifest.error.is_some());
        let faulty =
            faulty.filter_map(|((ns, name), _)| report_path("podconfig", Some(ns), Some(name)));
        let kept: BTreeSet<PathBuf> = pods.chain(podconfigs).chain(faulty).collect();
        for path in reports.files.present() {
            if is_ours(&path) && !kept.contains(&path) {
                reports.files.remove(path);
            }
        }
    }

    /// Retries writes that failed on a full or read-only disk; true if none is left.
    pub fn retry(&self) -> bool {
        self.reports().files.retry()
    }

    pub fn folder(&self) -> PathBuf {
        self.reports().files.root().to_owned()
    }

    /// Sets origin and errors of a PodConfig's manifest.
    pub(super) fn set_manifest_status(&self, namespace: &str, name: &str, status: ManifestStatus) {
        let id = (namespace.to_owned(), name.to_owned());
        let mut reports = self.reports();
        let before = reports.manifests.get(&id).cloned();
        let (before, since) = before
            .map_or((ManifestStatus::default(), None), |(status, since)| {
                (status, Some(since))
            });
        if before == status {
            return;
        }
        // A file that the controller is about to write or remove is not written for its origin alone.
        let shown = before.error != status.error
            || status.origin.is_some()
            || !reports.statuses.contains_key(&id);
        if status == ManifestStatus::default() {
            reports.manifests.remove(&id);
        } else {
            let since = since
                .filter(|_| before.error.is_some())
                .unwrap_or_else(|| Time(Timestamp::now()));
            reports.manifests.insert(id.clone(), (status, since));
        }
        if shown {
            reports.render(&id);
        }
    }

    fn reports(&self) -> MutexGuard<'_, ReportFiles> {
        // State is replaced as a whole, so a panic in between leaves no partial update.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReportFiles {
    fn render(&mut self, id: &Id) {
        let Some(path) = report_path("podconfig", Some(&id.0), Some(&id.1)) else {
            return tracing::error!(?id, "PodConfig without a valid name; not written");
        };
        let manifest = self.manifests.get(id);
        let origin = manifest.and_then(|(manifest, _)| manifest.origin.as_deref());
        let error =
            manifest.and_then(|(manifest, since)| Some((manifest.error.as_deref()?, since)));
        let value = match (self.statuses.get(id), error) {
            (Some(known), error) => Some(with_status(known, origin, error)),
            // The controller writes the status of the version in force.
            (None, _) if origin.is_some() => return,
            (None, Some((error, since))) => Some(never_valid(id, error, since)),
            (None, None) => None,
        };
        match value {
            Some(value) => self.write(path, &value),
            None => self.files.remove(path),
        }
    }

    fn write(&mut self, path: PathBuf, value: &Value) {
        if let Some(text) = yaml(value) {
            self.files.write(path, text);
        }
    }
}

fn with_status(
    (podconfig, status): &(Arc<PodConfig>, PodConfigStatus),
    origin: Option<&str>,
    error: Option<(&str, &Time)>,
) -> Value {
    let mut podconfig = (**podconfig).clone();
    podconfig.status = Some(status.clone());
    if let Some(origin) = origin {
        let annotations = podconfig.metadata.annotations.get_or_insert_default();
        annotations.insert(ORIGIN.into(), origin.into());
    }
    if let Some((error, since)) = error {
        let conditions = &mut podconfig.status.get_or_insert_default().conditions;
        conditions.retain(|condition| condition.type_ != "Degraded");
        conditions.push(invalid("Degraded", "True", error, since));
    }
    json!(podconfig)
}

/// A PodConfig without a valid version.
fn never_valid(id: &Id, error: &str, since: &Time) -> Value {
    let conditions = [
        invalid("Ready", "False", error, since),
        invalid("Degraded", "True", error, since),
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

/// The path of a report below the folder; `None` for a name that Kubernetes would reject.
fn report_path(kind: &str, namespace: Option<&str>, name: Option<&str>) -> Option<PathBuf> {
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

fn is_ours(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    (name.starts_with("podreport-") || name.starts_with("podconfig-")) && name.ends_with(".yaml")
}

fn yaml(value: &impl Serialize) -> Option<String> {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let mut text = String::new();
    match serde_saphyr::to_fmt_writer_with_options(&mut text, value, options) {
        Ok(()) => Some(text),
        Err(error) => {
            tracing::error!(%error, "cannot serialise a report");
            None
        }
    }
}

#[cfg(test)]
mod tests;

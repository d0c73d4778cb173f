//! The metadata that an API server assigns: uid, creation time, generation. It is restored from the status files,
//! so that after a restart the older of two objects is still the older one.

use std::{collections::HashMap, fs, io::Read, path::Path, time::SystemTime};

use crds::{PodConfig, PodConfigSpec};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use serde_json::Value;
use sha2::{Digest, Sha256};
use store::kinds::ObjectKind;

use super::key::ManifestKey;

/// Annotation in a status file: the manifest that provided the spec.
pub const ORIGIN: &str = "podconfig.dev/manifest";
/// A status file holds the spec and little else.
const MAX_BYTES: u64 = 4 << 20;

#[derive(Default)]
pub struct Identities {
    known: HashMap<ManifestKey, Identity>,
}

struct Identity {
    created: Time,
    generation: i64,
    spec: Fingerprint,
}

/// Hash of a spec, to detect changes without a second copy.
type Fingerprint = [u8; 32];

fn fingerprint(spec: &PodConfigSpec) -> Fingerprint {
    // A spec that cannot be serialised counts as empty; none such was ever parsed.
    let written = serde_json::to_vec(spec).unwrap_or_default();
    Sha256::digest(written).into()
}

/// The content of a status file of an earlier run.
pub struct PersistedObject {
    pub key: ManifestKey,
    pub origin: Option<String>,
    /// The version that was in force.
    pub object: Value,
}

impl Identities {
    /// Restores assigned metadata from the status files; unreadable files are ignored.
    pub fn load(reports: &Path) -> (Self, Vec<PersistedObject>) {
        let (mut identities, mut all) = (Self::default(), Vec::new());
        for object in status_files(reports) {
            if let Some(persisted) = identities.restore(object) {
                all.push(persisted);
            }
        }
        (identities, all)
    }

    fn restore(&mut self, mut object: Value) -> Option<PersistedObject> {
        let podconfig: PodConfig = serde_json::from_value(object.clone()).ok()?;
        let metadata = podconfig.metadata;
        let key = ManifestKey {
            kind: ObjectKind::PodConfig,
            namespace: metadata.namespace?,
            name: metadata.name?,
        };
        let generation = metadata.generation.filter(|generation| *generation > 0)?;
        let identity = Identity {
            created: metadata.creation_timestamp?,
            generation,
            spec: fingerprint(&podconfig.spec),
        };
        let origin = take_assigned(&mut object);
        self.known.insert(key.clone(), identity);
        Some(PersistedObject {
            key,
            origin,
            object,
        })
    }

    /// Sets the object's assigned metadata; `seen` is when it was first seen.
    pub fn stamp(&mut self, key: &ManifestKey, podconfig: &mut PodConfig, seen: SystemTime) {
        let metadata = &mut podconfig.metadata;
        let spec = fingerprint(&podconfig.spec);
        let identity = self.known.entry(key.clone()).or_insert_with(|| Identity {
            created: whole_seconds(seen),
            generation: 1,
            spec,
        });
        if identity.spec != spec {
            identity.spec = spec;
            identity.generation = identity.generation.saturating_add(1);
        }
        metadata.uid = metadata
            .uid
            .take()
            .filter(|uid| !uid.is_empty())
            .or_else(|| Some(uid(key)));
        metadata
            .creation_timestamp
            .get_or_insert_with(|| identity.created.clone());
        metadata.generation = Some(identity.generation);
    }

    pub fn forget(&mut self, key: &ManifestKey) {
        self.known.remove(key);
    }

    pub fn keep(&mut self, wanted: impl Fn(&ManifestKey) -> bool) {
        self.known.retain(|key, _| wanted(key));
    }
}

/// Removes the assigned metadata; returns the manifest that the object came from.
fn take_assigned(object: &mut Value) -> Option<String> {
    let metadata = object.get_mut("metadata")?.as_object_mut()?;
    metadata.remove("generation");
    metadata.remove("creationTimestamp");
    let annotations = metadata.get_mut("annotations")?.as_object_mut()?;
    let origin = annotations.remove(ORIGIN)?.as_str()?.to_owned();
    if annotations.is_empty() {
        metadata.remove("annotations");
    }
    Some(origin)
}

/// In the API's resolution, so that objects sort the same after a restart.
fn whole_seconds(time: SystemTime) -> Time {
    let time = time.min(SystemTime::now());
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or_default();
    Time(Timestamp::from_second(seconds).unwrap_or_default())
}

/// Derived from the key: the same on every start and every machine.
pub fn uid(key: &ManifestKey) -> String {
    let hash = Sha256::digest(format!("{key}").as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    // Version 8 (custom), variant 1.
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

fn status_files(reports: &Path) -> Vec<Value> {
    let folders = fs::read_dir(reports).into_iter().flatten().flatten();
    let files =
        folders.flat_map(|folder| fs::read_dir(folder.path()).into_iter().flatten().flatten());
    let status = files.filter(|file| {
        let name = file.file_name();
        let name = name.to_string_lossy();
        name.starts_with("podconfig-")
            && name.ends_with(".yaml")
            && file.file_type().is_ok_and(|kind| kind.is_file())
    });
    status
        .filter_map(|file| status_file(&file.path()))
        .collect()
}

fn status_file(path: &Path) -> Option<Value> {
    let mut text = String::new();
    fs::File::open(path)
        .ok()?
        .take(MAX_BYTES)
        .read_to_string(&mut text)
        .ok()?;
    serde_saphyr::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;

    fn key() -> ManifestKey {
        ManifestKey {
            kind: ObjectKind::PodConfig,
            namespace: "t".into(),
            name: "x".into(),
        }
    }

    fn podconfig(link: &str) -> PodConfig {
        let link = serde_json::json!({"name": link, "veth": {"bridge": "blue"}});
        let spec = serde_json::json!({"podSelector": {}, "links": [link]});
        PodConfig::new("x", serde_json::from_value(spec).unwrap())
    }

    #[test]
    fn a_uid_is_the_same_every_time_and_has_the_form_of_one() {
        assert_eq!(uid(&key()), uid(&key()));
        assert_ne!(
            uid(&key()),
            uid(&ManifestKey {
                name: "y".into(),
                ..key()
            })
        );
        let groups: Vec<usize> = uid(&key()).split('-').map(str::len).collect();
        assert_eq!(groups, [8, 4, 4, 4, 12]);
    }

    #[test]
    fn the_generation_counts_changes_of_the_spec_alone() {
        let mut identities = Identities::default();
        let mut generations = Vec::new();
        for link in ["a", "a", "b", "b", "a"] {
            let mut podconfig = podconfig(link);
            podconfig.metadata.labels = Some([("n".into(), generations.len().to_string())].into());
            identities.stamp(&key(), &mut podconfig, SystemTime::now());
            generations.push(podconfig.metadata.generation.unwrap());
        }
        assert_eq!(generations, [1, 1, 2, 2, 3]);
    }

    #[test]
    fn a_file_from_the_future_was_made_now() {
        let mut podconfig = podconfig("a");
        let future = SystemTime::now() + Duration::from_secs(1 << 30);
        Identities::default().stamp(&key(), &mut podconfig, future);
        assert!(podconfig.metadata.creation_timestamp.unwrap().0 <= Timestamp::now());
    }

    #[test]
    fn what_the_manifest_says_of_itself_is_kept() {
        let mut podconfig = podconfig("a");
        podconfig.metadata.uid = Some("mine".into());
        podconfig.metadata.creation_timestamp = Some(Time(Timestamp::from_second(7).unwrap()));
        Identities::default().stamp(&key(), &mut podconfig, SystemTime::now());
        assert_eq!(podconfig.metadata.uid.unwrap(), "mine");
        assert_eq!(
            podconfig.metadata.creation_timestamp.unwrap().0.as_second(),
            7
        );
    }
}

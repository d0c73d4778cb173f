//! The whole source, on real folders and with the kernel's own events.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use serde_json::Value;
use store::{Stores, Trigger, kinds::ObjectKind};
use tempfile::TempDir;

use super::{Directory, FileSink, Options, is_manifest};

mod editors;
mod hostile;
mod life;
mod odd_files;
mod status;

/// A bound for what must happen, not a measure: machines stall.
const SOON: Duration = Duration::from_secs(30);
/// Long enough for everything that is held back to have happened.
const QUIET: Duration = Duration::from_millis(150);

pub struct Stage {
    root: TempDir,
    pub stores: Stores,
    pub sink: FileSink,
    pub triggers: Receiver<Trigger>,
    source: Option<Directory>,
}

/// Enough of an API server for these tests.
pub fn admit(kind: &str, value: Value) -> Result<Value, Vec<(String, String)>> {
    let links = value.pointer("/spec/links").and_then(Value::as_array);
    let mut faults = Vec::new();
    if kind == "PodConfig" && links.is_none_or(Vec::is_empty) {
        faults.push(("spec.links".into(), "is missing or empty".into()));
    }
    for (index, link) in links.into_iter().flatten().enumerate() {
        match link.get("mtu") {
            Some(mtu) if mtu.as_i64().is_none_or(|mtu| mtu > 65535) => {
                faults.push((
                    format!("spec.links[{index}].mtu"),
                    format!("{mtu} is more than 65535"),
                ));
            }
            _ => {}
        }
    }
    if faults.is_empty() {
        Ok(value)
    } else {
        Err(faults)
    }
}

impl Stage {
    pub fn new(files: &[(&str, &str)]) -> Self {
        let root = TempDir::new().unwrap();
        fs::create_dir(root.path().join("manifests")).unwrap();
        for (name, text) in files {
            fs::write(root.path().join("manifests").join(name), text).unwrap();
        }
        Self::on(root)
    }

    fn on(root: TempDir) -> Self {
        let options = options(&root);
        let (tell, triggers) = channel();
        let notify = move |trigger| drop(tell.send(trigger));
        let (stores, sink, source) = Directory::start(&options, Box::new(admit), notify).unwrap();
        Self {
            root,
            stores,
            sink,
            triggers,
            source: Some(source),
        }
    }

    /// The daemon dies, whatever happens to the folders while it is dead, and it is started again.
    pub fn restart(mut self, meanwhile: impl FnOnce(&Self)) -> Self {
        drop(self.source.take());
        meanwhile(&self);
        Self::on(self.root)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join("manifests").join(name)
    }
    pub fn records(&self) -> PathBuf {
        self.root.path().join("records")
    }
    pub fn report(&self, page: &str) -> PathBuf {
        self.root.path().join("reports").join(page)
    }
    pub fn yaml(&self, page: &str) -> Value {
        serde_saphyr::from_str(&fs::read_to_string(self.report(page)).unwrap()).unwrap()
    }

    /// As careful programs do: a temporary name, then a rename.
    pub fn put(&self, name: &str, text: &str) {
        let temporary = self.path(&format!(".{name}.new"));
        fs::write(&temporary, text).unwrap();
        fs::rename(temporary, self.path(name)).unwrap();
    }
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }
    pub fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    pub fn next(&self) -> Trigger {
        self.triggers.recv_timeout(SOON).unwrap()
    }
    pub fn silence(&self) {
        let trigger = self.triggers.recv_timeout(QUIET);
        assert!(
            trigger.is_err(),
            "nothing should have changed, but: {trigger:?}"
        );
    }

    pub fn mtu(&self, namespace: &str, name: &str) -> Option<i32> {
        self.stores.podconfig(namespace, name)?.spec.links[0].mtu
    }
    pub fn refusals(&self) -> Vec<String> {
        self.stores
            .refusals()
            .iter()
            .map(ToString::to_string)
            .collect()
    }
    /// Waits for an error with these words.
    pub fn refused(&self, words: &str) -> String {
        until(
            || {
                self.refusals()
                    .into_iter()
                    .find(|refusal| refusal.contains(words))
            },
            || format!("no error with {words:?}: {:?}", self.refusals()),
        )
    }
    pub fn nothing_refused(&self) {
        until(
            || self.refusals().is_empty().then_some(()),
            || format!("{:?}", self.refusals()),
        );
    }
}

pub fn until<T>(look: impl Fn() -> Option<T>, failure: impl Fn() -> String) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < SOON, "{}", failure());
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub fn options(root: &TempDir) -> Options {
    let manifests = root.path().join("manifests");
    Options {
        reports: root.path().join("reports"),
        manifests,
        records: root.path().join("records"),
    }
}

pub fn podconfig(namespace: &str, name: &str, mtu: i64) -> String {
    format!(
        "apiVersion: podconfig.dev/v1alpha1\nkind: PodConfig\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
         spec:\n  podSelector: {{}}\n  links:\n  - name: data0\n    veth: {{bridge: blue}}\n    mtu: {mtu}\n"
    )
}

pub fn pod(namespace: &str, name: &str, app: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: {namespace}, labels: {{app: {app}}}}}\n\
         spec: {{containers: [{{name: c, image: i}}]}}\n"
    )
}

pub fn changed(name: &str) -> Trigger {
    Trigger::Object(ObjectKind::PodConfig, ("t".into(), name.into()))
}

#[test]
fn temporaries_of_editors_are_no_manifests() {
    for name in [
        ".a.yaml.swp",
        ".a.yaml",
        "#a.yaml#",
        ".#a.yaml",
        "a.yaml~",
        "4913",
        "a.yaml.tmp",
        "~a.yaml",
        ".yaml",
        "a.txt",
        "..data",
    ] {
        assert!(!is_manifest(name), "{name}");
    }
    for name in ["a.yaml", "a.yml", "a.json", "a.b.yaml"] {
        assert!(is_manifest(name), "{name}");
    }
}

#[test]
fn everything_is_there_when_the_source_has_started() {
    let policy = "apiVersion: podconfig.dev/v1alpha1\nkind: PodConfigPolicy\nmetadata: {name: p}\nspec: {namespaceSelector: {}}\n";
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: t, labels: {tier: cnf}}\n";
    let all = [
        &podconfig("t", "x", 1500),
        policy,
        namespace,
        &pod("t", "p", "web"),
    ]
    .join("---\n");
    let stage = Stage::new(&[("all.yaml", &all)]);
    assert_eq!(stage.mtu("t", "x"), Some(1500));
    assert_eq!(stage.stores.policies().len(), 1);
    assert_eq!(stage.stores.namespace_labels("t")["tier"], "cnf");
    let labels = stage.stores.pod("t", "p").unwrap().metadata.labels.clone();
    assert_eq!(labels, Some(BTreeMap::from([("app".into(), "web".into())])));
    stage.silence();
}

#[test]
fn a_folder_that_is_not_there_is_an_error_at_the_start() {
    let root = TempDir::new().unwrap();
    let error = Directory::start(&options(&root), Box::new(admit), |_| {})
        .err()
        .unwrap();
    assert!(
        error.to_string().contains("manifests: No such file"),
        "{error}"
    );
}

#[test]
fn one_folder_cannot_serve_two_purposes() {
    let root = TempDir::new().unwrap();
    fs::create_dir(root.path().join("manifests")).unwrap();
    let manifests = root.path().join("manifests");
    let both = Options {
        records: manifests.clone(),
        ..options(&root)
    };
    assert!(Directory::start(&both, Box::new(admit), |_| {}).is_err());
    let both = Options {
        reports: manifests,
        ..options(&root)
    };
    assert!(Directory::start(&both, Box::new(admit), |_| {}).is_err());
}

#[test]
fn the_source_ends_when_it_is_dropped() {
    let mut stage = Stage::new(&[]);
    let start = Instant::now();
    drop(stage.source.take());
    assert!(start.elapsed() < Duration::from_secs(1));
    stage.put("a.yaml", &podconfig("t", "x", 1500));
    assert!(stage.triggers.recv_timeout(QUIET).is_err());
}

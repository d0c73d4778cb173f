//! The objects in `tests/fixtures/networks` are in the shape that each project documents.
#![allow(clippy::unwrap_used)]

use std::{fs, path::Path};

use super::*;

fn fixture(name: &str) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/networks");
    let text = fs::read_to_string(folder.join(format!("{name}.yaml"))).unwrap();
    let documents = text.split("\n---\n");
    documents
        .map(|document| serde_saphyr::from_str(document).unwrap())
        .collect()
}

/// Under which headings an object is asked for.
fn headings(object: &Value) -> impl Iterator<Item = &'static SourceKind> {
    let root = Field::root(object);
    let text = |field: &str| root.at(field).text().unwrap_or_default().to_owned();
    let (kind, version) = (text("kind"), text("apiVersion"));
    let group = version
        .split_once('/')
        .map_or("", |(group, _)| group)
        .to_owned();
    let (namespace, name) = (text("metadata.namespace"), text("metadata.name"));
    let component = text("metadata.labels.component");
    ALL.iter().filter(move |source| {
        let is_it = match source.selector {
            Selector::All => true,
            Selector::Named(at, called) => (at, called) == (&namespace, &name),
            Selector::Labelled(at, label) => {
                at == namespace && label == format!("component={component}")
            }
        };
        (source.group, source.kind) == (&group, &kind) && is_it
    })
}

fn extracted(name: &str) -> Extracted {
    let mut all = Extracted::default();
    for object in fixture(name) {
        let mut kind = headings(&object).peekable();
        assert!(kind.peek().is_some(), "nobody asks for {object}");
        for kind in kind {
            let extracted = read(kind, &object);
            all.networks.extend(extracted.networks);
            all.errors.extend(extracted.errors);
            all.warnings.extend(extracted.warnings);
        }
    }
    all
}

/// Each network in a line.
fn lines(extracted: &Extracted) -> Vec<String> {
    let line = |network: &crds::ReservedNetwork| {
        let crds::ReservedNetwork {
            prefix,
            usage,
            source,
            kind,
            object,
            field,
            ..
        } = network;
        format!("{prefix} {usage:?} {source} {kind} {object} {field}")
    };
    extracted.networks.iter().map(line).collect()
}

fn assert_says(name: &str, expected: &str) {
    let extracted = extracted(name);
    let expected: Vec<&str> = expected
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    assert_eq!(lines(&extracted).join("\n"), expected.join("\n"), "{name}");
    assert_eq!(extracted.errors, [""; 0], "{name}");
}

mod clusters;
mod hostile;
mod plugins;

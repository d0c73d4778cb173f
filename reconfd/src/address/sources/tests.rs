//! The objects in `tests/fixtures/networks` are in the shape that each project documents.
#![allow(clippy::unwrap_used)]

use std::{fs, path::Path};

use super::*;

fn fixture(name: &str) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/networks");
    let text = fs::read_to_string(folder.join(format!("{name}.yaml"))).unwrap();
    let documents = text.split("\n---\n");
    documents
        .map(|document| serde_saphyr::from_str(document).unwrap())
        .collect()
}

/// Under which headings an object is asked for.
fn headings(object: &Value) -> impl Iterator<Item = &'static Asked> {
    let root = Field::root(object);
    let text = |field: &str| root.at(field).text().unwrap_or_default().to_owned();
    let (kind, version) = (text("kind"), text("apiVersion"));
    let group = version
        .split_once('/')
        .map_or("", |(group, _)| group)
        .to_owned();
    let (namespace, name) = (text("metadata.namespace"), text("metadata.name"));
    let component = text("metadata.labels.component");
    ALL.iter().filter(move |asked| {
        let is_it = match asked.which {
            Which::All => true,
            Which::Named(at, called) => (at, called) == (&namespace, &name),
            Which::Labelled(at, label) => {
                at == namespace && label == format!("component={component}")
            }
        };
        (asked.group, asked.kind) == (&group, &kind) && is_it
    })
}

fn said(name: &str) -> Said {
    let mut all = Said::default();
    for object in fixture(name) {
        let mut asked = headings(&object).peekable();
        assert!(asked.peek().is_some(), "nobody asks for {object}");
        for asked in asked {
            let said = read(asked, &object);
            all.networks.extend(said.networks);
            all.faults.extend(said.faults);
            all.remarks.extend(said.remarks);
        }
    }
    all
}

/// Each network in a line.
fn lines(said: &Said) -> Vec<String> {
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
    said.networks.iter().map(line).collect()
}

fn assert_says(name: &str, expected: &str) {
    let said = said(name);
    let expected: Vec<&str> = expected
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    assert_eq!(lines(&said).join("\n"), expected.join("\n"), "{name}");
    assert_eq!(said.faults, [""; 0], "{name}");
}

mod clusters;
mod hostile;
mod plugins;

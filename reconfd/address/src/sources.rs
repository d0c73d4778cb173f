//! Pure: the Kubernetes objects that describe the networks of a cluster, and their parsers. A field that cannot be
//! parsed makes its source unknown, unless a tenant wrote it.

use serde_json::Value;

mod attachments;
/// All source kinds.
pub mod catalogue;
/// Collects the networks of one object, field by field.
mod extract;
/// A field with its path.
mod field;
mod kubernetes;
mod openshift;
mod plugins;
mod pools;
mod settings;
/// A span of addresses as networks.
pub mod span;

pub use self::{
    catalogue::{ALL, Selector, SourceKind},
    extract::{Extracted, Extractor, Writer},
};
use field::Field;

/// Extracts the networks of an object of this kind.
pub fn read(kind: &SourceKind, object: &Value) -> Extracted {
    let root = Field::root(object);
    let text = |field: &str| root.at(field).text().unwrap_or_default().to_owned();
    let (namespace, name) = (text("metadata.namespace"), text("metadata.name"));
    let mut out = Extractor {
        source: kind.source,
        kind: kind.kind_and_group(),
        object: match namespace.as_str() {
            "" => name,
            namespace => format!("{namespace}/{name}"),
        },
        writer: kind.writer,
        extracted: Extracted::default(),
    };
    (kind.read)(&root, &mut out);
    out.extracted
}

impl SourceKind {
    /// `IPPool.crd.projectcalico.org`, `Node`.
    pub fn kind_and_group(&self) -> String {
        match self.group {
            "" => self.kind.to_owned(),
            group => format!("{}.{group}", self.kind),
        }
    }

    /// Description for status and logs: the kind, and the object if only one is selected.
    pub fn describe(&self) -> String {
        let kind = self.kind_and_group();
        match self.selector {
            Selector::All => kind,
            Selector::Named("", name) => format!("{kind} {name}"),
            Selector::Named(namespace, name) => format!("{kind} {namespace}/{name}"),
            Selector::Labelled(namespace, label) => format!("{kind} in {namespace} with {label}"),
        }
    }
}

#[cfg(test)]
mod tests;

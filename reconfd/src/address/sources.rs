//! Pure: who says where the networks of a cluster are, and what each object says. What is there and cannot
//! be understood makes its source unknown, unless a tenant wrote it.

use serde_json::Value;

mod attachments;
/// All kinds of objects that are asked.
pub mod catalogue;
/// What one object says, field by field.
mod extract;
/// A field with its path.
mod field;
mod kubernetes;
mod openshift;
mod plugins;
mod pools;
mod settings;
/// From one address to another.
pub mod span;

pub use self::{
    catalogue::{ALL, Selector, SourceKind},
    extract::{Extracted, Extractor, Writer},
};
use field::Field;

/// What an object says that is asked for under this heading.
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

    /// As it is told: the kind, and the object if it is one alone.
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

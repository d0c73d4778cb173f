//! Pure: who says where the networks of a cluster are, and what each object says. What is there and cannot
//! be understood makes its source unknown, unless a tenant wrote it.

use serde_json::Value;

mod attachments;
/// All kinds of objects that are asked.
pub mod catalogue;
/// A field with its path.
mod field;
mod kubernetes;
/// What one object says, field by field.
mod notes;
mod openshift;
mod plugins;
mod pools;
mod settings;
/// From one address to another.
pub mod span;

pub use self::{
    catalogue::{ALL, Asked, Which},
    notes::{Notes, Said, Writer},
};
use field::Field;

/// What an object says that is asked for under this heading.
pub fn read(asked: &Asked, object: &Value) -> Said {
    let root = Field::root(object);
    let text = |field: &str| root.at(field).text().unwrap_or_default().to_owned();
    let (namespace, name) = (text("metadata.namespace"), text("metadata.name"));
    let mut notes = Notes {
        source: asked.source,
        kind: asked.kind_and_group(),
        object: match namespace.as_str() {
            "" => name,
            namespace => format!("{namespace}/{name}"),
        },
        writer: asked.writer,
        said: Said::default(),
    };
    (asked.read)(&root, &mut notes);
    notes.said
}

impl Asked {
    /// `IPPool.crd.projectcalico.org`, `Node`.
    pub fn kind_and_group(&self) -> String {
        match self.group {
            "" => self.kind.to_owned(),
            group => format!("{}.{group}", self.kind),
        }
    }

    /// As it is told: the kind, and the object if it is one alone.
    pub fn told(&self) -> String {
        let kind = self.kind_and_group();
        match self.which {
            Which::All => kind,
            Which::Named("", name) => format!("{kind} {name}"),
            Which::Named(namespace, name) => format!("{kind} {namespace}/{name}"),
            Which::Labelled(namespace, label) => format!("{kind} in {namespace} with {label}"),
        }
    }
}

#[cfg(test)]
mod tests;

//! An object of a manifest, whatever its kind.

use std::{any::Any, fmt::Debug, sync::Arc};

use crds::PodConfig;
use kube::runtime::watcher::Event;
use kubeio::watch::key;
use serde_json::Value;

use store::{
    StoreWriter, Trigger,
    kinds::{FieldMessages, KindVisitor, ObjectKind, StoredKind, visit_stored},
};

pub type ManifestObject = dyn AnyObject;

/// An object of a stored kind.
pub trait AnyObject: Any + Debug + Send + Sync {
    fn is_equal(&self, other: &ManifestObject) -> bool;
    fn apply(&self, writer: &mut StoreWriter);
    fn delete(&self, writer: &mut StoreWriter);
    fn trigger(&self) -> Trigger;
}

impl<K: StoredKind> AnyObject for K {
    fn is_equal(&self, other: &ManifestObject) -> bool {
        let other: &dyn Any = other;
        let other = other.downcast_ref::<K>();
        other.is_some_and(|other| self.meta() == other.meta() && self.is_same(other))
    }

    fn apply(&self, writer: &mut StoreWriter) {
        writer.apply(&Event::Apply(self.clone()));
    }

    fn delete(&self, writer: &mut StoreWriter) {
        writer.apply(&Event::Delete(self.clone()));
    }

    fn trigger(&self) -> Trigger {
        K::trigger(key(self), self)
    }
}

impl PartialEq for ManifestObject {
    fn eq(&self, other: &Self) -> bool {
        self.is_equal(other)
    }
}

/// The object as a PodConfig, if it is one.
pub fn podconfig(object: &ManifestObject) -> Option<&PodConfig> {
    let object: &dyn Any = object;
    object.downcast_ref()
}

/// Parses an object of a kind that has passed the schema.
pub fn parse(kind: ObjectKind, value: Value) -> Result<Arc<ManifestObject>, FieldMessages> {
    let mut parser = Parser {
        kind,
        value: Some(value),
        result: Err(Vec::new()),
    };
    visit_stored(&mut parser);
    parser.result
}

struct Parser {
    kind: ObjectKind,
    value: Option<Value>,
    result: Result<Arc<ManifestObject>, FieldMessages>,
}

impl KindVisitor for Parser {
    fn visit<K: StoredKind>(&mut self) {
        if K::KIND == self.kind
            && let Some(value) = self.value.take()
        {
            let object = K::from_manifest(value);
            self.result = object.map(|object| Arc::new(object) as Arc<ManifestObject>);
        }
    }
}

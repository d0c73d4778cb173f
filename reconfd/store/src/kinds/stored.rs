//! How a kind is kept in a store: its form at the API, which versions are the same, its manifests, its trigger.

use std::fmt::Debug;

use crds::{PeerSlice, ReservedNetworks};
use kube::{
    Resource,
    core::{DeserializeGuard, error_boundary::InvalidObject, object::HasSpec},
    runtime::{
        reflector::store::{Store, Writer},
        watcher::Event,
    },
};
use kubeio::{api_scope::ApiScope, watch::ObjectKey};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{KindStores, KindWriters, ObjectKind, from_manifest::FieldMessages};
use crate::{NamespaceMeta, Trigger};

/// A kind that a daemon keeps in a store.
pub trait StoredKind: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static {
    const KIND: ObjectKind;
    /// Its form at the API.
    type Wire: Wire<Self>
        + Resource<DynamicType = (), Scope: ApiScope>
        + Clone
        + DeserializeOwned
        + Debug
        + Send
        + Sync
        + 'static;

    fn store(stores: &KindStores) -> &Store<Self>;
    fn writer(writers: &mut KindWriters) -> &mut Writer<Self>;
    /// Whether two versions of an object are the same in all fields that are used.
    fn is_same(&self, new: &Self) -> bool;
    fn from_manifest(value: Value) -> Result<Self, FieldMessages>;
    /// What a change of the object triggers.
    fn trigger(key: ObjectKey, object: &Self) -> Trigger;
}

/// An object as it is read from the API.
pub trait Wire<K> {
    fn parsed(self) -> Result<K, Box<InvalidObject>>;
}

impl<K> Wire<K> for K {
    fn parsed(self) -> Result<K, Box<InvalidObject>> {
        Ok(self)
    }
}

impl<K> Wire<K> for DeserializeGuard<K> {
    fn parsed(self) -> Result<K, Box<InvalidObject>> {
        self.0.map_err(Box::new)
    }
}

/// Does something for each stored kind.
pub trait KindVisitor {
    fn visit<K: StoredKind>(&mut self);
}

/// Makes an empty store ready for its readers.
pub fn initialize<K: StoredKind>(writers: &mut KindWriters) {
    let writer = K::writer(writers);
    writer.apply_watcher_event(&Event::Init);
    writer.apply_watcher_event(&Event::InitDone);
}

/// Lists the stored kinds.
macro_rules! stored_kinds {
    ($($store:ident: $object:ty as $kind:ident from $wire:ty, $same:expr, $parse:ident, $trigger:ident;)+) => {
        /// Read side of the stores of all kinds.
        #[derive(Clone)]
        pub struct KindStores { $($store: Store<$object>,)+ }

        /// Write side of the stores of all kinds.
        #[derive(Default)]
        pub struct KindWriters { $($store: Writer<$object>,)+ }

        impl KindWriters {
            pub fn stores(&self) -> KindStores {
                KindStores { $($store: self.$store.as_reader(),)+ }
            }

            /// Marks all stores as initialised, so that readers do not wait for empty ones.
            pub fn ready(&mut self) {
                $(initialize::<$object>(self);)+
            }
        }

        /// Calls the visitor for each stored kind.
        pub fn visit_stored(visitor: &mut impl KindVisitor) {
            $(visitor.visit::<$object>();)+
        }

        $(impl StoredKind for $object {
            const KIND: ObjectKind = ObjectKind::$kind;
            type Wire = $wire;

            fn store(stores: &KindStores) -> &Store<Self> {
                &stores.$store
            }
            fn writer(writers: &mut KindWriters) -> &mut Writer<Self> {
                &mut writers.$store
            }
            fn is_same(&self, new: &Self) -> bool {
                $same(self, new)
            }
            fn from_manifest(value: Value) -> Result<Self, FieldMessages> {
                $parse(value)
            }
            fn trigger(key: ObjectKey, object: &Self) -> Trigger {
                $trigger(key, object)
            }
        })+
    };
}
pub(super) use stored_kinds;

/// The same object and specification, not another object of its name.
pub fn is_same_object<K>(old: &K, new: &K) -> bool
where
    K: Resource + HasSpec<Spec: PartialEq>,
{
    let of = |object: &K| (object.meta().uid.clone(), object.meta().generation);
    old.spec() == new.spec() && of(old) == of(new)
}

pub fn has_same_spec<K: HasSpec<Spec: PartialEq>>(old: &K, new: &K) -> bool {
    old.spec() == new.spec()
}

pub fn has_same_labels(old: &NamespaceMeta, new: &NamespaceMeta) -> bool {
    old.metadata.labels == new.metadata.labels
}

/// The rest of them is when and by which scope they were written.
pub fn has_same_networks(old: &ReservedNetworks, new: &ReservedNetworks) -> bool {
    let (old, new) = (&old.spec, &new.spec);
    (&old.networks, &old.sources) == (&new.networks, &new.sources)
}

pub fn object_trigger<K: StoredKind>(key: ObjectKey, _: &K) -> Trigger {
    Trigger::Object(K::KIND, key)
}

/// A slice concerns the pods of its tunnel alone.
pub fn tunnel_trigger((namespace, _): ObjectKey, slice: &PeerSlice) -> Trigger {
    Trigger::PeerSlice {
        namespace,
        vni: slice.spec.vni,
        port: slice.spec.port,
    }
}

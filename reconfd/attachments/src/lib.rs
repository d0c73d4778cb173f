//! What CNI plugins attached to pods: the store on disk is the truth. Knows no Kubernetes, and runs no plugin.

/// Pure: one attachment as it is stored.
pub mod entry;
/// The folder of entries.
pub mod folder;

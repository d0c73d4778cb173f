//! Stories that disturb everybody, one after another; each leaves the cluster as it found it.

/// The API server comes and goes.
mod apiserver;
/// Who gives out addresses: many at once.
mod claims;
/// Daemons come and go.
mod daemon;
/// What podconfig writes is deleted.
mod deleted;
/// podconfig comes and goes.
mod install;
/// Where the networks of the cluster are.
mod networks;
/// A node goes away.
mod node;

//! Access to a Kubernetes API server: connection, watches, writes and Events. Knows Kubernetes, and nothing of what
//! the objects mean.

/// API handles by the scope of a kind.
pub mod api_scope;
/// Requests with a time limit, an error class and bounded concurrency.
pub mod api_writer;
/// Connection to the API server.
pub mod client;
/// A deadline that may not be set.
pub mod deadline;
/// Events on objects.
pub mod events;
/// Sync state of watches.
pub mod sync_state;
/// Watch of one kind of object.
pub mod watch;
/// Error classes of writes.
pub mod write_error;

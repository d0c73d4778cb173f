//! Access to a Kubernetes API server: connection, watches, writes and Events. Knows Kubernetes, and nothing of what
//! the objects mean.

/// Connection to the API server.
pub mod client;
/// A deadline that may not be set.
pub mod deadline;
/// Events on objects.
pub mod events;
/// Watch of one kind of object.
pub mod watch;
/// Error classes of writes.
pub mod write_error;

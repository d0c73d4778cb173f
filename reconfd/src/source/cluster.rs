//! The cluster source: the Kubernetes API.

/// The way to the API server.
pub mod client;
/// One kind of object, watched for good.
pub mod watch;

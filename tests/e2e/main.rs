//! Stories of a real cluster: `make e2e` brings it up, installs podconfig on it, and tells them.
//! They are run with the control plane's network around them, by `tests/cluster/node wire`.

#![allow(clippy::unwrap_used, clippy::panic)]

/// What an API server says to a PodConfig at once.
mod admission;
/// Stories that disturb everybody: daemons, nodes and the API server come and go. One after another.
mod alone;
/// Attachments by real CNI plugins, on an installation with a runner: after all others.
mod attachments;
/// Counted pings, as on throwaway nodes.
#[path = "../support/ping_stream.rs"]
#[allow(dead_code)]
mod ping_stream;
/// What the stories are told with.
mod support;
/// Stories that keep to namespaces of their own: side by side.
mod together;
/// The same waiting as everywhere.
#[path = "../support/wait.rs"]
#[allow(dead_code)]
mod wait;

//! The state machine against a model of a node: runner, kernel and disk, which can fail and stop at every step.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "node/crashes.rs"]
mod crashes;
#[path = "node/deleting.rs"]
mod deleting;
#[path = "node/fairness.rs"]
mod fairness;
#[path = "node/links.rs"]
mod links;
#[path = "node/model.rs"]
mod model;
#[path = "node/multus.rs"]
mod multus;
#[path = "node/random.rs"]
mod random;
#[path = "node/samples.rs"]
mod samples;
#[path = "node/withdrawn.rs"]
mod withdrawn;

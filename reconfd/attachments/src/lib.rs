//! What CNI plugins attached to pods, and what is to be attached: the store on disk is the truth, a pure state machine
//! decides, and an engine with threads of its own carries it out. Knows no Kubernetes, and runs no plugin itself.

/// `reconfd attachments`.
pub mod command;
/// Threads that carry out operations.
pub mod engine;
/// Pure: one attachment as it is stored.
pub mod entry;
/// The folder of entries.
pub mod folder;
/// Pure: rates and shares.
pub mod limits;
/// Pure: one operation on one attachment, as a state machine.
pub mod operation;
/// What runs plugins, and what knows pods and the node.
pub mod ports;
/// Pure: all attachments of a node.
pub mod state;
/// Pure: what is reported.
pub mod status;

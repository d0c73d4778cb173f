//! Requests of the daemon and responses of the runner.

use std::collections::{BTreeMap, BTreeSet};

use cni::{Command, FrozenChain, PluginError, Version, request::ValidAttachment};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One request per connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    pub operation: Operation,
    pub chain: FrozenChain,
    /// Of the network namespace that comes with the request.
    pub cookie: Option<u64>,
}

/// What the chain is executed for. ADD, CHECK and DEL come with the descriptor of the pod's network namespace; DEL
/// without one is for a namespace that is gone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Operation {
    /// The binaries, the versions that they support, and STATUS where the version has it.
    Preflight,
    /// Forward, each plugin with the result of the one before. Ends at the first error; nothing is deleted then.
    Add,
    /// Backward. `all`: the other plugins run as well when one fails.
    #[serde(rename_all = "camelCase")]
    Del {
        prev_result: Option<Value>,
        /// The places of the plugins that still have to succeed; none: all of them.
        which: Option<BTreeSet<usize>>,
        all: bool,
    },
    /// Forward, with the final result; every plugin runs.
    #[serde(rename_all = "camelCase")]
    Check {
        prev_result: Value,
        which: Option<BTreeSet<usize>>,
    },
    /// Of the chain's network: everything that is not among these is deleted.
    Gc { valid: Vec<ValidAttachment> },
}

/// What the daemon asks for beside executions: files of the node, which the runner alone sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FileRequest {
    /// What Multus has stored of an attachment.
    #[serde(rename_all = "camelCase")]
    MultusAttachment {
        container_id: String,
        ifname: String,
    },
    /// Removes it. Only what is libcni's file of that attachment is removed.
    #[serde(rename_all = "camelCase")]
    RemoveMultusAttachment {
        network: String,
        container_id: String,
        ifname: String,
    },
    /// What the node's own CNI configuration names.
    NodeNetworks,
    /// What the caches of the runtime, of Multus and of all installations of podconfig have of a network.
    CachedAttachments { network: String },
    /// The configuration of a network that a NetworkAttachmentDefinition only names.
    NodeConfiguration { network: String },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FileResponse {
    /// There is none; or there is none any more.
    Missing,
    Found {
        name: String,
        text: String,
    },
    NodeNetworks(NodeNetworks),
    Cached(CachedAttachments),
    Refused(String),
}

/// The node's own CNI configuration, which belongs to no tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeNetworks {
    /// The types of the plugins in the chains, without those that do their IPAM.
    pub types: BTreeSet<String>,
    /// The names of the networks.
    pub networks: BTreeSet<String>,
}

/// What others have attached of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CachedAttachments {
    pub attachments: BTreeSet<ValidAttachment>,
    /// Whether there is a cache of Multus at all.
    pub has_multus: bool,
}

/// What is sent on a connection.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Outgoing<'a> {
    Chain(&'a Request),
    File(&'a FileRequest),
}

/// What arrives on a connection.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Incoming {
    Chain(Box<Request>),
    File(FileRequest),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Response {
    Ran(Executed),
    /// No plugin has run.
    Refused(Refusal),
    /// Plugins may have run; what came of them is not known.
    Unknown(String),
}

/// What the execution of a chain came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Executed {
    /// In the order of their execution.
    pub steps: Vec<Step>,
    /// The final result of ADD, if all plugins succeeded.
    pub result: Option<Value>,
    /// Of an ADD that failed: the result of the last plugin that succeeded.
    #[serde(default)]
    pub partial: Option<Value>,
    /// Of a preflight: digests of the binaries, by type.
    #[serde(default)]
    pub digests: BTreeMap<String, String>,
    /// Of a preflight: the versions of the plugins that were asked for them, by type.
    #[serde(default)]
    pub versions: BTreeMap<String, Vec<Version>>,
}

/// One execution of a plugin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// The place in the chain.
    pub index: usize,
    pub plugin_type: String,
    pub command: Command,
    pub micros: u64,
    pub fault: Option<Fault>,
}

/// Why an execution did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Fault {
    Plugin(PluginError),
    /// It did not end within so many seconds.
    TimedOut(u64),
    /// It printed more than so many bytes.
    TooMuchOutput(usize),
    /// The processes of its chain took more than so many MiB of memory.
    TooMuchMemory(u64),
    /// Its chain had more than so many processes and threads.
    TooManyProcesses(u64),
    /// Its result is not valid.
    Result(String),
    /// It could not be executed.
    NotRun(String),
    /// Its DEL succeeded, and what it left on the node could not be deleted.
    Left(String),
}

/// Why no plugin has run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    pub kind: RefusalKind,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RefusalKind {
    /// The request is not valid, or its descriptor is not a pod's network namespace.
    Invalid,
    /// The node's list does not name a plugin, or its binary is not there or another one than before.
    Plugin,
    /// The jail could not be built.
    Jail,
}

impl Refusal {
    pub fn new(kind: RefusalKind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { kind, message }
    }
}

impl Executed {
    /// The first step that failed.
    pub fn first_fault(&self) -> Option<(&Step, &Fault)> {
        let mut steps = self.steps.iter();
        steps.find_map(|step| Some((step, step.fault.as_ref()?)))
    }
}

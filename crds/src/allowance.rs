//! `PodConfigAllowance`: what the PodConfigs of one namespace may use, all policies taken together. The
//! tenant's answer to "what may I use?", and what admission judges by.

// Each printer column has a type, and the lint takes that for a repetition.
#![allow(clippy::duplicated_attributes)]

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::policy::{Limits, NetAdmin, Rule};

/// The name of the one allowance that a namespace has.
pub const EFFECTIVE: &str = "effective";
/// How many rules an allowance holds.
pub const MOST_RULES: usize = 256;

/// What the policies that select this namespace allow.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "podconfig.dev",
    version = "v1alpha1",
    kind = "PodConfigAllowance",
    namespaced,
    shortname = "podcfgallowance",
    category = "podconfig-dev",
    doc = "Tells what the PodConfigs of this namespace may use: all policies that select it, taken \
           together. The one that counts is named `effective`. Written by the controller alone.",
    printcolumn(
        name = "Policies",
        type_ = "string",
        json_path = ".spec.summary.policies"
    ),
    printcolumn(name = "Rules", type_ = "integer", json_path = ".spec.summary.rules"),
    printcolumn(name = "Complete", type_ = "boolean", json_path = ".spec.complete"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct PodConfigAllowanceSpec {
    /// The installation of podconfig that serves the namespace.
    #[serde(default)]
    #[schemars(length(max = 20))]
    pub installation: String,
    /// The policies that select the namespace, by name, at most 256.
    #[serde(default)]
    #[schemars(
        length(max = 256),
        inner(length(max = 253)),
        extend("x-kubernetes-list-type" = "atomic")
    )]
    pub policies: Vec<String>,
    /// The rules of all of them, at most 256; one single rule must allow the whole link. None: no links.
    #[serde(default)]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "atomic"))]
    pub allow: Vec<Rule>,
    /// Of several policies, the highest of each limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// `UserNamespace`: a pod that may administer its network has links only with `hostUsers: false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub net_admin: Option<NetAdmin>,
    /// Whether admission can judge by the rules above. `false`: there are more rules than it can hold or
    /// weigh, and a PodConfig is judged by the nodes alone.
    #[serde(default)]
    pub complete: bool,
    /// The whole in a few words.
    #[serde(default)]
    pub summary: AllowanceSummary,
}

/// What the columns of `kubectl get` show.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AllowanceSummary {
    /// The names of the policies, commas between; at most 1024 characters.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    pub policies: String,
    /// How many rules there are: 0 to 16384.
    #[serde(default)]
    #[schemars(range(min = 0, max = 16384))]
    pub rules: i32,
}

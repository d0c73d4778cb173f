//! `PodConfigAllowance`: the effective policy of one namespace. It shows tenants what they may use, and the
//! admission policy evaluates it.

// Each printer column has a type, and the lint takes that for a repetition.
#![allow(clippy::duplicated_attributes)]

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::policy::{Limits, NetAdmin, Rule};

/// The name of a namespace's only effective allowance.
pub const EFFECTIVE: &str = "effective";
/// Maximum number of rules in an allowance.
pub const MOST_RULES: usize = 256;

/// Union of the policies that select the namespace.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "podconfig.dev",
    version = "v1alpha1",
    kind = "PodConfigAllowance",
    namespaced,
    shortname = "podcfgallowance",
    category = "podconfig-dev",
    doc = "What the PodConfigs of this namespace may use: the union of all policies that select it. \
           Only the object named `effective` applies. Written by the controller only.",
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
    /// The podconfig installation that serves the namespace.
    #[serde(default)]
    #[schemars(length(max = 20))]
    pub installation: String,
    /// Names of the policies that select the namespace, at most 256.
    #[serde(default)]
    #[schemars(
        length(max = 256),
        inner(length(max = 253)),
        extend("x-kubernetes-list-type" = "atomic")
    )]
    pub policies: Vec<String>,
    /// The rules of these policies, at most 256. A single rule must allow the whole link. Empty: no links.
    #[serde(default)]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "atomic"))]
    pub allow: Vec<Rule>,
    /// The highest value of each limit in these policies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// `UserNamespace`: a pod that may administer its network gets links only with `hostUsers: false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub net_admin: Option<NetAdmin>,
    /// Whether the admission policy can evaluate the rules above. `false`: there are too many rules, and only the
    /// nodes evaluate PodConfigs.
    #[serde(default)]
    pub complete: bool,
    /// Short summary.
    #[serde(default)]
    pub summary: AllowanceSummary,
}

/// Columns of `kubectl get`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AllowanceSummary {
    /// Names of the policies, comma-separated; at most 1024 characters.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    pub policies: String,
    /// Number of rules: 0 to 16384.
    #[serde(default)]
    #[schemars(range(min = 0, max = 16384))]
    pub rules: i32,
}

//! `AddressClaim`: the right of one link of one pod to one IP address. Its name is its address, so that its
//! creation is the lock: nobody else can have another of that name.

// Each printer column has a type, and the lint takes that for a repetition.
#![allow(clippy::duplicated_attributes)]

use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::shape;

/// The domain of a link that names none.
pub const DEFAULT_DOMAIN: &str = "cluster";

/// An address stays in its namespace for good.
const SAME_NAMESPACE: [(&str, &str); 1] = [("self == oldSelf", NOT_TAKEN_OVER)];
/// Who takes a claim over: a pod of the same name for the same link, the pod itself for another of its links, and
/// a successor, once the address was given back or to whom it is handed over.
const TAKEN_OVER: &str = "\
    self.spec.pod.name == oldSelf.spec.pod.name && \
    (self.spec.link == oldSelf.spec.link || self.spec.pod.uid == oldSelf.spec.pod.uid) || \
    has(self.spec.controller) && has(oldSelf.spec.controller) && \
    self.spec.controller == oldSelf.spec.controller && (has(oldSelf.spec.released) || \
    has(oldSelf.spec.successor) && oldSelf.spec.successor.pod.uid == self.spec.pod.uid)";
const NOT_TAKEN_OVER: &str = "a claim is taken over by a pod of the same namespace and name for the same link, or by a \
    successor: a pod of the same controller, when the address was given back or is handed over to it";

/// Who has an address.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "podconfig.dev",
    version = "v1alpha1",
    kind = "AddressClaim",
    category = "podconfig-dev",
    selectable = ".spec.node",
    doc = "Tells which link of which pod has an IP address. Written by the daemon of the pod's node; the \
           address is free when it is gone.",
    printcolumn(name = "Address", type_ = "string", json_path = ".spec.address"),
    printcolumn(name = "Namespace", type_ = "string", json_path = ".spec.pod.namespace"),
    printcolumn(name = "Pod", type_ = "string", json_path = ".spec.pod.name"),
    printcolumn(name = "Link", type_ = "string", json_path = ".spec.link"),
    printcolumn(name = "Node", type_ = "string", json_path = ".spec.node"),
    printcolumn(name = "Released", type_ = "date", json_path = ".spec.released"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    validation = Rule::new(name_rule()).message(
        "the name of a claim is its domain, a dot and its address; IPv6 with all 32 digits and dots for colons"
    ),
    validation = Rule::new(
        "self.spec.domain == oldSelf.spec.domain && self.spec.address == oldSelf.spec.address"
    ).message("a claim is to one address for good; delete it and make another"),
    validation = Rule::new(TAKEN_OVER).message(NOT_TAKEN_OVER)
)]
#[serde(rename_all = "camelCase")]
pub struct AddressClaimSpec {
    /// The domain inside which the address is one pod's alone: 1 to 63 lower-case letters, digits and `-`.
    #[schemars(schema_with = "shape::domain")]
    pub domain: String,
    /// The address, as short as it can be written.
    #[schemars(schema_with = "shape::claimed_address")]
    pub address: IpAddr,
    /// The pod that has it.
    pub pod: ClaimPod,
    /// The name of the link in that pod.
    #[schemars(length(min = 1, max = 15))]
    pub link: String,
    /// The name of the node that the pod runs on.
    #[schemars(length(min = 1, max = 253))]
    pub node: String,
    /// The installation of podconfig that made the claim.
    #[serde(default)]
    #[schemars(length(max = 20))]
    pub installation: String,
    /// When the link gave the address back. It rests for a while, before others may have it; the pod itself has
    /// it back at once, for any of its links. Absent: the link has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released: Option<Time>,
    /// What made the pod, such as `Deployment/web`: another pod of it may succeed this one. Absent: none may.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 320))]
    pub controller: String,
    /// The pod of the same controller that waits for the address. It is handed over as soon as the pod that has it
    /// ends and its link is gone; during a rollout already when the successor lacks nothing else to be ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<ClaimSuccessor>,
}

/// A pod that waits for the address of another pod of its controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClaimSuccessor {
    /// The pod that waits.
    pub pod: ClaimPod,
    /// The name of the link in that pod.
    #[schemars(length(min = 1, max = 15))]
    pub link: String,
    /// The name of the node that it runs on.
    #[schemars(length(min = 1, max = 253))]
    pub node: String,
    /// What the pod was made from, such as the name of a ReplicaSet.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub revision: String,
    /// When the pod was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Time>,
    /// Whether its containers are ready, and only the readiness gate of podconfig keeps it from being so.
    #[serde(default)]
    pub waits: bool,
}

/// The pod that has an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct ClaimPod {
    /// The pod's namespace.
    #[schemars(
        length(min = 1, max = 63),
        extend("x-kubernetes-validations" = shape::rules(&SAME_NAMESPACE))
    )]
    pub namespace: String,
    /// The pod's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The uid of the pod: another one is another pod of the same name.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
}

/// A forged name would go round the lock.
fn name_rule() -> String {
    let digits = "self.metadata.name.substring(size(self.spec.domain) + 1).replace('.', ':')";
    let of_ipv6 = format!(
        "size(self.metadata.name) == size(self.spec.domain) + 40 && self.metadata.name.startsWith(self.spec.domain + '.') \
         && isIP({digits}) && ip({digits}) == ip(self.spec.address)"
    );
    format!(
        "!isIP(self.spec.address) || (self.spec.address.contains(':') ? ({of_ipv6}) : self.metadata.name == self.spec.domain + '.' + self.spec.address)"
    )
}

/// The name of the claim to an address.
pub fn claim_name(domain: &str, address: IpAddr) -> String {
    format!("{domain}.{}", address_word(address))
}

/// An address as names and labels can have it.
pub fn address_word(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let groups = address.segments().map(|group| format!("{group:04x}"));
            groups.join(".")
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_called_as_its_address() {
        let name = |address: &str| claim_name("cluster", address.parse().unwrap());
        assert_eq!(name("10.99.0.10"), "cluster.10.99.0.10");
        assert_eq!(
            name("fd99::10"),
            "cluster.fd99.0000.0000.0000.0000.0000.0000.0010"
        );
        assert!(claim_name(&"d".repeat(63), "fd99::10".parse().unwrap()).len() <= 253);
    }
}

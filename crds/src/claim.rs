//! `AddressClaim`: assigns an IP address to one link of one pod. The name is derived from the address, so that its
//! creation acts as the lock: the API server rejects a second object with that name.

// Each printer column has a type, and the lint takes that for a repetition.
#![allow(clippy::duplicated_attributes)]

use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::shape;

/// Default routing domain of a link.
pub const DEFAULT_DOMAIN: &str = "cluster";

/// A claim never moves to another namespace.
const SAME_NAMESPACE: [(&str, &str); 1] = [("self == oldSelf", NOT_TAKEN_OVER)];
/// A claim may be taken over by a pod of the same name for the same link, by the pod itself for another of its
/// links, and by a successor after a release or a hand-over.
const TAKEN_OVER: &str = "\
    self.spec.pod.name == oldSelf.spec.pod.name && \
    (self.spec.link == oldSelf.spec.link || self.spec.pod.uid == oldSelf.spec.pod.uid) || \
    has(self.spec.controller) && has(oldSelf.spec.controller) && \
    self.spec.controller == oldSelf.spec.controller && (has(oldSelf.spec.released) || \
    has(oldSelf.spec.successor) && oldSelf.spec.successor.pod.uid == self.spec.pod.uid)";
const NOT_TAKEN_OVER: &str = "a claim is taken over by a pod of the same namespace and name for the same link, or by a \
    successor: a pod of the same controller, when the address was given back or is handed over to it";

/// Holder of an address.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "podconfig.dev",
    version = "v1alpha1",
    kind = "AddressClaim",
    category = "podconfig-dev",
    selectable = ".spec.node",
    doc = "Assigns an IP address to one link of one pod. Written by the daemon on the pod's node. The \
           address is free after its deletion.",
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
    /// The routing domain in which the address is unique: 1 to 63 lower-case letters, digits and `-`.
    #[schemars(schema_with = "shape::domain")]
    pub domain: String,
    /// The address in its shortest form.
    #[schemars(schema_with = "shape::claimed_address")]
    pub address: IpAddr,
    /// The pod that holds it.
    pub pod: ClaimPod,
    /// The name of the link in that pod.
    #[schemars(length(min = 1, max = 15))]
    pub link: String,
    /// The name of the node that the pod runs on.
    #[schemars(length(min = 1, max = 253))]
    pub node: String,
    /// The podconfig installation that created the claim.
    #[serde(default)]
    #[schemars(length(max = 20))]
    pub installation: String,
    /// When the link released the address. It is then quarantined before other pods may get it; the same pod may
    /// reuse it at once for any of its links. Absent: the link holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shape::time")]
    pub released: Option<Time>,
    /// The controller of the pod, such as `Deployment/web`: another of its pods may become the successor. Absent: none
    /// may.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 320))]
    pub controller: String,
    /// The pod of the same controller that waits for the address. It gets the address when the holder has terminated
    /// and its link is removed; during a rollout, already when the successor needs nothing else to become ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<ClaimSuccessor>,
}

/// A pod that waits for the address of another pod of its controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClaimSuccessor {
    /// The waiting pod.
    pub pod: ClaimPod,
    /// The name of the link in that pod.
    #[schemars(length(min = 1, max = 15))]
    pub link: String,
    /// The name of the node that it runs on.
    #[schemars(length(min = 1, max = 253))]
    pub node: String,
    /// Revision of the pod's controller, such as the name of a ReplicaSet.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub revision: String,
    /// When the pod was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shape::time")]
    pub created: Option<Time>,
    /// Whether its containers are ready and only podconfig's readiness gate keeps the pod from being ready.
    #[serde(default)]
    pub waits: bool,
}

/// The pod that holds an address.
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
    /// The UID of the pod; it distinguishes pods of the same name.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
}

/// The name must match the address: another name would bypass the lock.
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

/// The name of the claim of an address.
pub fn claim_name(domain: &str, address: IpAddr) -> String {
    format!("{domain}.{}", address_word(address))
}

/// An address in a form that is valid in names and labels.
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

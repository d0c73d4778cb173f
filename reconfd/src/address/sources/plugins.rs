//! Pure: what the plugins of the cluster network say: Calico, Cilium, OVN-Kubernetes, Kube-OVN.

use crds::reserved::Usage;
use serde_json::Value;

use super::{Notes, field::Field};

/// The VPC that the nodes are in; other VPCs may have any addresses.
const DEFAULT_VPC: &str = "ovn-cluster";

/// A pool that is disabled is still in use by the pods that have an address of it.
pub fn calico_pool(object: &Field<'_>, notes: &mut Notes) {
    let uses = object.at("spec.allowedUses");
    let has = |word: &str| uses.is_empty() || uses.items().any(|item| item.is(word));
    let usage = match (has("Workload"), has("Tunnel")) {
        (true, _) => Usage::Pods,
        (false, true) => Usage::Internal,
        (false, false) => Usage::Pool,
    };
    required(usage, &object.at("spec.cidr"), notes);
}

pub fn calico_block(object: &Field<'_>, notes: &mut Notes) {
    required(Usage::Pods, &object.at("spec.cidr"), notes);
}

pub fn calico_reservation(object: &Field<'_>, notes: &mut Notes) {
    notes.networks(Usage::Pool, &object.at("spec.reservedCIDRs"));
}

/// An object that says nothing of the one thing that it is there for is not understood.
fn required(usage: Usage, field: &Field<'_>, notes: &mut Notes) {
    match field.is_empty() {
        true => notes.fault(field, "this is missing"),
        false => notes.network(usage, field),
    }
}

pub fn cilium_node(object: &Field<'_>, notes: &mut Notes) {
    let ipam = object.at("spec.ipam");
    notes.networks(Usage::Pods, &ipam.at("podCIDRs"));
    for pool in notes.list(&ipam.at("pools.allocated")) {
        notes.networks(Usage::Pods, &pool.at("cidrs"));
    }
}

pub fn cilium_pool(object: &Field<'_>, notes: &mut Notes) {
    notes.networks(Usage::Pods, &object.at("spec.ipv4.cidrs"));
    notes.networks(Usage::Pods, &object.at("spec.ipv6.cidrs"));
}

pub fn cilium_balancer(object: &Field<'_>, notes: &mut Notes) {
    for field in ["spec.blocks", "spec.cidrs"] {
        for block in notes.list(&object.at(field)) {
            notes.network(Usage::Pool, &block.at("cidr"));
            let (first, last) = (block.at("start"), block.at("stop"));
            match last.is_empty() {
                true => notes.network(Usage::Pool, &first),
                false => notes.span(Usage::Pool, &first, &last),
            }
        }
    }
}

/// A tenant's own network: its addresses are that tenant's.
pub fn ovn_network(object: &Field<'_>, notes: &mut Notes) {
    topologies(&object.at("spec"), Usage::Pool, notes);
}

/// The network of several namespaces. Where it is what pods have instead of the cluster's, it is a pod network.
pub fn ovn_cluster_network(object: &Field<'_>, notes: &mut Notes) {
    topologies(&object.at("spec.network"), Usage::Pods, notes);
}

fn topologies(spec: &Field<'_>, primary: Usage, notes: &mut Notes) {
    for name in ["layer2", "layer3", "localnet"] {
        let topology = spec.at(name);
        if topology.is_empty() {
            continue;
        }
        let is_primary = topology.at("role").is("Primary");
        let usage = if is_primary { primary } else { Usage::Pool };
        for subnet in notes.list(&topology.at("subnets")) {
            match subnet.value.is_string() {
                true => notes.network(usage, &subnet),
                false => notes.network(usage, &subnet.at("cidr")),
            }
        }
        if is_primary && primary == Usage::Pods {
            join(&topology.at("joinSubnets"), notes);
        }
    }
}

/// A field that is empty has a value all the same, which its documentation tells.
fn join(field: &Field<'_>, notes: &mut Notes) {
    if !field.is_empty() {
        return notes.networks(Usage::Internal, field);
    }
    let text = Value::from("100.65.0.0/16,fd99::/64");
    let path = format!("{} (its default)", field.path);
    notes.network(Usage::Internal, &Field::named(&path, &text));
}

pub fn egress_ip(object: &Field<'_>, notes: &mut Notes) {
    notes.networks(Usage::Address, &object.at("spec.egressIPs"));
}

/// Subnets of other VPCs may overlap each other and the cluster by design, and no link of a pod elsewhere
/// meets them. Whether one of these links does, nobody here can tell: they are kept free unless a policy
/// says otherwise.
pub fn kube_ovn_subnet(object: &Field<'_>, notes: &mut Notes) {
    let spec = object.at("spec");
    let is_among = |field: Field<'_>, own: &[&str]| {
        field.is_empty() || field.text().is_some_and(|text| own.contains(&text))
    };
    let is_of_cluster = is_among(spec.at("vpc"), &[DEFAULT_VPC]);
    let is_first = is_among(spec.at("provider"), &["ovn"]);
    let usage = match (is_first, is_of_cluster, notes.object.as_str()) {
        (false, ..) => Usage::Pool,
        (true, true, "join") | (true, false, _) => Usage::Internal,
        (true, true, _) => Usage::Pods,
    };
    notes.network(usage, &spec.at("cidrBlock"));
}

pub fn kube_ovn_address(object: &Field<'_>, notes: &mut Notes) {
    for field in [
        "spec.v4ip",
        "spec.v6ip",
        "spec.v4Ip",
        "spec.v6Ip",
        "status.v4ip",
        "status.v6ip",
        "status.ip",
        "status.v4Ip",
        "status.v6Ip",
    ] {
        notes.network(Usage::Address, &object.at(field));
    }
}

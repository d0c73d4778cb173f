//! Pure: networks of cluster network plugins: Calico, Cilium, OVN-Kubernetes, Kube-OVN.

use crds::reserved::Usage;
use serde_json::Value;

use super::{Extractor, field::Field};

/// The VPC of the nodes; other VPCs may have any addresses.
const DEFAULT_VPC: &str = "ovn-cluster";

/// A disabled pool is still in use by the pods that have an address of it.
pub fn calico_pool(object: &Field<'_>, out: &mut Extractor) {
    let uses = object.at("spec.allowedUses");
    let has = |word: &str| uses.is_empty() || uses.items().any(|item| item.is(word));
    let usage = match (has("Workload"), has("Tunnel")) {
        (true, _) => Usage::Pods,
        (false, true) => Usage::Internal,
        (false, false) => Usage::Pool,
    };
    required(usage, &object.at("spec.cidr"), out);
}

pub fn calico_block(object: &Field<'_>, out: &mut Extractor) {
    required(Usage::Pods, &object.at("spec.cidr"), out);
}

pub fn calico_reservation(object: &Field<'_>, out: &mut Extractor) {
    out.networks(Usage::Pool, &object.at("spec.reservedCIDRs"));
}

/// An object without its essential field is not understood.
fn required(usage: Usage, field: &Field<'_>, out: &mut Extractor) {
    match field.is_empty() {
        true => out.error(field, "is missing"),
        false => out.network(usage, field),
    }
}

pub fn cilium_node(object: &Field<'_>, out: &mut Extractor) {
    let ipam = object.at("spec.ipam");
    out.networks(Usage::Pods, &ipam.at("podCIDRs"));
    for pool in out.list(&ipam.at("pools.allocated")) {
        out.networks(Usage::Pods, &pool.at("cidrs"));
    }
}

pub fn cilium_pool(object: &Field<'_>, out: &mut Extractor) {
    out.networks(Usage::Pods, &object.at("spec.ipv4.cidrs"));
    out.networks(Usage::Pods, &object.at("spec.ipv6.cidrs"));
}

pub fn cilium_balancer(object: &Field<'_>, out: &mut Extractor) {
    for field in ["spec.blocks", "spec.cidrs"] {
        for block in out.list(&object.at(field)) {
            out.network(Usage::Pool, &block.at("cidr"));
            let (first, last) = (block.at("start"), block.at("stop"));
            match last.is_empty() {
                true => out.network(Usage::Pool, &first),
                false => out.span(Usage::Pool, &first, &last),
            }
        }
    }
}

/// A tenant's own network: its addresses belong to that tenant.
pub fn ovn_network(object: &Field<'_>, out: &mut Extractor) {
    topologies(&object.at("spec"), Usage::Pool, out);
}

/// The network of several namespaces. If pods use it in place of the cluster's network, it is a pod network.
pub fn ovn_cluster_network(object: &Field<'_>, out: &mut Extractor) {
    topologies(&object.at("spec.network"), Usage::Pods, out);
}

fn topologies(spec: &Field<'_>, primary: Usage, out: &mut Extractor) {
    for name in ["layer2", "layer3", "localnet"] {
        let topology = spec.at(name);
        if topology.is_empty() {
            continue;
        }
        let is_primary = topology.at("role").is("Primary");
        let usage = if is_primary { primary } else { Usage::Pool };
        for subnet in out.list(&topology.at("subnets")) {
            match subnet.value.is_string() {
                true => out.network(usage, &subnet),
                false => out.network(usage, &subnet.at("cidr")),
            }
        }
        if is_primary && primary == Usage::Pods {
            join(&topology.at("joinSubnets"), out);
        }
    }
}

/// An empty field has a documented default.
fn join(field: &Field<'_>, out: &mut Extractor) {
    if !field.is_empty() {
        return out.networks(Usage::Internal, field);
    }
    let text = Value::from("100.65.0.0/16,fd99::/64");
    let path = format!("{} (its default)", field.path);
    out.network(Usage::Internal, &Field::named(&path, &text));
}

pub fn egress_ip(object: &Field<'_>, out: &mut Extractor) {
    out.networks(Usage::Address, &object.at("spec.egressIPs"));
}

/// Subnets of other VPCs may overlap each other and the cluster by design, and no link of a pod elsewhere reaches
/// them. It cannot be determined here whether a link does: they are kept free unless a policy exempts them.
pub fn kube_ovn_subnet(object: &Field<'_>, out: &mut Extractor) {
    let spec = object.at("spec");
    let is_among = |field: Field<'_>, own: &[&str]| {
        field.is_empty() || field.text().is_some_and(|text| own.contains(&text))
    };
    let is_of_cluster = is_among(spec.at("vpc"), &[DEFAULT_VPC]);
    let is_first = is_among(spec.at("provider"), &["ovn"]);
    let usage = match (is_first, is_of_cluster, out.object.as_str()) {
        (false, ..) => Usage::Pool,
        (true, true, "join") | (true, false, _) => Usage::Internal,
        (true, true, _) => Usage::Pods,
    };
    out.network(usage, &spec.at("cidrBlock"));
}

pub fn kube_ovn_address(object: &Field<'_>, out: &mut Extractor) {
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
        out.network(Usage::Address, &object.at(field));
    }
}

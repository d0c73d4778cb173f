//! Pure: networks of Kubernetes itself: ServiceCIDRs, nodes, the flags of its control plane, services and gateways.

use crds::reserved::{Source, Usage};

use super::{Extractor, field::Field};

pub fn service_cidr(object: &Field<'_>, out: &mut Extractor) {
    out.networks(Usage::Services, &object.at("spec.cidrs"));
}

pub fn node(object: &Field<'_>, out: &mut Extractor) {
    match object.at("spec.podCIDRs") {
        none if none.is_empty() => out.network(Usage::Pods, &object.at("spec.podCIDR")),
        networks => out.networks(Usage::Pods, &networks),
    }
    for address in object.at("status.addresses").items() {
        let kind = address.at("type");
        if kind.is("InternalIP") || kind.is("ExternalIP") {
            let address = address.at("address");
            out.network_of(Source::NodeAddresses, Usage::Address, &address);
        }
    }
}

/// The command-line flags of a static pod of the control plane.
pub fn control_plane(object: &Field<'_>, out: &mut Extractor) {
    for container in object.at("spec.containers").items() {
        let (command, args) = (container.at("command"), container.at("args"));
        let words: Vec<Field<'_>> = command.items().chain(args.items()).collect();
        for (at, word) in words.iter().enumerate() {
            flag(word, words.get(at + 1), out);
        }
    }
}

/// `--flag=value`, or `--flag` and the value as the next argument.
fn flag<'a>(word: &Field<'a>, next: Option<&Field<'a>>, out: &mut Extractor) {
    let text = word.text().unwrap_or_default();
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some((value, word.path.clone()))),
        None => {
            let value = next.and_then(|next| Some((next.text()?, next.path.clone())));
            (text, value)
        }
    };
    let usage = match name {
        "--cluster-cidr" => Usage::Pods,
        "--service-cluster-ip-range" => Usage::Services,
        _ => return,
    };
    if let Some((value, path)) = value {
        out.network(
            usage,
            &Field::named(&format!("{path} {name}"), &value.into()),
        );
    }
}

/// Addresses of load balancers count for all namespaces: no tenant writes a status. External addresses are whatever a
/// tenant writes, and count for that tenant alone.
pub fn service(object: &Field<'_>, out: &mut Extractor) {
    for ingress in object.at("status.loadBalancer.ingress").items() {
        out.network(Usage::Address, &ingress.at("ip"));
    }
    out.networks(Usage::Address, &object.at("spec.externalIPs"));
    let addresses = match object.at("spec.clusterIPs") {
        none if none.is_empty() => vec![object.at("spec.clusterIP")],
        addresses => addresses.items().collect(),
    };
    for address in addresses.iter().filter(|address| !address.is("None")) {
        out.network_of(Source::ServiceCIDR, Usage::Services, address);
    }
}

pub fn gateway(object: &Field<'_>, out: &mut Extractor) {
    for address in object.at("status.addresses").items() {
        let kind = address.at("type");
        // A host name is not used here; without a type it is an address.
        if kind.is_empty() || kind.is("IPAddress") {
            out.network(Usage::Address, &address.at("value"));
        }
    }
}

//! Pure: networks of OpenShift. An empty field has a documented default there.

use crds::reserved::{Source, Usage};
use serde_json::Value;

use super::{Extractor, attachments, field::Field};

/// Networks that OVN-Kubernetes uses internally: the fields that configure them, and the default. Before 4.17 the
/// masquerade network was a part of this one.
const INTERNAL: [(&[&str], &str); 6] = [
    (
        &["ipv4.internalJoinSubnet", "v4InternalSubnet"],
        "100.64.0.0/16",
    ),
    (
        &["ipv6.internalJoinSubnet", "v6InternalSubnet"],
        "fd98::/64",
    ),
    (&["ipv4.internalTransitSwitchSubnet"], "100.88.0.0/16"),
    (&["ipv6.internalTransitSwitchSubnet"], "fd97::/64"),
    (
        &["gatewayConfig.ipv4.internalMasqueradeSubnet"],
        "169.254.0.0/17",
    ),
    (
        &["gatewayConfig.ipv6.internalMasqueradeSubnet"],
        "fd69::/112",
    ),
];

/// Network.config.openshift.io: by its documentation the status counts, not the spec.
pub fn cluster(object: &Field<'_>, out: &mut Extractor) {
    cidrs(Usage::Pods, &object.at("status.clusterNetwork"), out);
    out.networks(Usage::Services, &object.at("status.serviceNetwork"));
    let external = object.at("spec.externalIP");
    out.networks(Usage::Pool, &external.at("autoAssignCIDRs"));
    out.networks(Usage::Pool, &external.at("policy.allowedCIDRs"));
}

/// Network.operator.openshift.io.
pub fn operator(object: &Field<'_>, out: &mut Extractor) {
    let spec = object.at("spec");
    cidrs(Usage::Pods, &spec.at("clusterNetwork"), out);
    out.networks(Usage::Services, &spec.at("serviceNetwork"));
    let default = spec.at("defaultNetwork");
    // The default is OVN-Kubernetes, since 4.12.
    if default.at("type").is_empty() || default.at("type").is("OVNKubernetes") {
        internal(&default.at("ovnKubernetesConfig"), out);
    }
    for network in out.list(&spec.at("additionalNetworks")) {
        attachments::raw(&network.at("rawCNIConfig"), out);
        let fixed = network.at("simpleMacvlanConfig.ipamConfig.staticIPAMConfig");
        for address in fixed.at("addresses").items() {
            attachments::alone(&address.at("address"), out);
        }
    }
}

fn internal(config: &Field<'_>, out: &mut Extractor) {
    for (names, default) in INTERNAL {
        let named = names.iter().map(|name| config.at(name));
        let extracted: Vec<Field<'_>> = named.filter(|field| !field.is_empty()).collect();
        let text = Value::from(default);
        let fields = match extracted.is_empty() {
            true => {
                let path = format!("{} (its default)", config.at(names[0]).path);
                vec![Field::named(&path, &text)]
            }
            false => extracted,
        };
        for field in fields {
            out.network_of(Source::OVNKubernetes, Usage::Internal, &field);
        }
    }
    let hybrid = config.at("hybridOverlayConfig.hybridClusterNetwork");
    for network in out.list(&hybrid) {
        out.network_of(Source::OVNKubernetes, Usage::Pods, &network.at("cidr"));
    }
}

/// `install-config` in ConfigMap kube-system/cluster-config-v1: the only source of the machine network.
pub fn install_config(config: &Field<'_>, out: &mut Extractor) {
    let networking = config.at("networking");
    cidrs(Usage::Machines, &networking.at("machineNetwork"), out);
    out.network(Usage::Machines, &networking.at("machineCIDR"));
    for network in out.list(&networking.at("clusterNetwork")) {
        out.network_of(Source::OpenShift, Usage::Pods, &network.at("cidr"));
    }
    for network in out.list(&networking.at("serviceNetwork")) {
        out.network_of(Source::OpenShift, Usage::Services, &network);
    }
}

fn cidrs(usage: Usage, field: &Field<'_>, out: &mut Extractor) {
    for network in out.list(field) {
        out.network(usage, &network.at("cidr"));
    }
}

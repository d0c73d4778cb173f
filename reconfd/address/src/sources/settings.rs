//! Pure: networks in the text of ConfigMaps: of kubeadm, kube-proxy, flannel, Cilium and OpenShift's installer.

use crds::reserved::Usage;
use serde_json::Value;

use super::{Extractor, field::Field, openshift};

/// Parses a ConfigMap's key as YAML, which includes JSON.
fn document(object: &Field<'_>, key: &str, out: &mut Extractor) -> Option<Value> {
    let field = object.at("data").get(key);
    let text = field.text()?;
    match serde_saphyr::from_str(text) {
        Ok(value) => Some(value),
        Err(error) => {
            let error = error.to_string();
            let first = error.lines().next().unwrap_or_default();
            out.error(&field, &format!("this is not YAML: {first}"));
            None
        }
    }
}

/// Reads such a document; the paths of its fields start with the key.
fn inside(
    (object, key): (&Field<'_>, &str),
    out: &mut Extractor,
    read: impl FnOnce(&Field<'_>, &mut Extractor),
) {
    if let Some(value) = document(object, key, out) {
        read(&Field::named(&object.at("data").get(key).path, &value), out);
    }
}

pub fn kubeadm(object: &Field<'_>, out: &mut Extractor) {
    inside((object, "ClusterConfiguration"), out, |config, out| {
        out.network(Usage::Pods, &config.at("networking.podSubnet"));
        out.network(Usage::Services, &config.at("networking.serviceSubnet"));
    });
}

pub fn kube_proxy(object: &Field<'_>, out: &mut Extractor) {
    inside((object, "config.conf"), out, |config, out| {
        out.network(Usage::Pods, &config.at("clusterCIDR"));
    });
}

pub fn flannel(object: &Field<'_>, out: &mut Extractor) {
    inside((object, "net-conf.json"), out, |config, out| {
        out.network(Usage::Pods, &config.at("Network"));
        out.network(Usage::Pods, &config.at("IPv6Network"));
    });
}

pub fn openshift_install(object: &Field<'_>, out: &mut Extractor) {
    inside((object, "install-config"), out, openshift::install_config);
}

/// Networks routed without masquerading are more than the pod networks: only an administrator knows that a part of it
/// is free, so a policy may exempt it.
pub fn cilium(object: &Field<'_>, out: &mut Extractor) {
    let data = object.at("data");
    for name in ["cluster-pool-ipv4-cidr", "cluster-pool-ipv6-cidr"] {
        out.network(Usage::Pods, &data.get(name));
    }
    for name in [
        "ipv4-native-routing-cidr",
        "ipv6-native-routing-cidr",
        "native-routing-cidr",
    ] {
        out.network(Usage::Internal, &data.get(name));
    }
}

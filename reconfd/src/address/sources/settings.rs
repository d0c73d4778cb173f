//! Pure: what is written as text into ConfigMaps: by kubeadm, kube-proxy, flannel, Cilium and OpenShift's
//! installation.

use crds::reserved::Usage;
use serde_json::Value;

use super::{Notes, field::Field, openshift};

/// A ConfigMap's key is a document in YAML, of which JSON is a part.
fn document(object: &Field<'_>, key: &str, notes: &mut Notes) -> Option<Value> {
    let field = object.at("data").get(key);
    let text = field.text()?;
    match serde_saphyr::from_str(text) {
        Ok(value) => Some(value),
        Err(error) => {
            let error = error.to_string();
            let first = error.lines().next().unwrap_or_default();
            notes.fault(&field, &format!("this is no YAML: {first}"));
            None
        }
    }
}

/// Reads such a document; its fields are called after the key.
fn inside(
    (object, key): (&Field<'_>, &str),
    notes: &mut Notes,
    read: impl FnOnce(&Field<'_>, &mut Notes),
) {
    if let Some(value) = document(object, key, notes) {
        read(
            &Field::named(&object.at("data").get(key).path, &value),
            notes,
        );
    }
}

pub fn kubeadm(object: &Field<'_>, notes: &mut Notes) {
    inside((object, "ClusterConfiguration"), notes, |config, notes| {
        notes.network(Usage::Pods, &config.at("networking.podSubnet"));
        notes.network(Usage::Services, &config.at("networking.serviceSubnet"));
    });
}

pub fn kube_proxy(object: &Field<'_>, notes: &mut Notes) {
    inside((object, "config.conf"), notes, |config, notes| {
        notes.network(Usage::Pods, &config.at("clusterCIDR"));
    });
}

pub fn flannel(object: &Field<'_>, notes: &mut Notes) {
    inside((object, "net-conf.json"), notes, |config, notes| {
        notes.network(Usage::Pods, &config.at("Network"));
        notes.network(Usage::Pods, &config.at("IPv6Network"));
    });
}

pub fn openshift_install(object: &Field<'_>, notes: &mut Notes) {
    inside((object, "install-config"), notes, openshift::install_config);
}

/// Where packets go without another address is more than where pods are: nobody but an administrator can
/// say that a part of it is free, so a policy may.
pub fn cilium(object: &Field<'_>, notes: &mut Notes) {
    let data = object.at("data");
    for name in ["cluster-pool-ipv4-cidr", "cluster-pool-ipv6-cidr"] {
        notes.network(Usage::Pods, &data.get(name));
    }
    for name in [
        "ipv4-native-routing-cidr",
        "ipv6-native-routing-cidr",
        "native-routing-cidr",
    ] {
        notes.network(Usage::Internal, &data.get(name));
    }
}

//! The pods of the bench, and their namespaces by name.

use std::{fs, os::unix::fs::symlink, path::Path};

use anyhow::{Context, Result, anyhow};
use sandbox_record::netns::Netns;
use serde_json::{Value, json};

use super::{
    NODE,
    api::Api,
    daemon::{pid_of, process_of},
};
use crate::node::{self, Pod};

/// What the daemon's own switch is called here.
pub const SWITCH: &str = "switch";

/// So many pods of the node with that label, all running.
pub fn start(api: &Api, label: &str, count: usize) -> Result<Vec<Pod>> {
    api.deploy(&deployment(label, count))?;
    let pods = api.running(&format!("app={label}"), count)?;
    let known = |(number, pod): (usize, k8s_openapi::api::core::v1::Pod)| {
        let uid = pod.metadata.uid.context("a pod has a uid")?;
        let pid = process_of(&uid, "pause").context("a pod's sandbox is not there")?;
        let name = format!("{label}-{number}");
        point(&name, Path::new(&format!("/proc/{pid}/ns/net")))?;
        let identity = node::within(&name, || {
            Ok(Netns::own().map_err(|error| anyhow!("{error}"))?.identity())
        })?;
        Ok(Pod {
            name,
            set: label.to_owned(),
            number,
            identity,
        })
    };
    pods.into_iter().enumerate().map(known).collect()
}

/// The daemon's switch, under its name here.
pub fn find_switch() -> Result<()> {
    let inside = format!("/proc/{}/root/run/netns/podconfig", pid_of(NODE)?);
    point(SWITCH, Path::new(&inside))
}

/// The network namespace of the node, under this name here.
pub fn name_node(name: &str) -> Result<()> {
    point(name, Path::new(&format!("/proc/{}/ns/net", pid_of(NODE)?)))
}

fn point(name: &str, namespace: &Path) -> Result<()> {
    let path = node::namespace_path(name);
    if path.is_symlink() {
        fs::remove_file(&path)?;
    }
    symlink(namespace, &path).with_context(|| path.display().to_string())
}

fn deployment(label: &str, count: usize) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": label},
        "spec": {
            "replicas": count,
            "selector": {"matchLabels": {"app": label}},
            "template": {
                "metadata": {"labels": {"app": label, "bench": "all"}},
                "spec": {
                    "nodeSelector": {"kubernetes.io/hostname": NODE},
                    "terminationGracePeriodSeconds": 0,
                    "automountServiceAccountToken": false,
                    "enableServiceLinks": false,
                    "containers": [{
                        "name": "main", "image": "cluster.local/pause:1", "imagePullPolicy": "Never",
                    }],
                },
            },
        },
    })
}

/// A PodConfig with links on bridges of the namespace, for all pods with the label.
pub fn config(name: &str, (key, value): (&str, &str), links: &[&str]) -> Value {
    let links: Vec<Value> = links
        .iter()
        .map(|link| json!({"name": link, "veth": {"bridge": link}, "mtu": 1500}))
        .collect();
    json!({
        "apiVersion": "podconfig.dev/v1alpha1", "kind": "PodConfig", "metadata": {"name": name},
        "spec": {"podSelector": {"matchLabels": {key: value}}, "links": links},
    })
}

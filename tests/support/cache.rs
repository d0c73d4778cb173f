//! libcni's result cache as a runtime leaves it: one file for each attachment, written in place.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use serde_json::{Value, json};

use super::{
    daemon::{Daemon, Options},
    node::TestNode,
    pod::TestPod,
};

/// Where the node's runtime keeps it.
pub const CACHE: &str = "/run/cni-results";

impl TestNode {
    /// The daemon, told where the cache is.
    pub fn daemon_with_cache(&self) -> Daemon {
        self.daemon_with(&Options {
            more: &["--cni-cache", CACHE],
            ..Options::default()
        })
    }

    /// A file in the cache, with the mode that libcni gives.
    pub fn cache(&self, name: &str, content: &[u8]) -> PathBuf {
        let folder = self.path(CACHE);
        fs::create_dir_all(&folder).expect("the cache can be made");
        let path = folder.join(name);
        fs::write(&path, content).expect("the cache takes files");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode can be set");
        path
    }
}

impl TestPod<'_> {
    /// What libcni 1.2 and newer write of this pod.
    pub fn entry(&self) -> Value {
        let of = &self.attachment;
        json!({
            "kind": "cniCacheV1", "containerId": of.container, "ifName": "eth0",
            "networkName": "cluster", "config": "e30=", "netns": of.netns,
            "cniArgs": [
                ["IgnoreUnknown", "1"], ["K8S_POD_NAME", of.name], ["K8S_POD_UID", of.uid],
                ["K8S_POD_NAMESPACE", of.namespace], ["K8S_POD_INFRA_CONTAINER_ID", of.container],
            ],
            "result": {
                "cniVersion": "1.0.0", "dns": {}, "ips": [{"address": "10.88.0.7/16"}],
                "interfaces": [{"name": "cni0"}, {"name": "eth0", "sandbox": of.netns}],
            },
        })
    }

    pub fn entry_name(&self) -> String {
        format!("cluster-{}-eth0", self.attachment.container)
    }

    /// Puts the pod into the cache.
    pub fn cache(&self) -> PathBuf {
        self.cache_as(&self.entry())
    }

    /// Puts something else into its place.
    pub fn cache_as(&self, entry: &Value) -> PathBuf {
        self.node
            .cache(&self.entry_name(), entry.to_string().as_bytes())
    }

    /// The pod's object as its kubelet tells it, with the pod's address.
    pub fn running(&self) -> Value {
        json!({"status": {"phase": "Running", "podIPs": [{"ip": self.primary_address()}]}})
    }
}

impl TestNode {
    /// A pod that the recorder has not seen, that runs and is in the cache.
    pub fn cached_pod(&self, namespace: &str, name: &str) -> TestPod<'_> {
        let pod = self.running_pod(namespace, name);
        pod.cache();
        pod
    }

    /// The same, without the entry.
    pub fn running_pod(&self, namespace: &str, name: &str) -> TestPod<'_> {
        let mut pod = self.unplugged_pod(namespace, name, Value::Null);
        pod.say(pod.running());
        pod
    }
}

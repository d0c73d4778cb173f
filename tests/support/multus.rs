//! What Multus does when a pod starts: ADD of a chain, and libcni's file of it below Multus' own folder.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    node::{expect_success, json as parse},
    pod::TestPod,
};

/// Multus' cniDir on a node.
pub const CNI_DIR: &str = "/var/lib/cni/multus";

/// What Multus attached.
pub struct ByMultus {
    pub network: String,
    pub interface: String,
    /// Its file, as a path of the node.
    pub file: String,
    /// Its entry in `network-status`.
    pub status: Value,
}

impl TestPod<'_> {
    /// Attaches an interface as Multus does. `folders`: where the plugins are.
    pub fn attach_by_multus(
        &self,
        (definition, interface): (&str, &str),
        config: &Value,
        folders: &[&Path],
    ) -> ByMultus {
        let network = definition.rsplit('/').next().unwrap_or_default();
        let mut config = config.clone();
        config["name"] = network.into();
        let plugins = match config.get("plugins") {
            Some(plugins) => plugins.as_array().expect("a list").clone(),
            None => vec![config.clone()],
        };
        let mut result = Value::Null;
        for mut plugin in plugins {
            plugin["name"] = network.into();
            plugin["cniVersion"] = config["cniVersion"].clone();
            if !result.is_null() {
                plugin["prevResult"] = result;
            }
            result = self.add_by_hand(interface, &plugin, folders);
        }
        let file = self.write_cache((network, interface), &config, &result);
        let made = result["interfaces"].as_array().into_iter().flatten();
        let mut made = made.filter(|made| made["name"] == interface);
        let mac = made.next_back().map(|made| made["mac"].clone());
        ByMultus {
            network: network.into(),
            interface: interface.into(),
            file,
            status: json!({"name": definition, "interface": interface, "mac": mac, "dns": {}}),
        }
    }

    fn add_by_hand(&self, interface: &str, plugin: &Value, folders: &[&Path]) -> Value {
        let name = plugin["type"].as_str().expect("a type");
        let mut paths = folders.iter().map(|folder| folder.join(name));
        let path: PathBuf = paths
            .find(|path| path.exists())
            .expect("the plugin is there");
        let folders: Vec<_> = folders
            .iter()
            .map(|folder| folder.display().to_string())
            .collect();
        let mut command = self.node.command(&path.display().to_string());
        command
            .env("CNI_COMMAND", "ADD")
            .env("CNI_CONTAINERID", &self.attachment.container)
            .env("CNI_NETNS", &self.attachment.netns)
            .env("CNI_IFNAME", interface)
            .env("CNI_PATH", folders.join(":"))
            .env("CNI_ARGS", self.args())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("nsenter runs");
        let mut stdin = child.stdin.take().expect("it is piped");
        write!(stdin, "{plugin}").expect("the plugin reads");
        drop(stdin);
        let output = child.wait_with_output().expect("it is a child");
        parse(expect_success(&["ADD", name], output))
    }

    fn args(&self) -> String {
        let (namespace, name) = (&self.attachment.namespace, &self.attachment.name);
        format!("IgnoreUnknown=true;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={name}")
    }

    /// libcni's file.
    fn write_cache(
        &self,
        (network, interface): (&str, &str),
        config: &Value,
        result: &Value,
    ) -> String {
        let container = &self.attachment.container;
        let args = self.args();
        let args: Vec<_> = args
            .split(';')
            .filter_map(|pair| pair.split_once('='))
            .collect();
        let cached = json!({
            "kind": "cniCacheV1",
            "containerId": container,
            "config": STANDARD.encode(config.to_string()),
            "ifName": interface,
            "networkName": network,
            "netns": self.attachment.netns,
            "cniArgs": args,
            "result": result,
        });
        let file = format!("{CNI_DIR}/results/{network}-{container}-{interface}");
        self.node.shell(&format!(
            "mkdir -p -m 0700 {CNI_DIR}/results && umask 077 && cat >{file} <<'END'\n{cached}\nEND"
        ));
        file
    }
}

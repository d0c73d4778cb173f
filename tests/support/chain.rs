//! A small runtime: runs a CNI chain as libcni does, ADD in order and DEL in reverse, with the
//! arguments that containerd gives.

use std::{
    io::Write,
    process::{Output, Stdio},
};

use serde_json::{Value, json};

use super::{binary, node::TestNode};

const VERSION: &str = "1.0.0";
const DEBIAN_PLUGINS: &str = "/usr/lib/cni";
pub const RECORDS: &str = "/run/podconfig/records";

/// One sandbox's CNI arguments.
#[derive(Clone, Debug)]
pub struct Attachment {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub container: String,
    /// As the node sees it.
    pub netns: String,
}

/// What the node's administrator chained: a bridge with addresses, then the recorder.
pub fn add(node: &TestNode, attachment: &Attachment) -> Value {
    let first = call(node, attachment, "ADD", &bridge_entry(), None);
    add_recorder(node, attachment, &first)
}

/// Only the recorder, on a result that the test made up.
pub fn add_recorder(node: &TestNode, attachment: &Attachment, previous: &Value) -> Value {
    let result = call(node, attachment, "ADD", &recorder_entry(), Some(previous));
    assert_eq!(
        &result, previous,
        "the recorder passes prevResult on unchanged"
    );
    result
}

/// What CRI-O asks after every ADD, and when it is started.
pub fn check_recorder(node: &TestNode, attachment: &Attachment, previous: &Value) {
    call(node, attachment, "CHECK", &recorder_entry(), Some(previous));
}

pub fn delete(node: &TestNode, attachment: &Attachment, result: &Value, with_bridge: bool) {
    call(node, attachment, "DEL", &recorder_entry(), Some(result));
    if with_bridge {
        call(node, attachment, "DEL", &bridge_entry(), Some(result));
    }
}

/// The result of a primary plugin that never ran.
pub fn made_up_result(attachment: &Attachment) -> Value {
    json!({
        "cniVersion": VERSION,
        "interfaces": [{"name": "eth0", "mac": "02:00:00:00:00:01", "sandbox": attachment.netns}],
        "ips": [{"interface": 0, "address": "10.88.255.254/16", "gateway": "10.88.0.1"}],
        "dns": {},
    })
}

fn bridge_entry() -> Value {
    json!({
        "type": "bridge", "bridge": "cni0", "isGateway": true,
        "ipam": {
            "type": "host-local", "dataDir": "/run/cni",
            "ranges": [[{"subnet": "10.88.0.0/16"}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    })
}

fn recorder_entry() -> Value {
    json!({"type": "podconfig-cni", "recordsDir": RECORDS})
}

fn call(
    node: &TestNode,
    attachment: &Attachment,
    verb: &str,
    entry: &Value,
    previous: Option<&Value>,
) -> Value {
    let output = invoke(node, attachment, verb, entry, previous);
    assert!(
        output.status.success(),
        "{verb} of {}: {}\n{}{}",
        entry["type"],
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

/// One plugin, one verb; the caller judges.
pub fn invoke(
    node: &TestNode,
    attachment: &Attachment,
    verb: &str,
    entry: &Value,
    previous: Option<&Value>,
) -> Output {
    let kind = entry["type"].as_str().expect("an entry has a type");
    let mut request = entry.clone();
    request["cniVersion"] = VERSION.into();
    request["name"] = "cluster".into();
    if let Some(previous) = previous {
        request["prevResult"] = previous.clone();
    }
    let mut child = node
        .command(&program(kind))
        .env("CNI_COMMAND", verb)
        .env("CNI_CONTAINERID", &attachment.container)
        .env("CNI_NETNS", &attachment.netns)
        .env("CNI_IFNAME", "eth0")
        .env("CNI_PATH", DEBIAN_PLUGINS)
        .env("CNI_ARGS", arguments(attachment))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("nsenter runs");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    stdin
        .write_all(request.to_string().as_bytes())
        .expect("a plugin reads its request");
    drop(stdin);
    child.wait_with_output().expect("a plugin ends")
}

fn program(kind: &str) -> String {
    if kind == "podconfig-cni" {
        return binary("PODCONFIG_CNI_BIN", kind);
    }
    let path = format!("{DEBIAN_PLUGINS}/{kind}");
    assert!(
        std::path::Path::new(&path).exists(),
        "{path} is missing: install containernetworking-plugins, or run `make test`, which does"
    );
    path
}

fn arguments(attachment: &Attachment) -> String {
    format!(
        "K8S_POD_UID={};IgnoreUnknown=1;K8S_POD_NAMESPACE={};K8S_POD_INFRA_CONTAINER_ID={};K8S_POD_NAME={}",
        attachment.uid, attachment.namespace, attachment.container, attachment.name
    )
}

//! What runs CNI once more for one more interface: a plugin of Debian's with `host-local`, by hand.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{
    cost::ended,
    node::{self, Pod},
    wish::LINK,
};

/// `entry` is the plugin's own part of its configuration.
pub fn run(pod: &Pod, entry: &Value, verb: &str) -> Result<()> {
    let kind = entry["type"].as_str().context("an entry names its type")?;
    let program = format!("/usr/lib/cni/{kind}");
    let mut child = Command::new(&program)
        .env("CNI_COMMAND", verb)
        .env("CNI_CONTAINERID", "d".repeat(64))
        .env("CNI_NETNS", node::namespace_path(&pod.name))
        .env("CNI_IFNAME", LINK)
        .env("CNI_PATH", "/usr/lib/cni")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{program} is needed (containernetworking-plugins)"))?;
    let mut stdin = child.stdin.take().context("stdin is piped")?;
    stdin.write_all(request(entry).to_string().as_bytes())?;
    drop(stdin);
    ended(child, &format!("{verb} of {kind}")).map(drop)
}

fn request(entry: &Value) -> Value {
    let mut request = entry.clone();
    request["cniVersion"] = "1.0.0".into();
    request["name"] = "second".into();
    request["ipam"] = json!({
        "type": "host-local", "dataDir": "/run/cni", "ranges": [[{"subnet": "10.78.0.0/16"}]],
    });
    request
}

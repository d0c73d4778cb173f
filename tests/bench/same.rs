//! Whether the daemon and the floor leave the same in the kernel: else the ratio means nothing.

use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{cost::ended, table::Table};

/// What differs between any two links, and what only names them.
const OWN: [&str; 15] = [
    "ifindex",
    "link_index",
    "link_netnsid",
    "link",
    "ifname",
    "ifalias",
    "master",
    "bridge_id",
    "root_id",
    "id",
    "no",
    "designated_port",
    "hold_timer",
    "forward_delay_timer",
    "message_age_timer",
];

/// The links that the last round left: `data0` of the first two pods, and their host ends.
pub fn compare(table: &mut Table) -> Result<()> {
    let mut differences = Vec::new();
    let pod = |name: &str| -> Result<Value> {
        only(
            json(&[
                "ip", "-n", name, "-j", "-d", "address", "show", "dev", "data0",
            ])?,
            |_| true,
        )
    };
    differ("pod end", &pod("one-0")?, &pod("one-1")?, &mut differences);
    let (ours, hands) = (host_end("podconfig", "one-0")?, host_end("hub", "one-1")?);
    differ("host end", &ours, &hands, &mut differences);
    differ(
        "bridge port",
        &port("podconfig", &ours)?,
        &port("hub", &hands)?,
        &mut differences,
    );
    differ(
        "forwarding entries",
        &entries("podconfig", &ours)?,
        &entries("hub", &hands)?,
        &mut differences,
    );
    let figures = if differences.is_empty() {
        "no difference".to_owned()
    } else {
        differences.join("; ")
    };
    table.judge(
        "daemon and floor leave the same in the kernel",
        &figures,
        differences.is_empty(),
    );
    Ok(())
}

/// The end that is on a bridge and whose own MAC address is that of the pods' address.
fn host_end(space: &str, _pod: &str) -> Result<Value> {
    let all = json(&[
        "ip", "-n", space, "-j", "-d", "link", "show", "type", "veth",
    ])?;
    only(all, |link| link["address"] == "fe:58:0a:4d:00:09")
}

fn port(space: &str, host: &Value) -> Result<Value> {
    let name = host["ifname"].as_str().context("a link has a name")?;
    only(
        json(&[
            "bridge", "-n", space, "-j", "-d", "link", "show", "dev", name,
        ])?,
        |_| true,
    )
}

fn entries(space: &str, host: &Value) -> Result<Value> {
    let name = host["ifname"].as_str().context("a link has a name")?;
    json(&[
        "bridge", "-n", space, "-j", "-d", "fdb", "show", "dev", name,
    ])
}

fn json(words: &[&str]) -> Result<Value> {
    let child = Command::new(words[0])
        .args(&words[1..])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let text = ended(child, &words.join(" "))?;
    Ok(serde_json::from_str(if text.trim().is_empty() {
        "[]"
    } else {
        &text
    })?)
}

fn only(all: Value, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    let found = all
        .as_array()
        .into_iter()
        .flatten()
        .find(|one| wanted(one))
        .cloned();
    found.with_context(|| format!("not found in {all}"))
}

fn differ(at: &str, ours: &Value, hands: &Value, differences: &mut Vec<String>) {
    match (ours, hands) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            let told = keys.into_iter().filter(|key| !OWN.contains(&key.as_str()));
            told.for_each(|key| {
                differ(&format!("{at}.{key}"), &ours[key], &hands[key], differences)
            });
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter()
                .zip(b)
                .enumerate()
                .for_each(|(n, (a, b))| differ(&format!("{at}[{n}]"), a, b, differences));
        }
        _ if ours != hands => differences.push(format!("{at} is {ours}, by hand {hands}")),
        _ => (),
    }
}

//! Whether the daemon and the floor leave the same in the kernel: else the ratio means nothing.

use std::{
    collections::BTreeSet,
    process::{Command, Stdio},
    thread::sleep,
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{cost::ended, table::Table, wish::LINK};

/// What differs between any two links, and what only names them. The UDP ports are different so that
/// none finds the socket of the other.
const OWN: [&str; 15] = [
    "ifindex",
    "link_index",
    "link_netnsid",
    "linkNetNsId",
    "link",
    "ifname",
    "ifalias",
    "master",
    "bridge_id",
    "root_id",
    "id",
    "no",
    "port",
    "designated_port",
    "message_age_timer",
];

/// A pod's link, and the namespace that its other end is in.
pub struct Side<'a> {
    pub space: &'a str,
    pub pod: &'a str,
}

/// Of each pair the first is the daemon's and the second the floor's.
pub fn compare(table: &mut Table, what: &str, pairs: &[[Side<'_>; 2]]) -> Result<()> {
    // Until nothing is tentative and no state is late.
    sleep(Duration::from_millis(2500));
    let mut differences = Vec::new();
    for [ours, hands] in pairs {
        differ("", &seen(ours)?, &seen(hands)?, &mut differences);
    }
    let figures = match differences.is_empty() {
        true => "no difference".to_owned(),
        false => differences.join("; "),
    };
    table.judge(
        &format!("{what}: daemon and floor leave the same in the kernel"),
        &figures,
        differences.is_empty(),
    );
    Ok(())
}

/// All that there is of a link.
fn seen(side: &Side<'_>) -> Result<Value> {
    let pod_end = only(ip(side.pod, &["address", "show", "dev", LINK])?, |_| true)?;
    if pod_end["linkinfo"]["info_kind"] != "veth" {
        return Ok(json!({"pod end": pod_end}));
    }
    let all = ip(side.space, &["link", "show"])?;
    let host = only(all.clone(), |link| link["ifindex"] == pod_end["link_index"])?;
    let bridge = only(all.clone(), |link| link["ifname"] == host["master"])?;
    let on_bridge = |link: &Value| link["master"] == host["master"];
    let device = only(all, |link| {
        on_bridge(link) && link["linkinfo"]["info_kind"] != "veth"
    });
    let name = named(&host);
    Ok(json!({
        "pod end": pod_end,
        "bridge port": port(side.space, name)?,
        "forwarding entries": entries(side.space, name)?,
        "wall": json_of(&["tc", "-n", side.space, "-j", "filter", "show", "dev", name, "ingress"])?,
        "bridge": without_address(bridge),
        "segment": device.ok().map(|device| segment(side.space, device)).transpose()?,
        "host end": host,
    }))
}

fn segment(space: &str, device: Value) -> Result<Value> {
    let name = named(&device).to_owned();
    let entries = entries(space, &name)?;
    let all = entries.as_array().into_iter().flatten();
    let peers: Vec<&Value> = all.filter(|entry| !entry["dst"].is_null()).collect();
    Ok(json!({
        "way out": port(space, &name)?,
        "peers": peers,
        "device": without_address(device),
    }))
}

/// The kernel has made it up.
fn without_address(mut link: Value) -> Value {
    link["address"] = Value::Null;
    link
}

fn named(link: &Value) -> &str {
    link["ifname"].as_str().unwrap_or_default()
}

fn ip(space: &str, words: &[&str]) -> Result<Value> {
    json_of(&[&["ip", "-n", space, "-j", "-d"], words].concat())
}

fn port(space: &str, name: &str) -> Result<Value> {
    let words = [
        "bridge", "-n", space, "-j", "-d", "link", "show", "dev", name,
    ];
    only(json_of(&words)?, |_| true)
}

fn entries(space: &str, name: &str) -> Result<Value> {
    json_of(&[
        "bridge", "-n", space, "-j", "-d", "fdb", "show", "dev", name,
    ])
}

fn json_of(words: &[&str]) -> Result<Value> {
    let child = Command::new(words[0])
        .args(&words[1..])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let text = ended(child, &words.join(" "))?;
    let text = match text.trim() {
        "" => "[]",
        text => text,
    };
    serde_json::from_str(text).with_context(|| words.join(" "))
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
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            let is_own = |key: &str| OWN.contains(&key) || key.ends_with("_timer");
            // At the top the keys are the parts that are looked at.
            let told = keys.into_iter().filter(|key| at.is_empty() || !is_own(key));
            told.for_each(|key| {
                let place = format!("{at}.{key}");
                differ(
                    place.trim_start_matches('.'),
                    &ours[key],
                    &hands[key],
                    differences,
                );
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

//! The cluster's nodes, through the scripts that make the cluster.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use serde_json::Value;

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/cluster");

/// Both nodes.
pub const NODES: [&str; 2] = ["n0", "n1"];

/// Runs on the node, in all of its namespaces; must succeed.
pub fn on(node: &str, words: &[&str]) -> String {
    let output = try_on(node, words);
    text_of(&format!("{node}: {}", words.join(" ")), output)
}

pub fn try_on(node: &str, words: &[&str]) -> Output {
    script("node")
        .arg(node)
        .args(words)
        .output()
        .expect("a shell script runs")
}

/// Ends a node or a program of the cluster: `n1`, `n1.kubelet`, `kube-apiserver`.
pub fn end(name: &str) {
    text_of(
        name,
        script("down")
            .arg(name)
            .output()
            .expect("a shell script runs"),
    );
}

/// Brings back what is missing of the cluster.
pub fn bring_back() {
    text_of("up", script("up").output().expect("a shell script runs"));
}

/// Links in the switch of the node, of the installation that this is the suffix of; none while there is no switch.
pub fn switch_links(node: &str, switch: &str) -> Vec<Value> {
    let output = try_on(node, &["ip", "-n", switch, "-j", "-d", "link", "show"]);
    if !output.status.success() {
        return Vec::new();
    }
    links(&String::from_utf8_lossy(&output.stdout))
}

/// Names of the switch's links that are not always there.
pub fn in_switch(node: &str) -> Vec<String> {
    let names = switch_links(node, "podconfig").into_iter().map(|link| {
        let name = link["ifname"].as_str().unwrap_or_default();
        name.to_owned()
    });
    names.filter(|name| name != "lo").collect()
}

/// iproute2 prints nothing at all instead of an empty list, and an empty object for what it hides.
pub fn links(text: &str) -> Vec<Value> {
    if text.trim().is_empty() {
        return Vec::new();
    }
    let mut links: Vec<Value> =
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"));
    links.retain(|link| link.as_object().is_none_or(|fields| !fields.is_empty()));
    links
}

/// A process of the machine that belongs to a pod: the one with that name.
pub fn process_of(uid: &str, name: &str) -> Option<u32> {
    let mark = format!("pod{uid}");
    let of_pod = |pid: &u32| {
        let folder = PathBuf::from(format!("/proc/{pid}"));
        let read = |file| fs::read_to_string(folder.join(file)).unwrap_or_default();
        read("comm").trim() == name && read("cgroup").contains(&mark)
    };
    let pids = fs::read_dir("/proc").expect("/proc is there");
    pids.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .find(of_pod)
}

fn script(name: &str) -> Command {
    Command::new(format!("{SCRIPTS}/{name}"))
}

fn text_of(what: &str, output: Output) -> String {
    assert!(
        output.status.success(),
        "{what}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

//! Putting podconfig on the cluster and taking it off, as the README tells people to.

use std::process::Command;

use super::{
    eventually,
    kubectl::{ALLOW_DELETION, TIMEOUT, kubectl, object, succeeded, try_kubectl},
    node::{NODES, on, try_on},
    product::{self, NAMESPACE, ours},
};
use crate::wait::seen;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../install");

/// A file of `install/`.
pub fn file(name: &str) -> String {
    format!("{FOLDER}/{name}")
}

/// With `kubectl`, and waits until it works.
pub fn install() {
    // Of the last one something may still be about to go.
    eventually("the namespace is not about to go", || {
        let namespace = object(&["namespace", NAMESPACE]).unwrap_or_default();
        let ending = &namespace["metadata"]["deletionTimestamp"];
        seen(ending.is_null(), ending)
    });
    let words = ["apply", "--server-side", "-f", &file("install.yaml")];
    let output = try_kubectl(&words);
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    succeeded("kubectl", &words, output);
    assert_eq!(
        complaints, "",
        "the API server has something against the manifests"
    );
    product::is_ready();
}

/// With `kubectl`: the step on every node first, and then all the rest.
pub fn uninstall() {
    let (step, all) = (file("uninstall.yaml"), file("install.yaml"));
    kubectl(&["apply", "-f", &step]);
    ours(&[
        "wait",
        "--for=condition=Complete",
        "job/podconfig-uninstall",
        "--timeout=120s",
    ]);
    let crds = kubectl(&["get", "crd", "-o", "name"]);
    let crds = crds.lines().filter(|name| name.ends_with(".podconfig.dev"));
    let annotate: Vec<&str> = std::iter::once("annotate").chain(crds).collect();
    kubectl(&[&annotate[..], &["--overwrite", ALLOW_DELETION]].concat());
    kubectl(&[
        "delete",
        "-f",
        &step,
        "-f",
        &all,
        "--ignore-not-found",
        "--timeout=120s",
    ]);
}

pub fn helm(words: &[&str]) -> String {
    let output = Command::new("helm")
        .args(words)
        .output()
        .expect("helm is in PATH");
    succeeded("helm", words, output)
}

/// With the chart, and waits until it works.
pub fn helm_install(release: &str, namespace: &str, settings: &[&str]) {
    let chart = file("chart/podconfig");
    let mut words = vec![
        "install",
        release,
        &chart,
        "-n",
        namespace,
        "--create-namespace",
    ];
    words.extend(["--wait", "--timeout", "120s"]);
    for setting in settings {
        words.extend(["--set", setting]);
    }
    helm(&words);
}

pub fn helm_uninstall(release: &str, namespace: &str) {
    helm(&[
        "uninstall",
        release,
        "-n",
        namespace,
        "--wait",
        "--timeout",
        "180s",
    ]);
    kubectl(&["delete", "namespace", namespace, TIMEOUT]);
}

/// Waits until no node has anything of podconfig any more.
pub fn nodes_are_clean() {
    for node in NODES {
        eventually(&format!("nothing of podconfig is left on {node}"), || {
            // The program itself stays where a result names it of a pod that ran then: a runtime may call it.
            let left = "grep -rl podconfig /etc/cni/net.d; ls -d /run/netns/podconfig*; \
                        ls /run/podconfig; nft list tables | grep podconfig; ip -o link show | grep podconfig:; true";
            let output = try_on(node, &["sh", "-c", left]);
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            seen(said.trim().is_empty(), said)
        });
    }
}

/// Whether the plugin is in the chain of the node.
pub fn is_in_chain(node: &str) -> bool {
    on(node, &["sh", "-c", "cat /etc/cni/net.d/*.conflist"]).contains("podconfig-cni")
}

//! podconfig itself, as it runs on the cluster.

use super::{
    eventually,
    kubectl::{self, TIMEOUT, kubectl, list, try_kubectl},
    manifests,
    node::process_of,
    pod::Pod,
};
use crate::wait::seen;

pub const NAMESPACE: &str = "podconfig-system";
pub const DAEMON: &str = "daemonset/podconfig-daemon";
pub const CONTROLLER: &str = "deployment/podconfig-controller";
/// What the pods of the daemons are found by.
const DAEMON_PODS: &str = "app.kubernetes.io/component=daemon,app.kubernetes.io/instance=default";
const CONTROLLER_PODS: &str =
    "app.kubernetes.io/component=controller,app.kubernetes.io/instance=default";

/// In its namespace; must succeed.
pub fn ours(words: &[&str]) -> String {
    kubectl(&[&["-n", NAMESPACE], words].concat())
}

/// Waits until every daemon and the controller are there and ready.
pub fn is_ready() {
    for part in [DAEMON, CONTROLLER] {
        ours(&["rollout", "status", part, TIMEOUT]);
    }
}

/// The daemon's pod of a node: its name and its uid.
pub fn daemon_of(node: &str) -> (String, String) {
    eventually(&format!("{node} has a daemon"), || {
        let on_node = format!("--field-selector=spec.nodeName={node}");
        let pods = list(&["pods", "-n", NAMESPACE, "-l", DAEMON_PODS, &on_node]);
        let living: Vec<_> = pods
            .iter()
            .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
            .collect();
        let [pod] = living[..] else {
            return Err(format!("{} pods", living.len()));
        };
        let text = |field: &str| {
            pod["metadata"][field]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        Ok((text("name"), text("uid")))
    })
}

/// The daemon's process of a node, as this machine sees it.
pub fn daemon_process(node: &str) -> u32 {
    let (name, uid) = daemon_of(node);
    eventually(&format!("{name} runs"), || {
        process_of(&uid, "reconfd").ok_or_else(|| "no process".to_owned())
    })
}

/// A part of it that is taken away; it comes back with the end of this, also when the story fails.
pub struct Away(&'static [&'static str]);

impl Away {
    /// No daemon is left on any node.
    pub fn daemons() -> Self {
        let nowhere =
            r#"{"spec":{"template":{"spec":{"nodeSelector":{"podconfig.dev/nowhere":"yes"}}}}}"#;
        ours(&["patch", DAEMON, "--patch", nowhere]);
        none_is_left(DAEMON_PODS);
        Self(&[
            "patch",
            DAEMON,
            "--patch",
            r#"{"spec":{"template":{"spec":{"nodeSelector":{"podconfig.dev/nowhere":null}}}}}"#,
        ])
    }

    /// No controller is left.
    pub fn controller() -> Self {
        ours(&["scale", CONTROLLER, "--replicas=0"]);
        none_is_left(CONTROLLER_PODS);
        Self(&["scale", CONTROLLER, "--replicas=1"])
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        let _ = try_kubectl(&[&["-n", NAMESPACE], self.0].concat());
    }
}

fn none_is_left(selector: &str) {
    eventually(&format!("no pod {selector} is left"), || {
        let pods = list(&["pods", "-n", NAMESPACE, "-l", selector]);
        seen(pods.is_empty(), format!("{} pods", pods.len()))
    });
}

/// What its programs say, for a story that fails.
pub fn tell() {
    for words in [
        &["get", "pods", "-o", "wide"][..],
        &[
            "logs",
            "--tail=60",
            "--prefix",
            "--all-containers",
            "-l",
            DAEMON_PODS,
        ],
        &[
            "logs",
            "--tail=60",
            "--prefix",
            "--all-containers",
            CONTROLLER,
        ],
    ] {
        let output = try_kubectl(&[&["-n", NAMESPACE], words].concat());
        eprintln!(
            "$ kubectl -n {NAMESPACE} {}\n{}{}",
            words.join(" "),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// That the pod is served: a link of its own comes when it is asked for, and goes again.
pub fn serves(pod: &Pod) {
    let (config, label) = (format!("probe-{}", pod.name), format!("probe={}", pod.name));
    let wish = manifests::config(
        &config,
        &label.replace('=', ": "),
        &manifests::on_bridge("probe0", "probe"),
    );
    pod.label(&label);
    kubectl::with_input(&["-n", &pod.namespace, "apply", "-f", "-"], &wish);
    pod.has("probe0");
    kubectl(&["-n", &pod.namespace, "delete", "podconfig", &config]);
    pod.lacks("probe0");
}

//! The controller alone, told with `kubectl`: pods on nodes that do not exist, and reports that no daemon
//! wrote. It needs no kubelet, and disturbs nobody who has one.

/// What a namespace may use.
mod allowance;
/// Where tunnels lead.
mod peers;
/// The status of a PodConfig.
mod status;
/// Reports that nobody stands for.
mod sweep;

use serde_json::{Value, json};

use crate::{
    support::{
        eventually,
        kubectl::{
            ALLOW_DELETION, apply, kubectl, object, refusal, try_kubectl, try_with_input,
            wait_for_deletion,
        },
    },
    wait::seen,
};

/// A namespace that is labelled with its own name, and goes with the story.
struct Space(&'static str);

impl Space {
    /// Where these rules hold.
    fn new(name: &'static str, allow: &Value) -> Self {
        wait_for_deletion(name);
        apply(&object_of("v1", "Namespace", name, &json!({})));
        let space = Self(name);
        space.policy(allow);
        space
    }

    /// A policy for this namespace alone.
    fn policy(&self, allow: &Value) {
        let selector = json!({"matchLabels": {"kubernetes.io/metadata.name": self.0}});
        let spec = json!({"spec": {"namespaceSelector": selector, "allow": allow}});
        apply(&object_of(API, "PodConfigPolicy", self.0, &spec));
    }

    fn apply(&self, api: &str, kind: &str, name: &str, rest: &Value) {
        let object = object_of(api, kind, name, rest);
        self.apply_all(&format!("{kind} {name}"), &object);
    }

    fn apply_all(&self, what: &str, objects: &str) {
        eventually(&format!("{what} is taken"), || {
            let words = ["-n", self.0, "apply", "-f", "-"];
            let output = try_with_input(&words, objects);
            // On a whole cluster, its service account and its allowance come a moment later.
            seen(
                output.status.success(),
                String::from_utf8_lossy(&output.stderr),
            )
        });
    }

    /// `data`: a link of that name in every pod.
    fn config(&self, link: &Value) {
        let spec = json!({"spec": {"podSelector": {}, "links": [link]}});
        self.apply(API, "PodConfig", "data", &spec);
    }

    /// A pod on a node that is not there, and its uid. Kubernetes collects it 40 seconds after it has first seen a pod on
    /// such a node, so each test has node names of its own.
    fn pod(&self, name: &str, node: &str) -> String {
        let containers = json!([{"name": "c", "image": "i"}]);
        let spec = json!({"spec": {"nodeName": node, "terminationGracePeriodSeconds": 0, "containers": containers}});
        self.apply("v1", "Pod", name, &spec);
        self.get("pod", name)["metadata"]["uid"]
            .as_str()
            .expect("a pod has a uid")
            .to_owned()
    }

    fn get(&self, kind: &str, name: &str) -> Value {
        self.find(kind, name)
            .unwrap_or_else(|| panic!("there is no {kind} {name}"))
    }

    fn find(&self, kind: &str, name: &str) -> Option<Value> {
        object(&["-n", self.0, kind, name])
    }

    fn delete(&self, kind: &str, name: &str) {
        kubectl(&["-n", self.0, "delete", kind, name, "--timeout=60s"]);
    }

    /// What a node's daemon would say of a pod that has its link, and whatever else it says of the link.
    fn report(&self, pod: &str, uid: &str, node: &str, more: &Value) {
        let report = report_of(&self.get("podconfig", "data"), uid, node, more);
        self.apply(API, "PodReport", pod, &report);
    }
}

/// The spec and the status of a report on the pod of that uid.
fn report_of(config: &Value, uid: &str, node: &str, more: &Value) -> Value {
    let mut link = json!({
        "name": "data0", "podConfig": "data", "podConfigUID": config["metadata"]["uid"],
        "observedGeneration": config["metadata"]["generation"],
        "kind": "veth", "state": "Ready", "reason": "LinkReady",
    });
    extend(&mut link, more);
    json!({"spec": {}, "status": {"podUID": uid, "node": node, "links": [link]}})
}

impl Drop for Space {
    fn drop(&mut self) {
        let _ = try_kubectl(&["annotate", "podconfigpolicy", self.0, ALLOW_DELETION]);
        for kind in ["podconfigpolicy", "namespace"] {
            let _ = try_kubectl(&["delete", kind, self.0, "--ignore-not-found", "--wait=false"]);
        }
        // No kubelet says that they have ended.
        let _ = try_kubectl(&["-n", self.0, "delete", "pods", "--all", "--force"]);
    }
}

const API: &str = "podconfig.dev/v1alpha1";

fn object_of(api: &str, kind: &str, name: &str, rest: &Value) -> String {
    let mut object = json!({"apiVersion": api, "kind": kind, "metadata": {"name": name}});
    extend(&mut object, rest);
    object.to_string()
}

fn extend(object: &mut Value, more: &Value) {
    let more = more.as_object().into_iter().flatten();
    for (field, value) in more {
        object[field] = value.clone();
    }
}

fn on_bridge(bridge: &str) -> Value {
    json!({"name": "data0", "veth": {"bridge": bridge}})
}

/// Nothing more is said of a link.
fn nothing() -> Value {
    json!({})
}

fn bridges() -> Value {
    json!([{"veth": {"bridges": "Own"}}])
}

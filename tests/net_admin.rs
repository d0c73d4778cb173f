//! Pods that may administer their network, and so the node's, unless they have a user namespace of their own.

use serde_json::{Value, json};

use crate::support::{
    manifests::{OWN_BRIDGES, POLICY},
    node::TestNode,
    pod::TestPod,
    wait::{eventually, seen},
};

impl TestNode {
    /// Everything on bridges of the namespace, with this word on pods that have NET_ADMIN.
    fn allow_with(&self, net_admin: &str) {
        self.apply(
            "policy",
            &format!(
                "{POLICY}metadata: {{name: guarded}}\n\
                 spec: {{namespaceSelector: {{}}, netAdmin: {net_admin}, allow: [{OWN_BRIDGES}]}}\n"
            ),
        );
    }

    fn give_link(&self, pod: &TestPod<'_>, address: &str) {
        self.connect("tenant-a", &pod.attachment.name, "data0", address);
    }
}

fn plain() -> Value {
    json!({"name": "app"})
}

fn with(name: &str, capability: &str) -> Value {
    json!({"name": name, "securityContext": {"capabilities": {"add": [capability]}}})
}

/// Waits until the report has the condition `NetAdmin`, or has it not.
fn warned(pod: &TestPod<'_>, is_there: bool) -> String {
    eventually("the condition NetAdmin", || {
        let report = pod.report().ok_or("no report")?;
        let conditions = report["status"]["conditions"].as_array().cloned();
        let found = conditions
            .into_iter()
            .flatten()
            .find(|c| c["type"] == "NetAdmin");
        seen(found.is_some() == is_there, &report)?;
        Ok(found.map_or_else(String::new, |c| {
            assert_eq!(
                (&c["status"], &c["reason"]),
                (&"True".into(), &"NetAdminPod".into())
            );
            c["message"].to_string()
        }))
    })
}

fn refused(pod: &TestPod<'_>, words: &str) {
    let link = pod.reason("data0", "NetAdminPod");
    let message = link["message"].as_str().unwrap_or_default();
    assert!(message.contains(words), "{message}");
    pod.lacks("data0");
}

#[test]
fn where_any_may_have_links_the_report_tells_of_net_admin() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let said = json!({"spec": {"containers": [plain(), with("router", "NET_ADMIN")]}});
    let admin = node.bare_pod_saying("tenant-a", "router-0", said);
    let other = node.bare_pod_saying(
        "tenant-a",
        "web-0",
        json!({"spec": {"containers": [plain()]}}),
    );
    node.give_link(&admin, "10.1.0.1/24");
    node.give_link(&other, "10.1.0.2/24");
    admin.ready("data0");
    other.ready("data0");
    assert!(warned(&admin, true).contains("router"));
    warned(&other, false);
}

/// A tenant that is let in first, and takes the capability later.
#[test]
fn a_debug_container_with_net_admin_takes_the_links_away() {
    let node = TestNode::new();
    node.allow_with("UserNamespace");
    let _daemon = node.daemon();
    let said = json!({"spec": {"containers": [plain()]}});
    let mut pod = node.bare_pod_saying("tenant-a", "web-0", said.clone());
    node.give_link(&pod, "10.1.0.1/24");
    pod.ready("data0");
    pod.say(json!({"spec": {"containers": [plain()], "ephemeralContainers": [with("debugger", "net_admin")]}}));
    refused(&pod, "debugger");
    warned(&pod, true);
    node.is_clean();
    pod.say(said);
    pod.ready("data0");
    warned(&pod, false);
}

#[test]
fn every_way_to_the_capability_is_refused_until_the_policy_lets_it() {
    let node = TestNode::new();
    node.allow_with("UserNamespace");
    let _daemon = node.daemon();
    let privileged = json!({"name": "root", "securityContext": {"privileged": true}});
    let pods = [
        ("a", json!({"containers": [with("c", "ALL")]})),
        (
            "b",
            json!({"containers": [plain()], "initContainers": [with("c", "CAP_NET_ADMIN")]}),
        ),
        ("c", json!({"containers": [privileged], "hostUsers": true})),
    ]
    .map(|(name, spec)| node.bare_pod_saying("tenant-a", name, json!({"spec": spec})));
    for (number, pod) in pods.iter().enumerate() {
        node.give_link(pod, &format!("10.1.0.{}/24", number + 1));
        refused(pod, "Policy guarded");
    }
    node.allow_with("Any");
    for pod in &pods {
        pod.ready("data0");
        warned(pod, true);
    }
}

/// What a manifest claims, and what it does not say, the kernel decides.
#[test]
fn the_kernel_says_whether_there_is_a_user_namespace() {
    let node = TestNode::new();
    node.allow_with("UserNamespace");
    let _daemon = node.daemon();
    let claims = json!({"spec": {"containers": [with("c", "NET_ADMIN")], "hostUsers": false}});
    let pods = [
        (
            node.bare_pod_saying("tenant-a", "liar", claims.clone()),
            Some("though the pod says"),
        ),
        (
            node.bare_pod("tenant-a", "silent"),
            Some("names no containers"),
        ),
        (
            node.user_namespace_pod("tenant-a", "contained", claims),
            None,
        ),
        (
            node.user_namespace_pod("tenant-a", "silent-too", Value::Null),
            None,
        ),
    ];
    for (number, (pod, words)) in pods.iter().enumerate() {
        node.give_link(pod, &format!("10.1.0.{}/24", number + 1));
        match words {
            Some(words) => refused(pod, words),
            None => {
                pod.ready("data0");
                warned(pod, false);
            }
        }
    }
}

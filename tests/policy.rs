//! Default deny, judged at every reconcile; each field of a link is limited by its plural.

use std::time::Duration;

use crate::support::{
    look::index,
    manifests::{ANY_VETH, OWN_BRIDGES, POLICY, config, config_for, namespace, on_bridge, policy},
    node::TestNode,
    wait::{eventually, seen, stays},
};

#[test]
fn without_a_policy_nobody_gets_anything() {
    let node = TestNode::builder().daemon().start();
    let pod = node.connected("tenant-a", "web-0", "10.1.0.1/24");
    pod.reason("data0", "NoPolicy");
    assert!(pod.find("data0").is_none());
    node.is_clean();
    eventually("the PodConfig is not ready", || {
        let status = node.status("tenant-a", "web-0").ok_or("no status")?;
        let conditions = status["status"]["conditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let refused = conditions
            .iter()
            .any(|c| c["type"] == "Ready" && c["status"] == "False");
        seen(refused && status["status"]["failed"] == 1, status)
    });
}

/// Attack 17: the policy is withdrawn, but the link stays.
#[test]
fn a_withdrawn_policy_removes_the_links_and_the_report_says_why() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let pod = node.connected("tenant-a", "web-0", "10.1.0.1/24");
    pod.ready("data0");
    node.withdraw("policy");
    pod.lacks("data0");
    pod.reason("data0", "NoPolicy");
    node.is_clean();
    node.allow_own_bridges();
    pod.ready("data0");
}

#[test]
fn a_narrowed_policy_removes_what_it_no_longer_allows_and_nothing_else() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let pod = node.bare_pod("tenant-a", "web-0");
    let links = "[{name: data0, veth: {bridge: blue}, addresses: [10.1.0.1/24]}, \
                  {name: data1, veth: {bridge: red}, addresses: [10.2.0.1/24]}]";
    node.configure("tenant-a", "x", "web-0", links);
    pod.ready("data0");
    let kept = index(&pod.ready("data1"));
    node.apply(
        "policy",
        &policy(
            "own-bridges",
            "{}",
            "[{veth: {bridges: Own}, addresses: [10.2.0.0/16]}]",
        ),
    );
    pod.lacks("data0");
    pod.reason("data0", "NotAllowed");
    assert_eq!(index(&pod.link("data1")), kept);
}

#[test]
fn a_namespace_that_is_relabelled_loses_and_regains_its_links() {
    let node = TestNode::new();
    node.apply(
        "policy",
        &policy(
            "telco",
            "{matchLabels: {tier: cnf}}",
            &format!("[{OWN_BRIDGES}]"),
        ),
    );
    node.apply("ns-a", &namespace("tenant-a", "{tier: cnf}"));
    node.apply("ns-b", &namespace("tenant-b", "{tier: web}"));
    let _daemon = node.daemon();
    let (a, b) = (
        node.bare_pod("tenant-a", "web-0"),
        node.bare_pod("tenant-b", "web-0"),
    );
    node.connect("tenant-a", "web-0", "data0", "10.1.0.1/24");
    node.connect("tenant-b", "web-0", "data0", "10.1.0.1/24");
    a.ready("data0");
    b.reason("data0", "NoPolicy");
    assert!(b.find("data0").is_none());
    node.apply("ns-a", &namespace("tenant-a", "{tier: web}"));
    a.lacks("data0");
    a.reason("data0", "NoPolicy");
    node.apply("ns-a", &namespace("tenant-a", "{tier: cnf}"));
    a.ready("data0");
}

fn limited(name: &str, limit: &str) -> String {
    format!(
        "{POLICY}metadata: {{name: {name}}}\n\
         spec: {{namespaceSelector: {{}}, allow: [{OWN_BRIDGES}], limits: {{{limit}}}}}\n"
    )
}

/// Attack 10, its small half: a tenant asks for more than its share.
#[test]
fn links_per_pod_are_counted() {
    let node = TestNode::new();
    let limited = |links: u32| limited("low", &format!("linksPerPod: {links}"));
    node.apply("policy", &limited(2));
    let _daemon = node.daemon();
    let pod = node.bare_pod("tenant-a", "web-0");
    let links = "[{name: d0, veth: {bridge: b0}}, {name: d1, veth: {bridge: b1}}, {name: d2, veth: {bridge: b2}}]";
    node.configure("tenant-a", "x", "web-0", links);
    pod.ready("d0");
    pod.ready("d1");
    pod.reason("d2", "TooManyLinks");
    assert!(pod.find("d2").is_none());
    node.apply("policy", &limited(3));
    pod.ready("d2");
    node.apply("policy", &limited(1));
    pod.lacks("d1");
    pod.lacks("d2");
    assert!(pod.find("d0").is_some());
}

#[test]
fn pods_per_namespace_are_counted_and_the_highest_of_several_limits_holds() {
    let node = TestNode::new();
    let limited = |name: &str, pods: u32| limited(name, &format!("podsPerNamespace: {pods}"));
    node.apply("policy", &limited("low", 1));
    let _daemon = node.daemon();
    let pods = [
        node.bare_pod("tenant-a", "a"),
        node.bare_pod("tenant-a", "b"),
        node.bare_pod("tenant-b", "c"),
    ];
    for namespace in ["tenant-a", "tenant-b"] {
        let all = config_for(
            namespace,
            "all",
            "{}",
            "[{name: data0, veth: {bridge: blue}}]",
        );
        node.apply(namespace, &all);
    }
    pods[2].ready("data0");
    eventually("one of the two pods is told", || {
        let reasons: Vec<_> = pods[..2]
            .iter()
            .filter_map(|p| p.reported("data0"))
            .map(|t| t["reason"].clone())
            .collect();
        let told = reasons
            .iter()
            .filter(|reason| **reason == "TooManyPods")
            .count();
        seen(reasons.len() == 2 && told == 1, format!("{reasons:?}"))
    });
    assert_eq!(
        pods[..2]
            .iter()
            .filter(|pod| pod.find("data0").is_some())
            .count(),
        1
    );
    node.apply("higher", &limited("high", 2));
    pods[0].ready("data0");
    pods[1].ready("data0");
}

/// Attack 1: a bridge of the node by its name.
#[test]
fn a_tenants_bridge_name_is_never_a_bridge_of_the_node() {
    let node = TestNode::new();
    node.add_bridge("br-lan", "192.168.7.1/24");
    let near = OWN_BRIDGES.replace(
        "routes:",
        "mayOverlap: [{prefix: 192.168.7.0/24, sources: [NodeRoutes]}], routes:",
    );
    node.apply("policy", &policy("near", "{}", &format!("[{near}]")));
    let _daemon = node.daemon();
    let pod = node.pod("tenant-a", "web-0");
    node.configure(
        "tenant-a",
        "a",
        "web-0",
        &on_bridge("data0", "br-lan", "192.168.7.10/24"),
    );
    node.configure(
        "tenant-a",
        "b",
        "web-0",
        &on_bridge("data1", "cni0", "10.99.0.10/24"),
    );
    pod.ready("data0");
    pod.ready("data1");
    assert_eq!(
        node.ip(&["link", "show", "master", "br-lan"])
            .as_array()
            .unwrap()
            .len(),
        0
    );
    assert!(!pod.reaches("192.168.7.1"));
}

/// Attack 1: parents that no policy names, by `hostBridge`.
#[test]
fn no_link_of_the_node_can_be_had_without_being_named() {
    let node = TestNode::new();
    node.apply("policy", &policy("lan", "{}", &format!("[{ANY_VETH}]")));
    let _daemon = node.daemon();
    let pod = node.pod("tenant-a", "web-0");
    for (number, parent) in ["cni0", "lo", "eth0", "docker0"].iter().enumerate() {
        let links = format!(
            "[{{name: l{number}, veth: {{hostBridge: {parent}}}, addresses: [10.88.7.7/16]}}]"
        );
        node.apply(
            parent,
            &config("tenant-a", &format!("c{number}"), "web-0", &links),
        );
    }
    for number in 0..4 {
        let name = format!("l{number}");
        eventually("the link is refused", || {
            let status = node
                .status("tenant-a", &format!("c{number}"))
                .ok_or("no status")?;
            let text = format!("{status}{}", node.refused());
            seen(
                text.contains("NotAllowed")
                    || text.contains("Invalid")
                    || text.contains("hostBridge"),
                text,
            )
        });
        assert!(pod.find(&name).is_none());
    }
    stays(
        "nothing of ours comes to the node",
        Duration::from_millis(100),
        || {
            let ours = node.ours_on_node();
            seen(ours.is_empty(), format!("{ours:?}"))
        },
    );
}

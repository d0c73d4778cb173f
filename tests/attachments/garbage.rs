//! GC: a plugin deletes what is not listed to it, so all that anybody has attached is listed, or no GC runs.

use serde_json::json;

use super::{
    annotation::{NETWORKS, STATUS},
    *,
};
use crate::support::pod::TestPod;

/// Notes what GC gets, by network.
const NOTES_GC: &str = "[ $CNI_COMMAND != GC ] || cat >/var/lib/cni/gc-$(date +%s%N)";
const RULE: &str =
    "{cni: {definitions: [{namespace: networks, names: [fast, slow]}]}, addresses: [10.77.0.0/16]}";
const BOTH: &str = "[{name: net1, cni: {networkAttachmentDefinition: networks/fast}}, {name: net2, cni: {networkAttachmentDefinition: networks/slow}}]";
const FAST: &str = r#"{"cniVersion": "1.1.0", "name": "fast-net", "type": "bad"}"#;
const SLOW: &str = r#"{"cniVersion": "1.1.0", "name": "slow-net", "type": "bad"}"#;

/// A pod with a link of each network, and what else the node has before the first GC.
fn collected<'n>(node: &'n TestNode, fast: &str, more: &str) -> (Opened, TestPod<'n>) {
    let runner = prepare(node);
    runner.fake("bad", &format!("{NOTES_GC}\n{MAKES_A_LINK}"));
    node.apply("policy", &policy("telco", "{}", &format!("[{RULE}]")));
    define(node, "fast", fast);
    define(node, "slow", SLOW);
    node.shell(&format!("mkdir -p /var/lib/cni/multus/results && {more}"));
    let flags = [
        FLAGS.as_slice(),
        &["--networks-annotation", "match", "--gc-after", "3"],
    ]
    .concat();
    let daemon = node.daemon_with(&Options {
        more: &flags,
        ..Options::default()
    });
    let pod = node.bare_pod("tenant-a", "web");
    node.apply("web", &config("tenant-a", "web", "web", BOTH));
    pod.ready("net1");
    pod.ready("net2");
    (Opened { daemon, runner }, pod)
}

/// The requests of GC so far, by the name of the network.
fn requests(node: &TestNode, network: &str) -> Vec<Value> {
    let all = node.shell("cat /var/lib/cni/gc-* 2>/dev/null || true");
    let all = serde_json::Deserializer::from_str(&all).into_iter::<Value>();
    let all = all.map(|request| request.expect("the request is JSON"));
    all.filter(|request| request["name"] == network).collect()
}

fn waits_for(node: &TestNode, network: &str) -> Value {
    eventually(&format!("GC of {network} has run"), || {
        let found = requests(node, network).pop();
        found.ok_or_else(|| "no request".to_owned())
    })
}

fn logs(opened: &Opened, words: &str) {
    eventually(&format!("the daemon logs {words:?}"), || {
        let log = opened.daemon.log();
        seen(log.contains(words), log)
    });
}

/// A file as libcni writes it.
fn cached(folder: &str, network: &str, container: &str) -> String {
    let text = json!({"kind": "cniCacheV1", "networkName": network, "containerId": container, "ifName": "net7"});
    format!(
        "mkdir -p {folder}/results && echo '{text}' >{folder}/results/{network}-{container}-net7"
    )
}

#[test]
fn gc_lists_what_anybody_has_attached_to_the_network() {
    let node = TestNode::new();
    let others = [
        cached("/var/lib/cni/multus", "fast-net", "multus"),
        cached("/var/lib/cni/multus", "fast-net-2", "another"),
        cached("/var/lib/cni", "fast-net", "runtime"),
    ];
    let (_opened, pod) = collected(&node, FAST, &others.join(" && "));
    let request = waits_for(&node, "fast-net");
    let mut valid = request["cni.dev/valid-attachments"]
        .as_array()
        .unwrap()
        .clone();
    valid.sort_by_key(ToString::to_string);
    let of = |container: &str, ifname: &str| json!({"containerID": container, "ifname": ifname});
    let own = of(&pod.attachment.container, "net1");
    assert_eq!(valid, [own, of("multus", "net7"), of("runtime", "net7")]);
    assert_eq!(request["cniVersion"], "1.1.0");
    assert!(request.get("prevResult").is_none(), "{request}");
    let request = waits_for(&node, "slow-net");
    let own = of(&pod.attachment.container, "net2");
    assert_eq!(request["cni.dev/valid-attachments"], json!([own]));
}

/// Of `fast-net` no GC may run; that of `slow-net`, which is the later one, has.
fn leaves_out(fast: &str, more: &str) {
    let node = TestNode::new();
    let (_opened, _pod) = collected(&node, fast, more);
    waits_for(&node, "slow-net");
    assert_eq!(requests(&node, "fast-net"), Vec::<Value>::new());
}

#[test]
fn a_cache_that_cannot_be_read_whole_leaves_gc_out() {
    let torn = "echo '{\"kind\":' >/var/lib/cni/multus/results/fast-net-c9-net1";
    leaves_out(FAST, torn);
}

#[test]
fn a_network_of_the_nodes_own_configuration_is_the_runtimes_to_collect() {
    let folder = crate::support::runner::CONF_DIR;
    let own = r#"{"cniVersion": "1.0.0", "name": "fast-net", "type": "ptp"}"#;
    leaves_out(
        FAST,
        &format!("mkdir -p {folder} && echo '{own}' >{folder}/10-own.conf"),
    );
}

#[test]
fn a_configuration_may_disable_gc_and_an_old_one_has_none() {
    leaves_out(
        &FAST.replace("\"name\"", "\"disableGC\": true, \"name\""),
        "true",
    );
    leaves_out(&FAST.replace("1.1.0", "1.0.0"), "true");
}

/// What Multus attaches at pod start is in its cache only at the end.
#[test]
fn no_gc_runs_while_a_pod_with_networks_is_started() {
    let node = TestNode::new();
    let starting = json!({"status": {"phase": "Pending"}});
    let mut other = node.bare_pod_saying("tenant-a", "starting", starting);
    other.annotate(json!({NETWORKS: "fast"}));
    let (opened, _pod) = collected(&node, FAST, "true");
    logs(&opened, "pod tenant-a/starting is being started");
    assert_eq!(requests(&node, "slow-net"), Vec::<Value>::new());
    drop(other);
}

/// Then Multus keeps its files elsewhere.
#[test]
fn without_a_cache_of_multus_nothing_of_others_may_be_attached() {
    let node = TestNode::new();
    let mut other = node.bare_pod("tenant-a", "other");
    let status = json!([{"name": "t/fast", "interface": "net1", "dns": {}}]);
    other.annotate(json!({STATUS: status.to_string()}));
    let (opened, _pod) = collected(&node, FAST, "rm -r /var/lib/cni/multus");
    logs(&opened, "there is no cache of Multus");
    assert_eq!(requests(&node, "slow-net"), Vec::<Value>::new());
}

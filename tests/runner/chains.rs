use runner::protocol::{Operation, RefusalKind};
use serde_json::{Value, json};

use crate::support::{
    node::TestNode,
    pod::TestPod,
    runner::{TestRunner, chain_of},
};

fn bridge_chain() -> [Value; 3] {
    [
        json!({"type": "bridge", "bridge": "cbr", "isGateway": true, "ipMasq": true, "ipam": {
            "type": "host-local", "ranges": [[{"subnet": "10.77.0.0/24"}]]}}),
        json!({"type": "tuning", "sysctl": {"net.ipv4.conf.net1.arp_notify": "1"}}),
        json!({"type": "portmap", "capabilities": {"portMappings": true}}),
    ]
}

/// Interfaces of the pod beside `lo`.
fn links(pod: &TestPod<'_>) -> Vec<String> {
    let links = pod.ip(&["link", "show"]);
    let names = links.as_array().unwrap().iter();
    let names = names.map(|link| link["ifname"].as_str().unwrap().to_owned());
    names.filter(|name| name != "lo").collect()
}

/// What plugins leave on a node: rules, reservations, links, mounts. portmap's common chains stay, as it has them.
fn traces(node: &TestNode) -> Vec<String> {
    [
        "iptables-save | grep -E 'CNI-(DN|SN|[0-9a-f]{12})'",
        "find /var/lib/cni -name '10.*'",
        "ip -br link | grep veth",
        "grep -c . /proc/self/mountinfo",
    ]
    .map(|command| node.shell(&format!("{command} || true")))
    .to_vec()
}

fn has(node: &TestNode, runner: &TestRunner, pod: &TestPod<'_>, plugins: &[Value], version: &str) {
    let before = traces(node);
    let mut chain = chain_of(pod, version, plugins);
    chain.runtime_config.insert(
        "portMappings".into(),
        json!([{"hostPort": 30080, "containerPort": 80, "protocol": "tcp"}]),
    );
    chain.digests = runner
        .ask(None, &chain, Operation::Preflight)
        .unwrap()
        .digests;
    let result = runner.add(pod, &chain);
    assert_eq!(links(pod), ["net1"]);
    let addresses = pod.ip(&["address", "show", "dev", "net1"]);
    let given = result["ips"][0]["address"].as_str().unwrap();
    let local = addresses[0]["addr_info"].as_array().unwrap().iter();
    assert!(
        local
            .clone()
            .any(|a| given.starts_with(a["local"].as_str().unwrap())),
        "{addresses}"
    );
    assert_eq!(runner.del(Some(pod), &chain, &result).first_fault(), None);
    assert_eq!(links(pod), [""; 0]);
    assert_eq!(traces(node), before);
    // DEL may be repeated.
    assert_eq!(runner.del(Some(pod), &chain, &result).first_fault(), None);
}

#[test]
fn a_chain_is_attached_and_detached_without_a_trace_in_every_version() {
    let node = TestNode::new();
    let runner = node.runner(&["bridge", "tuning", "portmap", "host-local"], &[]);
    let pod = node.bare_pod("tenant-a", "web");
    // The bridge itself stays, as its plugin has it.
    node.shell("ip link add cbr type bridge && ip link set cbr up");
    for version in ["0.3.0", "0.3.1", "0.4.0", "1.0.0"] {
        has(&node, &runner, &pod, &bridge_chain(), version);
    }
}

#[test]
fn a_macvlan_is_attached_and_detached_without_a_trace() {
    let node = TestNode::new();
    let runner = node.runner(&["macvlan", "host-local"], &[]);
    let pod = node.bare_pod("tenant-a", "web");
    node.shell(
        "ip link add up0 type veth peer name up1 && ip link set up0 up && ip link set up1 up",
    );
    let macvlan = json!({"type": "macvlan", "master": "up0", "mode": "bridge", "ipam": {
        "type": "host-local", "ranges": [[{"subnet": "10.77.1.0/24"}]]}});
    has(&node, &runner, &pod, &[macvlan], "1.0.0");
}

#[test]
fn check_passes_after_add_and_fails_after_the_link_is_gone() {
    let node = TestNode::new();
    let runner = node.runner(&["macvlan", "static"], &[]);
    let pod = node.bare_pod("tenant-a", "web");
    node.shell("ip link add up0 type veth peer name up1 && ip link set up0 up");
    let macvlan = json!({"type": "macvlan", "master": "up0", "ipam": {
        "type": "static", "addresses": [{"address": "10.77.1.7/24"}]}});
    let chain = chain_of(&pod, "1.0.0", &[macvlan]);
    let check = |prev_result| Operation::Check {
        prev_result,
        which: None,
    };
    let result = runner.add(&pod, &chain);
    let checked = runner
        .ask(Some(&pod), &chain, check(result.clone()))
        .unwrap();
    assert_eq!(checked.first_fault(), None);
    pod.run(&["ip", "link", "delete", "net1"]);
    let checked = runner.ask(Some(&pod), &chain, check(result)).unwrap();
    assert!(checked.first_fault().is_some());
}

/// DEL without the namespace leaks with these plugins; with its descriptor it does not, whatever its path has become.
#[test]
fn del_undoes_all_with_a_namespace_whose_path_is_gone() {
    let node = TestNode::new();
    let runner = node.runner(&["bridge", "tuning", "portmap", "host-local"], &[]);
    let pod = node.bare_pod("tenant-a", "web");
    let before = traces(&node);
    let chain = chain_of(&pod, "1.0.0", &bridge_chain());
    let result = runner.add(&pod, &chain);
    let netns = std::fs::File::open(node.path(&pod.attachment.netns)).unwrap();
    node.run(&["umount", "--lazy", &pod.attachment.netns]);
    let deleted = runner.del_in(&netns, &chain, &result);
    assert_eq!(deleted.first_fault(), None);
    node.run(&["rm", &pod.attachment.netns]);
    let after = traces(&node);
    assert_eq!(after[..3], before[..3]);
}

#[test]
fn a_plugin_that_is_not_on_the_nodes_list_is_refused_at_any_depth() {
    let node = TestNode::new();
    let runner = node.runner(&["bridge"], &[]);
    let pod = node.bare_pod("tenant-a", "web");
    let hidden = json!({"type": "bridge", "bridge": "cbr", "ipam": {"type": "host-local"}});
    let refusal = runner.ask(
        Some(&pod),
        &chain_of(&pod, "1.0.0", &[hidden]),
        Operation::Add,
    );
    let refusal = refusal.unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::Plugin);
    assert!(
        refusal.message.contains("host-local"),
        "{}",
        refusal.message
    );
    assert_eq!(links(&pod), [""; 0]);
}

#[test]
fn the_nodes_own_namespace_is_refused() {
    let node = TestNode::new();
    let runner = node.runner(&["macvlan"], &[]);
    let pod = node.bare_pod("tenant-a", "web");
    let macvlan = json!({"type": "macvlan", "master": "lo"});
    let chain = chain_of(&pod, "1.0.0", &[macvlan]);
    let own = std::fs::File::open(format!("/proc/{}/ns/net", node.pid())).unwrap();
    let refusal = runner.add_in(&own, &chain).unwrap_err();
    assert!(
        refusal.message.contains("own namespace"),
        "{}",
        refusal.message
    );
    let mount = std::fs::File::open(format!("/proc/{}/ns/mnt", node.pid())).unwrap();
    let refusal = runner.add_in(&mount, &chain).unwrap_err();
    assert!(
        refusal.message.contains("another type"),
        "{}",
        refusal.message
    );
}

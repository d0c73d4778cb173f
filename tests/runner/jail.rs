use cni::PluginError;
use runner::protocol::{Fault, Operation};
use serde_json::json;

use crate::support::{
    node::TestNode,
    runner::{TestRunner, chain_of},
};

/// What a plugin finds by these commands of the shell: its message.
fn finds(node: &TestNode, runner: &TestRunner, script: &str) -> String {
    let pod = node.bare_pod("tenant-a", &format!("web-{}", node.next_number()));
    // The words of an error reach the test.
    let script = format!(
        "found=$( ( {script} ) 2>&1 | tr '\\n\"\\t' '; ' | head -c 3000)\nprintf '{{\"code\": 100, \"msg\": \"%s\"}}' \"$found\"\nexit 1"
    );
    runner.fake("look", &script);
    let chain = chain_of(&pod, "1.0.0", &[json!({"type": "look"})]);
    let executed = runner.ask(Some(&pod), &chain, Operation::Add).unwrap();
    match executed.first_fault() {
        Some((_, Fault::Plugin(PluginError { msg, .. }))) => msg.clone(),
        other => panic!("{other:?}"),
    }
}

fn opened() -> (TestNode, TestRunner) {
    let node = TestNode::new();
    let runner = node.runner(&["look"], &[]);
    (node, runner)
}

#[test]
fn a_plugin_has_an_environment_of_its_own_and_four_capabilities() {
    let (node, runner) = opened();
    let found = finds(
        &node,
        &runner,
        "env | cut -d= -f1 | grep -v -e '^_$' -e PWD -e SHLVL -e OLDPWD | sort",
    );
    assert_eq!(
        found.trim_end_matches(';'),
        "CNI_ARGS;CNI_COMMAND;CNI_CONTAINERID;CNI_IFNAME;CNI_NETNS;CNI_PATH;PATH"
    );
    // DAC_OVERRIDE 1, NET_ADMIN 12, NET_RAW 13, SYS_ADMIN 21.
    let found = finds(
        &node,
        &runner,
        "grep -E 'Cap(Eff|Prm|Bnd)|NoNewPrivs' /proc/self/status",
    );
    let four = format!("{:016x}", 1_u64 << 1 | 1 << 12 | 1 << 13 | 1 << 21);
    assert_eq!(found.matches(&four).count(), 3, "{found}");
    assert!(found.contains("NoNewPrivs: 1"), "{found}");
}

/// The socket on which a jail responds, above all: with it a plugin could write the response of its chain.
#[test]
fn a_plugin_inherits_no_socket() {
    let (node, runner) = opened();
    let found = finds(&node, &runner, "ls -l /proc/self/fd | grep -c socket:");
    assert_eq!(found.trim_end_matches(';'), "0");
}

#[test]
fn a_plugin_sees_no_process_but_its_own() {
    let (node, runner) = opened();
    let found = finds(&node, &runner, "ls -d /proc/[0-9]* | wc -l");
    let count: u32 = found.trim_end_matches(';').trim().parse().unwrap();
    assert!(count < 12, "{found}");
    let found = finds(&node, &runner, "cat /proc/1/comm");
    assert!(
        found.contains("reconfd") || found.contains("exe"),
        "{found}"
    );
}

/// Process 1 has the socket to the runner, and the descriptors of namespaces.
#[test]
fn a_plugin_reaches_nothing_of_process_1() {
    let (node, runner) = opened();
    let script = "for f in exe root cwd fd/0 ns/mnt ns/net; do readlink /proc/1/$f && echo reached $f; done; echo end";
    let found = finds(&node, &runner, script);
    assert_eq!(found.trim_end_matches(';'), "end");
    let found = finds(
        &node,
        &runner,
        "readlink /proc/self/fd/* | grep socket; echo end",
    );
    assert_eq!(found.trim_end_matches(';'), "end");
}

#[test]
fn the_name_of_the_node_is_no_plugins() {
    let (node, runner) = opened();
    let before = node.run(&["uname", "-n"]);
    finds(&node, &runner, "hostname stolen");
    assert_eq!(node.run(&["uname", "-n"]), before);
}

/// An empty file is made where the namespace is shown: never outside of `/run`.
#[test]
fn a_path_of_the_namespace_that_leads_upwards_is_refused() {
    let (node, runner) = opened();
    node.shell("mkdir -p /var/lib/cni/networks && echo kept >/var/lib/cni/networks/file");
    runner.fake("look", "exit 1");
    let pod = node.bare_pod("tenant-a", "web");
    let mut chain = chain_of(&pod, "1.0.0", &[json!({"type": "look"})]);
    chain.netns = "/run/../var/lib/cni/networks/file".into();
    let refusal = runner.ask(Some(&pod), &chain, Operation::Add).unwrap_err();
    assert!(
        refusal.message.contains("network namespace") || refusal.message.contains("/run/.."),
        "{}",
        refusal.message
    );
    assert_eq!(node.run(&["cat", "/var/lib/cni/networks/file"]), "kept\n");
}

#[test]
fn a_plugin_writes_its_reservations_and_nothing_else_of_the_node() {
    let (node, runner) = opened();
    let script = "for d in /etc /usr /opt /root /home /var/lib /var/lib/podconfig /run/podconfig /proc/sys/kernel/core_pattern /sys/kernel /dev/sda /; do \
        echo x 2>/dev/null >$d/jail-test && echo wrote $d; done; \
        echo x 2>/dev/null >/proc/sys/kernel/core_pattern && echo wrote core_pattern; \
        echo h 2>/dev/null >/proc/sysrq-trigger && echo wrote sysrq; \
        mkdir -p /var/lib/cni/networks && echo x >/var/lib/cni/networks/mine && echo reserved";
    assert_eq!(
        finds(&node, &runner, script).trim_end_matches(';'),
        "reserved"
    );
    assert_eq!(node.run(&["cat", "/var/lib/cni/networks/mine"]).trim(), "x");
}

#[test]
fn a_plugin_finds_no_socket_and_no_secret() {
    let (node, runner) = opened();
    node.shell("mkdir -p /run/containerd && touch /run/containerd/containerd.sock /run/secret");
    let script = "ls -A /run | sort | tr '\\n' ' '; ls -A /root /home /var/lib/kubelet /var/lib/containerd 2>/dev/null | grep -v : | grep .";
    let found = finds(&node, &runner, script);
    assert!(
        !found.contains("containerd") && !found.contains("secret"),
        "{found}"
    );
    assert!(!found.contains("podconfig"), "{found}");
    assert!(
        found.contains("netns") && found.contains("xtables.lock"),
        "{found}"
    );
}

#[test]
fn the_namespace_is_at_its_recorded_path() {
    let (node, runner) = opened();
    let found = finds(
        &node,
        &runner,
        "nsenter --net=$CNI_NETNS ip -br link | wc -l; ls /run/netns | wc -l",
    );
    assert_eq!(
        found.replace(' ', "").trim_end_matches(';'),
        "1;1",
        "{found}"
    );
}

/// A sysctl of the network is a plugin's business: in the pod, and where it is asked for on the node.
#[test]
fn a_plugin_writes_settings_of_the_network() {
    let (node, runner) = opened();
    let found = finds(
        &node,
        &runner,
        "nsenter --net=$CNI_NETNS sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward' && echo done",
    );
    assert_eq!(found.trim_end_matches(';'), "done");
}

#[test]
fn a_shared_file_is_in_the_jail_where_the_node_says_so() {
    let node = TestNode::new();
    node.shell("mkdir -p /run/openvswitch && touch /run/openvswitch/db.sock");
    let runner = node.runner(&["look"], &["--share", "/run/openvswitch/db.sock"]);
    let found = finds(&node, &runner, "ls /run/openvswitch");
    assert_eq!(found.trim_end_matches(';'), "db.sock");
}

/// Nothing of a jail is seen outside.
#[test]
fn the_nodes_mounts_are_as_before() {
    let (node, runner) = opened();
    let mounts = || node.run(&["sh", "-c", "cut -d' ' -f4- /proc/self/mountinfo | sort"]);
    let before = mounts();
    finds(&node, &runner, "true");
    // The pod's own namespace has come.
    let after: Vec<String> = mounts()
        .lines()
        .filter(|l| !l.contains("/run/netns/cni-"))
        .map(str::to_owned)
        .collect();
    let before: Vec<String> = before
        .lines()
        .filter(|l| !l.contains("/run/netns/cni-"))
        .map(str::to_owned)
        .collect();
    assert_eq!(after, before);
}

//! Links that CNI plugins make in running pods: asked for, judged, undone.

use serde_json::Value;

pub use crate::support::plugins::{FLAGS, define, options};
use crate::support::{
    daemon::{Daemon, Options},
    manifests::{config, policy},
    node::TestNode,
    runner::TestRunner,
    wait::{eventually, seen},
};

/// What a pod's annotation requests.
mod annotation;
/// What tenants try.
mod attacks;
/// Plugins that cannot serve ADD yet.
mod availability;
/// An ADD that has no result.
mod cut_off;
/// Default routes that elements of the annotation ask for.
mod default_route;
/// GC of networks.
mod garbage;
/// Addresses and routes that plugins give to the node.
mod gateways;
/// What tenants try while plugins run.
mod hostile;
/// What a configuration makes plugins try.
mod hostile_configuration;
/// Plugins that do wrong.
mod misbehaving;
/// What Multus attached at pod start.
mod multus;
/// Definitions whose configuration is a file of the node.
mod node_file;
/// Links on other links of the pod.
mod on_links;
/// Debian's plugins, each in every version and way to end.
mod plugins;
/// What is refused.
mod refused;
/// Daemons and runners that end.
mod restart;
/// What was attached and is no longer allowed.
mod withdrawn;

const RULE: &str = "{cni: {definitions: [{namespace: networks, names: [fast, slow]}]}, addresses: [10.77.0.0/16], routes: [0.0.0.0/0]}";
const LINK: &str = "[{name: net1, cni: {networkAttachmentDefinition: networks/fast}}]";

/// A plugin's script: ADD makes a link, DEL deletes it.
const MAKES_A_LINK: &str = "case $CNI_COMMAND in
ADD) nsenter --net=$CNI_NETNS ip link add $CNI_IFNAME type bridge
nsenter --net=$CNI_NETNS ip link set $CNI_IFNAME up
echo \"{\\\"cniVersion\\\":\\\"1.0.0\\\",\\\"interfaces\\\":[{\\\"name\\\":\\\"$CNI_IFNAME\\\",\\\"sandbox\\\":\\\"x\\\"}]}\";;
DEL) nsenter --net=$CNI_NETNS ip link delete $CNI_IFNAME; exit 0;;
esac";

struct Opened {
    daemon: Daemon,
    runner: TestRunner,
}

/// A node with a device `up0`, a runner with Debian's plugins and `bad`, and a daemon.
fn open(node: &TestNode) -> Opened {
    let runner = prepare(node);
    node.apply("policy", &policy("telco", "{}", &format!("[{RULE}]")));
    Opened {
        daemon: node.daemon_with(&options()),
        runner,
    }
}

fn prepare(node: &TestNode) -> TestRunner {
    node.shell(
        "ip link add up0 type veth peer name up1 && ip link set up0 up && ip link set up1 up",
    );
    let plugins = ["macvlan", "bridge", "host-local", "static", "tuning", "bad"];
    let limits = [
        ["--plugin-timeout", "2"],
        ["--chain-memory", "128"],
        ["--chain-processes", "128"],
    ];
    node.runner(&plugins, limits.as_flattened())
}

pub fn macvlan(subnet: &str) -> String {
    format!(
        r#"{{"cniVersion": "1.0.0", "type": "macvlan", "master": "up0", "mode": "bridge", "ipam": {{"type": "host-local", "ranges": [[{{"subnet": "{subnet}"}}]]}}}}"#
    )
}

/// Addresses that host-local has given out.
fn reservations(node: &TestNode) -> String {
    node.shell("find /var/lib/cni -name '10.*' | sort")
}

/// Files of the store.
fn stored(node: &TestNode) -> String {
    node.shell("ls /run/podconfig/state/default/attachments/results 2>/dev/null || true")
}

/// Waits until nothing of an attachment is left.
fn is_clean(node: &TestNode) {
    eventually("nothing is left", || {
        let left = reservations(node) + &stored(node);
        seen(left.is_empty(), left)
    });
}

fn address_of(report: &Value) -> String {
    report["addresses"][0]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn a_macvlan_comes_to_a_running_pod_and_goes_without_a_trace() {
    let node = TestNode::new();
    let _opened = open(&node);
    define(&node, "fast", &macvlan("10.77.0.0/24"));
    let pod = node.bare_pod("tenant-a", "web");
    node.apply("web", &config("tenant-a", "web", "web", LINK));
    pod.ready("net1");
    let report = pod.reported("net1").unwrap();
    assert_eq!(report["kind"], "cni");
    let link = pod.link("net1");
    assert_eq!(link["linkinfo"]["info_kind"], "macvlan");
    let address = address_of(&report);
    assert!(address.starts_with("10.77.0."), "{report}");
    assert_eq!(
        (&report["mac"], &report["mtu"]),
        (&link["address"], &link["mtu"])
    );
    // Its address is claimed, so that no range gives it to another link.
    let ip = address.split('/').next().unwrap();
    eventually("the address is claimed", || {
        let claims = node.shell("grep -rhE 'address:|  ip:' /run/podconfig/objects-claims || true");
        seen(claims.contains(ip), claims)
    });
    node.withdraw("web");
    pod.lacks("net1");
    is_clean(&node);
    eventually("the claim is released", || {
        let claims = node.shell("ls /run/podconfig/objects-claims | grep -c yaml || true");
        seen(claims.trim() == "0", claims)
    });
}

#[test]
fn a_changed_link_is_made_anew_and_a_pod_that_ends_leaves_nothing() {
    let node = TestNode::new();
    let _opened = open(&node);
    define(&node, "fast", &macvlan("10.77.0.0/24"));
    define(&node, "slow", &macvlan("10.77.1.0/24"));
    let pod = node.bare_pod("tenant-a", "web");
    node.apply("web", &config("tenant-a", "web", "web", LINK));
    pod.ready("net1");
    node.apply(
        "web",
        &config("tenant-a", "web", "web", &LINK.replace("fast", "slow")),
    );
    eventually("the link is of the other network", || {
        let report = pod.reported("net1").unwrap_or_default();
        seen(address_of(&report).starts_with("10.77.1."), report)
    });
    pod.delete();
    is_clean(&node);
}

/// The definition is gone before the link, which stays; DEL runs by what was stored.
#[test]
fn a_link_outlives_its_definition_and_is_undone_without_it() {
    let node = TestNode::new();
    let _opened = open(&node);
    define(&node, "fast", &macvlan("10.77.0.0/24"));
    let pod = node.bare_pod("tenant-a", "web");
    node.apply("web", &config("tenant-a", "web", "web", LINK));
    pod.ready("net1");
    let before = pod.link("net1");
    node.withdraw("definition-fast");
    pod.reason("net1", "DefinitionNotFound");
    assert_eq!(pod.link("net1")["ifindex"], before["ifindex"]);
    node.withdraw("web");
    pod.lacks("net1");
    is_clean(&node);
}

#[test]
fn a_withdrawn_policy_takes_the_link_away() {
    let node = TestNode::new();
    let _opened = open(&node);
    define(&node, "fast", &macvlan("10.77.0.0/24"));
    let pod = node.bare_pod("tenant-a", "web");
    node.apply("web", &config("tenant-a", "web", "web", LINK));
    pod.ready("net1");
    node.withdraw("policy");
    pod.lacks("net1");
    is_clean(&node);
}

/// A tenant renames the link: DEL by name alone would answer success, and leave it.
#[test]
fn a_renamed_link_is_undone() {
    let node = TestNode::new();
    let _opened = open(&node);
    define(&node, "fast", &macvlan("10.77.0.0/24"));
    let pod = node.bare_pod("tenant-a", "web");
    node.apply("web", &config("tenant-a", "web", "web", LINK));
    pod.ready("net1");
    pod.shell("ip link set net1 down && ip link set net1 name mine && ip link set mine up");
    node.withdraw("web");
    pod.lacks("mine");
    pod.lacks("net1");
    is_clean(&node);
}

/// Native links go on while a plugin hangs.
#[test]
fn a_plugin_that_hangs_delays_no_native_link() {
    let node = TestNode::new();
    let opened = open(&node);
    node.apply(
        "native",
        &policy(
            "native",
            "{}",
            "[{veth: {bridges: Own}, addresses: [10.99.0.0/16]}]",
        ),
    );
    opened
        .runner
        .fake("bad", "[ $CNI_COMMAND != ADD ] || exec sleep 60");
    define(&node, "fast", r#"{"cniVersion": "1.0.0", "type": "bad"}"#);
    let hanging = node.bare_pod("tenant-a", "hanging");
    node.apply("hanging", &config("tenant-a", "hanging", "hanging", LINK));
    eventually("the plugin runs", || {
        let running = node.shell("pgrep -f 'sleep 60' || true");
        seen(!running.is_empty(), "no plugin")
    });
    let pod = node.bare_pod("tenant-a", "web");
    node.connect("tenant-a", "web", "data0", "10.99.0.10/24");
    pod.ready("data0");
    let running = node.shell("pgrep -f 'sleep 60' || true");
    assert!(
        !running.is_empty(),
        "the plugin ended before the link was ready"
    );
    hanging.reason("net1", "PluginTimeout");
    drop(opened.daemon);
}

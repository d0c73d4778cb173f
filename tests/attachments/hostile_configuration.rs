//! What a configuration can make honest plugins do with files and sockets, if an administrator trusts it: the jail stops
//! it.

use std::{
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixListener},
    },
    time::Duration,
};

use super::*;
use crate::support::{pod::TestPod, wait::within};

/// A plugin is ended after two seconds, and the machine may be busy.
const LONG: Duration = Duration::from_secs(60);

fn with_ipam(ipam: &str) -> String {
    format!(
        r#"{{"cniVersion": "1.0.0", "type": "bridge", "bridge": "ok0", "ipam": {{"type": {ipam}}}}}"#
    )
}

fn host_local(more: &str) -> String {
    with_ipam(&format!(
        r#""host-local", "ranges": [[{{"subnet": "10.77.0.0/24"}}]], {more}"#
    ))
}

/// Debian's plugins run this configuration for a pod. ADD fails with these words, and so does DEL, which meets the same.
fn fails(node: &TestNode, configuration: &str, words: &str) {
    fails_after(node, "true", configuration, words);
}

fn fails_after(node: &TestNode, prepare: &str, configuration: &str, words: &str) {
    let plugins = ["bridge", "host-local", "tuning", "dhcp"];
    let _runner = node.runner(&plugins, &["--plugin-timeout", "2"]);
    node.shell(prepare);
    node.apply("policy", &policy("telco", "{}", &format!("[{RULE}]")));
    let _daemon = node.daemon_with(&options());
    define(node, "fast", configuration);
    let pod = node.bare_pod("tenant-a", "web");
    node.apply("web", &config("tenant-a", "web", "web", LINK));
    says(&pod, words);
}

fn says(pod: &TestPod<'_>, words: &str) {
    within(LONG, "the plugin has failed", || {
        let report = pod.reported("net1").unwrap_or_default();
        let message = report["message"].as_str().unwrap_or_default();
        seen(message.contains(words), report)
    });
}

#[test]
fn reservations_elsewhere_on_the_node_are_not_written() {
    fails(
        &TestNode::new(),
        &host_local(r#""dataDir": "/etc/cron.d""#),
        "read-only file system",
    );
}

#[test]
fn the_root_of_process_1_leads_nowhere_else() {
    fails(
        &TestNode::new(),
        &host_local(r#""dataDir": "/proc/1/root/etc""#),
        "/proc/1/root",
    );
}

#[test]
fn a_link_among_the_reservations_leads_nowhere_else() {
    let node = TestNode::new();
    let link = "mkdir -p /var/lib/cni/networks && ln -s /etc /var/lib/cni/networks/fast";
    fails_after(
        &node,
        link,
        &host_local(r#""routes": []"#),
        "read-only file system",
    );
}

/// The stores of the runtime and of Multus are beside the plugins' own folders.
#[test]
fn the_stores_of_others_are_not_written() {
    let node = TestNode::new();
    let store = "mkdir -p /var/lib/cni/results";
    let configuration = host_local(r#""dataDir": "/var/lib/cni/results""#);
    fails_after(&node, store, &configuration, "read-only file system");
}

#[test]
fn a_pipe_in_place_of_a_file_hangs_until_the_limit() {
    let node = TestNode::new();
    let folder = tempfile::tempdir_in(crate::support::runner::VISIBLE).unwrap();
    let pipe = folder.path().join("pipe");
    node.run(&["mkfifo", pipe.to_str().unwrap()]);
    let configuration = host_local(&format!(r#""resolvConf": "{}""#, pipe.display()));
    fails(&node, &configuration, "did not end within 2 seconds");
}

#[test]
fn the_runtimes_socket_is_not_reached() {
    let node = TestNode::new();
    node.shell("mkdir -p /run/containerd");
    let listener = UnixListener::bind(node.path("/run/containerd/containerd.sock")).unwrap();
    let socket = r#""dhcp", "daemonSocketPath": "/run/containerd/containerd.sock""#;
    fails(&node, &with_ipam(socket), "dial");
    is_unreached(&listener);
}

/// Landlock refuses it (Linux 6.12): the socket has no file that a mount could cover.
#[test]
fn an_abstract_socket_is_not_reached() {
    let node = TestNode::new();
    let address = SocketAddr::from_abstract_name("shim").unwrap();
    let listener = node.in_net(|| UnixListener::bind_addr(&address).unwrap());
    fails(
        &node,
        &with_ipam(r#""dhcp", "daemonSocketPath": "@shim""#),
        "dial",
    );
    is_unreached(&listener);
}

fn is_unreached(listener: &UnixListener) {
    listener.set_nonblocking(true).unwrap();
    let error = listener.accept().expect_err("a plugin has connected");
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn a_setting_outside_of_the_network_is_not_written() {
    let tuning = |key: &str| {
        format!(
            r#"{{"cniVersion": "1.0.0", "plugins": [{{"type": "bridge", "bridge": "ok0"}}, {{"type": "tuning", "sysctl": {{"{key}": "|/bin/false"}}}}]}}"#
        )
    };
    let before = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    fails(
        &TestNode::new(),
        &tuning("net.ipv4./../../kernel/core_pattern"),
        "/proc/sys/net/",
    );
    assert_eq!(
        std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap(),
        before
    );
}

//! System calls that fail once, and a descriptor limit: what can not be known leaves what stands.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::support::{
    daemon::Daemon,
    look::index,
    manifests::config_for,
    node::TestNode,
    pod::TestPod,
    wait::{eventually, seen, within},
};

/// Makes a system call of the daemon fail; until it is dropped.
struct Fault(Child);

impl Fault {
    /// `inject` as `strace` spells it: `setns:error=EAGAIN:when=1`.
    fn inject(daemon: &Daemon, inject: &str) -> Self {
        let pid = daemon.process_id().to_string();
        let call = inject.split(':').next().unwrap();
        let strace = Command::new("strace")
            .args(["-f", "-qq", "-o", "/dev/null", "-p", &pid])
            .args([
                "-e",
                &format!("trace={call}"),
                "-e",
                &format!("inject={inject}"),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("strace is there");
        let traced = format!("TracerPid:\t{}", strace.id());
        eventually("the daemon is traced", || {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
            let status = status.map_err(|error| error.to_string())?;
            seen(status.contains(&traced), status)
        });
        Self(strace)
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.0.id().cast_signed());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

/// Of each kind a link, and the pod that has them.
fn connected(node: &TestNode) -> TestPod<'_> {
    node.allow_everything();
    let pod = node.bare_pod("tenant-a", "a");
    let links = "[{name: data0, veth: {bridge: blue}, addresses: [10.1.0.1/24], \
          routes: [{to: 0.0.0.0/0, via: 10.1.0.254, table: 200}]}, \
         {name: r0, veth: {routed: {}}, addresses: [172.31.5.7/32]}]";
    node.configure("tenant-a", "all", "a", links);
    pod.ready("data0");
    pod.ready("r0");
    pod
}

fn numbers(pod: &TestPod<'_>) -> [u64; 2] {
    ["data0", "r0"].map(|link| index(&pod.link(link)))
}

/// One call in so many fails, over looks at the pod and a change of its links.
#[test]
fn a_system_call_that_fails_now_and_then_makes_no_standing_link_anew() {
    let (node, daemon) = TestNode::builder().start_with_daemon();
    let pod = connected(&node);
    let before = numbers(&pod);
    for fault in [
        "setns:error=EAGAIN:when=1+3",
        "openat2:error=EAGAIN:when=1+3",
        "sendto:error=EAGAIN:when=1+7",
        "sendto:error=ENOBUFS:when=2+7",
        "recvfrom:error=EINTR:when=1+7",
    ] {
        let injected = Fault::inject(&daemon, fault);
        for address in ["10.1.0.2/24", "10.1.0.1/24"] {
            let links = format!(
                "[{{name: data0, veth: {{bridge: blue}}, addresses: [{address}], \
                   routes: [{{to: 0.0.0.0/0, via: 10.1.0.254, table: 200}}]}}, \
                 {{name: r0, veth: {{routed: {{}}}}, addresses: [172.31.5.7/32]}}]"
            );
            node.configure("tenant-a", "all", "a", &links);
            within(
                Duration::from_secs(15),
                &format!("{fault}: {address}"),
                || {
                    let link = pod.find("data0").ok_or("no link")?;
                    let has = crate::support::look::addresses(&link);
                    seen(has == [address], format!("{has:?}"))
                },
            );
        }
        drop(injected);
        assert!(daemon.is_alive(), "{fault}");
        assert_eq!(numbers(&pod), before, "{fault}");
    }
    pod.ready("data0");
    assert_eq!(numbers(&pod), before);
}

/// The first call that a new daemon makes of each kind.
#[test]
fn a_restart_whose_first_looks_fail_leaves_the_links() {
    let (node, mut daemon) = TestNode::builder().start_with_daemon();
    let pod = connected(&node);
    let before = numbers(&pod);
    for call in ["setns", "openat2", "sendto"] {
        daemon.kill();
        daemon = node.daemon_unawaited(&crate::support::daemon::Options::default());
        let injected = Fault::inject(&daemon, &format!("{call}:error=EAGAIN:when=1+2"));
        daemon.wait_ready();
        daemon.reconciles(2);
        drop(injected);
        assert_eq!(numbers(&pod), before, "{call}");
    }
}

/// Nothing that fails for good is silent, and what stands stays.
#[test]
fn a_namespace_that_can_not_be_entered_is_reported_and_its_links_stay() {
    let (node, daemon) = TestNode::builder().start_with_daemon();
    let pod = connected(&node);
    let before = numbers(&pod);
    let injected = Fault::inject(&daemon, "setns:error=EAGAIN");
    pod.shell("ip link set data0 down");
    pod.reason("data0", "KernelRefused");
    daemon.reconciles(2);
    drop(injected);
    within(Duration::from_secs(30), "the link is up again", || {
        let link = pod.find("data0").ok_or("no link")?;
        seen(link["operstate"] == "UP", link)
    });
    within(Duration::from_secs(30), "that is reported", || {
        let reported = pod.reported("data0").unwrap_or_default();
        seen(reported["reason"] == "LinkReady", &reported)
    });
    assert_eq!(numbers(&pod), before);
}

/// Without a free descriptor neither records nor namespaces can be opened.
#[test]
fn pods_that_come_while_no_descriptor_is_left_get_their_links_when_there_are() {
    let node = TestNode::builder().own_bridges().start();
    let links = "[{name: data0, veth: {bridge: blue}, ipam: {ranges: [{cidr: 10.1.0.0/24}]}}]";
    node.apply("all", &config_for("tenant-a", "all", "{}", links));
    let daemon = node.daemon();
    let first = node.bare_pod("tenant-a", "first");
    let before = index(&first.ready("data0"));
    daemon.may_open_files(false);
    let pods: Vec<TestPod<'_>> = (0..5)
        .map(|n| node.bare_pod("tenant-a", &format!("p{n}")))
        .collect();
    first.shell("ip link set data0 down");
    eventually("the daemon says what it lacks", || {
        let log = daemon.log();
        seen(log.contains("Too many open files"), log)
    });
    assert_eq!(first.find("data0").map(|link| index(&link)), Some(before));
    daemon.may_open_files(true);
    let start = Instant::now();
    for pod in pods.iter().chain([&first]) {
        within(Duration::from_secs(30), "the link is there", || {
            let link = pod.find("data0").ok_or("no link")?;
            seen(link["operstate"] == "UP", link)
        });
    }
    eprintln!("all links after {:?}", start.elapsed());
    assert_eq!(index(&first.link("data0")), before);
}

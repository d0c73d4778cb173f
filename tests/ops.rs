//! What runs the daemon: probes, metrics, signals, logs, one daemon per installation.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    process::Stdio,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::support::{
    binary,
    daemon::Options,
    look::index,
    manifests::{config, on_bridge},
    node::TestNode,
    wait::{eventually, seen, stays, within},
};

#[test]
fn probes_and_metrics_answer() {
    let (node, daemon) = TestNode::builder().own_bridges().start_with_daemon();
    let pod = node.connected("tenant-a", "web-0", "10.1.0.1/24");
    pod.ready("data0");
    assert_eq!(daemon.get("/livez").unwrap().0, 200);
    assert_eq!(daemon.get("/readyz").unwrap().0, 200);
    assert_eq!(daemon.get("/nothing").unwrap().0, 404);
    eventually("the link is counted", || {
        seen(
            daemon.metric("reconfd_links") >= 1.0,
            daemon.get("/metrics")?.1,
        )
    });
    let (_, text) = daemon.get("/metrics").unwrap();
    for name in [
        "reconfd_build_info",
        "reconfd_reconciles_total",
        "reconfd_reconcile_duration_seconds",
        "reconfd_link_operations_total",
        "reconfd_links",
        "reconfd_pods_recorded",
        "reconfd_netlink_changes_total",
        "reconfd_oldest_unapplied_seconds",
    ] {
        assert!(text.contains(name), "{name} is missing in\n{text}");
    }
    assert!(daemon.metric("reconfd_links") >= 1.0, "{text}");
    assert!(
        (daemon.metric("reconfd_pods_recorded") - 1.0).abs() < 0.5,
        "{text}"
    );
    assert!(
        !text.contains("web-0"),
        "no pod is a label: a node has thousands in its life"
    );
}

/// Attack 20: the metrics endpoint of a daemon in the node's network.
#[test]
fn probes_listen_where_they_are_told_and_nowhere_else() {
    let node = TestNode::new();
    node.add_bridge("br-lan", "192.168.7.1/24");
    let _daemon = node.daemon();
    let open = node.run(&["cat", "/proc/1/net/tcp", "/proc/1/net/tcp6"]);
    let listening: Vec<&str> = open
        .lines()
        .filter(|line| line.split_whitespace().nth(3) == Some("0A"))
        .collect();
    assert_eq!(listening.len(), 1, "{listening:?}");
    assert!(
        listening[0].contains("0100007F:"),
        "only the loopback: {listening:?}"
    );
}

#[test]
fn a_request_without_end_or_sense_disturbs_nothing() {
    let (node, daemon) = TestNode::builder().start_with_daemon();
    let idle: Vec<_> = (0..200)
        .map(|_| node.in_net(|| std::net::TcpStream::connect("127.0.0.1:9469").unwrap()))
        .collect();
    node.in_net(|| {
        use std::io::Write;
        let mut stream = std::net::TcpStream::connect("127.0.0.1:9469").unwrap();
        let _ = stream.write_all(&[0xff; 100_000]);
    });
    within(Duration::from_secs(10), "the probe answers", || {
        daemon
            .get("/livez")
            .and_then(|(code, body)| seen(code == 200, body))
    });
    drop(idle);
}

#[test]
fn sigterm_ends_the_daemon_soon_and_leaves_the_links() {
    let (node, daemon) = TestNode::builder().own_bridges().start_with_daemon();
    let (a, b) = (
        node.bare_pod("tenant-a", "a"),
        node.bare_pod("tenant-a", "b"),
    );
    node.connect("tenant-a", "a", "data0", "10.1.0.1/24");
    node.connect("tenant-a", "b", "data0", "10.1.0.2/24");
    let before = index(&a.ready("data0"));
    b.ready("data0");
    let stream = a.ping_on("10.1.0.2");
    let (status, took) = daemon.terminate();
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    stream.lost_nothing();
    assert_eq!(index(&a.link("data0")), before);
}

#[test]
fn sigterm_in_the_middle_of_work_ends_soon_and_the_next_one_finishes_it() {
    let (node, daemon) = TestNode::builder().own_bridges().start_with_daemon();
    let pods: Vec<_> = (0..20)
        .map(|n| node.bare_pod("tenant-a", &format!("p{n}")))
        .collect();
    for (number, pod) in pods.iter().enumerate() {
        node.connect(
            "tenant-a",
            &pod.attachment.name,
            "data0",
            &format!("10.1.0.{}/24", number + 1),
        );
    }
    let (_, took) = daemon.terminate();
    assert!(took < Duration::from_secs(5), "{took:?}");
    let _daemon = node.daemon();
    for pod in &pods {
        pod.link("data0");
    }
    assert_eq!(node.host_ends().len(), 20);
}

#[test]
fn a_second_daemon_of_the_same_installation_refuses_to_start() {
    let node = TestNode::builder().own_bridges().start();
    let first = node.daemon();
    let second = node.daemon_unawaited(&Options {
        port: Some(9470),
        ..Options::default()
    });
    let (status, log) = second.ends_by_itself();
    assert!(!status.success());
    assert!(log.contains("lock"), "it says why: {log}");
    assert_eq!(first.get("/readyz").unwrap().0, 200);
    first.signal(Signal::SIGKILL);
    drop(first);
    let _third = node.daemon();
}

#[test]
fn two_installations_never_touch_each_others_links() {
    let node = TestNode::new();
    node.add_bridge("br-lan", "192.168.7.1/24");
    node.allow_everything();
    node.shell("mkdir /run/other-objects /run/other-reports");
    let ours = node.daemon();
    let pod = node.bare_pod("tenant-a", "web-0");
    let links = "[{name: data0, veth: {bridge: blue}}, {name: lan0, veth: {hostBridge: br-lan}}]";
    node.configure("tenant-a", "x", "web-0", links);
    let before = (index(&pod.ready("data0")), index(&pod.ready("lan0")));
    // The other one has no objects: it wants nothing anywhere.
    let options = Options {
        port: Some(9470),
        more: &["--installation", "other"],
        objects: Some("/run/other-objects"),
        reports: Some("/run/other-reports"),
    };
    let other = node.daemon_with(&options);
    assert!(node.path("/run/netns/podconfig-other").exists());
    stays("our links stay", Duration::from_millis(200), || {
        let now = (index(&pod.link("data0")), index(&pod.link("lan0")));
        seen(now == before, format!("{now:?}"))
    });
    // Now it wants one more in the same pod; ours is killed and started over it.
    for file in ["policy", "pod-tenant-a-web-0"] {
        let from = node
            .path("/run/podconfig/objects")
            .join(format!("{file}.yaml"));
        fs::copy(
            from,
            node.path("/run/other-objects").join(format!("{file}.yaml")),
        )
        .unwrap();
    }
    let text = config(
        "tenant-a",
        "second",
        "web-0",
        &on_bridge("other0", "blue", "10.9.0.1/24"),
    );
    fs::write(node.path("/run/other-objects/y.yaml"), text).unwrap();
    let theirs = index(&pod.link("other0"));
    ours.kill();
    let _ours = node.daemon();
    assert_eq!(index(&pod.link("other0")), theirs);
    assert_eq!(
        (index(&pod.link("data0")), index(&pod.link("lan0"))),
        before
    );
    other.kill();
    node.withdraw("x");
    pod.lacks("data0");
    assert!(pod.find("other0").is_some());
}

#[test]
fn logs_are_json_and_say_pod_podconfig_and_link() {
    let (node, daemon) = TestNode::builder().own_bridges().start_with_daemon();
    let pod = node.connected("tenant-a", "web-0", "10.1.0.1/24");
    pod.ready("data0");
    eventually("a line about the link", || {
        let log = daemon.log();
        for line in log.lines() {
            let value: serde_json::Value =
                serde_json::from_str(line).map_err(|e| format!("{e} in {line}"))?;
            let text = value.to_string();
            if text.contains("web-0") && text.contains("data0") {
                return Ok(());
            }
        }
        Err(log)
    });
}

#[test]
fn a_refused_manifest_is_in_the_log_with_its_file_document_and_field() {
    let (node, daemon) = TestNode::builder().own_bridges().start_with_daemon();
    let good = config("tenant-a", "good", "x", "[{name: a, veth: {bridge: b}}]");
    let bad = config(
        "tenant-a",
        "bad",
        "x",
        "[{name: a, veth: {bridge: b}, mtu: 67}]",
    );
    node.apply("pair", &format!("{good}---\n{bad}"));
    eventually("a line about the refusal", || {
        let log = daemon.log();
        let mut lines = log
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let line = lines
            .find(|line| line["message"].to_string().contains("67"))
            .ok_or(log.clone())?;
        let words = (
            line["level"].as_str(),
            line["file"].as_str(),
            line["document"].as_u64(),
            line["object"].as_str(),
            line["field"].as_str(),
        );
        let wanted = (
            Some("WARN"),
            Some("pair.yaml"),
            Some(2),
            Some("PodConfig tenant-a/bad"),
            Some("spec.links[0].mtu"),
        );
        seen(words == wanted, line)
    });
}

#[test]
fn the_log_is_text_on_a_terminal_and_json_elsewhere() {
    let node = TestNode::new();
    let line = format!(
        "{} --source directory:/run/nowhere --records /run/podconfig/records",
        binary("RECONFD_BIN", "reconfd")
    );
    let said = |words: &[&str]| {
        let output = node.try_run(words);
        let all = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&all).into_owned()
    };
    let on_terminal = said(&["script", "-qec", &line, "/dev/null"]);
    assert!(
        on_terminal.contains("ERROR") && on_terminal.contains("cannot watch /run/nowhere"),
        "{on_terminal}"
    );
    assert!(!on_terminal.contains('{'), "{on_terminal}");
    let elsewhere = said(&["sh", "-c", &line]);
    let last = elsewhere.lines().last().unwrap_or_default();
    let parsed: serde_json::Value = serde_json::from_str(last).expect(&elsewhere);
    assert_eq!(parsed["level"], "ERROR", "{elsewhere}");
}

/// The demo promises that this machine stays as it is, also if somebody presses Ctrl-C.
#[test]
fn an_interrupted_demo_leaves_nothing() {
    let node = TestNode::new();
    let machine = || {
        node.shell(
            "ip -o link | cut -d: -f2; ip netns list; cut -d' ' -f5 /proc/self/mountinfo
             cat /proc/[0-9]*/comm | grep -vxE 'sh|cat|ip|cut|grep' || true",
        )
    };
    let before = machine();
    let mut demo = node
        .command("bash")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/demo.sh"))
        .env("RECONFD_BIN", binary("RECONFD_BIN", "reconfd"))
        .env(
            "PODCONFIG_CNI_BIN",
            binary("PODCONFIG_CNI_BIN", "podconfig-cni"),
        )
        .env(
            "PODCONFIG_INSTALL_BIN",
            binary("PODCONFIG_INSTALL_BIN", "podconfig-install"),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let far = lines.find(|line| line.starts_with("5. "));
    assert!(far.is_some(), "it tells its fifth chapter");
    assert_ne!(machine(), before, "it runs");
    kill(
        Pid::from_raw(-i32::try_from(demo.id()).unwrap()),
        Signal::SIGINT,
    )
    .unwrap();
    // Its output ends with the last of its processes.
    let rest: Vec<String> = lines.collect();
    assert!(!rest.iter().any(|line| line.contains("That was podconfig")));
    demo.wait().unwrap();
    eventually("the machine is as it was", || {
        let now = machine();
        seen(now == before, format!("{now}\nbefore:\n{before}"))
    });
}

#[test]
fn without_the_manifest_folder_the_daemon_refuses_to_start_and_names_it() {
    let node = TestNode::new();
    let options = Options {
        objects: Some("/run/later"),
        ..Options::default()
    };
    let (status, log) = node.daemon_unawaited(&options).ends_by_itself();
    assert_eq!(status.code(), Some(1), "{log}");
    let said = "cannot watch /run/later: No such file or directory";
    assert!(log.contains(said), "it says why: {log}");
    fs::create_dir(node.path("/run/later")).unwrap();
    let _daemon = node.daemon_with(&options);
}

/// Attack 15: nothing of a pod stays open in the daemon.
#[test]
fn the_daemon_holds_no_pods_namespace_open() {
    let (node, daemon) = TestNode::builder().own_bridges().start_with_daemon();
    let quiet = daemon.open_files().len();
    let pods: Vec<_> = (0..20)
        .map(|n| node.bare_pod("tenant-a", &format!("p{n}")))
        .collect();
    for (number, pod) in pods.iter().enumerate() {
        node.connect(
            "tenant-a",
            &pod.attachment.name,
            "data0",
            &format!("10.1.0.{}/24", number + 1),
        );
    }
    for pod in &pods {
        pod.ready("data0");
    }
    eventually("as few files are open as before", || {
        let now = daemon.open_files();
        seen(
            now.len() <= quiet + 4,
            format!("{quiet} became {}: {now:?}", now.len()),
        )
    });
    let namespaces = daemon.thread_namespaces();
    assert!(
        namespaces.windows(2).all(|pair| pair[0] == pair[1]),
        "{namespaces:?}"
    );
    // The kernel must let go of each namespace at once when its pod goes.
    let witness = "ip link add witness type veth peer name w1 netns";
    node.shell(&format!("{witness} {}", pods[7].netns_name()));
    pods[7].vanish();
    eventually("the namespace died", || {
        let links = node.run(&["ip", "-br", "link"]);
        seen(!links.contains("witness"), links)
    });
}

//! Drift: what another program with root on the node changes around links is put back within a second,
//! for all pods at once, and reported.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    daemon::Daemon,
    fabric::Fabric,
    look::index,
    manifests::config_for,
    node::TestNode,
    pod::TestPod,
    wait::{eventually, seen, within},
};

/// Many pods, so that a look at one pod a second would not do.
const PODS: usize = 20;
/// Longer than the second that is promised, for a busy machine; far less than one pod a second would take,
/// or a look every ten.
const SECOND: Duration = Duration::from_secs(6);

/// Waits until it is put back.
fn put_back(what: &str, probe: impl FnMut() -> Result<(), String>) {
    let start = Instant::now();
    within(SECOND, what, probe);
    eprintln!("{what}: {:?}", start.elapsed());
}

/// Waits beyond the housekeeping that comes soon after links were made.
fn settled(daemon: &Daemon) -> f64 {
    eventually("nothing is sent any more", || {
        let sent = daemon.metric("reconfd_netlink_changes_total");
        std::thread::sleep(Duration::from_millis(300));
        let now = daemon.metric("reconfd_netlink_changes_total");
        seen((now - sent).abs() < 0.5, format!("{sent}, then {now}"))
    });
    daemon.metric("reconfd_drift_repairs_total")
}

/// Says what was put back.
fn is_logged(daemon: &Daemon, what: &str) {
    eventually("the repair is logged", || {
        let log = daemon.log();
        let mut lines = log.lines();
        let is_it = |line: &str| line.contains("another program") && line.contains(what);
        seen(lines.any(is_it), log.clone())
    });
}

fn routed_pods(node: &TestNode) -> Vec<TestPod<'_>> {
    node.allow_everything();
    let pods: Vec<TestPod<'_>> = (0..PODS)
        .map(|n| node.bare_pod("tenant-a", &format!("p{n}")))
        .collect();
    for number in 0..PODS {
        let links = format!(
            "[{{name: r0, veth: {{routed: {{}}}}, addresses: [172.31.5.{}/32, 'fd31::{}/128']}}]",
            number + 1,
            number + 1
        );
        let name = format!("p{number}");
        node.configure("tenant-a", &name, &name, &links);
    }
    are_ready(&pods, "r0");
    pods
}

/// Waits as long as it takes to make them all.
fn are_ready(pods: &[TestPod<'_>], link: &str) {
    for pod in pods {
        within(Duration::from_secs(30), "the link is ready", || {
            let reported = pod.reported(link).unwrap_or_default();
            seen(reported["reason"] == "LinkReady", &reported)
        });
    }
}

fn count(list: &Value) -> usize {
    list.as_array().map_or(0, Vec::len)
}

/// The node's routes to pods, of both families.
fn node_routes(node: &TestNode) -> usize {
    let of = |family| count(&node.ip(&[family, "route", "show", "proto", "112"]));
    of("-4") + of("-6")
}

#[test]
fn routes_of_the_node_that_another_program_flushes_come_back_for_all_pods() {
    let (node, daemon) = TestNode::builder().start_with_daemon();
    let pods = routed_pods(&node);
    let before = settled(&daemon);
    node.shell("ip route flush proto 112; ip -6 route flush proto 112");
    put_back("all routes of the node", || {
        let routes = node_routes(&node);
        seen(routes == 2 * PODS, format!("{routes} routes"))
    });
    node.run(&["ping", "-q", "-c", "1", "-W", "2", "172.31.5.7"]);
    is_logged(&daemon, "route of the node");
    eventually("each repair is counted", || {
        let repairs = daemon.metric("reconfd_drift_repairs_total") - before;
        seen(repairs >= PODS as f64, format!("{repairs} repairs"))
    });
    drop(pods);
}

#[test]
fn a_route_of_the_node_that_another_one_has_replaced_is_reported_and_comes_back_when_it_can() {
    let (node, daemon) = TestNode::builder().start_with_daemon();
    let pods = routed_pods(&node);
    settled(&daemon);
    node.shell("ip link add away type bridge; ip link set away up; ip route replace 172.31.5.3/32 dev away");
    // A route of others is not taken away.
    put_back("the loss is reported", || {
        let reported = pods[2].reported("r0").unwrap_or_default();
        let says = reported["message"].as_str().unwrap_or_default();
        seen(says.contains("add route 172.31.5.3/32"), &reported)
    });
    node.run(&["ip", "link", "delete", "away"]);
    within(Duration::from_secs(20), "the route to the pod", || {
        let ours = node.ip(&["route", "show", "172.31.5.3/32", "proto", "112"]);
        seen(count(&ours) == 1, ours)
    });
    pods[2].ready("r0");
}

#[test]
fn addresses_of_host_ends_that_are_flushed_come_back_with_the_routes() {
    let (node, daemon) = TestNode::builder().start_with_daemon();
    let _pods = routed_pods(&node);
    settled(&daemon);
    node.shell(
        "for i in $(ip -br link | grep -o '^pc[a-z2-7]*'); do ip address flush dev $i; done",
    );
    put_back("all gateway addresses", || {
        let links = node.ip(&["address", "show"]);
        let text = links.to_string();
        let four = text.matches("\"169.254.1.1\"").count();
        let six = text.matches("\"fe80::1\"").count();
        let routes = node_routes(&node);
        let is_whole = (four, six, routes) == (PODS, PODS, 2 * PODS);
        seen(is_whole, format!("{four}, {six}, {routes}"))
    });
    is_logged(&daemon, "gateway address");
}

#[test]
fn a_table_of_a_hundred_thousand_routes_makes_no_pass_expensive() {
    let (node, daemon) = TestNode::builder().start_with_daemon();
    let _pods = routed_pods(&node);
    node.shell(
        "ip link add bgp type bridge; ip link set bgp up; ip address add 192.0.2.1/24 dev bgp
         awk 'BEGIN { for (i = 0; i < 100000; i++)
             printf \"route add 100.%d.%d.0/27 via 192.0.2.2 proto bgp\\n\", 64 + i / 256 % 64, i % 256, i / 16384 * 32 }' |
             sort -u >/run/routes
         ip -batch /run/routes -force >/dev/null 2>&1 || true",
    );
    settled(&daemon);
    let used = cpu_ticks(&daemon);
    daemon.reconciles(3);
    let used = cpu_ticks(&daemon) - used;
    assert!(used < 30, "{used} ticks of 10 ms in three regular checks");
    node.shell("ip route flush proto 112");
    put_back("all routes of the node", || {
        let routes = node_routes(&node);
        seen(routes == 2 * PODS, format!("{routes} routes"))
    });
}

/// User and system time of the daemon, in ticks of 10 ms.
fn cpu_ticks(daemon: &Daemon) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", daemon.process_id())).unwrap();
    let behind_name = stat.rsplit(')').next().unwrap();
    let mut fields = behind_name.split_whitespace().skip(11);
    let mut next = || -> u64 { fields.next().unwrap().parse().unwrap() };
    next() + next()
}

#[test]
fn rules_that_are_flushed_in_pods_come_back_for_all_pods() {
    let (node, daemon) = TestNode::builder().any_veth().start_with_daemon();
    let links = "[{name: data0, veth: {bridge: blue}, ipam: {ranges: [{cidr: 10.1.0.0/24}]}, \
        routes: [{to: 0.0.0.0/0, via: 10.1.0.254, table: 200}]}]";
    node.apply("all", &config_for("tenant-a", "all", "{}", links));
    let pods: Vec<TestPod<'_>> = (0..PODS)
        .map(|n| node.bare_pod("tenant-a", &format!("p{n}")))
        .collect();
    are_ready(&pods, "data0");
    let before = settled(&daemon);
    for pod in &pods {
        pod.shell("ip rule flush protocol 112");
    }
    put_back("the rules of all pods", || {
        let lacking = pods.iter().filter(|pod| {
            let rules = pod.ip(&["rule", "show"]);
            let mut rules = rules.as_array().unwrap().iter();
            !rules.any(|rule| rule["table"] == "200")
        });
        let lacking = lacking.count();
        seen(lacking == 0, format!("{lacking} pods lack theirs"))
    });
    is_logged(&daemon, "rule from");
    let repairs = daemon.metric("reconfd_drift_repairs_total") - before;
    assert!(repairs >= PODS as f64, "{repairs} repairs");
}

/// A pod with a link on a bridge of its namespace; its host end.
fn on_blue(node: &TestNode) -> (TestPod<'_>, String) {
    node.allow_own_bridges();
    let pod = node.connected("tenant-a", "a", "10.1.0.1/24");
    pod.ready("data0");
    let end = node.host_ends()[0]["ifname"].as_str().unwrap().to_owned();
    (pod, end)
}

fn in_switch(node: &TestNode, script: &str) {
    node.run(&["ip", "netns", "exec", "podconfig", "sh", "-ec", script]);
}

#[test]
fn a_forwarding_entry_that_is_deleted_or_moved_comes_back() {
    let (node, daemon) = TestNode::builder().start_with_daemon();
    let (pod, end) = on_blue(&node);
    settled(&daemon);
    let mac = pod.link("data0")["address"].as_str().unwrap().to_owned();
    let is_pinned = || {
        let entries = node.switch_bridge(&["fdb", "show"]);
        let mut all = entries.as_array().unwrap().iter();
        let pinned = all.any(|entry| {
            entry["mac"] == *mac && entry["ifname"] == *end && entry["state"] == "static"
        });
        seen(pinned, &entries)
    };
    in_switch(&node, &format!("bridge fdb delete {mac} dev {end} master"));
    put_back("the forwarding entry", is_pinned);
    is_logged(&daemon, "forwarding entry");
    in_switch(
        &node,
        &format!(
            "bridge=$(basename $(ls -d /sys/class/net/{end}/upper_* 2>/dev/null) 2>/dev/null | sed s/upper_//)
             bridge=${{bridge:-$(ip -o link show {end} | grep -o 'master [^ ]*' | cut -d' ' -f2)}}
             ip link add thief type dummy 2>/dev/null || ip link add thief type veth peer name thief1
             ip link set thief master $bridge
             bridge fdb replace {mac} dev thief master static"
        ),
    );
    put_back("the forwarding entry on its port", is_pinned);
}

#[test]
fn flags_of_a_bridge_port_come_back() {
    let (node, daemon) = TestNode::builder().start_with_daemon();
    let (_pod, end) = on_blue(&node);
    settled(&daemon);
    in_switch(
        &node,
        &format!("bridge link set dev {end} learning on flood on"),
    );
    put_back("the flags of the port", || {
        let port = node.switch_bridge(&["link", "show", "dev", &end]);
        let flags = (&port[0]["learning"], &port[0]["flood"]);
        seen(flags == (&json!(false), &json!(false)), &port)
    });
    is_logged(&daemon, "bridge port flags");
}

#[test]
fn ends_of_a_tunnel_that_are_changed_come_back() {
    let fabric = Fabric::new(2);
    let daemons = [fabric[0].daemon(), fabric[1].daemon()];
    let (_a, _b) = crate::vxlan::pair(&fabric);
    let node = &fabric[0];
    settled(&daemons[0]);
    let before = node.ends();
    let device = node.device()["ifname"].as_str().unwrap().to_owned();
    let nobody = "00:00:00:00:00:00";
    for script in [
        format!("bridge fdb delete {nobody} dev {device} dst 10.77.0.2"),
        format!("bridge fdb append {nobody} dev {device} dst 10.77.0.99"),
    ] {
        in_switch(node, &script);
        put_back(&script, || {
            seen(node.ends() == before, format!("{:?}", node.ends()))
        });
    }
    is_logged(&daemons[0], "ends of a tunnel");
}

#[test]
fn rules_of_the_peer_filter_that_are_flushed_or_bypassed_come_back() {
    let fabric = Fabric::new(2);
    let daemons = [fabric[0].daemon(), fabric[1].daemon()];
    let (_a, _b) = crate::vxlan::pair(&fabric);
    let node = &fabric[0];
    settled(&daemons[0]);
    let table = || node.run(&["nft", "list", "table", "inet", "podconfig-default"]);
    let before = table();
    for script in [
        "nft flush table inet podconfig-default",
        "nft insert rule inet podconfig-default input accept",
        "nft flush chain inet podconfig-default forward",
    ] {
        node.shell(script);
        put_back(script, || seen(table() == before, table()));
    }
    is_logged(&daemons[0], "peer filter");
}

/// The ingress filters of a host end, as `tc` shows them.
fn filters(node: &TestNode, netns: &[&str], end: &str) -> Value {
    let words = [
        &["tc"],
        netns,
        &["-j", "filter", "show", "dev", end, "ingress"],
    ]
    .concat();
    crate::support::node::json(node.run(&words))
}

/// A program that passes everything: one word of `tc`'s, though it has spaces.
const PASS: &str = "1,6 0 0 0";

/// Undoes the filter in every way that `tc` has, and waits until it is as it was.
fn ingress_filter_comes_back(node: &TestNode, daemon: &Daemon, netns: &[&str], end: &str) {
    let now = || filters(node, netns, end);
    let before = now();
    assert!(before.to_string().contains("bpf"), "{before}");
    let tc = |words: &str| {
        let words = words.split(' ').map(|word| word.replace("PASS", PASS));
        let words: Vec<String> = words.collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        node.run(&[&["tc"], netns, &words].concat());
    };
    for undo in [
        format!("filter del dev {end} ingress"),
        format!("qdisc del dev {end} clsact"),
        format!("filter add dev {end} ingress pref 1 handle 7 bpf da bytecode PASS"),
        format!("filter replace dev {end} ingress pref 1 handle 1 bpf da bytecode PASS"),
    ] {
        tc(&undo);
        put_back(&undo, || seen(now() == before, now()));
    }
    is_logged(daemon, "ingress filter");
    // What comes behind ours is none of our business.
    tc(&format!(
        "filter add dev {end} ingress pref 9 handle 9 bpf da bytecode PASS"
    ));
    let repairs = settled(daemon);
    daemon.reconciles(2);
    let later = daemon.metric("reconfd_drift_repairs_total");
    assert!((later - repairs).abs() < 0.5, "{}", daemon.log());
    assert!(now().to_string().contains("\"pref\":9"), "{}", now());
}

#[test]
fn the_ingress_filter_of_a_host_end_in_the_switch_comes_back() {
    let (node, daemon) = TestNode::builder().start_with_daemon();
    let (_pod, end) = on_blue(&node);
    settled(&daemon);
    ingress_filter_comes_back(&node, &daemon, &["-n", "podconfig"], &end);
}

/// A pod with a routed link; its host end.
fn routed_pod(node: &TestNode) -> (TestPod<'_>, String) {
    routed_pod_called(node, "a")
}

fn routed_pod_called<'n>(node: &'n TestNode, name: &str) -> (TestPod<'n>, String) {
    node.allow_everything();
    let pod = node.bare_pod("tenant-a", name);
    let links = "[{name: r0, veth: {routed: {}}, addresses: [172.31.5.1/32, 'fd31::1/128']}]";
    node.configure("tenant-a", name, name, links);
    pod.ready("r0");
    let end = node.ours_on_node()[0]["ifname"]
        .as_str()
        .unwrap()
        .to_owned();
    (pod, end)
}

#[test]
fn the_ingress_filter_and_rp_filter_of_a_routed_host_end_come_back() {
    let (node, daemon) = TestNode::builder().start_with_daemon();
    let (_pod, end) = routed_pod(&node);
    settled(&daemon);
    ingress_filter_comes_back(&node, &daemon, &[], &end);
    let path = format!("/proc/sys/net/ipv4/conf/{end}/rp_filter");
    node.shell(&format!("echo 2 >{path}"));
    put_back("rp_filter", || {
        let now = node.run(&["cat", &path]);
        seen(now.trim() == "1", &now)
    });
    is_logged(&daemon, "rp_filter");
}

/// Whoever loses its alias or its name is still known by its number.
#[test]
fn the_alias_and_the_name_of_a_host_end_come_back_in_place() {
    let (node, daemon) = TestNode::builder().start_with_daemon();
    let (on_bridge, switch_end) = on_blue(&node);
    let (routed, node_end) = routed_pod_called(&node, "b");
    settled(&daemon);
    let numbers = || [index(&on_bridge.link("data0")), index(&routed.link("r0"))];
    let before = numbers();
    let ends: [(&[&str], &str); 2] = [(&["-n", "podconfig"], &switch_end), (&[], &node_end)];
    for (netns, end) in ends {
        let ip = |words: &str| {
            let words: Vec<&str> = words.split(' ').collect();
            node.run(&[&["ip"], netns, &words].concat())
        };
        let show = || ip(&format!("-d link show dev {end}"));
        let alias = |text: &str| {
            let at = text.find("alias").map(|at| text[at..].to_owned());
            at.unwrap_or_default()
        };
        let was = alias(&show());
        assert!(was.contains("podconfig:v1"), "{was}");
        for undo in [
            format!("link set dev {end} alias podconfig:v1:default:nobody:x:data0:0"),
            format!("link set dev {end} alias mine"),
        ] {
            ip(&undo);
            put_back(&undo, || seen(alias(&show()) == was, show()));
        }
        ip(&format!("link set dev {end} name stolen0"));
        put_back("the name of the host end", || {
            let words = [&["ip"], netns, &["link", "show", "dev", end]].concat();
            seen(node.try_run(&words).status.success(), "it has another name")
        });
        assert_eq!(alias(&show()), was);
    }
    is_logged(&daemon, "alias of the host end");
    is_logged(&daemon, "name of the host end");
    assert_eq!(numbers(), before, "put right in place");
    node.run(&["ping", "-q", "-c", "1", "-W", "2", "172.31.5.1"]);
}

#[test]
fn a_routed_host_end_that_lost_its_alias_while_no_daemon_ran_is_no_foreign_link() {
    let (node, daemon) = TestNode::builder().start_with_daemon();
    let (pod, end) = routed_pod_called(&node, "b");
    daemon.kill();
    node.run(&["ip", "link", "set", "dev", &end, "alias", ""]);
    let _daemon = node.daemon();
    pod.ready("r0");
    assert_eq!(node.ours_on_node().len(), 1);
    node.run(&["ping", "-q", "-c", "1", "-W", "2", "172.31.5.1"]);
}

/// A restart and an own edit are no drift.
#[test]
fn an_edit_of_a_routed_link_is_not_reported_as_a_repair() {
    let (node, daemon) = TestNode::builder().any_veth().start_with_daemon();
    let pod = node.bare_pod("tenant-a", "a");
    let links = |address: &str| {
        format!("[{{name: r0, veth: {{routed: {{}}}}, addresses: ['{address}', 'fd31::1/128']}}]")
    };
    node.configure("tenant-a", "a", "a", &links("172.31.5.1/32"));
    let before = index(&pod.ready("r0"));
    node.configure("tenant-a", "a", "a", &links("172.31.5.2/32"));
    eventually("the node's route follows", || {
        let routes = node.ip(&["route", "show", "proto", "112"]);
        seen(
            routes[0]["dst"] == "172.31.5.2" && count(&routes) == 1,
            &routes,
        )
    });
    let repairs = settled(&daemon);
    assert!(repairs.abs() < 0.5, "{repairs} repairs\n{}", daemon.log());
    assert_eq!(index(&pod.link("r0")), before);
}

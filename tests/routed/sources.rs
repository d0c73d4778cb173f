//! Source addresses of routed links: a pod sends as itself, whatever the sysctls of the node say.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use serde_json::Value;

use crate::support::{
    frame::{Mac, arp_request, holds_token, mac, tagged, udp4, udp6},
    node::TestNode,
    pod::TestPod,
    wait::{eventually, seen, stays},
    wire::Wire,
};

const OWN_V4: &str = "10.99.32.7";
const OWN_V6: &str = "fd99:32::7";
const OTHERS_V4: &str = "10.99.32.8";
const OTHERS_V6: &str = "fd99:32::8";
const SERVER_V4: &str = "198.51.100.2";
const SERVER_V6: &str = "2001:db8::2";

/// Somebody behind the node, who hears what it forwards.
fn server(node: &TestNode) -> Wire {
    node.shell(
        "ip netns add srv
         ip link add srv type veth peer name eth0 netns srv
         ip address add 198.51.100.1/24 dev srv
         ip address add 2001:db8::1/64 dev srv nodad
         ip link set srv up
         ip -n srv link set eth0 up
         ip -n srv address add 198.51.100.2/24 dev eth0
         ip -n srv address add 2001:db8::2/64 dev eth0 nodad",
    );
    let mac = node.shell("ip netns exec srv cat /sys/class/net/eth0/address");
    let mac = mac.trim();
    node.shell(&format!(
        "ip neighbour replace 198.51.100.2 lladdr {mac} dev srv
         ip neighbour replace 2001:db8::2 lladdr {mac} dev srv"
    ));
    Wire::on(&node.path("/run/netns/srv"), "eth0")
}

fn links(addresses: &[&str]) -> String {
    format!("[{{name: r0, veth: {{routed: {{}}}}, addresses: {addresses:?}}}]")
}

fn routed<'n>(node: &'n TestNode, addresses: &[&str]) -> TestPod<'n> {
    node.allow_everything();
    let pod = node.bare_pod("tenant-a", "thief");
    node.configure("tenant-a", "r", "thief", &links(addresses));
    pod.ready("r0");
    pod
}

fn host_end(node: &TestNode) -> Value {
    let all = node.ip(&["link", "show", "type", "veth"]);
    let all = all.as_array().cloned().unwrap_or_default();
    let is_ours = |link: &&Value| {
        let name = link["ifname"].as_str().unwrap_or_default();
        name.starts_with("pc") && name.len() == 15
    };
    all.iter()
        .find(is_ours)
        .cloned()
        .expect("there is a host end")
}

fn name(host_end: &Value) -> String {
    host_end["ifname"].as_str().unwrap_or_default().into()
}

/// Both ends' addresses: the pod's, and where it sends to.
struct Ends {
    pod: Mac,
    node: Mac,
}

impl Ends {
    fn of(pod: &TestPod<'_>) -> Self {
        let host_end = host_end(pod.node);
        Self {
            pod: pod.mac_of("r0"),
            node: mac(host_end["address"].as_str().expect("a MAC address")),
        }
    }

    /// A datagram to the server that says to be from `source`.
    fn from(&self, source: &str) -> Vec<u8> {
        match source.parse().expect("an address") {
            IpAddr::V4(source) => {
                let server = SERVER_V4.parse().expect("an address");
                udp4(self.node, self.pod, source, server, 9)
            }
            IpAddr::V6(source) => {
                let server = SERVER_V6.parse().expect("an address");
                udp6(self.node, self.pod, source, server, 9)
            }
        }
    }
}

fn is_from(frame: &[u8], source: &str) -> bool {
    holds_token(frame)
        && match source.parse().expect("an address") {
            IpAddr::V4(source) => frame[26..30] == source.octets(),
            IpAddr::V6(source) => frame[22..38] == source.octets(),
        }
}

/// Tells other threads to end, also when a test fails.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn set(node: &TestNode, path: &str, value: &str) {
    node.shell(&format!("echo {value} >/proc/sys/net/{path}"));
}

fn get(node: &TestNode, path: &str) -> String {
    let value = node.shell(&format!("cat /proc/sys/net/{path}"));
    value.trim().into()
}

#[test]
fn a_pod_sends_from_its_own_addresses_alone_whatever_the_sysctls_say() {
    let node = TestNode::new();
    let hears = server(&node);
    let _daemon = node.daemon();
    // Looser than what a host end says of itself.
    set(&node, "ipv4/conf/all/rp_filter", "2");
    let pod = routed(&node, &["10.99.32.7/32", "fd99:32::7/128"]);
    // The server's answers would find another way than back.
    let (ends, wire) = (Ends::of(&pod), Wire::on(&pod.netns(), "r0"));
    for own in [OWN_V4, OWN_V6] {
        let arrives = eventually(&format!("{own} is forwarded"), || {
            wire.send(&ends.from(own));
            let heard = hears.hears(Duration::from_millis(100), |frame| is_from(frame, own));
            heard.ok_or("nothing arrives").map_err(str::to_owned)
        });
        assert!(is_from(&arrives, own));
    }
    for other in [
        OTHERS_V4,
        OTHERS_V6,
        "198.51.100.1",
        "2001:db8::1",
        "192.0.2.1",
    ] {
        let frame = ends.from(other);
        wire.send(&frame);
        // The kernel takes off tags that name no vlan.
        wire.send(&tagged(0, &frame));
        wire.send(&tagged(0, &tagged(0, &frame)));
    }
    wire.send(&arp_request(
        ends.pod,
        OTHERS_V4.parse().expect("an address"),
        "169.254.1.1".parse().expect("an address"),
    ));
    let forged =
        |frame: &[u8]| holds_token(frame) && !is_from(frame, OWN_V4) && !is_from(frame, OWN_V6);
    let heard = hears.counts(Duration::from_millis(500), forged);
    assert_eq!(heard, 0, "what says to be from another goes nowhere");
    let neighbours = node.ip(&["neighbour", "show", "to", OTHERS_V4]);
    assert_eq!(neighbours, Value::Array(Vec::new()), "nor is it believed");
}

#[test]
fn the_filter_follows_the_addresses_and_lets_no_other_through_meanwhile() {
    let node = TestNode::new();
    let hears = server(&node);
    let _daemon = node.daemon();
    set(&node, "ipv4/conf/all/rp_filter", "2");
    let first = ["10.99.32.7/32", "fd99:32::7/128"];
    let pod = routed(&node, &first);
    let ends = Ends::of(&pod);
    let (done, forged) = (AtomicBool::new(false), AtomicU64::new(0));
    let others = [OTHERS_V4, OTHERS_V6].map(|other| ends.from(other));
    let wire = Wire::on(&pod.netns(), "r0");
    std::thread::scope(|scope| {
        let _ending = Ending(&done);
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                others.iter().for_each(|frame| wire.send(frame));
                std::thread::sleep(Duration::from_micros(50));
            }
        });
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let others = |frame: &[u8]| is_from(frame, OTHERS_V4) || is_from(frame, OTHERS_V6);
                let heard = hears.counts(Duration::from_millis(50), others);
                forged.fetch_add(heard, Ordering::Relaxed);
            }
        });
        let turns: [&[&str]; 4] = [
            &["10.99.32.9/32", "fd99:32::9/128"],
            &["10.99.32.9/24", "10.99.32.7/32"],
            &["fd99:32::9/64"],
            &first,
        ];
        for addresses in turns {
            node.configure("tenant-a", "r", "thief", &links(addresses));
            eventually(&format!("the pod has {addresses:?}"), || {
                let link = pod.find("r0").ok_or("no link")?;
                let now = crate::support::look::addresses(&link);
                let is_all = now.len() == addresses.len()
                    && addresses.iter().all(|a| now.iter().any(|n| n == a));
                seen(is_all, link)
            });
            pod.ready("r0");
        }
    });
    assert_eq!(
        forged.load(Ordering::Relaxed),
        0,
        "no gap lets another's through"
    );
    let hears = Wire::on(&node.path("/run/netns/srv"), "eth0");
    for (source, passes) in [
        (OWN_V4, true),
        (OWN_V6, true),
        ("10.99.32.9", false),
        ("fd99:32::9", false),
    ] {
        wire.send(&ends.from(source));
        let heard = hears.hears(Duration::from_millis(500), |frame| is_from(frame, source));
        assert_eq!(heard.is_some(), passes, "{source}");
    }
}

#[test]
fn sysctls_and_filter_of_a_host_end_are_put_right() {
    let node = TestNode::builder().daemon().start();
    let pod = routed(&node, &["10.99.32.7/32"]);
    let host_end = name(&host_end(&node));
    let strict = [
        ("ipv4", "rp_filter", "1", "2"),
        ("ipv4", "accept_redirects", "0", "1"),
        ("ipv4", "accept_source_route", "0", "1"),
        ("ipv4", "route_localnet", "0", "1"),
        ("ipv6", "accept_ra", "0", "2"),
        ("ipv6", "accept_redirects", "0", "1"),
        ("ipv6", "disable_ipv6", "0", "1"),
    ];
    let path = |family: &str, setting: &str| format!("{family}/conf/{host_end}/{setting}");
    let filter = || node.run(&["tc", "-j", "filter", "show", "dev", &host_end, "ingress"]);
    let whole = filter();
    assert!(whole.contains("bpf"), "{whole}");
    for (family, setting, value, other) in strict {
        assert_eq!(get(&node, &path(family, setting)), value, "{setting}");
        set(&node, &path(family, setting), other);
    }
    for (family, setting, value, _) in strict {
        eventually(&format!("{setting} is {value}"), || {
            let now = get(&node, &path(family, setting));
            seen(now == value, now)
        });
    }
    node.run(&["tc", "qdisc", "delete", "dev", &host_end, "clsact"]);
    eventually("the filter is there again", || {
        let now = filter();
        seen(
            now.matches("bpf").count() == whole.matches("bpf").count(),
            now,
        )
    });
    pod.ping("169.254.1.1");
}

#[test]
fn a_pod_asks_whether_an_address_is_free_and_finds_its_gateway() {
    let node = TestNode::builder().daemon().start();
    let pod = routed(&node, &["10.99.32.7/32", "fd99:32::7/128"]);
    pod.ping("169.254.1.1");
    pod.run(&["ping", "-q", "-c", "1", "-W", "2", "fe80::1%r0"]);
    // As after a failover, with duplicate address detection.
    pod.shell(
        "ip link set r0 down
         ip link set r0 up",
    );
    eventually("its own link-local address answers", || {
        let link = pod.find("r0").ok_or("no link")?;
        let all = link["addr_info"].as_array().cloned().unwrap_or_default();
        let own = all.iter().find(|a| a["scope"] == "link");
        let own = own.and_then(|a| a["local"].as_str()).ok_or("no address")?;
        let host_end = name(&host_end(&node));
        let target = format!("{own}%{host_end}");
        let answered = node.try_run(&["ping", "-q", "-c", "1", "-W", "1", &target]);
        seen(answered.status.success(), link)
    });
    pod.ready("r0");
    stays("the gateway answers", Duration::from_millis(200), || {
        let answered = pod.try_run(&["ping", "-q", "-c", "1", "-W", "1", "fe80::1%r0"]);
        seen(answered.status.success(), "no answer")
    });
}

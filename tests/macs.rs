//! No MAC address is two links' on one segment, whichever way addresses go between pods and nodes: what the
//! daemons share are the claims to addresses.

use std::{collections::BTreeMap, path::Path, time::Duration};

use crate::{
    support::{
        daemon::{Daemon, Options},
        fabric::Fabric,
        manifests::policy,
        node::TestNode,
        pod::TestPod,
        wait::{eventually, seen, within},
    },
    vxlan::{TUNNELS, overlay, peers},
};

const ANYTHING: &str = "macs: Any, domains: [cluster, lab]";

/// Daemons of all nodes that share one folder of claims. Pods of different nodes have different uids.
fn sharing(fabric: &Fabric, claims: &Path) -> Vec<Daemon> {
    let claims = claims.to_str().unwrap();
    let rule = TUNNELS.replace(", addresses", &format!(", {ANYTHING}, addresses"));
    let all = fabric.nodes().iter().enumerate();
    all.map(|(number, node)| {
        (0..100 * number).for_each(|_| _ = node.next_number());
        node.apply("policy", &policy("tunnels", "{}", &format!("[{rule}]")));
        let name = format!("node-{number}");
        node.daemon_with(&Options {
            more: &[
                "--claims",
                claims,
                "--address-rest",
                "0",
                "--node-name",
                &name,
            ],
            ..Options::default()
        })
    })
    .collect()
}

fn give(node: &TestNode, pod: &str, links: &str) {
    node.configure("tenant-a", pod, pod, links);
}

/// The MAC addresses that the node's switch forwards to its pods, and the ports of each.
fn pins(node: &TestNode) -> BTreeMap<String, Vec<String>> {
    let mut pins: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let entries = node.switch_bridge(&["fdb", "show"]);
    for entry in entries.as_array().into_iter().flatten() {
        let is_pin = entry["flags"].to_string().contains("sticky");
        if let (true, Some(mac), Some(port)) =
            (is_pin, entry["mac"].as_str(), entry["ifname"].as_str())
        {
            pins.entry(mac.to_owned())
                .or_default()
                .push(port.to_owned());
        }
    }
    pins
}

/// Looks at all nodes, and again: what was there both times was there in between, when others were looked at.
fn no_mac_twice(fabric: &Fabric) {
    let look = || -> Vec<_> { fabric.nodes().iter().map(pins).collect() };
    let (first, second) = (look(), look());
    let mut holders: BTreeMap<&String, (usize, &String)> = BTreeMap::new();
    for (node, before) in first.iter().enumerate() {
        for (mac, ports) in before {
            let stays = second[node].get(mac);
            for port in ports
                .iter()
                .filter(|port| stays.is_some_and(|now| now.contains(port)))
            {
                if let Some(other) = holders.insert(mac, (node, port)) {
                    panic!("{mac} is at {other:?} and at {:?}", (node, port));
                }
            }
        }
    }
}

#[test]
fn an_address_that_goes_to_a_pod_of_another_node_takes_its_mac_address_along() {
    let fabric = Fabric::new(2);
    let claims = tempfile::tempdir().unwrap();
    let _daemons = sharing(&fabric, claims.path());
    let both = peers(&[0, 1]);
    let at = |address: &str| overlay(&both, address, "");
    let a = fabric[0].bare_pod("tenant-a", "a");
    let b = fabric[1].bare_pod("tenant-a", "b");
    let c = fabric[1].bare_pod("tenant-a", "c");
    give(&fabric[0], "a", &at("10.5.0.10/24"));
    give(&fabric[1], "c", &at("10.5.0.30/24"));
    let first = a.ready("overlay")["address"].clone();
    c.ready("overlay");
    c.ping("10.5.0.10");
    give(&fabric[0], "a", &at("10.5.0.11/24"));
    give(&fabric[1], "b", &at("10.5.0.10/24"));
    assert_eq!(b.ready("overlay")["address"], first);
    assert_eq!(a.ready("overlay")["address"], "0a:58:0a:05:00:0b");
    no_mac_twice(&fabric);
    for (pod, address) in [(&c, "10.5.0.10"), (&c, "10.5.0.11"), (&a, "10.5.0.10")] {
        assert!(pod.reaches(address), "{address}");
    }
}

#[test]
fn equal_addresses_of_two_domains_have_different_mac_addresses() {
    let fabric = Fabric::new(2);
    let claims = tempfile::tempdir().unwrap();
    let _daemons = sharing(&fabric, claims.path());
    let both = peers(&[0, 1]);
    let in_domain = |domain: &str, address: &str| {
        overlay(&both, address, &format!(", ipam: {{domain: {domain}}}"))
    };
    let pods = [(0, "a", "cluster"), (1, "b", "lab")].map(|(node, pod, domain)| {
        let there = fabric[node].bare_pod("tenant-a", pod);
        give(&fabric[node], pod, &in_domain(domain, "10.5.0.10/24"));
        there
    });
    let macs = pods
        .each_ref()
        .map(|pod| pod.ready("overlay")["address"].clone());
    assert_eq!(macs[0], "0a:58:0a:05:00:0a");
    assert_ne!(macs[0], macs[1]);
    no_mac_twice(&fabric);
}

#[test]
fn a_mac_address_that_goes_with_anothers_address_is_refused() {
    let fabric = Fabric::new(1);
    let claims = tempfile::tempdir().unwrap();
    let _daemons = sharing(&fabric, claims.path());
    let pod = fabric[0].bare_pod("tenant-a", "a");
    let with = |mac: &str| {
        let links = overlay(&peers(&[1]), "10.5.0.10/24", &format!(", mac: '{mac}'"));
        give(&fabric[0], "a", &links);
    };
    with("0a:58:0a:05:00:0b");
    let told = pod.reason("overlay", "Invalid");
    let message = told["message"].as_str().unwrap();
    assert!(message.contains("10.5.0.11"), "{message}");
    assert_eq!(pod.find("overlay"), None);
    with("0a:58:0a:05:00:0a");
    pod.ready("overlay");
}

/// A small generator, so that a failure comes again.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from((self.0 >> 33) % sides).unwrap()
    }
}

#[test]
fn addresses_that_go_from_pod_to_pod_at_random_leave_no_mac_address_twice() {
    const POOL: [&str; 7] = [
        "10.5.0.101/24",
        "10.5.0.102/24",
        "10.5.0.103/24",
        "10.5.0.104/24",
        "fd05::101/64",
        "fd05::102/64",
        "fd05::103/64",
    ];
    let fabric = Fabric::new(3);
    let claims = tempfile::tempdir().unwrap();
    let _daemons = sharing(&fabric, claims.path());
    let all = peers(&[0, 1, 2]);
    let names = ["a", "b", "c", "d", "e", "f"];
    let pods: Vec<TestPod<'_>> = names
        .iter()
        .enumerate()
        .map(|(n, name)| fabric[n % 3].bare_pod("tenant-a", name))
        .collect();
    let mut dice = Dice(20);
    for _ in 0..60 {
        let who = dice.throw(6);
        let address = POOL[dice.throw(7)];
        let more = match dice.throw(3) {
            0 => format!("', '{}", POOL[dice.throw(7)]),
            _ => String::new(),
        };
        give(
            &fabric[who % 3],
            names[who],
            &overlay(&all, &format!("{address}{more}"), ""),
        );
        std::thread::sleep(Duration::from_millis(10 * dice.throw(6) as u64));
        no_mac_twice(&fabric);
    }
    // Each gets one of its own in the end, whatever it had.
    for (n, name) in names.iter().enumerate() {
        let links = overlay(&all, &format!("10.5.0.{}/24", 201 + n), "");
        give(&fabric[n % 3], name, &links);
    }
    for (n, pod) in pods.iter().enumerate() {
        let own = format!("0a:58:0a:05:00:{:02x}", 201 + n);
        within(Duration::from_secs(20), "each has its own", || {
            let link = pod.find("overlay").ok_or("no link")?;
            seen(link["address"] == own, link)
        });
        no_mac_twice(&fabric);
    }
    for n in 1..6 {
        pods[0].ping(&format!("10.5.0.{}", 201 + n));
    }
    eventually("the old ones are nobody's", || {
        let folder = std::fs::read_dir(claims.path()).unwrap();
        let names = folder
            .flatten()
            .map(|file| file.file_name().to_string_lossy().into_owned());
        let left: Vec<String> = names
            .filter(|name| name.starts_with("cluster.10.5.0.10"))
            .collect();
        seen(left.is_empty(), format!("{left:?}"))
    });
}

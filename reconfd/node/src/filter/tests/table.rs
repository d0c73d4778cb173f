use std::{
    net::Ipv4Addr,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use super::{
    place::{on_a_node, run},
    *,
};

const TABLE: &str = "inet podconfig-default";

pub fn open() -> (Filter, Changes) {
    let changes = Changes::default();
    let filter = Filter::open("default", &changes).unwrap();
    assert!(filter.is_available());
    (filter, changes)
}

pub fn sent(changes: &Changes) -> u64 {
    changes.swap(0, Ordering::Relaxed)
}

pub fn ruleset() -> String {
    run("nft list ruleset")
}

/// A filter with all that it can hold.
pub fn example() -> (Filter, Changes) {
    let (mut filter, changes) = open();
    let peer_filters = [
        (
            tunnel(10042),
            peer_filter(1, &["10.9.0.2/32", "fd00::/64", "10.9.1.0/24"]),
        ),
        (tunnel(10043), peer_filter(1, &["0.0.0.0/0", "::/0"])),
        (tunnel(10044), peer_filter(7, &[])),
        (
            Tunnel {
                vni: 10042,
                port: 8472,
            },
            peer_filter(1, &["240.0.0.0/4", "fd00::1/128"]),
        ),
    ];
    filter.set_all(peer_filters).unwrap();
    filter.close(4789, Some([1, 7].into())).unwrap();
    (filter, changes)
}

#[test]
fn an_operator_finds_the_table_readable() {
    on_a_node(|| {
        run("ip link add eth0 index 42 type veth peer name eth1");
        let (mut filter, _) = open();
        filter
            .set(
                tunnel(10042),
                peer_filter(42, &["192.0.2.11/32", "192.0.2.16/28", "2001:db8::/64"]),
            )
            .unwrap();
        filter.close(4789, Some([42].into())).unwrap();
        let listed = run(&format!("nft list table {TABLE}"));
        let source = include_str!("../../filter.rs");
        let example = source
            .lines()
            .skip_while(|line| *line != "//! ```text")
            .skip(1)
            .take_while(|line| *line != "//! ```")
            .map(|line| line.strip_prefix("//!").unwrap().trim().to_owned());
        let listed_lines: Vec<String> = listed.lines().map(|line| line.trim().into()).collect();
        assert_eq!(example.collect::<Vec<_>>(), listed_lines, "{listed}");
        // What nft prints, nft reads.
        run(&format!("nft list table {TABLE} | nft -c -f -"));
    });
}

#[test]
fn a_restart_sends_no_changing_message() {
    on_a_node(|| {
        let (before, _) = example();
        let (mut after, changes) = open();
        assert_eq!(after.tunnels(), before.tunnels());
        assert_eq!(after.closed(), before.closed());
        for (tunnel, peer_filter) in before.tunnels() {
            after.set(*tunnel, peer_filter.clone()).unwrap();
        }
        after.close(4789, Some([1, 7].into())).unwrap();
        after.retain(|_| true).unwrap();
        assert_eq!(after.verify(), Ok(false));
        assert_eq!(sent(&changes), 0);
    });
}

#[test]
fn a_guard_that_is_there_already_is_not_sent_again() {
    on_a_node(|| {
        let (mut filter, changes) = open();
        assert_eq!(sent(&changes), 0);
        filter
            .set(tunnel(1), peer_filter(1, &["10.0.0.0/25", "10.0.0.128/25"]))
            .unwrap();
        assert!(sent(&changes) > 0);
        filter
            .set(tunnel(1), peer_filter(1, &["10.0.0.0/24"]))
            .unwrap();
        assert_eq!(sent(&changes), 0);
        filter
            .set(tunnel(1), peer_filter(2, &["10.0.0.0/24"]))
            .unwrap();
        assert!(sent(&changes) > 0);
        assert!(ruleset().contains("vni1.port4789.if2.v4"));
        assert!(!ruleset().contains("vni1.port4789.if1.v4"));
    });
}

#[test]
fn the_table_goes_with_the_last_tunnel_and_no_other_is_touched() {
    on_a_node(|| {
        // Names that begin as ours, and the same name in another family.
        for table in [
            "inet podconfig-default2",
            "inet podconfig-defaul",
            "ip podconfig-default",
        ] {
            run(&format!(
                "nft 'table {table} {{ chain port-4789 {{ drop; }}; set vni1.port4789.if1.v4 {{ type ipv4_addr; flags interval; }}; }}'"
            ));
        }
        let others = ruleset();
        let (mut filter, _) = open();
        assert!(filter.tunnels().is_empty());
        let peers = || peer_filter(1, &["10.0.0.1/32"]);
        filter.set(tunnel(1), peers()).unwrap();
        filter.set(tunnel(2), peers()).unwrap();
        let mut elsewhere = Filter::open("default2x", &Changes::default()).unwrap();
        elsewhere.set(tunnel(1), peers()).unwrap();
        filter.retain(|tunnel| tunnel.vni == 2).unwrap();
        assert_eq!(filter.tunnels().len(), 1);
        assert!(!run(&format!("nft list table {TABLE}")).contains("vni1."));
        filter.retain(|_| false).unwrap();
        assert!(!run("nft list tables").contains(&format!("{TABLE}\n")));
        assert_eq!(filter.verify(), Ok(false));
        elsewhere.retain(|_| false).unwrap();
        assert_eq!(ruleset(), others);
    });
}

#[test]
fn a_port_is_closed_as_long_as_it_has_tunnels() {
    on_a_node(|| {
        let (mut filter, changes) = open();
        filter.close(4789, Some([1].into())).unwrap();
        assert!(filter.closed().is_empty());
        assert_eq!(sent(&changes), 0);
        filter
            .set(tunnel(1), peer_filter(1, &["10.0.0.1/32"]))
            .unwrap();
        filter.close(4789, Some([1].into())).unwrap();
        assert!(ruleset().contains("iif != @port4789.links drop"));
        filter.close(4789, None).unwrap();
        assert!(!ruleset().contains("links"));
        filter.close(4789, Some([].into())).unwrap();
        assert_eq!(open().0.closed(), filter.closed());
        filter.retain(|_| false).unwrap();
        assert!(filter.closed().is_empty());
    });
}

#[test]
fn ten_thousand_sources_are_written_and_read_back() {
    on_a_node(|| {
        // No two of them are neighbours, so each is a range of its own.
        let peers: BTreeSet<IpNetwork> = (0..100u32)
            .map(|number| Ipv4Addr::from(0x0a00_0000 + 2 * number))
            .map(|peer| IpNetwork::new(peer.into(), 32).unwrap())
            .collect();
        let peer_filters = (1..=100).map(|vni| {
            let sources = peers.clone();
            (
                tunnel(vni),
                PeerFilter {
                    underlay: 1,
                    sources,
                },
            )
        });
        let (mut filter, _) = open();
        let begin = Instant::now();
        filter.set_all(peer_filters).unwrap();
        let written = begin.elapsed();
        let (mut again, changes) = open();
        assert_eq!(again.tunnels(), filter.tunnels());
        assert_eq!(again.verify(), Ok(false));
        assert_eq!(sent(&changes), 0);
        let begin = Instant::now();
        run("nft add table inet x");
        assert_eq!(again.verify(), Ok(false));
        println!("written in {written:?}, verified in {:?}", begin.elapsed());
        let listed = run("nft -j list set inet podconfig-default vni100.port4789.if1.v4");
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        let elements = listed["nftables"][1]["set"]["elem"].as_array().unwrap();
        assert_eq!(elements.len(), 100);
        assert!(written < Duration::from_secs(10), "{written:?}");
    });
}

#[test]
fn a_tunnel_of_ten_thousand_sources_is_guarded() {
    on_a_node(|| {
        let of = |base: u128, step: u128, make: fn(u128) -> std::net::IpAddr| {
            let peers = (0..5000).map(move |number| make(base + step * number));
            peers.map(IpNetwork::from)
        };
        let v4 = of(0x0a00_0000, 2, |number| {
            Ipv4Addr::from(number as u32).into()
        });
        let v6 = of(0xfd00 << 112, 2, |number| {
            std::net::Ipv6Addr::from(number).into()
        });
        let (mut filter, _) = open();
        let sources = v4.chain(v6).collect();
        filter
            .set(
                tunnel(1),
                PeerFilter {
                    underlay: 1,
                    sources,
                },
            )
            .unwrap();
        let (again, changes) = open();
        assert_eq!(again.tunnels(), filter.tunnels());
        assert_eq!(again.seen, filter.seen);
        assert_eq!(sent(&changes), 0);
    });
}

#[test]
fn what_the_kernel_refuses_is_told_and_leaves_the_table() {
    on_a_node(|| {
        let (mut filter, _) = open();
        filter
            .set(tunnel(1), peer_filter(1, &["10.0.0.1/32"]))
            .unwrap();
        let whole = ruleset();
        let name = "x".repeat(300);
        filter.table = format!("podconfig-{name}");
        // Also where hundreds of messages are refused.
        let peer_filters = (1..200).map(|vni| (tunnel(vni), peer_filter(1, &["10.0.0.1/32"])));
        let error = filter.set_all(peer_filters).unwrap_err();
        assert!(
            error.to_string().contains("nft table podconfig-xxx"),
            "{error}"
        );
        assert_eq!(filter.tunnels().len(), 1);
        assert_eq!(ruleset(), whole);
    });
}

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;

use ipnetwork::IpNetwork;

use super::{
    attribute::Attribute,
    expression::{Compare, Expression, Header, compare, goto, load},
    message::{body, replacement},
    name::{link_set, peer_set, read_link_set, read_peer_set},
    source::{Family, elements, networks, ranges, read_ranges},
    state::State,
    *,
};

/// Frames on their way.
mod frames;
/// What others do to the table.
mod mending;
/// A node with tunnels, a peer and a pod.
mod node;
/// Packets written by hand.
mod packet;
/// Frames that only pass the node.
mod passing;
/// Network namespaces of the tests.
mod place;
/// The table in a real kernel.
mod table;
/// Ways in which somebody may write a frame.
mod ways;

fn nets(all: &[&str]) -> BTreeSet<IpNetwork> {
    all.iter().map(|net| net.parse().unwrap()).collect()
}

fn tunnel(vni: u32) -> Tunnel {
    Tunnel { vni, port: 4789 }
}

fn peer_filter(underlay: u32, sources: &[&str]) -> PeerFilter {
    PeerFilter {
        underlay,
        sources: nets(sources),
    }
}

#[test]
fn overlapping_and_adjacent_networks_are_said_once() {
    for (said, meant) in [
        (&["10.0.0.0/25", "10.0.0.128/25"][..], &["10.0.0.0/24"][..]),
        (&["10.0.0.0/8", "10.1.2.3/32"], &["10.0.0.0/8"]),
        (&["10.0.0.7/24"], &["10.0.0.0/24"]),
        (
            &["10.0.0.1/32", "10.0.0.2/31"],
            &["10.0.0.1/32", "10.0.0.2/31"],
        ),
        (&["0.0.0.0/1", "128.0.0.0/1"], &["0.0.0.0/0"]),
        (
            &["fd00::/64", "fd00:0:0:1::/64", "::1/128"],
            &["fd00::/63", "::1/128"],
        ),
        (
            &["::/1", "8000::/1", "10.0.0.1/32"],
            &["::/0", "10.0.0.1/32"],
        ),
        (&[], &[]),
    ] {
        assert_eq!(
            peer_filter(3, said).normalized(),
            peer_filter(3, meant),
            "{said:?}"
        );
    }
}

#[test]
fn what_is_written_into_a_set_is_read_from_it() {
    for sources in [
        &["0.0.0.0/0"][..],
        &["0.0.0.0/32", "255.255.255.255/32"],
        &["10.0.0.0/24", "10.0.2.5/32", "240.0.0.0/4"],
    ] {
        let sources = nets(sources);
        let elements = elements(&ranges(&sources, Family::V4), Family::V4);
        let read = read_ranges(&elements, Family::V4);
        assert_eq!(networks(&read, Family::V4), sources);
    }
    for sources in [&["::/0"][..], &["::/128", "fd00::1/128", "ff00::/8"]] {
        let sources = nets(sources);
        let elements = elements(&ranges(&sources, Family::V6), Family::V6);
        let read = read_ranges(&elements, Family::V6);
        assert_eq!(networks(&read, Family::V6), sources);
    }
}

#[test]
fn a_range_up_to_the_last_address_has_no_end() {
    let written = |net| {
        let elements = elements(&ranges(&nets(&[net]), Family::V4), Family::V4);
        let each = elements.into_iter();
        each.map(|element| (element.key, element.is_end))
            .collect::<Vec<_>>()
    };
    assert_eq!(written("0.0.0.0/0"), [(vec![0; 4], false)]);
    assert_eq!(
        written("240.0.0.0/4"),
        [(vec![0; 4], true), (vec![240, 0, 0, 0], false)]
    );
    assert_eq!(
        written("10.0.0.0/24"),
        [
            (vec![0; 4], true),
            (vec![10, 0, 0, 0], false),
            (vec![10, 0, 1, 0], true)
        ]
    );
}

#[test]
fn the_name_of_a_set_says_what_it_is_for() {
    let name = peer_set(tunnel(10042), 5, Family::V4);
    assert_eq!(name, "vni10042.port4789.if5.v4");
    assert_eq!(read_peer_set(&name), Some((tunnel(10042), 5, Family::V4)));
    let name = peer_set(Tunnel { vni: 0, port: 1 }, 7, Family::V6);
    assert_eq!(
        read_peer_set(&name),
        Some((Tunnel { vni: 0, port: 1 }, 7, Family::V6))
    );
    assert_eq!(read_link_set(&link_set(4789)), Some(4789));
    for other in [
        "vni007.port4789.if5.v4",
        "vni7.port4789.if5.v5",
        "vni7.port4789.if5",
        "vni7.port99999.if5.v4",
        "vni7.port4789.if5.v4.v4",
        "port+1.links",
        "port1.link",
        "",
    ] {
        assert_eq!(read_peer_set(other), None, "{other}");
        assert_eq!(read_link_set(other), None, "{other}");
    }
}

#[test]
fn an_expression_is_written_as_the_kernel_reads_it() {
    let written = |expression: Expression| {
        let mut out = Vec::new();
        expression.encode().append(&mut out);
        let words = out.chunks(4).map(|word| word.try_into().unwrap());
        words.map(u32::from_be_bytes).collect::<Vec<u32>>()
    };
    // Lengths and kinds are in the machine's order.
    let head = |length: u16, kind: u16| {
        let [a, b] = length.to_ne_bytes();
        let [c, d] = kind.to_ne_bytes();
        u32::from_be_bytes([a, b, c, d])
    };
    const NESTED: u16 = 1 << 15;
    let expected = [
        &[head(52, NESTED | 1), head(12, 1)][..],
        &[u32::from_be_bytes(*b"payl"), u32::from_be_bytes(*b"oad\0")],
        &[head(36, NESTED | 2), head(8, 1), 1, head(8, 2), 2],
        &[head(8, 3), 12, head(8, 4), 3],
    ];
    assert_eq!(written(load(Header::Transport, 12, 3)), expected.concat());
    let expected = [
        &[head(44, NESTED | 1), head(8, 1)][..],
        &[u32::from_be_bytes(*b"cmp\0")],
        &[head(32, NESTED | 2), head(8, 1), 1, head(8, 2), 0],
        &[head(12, NESTED | 3), head(7, 1), 0x0027_3a00],
    ];
    let vni = compare(Compare::Equal, &[0, 0x27, 0x3a]);
    assert_eq!(written(vni), expected.concat());
}

#[test]
fn a_rule_is_known_in_whatever_order_the_kernel_describes_it() {
    let leaf = |kind, value| Attribute::number(kind, value);
    let dumped = |attributes: &[Attribute]| {
        let mut out = Vec::new();
        attributes.iter().for_each(|each| each.append(&mut out));
        out
    };
    let wanted = Attribute::Nest(3, vec![leaf(1, 7), leaf(2, 8)]);
    let swapped = Attribute::Nest(3, vec![leaf(9, 1), leaf(2, 8), leaf(1, 7)]);
    assert!(wanted.is_in(&dumped(&[leaf(1, 1), swapped])));
    let other = Attribute::Nest(3, vec![leaf(1, 7), leaf(2, 9)]);
    assert!(!wanted.is_in(&dumped(&[other])));
    assert!(!wanted.is_in(&[]));
    let rule = [load(Header::Network, 0, 4), goto("a")];
    let described = |rule: &[Expression]| {
        let each = rule.iter().map(Expression::encode);
        dumped(&each.collect::<Vec<_>>())
    };
    assert!(expression::are(&rule, &described(&rule)));
    assert!(!expression::are(&rule, &described(&rule[..1])));
    assert!(!expression::are(&rule[..1], &described(&rule)));
    let elsewhere = [load(Header::Network, 0, 4), goto("b")];
    assert!(!expression::are(&rule, &described(&elsewhere)));
}

#[test]
fn every_message_of_a_large_table_fits() {
    let sources: BTreeSet<IpNetwork> = (0..5000u32)
        .map(|number| {
            IpNetwork::new(
                (0xfd00_u128 << 112 | u128::from(number) << 8).into_v6(),
                128,
            )
        })
        .map(Result::unwrap)
        .collect();
    let state = State {
        tunnels: [(
            tunnel(1),
            PeerFilter {
                underlay: 1,
                sources,
            },
        )]
        .into(),
        ..State::default()
    };
    let requests = replacement("podconfig-default", &Layout::of(&state));
    let fills = requests.iter().filter(|each| each.op.starts_with("fill"));
    assert_eq!(fills.count(), 11);
    for request in &requests {
        let crate::netlink::Body::Raw(_, bytes) = &request.body else {
            panic!("{} is typed", request.op);
        };
        assert!(bytes.len() < 1 << 16, "{}: {}", request.op, bytes.len());
    }
}

trait IntoV6 {
    fn into_v6(self) -> std::net::IpAddr;
}

impl IntoV6 for u128 {
    fn into_v6(self) -> std::net::IpAddr {
        std::net::Ipv6Addr::from(self).into()
    }
}

#[test]
fn a_kernel_without_nf_tables_refuses_guards_and_nothing_else() {
    let mut filter = Filter {
        table: "podconfig-default".into(),
        socket: None,
        lack: "the kernel has no nf_tables".into(),
        state: State::default(),
        seen: None,
        events: None,
        is_unsure: false,
        not_before: None,
    };
    assert!(!filter.is_available());
    let error = filter.set(tunnel(1), peer_filter(1, &["10.0.0.1/32"]));
    let error = error.unwrap_err();
    assert_eq!(error.errno, Errno::EOPNOTSUPP);
    assert!(
        error.to_string().contains("the kernel has no nf_tables"),
        "{error}"
    );
    assert!(filter.tunnels().is_empty());
    assert_eq!(filter.verify(), Ok(false));
    assert_eq!(filter.retain(|_| false), Ok(()));
}

#[test]
fn a_question_has_the_table_s_family() {
    let crate::netlink::Body::Raw(kind, bytes) = body(1, &[]) else {
        panic!("typed");
    };
    assert_eq!((kind, bytes), (0x0a01, vec![1, 0, 0, 0]));
}

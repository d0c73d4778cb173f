//! The wanted content of the table: chains, rules, and sets. Pure.
//!
//! Packets that the node forwards between other hosts with tunnels of the same VNI and port are not filtered;
//! packets forwarded to a peer are: with this node's address as source the peer would accept them as ours.
//!
//! Possible bypasses, and why they fail:
//!
//! * *Hidden in a later fragment.* Only the first fragment has the ports, and only as much of the VXLAN
//!   header as its sender put there; the kernel accepts neither overlapping fragments nor fragments of
//!   fragments. IPv4 is reassembled before `input`. Otherwise a fragment to a port of ours without a readable
//!   VNI is dropped, if it is for this node or a peer of any tunnel of the port. IPv6 may hide even the
//!   ports, behind extension headers that continue in the next fragment; the kernel drops most of these, not
//!   all, so every first fragment without ports is dropped in `input`, as RFC 8200 requires, and likewise on
//!   the peers. If the node reassembles before this table (connection tracking, and so all translation),
//!   nothing is hidden.
//! * *Behind options and extension headers.* The kernel walks them to the transport header, so `th` is after
//!   all of them. Only an authentication header ends the walk: its payload enters the stack again, without
//!   the header, after verification.
//! * *Under another port, translated on the way* (DNAT, a Service). It is filtered after the translation: in
//!   `forward`, and in `input` behind IPVS too, which translates there.
//! * *By way of another node*, whose address it then has (masquerading). That node's own filter drops it in
//!   `forward`, if it filters the tunnel and the destination is a peer's address there. To another address of
//!   a peer, on the same link, it passes: it is indistinguishable from foreign traffic.
//! * *In a tunnel, or through IPsec.* Decapsulated packets enter the stack by the decapsulating link.
//! * *As UDP-Lite*: a vxlan socket takes UDP alone. A checksum of zero changes nothing here. The node's own
//!   processes come by `lo`, which is no underlay; those that send to others are trusted.
//! * *Behind another frame.* A pod of this node may send a burst (`UDP_SEGMENT`), which is one packet with
//!   one visible VXLAN header here, and is segmented at the socket. If the first frame has an unfiltered VNI,
//!   the others pass with it. No rule can detect a burst: see `Filter::close`, which helps only in `input`;
//!   one that is masqueraded on its way to a peer passes.

use std::collections::BTreeSet;

use super::{
    PeerFilter, Tunnel,
    expression::{
        Compare, Expression, Header, accept, back, comes_from, compare, drop, fragment_header,
        goes_on, goes_to, goto, is_in, is_of, is_udp, jump, link, load, mask,
    },
    name::{link_set, peer_set, port_chain, tunnel_chain},
    source::{Element, Family, elements, ranges},
    state::State,
};

#[derive(Debug, Default)]
pub struct Layout {
    pub chains: Vec<NftChain>,
    pub sets: Vec<NftSet>,
}

#[derive(Debug)]
pub struct NftChain {
    pub name: String,
    pub hook: Option<Hook>,
    pub rules: Vec<NftRule>,
}

/// The netfilter hook of a base chain.
#[derive(Clone, Copy, Debug)]
pub struct Hook {
    pub number: u32,
    pub priority: i32,
}

#[derive(Debug)]
pub struct NftRule {
    pub expressions: Vec<Expression>,
    /// For operators.
    pub comment: Option<&'static str>,
}

#[derive(Debug)]
pub struct NftSet {
    pub name: String,
    pub kind: SetKind,
    pub elements: BTreeSet<Element>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetKind {
    Sources(Family),
    Links,
}

impl Layout {
    pub fn of(state: &State) -> Self {
        let ports = state.ports();
        let mut layout = Self::default();
        if ports.is_empty() {
            return layout;
        }
        layout.chains.extend(base_chains(state, &ports));
        for port in ports {
            let peer_filters = state.tunnels.iter();
            let peer_filters: Vec<_> = peer_filters
                .filter(|(tunnel, _)| tunnel.port == port)
                .collect();
            layout.chains.push(port_rules(port, &peer_filters));
        }
        for (tunnel, peer_filter) in &state.tunnels {
            layout.chains.push(tunnel_rules(*tunnel, peer_filter));
            layout.sets.extend(peers(*tunnel, peer_filter));
        }
        layout.sets.extend(state.closed.iter().map(links));
        layout
    }
}

fn base_chains(state: &State, ports: &BTreeSet<u16>) -> [NftChain; 2] {
    let jumps = || -> Vec<NftRule> {
        let each = ports.iter();
        each.map(|port| rule([&to(*port)[..], &[jump(&port_chain(*port))]]))
            .collect()
    };
    let base = |name: &str, number, priority, more: Vec<NftRule>| NftChain {
        name: name.into(),
        hook: Some(Hook { number, priority }),
        rules: jumps().into_iter().chain(more).collect(),
    };
    let closed = state.closed.keys().map(|port| {
        let elsewhere = [link(), is_in(&link_set(*port), false), drop()];
        rule([&to(*port)[..], &elsewhere]).saying("comes by no link of this port")
    });
    // 200 is after all translation in `input`. No rule may follow the accepting ones.
    [
        base("forward", 2, -300, Vec::new()),
        base("input", 1, 200, closed.chain(hidden_ports()).collect()),
    ]
}

/// Only an attacker fragments a packet before the ports.
fn hidden_ports() -> [NftRule; 2] {
    let seen = [load(Header::Transport, 0, 4), any::<4>(), accept()];
    let hidden = [
        fragment_header(2, 2, false),
        mask([0xff, 0xf8]),
        compare(Compare::Equal, &[0, 0]),
        drop(),
    ];
    [
        rule([&seen]).saying("its ports can be read"),
        rule([&is_of(Family::V6)[..], &hidden]).saying("hides its ports in a later fragment"),
    ]
}

fn port_rules(port: u16, peer_filters: &[(&Tunnel, &PeerFilter)]) -> NftChain {
    let vni = || load(Header::Transport, 12, 3);
    let to_tunnels = peer_filters.iter().map(|(tunnel, _)| {
        let [_, number @ ..] = tunnel.vni.to_be_bytes();
        let number = compare(Compare::Equal, &number);
        rule([&[vni(), number, goto(&tunnel_chain(**tunnel))]])
    });
    let rest = rule([&[vni(), any::<3>(), back()]]).saying("of a VNI that is not ours");
    NftChain {
        name: port_chain(port),
        hook: None,
        rules: to_tunnels
            .chain([rest])
            .chain(hidden_vni(peer_filters))
            .collect(),
    }
}

/// Fragments without a readable VNI may be forwarded to hosts that are not peers of any tunnel.
fn hidden_vni(peer_filters: &[(&Tunnel, &PeerFilter)]) -> Vec<NftRule> {
    let hides = "hides its VNI";
    let sets = peer_filters
        .iter()
        .flat_map(|(tunnel, peer_filter)| sets(**tunnel, peer_filter));
    let to_peer = |(family, set): (Family, String)| {
        let to_peer = goes_to(family, &set, true);
        rule([&in_fragments(family), &to_peer, &[drop()]]).saying(hides)
    };
    let passes = rule([&goes_on()[..], &[back()]]).saying("only passes this node");
    // IPv4 is whole again in `input`.
    let here = rule([&in_fragments(Family::V6), &[drop()]]).saying(hides);
    sets.map(to_peer).chain([passes, here]).collect()
}

/// Matches first fragments. Later fragments do not get here: they have no port.
fn in_fragments(family: Family) -> Vec<Expression> {
    let is_divided: &[Expression] = match family {
        Family::V4 => &[
            load(Header::Network, 6, 2),
            mask([0x20, 0]),
            compare(Compare::Unequal, &[0, 0]),
        ],
        Family::V6 => &[fragment_header(0, 1, true), compare(Compare::Equal, &[1])],
    };
    [&is_of(family)[..], is_divided].concat()
}

fn tunnel_rules(tunnel: Tunnel, peer_filter: &PeerFilter) -> NftChain {
    let accepts = sets(tunnel, peer_filter).map(|(family, set)| {
        let here = [
            link(),
            compare(Compare::Equal, &peer_filter.underlay.to_ne_bytes()),
        ];
        let from = comes_from(family, &set);
        rule([&here[..], &is_of(family), &from, &[accept()]])
    });
    let passing = Family::BOTH.map(|family| {
        let set = sets(tunnel, peer_filter).find(|(other, _)| *other == family);
        let to_others = set.map(|(_, set)| goes_to(family, &set, false));
        let to_others = to_others.as_ref().map_or(&[][..], |is_so| is_so);
        rule([&goes_on()[..], &is_of(family), to_others, &[accept()]]).saying("passes to no peer")
    });
    NftChain {
        name: tunnel_chain(tunnel),
        hook: None,
        rules: accepts.chain(passing).chain([rule([&[drop()]])]).collect(),
    }
}

fn peers(tunnel: Tunnel, peer_filter: &PeerFilter) -> impl Iterator<Item = NftSet> {
    sets(tunnel, peer_filter).map(|(family, name)| NftSet {
        name,
        kind: SetKind::Sources(family),
        elements: elements(&ranges(&peer_filter.sources, family), family),
    })
}

/// The names of a tunnel's sets.
fn sets(tunnel: Tunnel, peer_filter: &PeerFilter) -> impl Iterator<Item = (Family, String)> {
    families(peer_filter)
        .map(move |family| (family, peer_set(tunnel, peer_filter.underlay, family)))
}

/// The families with sources; without sources, an empty set stores the filter.
fn families(peer_filter: &PeerFilter) -> impl Iterator<Item = Family> {
    let is_there = |family| {
        let sources = &peer_filter.sources;
        sources
            .iter()
            .any(|network| Family::of(network.ip()) == family)
            || sources.is_empty() && family == Family::V4
    };
    Family::BOTH
        .into_iter()
        .filter(move |family| is_there(*family))
}

fn links((port, links): (&u16, &BTreeSet<u32>)) -> NftSet {
    let element = |link: &u32| Element {
        key: link.to_ne_bytes().into(),
        is_end: false,
    };
    NftSet {
        name: link_set(*port),
        kind: SetKind::Links,
        elements: links.iter().map(element).collect(),
    }
}

fn to(port: u16) -> [Expression; 4] {
    let [protocol, is_udp] = is_udp();
    let is_port = compare(Compare::Equal, &port.to_be_bytes());
    [protocol, is_udp, load(Header::Transport, 2, 2), is_port]
}

/// Matches every value that could be loaded.
fn any<const LENGTH: usize>() -> Expression {
    compare(Compare::AtLeast, &[0; LENGTH])
}

fn rule<const PARTS: usize>(parts: [&[Expression]; PARTS]) -> NftRule {
    NftRule {
        expressions: parts.concat(),
        comment: None,
    }
}

impl NftRule {
    fn saying(self, comment: &'static str) -> Self {
        Self {
            comment: Some(comment),
            ..self
        }
    }
}

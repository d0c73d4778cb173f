//! Pure: the classic BPF program at the tc ingress hook of the host end, which runs for every frame of the
//! pod.
//!
//! A host end on a bridge drops protocol frames. A routed host end passes only IP and ARP from the link's own
//! addresses: `rp_filter` covers only IPv4, and only if neither `conf.all` nor a later `sysctl --system`
//! loosens it.
//!
//! A load beyond the end of a frame ends the program with an accepting verdict, so each load is preceded by a
//! length check.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

use crate::links::{HostEnd, Link, Veth, gateway::GATEWAY_V6};

/// `struct sock_filter`: code, jump if true, jump if false, value.
pub type Instruction = (u16, u8, u8, u32);

const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
const LOAD_BYTE: u16 = 0x30;
const LOAD_LENGTH: u16 = 0x80;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;

/// TC_ACT_SHOT.
const DROP: Instruction = (RETURN, 0, 0, 2);
/// TC_ACT_UNSPEC: later filters run as well.
const PASS: Instruction = (RETURN, 0, 0, u32::MAX);

/// SKF_AD_VLAN_TAG_PRESENT: whether the kernel has moved a tag from the frame into its metadata.
const TAG_PRESENT: u32 = 0xffff_f030;
const ETHER_TYPE: u32 = 12;
const IPV4: u32 = 0x0800;
const ARP: u32 = 0x0806;
const IPV6: u32 = 0x86dd;
/// Offsets of the inspected fields.
const ARP_SENDER: u32 = 28;
const IPV4_SOURCE: u32 = 26;
const IPV6_NEXT_HEADER: u32 = 20;
const IPV6_SOURCE: u32 = 22;
const ICMPV6_TYPE: u32 = 54;
const ICMPV6: u32 = 58;
const NEIGHBOUR_SOLICITATION: u32 = 135;

/// Frames to 01:80:c2:00:00:00 to :0f, and to Cisco's 01:00:0c:cc:cc:c0 to :cf: the first four bytes,
/// and the next two without the last four bits.
const PROTOCOLS: [Instruction; 10] = [
    (LOAD_WORD, 0, 0, 0),
    (JUMP_IF_EQUAL, 0, 3, 0x0180_c200),
    (LOAD_HALF, 0, 0, 4),
    (AND, 0, 0, 0xfff0),
    (JUMP_IF_EQUAL, 4, 0, 0),
    (JUMP_IF_EQUAL, 0, 4, 0x0100_0ccc),
    (LOAD_HALF, 0, 0, 4),
    (AND, 0, 0, 0xfff0),
    (JUMP_IF_EQUAL, 0, 1, 0xccc0),
    DROP,
];

/// Tagged frames: with a tag in the metadata, or still in the frame, of 802.1Q, 802.1ad or their predecessor.
const TAGS: [Instruction; 7] = [
    (LOAD_BYTE, 0, 0, TAG_PRESENT),
    (JUMP_IF_EQUAL, 0, 4, 0),
    (LOAD_HALF, 0, 0, ETHER_TYPE),
    (JUMP_IF_EQUAL, 2, 0, 0x8100),
    (JUMP_IF_EQUAL, 1, 0, 0x88a8),
    (JUMP_IF_EQUAL, 0, 1, 0x9100),
    DROP,
];

/// The program of a link's host end. It is part of the link: equal links have equal programs, and a change of
/// addresses changes it.
pub fn of(veth: &Veth, link: &Link) -> Vec<Instruction> {
    match veth.host_end {
        HostEnd::Routed => own_sources(&link.addresses),
        HostEnd::Bridge { .. } | HostEnd::HostBridge(_) | HostEnd::Segment(_) => {
            of_bridge(veth.leads_to_vlans())
        }
    }
}

/// The program of a host end on a bridge: frames that no part drops pass.
pub fn of_bridge(leads_to_vlans: bool) -> Vec<Instruction> {
    let tags: &[Instruction] = match leads_to_vlans {
        true => &TAGS,
        false => &[],
    };
    [&PROTOCOLS[..], tags, &[PASS]].concat()
}

/// Passes IPv4, IPv6 and ARP from these addresses. Tagged frames are dropped: the kernel removes any number
/// of tags with id 0, and the program sees only the removal of the first.
fn own_sources(addresses: &[IpNetwork]) -> Vec<Instruction> {
    let v4: Vec<Ipv4Addr> = addresses.iter().filter_map(v4).collect();
    let v6: Vec<Ipv6Addr> = addresses.iter().filter_map(v6).collect();
    let mut program = vec![
        (LOAD_BYTE, 0, 0, TAG_PRESENT),
        (JUMP_IF_EQUAL, 1, 0, 0),
        DROP,
        (LOAD_HALF, 0, 0, ETHER_TYPE),
    ];
    program.extend(frames_of(IPV4, &from_ipv4(IPV4_SOURCE, &v4)));
    // ARP probes have an unspecified sender (RFC 5227).
    let probing = [&v4[..], &[Ipv4Addr::UNSPECIFIED]].concat();
    program.extend(frames_of(ARP, &from_ipv4(ARP_SENDER, &probing)));
    program.extend(frames_of(IPV6, &from_ipv6(&v6)));
    program.push(DROP);
    program
}

fn v4(address: &IpNetwork) -> Option<Ipv4Addr> {
    match address.ip() {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    }
}

fn v6(address: &IpNetwork) -> Option<Ipv6Addr> {
    match address.ip() {
        IpAddr::V6(ip) => Some(ip),
        IpAddr::V4(_) => None,
    }
}

/// Runs `verdict` for frames of an Ethernet type, which is in the accumulator. `verdict` must end in one.
fn frames_of(ether_type: u32, verdict: &[Instruction]) -> Vec<Instruction> {
    let length = verdict.len() as u32;
    let skip = [(JUMP_IF_EQUAL, 1, 0, ether_type), (JUMP, 0, 0, length)];
    [&skip, verdict].concat()
}

/// Drops frames shorter than `end`.
fn reaches(end: u32) -> [Instruction; 3] {
    [(LOAD_LENGTH, 0, 0, 0), (JUMP_IF_AT_LEAST, 1, 0, end), DROP]
}

fn from_ipv4(at: u32, addresses: &[Ipv4Addr]) -> Vec<Instruction> {
    let mut program = reaches(at + 4).to_vec();
    program.push((LOAD_WORD, 0, 0, at));
    for address in addresses {
        program.extend([(JUMP_IF_EQUAL, 0, 1, address.to_bits()), PASS]);
    }
    program.push(DROP);
    program
}

/// Passes the link's addresses and link-local ones, which no router forwards, except the gateway's: the
/// kernel accepts packets from its own address. Also passes duplicate address detection, which has the
/// unspecified source.
fn from_ipv6(addresses: &[Ipv6Addr]) -> Vec<Instruction> {
    let mut program = reaches(ICMPV6_TYPE).to_vec();
    for address in addresses {
        program.extend(if_source_is(*address, &[PASS]));
    }
    program.extend(if_source_is(GATEWAY_V6, &[DROP]));
    let mut solicitation = reaches(ICMPV6_TYPE + 1).to_vec();
    solicitation.extend([
        (LOAD_BYTE, 0, 0, IPV6_NEXT_HEADER),
        (JUMP_IF_EQUAL, 0, 3, ICMPV6),
        (LOAD_BYTE, 0, 0, ICMPV6_TYPE),
        (JUMP_IF_EQUAL, 0, 1, NEIGHBOUR_SOLICITATION),
        PASS,
        DROP,
    ]);
    program.extend(if_source_is(Ipv6Addr::UNSPECIFIED, &solicitation));
    program.extend([
        (LOAD_WORD, 0, 0, IPV6_SOURCE),
        (AND, 0, 0, 0xffc0_0000),
        (JUMP_IF_EQUAL, 0, 1, 0xfe80_0000),
        PASS,
        DROP,
    ]);
    program
}

/// Runs `verdict` for packets from an address. `verdict` must end in one.
fn if_source_is(address: Ipv6Addr, verdict: &[Instruction]) -> Vec<Instruction> {
    let [a, b, c, d] = words(address);
    let length = verdict.len() as u8;
    let compare = [
        (LOAD_WORD, 0, 0, IPV6_SOURCE),
        (JUMP_IF_EQUAL, 0, 6 + length, a),
        (LOAD_WORD, 0, 0, IPV6_SOURCE + 4),
        (JUMP_IF_EQUAL, 0, 4 + length, b),
        (LOAD_WORD, 0, 0, IPV6_SOURCE + 8),
        (JUMP_IF_EQUAL, 0, 2 + length, c),
        (LOAD_WORD, 0, 0, IPV6_SOURCE + 12),
        (JUMP_IF_EQUAL, 0, length, d),
    ];
    [&compare, verdict].concat()
}

fn words(address: Ipv6Addr) -> [u32; 4] {
    let bits = address.to_bits();
    [96, 64, 32, 0].map(|shift| (bits >> shift) as u32)
}

#[cfg(test)]
mod tests;

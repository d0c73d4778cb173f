//! What hosts and routers say to each other about multicast groups, and who listens in between.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::frame::{Mac, checksum, ethernet, link_local};

const EVERY_NODE: Mac = [0x33, 0x33, 0, 0, 0, 1];
/// Where no pod listens: bridges take a query that goes there, and no pod answers it.
const NOBODY: Mac = [0x33, 0x33, 0, 0, 0xde, 0xad];

/// A router's question who is in any group, to be answered within a millisecond.
pub fn query_for_all(from: Mac) -> Vec<u8> {
    query(from, (EVERY_NODE, "ff02::1"), Ipv6Addr::UNSPECIFIED)
}

/// The question who is in one group, asked so that those who are do not hear it.
pub fn query_unheard(from: Mac, group: Ipv6Addr) -> Vec<u8> {
    query(from, (NOBODY, "ff02::dead"), group)
}

/// MLDv1, behind the router alert option that it must have.
fn query(from: Mac, (to, target): (Mac, &str), group: Ipv6Addr) -> Vec<u8> {
    let (source, target) = (link_local(from), target.parse::<Ipv6Addr>().expect("IPv6"));
    let mut body = vec![130, 0, 0, 0, 0, 1, 0, 0];
    body.extend(group.octets());
    let length = (body.len() as u32).to_be_bytes();
    let pseudo = [
        &source.octets()[..],
        &target.octets(),
        &length,
        &[0, 0, 0, 58],
        &body,
    ];
    let sum = checksum(&pseudo.concat());
    body[2..4].copy_from_slice(&sum.to_be_bytes());
    let options = [58, 0, 5, 2, 0, 0, 1, 0];
    let mut head = vec![0x60, 0, 0, 0];
    head.extend(((options.len() + body.len()) as u16).to_be_bytes());
    head.extend([0, 1]);
    head.extend(source.octets());
    head.extend(target.octets());
    ethernet(to, from, 0x86dd, &[&head[..], &options, &body].concat())
}

/// A host's word that it is in a group: IGMPv2, with the router alert option.
pub fn report(from: Mac, source: Ipv4Addr, group: Ipv4Addr) -> Vec<u8> {
    let mut body = vec![0x16, 0, 0, 0];
    body.extend(group.octets());
    let sum = checksum(&body);
    body[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut head = vec![0x46, 0xc0, 0, 32, 0, 1, 0, 0, 1, 2, 0, 0];
    head.extend(source.octets());
    head.extend(group.octets());
    head.extend([0x94, 4, 0, 0]);
    let sum = checksum(&head);
    head[10..12].copy_from_slice(&sum.to_be_bytes());
    let [_, b, c, d] = group.octets();
    let to = [1, 0, 0x5e, b & 0x7f, c, d];
    ethernet(to, from, 0x0800, &[head, body].concat())
}

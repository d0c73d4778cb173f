//! Tunnel peers ↔ netlink messages, pure. Each peer is an all-zeros MAC entry in the device's forwarding
//! table: broadcast and unknown frames are sent to each of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE, NlasIterator};
use nix::{
    errno::Errno,
    libc::{
        NDA_DST, NDA_LLADDR, NTF_SELF, NUD_NOARP, NUD_PERMANENT, RTM_DELNEIGH, RTM_GETNEIGH,
        RTM_NEWNEIGH,
    },
};

use crate::netlink::{Body, Request};

const AF_BRIDGE: u8 = 7;
const HEADER: usize = 12;
const ALL_ZEROS: [u8; 6] = [0; 6];

pub fn add(name: &str, index: u32, peer: IpAddr) -> Request {
    Request::of_body(
        format!("add peer {peer} to {name}"),
        NLM_F_CREATE | NLM_F_APPEND,
        Body::Raw(RTM_NEWNEIGH, written(default_entry(index, peer))),
    )
}

pub fn delete(name: &str, index: u32, peer: IpAddr) -> Request {
    let op = format!("delete peer {peer} from {name}");
    deletion(op, default_entry(index, peer))
}

/// Deletes an entry learned behind a peer, which would stay for minutes.
pub fn forget(name: &str, learned: Entry) -> Request {
    deletion(
        format!("delete an entry learned behind a peer of {name}"),
        learned,
    )
}

/// Deletes a learned MAC address, behind whichever peer.
pub fn forget_everywhere(name: &str, index: u32, mac: [u8; 6], is_ipv6: bool) -> Request {
    // The unspecified address matches every peer.
    let peer = match is_ipv6 {
        true => Ipv6Addr::UNSPECIFIED.into(),
        false => Ipv4Addr::UNSPECIFIED.into(),
    };
    forget(name, Entry { index, mac, peer })
}

fn deletion(op: String, entry: Entry) -> Request {
    Request {
        ignorable: &[Errno::ENOENT],
        ..Request::of_body(op, 0, Body::Raw(RTM_DELNEIGH, written(entry)))
    }
}

fn default_entry(index: u32, peer: IpAddr) -> Entry {
    Entry {
        index,
        mac: ALL_ZEROS,
        peer,
    }
}

/// `struct ndmsg` and its attributes.
fn written(entry: Entry) -> Vec<u8> {
    let mut bytes = head(entry.index, NUD_NOARP | NUD_PERMANENT, NTF_SELF);
    let mut put = |kind: u16, value: &[u8]| {
        bytes.extend(((4 + value.len()) as u16).to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    };
    put(NDA_LLADDR, &entry.mac);
    match entry.peer {
        IpAddr::V4(v4) => put(NDA_DST, &v4.octets()),
        IpAddr::V6(v6) => put(NDA_DST, &v6.octets()),
    }
    bytes
}

fn head(index: u32, state: u16, flags: u8) -> Vec<u8> {
    let mut bytes = vec![AF_BRIDGE, 0, 0, 0];
    bytes.extend(index.to_ne_bytes());
    bytes.extend(state.to_ne_bytes());
    bytes.extend([flags, 0]);
    bytes
}

/// Dump request for the forwarding tables of all bridges and tunnels of a namespace.
pub fn list() -> Body {
    list_of(0)
}

/// Dump request for one tunnel: other tables in a pod may have any size.
pub fn list_of(index: u32) -> Body {
    Body::Raw(RTM_GETNEIGH, head(index, 0, 0))
}

/// An entry of a tunnel's forwarding table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The device's ifindex.
    pub index: u32,
    pub mac: [u8; 6],
    /// The peer that it is behind.
    pub peer: IpAddr,
}

impl Entry {
    /// Whether it is the default destination of a peer. The multicast group of the device is not a written
    /// entry.
    pub fn is_default(&self) -> bool {
        self.mac == ALL_ZEROS && !self.peer.is_multicast()
    }
}

/// A learned entry; `None`: it is static, or of a bridge.
pub fn read_learned(body: &[u8]) -> Option<Entry> {
    let header = body.first_chunk::<HEADER>()?;
    let state = u16::from_ne_bytes([header[8], header[9]]);
    let is_written = state & (NUD_NOARP | NUD_PERMANENT) != 0;
    read(body).filter(|entry| !is_written && !entry.is_default())
}

/// `None`: the entry is of a bridge.
pub fn read(body: &[u8]) -> Option<Entry> {
    let header = body.first_chunk::<HEADER>()?;
    let index = u32::from_ne_bytes([header[4], header[5], header[6], header[7]]);
    let (mut mac, mut peer) = (None, None);
    for attribute in NlasIterator::new(body.get(HEADER..)?).flatten() {
        let value = attribute.value();
        match attribute.kind() {
            NDA_LLADDR => mac = value.try_into().ok(),
            NDA_DST => {
                peer = match value.len() {
                    4 => <[u8; 4]>::try_from(value).ok().map(IpAddr::from),
                    _ => <[u8; 16]>::try_from(value).ok().map(IpAddr::from),
                };
            }
            _ => (),
        }
    }
    Some(Entry {
        index,
        mac: mac?,
        peer: peer?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_read_as_it_was_written() {
        for peer in ["10.77.0.2", "fd77::2"] {
            let peer: IpAddr = peer.parse().expect("an address");
            let entry = default_entry(7, peer);
            assert_eq!(read(&written(entry)), Some(entry));
            assert!(entry.is_default());
        }
        assert_eq!(read(&[0; 4]), None, "what is torn is nothing");
    }

    #[test]
    fn a_static_entry_was_not_learned() {
        let peer = "10.77.0.2".parse().expect("an address");
        let mac = [2, 0, 0, 0, 0, 1];
        let entry = Entry {
            index: 7,
            mac,
            peer,
        };
        let mut body = written(entry);
        assert_eq!(read_learned(&body), None);
        body[8..10].copy_from_slice(&2u16.to_ne_bytes());
        assert_eq!(read_learned(&body), Some(entry));
    }

    #[test]
    fn the_group_of_a_tunnel_is_no_peer() {
        let group = default_entry(7, "239.1.1.1".parse().expect("an address"));
        assert!(!group.is_default());
    }
}

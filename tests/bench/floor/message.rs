//! The bodies of the floor's messages, byte by byte.

use std::{fs::File, net::Ipv4Addr, os::fd::AsRawFd};

use super::{GROUP, Wish};
use crate::wire::{attribute, nest};

pub const UP: u32 = 1;
/// Addresses on a bridge, and behind a tunnel.
pub const MOST_LEARNED: u32 = 8192;

/// `struct ifinfomsg`.
pub fn link(out: &mut Vec<u8>, index: u32, flags: u32) {
    out.extend([0; 4]);
    out.extend(index.to_ne_bytes());
    out.extend(flags.to_ne_bytes());
    out.extend(flags.to_ne_bytes());
}

pub fn bridge(out: &mut Vec<u8>, index: u32, name: &str) {
    link(out, index, 0);
    attribute(out, 3, &text(name));
    nest(out, 18, |out| {
        attribute(out, 1, &text("bridge"));
        nest(out, 2, |out| {
            attribute(out, 5, &0_u32.to_ne_bytes());
            attribute(out, 23, &[0]);
            attribute(out, 49, &MOST_LEARNED.to_ne_bytes());
        });
    });
}

/// A host end on its bridge, and the pod end in its pod.
pub fn veth(out: &mut Vec<u8>, wish: &Wish<'_>, (host, pod): (u32, u32), netns: &File) {
    let mac = wish.mac();
    link(out, host, 0);
    let name = format!("fl{host:013}");
    ends(
        out,
        &name,
        wish.mtu,
        &[0xfe, 0x58, mac[2], mac[3], mac[4], mac[5]],
    );
    attribute(out, 10, &wish.bridge.to_ne_bytes());
    nest(out, 18, |out| {
        attribute(out, 1, &text("veth"));
        nest(out, 2, |out| {
            nest(out, 1, |out| {
                link(out, pod, 0);
                ends(out, wish.name, wish.mtu, &mac);
                in_pod(out, netns);
            });
        });
    });
}

/// In the group of pod ends, and in the pod from the first moment.
pub fn in_pod(out: &mut Vec<u8>, netns: &File) {
    attribute(out, 27, &GROUP.to_ne_bytes());
    attribute(out, 28, &netns.as_raw_fd().to_ne_bytes());
}

pub fn ends(out: &mut Vec<u8>, name: &str, mtu: u32, mac: &[u8; 6]) {
    attribute(out, 3, &text(name));
    attribute(out, 4, &mtu.to_ne_bytes());
    attribute(out, 1, mac);
}

pub fn alias(out: &mut Vec<u8>, index: u32, alias: &str) {
    link(out, index, 0);
    attribute(out, 20, alias.as_bytes());
}

/// A bridge port, and up. A pod's neither learns nor floods, and takes no foreign address.
pub fn port(out: &mut Vec<u8>, index: u32, is_pods: bool) {
    link(out, index, UP);
    let (way_out, locked) = (u8::from(!is_pods), u8::from(is_pods));
    nest(out, 18, |out| {
        attribute(out, 4, &text("bridge"));
        nest(out, 5, |out| {
            attribute(out, 8, &[way_out]);
            attribute(out, 9, &[way_out]);
            attribute(out, 39, &[locked]);
        });
    });
}

/// `struct ndmsg` of the bridge's family, permanent, sticky, for the controller.
pub fn pin(out: &mut Vec<u8>, index: u32, mac: &[u8; 6]) {
    out.extend([7, 0, 0, 0]);
    out.extend(index.to_ne_bytes());
    out.extend([0x40, 0, 0x44, 0]);
    attribute(out, 2, mac);
}

/// The same for the device itself: what is for everybody goes to the peer too.
pub fn peer(out: &mut Vec<u8>, index: u32, peer: Ipv4Addr) {
    out.extend([7, 0, 0, 0]);
    out.extend(index.to_ne_bytes());
    out.extend([0xc0, 0, 0x02, 0]);
    attribute(out, 2, &[0; 6]);
    attribute(out, 1, &peer.octets());
}

/// An address of the project's own, without duplicate address detection.
pub fn address(out: &mut Vec<u8>, index: u32, address: Ipv4Addr, protocol: u8) {
    let broadcast = Ipv4Addr::from_bits(address.to_bits() | 0xffff);
    out.extend([2, 16, 0x82, 0]);
    out.extend(index.to_ne_bytes());
    attribute(out, 2, &address.octets());
    attribute(out, 1, &address.octets());
    attribute(out, 4, &broadcast.octets());
    attribute(out, 8, &0x82_u32.to_ne_bytes());
    attribute(out, 11, &[protocol]);
}

pub fn text(name: &str) -> Vec<u8> {
    [name.as_bytes(), &[0]].concat()
}

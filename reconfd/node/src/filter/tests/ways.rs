//! Ways in which somebody may write a frame.

use std::net::IpAddr;

use super::{
    node::{OURS, OURS_V6, PORT},
    packet::{FRAGMENT, OPTIONS, UDP, V4, fragment, options, send, udp, v4, v6, vxlan},
    place::Neighbour,
};

/// Packets to one address.
pub struct Sending {
    to: IpAddr,
    pub packets: Vec<Vec<u8>>,
}

impl Sending {
    pub fn sent_by(self, neighbour: &Neighbour) {
        neighbour.does(move || send(self.to, &self.packets));
    }
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn plain(from: &str, to: &str, vni: u32, word: &str) -> Sending {
    let (from, to) = (ip(from), ip(to));
    let datagram = udp(PORT, &vxlan(vni, word));
    let packet = match to {
        IpAddr::V4(_) => {
            let how = V4 {
                protocol: UDP,
                ..V4::default()
            };
            v4(from, to, how, &datagram)
        }
        IpAddr::V6(_) => v6(from, to, UDP, &datagram),
    };
    Sending {
        to,
        packets: vec![packet],
    }
}

/// A frame of ours in two fragments, divided so many bytes behind the addresses and options.
pub fn divided_v4(from: IpAddr, to: IpAddr, word: &str, at: usize, options: u8) -> Sending {
    let datagram = udp(PORT, &vxlan(OURS, word));
    let part = |fragment, payload: &[u8]| {
        let how = V4 {
            fragment,
            options,
            protocol: UDP,
        };
        v4(from, to, how, payload)
    };
    let first = part(0x2000, &datagram[..at]);
    let second = part(at as u16 / 8, &datagram[at..]);
    Sending {
        to,
        packets: vec![first, second],
    }
}

fn ways_of_v4(from: &str, to: &str) -> Vec<(&'static str, Sending)> {
    let plain = plain(from, to, OURS, "v4 plain");
    let (from, to) = (ip(from), ip(to));
    let divided = |word, at, options| (word, divided_v4(from, to, word, at, options));
    let mut swapped = divided("v4 hidden, later part first", 8, 0);
    swapped.1.packets.reverse();
    let behind_options = {
        let word = "v4 behind options";
        let how = V4 {
            options: 40,
            protocol: UDP,
            fragment: 0,
        };
        let packets = vec![v4(from, to, how, &udp(PORT, &vxlan(OURS, word)))];
        (word, Sending { to, packets })
    };
    vec![
        ("v4 plain", plain),
        behind_options,
        divided("v4 hidden behind the ports", 8, 0),
        divided("v4 hidden behind ports and options", 8, 40),
        divided("v4 divided behind the VNI", 16, 0),
        divided("v4 divided in the frame", 64, 0),
        swapped,
    ]
}

fn ways_of_v6(from: &str, to: &str) -> Vec<(&'static str, Sending)> {
    let plain = plain(from, to, OURS_V6, "v6 plain");
    let (from, to) = (ip(from), ip(to));
    let datagram = |word: &str| udp(PORT, &vxlan(OURS_V6, word));
    let whole = |word: &'static str, next, payload: Vec<u8>| {
        let packets = vec![v6(from, to, next, &payload)];
        (word, Sending { to, packets })
    };
    // Divides what follows IPv6's own header; each with a number of its own.
    let divided = |word: &'static str, number, next, payload: Vec<u8>, at: usize| {
        let first = fragment(next, 0, true, number, &payload[..at]);
        let second = fragment(next, at as u16, false, number, &payload[at..]);
        let packets = [first, second].map(|part| v6(from, to, FRAGMENT, &part));
        let packets = packets.to_vec();
        (word, Sending { to, packets })
    };
    let a = "v6 behind options";
    let b = "v6 behind options for every hop and others";
    let c = "v6 in a fragment that is all";
    let d = "v6 hidden behind the ports";
    let e = "v6 hidden behind the ports of a long fragment";
    let f = "v6 hidden with its ports";
    let g = "v6 hidden with its ports in a long fragment";
    vec![
        ("v6 plain", plain),
        whole(a, OPTIONS, options(UDP, 8, &datagram(a))),
        whole(b, 0, options(OPTIONS, 16, &options(UDP, 512, &datagram(b)))),
        whole(c, FRAGMENT, fragment(UDP, 0, false, 1, &datagram(c))),
        divided(d, 2, UDP, datagram(d), 8),
        divided(e, 3, OPTIONS, options(UDP, 1240, &datagram(e)), 1248),
        divided(
            f,
            4,
            OPTIONS,
            options(OPTIONS, 8, &options(UDP, 8, &datagram(f))),
            8,
        ),
        divided(
            g,
            5,
            OPTIONS,
            options(OPTIONS, 1240, &options(UDP, 8, &datagram(g))),
            1240,
        ),
    ]
}

/// Ways in which somebody may write packets; by their addresses of both families.
pub fn all_ways(from: [&str; 2], to: [&str; 2]) -> Vec<(&'static str, Sending)> {
    let ways = ways_of_v4(from[0], to[0]).into_iter();
    ways.chain(ways_of_v6(from[1], to[1])).collect()
}

//! The frames that tests send, byte by byte.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub type Mac = [u8; 6];
pub const EVERYBODY: Mac = [0xff; 6];
pub const BRIDGE_GROUP: Mac = [0x01, 0x80, 0xc2, 0, 0, 0];
/// In the payload of every frame that must be told from others.
pub const TOKEN: &[u8] = b"podconfig-test-token";

pub fn holds_token(frame: &[u8]) -> bool {
    frame.windows(TOKEN.len()).any(|part| part == TOKEN)
}

pub fn mac(text: &str) -> Mac {
    let mut bytes = [0; 6];
    let parts = text
        .split(':')
        .map(|part| u8::from_str_radix(part, 16).expect("a MAC is hexadecimal"));
    bytes
        .iter_mut()
        .zip(parts)
        .for_each(|(byte, part)| *byte = part);
    bytes
}

pub fn ethernet(to: Mac, from: Mac, kind: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &from, &kind.to_be_bytes(), payload].concat()
}

/// Nothing that any protocol takes, but findable.
pub fn plain(to: Mac, from: Mac) -> Vec<u8> {
    ethernet(to, from, 0x88b5, TOKEN)
}

/// The frame as it is in a vlan, with its 802.1Q tag.
pub fn tagged(vlan: u16, frame: &[u8]) -> Vec<u8> {
    let (addresses, rest) = frame.split_at(12);
    [addresses, &[0x81, 0], &vlan.to_be_bytes(), rest].concat()
}

/// The vlan that the outermost tag names.
pub fn vlan_of(frame: &[u8]) -> Option<u16> {
    let tag = frame.get(12..16)?;
    (tag[..2] == [0x81, 0]).then(|| u16::from_be_bytes([tag[2], tag[3]]) & 0xfff)
}

/// A configuration BPDU of a bridge that wants to be the root.
pub fn bpdu(from: Mac) -> Vec<u8> {
    let mut body = vec![0x42, 0x42, 3, 0, 0, 0, 0, 0];
    body.extend([0; 27]);
    body.extend(TOKEN);
    let length = u16::try_from(body.len()).expect("a BPDU is short");
    ethernet(BRIDGE_GROUP, from, length, &body)
}

pub fn arp_request(from: Mac, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let fixed = [0, 1, 8, 0, 6, 4, 0, 1];
    let body = [
        &fixed[..],
        &from,
        &sender.octets(),
        &[0; 6],
        &target.octets(),
    ]
    .concat();
    ethernet(EVERYBODY, from, 0x0806, &body)
}

pub fn is_arp_reply_of(frame: &[u8], address: Ipv4Addr) -> bool {
    frame.len() >= 42
        && frame[12..14] == [8, 6]
        && frame[20..22] == [0, 2]
        && frame[28..32] == address.octets()
}

pub fn udp4(to: Mac, from: Mac, source: Ipv4Addr, target: Ipv4Addr, port: u16) -> Vec<u8> {
    let length = u16::try_from(TOKEN.len() + 8).expect("the token is short");
    // A UDP checksum of zero means none, in IPv4.
    let udp = [
        &port.to_be_bytes()[..],
        &port.to_be_bytes(),
        &length.to_be_bytes(),
        &[0, 0],
        TOKEN,
    ]
    .concat();
    let mut head = vec![0x45, 0];
    head.extend((length + 20).to_be_bytes());
    head.extend([0, 1, 0, 0, 64, 17, 0, 0]);
    head.extend(source.octets());
    head.extend(target.octets());
    let sum = checksum(&head);
    head[10..12].copy_from_slice(&sum.to_be_bytes());
    ethernet(to, from, 0x0800, &[head, udp].concat())
}

/// To a socket that listens at an IPv6 address.
pub fn udp6(to: Mac, from: Mac, source: Ipv6Addr, target: Ipv6Addr, port: u16) -> Vec<u8> {
    let port = port.to_be_bytes();
    let length = u16::try_from(TOKEN.len() + 8).expect("the token is short");
    let body = [&port[..], &port, &length.to_be_bytes(), &[0, 0], TOKEN].concat();
    six(17, to, from, [source, target], body)
}

/// "I am your router, and this is your prefix", to all nodes.
pub fn router_advertisement(from: Mac, prefix: Ipv6Addr) -> Vec<u8> {
    let mut body = vec![134, 0, 0, 0, 64, 0];
    body.extend(1800_u16.to_be_bytes());
    body.extend([0; 8]);
    // The prefix option: on link, for addresses of one's own.
    body.extend([3, 4, 64, 0xc0]);
    body.extend(3600_u32.to_be_bytes());
    body.extend(3600_u32.to_be_bytes());
    body.extend([0; 4]);
    body.extend(prefix.octets());
    icmp6(
        [0x33, 0x33, 0, 0, 0, 1],
        from,
        "ff02::1".parse().expect("an address"),
        body,
    )
}

/// "Who has this address?"
pub fn neighbour_solicitation(from: Mac, target: Ipv6Addr) -> Vec<u8> {
    let mut body = vec![135, 0, 0, 0, 0, 0, 0, 0];
    body.extend(target.octets());
    body.extend([1, 1]);
    body.extend(from);
    let tail = target.octets();
    let group: Ipv6Addr = "ff02::1:ff00:0".parse().expect("an address");
    let mut group = group.octets();
    group[13..].copy_from_slice(&tail[13..]);
    icmp6(
        [0x33, 0x33, 0xff, tail[13], tail[14], tail[15]],
        from,
        group.into(),
        body,
    )
}

/// Gratuitous ARP or an unsolicited neighbour advertisement, by which neighbours replace what they have.
pub fn is_announcement_of(frame: &[u8], address: IpAddr, mac: Mac) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let octets = v4.octets();
            frame.len() >= 42
                && frame[12..14] == [0x08, 0x06]
                && (&frame[22..28], &frame[28..32], &frame[38..42])
                    == (&mac[..], &octets[..], &octets[..])
        }
        IpAddr::V6(v6) => {
            const SOLICITED: u8 = 0x40;
            const OVERRIDE: u8 = 0x20;
            is_advertisement_of(frame, v6)
                && frame[58] & (SOLICITED | OVERRIDE) == OVERRIDE
                && frame[6..12] == mac
        }
    }
}

pub fn is_advertisement_of(frame: &[u8], address: Ipv6Addr) -> bool {
    frame.len() >= 78
        && frame[12..14] == [0x86, 0xdd]
        && frame[54] == 136
        && frame[62..78] == address.octets()
}

/// The address that the kernel gives to a link with this MAC by default.
pub fn link_local(mac: Mac) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac;
    Ipv6Addr::from([
        0xfe,
        0x80,
        0,
        0,
        0,
        0,
        0,
        0,
        a ^ 2,
        b,
        c,
        0xff,
        0xfe,
        d,
        e,
        f,
    ])
}

fn icmp6(to: Mac, from: Mac, target: Ipv6Addr, body: Vec<u8>) -> Vec<u8> {
    six(58, to, from, [link_local(from), target], body)
}

/// A packet of one of the two protocols that check their sum over the addresses too.
fn six(
    protocol: u8,
    to: Mac,
    from: Mac,
    [source, target]: [Ipv6Addr; 2],
    mut body: Vec<u8>,
) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("a message is short");
    let pseudo = [
        &source.octets()[..],
        &target.octets(),
        &u32::from(length).to_be_bytes(),
        &[0, 0, 0, protocol],
    ];
    let sum = checksum(&[pseudo.concat(), body.clone()].concat());
    let place = if protocol == 17 { 6 } else { 2 };
    body[place..place + 2].copy_from_slice(&sum.to_be_bytes());
    let mut head = vec![0x60, 0, 0, 0];
    head.extend(length.to_be_bytes());
    head.extend([protocol, 255]);
    head.extend(source.octets());
    head.extend(target.octets());
    ethernet(to, from, 0x86dd, &[head, body].concat())
}

pub fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("the carries are folded in")
}

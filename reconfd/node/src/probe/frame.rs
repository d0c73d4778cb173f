//! Pure: ARP probes and neighbour solicitations, and the frames that reveal a conflict. By RFC 5227 and RFC
//! 4862 probes have an unspecified source, so that no neighbour learns the address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const TO_ALL: [u8; 6] = [0xff; 6];
const ARP: [u8; 2] = [0x08, 0x06];
const IPV6: [u8; 2] = [0x86, 0xdd];
/// Ethernet and IPv4, and the lengths of their addresses.
const ARP_HEAD: [u8; 6] = [0, 1, 8, 0, 6, 4];
const ARP_REQUEST: [u8; 2] = [0, 1];
const ICMPV6: u8 = 58;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// Neighbour discovery must not have passed a router.
const HOPS: u8 = 255;
/// The length of a solicitation without options.
const LENGTH: u8 = 24;

pub fn probe(address: IpAddr, mac: [u8; 6]) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => arp(address, mac),
        IpAddr::V6(address) => solicitation(address, mac),
    }
}

/// The address that a host has or probes for, and the host's MAC address.
pub fn read(frame: &[u8]) -> Option<(IpAddr, [u8; 6])> {
    let protocol = frame.get(12..14)?;
    if protocol == ARP {
        read_arp(frame.get(14..42)?)
    } else if protocol == IPV6 {
        read_neighbour(frame)
    } else {
        None
    }
}

fn arp(address: Ipv4Addr, mac: [u8; 6]) -> Vec<u8> {
    let mut frame = [&TO_ALL[..], &mac, &ARP, &ARP_HEAD, &ARP_REQUEST].concat();
    frame.extend(mac);
    frame.extend([0; 4]);
    frame.extend([0; 6]);
    frame.extend(address.octets());
    frame
}

fn read_arp(packet: &[u8]) -> Option<(IpAddr, [u8; 6])> {
    let four = |at: usize| {
        packet[at..at + 4]
            .first_chunk()
            .map(|ip: &[u8; 4]| Ipv4Addr::from(*ip))
    };
    let mac = *packet[8..14].first_chunk()?;
    let (sender, target) = (four(14)?, four(24)?);
    if packet[..6] != ARP_HEAD {
        return None;
    }
    // An unspecified sender: a simultaneous probe for the same address.
    let is_probe = sender.is_unspecified() && packet[6..8] == ARP_REQUEST;
    let address = if is_probe { target } else { sender };
    Some((address.into(), mac))
}

fn solicitation(address: Ipv6Addr, mac: [u8; 6]) -> Vec<u8> {
    let target = address.octets();
    let last = [target[13], target[14], target[15]];
    let group = [
        0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, last[0], last[1], last[2],
    ];
    let mut message = vec![SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    message.extend(target);
    let sum = checksum(&group, &message);
    message[2..4].copy_from_slice(&sum);
    let mut frame = vec![0x33, 0x33, 0xff, last[0], last[1], last[2]];
    frame.extend(mac);
    frame.extend(IPV6);
    frame.extend([0x60, 0, 0, 0, 0, LENGTH, ICMPV6, HOPS]);
    frame.extend(Ipv6Addr::UNSPECIFIED.octets());
    frame.extend(group);
    frame.extend(message);
    frame
}

/// Over the message and the IPv6 pseudo-header with the unspecified source.
fn checksum(to: &[u8; 16], message: &[u8]) -> [u8; 2] {
    let words = to.chunks(2).chain(message.chunks(2));
    let words = words.map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let mut sum: u32 = words.sum::<u32>() + u32::from(LENGTH) + u32::from(ICMPV6);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

fn read_neighbour(frame: &[u8]) -> Option<(IpAddr, [u8; 6])> {
    let (header, message) = (frame.get(14..54)?, frame.get(54..78)?);
    if header[6] != ICMPV6 || header[7] != HOPS {
        return None;
    }
    let asks_for_itself = header[8..24] == Ipv6Addr::UNSPECIFIED.octets();
    let is_claim = match message[0] {
        ADVERTISEMENT => true,
        SOLICITATION => asks_for_itself,
        _ => false,
    };
    let target: [u8; 16] = *message[8..24].first_chunk()?;
    let mac = *frame[6..12].first_chunk()?;
    is_claim.then_some((IpAddr::from(target), mac))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [0x0a, 0x58, 10, 99, 0, 10];
    const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 1];

    #[test]
    fn a_simultaneous_probe_for_the_same_address_is_a_conflict() {
        for address in ["10.99.0.10", "fd99::10"] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(read(&probe(address, OTHER)), Some((address, OTHER)));
        }
    }

    #[test]
    fn an_answer_is_read_and_another_question_is_none() {
        let mut reply = probe("10.99.0.10".parse().unwrap(), OTHER);
        reply[20..22].copy_from_slice(&[0, 2]);
        reply[28..32].copy_from_slice(&[10, 99, 0, 7]);
        assert_eq!(read(&reply), Some(("10.99.0.7".parse().unwrap(), OTHER)));
        let mut advertisement = probe("fd99::10".parse().unwrap(), OTHER);
        advertisement[22..38].copy_from_slice(&"fd99::10".parse::<Ipv6Addr>().unwrap().octets());
        assert_eq!(read(&advertisement), None, "an owner sends a solicitation");
        advertisement[54] = ADVERTISEMENT;
        assert_eq!(
            read(&advertisement),
            Some(("fd99::10".parse().unwrap(), OTHER))
        );
        advertisement[21] = 254;
        assert_eq!(read(&advertisement), None, "it came through a router");
    }

    #[test]
    fn a_solicitation_has_the_sum_that_the_kernel_checks() {
        let frame = probe("fd99::10".parse().unwrap(), MAC);
        let (group, message) = (frame[38..54].first_chunk().unwrap(), &frame[54..]);
        assert_eq!(checksum(group, message), [0, 0]);
    }

    #[test]
    fn garbage_is_no_reply() {
        for length in 0..80 {
            let mut frame = vec![0xff; length];
            assert_eq!(read(&frame), None);
            if length > 13 {
                frame[12..14].copy_from_slice(&ARP);
                assert_eq!(read(&frame), None);
                frame[12..14].copy_from_slice(&IPV6);
                assert_eq!(read(&frame), None);
            }
        }
    }
}

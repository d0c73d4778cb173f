#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

const V4: &str = "10.99.32.7/32";
const V6: &str = "fd99:32::7/128";

/// What a frame has beside its bytes: whether the kernel took a tag off it.
struct Frame {
    bytes: Vec<u8>,
    had_tag: bool,
}

fn frame(bytes: Vec<u8>) -> Frame {
    Frame {
        bytes,
        had_tag: false,
    }
}

/// Runs a program as the kernel does: what no filter has dropped passes.
fn passes(program: &[Instruction], frame: &Frame) -> bool {
    let load = |at: u32, size: usize| {
        let bytes = frame.bytes.get(at as usize..at as usize + size)?;
        let value = bytes
            .iter()
            .fold(0u32, |sum, byte| sum << 8 | u32::from(*byte));
        Some(value)
    };
    let (mut at, mut accumulator) = (0, 0);
    loop {
        let (code, yes, no, value) = program[at];
        at += 1;
        let jump = |taken: bool| usize::from(if taken { yes } else { no });
        let loaded = match code {
            LOAD_BYTE if value == TAG_PRESENT => Some(u32::from(frame.had_tag)),
            LOAD_BYTE => load(value, 1),
            LOAD_HALF => load(value, 2),
            LOAD_WORD => load(value, 4),
            LOAD_LENGTH => Some(frame.bytes.len() as u32),
            AND => Some(accumulator & value),
            JUMP => {
                at += value as usize;
                continue;
            }
            JUMP_IF_EQUAL => {
                at += jump(accumulator == value);
                continue;
            }
            JUMP_IF_AT_LEAST => {
                at += jump(accumulator >= value);
                continue;
            }
            RETURN => return value != DROP.3,
            other => panic!("instruction {other:#x}"),
        };
        match loaded {
            Some(loaded) => accumulator = loaded,
            // The kernel ends with TC_ACT_OK.
            None => return true,
        }
    }
}

fn routed(addresses: &[&str]) -> Vec<Instruction> {
    let addresses: Vec<IpNetwork> = addresses.iter().map(|a| a.parse().unwrap()).collect();
    own_sources(&addresses)
}

fn ethernet(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    [&[0; 12][..], &ether_type.to_be_bytes(), payload].concat()
}

fn ip(source: &str) -> Frame {
    match source.parse().unwrap() {
        IpAddr::V4(source) => {
            let payload = [&[0; 12][..], &source.octets(), &[0; 4]].concat();
            frame(ethernet(0x0800, &payload))
        }
        IpAddr::V6(source) => icmpv6(source, 128),
    }
}

fn icmpv6(source: Ipv6Addr, kind: u8) -> Frame {
    let mut head = [0; 40];
    head[6] = 58;
    head[8..24].copy_from_slice(&source.octets());
    let payload = [&head[..], &[kind, 0, 0, 0]].concat();
    frame(ethernet(0x86dd, &payload))
}

fn arp(sender: &str) -> Frame {
    let sender: Ipv4Addr = sender.parse().unwrap();
    let payload = [&[0; 14][..], &sender.octets(), &[0; 10]].concat();
    frame(ethernet(0x0806, &payload))
}

#[test]
fn a_routed_link_sends_from_its_own_addresses() {
    let program = routed(&[V4, "10.99.0.9/24", V6, "fd99::9/64"]);
    for source in ["10.99.32.7", "10.99.0.9", "fd99:32::7", "fd99::9"] {
        assert!(passes(&program, &ip(source)), "{source}");
    }
    for source in ["10.99.32.7", "10.99.0.9", "0.0.0.0"] {
        assert!(passes(&program, &arp(source)), "{source}");
    }
}

#[test]
fn a_routed_link_sends_from_no_other_address() {
    let program = routed(&[V4, V6]);
    let others = [
        "10.99.32.8",
        "0.0.0.0",
        "127.0.0.1",
        "169.254.1.1",
        "255.255.255.255",
        "fd99:32::8",
        "fd99:33::7",
        "fc99:32::7",
        "fd99:32::1:0:0:7",
        "::",
        "::1",
        "ff02::1",
        "fe80::1",
        "::ffff:10.99.32.7",
    ];
    for source in others {
        assert!(!passes(&program, &ip(source)), "{source}");
    }
    assert!(!passes(&program, &arp("10.99.32.8")));
    assert!(!passes(&program, &arp("169.254.1.1")));
}

#[test]
fn a_family_in_which_the_link_has_no_address_does_not_pass() {
    assert!(!passes(&routed(&[V4]), &ip("fd99:32::7")));
    assert!(!passes(&routed(&[V6]), &ip("10.99.32.7")));
    assert!(!passes(&routed(&[V6]), &arp("10.99.32.7")));
    assert!(!passes(&routed(&[]), &ip("10.99.32.7")));
}

#[test]
fn neighbour_discovery_passes() {
    let program = routed(&[V6]);
    assert!(passes(&program, &ip("fe80::858:aff:fe63:2007")));
    assert!(passes(&program, &ip("febf::1")));
    assert!(!passes(&program, &ip("fec0::1")));
    let none = Ipv6Addr::UNSPECIFIED;
    assert!(passes(&program, &icmpv6(none, 135)), "is it free?");
    for other in [128, 133, 134, 136, 143] {
        assert!(!passes(&program, &icmpv6(none, other)), "{other}");
    }
}

#[test]
fn nothing_but_ip_and_arp_passes_and_nothing_with_a_tag() {
    let program = routed(&[V4, V6]);
    for ether_type in [0x8100, 0x88a8, 0x9100, 0x8847, 0x8864, 0x0026, 0x88b5] {
        // As if the packet stood behind the tag.
        let inner = ip("10.99.32.7").bytes.split_off(12);
        let bytes = ethernet(ether_type, &[&[0, 0][..], &inner].concat());
        assert!(!passes(&program, &frame(bytes)), "{ether_type:#x}");
    }
    let tagged = Frame {
        had_tag: true,
        ..ip("10.99.32.7")
    };
    assert!(!passes(&program, &tagged));
}

#[test]
fn a_frame_that_ends_too_early_is_dropped() {
    let program = routed(&[V4, V6]);
    for whole in [ip("10.99.32.8"), ip("fd99:32::8"), arp("10.99.32.8")] {
        for length in 14..whole.bytes.len() {
            let cut = frame(whole.bytes[..length].to_vec());
            assert!(!passes(&program, &cut), "{length}");
        }
    }
    let solicitation = icmpv6(Ipv6Addr::UNSPECIFIED, 135).bytes;
    assert!(!passes(&program, &frame(solicitation[..54].to_vec())));
}

#[test]
fn as_many_addresses_as_a_link_may_have_fit() {
    let v4 = (1..=32).map(|n| format!("10.0.0.{n}/32"));
    let v6 = (1..=32).map(|n| format!("fd00::{n}/128"));
    let all: Vec<String> = v4.chain(v6).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let program = routed(&all);
    assert!(program.len() < 4096, "BPF_MAXINSNS");
    assert!(passes(&program, &ip("10.0.0.32")));
    assert!(passes(&program, &ip("fd00::32")));
    assert!(!passes(&program, &ip("10.0.0.33")));
    assert!(!passes(&program, &ip("fd00::33")));
    assert!(passes(&program, &ip("fe80::2")));
}

#[test]
fn a_bridge_hears_no_bridge_protocol_and_a_way_to_vlans_no_tags() {
    let link = |host_end| {
        let veth = Veth {
            host_end,
            learning: false,
        };
        let link = Link {
            name: "data0".into(),
            kind: crate::links::LinkKind::Veth(veth.clone()),
            mtu: None,
            mac: None,
            addresses: Vec::new(),
            routes: std::collections::BTreeSet::new(),
            slaac: false,
        };
        of(&veth, &link)
    };
    let own = link(HostEnd::Bridge {
        name: "pcb".into(),
        stands_for: "shop/lan".into(),
    });
    let lan = link(HostEnd::HostBridge("br-lan".into()));
    let to = |mac: [u8; 6]| frame([&mac[..], &[0; 8]].concat());
    for program in [&own, &lan] {
        for protocol in [
            [0x01, 0x80, 0xc2, 0, 0, 0],
            [0x01, 0x80, 0xc2, 0, 0, 0x0f],
            [0x01, 0x00, 0x0c, 0xcc, 0xcc, 0xcd],
        ] {
            assert!(!passes(program, &to(protocol)));
        }
        assert!(passes(program, &to([0x01, 0x80, 0xc2, 0, 0, 0x10])));
        assert!(passes(program, &to([0xff; 6])));
        assert!(passes(program, &ip("10.1.2.3")));
    }
    for tag in [0x8100, 0x88a8, 0x9100] {
        assert!(passes(&own, &frame(ethernet(tag, &[0; 46]))));
        assert!(!passes(&lan, &frame(ethernet(tag, &[0; 46]))));
    }
}

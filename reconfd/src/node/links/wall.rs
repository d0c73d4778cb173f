//! What a pod may not say to a bridge ↔ netlink messages, pure. The host end drops it: a bridge that
//! speaks no spanning tree hands on the protocol frames of others, and one of the node is not ours to
//! change.
//!
//! A protocol frame of a pod that left by an uplink would make the switch behind it shut the port, or
//! change its tree. And a frame with a tag of the pod's own would be in whatever vlan it names: on a
//! plain uplink at once, and behind the tag of the pod's vlan where a switch takes the first tag off as
//! its native vlan's. No rule lists these vlans.

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use nix::errno::Errno;

use crate::node::netlink::{Body, Request};

const RTM_NEWQDISC: u16 = 36;
const RTM_DELQDISC: u16 = 37;
const RTM_NEWTFILTER: u16 = 44;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_BPF_OPS_LEN: u16 = 4;
const TCA_BPF_OPS: u16 = 5;
const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_FLAGS: u16 = 8;
const ACT_DIRECT: u32 = 1;
const CLSACT: u32 = 0xffff_fff1;
const CLSACT_HANDLE: u32 = 0xffff_0000;
const INGRESS: u32 = 0xffff_fff2;
const PRIORITY: u32 = 1;
const ETH_P_ALL: u16 = 3;

/// `struct sock_filter`: code, jump if true, jump if false, value.
pub type Instruction = (u16, u8, u8, u32);

// TC_ACT_SHOT, TC_ACT_UNSPEC.
const DROP: Instruction = (0x06, 0, 0, 2);
const PASS: Instruction = (0x06, 0, 0, u32::MAX);

/// Frames to 01:80:c2:00:00:00 to :0f, and to Cisco's 01:00:0c:cc:cc:c0 to :cf: the first four bytes,
/// and the next two without the last four bits.
const PROTOCOLS: [Instruction; 10] = [
    (0x20, 0, 0, 0),
    (0x15, 0, 3, 0x0180_c200),
    (0x28, 0, 0, 4),
    (0x54, 0, 0, 0xfff0),
    (0x15, 4, 0, 0),
    (0x15, 0, 4, 0x0100_0ccc),
    (0x28, 0, 0, 4),
    (0x54, 0, 0, 0xfff0),
    (0x15, 0, 1, 0xccc0),
    DROP,
];

/// Frames with a tag: one that the kernel has taken off and remembers (SKF_AD_VLAN_TAG_PRESENT), and one
/// that still stands in the frame, of 802.1Q, 802.1ad or their forerunner.
const TAGS: [Instruction; 7] = [
    (0x30, 0, 0, 0xffff_f030),
    (0x15, 0, 4, 0),
    (0x28, 0, 0, 12),
    (0x15, 2, 0, 0x8100),
    (0x15, 1, 0, 0x88a8),
    (0x15, 0, 1, 0x9100),
    DROP,
];

/// Drops what the pod sends to bridges themselves, and where it leads to vlans what it sends with a tag
/// of its own, before the bridge sees it.
pub fn raise(name: &str, index: u32, leads_to_vlans: bool) -> Vec<Request> {
    let deed = || format!("keep bridge protocol and tagged frames of the pod behind {name}");
    let mut place = message(index, CLSACT_HANDLE, CLSACT, 0);
    attribute(&mut place, TCA_KIND, b"clsact\0");
    let protocol = u32::from(ETH_P_ALL.to_be());
    let mut filter = message(index, 1, INGRESS, PRIORITY << 16 | protocol);
    attribute(&mut filter, TCA_KIND, b"bpf\0");
    attribute(&mut filter, TCA_OPTIONS, &options(&program(leads_to_vlans)));
    let flags = NLM_F_CREATE | NLM_F_EXCL;
    [(RTM_NEWQDISC, place), (RTM_NEWTFILTER, filter)]
        .map(|(kind, body)| Request::repeatable(deed(), flags, Body::Raw(kind, body)))
        .into()
}

/// What the kernel runs over every frame that the pod sends. What a part does not drop goes on behind it.
pub fn program(leads_to_vlans: bool) -> Vec<Instruction> {
    let tags: &[Instruction] = match leads_to_vlans {
        true => &TAGS,
        false => &[],
    };
    [&PROTOCOLS[..], tags, &[PASS]].concat()
}

/// Takes the wall away: another is needed now, or none.
pub fn raze(name: &str, index: u32) -> Request {
    let mut place = message(index, CLSACT_HANDLE, CLSACT, 0);
    attribute(&mut place, TCA_KIND, b"clsact\0");
    let deed = format!("take frames of the pod behind {name} as they are");
    Request {
        forgiven: &[Errno::ENOENT, Errno::EINVAL],
        ..Request::of_body(deed, 0, Body::Raw(RTM_DELQDISC, place))
    }
}

/// `struct tcmsg`: family and padding, number, handle, parent, info.
fn message(index: u32, handle: u32, parent: u32, info: u32) -> Vec<u8> {
    [0, index, handle, parent, info]
        .iter()
        .flat_map(|word| word.to_ne_bytes())
        .collect()
}

fn options(instructions: &[Instruction]) -> Vec<u8> {
    let mut program = Vec::new();
    for (code, yes, no, value) in instructions {
        program.extend(code.to_ne_bytes());
        program.extend([*yes, *no]);
        program.extend(value.to_ne_bytes());
    }
    let mut options = Vec::new();
    attribute(
        &mut options,
        TCA_BPF_OPS_LEN,
        &(instructions.len() as u16).to_ne_bytes(),
    );
    attribute(&mut options, TCA_BPF_OPS, &program);
    attribute(&mut options, TCA_BPF_NAME, b"podconfig\0");
    attribute(&mut options, TCA_BPF_FLAGS, &ACT_DIRECT.to_ne_bytes());
    options
}

fn attribute(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    out.extend(((4 + value.len()) as u16).to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

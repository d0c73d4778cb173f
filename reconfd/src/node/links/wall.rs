//! What a pod may not say to a bridge of the node ↔ netlink messages, pure.
//!
//! A bridge that speaks no spanning tree hands on the protocol frames of others. One of a pod that
//! left by the node's uplink would make the switch behind it shut the port, or change its tree. In
//! podconfig's own switch the bridge keeps them (see `bridge::guard`); a bridge of the node is not
//! ours to change, so the pod's own host end drops them.

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};

use crate::node::netlink::{Body, Request};

const RTM_NEWQDISC: u16 = 36;
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

/// Drops what the pod sends to 01:80:c2:00:00:00 to :0f, before the bridge sees it.
pub fn against_bridge_protocols(name: &str, index: u32) -> Vec<Request> {
    let deed = || format!("keep bridge protocol frames of the pod behind {name}");
    let mut place = message(index, CLSACT_HANDLE, CLSACT, 0);
    attribute(&mut place, TCA_KIND, b"clsact\0");
    let protocol = u32::from(ETH_P_ALL.to_be());
    let mut filter = message(index, 1, INGRESS, PRIORITY << 16 | protocol);
    attribute(&mut filter, TCA_KIND, b"bpf\0");
    attribute(&mut filter, TCA_OPTIONS, &options());
    let flags = NLM_F_CREATE | NLM_F_EXCL;
    [(RTM_NEWQDISC, place), (RTM_NEWTFILTER, filter)]
        .map(|(kind, body)| Request::repeatable(deed(), flags, Body::Raw(kind, body)))
        .into()
}

/// `struct tcmsg`: family and padding, number, handle, parent, info.
fn message(index: u32, handle: u32, parent: u32, info: u32) -> Vec<u8> {
    [0, index, handle, parent, info]
        .iter()
        .flat_map(|word| word.to_ne_bytes())
        .collect()
}

fn options() -> Vec<u8> {
    /// `struct sock_filter`: code, jump if true, jump if false, value.
    const PROGRAM: [(u16, u8, u8, u32); 7] = [
        // The first four bytes of the frame, and the next two without the last four bits.
        (0x20, 0, 0, 0),
        (0x15, 0, 4, 0x0180_c200),
        (0x28, 0, 0, 4),
        (0x54, 0, 0, 0xfff0),
        (0x15, 0, 1, 0),
        // TC_ACT_SHOT, TC_ACT_UNSPEC.
        (0x06, 0, 0, 2),
        (0x06, 0, 0, u32::MAX),
    ];
    let mut program = Vec::new();
    for (code, yes, no, value) in PROGRAM {
        program.extend(code.to_ne_bytes());
        program.extend([yes, no]);
        program.extend(value.to_ne_bytes());
    }
    let mut options = Vec::new();
    attribute(
        &mut options,
        TCA_BPF_OPS_LEN,
        &(PROGRAM.len() as u16).to_ne_bytes(),
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

//! The tc ingress filter of a host end ↔ netlink messages, pure.
//!
//! On a bridge it drops protocol frames of the pod: a bridge without spanning tree forwards them, and a
//! bridge of the node is not ours to configure.
//!
//! A protocol frame that leaves by an uplink could make the physical switch shut the port or change its tree.
//! A frame tagged by the pod would enter any vlan: on an untagged uplink directly, and behind the pod's vlan
//! tag if the switch removes the first tag as its native vlan. No policy rule allows these vlans.
//!
//! A routed host end accepts packets from the link's own addresses only.

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NlasIterator};

use nix::{
    errno::Errno,
    libc::{RTM_DELTFILTER, RTM_GETTFILTER, RTM_NEWQDISC, RTM_NEWTFILTER, TCA_KIND, TCA_OPTIONS},
};

use crate::netlink::{Body, Request};

/// The BPF program of the filter.
pub mod program;
use program::Instruction;

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
/// The sizes of `struct tcmsg` and of `struct sock_filter`.
const TCMSG: usize = 20;
const INSTRUCTION: usize = 8;

/// Sets or replaces the program at the host end, atomically.
pub fn attach(name: &str, index: u32, program: &[Instruction]) -> [Request; 2] {
    let op = || format!("set the ingress filter of {name}");
    let mut place = message(index, CLSACT_HANDLE, CLSACT, 0);
    attribute(&mut place, TCA_KIND, b"clsact\0");
    let protocol = u32::from(ETH_P_ALL.to_be());
    let mut filter = message(index, 1, INGRESS, PRIORITY << 16 | protocol);
    attribute(&mut filter, TCA_KIND, b"bpf\0");
    attribute(&mut filter, TCA_OPTIONS, &options(program));
    let (place, filter) = (
        Body::Raw(RTM_NEWQDISC, place),
        Body::Raw(RTM_NEWTFILTER, filter),
    );
    [
        Request::repeatable(op(), NLM_F_CREATE | NLM_F_EXCL, place),
        Request::of_body(op(), NLM_F_CREATE | NLM_F_REPLACE, filter),
    ]
}

/// Removes all filters of our priority, and ours.
pub fn clear(name: &str, index: u32) -> Request {
    let body = Body::Raw(RTM_DELTFILTER, message(index, 0, INGRESS, PRIORITY << 16));
    Request {
        ignorable: &[Errno::ENOENT, Errno::EINVAL],
        ..Request::of_body(format!("remove other filters of {name}"), 0, body)
    }
}

/// Dump request for the ingress filters of a link.
pub fn list(index: u32) -> Body {
    Body::Raw(RTM_GETTFILTER, message(index, 0, INGRESS, 0))
}

/// The program of a filter, from a message payload. Empty for another kind. The kernel first lists a priority
/// and then each filter in it: the former has no options.
pub fn read(body: &[u8]) -> Option<Vec<Instruction>> {
    let attributes = || NlasIterator::new(body.get(TCMSG..).unwrap_or_default()).flatten();
    let options = attributes().find(|a| a.kind() == TCA_OPTIONS)?;
    let mut options = NlasIterator::new(options.value()).flatten();
    let program = options.find(|a| a.kind() == TCA_BPF_OPS);
    let program = program.map(|program| {
        let instructions = program.value().chunks_exact(INSTRUCTION);
        instructions.map(instruction).collect()
    });
    Some(program.unwrap_or_default())
}

fn instruction(bytes: &[u8]) -> Instruction {
    let at = |place: usize| bytes.get(place).copied().unwrap_or_default();
    let value = u32::from_ne_bytes([at(4), at(5), at(6), at(7)]);
    (u16::from_ne_bytes([at(0), at(1)]), at(2), at(3), value)
}

/// The location of a qdisc or filter: `struct tcmsg`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// The link's ifindex.
    pub index: u32,
    handle: u32,
    parent: u32,
    priority: u32,
}

impl Location {
    /// From everything behind the netlink header.
    pub fn read(body: &[u8]) -> Option<Self> {
        let word = |at: usize| {
            let bytes = body.get(4 * at..4 * at + 4)?;
            Some(u32::from_ne_bytes(bytes.try_into().ok()?))
        };
        Some(Self {
            index: word(1)?,
            handle: word(2)?,
            parent: word(3)?,
            priority: word(4)? >> 16,
        })
    }

    /// The qdisc that ingress filters are attached to.
    pub fn is_ingress_qdisc(self) -> bool {
        self.handle == CLSACT_HANDLE
    }

    /// A filter that runs as early as ours, or before it.
    pub fn is_of_own_priority(self) -> bool {
        self.parent == INGRESS && self.priority <= PRIORITY
    }

    /// The location of our own filter.
    pub fn is_own(self) -> bool {
        self.is_of_own_priority() && self.handle == 1
    }
}

/// `struct tcmsg`: family and padding, ifindex, handle, parent, info.
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

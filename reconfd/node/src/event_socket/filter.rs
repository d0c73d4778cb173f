//! The classic BPF program of an event socket, which filters its receive queue. Pure.
//!
//! Dropped messages cost no memory and no wake-up: a full BGP table, the neighbours of a busy node, or the
//! addresses that a bridge learns.

use netlink_packet_core::NLM_F_REPLACE;
use nix::libc::{self, sock_filter};

use super::PROTOCOL;

const NLMSG_HDR: u32 = 16;
const TYPE: u32 = 4;
const FLAGS: u32 = 6;
const FAMILY: u32 = NLMSG_HDR;
const AF_BRIDGE: u32 = 7;
/// In `struct rtmsg`.
const PREFIX_LENGTH: u32 = NLMSG_HDR + 1;
const ROUTE_PROTOCOL: u32 = NLMSG_HDR + 5;
/// In `struct ndmsg`: NUD_NOARP or NUD_PERMANENT, which learned entries never have.
const STATE: u32 = NLMSG_HDR + 8;
const PINNED: u16 = 0x40 | 0x80;

/// A message type and the condition for accepting it.
#[derive(Clone, Copy, Debug)]
pub struct Accept(pub u16, pub When);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Always,
    /// Sent by a bridge about its port.
    Bridge,
    NotBridge,
    /// A route with our protocol number.
    Ours,
    /// That, or a host route that replaces another: the kernel sends no deletion for the replaced route.
    OursOrReplacesHost,
    /// A static entry of a forwarding table.
    Pinned,
}

/// One block per type; messages that no block accepts are dropped.
pub fn program(accepted: &[Accept]) -> Vec<sock_filter> {
    let mut program: Vec<sock_filter> = accepted.iter().flat_map(block).collect();
    program.push(end(0));
    program
}

/// For other types it jumps to the next block.
fn block(Accept(kind, when): &Accept) -> Vec<sock_filter> {
    let mut body = condition(*when);
    body.push(end(0));
    let mut block = vec![
        load(libc::BPF_H, TYPE),
        jump(libc::BPF_JEQ, native(*kind), 0, body.len() as u8),
    ];
    block.append(&mut body);
    block
}

/// Accepts, or falls through.
fn condition(when: When) -> Vec<sock_filter> {
    let accept = end(u32::MAX);
    let family = load(libc::BPF_B, FAMILY);
    let ours = [
        load(libc::BPF_B, ROUTE_PROTOCOL),
        jump(libc::BPF_JEQ, u32::from(PROTOCOL), 0, 1),
        accept,
    ];
    match when {
        When::Always => vec![accept],
        When::Bridge => vec![family, jump(libc::BPF_JEQ, AF_BRIDGE, 0, 1), accept],
        When::NotBridge => vec![family, jump(libc::BPF_JEQ, AF_BRIDGE, 1, 0), accept],
        When::Ours => ours.into(),
        When::OursOrReplacesHost => {
            let replaces = [
                load(libc::BPF_H, FLAGS),
                jump(libc::BPF_JSET, native(NLM_F_REPLACE), 0, 4),
                load(libc::BPF_B, PREFIX_LENGTH),
                jump(libc::BPF_JEQ, 32, 1, 0),
                jump(libc::BPF_JEQ, 128, 0, 1),
                accept,
            ];
            [&ours[..], &replaces].concat()
        }
        When::Pinned => vec![
            family,
            jump(libc::BPF_JEQ, AF_BRIDGE, 0, 3),
            load(libc::BPF_H, STATE),
            jump(libc::BPF_JSET, native(PINNED), 0, 1),
            accept,
        ],
    }
}

/// Classic BPF loads in network byte order; netlink uses host byte order.
fn native(value: u16) -> u32 {
    u32::from(u16::from_be_bytes(value.to_ne_bytes()))
}

fn load(size: u32, at: u32) -> sock_filter {
    instruction(libc::BPF_LD | size | libc::BPF_ABS, 0, 0, at)
}

fn jump(kind: u32, value: u32, jt: u8, jf: u8) -> sock_filter {
    instruction(libc::BPF_JMP | kind | libc::BPF_K, jt, jf, value)
}

fn end(bytes: u32) -> sock_filter {
    instruction(libc::BPF_RET, 0, 0, bytes)
}

fn instruction(code: u32, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Accept; 4] = [
        Accept(16, When::NotBridge),
        Accept(24, When::OursOrReplacesHost),
        Accept(25, When::Ours),
        Accept(29, When::Pinned),
    ];

    /// What the kernel makes of a message: the instructions that the programs are made of.
    fn lets_in(message: &[u8]) -> bool {
        let program = program(&BOTH);
        let (mut at, mut loaded) = (0, 0u32);
        loop {
            let step = program[at];
            let (code, k) = (u32::from(step.code), step.k as usize);
            at += 1;
            let is_true = match code & 0x07 {
                libc::BPF_LD if code & 0x18 == libc::BPF_H => {
                    loaded = u32::from(u16::from_be_bytes([message[k], message[k + 1]]));
                    continue;
                }
                libc::BPF_LD => {
                    loaded = message[k].into();
                    continue;
                }
                libc::BPF_RET => return step.k != 0,
                _ if code & 0xf0 == libc::BPF_JSET => loaded & step.k != 0,
                _ => loaded == step.k,
            };
            at += usize::from(if is_true { step.jt } else { step.jf });
        }
    }

    /// A message with these bytes behind its header.
    fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.resize(16, 0);
        bytes.extend(body);
        bytes.resize(48, 0);
        bytes
    }

    fn route(kind: u16, flags: u16, length: u8, protocol: u8) -> Vec<u8> {
        message(kind, flags, &[2, length, 0, 0, 254, protocol])
    }

    #[test]
    fn links_pass_unless_a_bridge_speaks_and_other_types_do_not() {
        assert!(lets_in(&message(16, 0, &[0])));
        assert!(!lets_in(&message(16, 0, &[7])));
        assert!(!lets_in(&message(28, 0, &[0])));
    }

    #[test]
    fn of_routes_only_ours_and_those_that_replace_one_to_a_single_address() {
        assert!(lets_in(&route(25, 0, 24, PROTOCOL)));
        assert!(!lets_in(&route(25, 0, 24, 186)));
        assert!(lets_in(&route(24, 0, 24, PROTOCOL)));
        assert!(!lets_in(&route(24, NLM_F_REPLACE, 24, 186)));
        assert!(!lets_in(&route(24, 0, 32, 186)));
        for length in [32, 128] {
            assert!(lets_in(&route(24, NLM_F_REPLACE, length, 186)));
        }
    }

    #[test]
    fn of_forwarding_entries_only_those_that_were_written() {
        let entry = |family: u8, state: u16| {
            let mut body = vec![family, 0, 0, 0, 5, 0, 0, 0];
            body.extend(state.to_ne_bytes());
            message(29, 0, &body)
        };
        assert!(lets_in(&entry(7, 0x40)));
        assert!(lets_in(&entry(7, 0xc0)));
        assert!(!lets_in(&entry(7, 0x02)), "learned");
        assert!(!lets_in(&entry(2, 0x80)), "a neighbour");
    }
}

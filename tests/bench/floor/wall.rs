//! The filter that drops what a pod sends to bridges themselves or with a tag of its own, byte by byte.
//! Its program is the daemon's own: the floor pays for the same one.

use ::node::links::ingress_filter::program::{self, Instruction};

use super::message::text;
use crate::wire::{Batch, CREATE, EXCL, attribute, nest};

const NEWQDISC: u16 = 36;
const NEWTFILTER: u16 = 44;
const CLSACT: u32 = 0xffff_fff1;
const CLSACT_HANDLE: u32 = 0xffff_0000;
const INGRESS: u32 = 0xffff_fff2;
/// Priority 1, every protocol.
const FIRST_OF_ALL: u32 = 1 << 16 | 0x0300;

pub fn raise(batch: &mut Batch, index: u32, untagged: bool) {
    let program = program::of_bridge(untagged);
    batch.message(NEWQDISC, CREATE | EXCL, |out| {
        head(out, index, CLSACT_HANDLE, CLSACT, 0);
        attribute(out, 1, &text("clsact"));
    });
    batch.message(NEWTFILTER, CREATE | EXCL, |out| {
        head(out, index, 1, INGRESS, FIRST_OF_ALL);
        attribute(out, 1, &text("bpf"));
        nest(out, 2, |out| {
            attribute(out, 4, &(program.len() as u16).to_ne_bytes());
            attribute(out, 5, &bytes(&program));
            attribute(out, 7, &text("podconfig"));
            attribute(out, 8, &1_u32.to_ne_bytes());
        });
    });
}

/// `struct tcmsg`.
fn head(out: &mut Vec<u8>, index: u32, handle: u32, parent: u32, info: u32) {
    let words = [0, index, handle, parent, info];
    out.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
}

fn bytes(program: &[Instruction]) -> Vec<u8> {
    let instruction = |(code, yes, no, value): &Instruction| {
        [&code.to_ne_bytes()[..], &[*yes, *no], &value.to_ne_bytes()].concat()
    };
    program.iter().flat_map(instruction).collect()
}

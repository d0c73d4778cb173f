//! Pure: which address of a range to try next: a few by lot, then free ones of a list: of the smallest block around
//! the last try, which costs little, and if that is full, of all blocks of the range.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use crds::{AddressClaim, ClaimPod};
use ipnetwork::IpNetwork;

use super::super::{
    Time,
    paper::{Block, Claimant},
};
use crate::address::range::Range;

/// After so many conflicts in a range that is one small block, who has what is listed.
const BLIND_TRIES: u32 = 2;
/// And in a wider one: so many fail in a row only where most is taken, and a list costs the API server what five
/// tries cost.
const BLIND_TRIES_OF_WIDE: u32 = 5;
/// A list that misled so often is made anew.
const TRIES_OF_A_LIST: usize = 4;
/// So many blocks are listed before a range is called full: all of a /16.
const MOST_BLOCKS: u32 = 16;

#[derive(Clone, Debug)]
pub struct Search {
    /// What may be given out now, and what of it others have beside the claims.
    range: Range,
    whole: Range,
    conflicts: u32,
    block: Block,
    /// The block has all of the range.
    is_only: bool,
    /// The block is a small one, and that it is full says nothing of the range.
    is_near: bool,
    /// Blocks that were listed since the search began.
    listed: u32,
    taken: BTreeSet<IpAddr>,
    /// Of those, what was not on the list.
    misled: usize,
    lots: u32,
    tally: Tally,
}

/// What the lists have told so far.
#[derive(Clone, Debug, Default)]
struct Tally {
    used: usize,
    resting: usize,
    /// When it was made, and whose it is.
    oldest: Option<(Time, ClaimPod)>,
}

pub enum Next {
    Try(IpAddr),
    List,
}

impl Search {
    pub fn new(range: Range, whole: Range) -> Self {
        let (first, last) = range.bounds();
        let block = Block::with(first, last);
        Self {
            range,
            whole,
            conflicts: 0,
            is_only: block.is_ok(),
            is_near: false,
            block: block.unwrap_or_else(|around| around),
            listed: 0,
            taken: BTreeSet::new(),
            misled: 0,
            lots: 0,
            tally: Tally::default(),
        }
    }

    pub fn range(&self) -> &Range {
        &self.range
    }

    /// The block to list.
    pub fn block(&self) -> Block {
        self.block
    }

    pub fn first(&self, claimant: &Claimant) -> Option<IpAddr> {
        self.by_lot(claimant, 0)
    }

    /// After a conflict, or without one at the beginning.
    pub fn after(&mut self, claimant: &Claimant, taken: Option<IpAddr>) -> Next {
        self.conflicts += u32::from(taken.is_some());
        self.misled += taken.map_or(0, |taken| usize::from(self.taken.insert(taken)));
        if self.listed > 0 {
            let another = self.in_block(claimant);
            return match another.filter(|_| self.misled < TRIES_OF_A_LIST) {
                Some(address) => Next::Try(address),
                None => self.anew(),
            };
        }
        if self.conflicts < self.blind_tries()
            && let Some(address) = self.by_lot(claimant, self.conflicts)
        {
            return Next::Try(address);
        }
        if let Some(taken) = taken.filter(|_| !self.block.is_smallest()) {
            self.block = Block::of_smallest(taken);
            self.is_near = true;
        }
        Next::List
    }

    fn blind_tries(&self) -> u32 {
        match self.block.is_smallest() {
            true => BLIND_TRIES,
            false => BLIND_TRIES_OF_WIDE,
        }
    }

    /// The list was no good: what it told is not counted.
    fn anew(&mut self) -> Next {
        self.listed = 0;
        self.tally = Tally::default();
        Next::List
    }

    /// Who has what in the block, as a list told it just now.
    pub fn heard(&mut self, claims: &[Arc<AddressClaim>], taken: BTreeSet<IpAddr>) {
        self.listed += 1;
        self.misled = 0;
        self.taken = taken;
        let concerned = claims
            .iter()
            .filter(|claim| self.whole.contains(claim.spec.address));
        for claim in concerned {
            self.tally.add(claim);
        }
    }

    /// A free address of the block that was listed, another one for each who looks for one there.
    pub fn in_block(&mut self, claimant: &Claimant) -> Option<IpAddr> {
        let inside = self
            .range
            .between(self.block.first(), self.block.last())?
            .without(self.taken.iter().copied().map(IpNetwork::from));
        self.lots += 1;
        let lot = claimant.own_lot(self.lots).checked_rem(inside.count())?;
        inside.nth(lot)
    }

    /// On to the next block; whether there is one that was not listed.
    pub fn go_on(&mut self) -> bool {
        let (first, last) = self.range.bounds();
        if std::mem::take(&mut self.is_near) {
            let around = Block::of_widest(self.block.first());
            self.block = Block::with(first, last).unwrap_or(around);
            self.anew();
            return true;
        }
        let is_through = self.listed >= self.blocks();
        if !self.is_only {
            let next = self.block.next().filter(|block| block.first() <= last);
            self.block = next.unwrap_or_else(|| Block::of_widest(first));
        }
        !is_through
    }

    /// What to say of a range of which nothing is left; the search begins anew.
    pub fn full(&mut self, now: &Time, claimant: &Claimant) -> String {
        let tally = std::mem::take(&mut self.tally);
        let seen = std::mem::take(&mut self.listed);
        let (total, free) = (self.whole.count(), self.range.count());
        let mut words = format!(
            "{} is full: {} of {total} in use, {} resting",
            self.whole, tally.used, tally.resting
        );
        if total > free {
            words += &format!(", {} others' by what the cluster says", total - free);
        }
        if !self.is_only && self.all_blocks() > u128::from(seen) {
            words += &format!("; {seen} blocks of 4096 addresses were looked at, others follow");
        }
        if let Some((made, pod)) = tally.oldest {
            let (whose, age) = (claimant.words_of(&pod), age(&made, now));
            words += &format!("; the oldest claim is that of {whose}, {age} old");
        }
        words
    }

    fn by_lot(&self, claimant: &Claimant, try_: u32) -> Option<IpAddr> {
        let lot = claimant.lot(try_).checked_rem(self.range.count())?;
        self.range.nth(lot)
    }

    /// How many blocks are looked at before the range is called full.
    fn blocks(&self) -> u32 {
        match self.is_only {
            true => 1,
            false => {
                u32::try_from(self.all_blocks()).map_or(MOST_BLOCKS, |all| all.min(MOST_BLOCKS))
            }
        }
    }

    fn all_blocks(&self) -> u128 {
        let (first, last) = self.range.bounds();
        Block::of_widest(first)
            .distance(Block::of_widest(last))
            .saturating_add(1)
    }
}

impl Tally {
    fn add(&mut self, claim: &AddressClaim) {
        self.used += 1;
        self.resting += usize::from(claim.spec.released.is_some());
        let Some(made) = &claim.metadata.creation_timestamp else {
            return;
        };
        if self
            .oldest
            .as_ref()
            .is_none_or(|(oldest, _)| made.0 < oldest.0)
        {
            self.oldest = Some((made.clone(), claim.spec.pod.clone()));
        }
    }
}

/// As people say it.
fn age(since: &Time, now: &Time) -> String {
    let seconds = now.0.as_second().saturating_sub(since.0.as_second()).max(0);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

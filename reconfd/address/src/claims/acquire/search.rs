//! Pure: chooses the next address of a range: first a few by hash, then free ones of a list: of the smallest block
//! around the last attempt, which is cheap, and if that is full, of all blocks of the range.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use crds::{AddressClaim, ClaimPod};
use ipnetwork::IpNetwork;

use super::super::{
    Time,
    claim_meta::{Block, Claimant},
};
use crate::range::Range;

/// Number of conflicts before listing, in a range that is one small block.
const BLIND_TRIES: u32 = 2;
/// The same in a wider range: so many attempts in a row fail only if most of it is taken, and a list costs the API
/// server as much as five attempts.
const BLIND_TRIES_WIDE: u32 = 5;
/// Number of conflicts after which a list is stale and repeated.
const MAX_STALE_HITS: usize = 4;
/// Number of blocks that are listed before a range counts as full: all of a /16.
const MAX_BLOCKS: u32 = 16;

#[derive(Clone, Debug)]
pub struct Search {
    /// What may be allocated now; it excludes addresses that others use without a claim.
    range: Range,
    whole: Range,
    conflicts: u32,
    block: Block,
    /// The block contains the whole range.
    is_only: bool,
    /// The block is a small one: if it is full, the range may still have free addresses.
    is_near: bool,
    /// Blocks listed since the search began.
    listed: u32,
    taken: BTreeSet<IpAddr>,
    /// Of those, the addresses that were not on the list.
    stale_hits: usize,
    draws: u32,
    usage: RangeUsage,
}

/// Usage of the listed blocks.
#[derive(Clone, Debug, Default)]
struct RangeUsage {
    used: usize,
    resting: usize,
    /// Its creation time and pod.
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
            stale_hits: 0,
            draws: 0,
            usage: RangeUsage::default(),
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
        self.by_hash(claimant, 0)
    }

    /// The next address after a conflict, or the first one without.
    pub fn after(&mut self, claimant: &Claimant, taken: Option<IpAddr>) -> Next {
        self.conflicts += u32::from(taken.is_some());
        self.stale_hits += taken.map_or(0, |taken| usize::from(self.taken.insert(taken)));
        if self.listed > 0 {
            let another = self.free_in_block(claimant);
            return match another.filter(|_| self.stale_hits < MAX_STALE_HITS) {
                Some(address) => Next::Try(address),
                None => self.restart(),
            };
        }
        if self.conflicts < self.blind_tries()
            && let Some(address) = self.by_hash(claimant, self.conflicts)
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
            false => BLIND_TRIES_WIDE,
        }
    }

    /// The list is stale: discards its usage.
    fn restart(&mut self) -> Next {
        self.listed = 0;
        self.usage = RangeUsage::default();
        Next::List
    }

    /// Adds the claims of a listed block.
    pub fn add_listed(&mut self, claims: &[Arc<AddressClaim>], taken: BTreeSet<IpAddr>) {
        self.listed += 1;
        self.stale_hits = 0;
        self.taken = taken;
        let relevant = claims
            .iter()
            .filter(|claim| self.whole.contains(claim.spec.address));
        for claim in relevant {
            self.usage.add(claim);
        }
    }

    /// A free address of the listed block; different claimants get different ones.
    pub fn free_in_block(&mut self, claimant: &Claimant) -> Option<IpAddr> {
        let inside = self
            .range
            .between(self.block.first(), self.block.last())?
            .without(self.taken.iter().copied().map(IpNetwork::from));
        self.draws += 1;
        let hash = claimant.uid_hash(self.draws).checked_rem(inside.count())?;
        inside.nth(hash)
    }

    /// Advances to the next block. Returns whether it was not listed yet.
    pub fn next_block(&mut self) -> bool {
        let (first, last) = self.range.bounds();
        if std::mem::take(&mut self.is_near) {
            let around = Block::of_widest(self.block.first());
            self.block = Block::with(first, last).unwrap_or(around);
            self.restart();
            return true;
        }
        let is_through = self.listed >= self.blocks();
        if !self.is_only {
            let next = self.block.next().filter(|block| block.first() <= last);
            self.block = next.unwrap_or_else(|| Block::of_widest(first));
        }
        !is_through
    }

    /// Describes a full range, and restarts the search.
    pub fn describe_full(&mut self, now: &Time, claimant: &Claimant) -> String {
        let usage = std::mem::take(&mut self.usage);
        let seen = std::mem::take(&mut self.listed);
        let (total, free) = (self.whole.count(), self.range.count());
        let mut message = format!(
            "{} is full: {} of {total} in use, {} resting",
            self.whole, usage.used, usage.resting
        );
        if total > free {
            message += &format!(", {} used by others in the cluster", total - free);
        }
        if !self.is_only && self.all_blocks() > u128::from(seen) {
            message += &format!("; {seen} blocks of 4096 addresses were checked, more follow");
        }
        if let Some((made, pod)) = usage.oldest {
            let (whose, age) = (claimant.describe_pod(&pod), age(&made, now));
            message += &format!("; the oldest claim is that of {whose}, {age} old");
        }
        message
    }

    fn by_hash(&self, claimant: &Claimant, attempt: u32) -> Option<IpAddr> {
        let hash = claimant
            .name_hash(attempt)
            .checked_rem(self.range.count())?;
        self.range.nth(hash)
    }

    /// How many blocks are listed before the range counts as full.
    fn blocks(&self) -> u32 {
        match self.is_only {
            true => 1,
            false => u32::try_from(self.all_blocks()).map_or(MAX_BLOCKS, |all| all.min(MAX_BLOCKS)),
        }
    }

    fn all_blocks(&self) -> u128 {
        let (first, last) = self.range.bounds();
        Block::of_widest(first)
            .distance(Block::of_widest(last))
            .saturating_add(1)
    }
}

impl RangeUsage {
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

/// Human-readable age.
fn age(since: &Time, now: &Time) -> String {
    let seconds = now.0.as_second().saturating_sub(since.0.as_second()).max(0);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

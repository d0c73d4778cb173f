//! Pure: acquires one address for a link. Creating the claim is the lock; all other requests only make it likely that
//! the next attempt succeeds.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use crds::{AddressClaim, ClaimPod, Reason};

use super::{
    claim_meta::{ClaimName, Claimant},
    protocol::{ClaimOutcome, ClaimRequest, ClaimResponse},
};
use crate::range::Range;

/// Chooses the next address of a range.
mod search;
use search::{Next, Search};
/// Waits for the address of another pod of the same controller.
mod succession;

/// Limit of requests in one attempt, for a claim that appears and disappears with every read.
const MAX_STEPS: u32 = 40;

/// The requested address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressOrRange {
    /// This very address.
    Address(IpAddr),
    /// Any address of the range.
    Range(Range),
}

#[derive(Clone, Debug)]
pub struct Acquire {
    claimant: Claimant,
    domain: String,
    goal: Goal,
    state: State,
    steps: u32,
}

#[derive(Clone, Debug)]
enum Goal {
    Address(IpAddr),
    Range(Box<Search>),
}

#[derive(Clone, Debug)]
enum State {
    /// Find claims of earlier pods of the name.
    ListByOwner,
    /// Check whether the holder of the claim exists; further claims follow.
    CheckHolder(Arc<AddressClaim>, Vec<Arc<AddressClaim>>),
    TakeOver(Arc<AddressClaim>),
    /// Check whether another successor than this pod exists.
    CheckSuccessor(Arc<AddressClaim>, ClaimPod),
    /// Register this pod as the successor.
    Announce(Arc<AddressClaim>),
    Create(IpAddr),
    /// Read the holder: there is one, or a response was lost.
    Read(IpAddr),
    /// List a block of the range.
    List,
}

impl Acquire {
    /// `released`: a claim of this node that an earlier pod of the name has released.
    pub fn for_address(
        claimant: Claimant,
        domain: &str,
        address: IpAddr,
        released: Option<Arc<AddressClaim>>,
    ) -> Self {
        let state = match released {
            Some(claim) => State::TakeOver(claim),
            None => State::Create(address),
        };
        Self {
            claimant,
            domain: domain.to_owned(),
            goal: Goal::Address(address),
            state,
            steps: 0,
        }
    }

    /// `range`: what may be allocated now. `may_return`: an earlier pod of the name may have left claims.
    pub fn for_range(
        claimant: Claimant,
        domain: &str,
        (range, whole): (Range, Range),
        released: Option<Arc<AddressClaim>>,
        may_return: bool,
    ) -> Self {
        let search = Search::new(range, whole);
        let state = match released {
            Some(claim) => State::TakeOver(claim),
            None if may_return => State::ListByOwner,
            None => match search.first(&claimant) {
                Some(address) => State::Create(address),
                None => State::List,
            },
        };
        Self {
            claimant,
            domain: domain.to_owned(),
            goal: Goal::Range(Box::new(search)),
            state,
            steps: 0,
        }
    }

    pub fn describe(&self) -> String {
        match &self.goal {
            Goal::Address(address) => format!("claim {}", self.name(*address)),
            Goal::Range(search) => format!("claim an address of {}", search.range()),
        }
    }

    pub fn next(&self) -> ClaimRequest {
        match &self.state {
            State::ListByOwner => ClaimRequest::ListByOwner {
                domain: self.domain.clone(),
                owner: self.claimant.owner(),
            },
            State::CheckHolder(claim, _) => ClaimRequest::CheckPod(claim.spec.pod.clone()),
            State::TakeOver(claim) => {
                ClaimRequest::Replace(Arc::new(self.claimant.take_over((**claim).clone())))
            }
            State::CheckSuccessor(_, pod) => ClaimRequest::CheckPod(pod.clone()),
            State::Announce(claim) => {
                ClaimRequest::Replace(Arc::new(self.claimant.with_successor((**claim).clone())))
            }
            State::Create(address) => {
                ClaimRequest::Create(Arc::new(self.claimant.claim(&self.name(*address))))
            }
            State::Read(address) => ClaimRequest::Get(self.name(*address)),
            State::List => match &self.goal {
                Goal::Range(search) => ClaimRequest::ListBlock {
                    domain: self.domain.clone(),
                    block: search.block(),
                },
                Goal::Address(address) => ClaimRequest::Get(self.name(*address)),
            },
        }
    }

    /// Consumes a response. Returns `None` while there are more requests to send.
    pub fn handle(&mut self, response: ClaimResponse) -> Option<ClaimOutcome> {
        self.steps += 1;
        let end = match response {
            ClaimResponse::Failed(why) => Some(self.failed(why)),
            _ if self.steps > MAX_STEPS => Some(self.gave_up()),
            response => self.advance(response),
        };
        if end.is_some() {
            self.steps = 0;
        }
        end
    }

    /// The request may have been executed all the same.
    fn failed(&mut self, why: String) -> ClaimOutcome {
        match &self.state {
            State::Create(address) => self.state = State::Read(*address),
            State::TakeOver(claim) | State::CheckSuccessor(claim, _) | State::Announce(claim) => {
                self.state = State::Read(claim.spec.address)
            }
            _ => (),
        }
        ClaimOutcome::Failed(why)
    }

    fn gave_up(&mut self) -> ClaimOutcome {
        ClaimOutcome::Failed("the claim kept changing; gave up after too many requests".to_owned())
    }

    fn advance(&mut self, response: ClaimResponse) -> Option<ClaimOutcome> {
        match (self.state.clone(), response) {
            (State::ListByOwner, ClaimResponse::Listed(claims, _)) => self.choose_leftover(claims),
            (State::CheckHolder(claim, _), ClaimResponse::PodGone) => {
                self.transition(State::TakeOver(claim))
            }
            (State::CheckHolder(claim, rest), ClaimResponse::PodExists) => match &self.goal {
                Goal::Address(_) => self.taken_by(claim),
                Goal::Range(_) => self.try_leftovers(rest),
            },
            (State::CheckSuccessor(claim, _) | State::Announce(claim), response) => {
                self.advance_succession(claim, response)
            }
            (State::TakeOver(_) | State::Create(_), ClaimResponse::Claim(claim)) => {
                Some(ClaimOutcome::Held(claim))
            }
            (
                State::TakeOver(claim),
                ClaimResponse::Conflict | ClaimResponse::NotFound | ClaimResponse::Exists,
            ) => match &self.goal {
                Goal::Address(address) => self.transition(State::Read(*address)),
                Goal::Range(_) => self.try_another(Some(claim.spec.address)),
            },
            (State::Create(address), ClaimResponse::Exists) => match &self.goal {
                Goal::Address(_) => self.transition(State::Read(address)),
                Goal::Range(_) => self.try_another(Some(address)),
            },
            (State::Read(address), ClaimResponse::Claim(claim)) => self.read(address, claim),
            (State::Read(address), ClaimResponse::NotFound) => match &self.goal {
                Goal::Range(search) if !search.range().contains(address) => self.try_another(None),
                _ => self.transition(State::Create(address)),
            },
            (State::List, ClaimResponse::Listed(claims, now)) => self.listed(claims, &now),
            (_, other) => Some(ClaimOutcome::Failed(format!(
                "unexpected response: {other:?}"
            ))),
        }
    }

    fn transition(&mut self, state: State) -> Option<ClaimOutcome> {
        self.state = state;
        None
    }

    /// Takes a released claim at once; for a held one, checks first whether its pod exists.
    fn choose_leftover(&mut self, claims: Vec<Arc<AddressClaim>>) -> Option<ClaimOutcome> {
        let mut fitting: Vec<Arc<AddressClaim>> = claims
            .into_iter()
            .filter(|claim| self.claimant.is_namesake(claim) && self.fits(claim))
            .collect();
        let urgency =
            |claim: &AddressClaim| (!self.claimant.is_own(claim), claim.spec.released.is_none());
        fitting.sort_by_key(|claim| std::cmp::Reverse(urgency(claim)));
        self.try_leftovers(fitting)
    }

    /// Tries the last one first.
    fn try_leftovers(&mut self, mut claims: Vec<Arc<AddressClaim>>) -> Option<ClaimOutcome> {
        match claims.pop() {
            None => self.try_another(None),
            Some(claim) => self.take_leftover(claim, claims),
        }
    }

    fn take_leftover(
        &mut self,
        claim: Arc<AddressClaim>,
        rest: Vec<Arc<AddressClaim>>,
    ) -> Option<ClaimOutcome> {
        let rests = claim.spec.released.is_some();
        match self.claimant.is_own(&claim) {
            true if !rests && claim.spec.node == self.claimant.node => {
                Some(ClaimOutcome::Held(claim))
            }
            true => self.transition(State::TakeOver(claim)),
            false if rests => self.transition(State::TakeOver(claim)),
            false => self.transition(State::CheckHolder(claim, rest)),
        }
    }

    fn fits(&self, claim: &AddressClaim) -> bool {
        let address = claim.spec.address;
        claim.spec.domain == self.domain
            && match &self.goal {
                Goal::Address(wanted) => *wanted == address,
                Goal::Range(search) => search.range().contains(address),
            }
    }

    fn read(&mut self, address: IpAddr, claim: Arc<AddressClaim>) -> Option<ClaimOutcome> {
        let is_free = claim.spec.released.is_some() && self.claimant.may_reclaim(&claim);
        match &self.goal {
            _ if self.claimant.is_own(&claim) => self.take_leftover(claim, Vec::new()),
            Goal::Range(_) => self.try_another(Some(address)),
            Goal::Address(_) if is_free => self.transition(State::TakeOver(claim)),
            // Another link of the pod has it, and may or may not release it.
            Goal::Address(_) if self.claimant.is_same_pod(&claim) => self.taken_by(claim),
            Goal::Address(_) if self.claimant.is_namesake(&claim) => {
                self.take_leftover(claim, Vec::new())
            }
            Goal::Address(_) if self.claimant.succeeds(&claim) => self.wait_for(claim),
            Goal::Address(_) => self.taken_by(claim),
        }
    }

    /// `taken`: an address that another holder has.
    fn try_another(&mut self, taken: Option<IpAddr>) -> Option<ClaimOutcome> {
        let Goal::Range(search) = &mut self.goal else {
            return Some(ClaimOutcome::Failed("no other address to try".to_owned()));
        };
        match search.after(&self.claimant, taken) {
            Next::Try(address) => self.transition(State::Create(address)),
            Next::List => self.transition(State::List),
        }
    }

    fn listed(
        &mut self,
        claims: Vec<Arc<AddressClaim>>,
        now: &super::Time,
    ) -> Option<ClaimOutcome> {
        let own = claims
            .iter()
            .find(|claim| self.claimant.is_own(claim) && self.fits(claim));
        if let Some(own) = own {
            return self.take_leftover(own.clone(), Vec::new());
        }
        let Goal::Range(search) = &mut self.goal else {
            return Some(ClaimOutcome::Failed("no other address to try".to_owned()));
        };
        let taken: BTreeSet<IpAddr> = claims.iter().map(|claim| claim.spec.address).collect();
        search.add_listed(&claims, taken);
        if let Some(address) = search.free_in_block(&self.claimant) {
            return self.transition(State::Create(address));
        }
        match search.next_block() {
            true => None,
            false => Some(ClaimOutcome::Refused(
                Reason::RangeFull,
                search.describe_full(now, &self.claimant),
            )),
        }
    }

    /// The next attempt starts with reading the holder.
    fn taken_by(&mut self, claim: Arc<AddressClaim>) -> Option<ClaimOutcome> {
        self.state = State::Read(claim.spec.address);
        let whose = self.claimant.holder(&claim);
        Some(ClaimOutcome::Taken(claim, whose))
    }

    fn name(&self, address: IpAddr) -> ClaimName {
        ClaimName {
            domain: self.domain.clone(),
            address,
        }
    }
}

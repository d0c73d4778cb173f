//! Pure: how a link comes by one address. The claim's creation is the lock; whatever else is asked only
//! makes it likely that the next try succeeds.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use crds::{AddressClaim, ClaimPod, Reason};

use super::{
    errand::{Ask, End, Told},
    paper::{Claimant, Name},
};
use crate::address::range::Range;

/// Which address of a range to try next.
mod search;
use search::{Next, Search};
/// Waiting for the address of another pod of the same controller.
mod succession;

/// A claim that is made and gone each time that it is looked at is left alone for a while.
const MOST_STEPS: u32 = 40;

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// This very address.
    Address(IpAddr),
    /// Any of these.
    Of(Range),
}

#[derive(Clone, Debug)]
pub struct Wish {
    claimant: Claimant,
    domain: String,
    aim: Aim,
    state: State,
    steps: u32,
}

#[derive(Clone, Debug)]
enum Aim {
    Address(IpAddr),
    Of(Box<Search>),
}

#[derive(Clone, Debug)]
enum State {
    /// Find what earlier pods of the name have left.
    Owner,
    /// Whether the holder of the claim is there; further claims may be looked at behind it.
    LookUp(Arc<AddressClaim>, Vec<Arc<AddressClaim>>),
    TakeOver(Arc<AddressClaim>),
    /// Whether another successor than this one is there.
    LookUpSuccessor(Arc<AddressClaim>, ClaimPod),
    /// Say who waits for it.
    Announce(Arc<AddressClaim>),
    Create(IpAddr),
    /// Read who has it: somebody does, or an answer was lost.
    Read(IpAddr),
    /// List a block of the range.
    List,
}

impl Wish {
    /// `resting`: a claim of this node that an earlier pod of the name has given back.
    pub fn for_address(
        claimant: Claimant,
        domain: &str,
        address: IpAddr,
        resting: Option<Arc<AddressClaim>>,
    ) -> Self {
        let state = match resting {
            Some(claim) => State::TakeOver(claim),
            None => State::Create(address),
        };
        Self {
            claimant,
            domain: domain.to_owned(),
            aim: Aim::Address(address),
            state,
            steps: 0,
        }
    }

    /// `range`: what may be given out now. `may_return`: an earlier pod of the name may have left something.
    pub fn for_range(
        claimant: Claimant,
        domain: &str,
        (range, whole): (Range, Range),
        resting: Option<Arc<AddressClaim>>,
        may_return: bool,
    ) -> Self {
        let search = Search::new(range, whole);
        let state = match resting {
            Some(claim) => State::TakeOver(claim),
            None if may_return => State::Owner,
            None => match search.first(&claimant) {
                Some(address) => State::Create(address),
                None => State::List,
            },
        };
        Self {
            claimant,
            domain: domain.to_owned(),
            aim: Aim::Of(Box::new(search)),
            state,
            steps: 0,
        }
    }

    pub fn what(&self) -> String {
        match &self.aim {
            Aim::Address(address) => format!("claim {}", self.name(*address)),
            Aim::Of(search) => format!("claim an address of {}", search.range()),
        }
    }

    pub fn next(&self) -> Ask {
        match &self.state {
            State::Owner => Ask::OfOwner {
                domain: self.domain.clone(),
                owner: self.claimant.owner(),
            },
            State::LookUp(claim, _) => Ask::LookUp(claim.spec.pod.clone()),
            State::TakeOver(claim) => {
                Ask::Replace(Arc::new(self.claimant.take_over((**claim).clone())))
            }
            State::LookUpSuccessor(_, pod) => Ask::LookUp(pod.clone()),
            State::Announce(claim) => {
                Ask::Replace(Arc::new(self.claimant.announced((**claim).clone())))
            }
            State::Create(address) => {
                Ask::Create(Arc::new(self.claimant.claim(&self.name(*address))))
            }
            State::Read(address) => Ask::Get(self.name(*address)),
            State::List => match &self.aim {
                Aim::Of(search) => Ask::OfBlock {
                    domain: self.domain.clone(),
                    block: search.block(),
                },
                Aim::Address(address) => Ask::Get(self.name(*address)),
            },
        }
    }

    /// What follows; nothing while there is more to ask.
    pub fn heard(&mut self, told: Told) -> Option<End> {
        self.steps += 1;
        let end = match told {
            Told::Failed(why) => Some(self.failed(why)),
            _ if self.steps > MOST_STEPS => Some(self.tired()),
            told => self.follow(told),
        };
        if end.is_some() {
            self.steps = 0;
        }
        end
    }

    /// It may have been done all the same.
    fn failed(&mut self, why: String) -> End {
        match &self.state {
            State::Create(address) => self.state = State::Read(*address),
            State::TakeOver(claim) | State::LookUpSuccessor(claim, _) | State::Announce(claim) => {
                self.state = State::Read(claim.spec.address)
            }
            _ => (),
        }
        End::Failed(why)
    }

    fn tired(&mut self) -> End {
        End::Failed("what is asked for changes hands as fast as it can be looked at".to_owned())
    }

    fn follow(&mut self, told: Told) -> Option<End> {
        match (self.state.clone(), told) {
            (State::Owner, Told::Listed(claims, _)) => self.choose_among_left(claims),
            (State::LookUp(claim, _), Told::PodIsGone) => self.go_to(State::TakeOver(claim)),
            (State::LookUp(claim, rest), Told::PodIsThere) => match &self.aim {
                Aim::Address(_) => self.taken_by(claim),
                Aim::Of(_) => self.consider(rest),
            },
            (State::LookUpSuccessor(claim, _) | State::Announce(claim), told) => {
                self.follow_succession(claim, told)
            }
            (State::TakeOver(_) | State::Create(_), Told::Claim(claim)) => Some(End::Held(claim)),
            (State::TakeOver(claim), Told::Overtaken | Told::Missing | Told::Exists) => {
                match &self.aim {
                    Aim::Address(address) => self.go_to(State::Read(*address)),
                    Aim::Of(_) => self.try_another(Some(claim.spec.address)),
                }
            }
            (State::Create(address), Told::Exists) => match &self.aim {
                Aim::Address(_) => self.go_to(State::Read(address)),
                Aim::Of(_) => self.try_another(Some(address)),
            },
            (State::Read(address), Told::Claim(claim)) => self.read(address, claim),
            (State::Read(address), Told::Missing) => match &self.aim {
                Aim::Of(search) if !search.range().contains(address) => self.try_another(None),
                _ => self.go_to(State::Create(address)),
            },
            (State::List, Told::Listed(claims, now)) => self.listed(claims, &now),
            (_, other) => Some(End::Failed(format!(
                "an answer to something else: {other:?}"
            ))),
        }
    }

    fn go_to(&mut self, state: State) -> Option<End> {
        self.state = state;
        None
    }

    /// What rests is taken at once; for what somebody may still have, it is asked whether he is there.
    fn choose_among_left(&mut self, claims: Vec<Arc<AddressClaim>>) -> Option<End> {
        let mut fitting: Vec<Arc<AddressClaim>> = claims
            .into_iter()
            .filter(|claim| self.claimant.is_namesake(claim) && self.fits(claim))
            .collect();
        let urgency =
            |claim: &AddressClaim| (!self.claimant.is_own(claim), claim.spec.released.is_none());
        fitting.sort_by_key(|claim| std::cmp::Reverse(urgency(claim)));
        self.consider(fitting)
    }

    /// The last one is looked at first.
    fn consider(&mut self, mut claims: Vec<Arc<AddressClaim>>) -> Option<End> {
        match claims.pop() {
            None => self.try_another(None),
            Some(claim) => self.take_from_namesake(claim, claims),
        }
    }

    fn take_from_namesake(
        &mut self,
        claim: Arc<AddressClaim>,
        rest: Vec<Arc<AddressClaim>>,
    ) -> Option<End> {
        let rests = claim.spec.released.is_some();
        match self.claimant.is_own(&claim) {
            true if !rests && claim.spec.node == self.claimant.node => Some(End::Held(claim)),
            true => self.go_to(State::TakeOver(claim)),
            false if rests => self.go_to(State::TakeOver(claim)),
            false => self.go_to(State::LookUp(claim, rest)),
        }
    }

    fn fits(&self, claim: &AddressClaim) -> bool {
        let address = claim.spec.address;
        claim.spec.domain == self.domain
            && match &self.aim {
                Aim::Address(wanted) => *wanted == address,
                Aim::Of(search) => search.range().contains(address),
            }
    }

    fn read(&mut self, address: IpAddr, claim: Arc<AddressClaim>) -> Option<End> {
        let is_free = claim.spec.released.is_some() && self.claimant.may_have_back(&claim);
        match &self.aim {
            _ if self.claimant.is_own(&claim) => self.take_from_namesake(claim, Vec::new()),
            Aim::Of(_) => self.try_another(Some(address)),
            Aim::Address(_) if is_free => self.go_to(State::TakeOver(claim)),
            // Another link of the pod has it, and gives it back or not.
            Aim::Address(_) if self.claimant.is_same_pod(&claim) => self.taken_by(claim),
            Aim::Address(_) if self.claimant.is_namesake(&claim) => {
                self.take_from_namesake(claim, Vec::new())
            }
            Aim::Address(_) if self.claimant.succeeds(&claim) => self.wait_for(claim),
            Aim::Address(_) => self.taken_by(claim),
        }
    }

    /// `taken`: somebody has this one.
    fn try_another(&mut self, taken: Option<IpAddr>) -> Option<End> {
        let Aim::Of(search) = &mut self.aim else {
            return Some(End::Failed("there is no other address".to_owned()));
        };
        match search.after(&self.claimant, taken) {
            Next::Try(address) => self.go_to(State::Create(address)),
            Next::List => self.go_to(State::List),
        }
    }

    fn listed(&mut self, claims: Vec<Arc<AddressClaim>>, now: &super::Time) -> Option<End> {
        let own = claims
            .iter()
            .find(|claim| self.claimant.is_own(claim) && self.fits(claim));
        if let Some(own) = own {
            return self.take_from_namesake(own.clone(), Vec::new());
        }
        let Aim::Of(search) = &mut self.aim else {
            return Some(End::Failed("there is no other address".to_owned()));
        };
        let taken: BTreeSet<IpAddr> = claims.iter().map(|claim| claim.spec.address).collect();
        search.heard(&claims, taken);
        if let Some(address) = search.in_block(&self.claimant) {
            return self.go_to(State::Create(address));
        }
        match search.go_on() {
            true => None,
            false => Some(End::Refused(
                Reason::RangeFull,
                search.full(now, &self.claimant),
            )),
        }
    }

    /// The next try begins with a look at who has it.
    fn taken_by(&mut self, claim: Arc<AddressClaim>) -> Option<End> {
        self.state = State::Read(claim.spec.address);
        let whose = self.claimant.holder(&claim);
        Some(End::Taken(claim, whose))
    }

    fn name(&self, address: IpAddr) -> Name {
        Name {
            domain: self.domain.clone(),
            address,
        }
    }
}

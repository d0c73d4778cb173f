//! Pure: what this node holds, what it has asked for, and what it gives back. Every clock is passed in.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    time::{Duration, Instant},
};

use crds::{AddressClaim, Reason};

use super::{
    Answer, Asker, Demand, Time,
    doubt::Doubt,
    errand::Errand,
    farewell::Farewell,
    paper::{Claimant, Name},
    wish::{What, Wish},
};

/// What became of an errand.
mod close;
/// What the watch says.
mod heard;
/// Which held address is for what.
mod matching;
/// What is to be done, and when.
mod tasks;
pub use tasks::Ticket;
use tasks::{About, Tasks};

/// A deleted claim that a late watch still tells of is known for so long.
const REMEMBERED: Duration = Duration::from_secs(600);

/// The clocks, read once.
#[derive(Clone, Debug)]
pub struct Now {
    pub instant: Instant,
    pub time: Time,
}

pub struct Book {
    node: String,
    installation: String,
    rest: Duration,
    claims: BTreeMap<Name, Entry>,
    /// By pod uid.
    names: HashMap<String, BTreeSet<Name>>,
    /// By pod uid, then by link.
    links: HashMap<String, BTreeMap<String, Link>>,
    tasks: Tasks,
    /// The last versions of claims that are gone.
    gone: BTreeMap<Name, (u64, Instant)>,
}

struct Entry {
    claim: AddressClaim,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Held,
    /// To be given back.
    Leaving,
    Resting,
}

/// What a link was promised and what it waits for.
#[derive(Default)]
struct Link {
    domain: String,
    /// What it was told that it has.
    chosen: BTreeSet<IpAddr>,
    /// What it was told that it has, and what somebody took away.
    lost: BTreeSet<IpAddr>,
    waiting: Vec<Waiting>,
}

struct Waiting {
    what: What,
    ticket: Ticket,
    barred: Vec<ipnetwork::IpNetwork>,
    refused: Option<(Reason, String)>,
    /// Why it takes so long.
    trouble: Option<String>,
}

/// How many claims there are of each state, and how many wishes wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub held: usize,
    pub resting: usize,
    pub waiting: usize,
    /// Of those, how many for a range that is full.
    pub full: usize,
}

impl Book {
    pub fn new(node: &str, installation: &str, rest: Duration) -> Self {
        Self {
            node: node.to_owned(),
            installation: installation.to_owned(),
            rest,
            claims: BTreeMap::new(),
            names: HashMap::new(),
            links: HashMap::new(),
            tasks: Tasks::default(),
            gone: BTreeMap::new(),
        }
    }

    pub fn ask(&mut self, asker: &Asker, demand: &Demand, now: &Now) -> Answer {
        let answer = self.look(asker, demand);
        let missing = match answer {
            Ok(addresses) => return self.promise(asker, demand, addresses),
            Err(_) if self.take_back(asker, demand) => match self.look(asker, demand) {
                Ok(addresses) => return self.promise(asker, demand, addresses),
                Err(missing) => missing,
            },
            Err(missing) => missing,
        };
        let link = self.link(asker);
        link.domain.clone_from(&demand.domain);
        if let Some((reason, message)) = &demand.refusal {
            let waiting = std::mem::take(&mut link.waiting);
            self.cancel(waiting);
            return Answer::Refused(*reason, message.clone());
        }
        let missing = self.again_what_was_lost(asker, demand, missing);
        self.wish_for(asker, demand, missing, now);
        self.words(asker)
    }

    /// What else the pod holds is given back, but for what its links were promised.
    pub fn keep(&mut self, uid: &str, kept: &BTreeMap<String, BTreeSet<IpAddr>>, now: &Now) {
        let links = self.links.remove(uid).unwrap_or_default();
        let (stay, go): (BTreeMap<_, _>, BTreeMap<_, _>) = links
            .into_iter()
            .partition(|(name, _)| kept.contains_key(name));
        for link in go.into_values() {
            self.cancel(link.waiting);
        }
        if !stay.is_empty() {
            self.links.insert(uid.to_owned(), stay);
        }
        for (name, addresses) in kept {
            if let Some(link) = self
                .links
                .get_mut(uid)
                .and_then(|links| links.get_mut(name))
            {
                link.lost.retain(|address| addresses.contains(address));
                // What it was promised before it was to be otherwise, and has not any more.
                link.chosen.retain(|address| addresses.contains(address));
            }
        }
        let names = self.names.get(uid).cloned().unwrap_or_default();
        for name in names {
            if !self.is_kept(uid, &name, kept) {
                self.release(&name, now);
            }
        }
    }

    /// All that these links of the pod hold stays, and nothing else of it.
    pub fn keep_links(&mut self, uid: &str, links: &BTreeSet<String>, now: &Now) {
        let mut kept: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
        for name in self.names.get(uid).into_iter().flatten() {
            let of_link = self.claims.get(name).map(|entry| &entry.claim.spec.link);
            if let Some(link) = of_link.filter(|link| links.contains(*link)) {
                kept.entry(link.clone()).or_default().insert(name.address);
            }
        }
        self.keep(uid, &kept, now);
    }

    /// A link stands with these addresses, whatever is known of claims.
    pub fn recall(&mut self, uid: &str, link: &str, addresses: &BTreeSet<IpAddr>) {
        let links = self.links.entry(uid.to_owned()).or_default();
        let link = links.entry(link.to_owned()).or_default();
        link.lost.extend(addresses);
    }

    pub fn names(&self) -> Vec<Name> {
        self.claims.keys().cloned().collect()
    }

    pub fn take(&mut self, now: Instant, most: usize) -> Vec<(Ticket, Errand)> {
        self.tasks.take(now, most)
    }

    pub fn next_due(&self) -> Option<Instant> {
        self.tasks.next_due()
    }

    /// The pod is gone, and its links.
    pub fn let_go(&mut self, uid: &str, now: &Now) {
        self.keep(uid, &BTreeMap::new(), now);
    }

    /// Looks after what nobody here speaks of: `known` has the pods that have records or links here.
    pub fn sweep(&mut self, known: &BTreeSet<String>, is_proof: bool, now: &Now) {
        self.gone
            .retain(|_, (_, since)| now.instant.duration_since(*since) < REMEMBERED);
        let is_stray = |entry: &Entry| {
            let uid = &entry.claim.spec.pod.uid;
            entry.state == State::Held && !known.contains(uid) && !self.links.contains_key(uid)
        };
        let strays = self.claims.iter().filter(|(_, entry)| is_stray(entry));
        let strays = strays.map(|(name, _)| name.clone());
        let strays: Vec<Name> = strays.filter(|name| self.is_ours(name)).collect();
        for name in strays {
            if is_proof {
                self.release(&name, now);
                continue;
            }
            let claim = self.claims[&name].claim.clone();
            let errand = Errand::Doubt(Box::new(Doubt::of_pod(claim)));
            self.tasks.put_once(About::Claim(name), errand, now.instant);
        }
    }

    /// The pods that have unreleased claims of this installation here.
    pub fn holders(&self) -> BTreeSet<String> {
        let entries = self.claims.iter();
        let held = entries.filter(|(name, entry)| entry.state == State::Held && self.is_ours(name));
        held.map(|(_, entry)| entry.claim.spec.pod.uid.clone())
            .collect()
    }

    pub fn counts(&self) -> Counts {
        let ours = self.claims.iter().filter(|(name, _)| self.is_ours(name));
        let states: Vec<State> = ours.map(|(_, entry)| entry.state).collect();
        let of = |state| states.iter().filter(|one| **one == state).count();
        let waiting = || {
            let links = self.links.values().flat_map(BTreeMap::values);
            links.flat_map(|link| &link.waiting)
        };
        let is_full = |waiting: &&Waiting| matches!(waiting.refused, Some((Reason::RangeFull, _)));
        Counts {
            held: of(State::Held),
            resting: of(State::Resting) + of(State::Leaving),
            waiting: waiting().count(),
            full: waiting().filter(is_full).count(),
        }
    }

    fn is_ours(&self, name: &Name) -> bool {
        let entry = self.claims.get(name);
        entry.is_some_and(|entry| entry.claim.spec.installation == self.installation)
    }

    /// What a link has of what it wants, or what it lacks.
    fn look(&self, asker: &Asker, demand: &Demand) -> Result<Vec<IpAddr>, Vec<What>> {
        let held = self.held_by(asker, &demand.domain, State::Held);
        let chosen = self
            .links
            .get(&asker.uid)
            .and_then(|links| links.get(&asker.link));
        let none = BTreeSet::new();
        let chosen = chosen.map_or(&none, |link| &link.chosen);
        matching::find(&held, chosen, &demand.addresses, &demand.ranges)
    }

    fn held_by(&self, asker: &Asker, domain: &str, state: State) -> BTreeSet<IpAddr> {
        let names = self.names.get(&asker.uid).into_iter().flatten();
        let held = names.filter(|name| {
            name.domain == domain
                && self.claims.get(name).is_some_and(|entry| {
                    entry.state == state
                        && entry.claim.spec.link == asker.link
                        && entry.claim.spec.pod.uid == asker.uid
                })
        });
        held.map(|name| name.address).collect()
    }

    fn promise(&mut self, asker: &Asker, demand: &Demand, addresses: Vec<IpAddr>) -> Answer {
        let promised = addresses.iter().chain(&demand.addresses).copied().collect();
        let link = self.link(asker);
        link.domain.clone_from(&demand.domain);
        link.lost.clear();
        link.chosen = promised;
        let waiting = std::mem::take(&mut link.waiting);
        self.cancel(waiting);
        Answer::Held(addresses)
    }

    /// What is about to be given back, and is wanted after all; whether there was any.
    fn take_back(&mut self, asker: &Asker, demand: &Demand) -> bool {
        let leaving = self.held_by(asker, &demand.domain, State::Leaving);
        let mut is_any = false;
        for address in leaving {
            let is_wanted = demand.addresses.contains(&address)
                || demand.ranges.iter().any(|range| range.contains(address));
            let name = Name {
                domain: demand.domain.clone(),
                address,
            };
            if is_wanted
                && self.tasks.drop_idle(&About::Claim(name.clone()))
                && let Some(entry) = self.claims.get_mut(&name)
            {
                entry.state = State::Held;
                is_any = true;
            }
        }
        is_any
    }

    /// A link that stands with an address needs that very one.
    fn again_what_was_lost(&self, asker: &Asker, demand: &Demand, missing: Vec<What>) -> Vec<What> {
        let link = self
            .links
            .get(&asker.uid)
            .and_then(|links| links.get(&asker.link));
        let mut lost = link.map_or_else(BTreeSet::new, |link| link.lost.clone());
        lost.retain(|address| !demand.addresses.contains(address));
        let again = missing.into_iter().map(|what| match &what {
            What::Of(range) => {
                let fitting = lost
                    .iter()
                    .copied()
                    .find(|address| range.contains(*address));
                match fitting {
                    Some(address) => {
                        lost.remove(&address);
                        What::Address(address)
                    }
                    None => what,
                }
            }
            What::Address(_) => what,
        });
        again.collect()
    }

    fn wish_for(&mut self, asker: &Asker, demand: &Demand, missing: Vec<What>, now: &Now) {
        let mut before = std::mem::take(&mut self.link(asker).waiting);
        let mut waiting = Vec::new();
        for what in missing {
            let is_same = |old: &Waiting| {
                old.what == what
                    && (old.barred == demand.barred || self.tasks.is_running(old.ticket))
            };
            match before.iter().position(is_same) {
                Some(at) => waiting.push(before.swap_remove(at)),
                None => waiting.push(self.begin(asker, demand, what, now)),
            }
        }
        self.cancel(before);
        self.link(asker).waiting = waiting;
    }

    fn begin(&mut self, asker: &Asker, demand: &Demand, what: What, now: &Now) -> Waiting {
        let claimant = Claimant {
            asker: asker.clone(),
            node: self.node.clone(),
            installation: self.installation.clone(),
        };
        let domain = &demand.domain;
        let resting = self.resting_of(&claimant, domain, &what, &demand.barred);
        let wish = match &what {
            What::Address(address) => Wish::for_address(claimant, domain, *address, resting),
            What::Of(range) => {
                let own = self.held_by(asker, domain, State::Held);
                let own = own.into_iter().chain(demand.addresses.iter().copied());
                let others = demand
                    .barred
                    .iter()
                    .copied()
                    .chain(own.map(ipnetwork::IpNetwork::from));
                let free = range.without(others);
                Wish::for_range(
                    claimant,
                    domain,
                    (free, range.clone()),
                    resting,
                    demand.may_return,
                )
            }
        };
        let about = About::Wish(asker.uid.clone(), asker.link.clone());
        let errand = Errand::Wish(Box::new(wish));
        Waiting {
            what,
            ticket: self.tasks.put(about, errand, now.instant),
            barred: demand.barred.clone(),
            refused: None,
            trouble: None,
        }
    }

    /// What an earlier pod of the name has given back on this node.
    fn resting_of(
        &self,
        claimant: &Claimant,
        domain: &str,
        what: &What,
        barred: &[ipnetwork::IpNetwork],
    ) -> Option<AddressClaim> {
        let fits = |address: IpAddr| match what {
            What::Address(wanted) => *wanted == address,
            What::Of(range) => {
                range.contains(address) && !barred.iter().any(|network| network.contains(address))
            }
        };
        let mut resting = self.claims.iter().filter(|(name, entry)| {
            entry.state == State::Resting
                && name.domain == domain
                && fits(name.address)
                && claimant.is_namesake(&entry.claim)
        });
        resting.next().map(|(_, entry)| entry.claim.clone())
    }

    fn words(&self, asker: &Asker) -> Answer {
        let link = self
            .links
            .get(&asker.uid)
            .and_then(|links| links.get(&asker.link));
        let waiting = link.map_or(&[][..], |link| &link.waiting);
        if let Some((reason, message)) = waiting.iter().find_map(|one| one.refused.clone()) {
            return Answer::Refused(reason, message);
        }
        let words = waiting.iter().map(|one| {
            let wanted = match &one.what {
                What::Address(address) => address.to_string(),
                What::Of(range) => format!("an address of {range}"),
            };
            match &one.trouble {
                Some(trouble) => format!("{wanted}: {trouble}"),
                None => wanted,
            }
        });
        let words: Vec<String> = words.collect();
        Answer::Pending(format!("asked for {}", words.join(", ")))
    }

    fn link(&mut self, asker: &Asker) -> &mut Link {
        let links = self.links.entry(asker.uid.clone()).or_default();
        links.entry(asker.link.clone()).or_default()
    }

    fn cancel(&mut self, waiting: Vec<Waiting>) {
        for waiting in waiting {
            self.tasks.cancel(waiting.ticket);
        }
    }

    fn is_kept(&self, uid: &str, name: &Name, kept: &BTreeMap<String, BTreeSet<IpAddr>>) -> bool {
        let Some(entry) = self.claims.get(name) else {
            return true;
        };
        let Some(addresses) = kept.get(&entry.claim.spec.link) else {
            return false;
        };
        let link = self
            .links
            .get(uid)
            .and_then(|links| links.get(&entry.claim.spec.link));
        let is_of = |link: &Link| link.domain == name.domain;
        match link {
            Some(link) if link.chosen.contains(&name.address) => {
                is_of(link) || !self.is_held_in(&link.domain, name.address, uid)
            }
            // What was got for it meanwhile, and it has not been told of.
            Some(link) if !link.waiting.is_empty() && is_of(link) => true,
            _ => addresses.contains(&name.address),
        }
    }

    fn is_held_in(&self, domain: &str, address: IpAddr, uid: &str) -> bool {
        let name = Name {
            domain: domain.to_owned(),
            address,
        };
        let entry = self.claims.get(&name);
        entry.is_some_and(|entry| entry.state == State::Held && entry.claim.spec.pod.uid == uid)
    }

    fn release(&mut self, name: &Name, now: &Now) {
        if !self.is_ours(name) {
            return;
        }
        let Some(entry) = self
            .claims
            .get_mut(name)
            .filter(|entry| entry.state == State::Held)
        else {
            return;
        };
        entry.state = State::Leaving;
        let claim = entry.claim.clone();
        let farewell = match self.rest.is_zero() {
            true => Farewell::delete(claim),
            false => Farewell::rest(claim, now.time.clone()),
        };
        self.tasks.drop_idle(&About::Claim(name.clone()));
        let errand = Errand::Farewell(Box::new(farewell));
        self.tasks
            .put(About::Claim(name.clone()), errand, now.instant);
    }
}

#[cfg(test)]
mod tests;

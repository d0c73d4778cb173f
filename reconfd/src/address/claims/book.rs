//! Pure: what this node holds, what it has asked for, and what it gives back. Every clock is passed in.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use crds::{AddressClaim, Reason};

use super::{
    Answer, Asker, Demand, Time,
    doubt::Doubt,
    errand::Errand,
    farewell::Farewell,
    lineage::Lineage,
    paper::{Claimant, Name},
    wish::What,
};

/// What became of an errand.
mod close;
/// How many there are.
mod counts;
/// What is given back.
mod giving;
/// What the watch says.
mod heard;
/// Which held address is for what.
mod matching;
/// Addresses that are handed over to other pods.
mod succession;
use matching::Missing;
/// What is to be done, and when.
mod tasks;
/// What is lacking.
mod wanting;
pub use counts::Counts;
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
    /// Whether all claims of this node have been heard; before, the pods that have asked.
    is_known: bool,
    early: BTreeSet<String>,
    /// The last versions of claims that are gone.
    gone: BTreeMap<Name, (u64, Instant)>,
    /// Uids of successors that were found to be gone when a claim was to be handed to them, the latest last.
    gone_successors: VecDeque<String>,
}

struct Entry {
    claim: Arc<AddressClaim>,
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
    /// What it holds of what it wants now, and has not been told of yet.
    meant: BTreeSet<IpAddr>,
    /// What it was told that it has, and what somebody took away.
    lost: BTreeSet<IpAddr>,
    waiting: Vec<Waiting>,
    /// Whether it wants an address that is being given back, and asks again when that is done.
    awaits_release: bool,
}

struct Waiting {
    what: What,
    ticket: Ticket,
    barred: Vec<ipnetwork::IpNetwork>,
    lineage: Lineage,
    refused: Option<(Reason, String)>,
    /// Why it takes so long.
    trouble: Option<String>,
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
            is_known: false,
            early: BTreeSet::new(),
            gone: BTreeMap::new(),
            gone_successors: VecDeque::new(),
        }
    }

    pub fn ask(&mut self, asker: &Asker, demand: &Demand, now: &Now) -> Answer {
        if let Some(words) = self.yields(asker, demand) {
            return Answer::Refused(Reason::AddressTaken, words);
        }
        let answer = self.look(asker, demand);
        let missing = match answer {
            Ok(addresses) => return self.promise(asker, demand, addresses),
            Err(_) if self.take_back(asker, demand) => match self.look(asker, demand) {
                Ok(addresses) => return self.promise(asker, demand, addresses),
                Err(missing) => missing,
            },
            Err(missing) => missing,
        };
        let Missing { wanted, there } = missing;
        let link = self.link(asker);
        link.meant = there;
        link.awaits_release = false;
        link.domain.clone_from(&demand.domain);
        if let Some((reason, message)) = &demand.refusal {
            let waiting = std::mem::take(&mut link.waiting);
            self.cancel(waiting);
            return Answer::Refused(*reason, message.clone());
        }
        if !self.is_known {
            self.early.insert(asker.uid.clone());
            let words = "nobody has told yet which addresses this node holds";
            return Answer::Pending(words.to_owned());
        }
        if let Some(address) = self.leaving_for(asker, demand, &wanted) {
            self.link(asker).awaits_release = true;
            let words = format!("{address} is being given back, and is taken again then");
            return Answer::Pending(words);
        }
        let missing = self.again_what_was_lost(asker, demand, wanted);
        self.wish_for(asker, demand, missing, now);
        self.words(asker)
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

    fn is_ours(&self, name: &Name) -> bool {
        let entry = self.claims.get(name);
        entry.is_some_and(|entry| entry.claim.spec.installation == self.installation)
    }

    /// What a link has of what it wants, or what it lacks.
    fn look(&self, asker: &Asker, demand: &Demand) -> Result<Vec<IpAddr>, Missing> {
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
        link.meant.clear();
        link.awaits_release = false;
        link.chosen = promised;
        let waiting = std::mem::take(&mut link.waiting);
        self.cancel(waiting);
        Answer::Held(addresses)
    }

    /// The link is to have no address, or none any more.
    pub fn want_nothing(&mut self, asker: &Asker) {
        let of_pod = self.links.get_mut(&asker.uid);
        let link = of_pod.and_then(|links| links.remove(&asker.link));
        self.cancel(link.map_or_else(Vec::new, |link| link.waiting));
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
                && self.tasks.is_untouched(&About::Release(name.clone()))
                && let Some(entry) = self.claims.get_mut(&name)
            {
                self.tasks.drop_idle(&About::Release(name));
                entry.state = State::Held;
                is_any = true;
            }
        }
        is_any
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
}

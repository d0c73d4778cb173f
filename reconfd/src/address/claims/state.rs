//! Pure: what this node holds, what it has asked for, and what it gives back. Every clock is passed in.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use crds::{AddressClaim, Reason};

use super::{
    AddressRequest, Allocation, LinkKey, Time,
    acquire::AddressOrRange,
    claim_meta::{ClaimName, Claimant},
    lineage::Lineage,
    operation::ClaimOperation,
    release::Release,
    verify::Verify,
};

/// Which held address is for what.
mod assign;
/// What became of an errand.
mod complete;
/// How many there are.
mod counts;
/// What is given back.
mod release;
/// Addresses that are handed over to other pods.
mod succession;
/// What the watch says.
mod watch;
use assign::Missing;
/// What is lacking.
mod request;
/// What is to be done, and when.
mod tasks;
pub use counts::Counts;
pub use tasks::TaskId;
use tasks::{TaskKey, Tasks};

/// A deleted claim that a late watch still tells of is known for so long.
const TOMBSTONE_TTL: Duration = Duration::from_secs(600);

/// The clocks, read once.
#[derive(Clone, Debug)]
pub struct Now {
    pub instant: Instant,
    pub time: Time,
}

pub struct AllocatorState {
    node: String,
    installation: String,
    rest: Duration,
    claims: BTreeMap<ClaimName, Entry>,
    /// By pod uid.
    names: HashMap<String, BTreeSet<ClaimName>>,
    /// By pod uid, then by link.
    links: HashMap<String, BTreeMap<String, Link>>,
    tasks: Tasks,
    /// Whether all claims of this node have been heard; before, the pods that have asked.
    is_synced: bool,
    early_pods: BTreeSet<String>,
    /// The last versions of claims that are gone.
    deleted_versions: BTreeMap<ClaimName, (u64, Instant)>,
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
    Releasing,
    Quarantined,
}

/// What a link was promised and what it waits for.
#[derive(Default)]
struct Link {
    domain: String,
    /// What it was told that it has.
    assigned: BTreeSet<IpAddr>,
    /// What it holds of what it wants now, and has not been told of yet.
    unreported: BTreeSet<IpAddr>,
    /// What it was told that it has, and what somebody took away.
    lost: BTreeSet<IpAddr>,
    waiting: Vec<Waiting>,
    /// Whether it wants an address that is being given back, and asks again when that is done.
    awaits_release: bool,
}

struct Waiting {
    what: AddressOrRange,
    id: TaskId,
    excluded: Vec<ipnetwork::IpNetwork>,
    lineage: Lineage,
    refused: Option<(Reason, String)>,
    /// Why it takes so long.
    last_error: Option<String>,
}

impl AllocatorState {
    pub fn new(node: &str, installation: &str, rest: Duration) -> Self {
        Self {
            node: node.to_owned(),
            installation: installation.to_owned(),
            rest,
            claims: BTreeMap::new(),
            names: HashMap::new(),
            links: HashMap::new(),
            tasks: Tasks::default(),
            is_synced: false,
            early_pods: BTreeSet::new(),
            deleted_versions: BTreeMap::new(),
            gone_successors: VecDeque::new(),
        }
    }

    pub fn allocate(&mut self, key: &LinkKey, request: &AddressRequest, now: &Now) -> Allocation {
        if let Some(words) = self.yields(key, request) {
            return Allocation::Refused(Reason::AddressTaken, words);
        }
        let allocation = self.assign(key, request);
        let missing = match allocation {
            Ok(addresses) => return self.grant(key, request, addresses),
            Err(_) if self.reclaim(key, request) => match self.assign(key, request) {
                Ok(addresses) => return self.grant(key, request, addresses),
                Err(missing) => missing,
            },
            Err(missing) => missing,
        };
        let Missing { wanted, there } = missing;
        let link = self.link(key);
        link.unreported = there;
        link.awaits_release = false;
        link.domain.clone_from(&request.domain);
        if let Some((reason, message)) = &request.refusal {
            let waiting = std::mem::take(&mut link.waiting);
            self.cancel(waiting);
            return Allocation::Refused(*reason, message.clone());
        }
        if !self.is_synced {
            self.early_pods.insert(key.uid.clone());
            let words = "the claims of this node are not synced yet";
            return Allocation::Pending(words.to_owned());
        }
        if let Some(address) = self.releasing_for(key, request, &wanted) {
            self.link(key).awaits_release = true;
            let words = format!("{address} is being released, and is acquired again afterwards");
            return Allocation::Pending(words);
        }
        let missing = self.prefer_lost(key, request, wanted);
        self.acquire_missing(key, request, missing, now);
        self.pending_status(key)
    }

    /// A link stands with these addresses, whatever is known of claims.
    pub fn restore(&mut self, uid: &str, link: &str, addresses: &BTreeSet<IpAddr>) {
        let links = self.links.entry(uid.to_owned()).or_default();
        let link = links.entry(link.to_owned()).or_default();
        link.lost.extend(addresses);
    }

    pub fn names(&self) -> Vec<ClaimName> {
        self.claims.keys().cloned().collect()
    }

    pub fn take_due(&mut self, now: Instant, most: usize) -> Vec<(TaskId, ClaimOperation)> {
        self.tasks.take_due(now, most)
    }

    pub fn next_due(&self) -> Option<Instant> {
        self.tasks.next_due()
    }

    fn is_ours(&self, name: &ClaimName) -> bool {
        let entry = self.claims.get(name);
        entry.is_some_and(|entry| entry.claim.spec.installation == self.installation)
    }

    /// What a link has of what it wants, or what it lacks.
    fn assign(&self, key: &LinkKey, request: &AddressRequest) -> Result<Vec<IpAddr>, Missing> {
        let held = self.held_by(key, &request.domain, State::Held);
        let assigned = self
            .links
            .get(&key.uid)
            .and_then(|links| links.get(&key.link));
        let none = BTreeSet::new();
        let assigned = assigned.map_or(&none, |link| &link.assigned);
        assign::find(&held, assigned, &request.addresses, &request.ranges)
    }

    fn held_by(&self, key: &LinkKey, domain: &str, state: State) -> BTreeSet<IpAddr> {
        let names = self.names.get(&key.uid).into_iter().flatten();
        let held = names.filter(|name| {
            name.domain == domain
                && self.claims.get(name).is_some_and(|entry| {
                    entry.state == state
                        && entry.claim.spec.link == key.link
                        && entry.claim.spec.pod.uid == key.uid
                })
        });
        held.map(|name| name.address).collect()
    }

    fn grant(
        &mut self,
        key: &LinkKey,
        request: &AddressRequest,
        addresses: Vec<IpAddr>,
    ) -> Allocation {
        let promised = addresses
            .iter()
            .chain(&request.addresses)
            .copied()
            .collect();
        let link = self.link(key);
        link.domain.clone_from(&request.domain);
        link.lost.clear();
        link.unreported.clear();
        link.awaits_release = false;
        link.assigned = promised;
        let waiting = std::mem::take(&mut link.waiting);
        self.cancel(waiting);
        Allocation::Held(addresses)
    }

    /// The link is to have no address, or none any more.
    pub fn drop_link(&mut self, key: &LinkKey) {
        let of_pod = self.links.get_mut(&key.uid);
        let link = of_pod.and_then(|links| links.remove(&key.link));
        self.cancel(link.map_or_else(Vec::new, |link| link.waiting));
    }

    /// What is about to be given back, and is wanted after all; whether there was any.
    fn reclaim(&mut self, key: &LinkKey, request: &AddressRequest) -> bool {
        let leaving = self.held_by(key, &request.domain, State::Releasing);
        let mut is_any = false;
        for address in leaving {
            let is_wanted = request.addresses.contains(&address)
                || request.ranges.iter().any(|range| range.contains(address));
            let name = ClaimName {
                domain: request.domain.clone(),
                address,
            };
            if is_wanted
                && self.tasks.is_unstarted(&TaskKey::Release(name.clone()))
                && let Some(entry) = self.claims.get_mut(&name)
            {
                self.tasks.drop_idle(&TaskKey::Release(name));
                entry.state = State::Held;
                is_any = true;
            }
        }
        is_any
    }

    fn pending_status(&self, key: &LinkKey) -> Allocation {
        let link = self
            .links
            .get(&key.uid)
            .and_then(|links| links.get(&key.link));
        let waiting = link.map_or(&[][..], |link| &link.waiting);
        if let Some((reason, message)) = waiting.iter().find_map(|one| one.refused.clone()) {
            return Allocation::Refused(reason, message);
        }
        let words = waiting.iter().map(|one| {
            let wanted = match &one.what {
                AddressOrRange::Address(address) => address.to_string(),
                AddressOrRange::Range(range) => format!("an address of {range}"),
            };
            match &one.last_error {
                Some(last_error) => format!("{wanted}: {last_error}"),
                None => wanted,
            }
        });
        let words: Vec<String> = words.collect();
        Allocation::Pending(format!("requested {}", words.join(", ")))
    }

    fn link(&mut self, key: &LinkKey) -> &mut Link {
        let links = self.links.entry(key.uid.clone()).or_default();
        links.entry(key.link.clone()).or_default()
    }

    fn cancel(&mut self, waiting: Vec<Waiting>) {
        for waiting in waiting {
            self.tasks.cancel(waiting.id);
        }
    }
}

//! Pure: the claims that this node holds, acquires and releases. Clocks are passed in.

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

/// Assigns held addresses to requested addresses and ranges.
mod assign;
/// Applies the outcome of an operation.
mod complete;
/// Counts of claims.
mod counts;
/// Releases claims.
mod release;
/// Hand-over of addresses to other pods.
mod succession;
/// Applies watch events.
mod watch;
use assign::Missing;
/// Starts acquisition of missing addresses.
mod request;
/// The operations, and when each is due.
mod tasks;
pub use counts::Counts;
pub use tasks::TaskId;
use tasks::{TaskKey, Tasks};

/// The version of a deleted claim is kept for so long, against late watch events.
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
    /// Whether the initial list of this node's claims is complete; until then, `early_pods` are the pods with
    /// requests.
    is_synced: bool,
    early_pods: BTreeSet<String>,
    /// The last versions of deleted claims.
    deleted_versions: BTreeMap<ClaimName, (u64, Instant)>,
    /// Uids of successors that were gone when a claim was to be handed over to them, the latest last.
    gone_successors: VecDeque<String>,
}

struct Entry {
    claim: Arc<AddressClaim>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Held,
    /// The release is pending.
    Releasing,
    Quarantined,
}

/// The addresses of a link and its pending requests.
#[derive(Default)]
struct Link {
    domain: String,
    /// The addresses that were returned to the caller.
    assigned: BTreeSet<IpAddr>,
    /// Acquired for the current request, and not returned to the caller yet.
    unreported: BTreeSet<IpAddr>,
    /// Returned to the caller, but the claim was lost since.
    lost: BTreeSet<IpAddr>,
    waiting: Vec<Waiting>,
    /// Whether it needs an address that is being released, and is retried after that.
    awaits_release: bool,
}

struct Waiting {
    what: AddressOrRange,
    id: TaskId,
    excluded: Vec<ipnetwork::IpNetwork>,
    lineage: Lineage,
    refused: Option<(Reason, String)>,
    /// The last error of the acquisition.
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
        if let Some(message) = self.yields(key, request) {
            return Allocation::Refused(Reason::AddressTaken, message);
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
            let message = "the claims of this node are not synced yet";
            return Allocation::Pending(message.to_owned());
        }
        if let Some(address) = self.releasing_for(key, request, &wanted) {
            self.link(key).awaits_release = true;
            let message = format!("{address} is being released, and is acquired again afterwards");
            return Allocation::Pending(message);
        }
        let missing = self.prefer_lost(key, request, wanted);
        self.acquire_missing(key, request, missing, now);
        self.pending_status(key)
    }

    /// Records the addresses of a present link, whatever is known of claims.
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

    /// The addresses of the link for this request, or what is missing.
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

    /// Drops the link's request: it needs no address.
    pub fn drop_link(&mut self, key: &LinkKey) {
        let of_pod = self.links.get_mut(&key.uid);
        let link = of_pod.and_then(|links| links.remove(&key.link));
        self.cancel(link.map_or_else(Vec::new, |link| link.waiting));
    }

    /// Takes back addresses whose release is pending but not started, if the request needs them. Returns whether
    /// there were any.
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
        let message = waiting.iter().map(|one| {
            let wanted = match &one.what {
                AddressOrRange::Address(address) => address.to_string(),
                AddressOrRange::Range(range) => format!("an address of {range}"),
            };
            match &one.last_error {
                Some(last_error) => format!("{wanted}: {last_error}"),
                None => wanted,
            }
        });
        let message: Vec<String> = message.collect();
        Allocation::Pending(format!("requested {}", message.join(", ")))
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

//! Address conflict detection (RFC 5227), where enabled: a link is created without its addresses,
//! which follow when no host has finished. Threads probe; the reconciler never waits.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    time::{Duration, Instant},
};

use node::{
    netlink::Error,
    probe::{self, ProbeReply, ProbeRequest},
};
use sandbox_record::netns::Netns;

use super::{EventSender, slow_steps::SlowSteps};

/// How long an answer is valid.
const HOLDS: Duration = Duration::from_secs(30);

/// One link: the uid of the pod and the link's name.
pub type ProbeKey = (String, String);

/// Running probes and their results.
pub struct AddressProbes {
    steps: SlowSteps<StepKey, Result<Vec<ProbeReply>, Error>>,
    links: HashMap<ProbeKey, LinkProbe>,
}

/// One exchange: the link, its index, and the probed addresses.
type StepKey = (ProbeKey, u32, Vec<IpAddr>);

#[derive(Debug)]
struct LinkProbe {
    /// The link's index: another link of that name is probed anew.
    index: u32,
    under_way: BTreeSet<IpAddr>,
    /// The MAC address that finished, if any, and when.
    answers: HashMap<IpAddr, (Option<[u8; 6]>, Instant)>,
}

/// Result for one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeState {
    /// No host finished.
    Free,
    /// The host with this MAC address finished.
    InUse([u8; 6]),
    /// Not probed yet, or the result has expired.
    Unknown,
}

impl AddressProbes {
    pub fn new(events: EventSender) -> Self {
        Self {
            steps: SlowSteps::new(events),
            links: HashMap::new(),
        }
    }

    /// The result for an address of this link. `index` is the link's index, if it is present.
    pub fn known(&self, key: &ProbeKey, index: Option<u32>, address: IpAddr) -> ProbeState {
        let probe = self.links.get(key);
        let Some(probe) = probe.filter(|probe| index.is_none_or(|index| probe.index == index))
        else {
            return ProbeState::Unknown;
        };
        match probe.answers.get(&address) {
            Some((_, at)) if at.elapsed() >= HOLDS => ProbeState::Unknown,
            Some((Some(mac), _)) => ProbeState::InUse(*mac),
            Some((None, _)) => ProbeState::Free,
            None => ProbeState::Unknown,
        }
    }

    /// Probes addresses without a result; a thread waits for the answers.
    pub fn start(&mut self, key: &ProbeKey, netns: Netns, mut request: ProbeRequest) {
        let index = request.index;
        request
            .addresses
            .retain(|address| self.known(key, Some(index), *address) == ProbeState::Unknown);
        let probe = self
            .links
            .entry(key.clone())
            .or_insert_with(|| LinkProbe::of(index));
        if probe.index != index {
            *probe = LinkProbe::of(index);
        }
        request
            .addresses
            .retain(|address| probe.under_way.insert(*address));
        if request.addresses.is_empty() {
            return;
        }
        let addresses = request.addresses.clone();
        let step = (key.clone(), index, addresses.clone());
        let exchange = move || probe::find_conflicts(&netns, &request);
        if let Err(error) = self.steps.start((step, &key.0), exchange) {
            let error = Error::io("start a probe thread", &error);
            probe.finished(&addresses, Err(error));
        }
    }

    /// Takes over finished results.
    pub fn take(&mut self) {
        for ((key, index, addresses), answers) in self.steps.take() {
            let probe = self.links.get_mut(&key);
            if let Some(probe) = probe.filter(|probe| probe.index == index) {
                probe.finished(&addresses, answers);
            }
        }
    }

    /// Uids of pods with addresses in use that are due to be probed again.
    pub fn due(&self) -> BTreeSet<String> {
        let is_over = |(mac, at): &(Option<_>, Instant)| mac.is_some() && at.elapsed() >= HOLDS;
        let is_due = |probe: &LinkProbe| probe.answers.values().any(is_over);
        let due = self.links.iter().filter(|(_, probe)| is_due(probe));
        due.map(|(key, _)| key.0.clone()).collect()
    }

    /// The pod is gone.
    pub fn forget(&mut self, uid: &str) {
        self.links.retain(|(of, _), _| of != uid);
    }
}

impl LinkProbe {
    fn of(index: u32) -> Self {
        Self {
            index,
            under_way: BTreeSet::new(),
            answers: HashMap::new(),
        }
    }

    fn finished(&mut self, addresses: &[IpAddr], answers: Result<Vec<ProbeReply>, Error>) {
        let in_use: HashMap<IpAddr, [u8; 6]> = match answers {
            Ok(answers) => answers.into_iter().collect(),
            Err(error) => {
                // Probed again with the next pass; a link that is gone meanwhile is no failure.
                tracing::warn!("{error}");
                addresses
                    .iter()
                    .for_each(|address| _ = self.under_way.remove(address));
                return;
            }
        };
        for address in addresses {
            self.under_way.remove(address);
            let answer = (in_use.get(address).copied(), Instant::now());
            self.answers.insert(*address, answer);
        }
    }
}

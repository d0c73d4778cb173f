//! Model of several nodes with their kernels and daemons, and one store of claims, which guarantees what an API
//! server guarantees, and nothing more.

use std::collections::HashMap;

use super::*;
use crate::claims::{claim_meta::OWNER, protocol::ClaimResponse};

const REST: Duration = Duration::from_secs(5);
pub const LINKS: [&str; 2] = ["data0", "data1"];
const LINK: &str = LINKS[0];

#[derive(Clone, Debug)]
pub enum Action {
    /// A pod comes to be on a node, with the name of an earlier one if that has ended.
    Start {
        node: usize,
        pod: usize,
        is_static: bool,
    },
    /// A pod ends with its links; its daemon may miss it.
    End {
        pod: usize,
        is_missed: bool,
    },
    /// The pod is to have this one of its two links, or none: a label, a policy or the link's name changed.
    Select {
        pod: usize,
        link: Option<usize>,
    },
    /// The pod is to end, and goes on for a while.
    Terminate(usize),
    /// The pod lacks nothing but its link.
    LacksLink(usize),
    /// The daemon looks at a pod.
    Pass {
        node: usize,
        pod: usize,
    },
    /// One request of the daemon.
    Step {
        node: usize,
        which: prop::sample::Index,
        delivery: Delivery,
    },
    /// One event of the daemon's watch.
    Watch(usize),
    Wait(u64),
    Sweep(usize),
    /// The daemon is killed, and another one started.
    Kill(usize),
}

/// How a request is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    Done,
    /// Executed, but the response is lost.
    Lost,
    Undone,
}

pub struct Model {
    store: Store,
    nodes: Vec<Node>,
    pods: HashMap<usize, Pod>,
    /// How often a pod of this number has begun.
    starts: u32,
    range: Range,
    excluded: Vec<IpNetwork>,
    begun: Now,
    passed: Duration,
    /// Claims of present links are deleted by another program.
    is_tampered: bool,
}

#[derive(Default)]
struct Store {
    claims: BTreeMap<ClaimName, AddressClaim>,
    version: u64,
    alive: BTreeSet<String>,
    log: Vec<(ClaimName, Option<AddressClaim>, Option<AddressClaim>)>,
    asked: usize,
}

struct Node {
    state: AllocatorState,
    running: Vec<(TaskId, ClaimOperation)>,
    watched: usize,
    /// The addresses on the links, by pod uid and by name.
    kernel: BTreeMap<String, BTreeMap<String, BTreeSet<IpAddr>>>,
}

#[derive(Clone)]
struct Pod {
    node: usize,
    key: LinkKey,
    /// Otherwise it is to have no link at all.
    is_selected: bool,
    request: AddressRequest,
}

impl Model {
    pub fn new(nodes: usize, range: Range, excluded: Vec<IpNetwork>) -> Self {
        let nodes = (0..nodes).map(|node| Node {
            state: allocator_state(node),
            running: Vec::new(),
            watched: 0,
            kernel: BTreeMap::new(),
        });
        let mut model = Self {
            store: Store::default(),
            nodes: nodes.collect(),
            pods: HashMap::new(),
            starts: 0,
            range,
            excluded,
            begun: now(),
            passed: Duration::ZERO,
            is_tampered: false,
        };
        model
            .nodes
            .iter_mut()
            .for_each(|node| drop(node.state.set_synced()));
        model
    }

    pub fn claims(&self) -> Vec<ClaimName> {
        self.store.claims.keys().cloned().collect()
    }

    pub fn asked(&self) -> usize {
        self.store.asked
    }

    fn now(&self) -> Now {
        Now {
            instant: self.begun.instant + self.passed,
            time: Time(self.begun.time.0 + self.passed),
        }
    }

    pub fn apply(&mut self, action: &Action) {
        match *action {
            Action::Start {
                node,
                pod,
                is_static,
            } => self.start(node, pod, is_static),
            Action::End { pod, is_missed } => self.end(pod, is_missed),
            Action::Select { pod, link } => self.select(pod, link),
            Action::Terminate(pod) => self.turn(pod, |lineage| lineage.is_ending = true),
            Action::LacksLink(pod) => self.turn(pod, |lineage| lineage.waits = true),
            Action::Pass { node, pod } => {
                if self.pods.get(&pod).is_some_and(|pod| pod.node == node) {
                    self.pass(node, pod);
                }
            }
            Action::Step {
                node,
                which,
                delivery,
            } => self.step(node, Some(which), delivery),
            Action::Watch(node) => drop(self.watch(node)),
            Action::Wait(seconds) => self.passed += Duration::from_secs(seconds),
            Action::Sweep(node) => self.sweep(node),
            Action::Kill(node) => self.kill(node),
        }
        self.check_owners();
    }

    fn turn(&mut self, number: usize, change: impl FnOnce(&mut Lineage)) {
        let Some(pod) = self.pods.get_mut(&number) else {
            return;
        };
        change(&mut pod.request.lineage);
        let node = pod.node;
        self.pass(node, number);
    }

    fn select(&mut self, number: usize, link: Option<usize>) {
        let Some(pod) = self.pods.get_mut(&number) else {
            return;
        };
        pod.is_selected = link.is_some();
        if let Some(link) = link {
            LINKS[link].clone_into(&mut pod.key.link);
        }
        let node = pod.node;
        self.pass(node, number);
    }

    fn start(&mut self, node: usize, number: usize, is_static: bool) {
        let node = node % self.nodes.len();
        if self.pods.contains_key(&number) {
            return;
        }
        self.starts += 1;
        let uid = format!("uid-{number}-{}", self.starts);
        let mut request = AddressRequest {
            excluded: self.excluded.clone(),
            // Those of an even number are as those of a StatefulSet.
            may_return: number.is_multiple_of(2),
            lineage: self.lineage(number),
            ..of_range(&self.range)
        };
        if is_static {
            // Some want the same one.
            let at = (number / 4) as u128 % self.range.count();
            request.addresses = self.range.nth(at).into_iter().collect();
            request.ranges.clear();
        }
        let pod = format!("p{number}");
        let key = LinkKey {
            namespace: "t".into(),
            pod,
            uid: uid.clone(),
            link: LINK.into(),
        };
        self.store.alive.insert(uid);
        self.pods.insert(
            number,
            Pod {
                node,
                key,
                is_selected: true,
                request,
            },
        );
        self.pass(node, number);
    }

    /// And the others as those of one Deployment, which is rolled out all the time.
    fn lineage(&self, number: usize) -> Lineage {
        let created = self.begun.time.0 + Duration::from_secs(self.starts.into());
        match number.is_multiple_of(2) {
            true => Lineage::default(),
            false => Lineage {
                controller: "Deployment/d".into(),
                revision: format!("d-{}", self.starts % 3),
                created: Some(Time(created)),
                ..Lineage::default()
            },
        }
    }

    fn end(&mut self, number: usize, is_missed: bool) {
        let Some(pod) = self.pods.remove(&number) else {
            return;
        };
        let (uid, now) = (pod.key.uid, self.now());
        let node = &mut self.nodes[pod.node];
        node.kernel.remove(&uid);
        if !is_missed {
            node.state.release_pod(&uid, &now);
        }
        self.store.alive.remove(&uid);
    }

    /// What the daemon does when it looks at a pod: it asks first, then takes away what is not wanted or refused,
    /// makes what there is an address for, and gives back the rest.
    pub fn pass(&mut self, node: usize, number: usize) -> Allocation {
        let (pod, now) = (self.pods[&number].clone(), self.now());
        let (uid, link) = (&pod.key.uid, &pod.key.link);
        let daemon = &mut self.nodes[node];
        let allocation = match pod.is_selected {
            true => daemon.state.allocate(&pod.key, &pod.request, &now),
            false => Allocation::Pending("nothing is asked for".to_owned()),
        };
        let is_refused = matches!(allocation, Allocation::Refused(..));
        let links = daemon.kernel.entry(uid.clone()).or_default();
        links.retain(|name, _| pod.is_selected && name == link && !is_refused);
        if let Allocation::Held(given) = &allocation {
            let all = given
                .iter()
                .chain(&pod.request.addresses)
                .copied()
                .collect();
            links.insert(link.clone(), all);
        }
        let mut kept = links.clone();
        if pod.is_selected {
            kept.entry(link.clone()).or_default();
        }
        daemon.state.retain(uid, &kept, &now);
        self.check();
        allocation
    }

    fn addresses(&self) -> impl Iterator<Item = (&String, IpAddr)> {
        let pods = self.nodes.iter().flat_map(|node| &node.kernel);
        pods.flat_map(|(uid, links)| links.values().flatten().map(move |address| (uid, *address)))
    }

    /// No address is on two links, and none where it must not be.
    fn check(&self) {
        let mut seen = BTreeSet::new();
        for (uid, address) in self.addresses() {
            assert!(
                seen.insert(address),
                "{address} is on two links, one of {uid}"
            );
            assert!(
                self.range.contains(address),
                "{address} is not of {}",
                self.range
            );
            let is_static = self
                .pods
                .values()
                .any(|pod| pod.request.addresses.contains(&address));
            let is_barred = self
                .excluded
                .iter()
                .any(|network| network.contains(address));
            assert!(is_static || !is_barred, "{address} is others'");
        }
    }

    /// Every address on a link is claimed for that pod, and is not free or about to be, at any moment.
    fn check_owners(&self) {
        for (uid, address) in self.addresses().filter(|_| !self.is_tampered) {
            let name = ClaimName {
                domain: "cluster".into(),
                address,
            };
            let spec = self.store.claims.get(&name).map(|claim| &claim.spec);
            let is_held = spec.is_some_and(|spec| spec.pod.uid == *uid && spec.released.is_none());
            assert!(is_held, "{address} is on a link of {uid}: {spec:?}");
        }
    }

    fn step(&mut self, node: usize, which: Option<prop::sample::Index>, delivery: Delivery) {
        let now = self.now();
        let daemon = &mut self.nodes[node];
        let due = daemon.state.take_due(now.instant, 4);
        daemon.running.extend(due);
        if daemon.running.is_empty() {
            return;
        }
        let at = which.map_or(0, |which| which.index(daemon.running.len()));
        let request = daemon.running[at].1.next();
        let response = match delivery {
            Delivery::Undone => ClaimResponse::Failed("no answer".into()),
            Delivery::Done => self.store.execute(&request, &now),
            Delivery::Lost => {
                self.store.execute(&request, &now);
                ClaimResponse::Failed("no answer".into())
            }
        };
        let daemon = &mut self.nodes[node];
        if let Some(end) = daemon.running[at].1.handle(response) {
            let (id, operation) = daemon.running.swap_remove(at);
            let concerned = daemon.state.complete(id, operation, end, &now);
            self.concern(node, &concerned);
        }
    }

    fn concern(&mut self, node: usize, uids: &BTreeSet<String>) {
        let of = |pod: &Pod| pod.node == node && uids.contains(&pod.key.uid);
        let numbers = self.pods.iter().filter(|(_, pod)| of(pod));
        let numbers: Vec<usize> = numbers.map(|(number, _)| *number).collect();
        for number in numbers {
            self.pass(node, number);
        }
    }

    /// Whether there was a watch event.
    fn watch(&mut self, node: usize) -> bool {
        let now = self.now();
        let daemon = &mut self.nodes[node];
        let Some((name, before, after)) = self.store.log.get(daemon.watched).cloned() else {
            return false;
        };
        daemon.watched += 1;
        let is_here = |claim: &AddressClaim| claim.spec.node == name_of(node);
        let concerned = match after.filter(is_here) {
            Some(claim) => daemon.state.applied(Arc::new(claim), &now),
            None if before.is_some_and(|claim| is_here(&claim)) => {
                daemon.state.deleted(&name, &now)
            }
            None => BTreeSet::new(),
        };
        self.concern(node, &concerned);
        true
    }

    fn sweep(&mut self, node: usize) {
        let now = self.now();
        let here = self.pods.values().filter(|pod| pod.node == node);
        let mut known: BTreeSet<String> = here.map(|pod| pod.key.uid.clone()).collect();
        known.extend(self.nodes[node].kernel.keys().cloned());
        self.nodes[node].state.sweep(&known, false, &now);
    }

    fn kill(&mut self, node: usize) {
        let now = self.now();
        let daemon = &mut self.nodes[node];
        daemon.running.clear();
        daemon.state = allocator_state(node);
        daemon.watched = self.store.log.len();
        for claim in self.store.claims.values() {
            if claim.spec.node == name_of(node) {
                daemon.state.applied(Arc::new(claim.clone()), &now);
            }
        }
        daemon.state.set_synced();
        for (uid, links) in &daemon.kernel {
            for (link, addresses) in links {
                daemon.state.restore(uid, link, addresses);
            }
        }
        let uids = self.pods.values().map(|pod| pod.key.uid.clone()).collect();
        self.concern(node, &uids);
    }

    /// Everything that is due now is done, and watched.
    pub fn work(&mut self) {
        for _ in 0..1000 {
            let now = self.now();
            for node in 0..self.nodes.len() {
                while self.watch(node) {}
                let is_due = |node: &Node| {
                    !node.running.is_empty()
                        || node.state.next_due().is_some_and(|due| due <= now.instant)
                };
                while is_due(&self.nodes[node]) {
                    self.step(node, None, Delivery::Done);
                }
            }
            let is_quiet = |node: &Node| node.watched == self.store.log.len();
            if self.nodes.iter().all(is_quiet) {
                return;
            }
        }
        let last = self.store.log.iter().rev().take(24).rev();
        let last = last.map(|(name, _, after)| {
            let after = after.as_ref().map(|claim| &claim.spec);
            let of = |spec: &crds::AddressClaimSpec| {
                let next = spec.successor.as_ref();
                let next = next.map(|next| (next.pod.name.clone(), next.waits));
                (spec.pod.name.clone(), spec.released.is_some(), next)
            };
            format!("{}: {:?}", name.address, after.map(of))
        });
        panic!("there is no end to it: {:#?}", last.collect::<Vec<_>>());
    }

    /// A minute goes by in which nothing happens.
    pub fn settle(&mut self) {
        for _ in 0..60 {
            self.work();
            for node in 0..self.nodes.len() {
                self.sweep(node);
            }
            self.passed += Duration::from_secs(1);
        }
        self.work();
    }

    pub fn check_all_that_can_have_some_do(&mut self) {
        // Each daemon looks at all of its pods from time to time, and what that begins comes to an end.
        let all: Vec<(usize, usize)> = self.pods.iter().map(|(n, pod)| (pod.node, *n)).collect();
        for (node, number) in all {
            self.pass(node, number);
        }
        self.settle();
        let free = self.range.without(self.excluded.iter().copied());
        let free = free.without(
            self.store
                .claims
                .keys()
                .map(|name| IpNetwork::from(name.address)),
        );
        let numbers: Vec<(usize, usize)> = self
            .pods
            .iter()
            .map(|(number, pod)| (pod.node, *number))
            .collect();
        for (node, number) in numbers {
            let is_static = !self.pods[&number].request.addresses.is_empty();
            match self.pass(node, number) {
                _ if !self.pods[&number].is_selected => (),
                Allocation::Held(_) => (),
                Allocation::Refused(Reason::AddressTaken, _) if is_static => (),
                Allocation::Refused(Reason::RangeFull, words) => {
                    assert_eq!(free.count(), 0, "{words}")
                }
                other => panic!("{other:?}"),
            }
        }
    }

    pub fn end_all(&mut self) {
        for number in self.pods.keys().copied().collect::<Vec<_>>() {
            self.end(number, false);
        }
        self.settle();
    }

    /// An administrator deletes a claim.
    pub fn delete(&mut self, name: &ClaimName) {
        self.is_tampered = true;
        let claim = self.store.claims.remove(name);
        self.store.log.push((name.clone(), claim, None));
    }

    /// How often a claim was deleted.
    pub fn deletions(&self) -> usize {
        let deleted = self.store.log.iter().filter(|(.., now)| now.is_none());
        deleted.count()
    }

    /// And another pod gets the address.
    pub fn steal(&mut self, name: &ClaimName, pod: &str) {
        self.delete(name);
        self.claim_for(name, pod);
    }

    /// Another node has this address.
    pub fn fill(&mut self, address: IpAddr) {
        let domain = "cluster".to_owned();
        self.claim_for(&ClaimName { domain, address }, &format!("of-{address}"));
    }

    fn claim_for(&mut self, name: &ClaimName, pod: &str) {
        let key = LinkKey {
            namespace: "t".into(),
            pod: pod.into(),
            uid: pod.into(),
            link: LINK.into(),
        };
        self.store.alive.insert(pod.into());
        let claimant = claim_meta::Claimant {
            key,
            node: "elsewhere".into(),
            installation: "default".into(),
            lineage: Lineage::default(),
        };
        let now = self.now();
        let claim = Arc::new(claimant.claim(name));
        self.store.execute(&ClaimRequest::Create(claim), &now);
    }
}

impl Store {
    fn execute(&mut self, request: &ClaimRequest, now: &Now) -> ClaimResponse {
        self.asked += 1;
        match request {
            ClaimRequest::Create(claim) => match self.claims.contains_key(&ClaimName::of(claim)) {
                true => ClaimResponse::Exists,
                false => {
                    let mut claim = (**claim).clone();
                    claim.metadata.uid = Some(format!("object-{}", self.version));
                    claim.metadata.creation_timestamp = Some(now.time.clone());
                    self.put(claim)
                }
            },
            ClaimRequest::Get(name) => {
                let found = self.claims.get(name);
                found.map_or(ClaimResponse::NotFound, |claim| {
                    ClaimResponse::Claim(Arc::new(claim.clone()))
                })
            }
            ClaimRequest::ListByOwner { owner, .. } => self.list(now, |claim| {
                claim.metadata.labels.as_ref().unwrap()[OWNER] == *owner
            }),
            ClaimRequest::ListBlock { block, .. } => {
                let (key, value) = block.label();
                self.list(now, |claim| {
                    claim.metadata.labels.as_ref().unwrap()[&key] == value
                })
            }
            ClaimRequest::Replace(claim) => {
                self.if_same(claim, |store| store.put((**claim).clone()))
            }
            ClaimRequest::Delete(claim) => self.if_same(claim, |store| {
                let name = ClaimName::of(claim);
                let before = store.claims.remove(&name);
                store.version += 1;
                store.log.push((name, before, None));
                ClaimResponse::Deleted
            }),
            ClaimRequest::CheckPod(pod) => match self.alive.contains(&pod.uid) {
                true => ClaimResponse::PodExists,
                false => ClaimResponse::PodGone,
            },
        }
    }

    fn put(&mut self, mut claim: AddressClaim) -> ClaimResponse {
        self.version += 1;
        claim.metadata.resource_version = Some(self.version.to_string());
        let name = ClaimName::of(&claim);
        let before = self.claims.insert(name.clone(), claim.clone());
        self.log.push((name, before, Some(claim.clone())));
        ClaimResponse::Claim(Arc::new(claim))
    }

    fn if_same(
        &mut self,
        claim: &AddressClaim,
        action: impl FnOnce(&mut Self) -> ClaimResponse,
    ) -> ClaimResponse {
        let edition = |claim: &AddressClaim| {
            (
                claim.metadata.uid.clone(),
                claim.metadata.resource_version.clone(),
            )
        };
        match self.claims.get(&ClaimName::of(claim)) {
            None => ClaimResponse::NotFound,
            Some(now) if edition(now) != edition(claim) => ClaimResponse::Conflict,
            Some(_) => action(self),
        }
    }

    fn list(&self, now: &Now, fits: impl Fn(&AddressClaim) -> bool) -> ClaimResponse {
        let fitting = self.claims.values().filter(|claim| fits(claim));
        ClaimResponse::Listed(fitting.cloned().map(Arc::new).collect(), now.time.clone())
    }
}

fn name_of(node: usize) -> String {
    format!("n{node}")
}

fn allocator_state(node: usize) -> AllocatorState {
    AllocatorState::new(&name_of(node), "default", REST)
}

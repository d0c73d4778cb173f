//! Nodes with their kernels and daemons, and the one place where claims are. What an API server promises is
//! kept, and nothing more.

use std::collections::HashMap;

use super::*;
use crate::address::claims::{errand::Told, paper::OWNER};

const REST: Duration = Duration::from_secs(5);
pub const LINKS: [&str; 2] = ["data0", "data1"];
const LINK: &str = LINKS[0];

#[derive(Clone, Debug)]
pub enum Deed {
    /// A pod comes to be on a node, with the name of an earlier one if that has ended.
    Start {
        node: usize,
        pod: usize,
        is_static: bool,
    },
    /// A pod ends, and its links with it; its daemon hears of it, or misses it.
    End {
        pod: usize,
        is_missed: bool,
    },
    /// The pod is to have this one of its two links, or none: a label, a policy or the link's name changed.
    Ask {
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
        fate: Fate,
    },
    /// One event of the daemon's watch.
    Hear(usize),
    Wait(u64),
    Sweep(usize),
    /// The daemon is killed, and another one started.
    Kill(usize),
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Done,
    /// It is done, and nobody hears so.
    Lost,
    Undone,
}

pub struct World {
    store: Store,
    nodes: Vec<Node>,
    pods: HashMap<usize, Pod>,
    /// How often a pod of this number has begun.
    starts: u32,
    range: Range,
    barred: Vec<IpNetwork>,
    begun: Now,
    passed: Duration,
    /// Somebody deletes claims under links that stand.
    is_tampered: bool,
}

#[derive(Default)]
struct Store {
    claims: BTreeMap<Name, AddressClaim>,
    version: u64,
    alive: BTreeSet<String>,
    log: Vec<(Name, Option<AddressClaim>, Option<AddressClaim>)>,
    asked: usize,
}

struct Node {
    book: Book,
    running: Vec<(Ticket, Errand)>,
    heard: usize,
    /// The addresses on the links, by pod uid and by name.
    kernel: BTreeMap<String, BTreeMap<String, BTreeSet<IpAddr>>>,
}

#[derive(Clone)]
struct Pod {
    node: usize,
    asker: Asker,
    /// Otherwise it is to have no link at all.
    is_selected: bool,
    demand: Demand,
}

impl World {
    pub fn new(nodes: usize, range: Range, barred: Vec<IpNetwork>) -> Self {
        let nodes = (0..nodes).map(|node| Node {
            book: book(node),
            running: Vec::new(),
            heard: 0,
            kernel: BTreeMap::new(),
        });
        let mut world = Self {
            store: Store::default(),
            nodes: nodes.collect(),
            pods: HashMap::new(),
            starts: 0,
            range,
            barred,
            begun: now(),
            passed: Duration::ZERO,
            is_tampered: false,
        };
        world
            .nodes
            .iter_mut()
            .for_each(|node| drop(node.book.are_known()));
        world
    }

    pub fn claims(&self) -> Vec<Name> {
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

    pub fn suffer(&mut self, deed: &Deed) {
        match *deed {
            Deed::Start {
                node,
                pod,
                is_static,
            } => self.start(node, pod, is_static),
            Deed::End { pod, is_missed } => self.end(pod, is_missed),
            Deed::Ask { pod, link } => self.ask(pod, link),
            Deed::Terminate(pod) => self.turn(pod, |lineage| lineage.is_ending = true),
            Deed::LacksLink(pod) => self.turn(pod, |lineage| lineage.waits = true),
            Deed::Pass { node, pod } => {
                if self.pods.get(&pod).is_some_and(|pod| pod.node == node) {
                    self.pass(node, pod);
                }
            }
            Deed::Step { node, which, fate } => self.step(node, Some(which), fate),
            Deed::Hear(node) => drop(self.hear(node)),
            Deed::Wait(seconds) => self.passed += Duration::from_secs(seconds),
            Deed::Sweep(node) => self.sweep(node),
            Deed::Kill(node) => self.kill(node),
        }
        self.check_owners();
    }

    fn turn(&mut self, number: usize, change: impl FnOnce(&mut Lineage)) {
        let Some(pod) = self.pods.get_mut(&number) else {
            return;
        };
        change(&mut pod.demand.lineage);
        let node = pod.node;
        self.pass(node, number);
    }

    fn ask(&mut self, number: usize, link: Option<usize>) {
        let Some(pod) = self.pods.get_mut(&number) else {
            return;
        };
        pod.is_selected = link.is_some();
        if let Some(link) = link {
            LINKS[link].clone_into(&mut pod.asker.link);
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
        let mut demand = Demand {
            barred: self.barred.clone(),
            // Those of an even number are as those of a StatefulSet.
            may_return: number.is_multiple_of(2),
            lineage: self.lineage(number),
            ..of_range(&self.range)
        };
        if is_static {
            // Some want the same one.
            let at = (number / 4) as u128 % self.range.count();
            demand.addresses = self.range.nth(at).into_iter().collect();
            demand.ranges.clear();
        }
        let pod = format!("p{number}");
        let asker = Asker {
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
                asker,
                is_selected: true,
                demand,
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
        let (uid, now) = (pod.asker.uid, self.now());
        let node = &mut self.nodes[pod.node];
        node.kernel.remove(&uid);
        if !is_missed {
            node.book.let_go(&uid, &now);
        }
        self.store.alive.remove(&uid);
    }

    /// What the daemon does when it looks at a pod: it asks first, then takes away what is not wanted or refused,
    /// makes what there is an address for, and gives back the rest.
    pub fn pass(&mut self, node: usize, number: usize) -> Answer {
        let (pod, now) = (self.pods[&number].clone(), self.now());
        let (uid, link) = (&pod.asker.uid, &pod.asker.link);
        let daemon = &mut self.nodes[node];
        let answer = match pod.is_selected {
            true => daemon.book.ask(&pod.asker, &pod.demand, &now),
            false => Answer::Pending("nothing is asked for".to_owned()),
        };
        let is_refused = matches!(answer, Answer::Refused(..));
        let links = daemon.kernel.entry(uid.clone()).or_default();
        links.retain(|name, _| pod.is_selected && name == link && !is_refused);
        if let Answer::Held(given) = &answer {
            let all = given.iter().chain(&pod.demand.addresses).copied().collect();
            links.insert(link.clone(), all);
        }
        let mut kept = links.clone();
        if pod.is_selected {
            kept.entry(link.clone()).or_default();
        }
        daemon.book.keep(uid, &kept, &now);
        self.check();
        answer
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
                .any(|pod| pod.demand.addresses.contains(&address));
            let is_barred = self.barred.iter().any(|network| network.contains(address));
            assert!(is_static || !is_barred, "{address} is others'");
        }
    }

    /// Every address on a link is claimed for that pod, and is not free or about to be, at any moment.
    fn check_owners(&self) {
        for (uid, address) in self.addresses().filter(|_| !self.is_tampered) {
            let name = Name {
                domain: "cluster".into(),
                address,
            };
            let spec = self.store.claims.get(&name).map(|claim| &claim.spec);
            let is_held = spec.is_some_and(|spec| spec.pod.uid == *uid && spec.released.is_none());
            assert!(is_held, "{address} is on a link of {uid}: {spec:?}");
        }
    }

    fn step(&mut self, node: usize, which: Option<prop::sample::Index>, fate: Fate) {
        let now = self.now();
        let daemon = &mut self.nodes[node];
        let due = daemon.book.take(now.instant, 4);
        daemon.running.extend(due);
        if daemon.running.is_empty() {
            return;
        }
        let at = which.map_or(0, |which| which.index(daemon.running.len()));
        let ask = daemon.running[at].1.next();
        let told = match fate {
            Fate::Undone => Told::Failed("no answer".into()),
            Fate::Done => self.store.answer(&ask, &now),
            Fate::Lost => {
                self.store.answer(&ask, &now);
                Told::Failed("no answer".into())
            }
        };
        let daemon = &mut self.nodes[node];
        if let Some(end) = daemon.running[at].1.heard(told) {
            let (ticket, errand) = daemon.running.swap_remove(at);
            let concerned = daemon.book.end(ticket, errand, end, &now);
            self.concern(node, &concerned);
        }
    }

    fn concern(&mut self, node: usize, uids: &BTreeSet<String>) {
        let of = |pod: &Pod| pod.node == node && uids.contains(&pod.asker.uid);
        let numbers = self.pods.iter().filter(|(_, pod)| of(pod));
        let numbers: Vec<usize> = numbers.map(|(number, _)| *number).collect();
        for number in numbers {
            self.pass(node, number);
        }
    }

    /// Whether there was anything to hear.
    fn hear(&mut self, node: usize) -> bool {
        let now = self.now();
        let daemon = &mut self.nodes[node];
        let Some((name, before, after)) = self.store.log.get(daemon.heard).cloned() else {
            return false;
        };
        daemon.heard += 1;
        let is_here = |claim: &AddressClaim| claim.spec.node == name_of(node);
        let concerned = match after.filter(is_here) {
            Some(claim) => daemon.book.came(Arc::new(claim), &now),
            None if before.is_some_and(|claim| is_here(&claim)) => daemon.book.went(&name, &now),
            None => BTreeSet::new(),
        };
        self.concern(node, &concerned);
        true
    }

    fn sweep(&mut self, node: usize) {
        let now = self.now();
        let here = self.pods.values().filter(|pod| pod.node == node);
        let mut known: BTreeSet<String> = here.map(|pod| pod.asker.uid.clone()).collect();
        known.extend(self.nodes[node].kernel.keys().cloned());
        self.nodes[node].book.sweep(&known, false, &now);
    }

    fn kill(&mut self, node: usize) {
        let now = self.now();
        let daemon = &mut self.nodes[node];
        daemon.running.clear();
        daemon.book = book(node);
        daemon.heard = self.store.log.len();
        for claim in self.store.claims.values() {
            if claim.spec.node == name_of(node) {
                daemon.book.came(Arc::new(claim.clone()), &now);
            }
        }
        daemon.book.are_known();
        for (uid, links) in &daemon.kernel {
            for (link, addresses) in links {
                daemon.book.recall(uid, link, addresses);
            }
        }
        let uids = self
            .pods
            .values()
            .map(|pod| pod.asker.uid.clone())
            .collect();
        self.concern(node, &uids);
    }

    /// Everything that is due now is done, and heard.
    pub fn work(&mut self) {
        for _ in 0..1000 {
            let now = self.now();
            for node in 0..self.nodes.len() {
                while self.hear(node) {}
                let is_due = |node: &Node| {
                    !node.running.is_empty()
                        || node.book.next_due().is_some_and(|due| due <= now.instant)
                };
                while is_due(&self.nodes[node]) {
                    self.step(node, None, Fate::Done);
                }
            }
            let is_quiet = |node: &Node| node.heard == self.store.log.len();
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
        let free = self.range.without(self.barred.iter().copied());
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
            let is_static = !self.pods[&number].demand.addresses.is_empty();
            match self.pass(node, number) {
                _ if !self.pods[&number].is_selected => (),
                Answer::Held(_) => (),
                Answer::Refused(Reason::AddressTaken, _) if is_static => (),
                Answer::Refused(Reason::RangeFull, words) => assert_eq!(free.count(), 0, "{words}"),
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
    pub fn delete(&mut self, name: &Name) {
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
    pub fn steal(&mut self, name: &Name, pod: &str) {
        self.delete(name);
        self.claim_for(name, pod);
    }

    /// Somebody elsewhere has this address.
    pub fn fill(&mut self, address: IpAddr) {
        let domain = "cluster".to_owned();
        self.claim_for(&Name { domain, address }, &format!("of-{address}"));
    }

    fn claim_for(&mut self, name: &Name, pod: &str) {
        let asker = Asker {
            namespace: "t".into(),
            pod: pod.into(),
            uid: pod.into(),
            link: LINK.into(),
        };
        self.store.alive.insert(pod.into());
        let claimant = paper::Claimant {
            asker,
            node: "elsewhere".into(),
            installation: "default".into(),
            lineage: Lineage::default(),
        };
        let now = self.now();
        let claim = Arc::new(claimant.claim(name));
        self.store.answer(&Ask::Create(claim), &now);
    }
}

impl Store {
    fn answer(&mut self, ask: &Ask, now: &Now) -> Told {
        self.asked += 1;
        match ask {
            Ask::Create(claim) => match self.claims.contains_key(&Name::of(claim)) {
                true => Told::Exists,
                false => {
                    let mut claim = (**claim).clone();
                    claim.metadata.uid = Some(format!("object-{}", self.version));
                    claim.metadata.creation_timestamp = Some(now.time.clone());
                    self.put(claim)
                }
            },
            Ask::Get(name) => {
                let found = self.claims.get(name);
                found.map_or(Told::Missing, |claim| Told::Claim(Arc::new(claim.clone())))
            }
            Ask::OfOwner { owner, .. } => self.list(now, |claim| {
                claim.metadata.labels.as_ref().unwrap()[OWNER] == *owner
            }),
            Ask::OfBlock { block, .. } => {
                let (key, value) = block.label();
                self.list(now, |claim| {
                    claim.metadata.labels.as_ref().unwrap()[&key] == value
                })
            }
            Ask::Replace(claim) => self.if_same(claim, |store| store.put((**claim).clone())),
            Ask::Delete(claim) => self.if_same(claim, |store| {
                let name = Name::of(claim);
                let before = store.claims.remove(&name);
                store.version += 1;
                store.log.push((name, before, None));
                Told::Deleted
            }),
            Ask::LookUp(pod) => match self.alive.contains(&pod.uid) {
                true => Told::PodIsThere,
                false => Told::PodIsGone,
            },
        }
    }

    fn put(&mut self, mut claim: AddressClaim) -> Told {
        self.version += 1;
        claim.metadata.resource_version = Some(self.version.to_string());
        let name = Name::of(&claim);
        let before = self.claims.insert(name.clone(), claim.clone());
        self.log.push((name, before, Some(claim.clone())));
        Told::Claim(Arc::new(claim))
    }

    fn if_same(&mut self, claim: &AddressClaim, deed: impl FnOnce(&mut Self) -> Told) -> Told {
        let edition = |claim: &AddressClaim| {
            (
                claim.metadata.uid.clone(),
                claim.metadata.resource_version.clone(),
            )
        };
        match self.claims.get(&Name::of(claim)) {
            None => Told::Missing,
            Some(now) if edition(now) != edition(claim) => Told::Overtaken,
            Some(_) => deed(self),
        }
    }

    fn list(&self, now: &Now, fits: impl Fn(&AddressClaim) -> bool) -> Told {
        let fitting = self.claims.values().filter(|claim| fits(claim));
        Told::Listed(fitting.cloned().map(Arc::new).collect(), now.time.clone())
    }
}

fn name_of(node: usize) -> String {
    format!("n{node}")
}

fn book(node: usize) -> Book {
    Book::new(&name_of(node), "default", REST)
}

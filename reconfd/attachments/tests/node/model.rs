//! A model of a node. Every effect of a request is a step of its own, and the daemon can end before and after each.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use attachments::{
    entry::{Entry, Facts, MultusFile, Phase, Slot},
    limits::Limits,
    operation::{Opened, Progress, Request, Response},
    ports::{AddOutcome, CheckOutcome, DelOutcome, Ready, Remains, Verdict},
    state::{Attachments, Work},
    status::{Change, Event, Failure, FailureReason},
};
use cni::FrozenChain;
use serde_json::json;

use crate::samples::BOOT;

/// The daemon ended.
#[derive(Debug)]
pub struct Crash;

/// How the node misbehaves.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// The plugin at this place fails ADD, so many times.
    pub add: Option<(usize, u32)>,
    /// The plugin at this place fails DEL, so many times.
    pub del: BTreeMap<usize, u32>,
    /// The judge refuses so many results.
    pub refuse: u32,
    /// The kernel refuses default routes so many times.
    pub routes: u32,
    /// The judge is not ready so many times.
    pub later: u32,
    /// So many writes fail.
    pub disk_full: u32,
    /// The next write in this phase fails.
    pub fail_write: Option<Phase>,
    /// The connection to the runner breaks so many times at the end of ADD or DEL.
    pub broken: u32,
    /// STATUS says 50 so many times.
    pub unavailable: u32,
    /// The runner executes nothing so many times.
    pub not_run: u32,
    /// A binary is gone: DEL cannot run.
    pub no_binary: bool,
    /// CHECK of this plugin fails.
    pub check: BTreeSet<usize>,
    pub timeout: bool,
    /// Multus' file cannot be read so many times.
    pub read_multus: u32,
    /// It cannot be removed so many times.
    pub remove_multus: u32,
}

pub struct Model {
    pub disk: BTreeMap<String, Entry>,
    pub lost: BTreeMap<String, Entry>,
    /// What plugins have made: by slot and place in the chain, with the chain that made it.
    pub effects: BTreeMap<(Slot, usize), FrozenChain>,
    /// Links that default routes of the pod lead through.
    pub routes: BTreeSet<Slot>,
    /// Files of Multus.
    pub multus: BTreeMap<Slot, FrozenChain>,
    /// Containers whose namespace is there.
    pub alive: BTreeSet<String>,
    pub faults: Faults,
    /// Steps until the daemon ends.
    pub fuel: Option<usize>,
    /// The same for the daemon after it.
    pub next_fuel: Option<usize>,
    pub steps: usize,
    pub now: Instant,
    pub boot_id: String,
    pub events: Vec<Event>,
    pub log: Vec<String>,
    /// What the preflight finds.
    pub digests: BTreeMap<String, String>,
    /// Of the newest DEL.
    pub del_had_result: bool,
    /// Of the opened namespace.
    is_open: bool,
}

impl Model {
    pub fn new(containers: &[&str]) -> Self {
        Self {
            disk: BTreeMap::new(),
            lost: BTreeMap::new(),
            effects: BTreeMap::new(),
            routes: BTreeSet::new(),
            multus: BTreeMap::new(),
            alive: containers.iter().map(|&id| id.into()).collect(),
            faults: Faults::default(),
            fuel: None,
            next_fuel: None,
            steps: 0,
            now: Instant::now(),
            boot_id: BOOT.into(),
            events: Vec::new(),
            log: Vec::new(),
            digests: BTreeMap::new(),
            del_had_result: false,
            is_open: false,
        }
    }

    /// A daemon that reads the store.
    pub fn start(&self) -> Attachments {
        self.start_with(Limits::default())
    }

    pub fn start_with(&self, limits: Limits) -> Attachments {
        let entries = self.disk.values().cloned().collect();
        Attachments::new(limits, &self.boot_id, entries, 0, self.now)
    }

    /// Works until nothing is due within `within`.
    pub fn settle(&mut self, state: &mut Attachments, within: Duration) -> Result<(), Crash> {
        let until = self.now + within;
        loop {
            while let Some(work) = state.next(self.now) {
                self.run(state, work)?;
            }
            match state.next_due() {
                Some(at) if at <= until => self.now = self.now.max(at),
                _ => return Ok(()),
            }
        }
    }

    pub fn run(&mut self, state: &mut Attachments, work: Work) -> Result<(), Crash> {
        let Work { uid, mut operation } = work;
        self.is_open = false;
        loop {
            let request = operation.request();
            let response = self.perform(request)?;
            match operation.respond(response) {
                Progress::Next(next) => operation = *next,
                Progress::End(ending) => {
                    let events = state.complete(&uid, ending, self.now);
                    self.events.extend(events);
                    return Ok(());
                }
            }
        }
    }

    /// The state and the store agree about which attachments there are.
    pub fn mirrors(&self, state: &Attachments) {
        let known: BTreeSet<String> = state.entries().map(Entry::id).collect();
        let stored: BTreeSet<String> = self.disk.keys().cloned().collect();
        assert_eq!(known, stored, "{}", self.story());
    }

    /// Exactly these chains are attached, by the store and by the kernel.
    pub fn attached(&self, chains: &[FrozenChain]) {
        for entry in self.disk.values() {
            assert_eq!(entry.phase, Phase::Attached, "{}", self.story());
            assert!(entry.result.is_some(), "{}", self.story());
        }
        let stored: Vec<&FrozenChain> = self.disk.values().map(|entry| &entry.chain).collect();
        let mut wanted: Vec<&FrozenChain> = chains.iter().collect();
        wanted.sort_by_key(|chain| attachments::entry::id(chain));
        assert_eq!(stored, wanted, "{}", self.story());
        let mut effects = BTreeMap::new();
        for chain in chains {
            for place in 0..chain.plugins.len() {
                effects.insert((Slot::of(chain), place), chain.clone());
            }
        }
        assert_eq!(self.effects, effects, "{}", self.story());
    }

    /// Number of entries by the state's own count.
    pub fn counts_of(&self, state: &Attachments) -> usize {
        let counts = state.counts();
        counts.adding + counts.added + counts.attached + counts.deleting
    }

    pub fn story(&self) -> String {
        self.log.join("\n")
    }

    pub fn changes(&self) -> Vec<&Change> {
        self.events.iter().map(|event| &event.change).collect()
    }

    pub fn count(&self, word: &str) -> usize {
        self.log
            .iter()
            .filter(|line| line.starts_with(word))
            .count()
    }

    /// One step. The daemon may end here.
    fn step(&mut self) -> Result<(), Crash> {
        self.steps += 1;
        let Some(fuel) = &mut self.fuel else {
            return Ok(());
        };
        if *fuel == 0 {
            self.fuel = self.next_fuel.take();
            self.log.push("crash".into());
            return Err(Crash);
        }
        *fuel -= 1;
        Ok(())
    }

    fn perform(&mut self, request: Request) -> Result<Response, Crash> {
        self.step()?;
        let response = match request {
            Request::Preflight(_) => self.preflight(),
            Request::Open(entry) => {
                self.is_open = self.alive.contains(&entry.chain.container_id);
                Response::Opened(match self.is_open {
                    true => Opened::Alive,
                    false => Opened::Gone,
                })
            }
            Request::BeforeAdd(entry) => self.before_add(&entry),
            Request::Create(entry) => self.store(&entry, true),
            Request::Save(entry) => self.store(&entry, false),
            Request::Add(entry) => self.add(&entry)?,
            Request::Judge(entry) => self.judge(&entry),
            Request::SetRoutes(entry) => self.set_routes(&entry),
            Request::BeforeDel(entry) => {
                self.routes.remove(&entry.slot());
                Response::BeforeDel(Ok(None))
            }
            Request::Del(entry) => self.del(&entry)?,
            Request::AfterDel(entry) => self.after_del(&entry),
            Request::Remove(id) => self.remove(&id),
            Request::Lose(id) => {
                let entry = self.disk.remove(&id).unwrap();
                self.log.push(format!("lost {id}"));
                self.lost.insert(id, entry);
                Response::Stored(Ok(()))
            }
            Request::Check(entry, which) => self.check(&entry, which),
            Request::ReadMultus(slot) => self.read_multus(&slot),
            Request::Look(entry) => Response::Look(Ok(Facts {
                ifindex: self.effects.contains_key(&(entry.slot(), 0)).then_some(4),
                ..Facts::default()
            })),
            Request::RemoveMultus(entry) => self.remove_multus(&entry),
        };
        self.step()?;
        Ok(response)
    }

    /// What Multus attaches at pod start.
    pub fn start_by_multus(&mut self, chain: &FrozenChain) {
        let slot = Slot::of(chain);
        for place in 0..chain.plugins.len() {
            self.effects.insert((slot.clone(), place), chain.clone());
        }
        self.multus.insert(slot, chain.clone());
    }

    /// What Multus deletes with the pod: what it has a file of.
    pub fn end_by_multus(&mut self) {
        for slot in std::mem::take(&mut self.multus).into_keys() {
            self.effects.retain(|(of, _), _| *of != slot);
        }
    }

    fn read_multus(&mut self, slot: &Slot) -> Response {
        if take(&mut self.faults.read_multus) {
            return Response::ReadMultus(Err(busy()));
        }
        let file = self.multus.get(slot).map(|chain| MultusFile {
            chain: chain.clone(),
            result: Some(json!({"cniVersion": "1.0.0"})),
        });
        Response::ReadMultus(Ok(file))
    }

    fn remove_multus(&mut self, entry: &Entry) -> Response {
        if take(&mut self.faults.remove_multus) {
            let failure = Failure::new(FailureReason::PluginFailed, "EROFS");
            return Response::RemoveMultus(Err(failure));
        }
        let is_stored = self.disk.contains_key(&entry.id());
        assert!(is_stored, "removed before it was stored\n{}", self.story());
        self.log.push(format!("remove Multus' {}", entry.id()));
        self.multus.remove(&entry.slot());
        Response::RemoveMultus(Ok(()))
    }

    fn preflight(&mut self) -> Response {
        if self.faults.no_binary {
            let failure = Failure::new(FailureReason::PluginNotFound, "no such binary");
            return Response::Preflight(Err(failure));
        }
        Response::Preflight(match take(&mut self.faults.unavailable) {
            true => Err(Failure::new(FailureReason::PluginNotAvailable, "50")),
            false => Ok(Ready {
                digests: self.digests.clone(),
            }),
        })
    }

    fn before_add(&mut self, entry: &Entry) -> Response {
        assert!(self.is_open);
        let is_taken = self.effects.contains_key(&(entry.slot(), 0));
        Response::BeforeAdd(match is_taken {
            true => Err(Failure::new(FailureReason::NameTaken, "it exists")),
            false => Ok(Some(json!({"routes": []}))),
        })
    }

    /// What they replace is stored.
    fn set_routes(&mut self, entry: &Entry) -> Response {
        let stored = self.disk.get(&entry.id());
        let is_noted = stored.is_some_and(|stored| stored.before.is_some());
        assert!(is_noted, "{}", self.story());
        if take(&mut self.faults.routes) {
            let failure = Failure::new(FailureReason::Judged("KernelRefused"), "gateway");
            return Response::SetRoutes(Err(failure));
        }
        self.routes.insert(entry.slot());
        Response::SetRoutes(Ok(()))
    }

    fn store(&mut self, entry: &Entry, is_new: bool) -> Response {
        let is_phase = self.faults.fail_write.as_ref() == Some(&entry.phase);
        if is_phase {
            self.faults.fail_write = None;
        }
        if is_phase || take(&mut self.faults.disk_full) {
            self.log
                .push(format!("disk full {} {}", entry.phase, entry.id()));
            return Response::Stored(Err("No space left on device".into()));
        }
        self.log
            .push(format!("write {} {}", entry.phase, entry.id()));
        let before = self.disk.insert(entry.id(), entry.clone());
        assert_eq!(before.is_none(), is_new, "{}", self.story());
        let slot = entry.slot();
        let is_routed = entry.gateways.is_empty() || self.routes.contains(&slot);
        assert!(
            entry.phase != Phase::Attached || is_routed,
            "{}",
            self.story()
        );
        let of_slot = self.disk.values().filter(|other| other.slot() == slot);
        assert_eq!(of_slot.count(), 1, "two truths\n{}", self.story());
        Response::Stored(Ok(()))
    }

    fn remove(&mut self, id: &str) -> Response {
        self.log.push(format!("remove {id}"));
        self.disk.remove(id);
        Response::Stored(Ok(()))
    }

    fn add(&mut self, entry: &Entry) -> Result<Response, Crash> {
        self.log.push(format!("ADD {}", entry.id()));
        let stored = self.disk.get(&entry.id()).unwrap();
        assert_eq!(stored.phase, Phase::Adding, "{}", self.story());
        assert_eq!(stored.chain, entry.chain, "{}", self.story());
        let slot = entry.slot();
        assert!(!self.routes.contains(&slot), "{}", self.story());
        assert!(
            !self.effects.keys().any(|(other, _)| *other == slot),
            "double\n{}",
            self.story()
        );
        if take(&mut self.faults.not_run) {
            return Ok(Response::Add(AddOutcome::NotRun(busy())));
        }
        for place in 0..entry.chain.plugins.len() {
            self.step()?;
            if let Some((at, times)) = &mut self.faults.add
                && *at == place
                && take(times)
            {
                let reason = match self.faults.timeout {
                    true => FailureReason::PluginTimeout,
                    false => FailureReason::PluginFailed,
                };
                let failure = Failure::new(reason, "ADD");
                let partial = (place > 0).then(|| json!({"cniVersion": "1.0.0"}));
                return Ok(Response::Add(AddOutcome::Failed(failure, partial)));
            }
            self.effects
                .insert((slot.clone(), place), entry.chain.clone());
        }
        Ok(Response::Add(match take(&mut self.faults.broken) {
            true => AddOutcome::Unknown(busy()),
            false => AddOutcome::Added(json!({"cniVersion": "1.0.0"})),
        }))
    }

    fn judge(&mut self, entry: &Entry) -> Response {
        let is_whole = (0..entry.chain.plugins.len())
            .all(|place| self.effects.contains_key(&(entry.slot(), place)));
        assert!(is_whole, "half attached\n{}", self.story());
        assert!(entry.before.is_some(), "{}", self.story());
        let facts = Facts {
            ifindex: Some(4),
            ..Facts::default()
        };
        Response::Judge(if take(&mut self.faults.later) {
            Verdict::Later("claim".into())
        } else if take(&mut self.faults.refuse) {
            let failure = Failure::new(FailureReason::Judged("NotAllowed"), "route");
            Verdict::Refused(facts, failure)
        } else {
            Verdict::Accepted(facts)
        })
    }

    fn del(&mut self, entry: &Entry) -> Result<Response, Crash> {
        let deletion = entry.deletion().unwrap().clone();
        let is_first = deletion.remaining.is_none();
        let all: BTreeSet<usize> = (0..entry.chain.plugins.len()).collect();
        let which = deletion.remaining.unwrap_or(all);
        let netns = if self.is_open {
            ""
        } else {
            " without namespace"
        };
        self.del_had_result = entry.result.is_some();
        self.log
            .push(format!("DEL {} {which:?}{netns}", entry.id()));
        if take(&mut self.faults.not_run) {
            return Ok(Response::Del(DelOutcome::NotRun(busy())));
        }
        if self.faults.no_binary {
            let failure = Failure::new(FailureReason::PluginNotFound, "no such binary");
            return Ok(Response::Del(DelOutcome::NotRun(failure)));
        }
        let mut left = which.clone();
        let mut failure = None;
        for place in which.into_iter().rev() {
            self.step()?;
            if self.faults.del.get_mut(&place).is_some_and(take) {
                failure = Some(Failure::new(FailureReason::PluginFailed, "DEL"));
                if is_first {
                    break;
                }
                continue;
            }
            if let Some(chain) = self.effects.remove(&(entry.slot(), place)) {
                assert_eq!(chain, entry.chain, "DEL by another one\n{}", self.story());
            }
            left.remove(&place);
        }
        if take(&mut self.faults.broken) {
            return Ok(Response::Del(DelOutcome::Unknown(busy())));
        }
        Ok(Response::Del(match failure {
            Some(failure) => DelOutcome::Failed(left, failure),
            None => DelOutcome::Deleted,
        }))
    }

    fn after_del(&mut self, entry: &Entry) -> Response {
        let slot = entry.slot();
        assert!(
            !self.effects.keys().any(|(other, _)| *other == slot),
            "{}",
            self.story()
        );
        Response::AfterDel(Remains::Nothing)
    }

    fn check(&mut self, entry: &Entry, which: Option<BTreeSet<usize>>) -> Response {
        self.log.push(format!("CHECK {} {which:?}", entry.id()));
        let all = || (0..entry.chain.plugins.len()).collect();
        let (failed, passed): (BTreeSet<usize>, BTreeSet<usize>) = which
            .unwrap_or_else(all)
            .into_iter()
            .partition(|place| self.faults.check.contains(place));
        let failure = Failure::new(FailureReason::Drifted, "CHECK");
        Response::Check(CheckOutcome {
            passed,
            failure: (!failed.is_empty()).then_some(failure),
            is_complete: true,
        })
    }
}

fn busy() -> Failure {
    Failure::new(FailureReason::RunnerUnavailable, "busy")
}

/// Whether one of so many is left.
fn take(count: &mut u32) -> bool {
    let is_left = *count > 0;
    *count = count.saturating_sub(1);
    is_left
}

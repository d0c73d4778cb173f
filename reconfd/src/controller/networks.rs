//! The networks of the cluster that no link may overlap: looked for wherever somebody says where networks
//! are, and published, so that no node has to. What cannot be read is said to be unknown, and then no node
//! gives out a new address.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use crds::{
    ReservedNetworks, ReservedNetworksSpec,
    reserved::{ReadState, SourceState},
};
use futures::{Stream, StreamExt as _};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::{Api, Client, core::DeserializeGuard, runtime::watcher::Config};
use tokio::time::sleep_until;

use self::{
    book::{Book, Word},
    clock::{BEAT, Clock, LOOK},
    discovery::{Discovery, Kind},
    merge::{Published, merge},
    packing::{Lists, head, list, name, number, pack},
    watches::Watches,
};
use super::metrics::Metrics;
use crate::{
    scope::{Scope, precedence},
    source::cluster::watch::{Ledger, News, Said, key, objects},
};

/// What was heard.
mod book;
/// When what is to be done.
mod clock;
/// Which kinds there are.
mod discovery;
/// What is to be published.
mod merge;
/// Networks into objects.
mod packing;
/// The watches.
mod watches;
/// What is written.
mod write;

type Guarded = DeserializeGuard<ReservedNetworks>;

pub struct Networks {
    client: Client,
    installation: String,
    scope: Scope,
    metrics: Metrics,
    book: Book,
    watches: Watches,
    discovery: Discovery,
    /// Our objects as the API has them.
    present: BTreeMap<String, ReservedNetworksSpec>,
    /// Since when each network is known.
    published: Published,
    states: Vec<SourceState>,
    remarks: BTreeSet<String>,
    clock: Clock,
}

/// Publishes for as long as the controller runs.
pub async fn publish(client: Client, installation: &str, scope: &Scope, metrics: Metrics) {
    let api: Api<Guarded> = Api::all(client.clone());
    let mut own = std::pin::pin!(objects(api, Config::default()));
    let (mut ledger, mut present) = (Ledger::default(), BTreeMap::new());
    let mut told = String::new();
    while !ledger.is_complete() {
        let Some(said) = own.next().await else {
            return;
        };
        if let Err(error) = &said
            && told != error.to_string()
        {
            told = error.to_string();
            tracing::warn!("the networks that are published cannot be read: {told}");
        }
        take_own(installation, &mut ledger, &mut present, said);
    }
    let networks = Networks::new(client, (installation, scope), metrics, present);
    networks.run(own, ledger).await;
}

/// Our objects alone; whether one of them is not what it was.
fn take_own(
    installation: &str,
    ledger: &mut Ledger,
    present: &mut BTreeMap<String, ReservedNetworksSpec>,
    said: Said<Guarded>,
) -> bool {
    let Ok(event) = said else {
        return false;
    };
    let mut is_changed = false;
    for news in ledger.take(event) {
        let ((_, called), spec) = match news {
            News::Came(object) => (
                key(object.as_ref()),
                object.0.ok().map(|object| object.spec),
            ),
            News::Went(key) => (key, None),
        };
        if called != installation && number(installation, &called).is_none() {
            continue;
        }
        is_changed |= match spec {
            Some(spec) => present.insert(called, spec.clone()) != Some(spec),
            // One that nobody can read is written anew.
            None => present.remove(&called).is_some(),
        };
    }
    is_changed
}

impl Networks {
    fn new(
        client: Client,
        (installation, scope): (&str, &Scope),
        metrics: Metrics,
        present: BTreeMap<String, ReservedNetworksSpec>,
    ) -> Self {
        let before = || present.values().flat_map(|spec| &spec.networks);
        let dated = before().map(|network| {
            let since = network.since.clone().unwrap_or_else(now);
            (network.undated(), since)
        });
        Self {
            watches: Watches::new(&client),
            discovery: Discovery::default(),
            book: Book::new(before().cloned().collect()),
            published: dated.collect(),
            states: Vec::new(),
            remarks: BTreeSet::new(),
            clock: Clock::new(Instant::now()),
            client,
            installation: installation.to_owned(),
            scope: scope.clone(),
            metrics,
            present,
        }
    }

    async fn run(mut self, mut own: impl Stream<Item = Said<Guarded>> + Unpin, mut ledger: Ledger) {
        loop {
            let next = self.next();
            tokio::select! {
                Some((at, word)) = self.watches.heard.next() => self.take(at, word),
                Some(said) = own.next() => {
                    let present = &mut self.present;
                    self.clock.is_changed |= take_own(&self.installation, &mut ledger, present, said);
                }
                () = sleep_until(next.into()) => (),
            }
            let now = Instant::now();
            if now >= self.clock.look {
                self.look().await;
            }
            if now >= self.clock.beat {
                self.beat();
            }
            if self.write_at().is_some_and(|at| at <= now) {
                self.write().await;
            }
        }
    }

    fn next(&self) -> Instant {
        let next = self.clock.look.min(self.clock.beat);
        self.write_at().map_or(next, |at| at.min(next))
    }

    /// When there is something to be written.
    fn write_at(&self) -> Option<Instant> {
        let now = Instant::now();
        self.clock.write_at(self.book.is_settled(now), now)
    }

    fn take(&mut self, at: usize, word: Word) {
        if matches!(word, Word::Failed { code: 404, .. }) {
            // Perhaps the kind is gone.
            self.clock.look_soon(Instant::now());
        }
        self.clock.is_changed |= self.book.take(at, word, Instant::now());
    }

    /// Which kinds there are: watches begin and end with them.
    async fn look(&mut self) {
        let found = self.discovery.ask(&self.client).await;
        let now = Instant::now();
        self.clock.look = now + LOOK;
        self.book
            .told_kinds(found.as_ref().map(drop).map_err(String::clone), now);
        let kinds = found.ok().flatten();
        for (at, kind) in kinds.into_iter().flatten().enumerate() {
            self.clock.is_changed = true;
            match kind {
                Kind::Served(resource) => {
                    self.book.served(at, true);
                    self.watches.open(at, &resource);
                }
                Kind::Absent => {
                    self.book.served(at, false);
                    self.watches.close(at);
                }
                Kind::Silent => {
                    self.book.served(at, true);
                    let why = "the API server of this group does not answer".to_owned();
                    self.book.take(at, Word::Failed { why, code: 503 }, now);
                }
            }
        }
    }

    fn beat(&mut self) {
        let now = Instant::now();
        self.clock.beat = now + BEAT;
        for at in self.book.stuck(now) {
            self.watches.begin_anew(at);
        }
        self.clock.is_changed |= self.book.states(now) != self.states;
    }

    async fn write(&mut self) {
        let time = now();
        let networks = merge(self.book.networks(), &self.published, &time);
        self.tell();
        self.metrics.set_networks(networks.keys(), &self.states);
        let lists = self.lists();
        let wanted = pack(&lists, networks.clone());
        let number_of_all = networks.len();
        let written = self.put(wanted, number_of_all, time).await;
        let instant = Instant::now();
        self.clock.written = Some(instant);
        match written {
            Ok(()) => {
                (self.clock.is_changed, self.clock.failing) = (false, None);
                self.published = networks;
            }
            Err(why) => {
                if self.clock.failed(&why, instant) {
                    tracing::warn!("the networks of the cluster cannot be published: {why}");
                }
            }
        }
    }

    /// Says in the log what is not as it was.
    fn tell(&mut self) {
        let states = self.book.states(Instant::now());
        let before = std::mem::replace(&mut self.states, states);
        for state in self.states.iter().filter(|state| !before.contains(state)) {
            let SourceState { asked, message, .. } = state;
            match state.state {
                ReadState::Unknown => tracing::warn!("no new addresses: {asked}: {message}"),
                ReadState::Read => tracing::info!("{asked} is read"),
                ReadState::Absent => tracing::debug!("there is no {asked}"),
            }
        }
        let remarks: BTreeSet<String> = self.book.remarks().take(100).cloned().collect();
        for remark in remarks.difference(&self.remarks) {
            tracing::warn!("passed over: {remark}");
        }
        self.remarks = remarks;
    }

    fn lists(&self) -> Lists {
        let lists = self.present.iter().filter_map(|(called, spec)| {
            let number = number(&self.installation, called)?;
            Some((number, spec.networks.clone()))
        });
        lists.collect()
    }

    /// What comes is written before it is said that all is known, and what goes after it.
    async fn put(&mut self, wanted: Lists, networks: usize, time: Time) -> Result<(), String> {
        let installation = self.installation.clone();
        let mut kept = BTreeSet::from([installation.clone()]);
        for (number, networks) in wanted {
            let called = name(&installation, number);
            kept.insert(called.clone());
            self.put_one(&called, list(&installation, networks)).await?;
        }
        let before = self.present.get(&installation);
        let before = before.and_then(|head| head.serves.as_ref());
        let serves = precedence::serves(&self.scope, before, &time);
        let head = head(&installation, serves, networks, self.states.clone(), time);
        if self.is_news(&head) {
            self.put_one(&installation, head).await?;
            self.clock.renewed = Some(Instant::now());
        }
        let gone: Vec<String> = self
            .present
            .keys()
            .filter(|called| !kept.contains(*called))
            .cloned()
            .collect();
        for called in gone {
            write::delete(&self.client, &self.metrics, &called).await?;
            self.present.remove(&called);
        }
        Ok(())
    }

    fn is_news(&self, head: &ReservedNetworksSpec) -> bool {
        let is_due = self.clock.is_renewal_due(Instant::now());
        let is_same = |present: &ReservedNetworksSpec| {
            (&present.sources, &present.summary, &present.serves)
                == (&head.sources, &head.summary, &head.serves)
        };
        is_due || !self.present.get(&self.installation).is_some_and(is_same)
    }

    async fn put_one(&mut self, called: &str, spec: ReservedNetworksSpec) -> Result<(), String> {
        if self.present.get(called) != Some(&spec) {
            write::put(&self.client, &self.metrics, called, &spec).await?;
            self.present.insert(called.to_owned(), spec);
        }
        Ok(())
    }
}

/// As exact as the API keeps it.
fn now() -> Time {
    let second = Timestamp::from_second(Timestamp::now().as_second());
    Time(second.unwrap_or_default())
}

//! Collects the networks of the cluster that no link may overlap from all known sources, and publishes them as
//! ReservedNetworks, so that nodes need not collect them. A source that cannot be read is published as `Unknown`;
//! nodes then allocate no new addresses.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use crds::{
    ReservedNetworks, ReservedNetworksSpec,
    reserved::{ReadState, SourceState},
};
use futures::StreamExt as _;
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::{Api, Client, core::DeserializeGuard, runtime::watcher::Config};
use kubeio::watch::{ObjectEvent, Watch, WatchUpdate};
use store::scope::{Scope, precedence};
use tokio::time::sleep_until;

use self::{
    discovery::{Discovery, KindStatus},
    merge::{DatedNetworks, merge},
    packing::{NetworkLists, head, list, name, number, pack},
    schedule::{DISCOVERY_INTERVAL, Schedule, TICK_INTERVAL},
    sources::{SourceEvent, SourceStates},
    watches::SourceWatches,
};
use super::metrics::Metrics;

/// API discovery: which source kinds are served.
mod discovery;
/// Merges the networks of all sources.
mod merge;
/// Packs networks into objects.
mod packing;
/// Timing of discovery and writes.
mod schedule;
/// State and cached networks of each source.
mod sources;
/// Watches of the sources.
mod watches;
/// Writes ReservedNetworks.
mod write;

type Guarded = DeserializeGuard<ReservedNetworks>;

/// Publishes the reserved networks.
pub struct NetworkPublisher {
    client: Client,
    installation: String,
    scope: Scope,
    metrics: Metrics,
    sources: SourceStates,
    watches: SourceWatches,
    discovery: Discovery,
    /// Own objects as stored in the API.
    present: BTreeMap<String, ReservedNetworksSpec>,
    /// Published networks, each with the time of its first observation.
    published: DatedNetworks,
    states: Vec<SourceState>,
    warnings: BTreeSet<String>,
    schedule: Schedule,
}

/// Runs the publisher; ends only with its watch.
pub async fn publish(client: Client, installation: &str, scope: &Scope, metrics: Metrics) {
    let api: Api<Guarded> = Api::all(client.clone());
    let mut own = Watch::open(api, Config::default());
    let (mut present, mut logged) = (BTreeMap::new(), String::new());
    loop {
        match own.next().await {
            Some(WatchUpdate::Object(event)) => {
                take_own(installation, &mut present, event);
            }
            Some(WatchUpdate::Failed(failure)) => {
                let why = failure.0.to_string();
                if logged != why {
                    tracing::warn!("cannot list ReservedNetworks: {why}");
                    logged = why;
                }
            }
            Some(WatchUpdate::Synced) => break,
            None => return,
        }
    }
    let networks = NetworkPublisher::new(client, (installation, scope), metrics, present);
    networks.run(own).await;
}

/// Applies an event to the own objects. Returns whether one of them changed.
fn take_own(
    installation: &str,
    present: &mut BTreeMap<String, ReservedNetworksSpec>,
    event: ObjectEvent<Guarded>,
) -> bool {
    let ((_, called), object) = event.into_parts();
    if called != installation && number(installation, &called).is_none() {
        return false;
    }
    match object.and_then(|object| object.0.ok()) {
        Some(object) => present.insert(called, object.spec.clone()) != Some(object.spec),
        // An object that cannot be parsed is written again.
        None => present.remove(&called).is_some(),
    }
}

impl NetworkPublisher {
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
            watches: SourceWatches::new(&client),
            discovery: Discovery::default(),
            sources: SourceStates::new(before().cloned().collect()),
            published: dated.collect(),
            states: Vec::new(),
            warnings: BTreeSet::new(),
            schedule: Schedule::new(Instant::now()),
            client,
            installation: installation.to_owned(),
            scope: scope.clone(),
            metrics,
            present,
        }
    }

    async fn run(mut self, mut own: Watch<Guarded>) {
        loop {
            let next = self.next();
            tokio::select! {
                Some((at, event)) = self.watches.events.next() => self.handle(at, event),
                Some(update) = own.next() => {
                    if let WatchUpdate::Object(event) = update {
                        self.schedule.is_changed |= take_own(&self.installation, &mut self.present, event);
                    }
                }
                () = sleep_until(next.into()) => (),
            }
            let now = Instant::now();
            if now >= self.schedule.discover_at {
                self.discover().await;
            }
            if now >= self.schedule.tick_at {
                self.tick();
            }
            if self.write_at().is_some_and(|at| at <= now) {
                self.write().await;
            }
        }
    }

    fn next(&self) -> Instant {
        let next = self.schedule.discover_at.min(self.schedule.tick_at);
        self.write_at().map_or(next, |at| at.min(next))
    }

    /// Time of the next write, if any.
    fn write_at(&self) -> Option<Instant> {
        let now = Instant::now();
        self.schedule.write_at(self.sources.is_settled(now), now)
    }

    fn handle(&mut self, at: usize, event: SourceEvent) {
        if matches!(event, SourceEvent::Failed { code: 404, .. }) {
            // The kind may be gone.
            self.schedule.discover_soon(Instant::now());
        }
        self.schedule.is_changed |= self.sources.update(at, event, Instant::now());
    }

    /// Discovers the served kinds, and opens and closes watches accordingly.
    async fn discover(&mut self) {
        let found = self.discovery.fetch(&self.client).await;
        let now = Instant::now();
        self.schedule.discover_at = now + DISCOVERY_INTERVAL;
        self.sources
            .set_discovery(found.as_ref().map(drop).map_err(String::clone), now);
        let kinds = found.ok().flatten();
        for (at, kind) in kinds.into_iter().flatten().enumerate() {
            self.schedule.is_changed = true;
            match kind {
                KindStatus::Served(resource) => {
                    self.sources.set_served(at, true);
                    self.watches.open(at, &resource);
                }
                KindStatus::Absent => {
                    self.sources.set_served(at, false);
                    self.watches.close(at);
                }
                KindStatus::Unavailable => {
                    self.sources.set_served(at, true);
                    let why = "the API server of this group is unavailable".to_owned();
                    self.sources
                        .update(at, SourceEvent::Failed { why, code: 503 }, now);
                }
            }
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        self.schedule.tick_at = now + TICK_INTERVAL;
        for at in self.sources.stuck(now) {
            self.watches.restart(at);
        }
        self.schedule.is_changed |= self.sources.states(now) != self.states;
    }

    async fn write(&mut self) {
        let time = now();
        let networks = merge(self.sources.networks(), &self.published, &time);
        self.log_changes();
        self.metrics.set_networks(networks.keys(), &self.states);
        let lists = self.lists();
        let wanted = pack(&lists, networks.clone());
        let number_of_all = networks.len();
        let written = self.put(wanted, number_of_all, time).await;
        let instant = Instant::now();
        self.schedule.written_at = Some(instant);
        match written {
            Ok(()) => {
                (self.schedule.is_changed, self.schedule.last_error) = (false, None);
                self.published = networks;
            }
            Err(why) => {
                if self.schedule.failed(&why, instant) {
                    tracing::warn!("cannot publish ReservedNetworks: {why}");
                }
            }
        }
    }

    /// Logs changed source states and new warnings.
    fn log_changes(&mut self) {
        let states = self.sources.states(Instant::now());
        let before = std::mem::replace(&mut self.states, states);
        for state in self.states.iter().filter(|state| !before.contains(state)) {
            let SourceState { asked, message, .. } = state;
            match state.state {
                ReadState::Unknown => {
                    tracing::warn!("no new addresses are allocated: {asked}: {message}")
                }
                ReadState::Read => tracing::info!("{asked} is synced"),
                ReadState::Absent => tracing::debug!("{asked} does not exist"),
            }
        }
        let warnings: BTreeSet<String> = self.sources.remarks().take(100).cloned().collect();
        for warning in warnings.difference(&self.warnings) {
            tracing::warn!("skipped: {warning}");
        }
        self.warnings = warnings;
    }

    fn lists(&self) -> NetworkLists {
        let lists = self.present.iter().filter_map(|(called, spec)| {
            let number = number(&self.installation, called)?;
            Some((number, spec.networks.clone()))
        });
        lists.collect()
    }

    /// Writes the lists first, then the head object that declares them complete, and deletes unused lists last.
    async fn put(
        &mut self,
        wanted: NetworkLists,
        networks: usize,
        time: Time,
    ) -> Result<(), String> {
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
        if self.head_is_outdated(&head) {
            self.put_one(&installation, head).await?;
            self.schedule.renewed_at = Some(Instant::now());
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

    fn head_is_outdated(&self, head: &ReservedNetworksSpec) -> bool {
        let is_due = self.schedule.is_renewal_due(Instant::now());
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

/// The current time in whole seconds, the precision of the API.
fn now() -> Time {
    let second = Timestamp::from_second(Timestamp::now().as_second());
    Time(second.unwrap_or_default())
}

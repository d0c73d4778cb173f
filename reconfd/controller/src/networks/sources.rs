//! Pure: cached networks and sync state of all sources. A cached object stays in force until its deletion is
//! observed, however long its source is unavailable.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use crds::reserved::{ReadState, ReservedNetwork, SourceState};
use kubeio::watch::ObjectKey;

use address::sources::{ALL, Extracted, Selector, SourceKind, Writer};

/// A source that fails for this long becomes `Unknown`.
const OUTAGE_GRACE: Duration = Duration::from_secs(30);
/// A failed watch is restarted after this time. A watch that recovers without an event does not report it, but a
/// new list does.
const RESTART_AFTER: Duration = Duration::from_secs(15);
/// Grace period after a 404: the kind may have been removed, which the next discovery shows.
const NOT_FOUND_GRACE: Duration = Duration::from_secs(5);
/// Maximum length of a message.
const MAX_MESSAGE: usize = 400;

/// Cached state of one source.
#[derive(Debug, Default)]
struct Source {
    /// Whether the API server serves the kind; `None` before the first discovery.
    is_served: Option<bool>,
    /// The initial list is complete.
    is_synced: bool,
    outage: Option<Outage>,
    objects: BTreeMap<ObjectKey, Extracted>,
    /// Objects listed since the watch was restarted. When the list is complete, all others are removed.
    relisted: Option<BTreeSet<ObjectKey>>,
}

/// A source cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Outage {
    since: Instant,
    why: String,
    /// Grace period before the source becomes `Unknown`.
    grace: Duration,
    is_restarted: bool,
}

/// An event of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceEvent {
    /// A watch starts with a new list.
    Restarted,
    /// New state of an object; `None`: deleted.
    Object(ObjectKey, Option<Extracted>),
    /// The list is complete.
    Synced,
    /// The source cannot be read; `code` is the HTTP status.
    Failed { why: String, code: u16 },
}

/// State of all sources.
#[derive(Debug)]
pub struct SourceStates {
    sources: Vec<Source>,
    /// Since when discovery fails, and the error.
    discovery_error: Option<(Instant, String)>,
    /// Networks published by the previous controller, used for sources that are not synced yet.
    inherited: Vec<ReservedNetwork>,
}

impl SourceStates {
    pub fn new(inherited: Vec<ReservedNetwork>) -> Self {
        Self {
            sources: ALL.iter().map(Source::of).collect(),
            discovery_error: None,
            inherited,
        }
    }

    /// Sets whether the API server serves the kind of a source.
    pub fn set_served(&mut self, at: usize, is_served: bool) {
        let source = &mut self.sources[at];
        if source.is_served == Some(true) && !is_served {
            *source = Source::default();
        }
        source.is_served = Some(is_served);
    }

    /// Records the result of a discovery.
    pub fn set_discovery(&mut self, result: Result<(), String>, now: Instant) {
        self.discovery_error = match (result, self.discovery_error.take()) {
            (Ok(()), _) => None,
            (Err(why), Some((since, _))) => Some((since, why)),
            (Err(why), None) => Some((now, why)),
        };
    }

    /// Applies an event. Returns whether anything changed.
    pub fn update(&mut self, at: usize, event: SourceEvent, now: Instant) -> bool {
        let source = &mut self.sources[at];
        match event {
            SourceEvent::Restarted => {
                source.relisted = Some(BTreeSet::new());
                false
            }
            SourceEvent::Object(key, extracted) => {
                source.outage = None;
                let relisted = source.relisted.as_mut().filter(|_| extracted.is_some());
                relisted.map(|keys| keys.insert(key.clone()));
                match extracted.filter(|extracted| *extracted != Extracted::default()) {
                    Some(extracted) => {
                        source.objects.insert(key, extracted.clone()) != Some(extracted)
                    }
                    None => source.objects.remove(&key).is_some(),
                }
            }
            SourceEvent::Synced => {
                source.outage = None;
                let before = source.objects.len();
                if let Some(keys) = source.relisted.take() {
                    source.objects.retain(|key, _| keys.contains(key));
                }
                !std::mem::replace(&mut source.is_synced, true) || source.objects.len() != before
            }
            SourceEvent::Failed { why, code } => {
                let grace = match code {
                    401 | 403 => Duration::ZERO,
                    404 => NOT_FOUND_GRACE,
                    _ => OUTAGE_GRACE,
                };
                let before = source.outage.take();
                let mut outage = before.clone().unwrap_or(Outage {
                    since: now,
                    why: String::new(),
                    grace,
                    is_restarted: false,
                });
                (outage.why, outage.grace) = (why, grace);
                source.outage = Some(outage);
                source.outage != before
            }
        }
    }

    /// Sources whose watch must be restarted. Each is returned once per outage.
    pub fn stuck(&mut self, now: Instant) -> Vec<usize> {
        let mut stuck = Vec::new();
        for (at, source) in self.sources.iter_mut().enumerate() {
            let outage = source.outage.as_mut().filter(|outage| !outage.is_restarted);
            let is_long = |outage: &&mut Outage| {
                outage.grace >= RESTART_AFTER
                    && now.saturating_duration_since(outage.since) >= RESTART_AFTER
            };
            if let Some(outage) = outage.filter(is_long) {
                outage.is_restarted = true;
                stuck.push(at);
            }
        }
        stuck
    }

    /// Whether the state of every source is settled: synced, absent or unknown.
    pub fn is_settled(&self, now: Instant) -> bool {
        self.sources.iter().all(|source| source.is_settled(now))
    }

    pub fn states(&self, now: Instant) -> Vec<SourceState> {
        let sources = ALL.iter().zip(&self.sources);
        let state = |(source_kind, source): (&SourceKind, &Source)| {
            let (state, message) = source.state(source_kind, self.long_discovery_error(now), now);
            SourceState {
                source: source_kind.source,
                asked: source_kind.describe(),
                state,
                message: message.chars().take(MAX_MESSAGE).collect(),
            }
        };
        sources.map(state).collect()
    }

    fn long_discovery_error(&self, now: Instant) -> Option<&str> {
        let error = self.discovery_error.as_ref();
        let long = error.filter(|(since, _)| now.saturating_duration_since(*since) >= OUTAGE_GRACE);
        long.map(|(_, why)| why.as_str())
    }

    /// Messages about skipped objects.
    pub fn remarks(&self) -> impl Iterator<Item = &String> {
        let extracted = self
            .sources
            .iter()
            .flat_map(|source| source.objects.values());
        extracted.flat_map(|extracted| &extracted.warnings)
    }

    /// The networks of all sources, each with its kind of writer.
    pub fn networks(&self) -> impl Iterator<Item = (&ReservedNetwork, Writer)> {
        let sources = ALL.iter().zip(&self.sources);
        sources.flat_map(|(source_kind, source)| {
            let extracted = source
                .objects
                .values()
                .flat_map(|extracted| &extracted.networks);
            let is_unsynced = source.is_served != Some(false) && !source.is_synced;
            let before = self.inherited.iter().filter(move |_| is_unsynced);
            let before = before.filter(|network| is_of(network, source_kind));
            extracted
                .chain(before)
                .map(|network| (network, source_kind.writer))
        })
    }
}

impl Source {
    fn of(source_kind: &SourceKind) -> Self {
        Self {
            // Core kinds always exist.
            is_served: source_kind.group.is_empty().then_some(true),
            ..Self::default()
        }
    }

    fn is_settled(&self, now: Instant) -> bool {
        match self.is_served {
            None => false,
            Some(false) => true,
            Some(true) => self.is_synced || self.failure(now).is_some(),
        }
    }

    fn failure(&self, now: Instant) -> Option<&str> {
        let outage = self.outage.as_ref();
        let long =
            outage.filter(|outage| now.saturating_duration_since(outage.since) >= outage.grace);
        long.map(|outage| outage.why.as_str())
    }

    fn state(
        &self,
        source_kind: &SourceKind,
        discovery_error: Option<&str>,
        now: Instant,
    ) -> (ReadState, String) {
        if let Some(why) = discovery_error.filter(|_| self.is_served != Some(true)) {
            let why = format!("API discovery failed: {why}");
            return (ReadState::Unknown, why);
        }
        match self.is_served {
            None => return (ReadState::Unknown, "not discovered yet".into()),
            Some(false) => return (ReadState::Absent, String::new()),
            Some(true) => (),
        }
        if let Some(why) = self.failure(now) {
            return (ReadState::Unknown, why.into());
        }
        if !self.is_synced {
            let why = self.outage.as_ref().map(|outage| outage.why.clone());
            return (
                ReadState::Unknown,
                why.unwrap_or_else(|| "not read yet".into()),
            );
        }
        let mut errors = self
            .objects
            .values()
            .flat_map(|extracted| &extracted.errors);
        if let Some(first) = errors.next() {
            let more = match errors.count() {
                0 => String::new(),
                more => format!("; and {more} more"),
            };
            return (ReadState::Unknown, format!("{first}{more}"));
        }
        if self.objects.is_empty() && matches!(source_kind.selector, Selector::Named(..)) {
            return (ReadState::Absent, String::new());
        }
        let warning = self
            .objects
            .values()
            .flat_map(|extracted| &extracted.warnings)
            .next();
        (ReadState::Read, warning.cloned().unwrap_or_default())
    }
}

/// Whether this source provides such a network.
fn is_of(network: &ReservedNetwork, source_kind: &SourceKind) -> bool {
    let is_object = match source_kind.selector {
        Selector::All => true,
        Selector::Named("", name) => network.object == name,
        Selector::Named(namespace, name) => network.object == format!("{namespace}/{name}"),
        Selector::Labelled(..) => network.source == source_kind.source,
    };
    is_object && network.kind == source_kind.kind_and_group()
}

#[cfg(test)]
mod tests;

//! Pure: what was heard of all sources, and whether that is all there is. What was read once stays in force
//! until it is heard that it is gone, however long nobody can be asked.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use crds::reserved::{ReadState, ReservedNetwork, SourceState};

use crate::{
    address::sources::{ALL, Asked, Said, Which, Writer},
    source::cluster::watch::Key,
};

/// What cannot be asked for so long is not known any more.
const PATIENCE: Duration = Duration::from_secs(30);
/// A watch that failed and went on silently does not tell so: a list, begun anew after so long, does.
const ANEW: Duration = Duration::from_secs(15);
/// A kind that is not found may be about to be gone altogether, which the next look at all kinds says.
const MISSED: Duration = Duration::from_secs(5);
/// How long a message is at most.
const WORDS: usize = 400;

/// One source: what it has said.
#[derive(Debug, Default)]
struct Page {
    /// Whether the API server has such a kind; nobody knows before it was asked.
    is_served: Option<bool>,
    /// Whether all of its objects were heard since.
    is_whole: bool,
    failing: Option<Failing>,
    objects: BTreeMap<Key, Said>,
    /// What a watch that has begun anew has told so far: when its list is whole, nothing else is there.
    told_anew: Option<BTreeSet<Key>>,
}

/// A source cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Failing {
    since: Instant,
    why: String,
    /// For how long that is borne.
    patience: Duration,
    is_begun_anew: bool,
}

/// A word of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// A watch begins, and tells every object.
    Begun,
    /// An object as it is now; `None`: it is gone.
    Object(Key, Option<Said>),
    /// All of its objects have been told.
    Listed,
    /// It cannot be read, and what the API server calls that.
    Failed { why: String, code: u16 },
}

#[derive(Debug)]
pub struct Book {
    pages: Vec<Page>,
    /// Since when the API server does not tell which kinds it has.
    deaf: Option<(Instant, String)>,
    /// What an earlier controller published: it counts for a source that has not been read as a whole yet.
    inherited: Vec<ReservedNetwork>,
}

impl Book {
    pub fn new(inherited: Vec<ReservedNetwork>) -> Self {
        Self {
            pages: ALL.iter().map(Page::of).collect(),
            deaf: None,
            inherited,
        }
    }

    /// Which kinds the API server has, by the number of the source.
    pub fn served(&mut self, at: usize, is_served: bool) {
        let page = &mut self.pages[at];
        if page.is_served == Some(true) && !is_served {
            *page = Page::default();
        }
        page.is_served = Some(is_served);
    }

    /// Whether the API server tells which kinds it has.
    pub fn told_kinds(&mut self, told: Result<(), String>, now: Instant) {
        self.deaf = match (told, self.deaf.take()) {
            (Ok(()), _) => None,
            (Err(why), Some((since, _))) => Some((since, why)),
            (Err(why), None) => Some((now, why)),
        };
    }

    /// Whether anything is otherwise than before.
    pub fn take(&mut self, at: usize, word: Word, now: Instant) -> bool {
        let page = &mut self.pages[at];
        match word {
            Word::Begun => {
                page.told_anew = Some(BTreeSet::new());
                false
            }
            Word::Object(key, said) => {
                page.failing = None;
                let told_anew = page.told_anew.as_mut().filter(|_| said.is_some());
                told_anew.map(|told| told.insert(key.clone()));
                match said.filter(|said| *said != Said::default()) {
                    Some(said) => page.objects.insert(key, said.clone()) != Some(said),
                    None => page.objects.remove(&key).is_some(),
                }
            }
            Word::Listed => {
                page.failing = None;
                let before = page.objects.len();
                if let Some(told) = page.told_anew.take() {
                    page.objects.retain(|key, _| told.contains(key));
                }
                !std::mem::replace(&mut page.is_whole, true) || page.objects.len() != before
            }
            Word::Failed { why, code } => {
                let patience = match code {
                    401 | 403 => Duration::ZERO,
                    404 => MISSED,
                    _ => PATIENCE,
                };
                let before = page.failing.take();
                let mut failing = before.clone().unwrap_or(Failing {
                    since: now,
                    why: String::new(),
                    patience,
                    is_begun_anew: false,
                });
                (failing.why, failing.patience) = (why, patience);
                page.failing = Some(failing);
                page.failing != before
            }
        }
    }

    /// Sources whose watch is to be begun anew; each is told once.
    pub fn stuck(&mut self, now: Instant) -> Vec<usize> {
        let mut stuck = Vec::new();
        for (at, page) in self.pages.iter_mut().enumerate() {
            let failing = page
                .failing
                .as_mut()
                .filter(|failing| !failing.is_begun_anew);
            let is_long = |failing: &&mut Failing| {
                failing.patience >= ANEW && now.saturating_duration_since(failing.since) >= ANEW
            };
            if let Some(failing) = failing.filter(is_long) {
                failing.is_begun_anew = true;
                stuck.push(at);
            }
        }
        stuck
    }

    /// Whether of every source it is known what is to be said of it.
    pub fn is_settled(&self, now: Instant) -> bool {
        self.pages.iter().all(|page| page.is_settled(now))
    }

    pub fn states(&self, now: Instant) -> Vec<SourceState> {
        let pages = ALL.iter().zip(&self.pages);
        let state = |(asked, page): (&Asked, &Page)| {
            let (state, message) = page.state(asked, self.deaf(now), now);
            SourceState {
                source: asked.source,
                asked: asked.told(),
                state,
                message: message.chars().take(WORDS).collect(),
            }
        };
        pages.map(state).collect()
    }

    fn deaf(&self, now: Instant) -> Option<&str> {
        let deaf = self.deaf.as_ref();
        let long = deaf.filter(|(since, _)| now.saturating_duration_since(*since) >= PATIENCE);
        long.map(|(_, why)| why.as_str())
    }

    /// Everything that was passed over.
    pub fn remarks(&self) -> impl Iterator<Item = &String> {
        let said = self.pages.iter().flat_map(|page| page.objects.values());
        said.flat_map(|said| &said.remarks)
    }

    /// All networks, as each source says them; those of tenants apart from others.
    pub fn networks(&self) -> impl Iterator<Item = (&ReservedNetwork, Writer)> {
        let pages = ALL.iter().zip(&self.pages);
        pages.flat_map(|(asked, page)| {
            let said = page.objects.values().flat_map(|said| &said.networks);
            let waits = page.is_served != Some(false) && !page.is_whole;
            let before = self.inherited.iter().filter(move |_| waits);
            let before = before.filter(|network| is_of(network, asked));
            said.chain(before).map(|network| (network, asked.writer))
        })
    }
}

impl Page {
    fn of(asked: &Asked) -> Self {
        Self {
            // What is a part of Kubernetes is there.
            is_served: asked.group.is_empty().then_some(true),
            ..Self::default()
        }
    }

    fn is_settled(&self, now: Instant) -> bool {
        match self.is_served {
            None => false,
            Some(false) => true,
            Some(true) => self.is_whole || self.failure(now).is_some(),
        }
    }

    fn failure(&self, now: Instant) -> Option<&str> {
        let failing = self.failing.as_ref();
        let long = failing
            .filter(|failing| now.saturating_duration_since(failing.since) >= failing.patience);
        long.map(|failing| failing.why.as_str())
    }

    fn state(&self, asked: &Asked, deaf: Option<&str>, now: Instant) -> (ReadState, String) {
        if let Some(why) = deaf.filter(|_| self.is_served != Some(true)) {
            let why = format!("the API server does not tell which kinds it has: {why}");
            return (ReadState::Unknown, why);
        }
        match self.is_served {
            None => return (ReadState::Unknown, "not looked for yet".into()),
            Some(false) => return (ReadState::Absent, String::new()),
            Some(true) => (),
        }
        if let Some(why) = self.failure(now) {
            return (ReadState::Unknown, why.into());
        }
        if !self.is_whole {
            let why = self.failing.as_ref().map(|failing| failing.why.clone());
            return (
                ReadState::Unknown,
                why.unwrap_or_else(|| "not read yet".into()),
            );
        }
        let mut faults = self.objects.values().flat_map(|said| &said.faults);
        if let Some(first) = faults.next() {
            let more = match faults.count() {
                0 => String::new(),
                more => format!("; and {more} more"),
            };
            return (ReadState::Unknown, format!("{first}{more}"));
        }
        if self.objects.is_empty() && matches!(asked.which, Which::Named(..)) {
            return (ReadState::Absent, String::new());
        }
        let remark = self.objects.values().flat_map(|said| &said.remarks).next();
        (ReadState::Read, remark.cloned().unwrap_or_default())
    }
}

/// Whether this source would say such a network.
fn is_of(network: &ReservedNetwork, asked: &Asked) -> bool {
    let is_object = match asked.which {
        Which::All => true,
        Which::Named("", name) => network.object == name,
        Which::Named(namespace, name) => network.object == format!("{namespace}/{name}"),
        Which::Labelled(..) => network.source == asked.source,
    };
    is_object && network.kind == asked.kind_and_group()
}

#[cfg(test)]
mod tests;

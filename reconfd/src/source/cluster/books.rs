//! What is remembered of the watches: which of them has told all there is, and which can not be had.

use std::{collections::BTreeMap, time::Instant};

use crds::{AddressClaim, PeerSlice, PodConfig, PodConfigPolicy, ReservedNetworks};
use kube::{Resource, core::DeserializeGuard, runtime::watcher};

use super::{
    client,
    stores::StoreUpdater,
    watch::{Ledger, News, Said},
};
use crate::{
    address::claims::{ClaimAllocator, claim_meta::ClaimName},
    metrics::Metrics,
    source::{NamespaceMeta, Pod, Trigger},
};

/// What one of the watches said; which of its kind said it, it numbers.
pub enum Heard {
    PodConfig(usize, Said<Guarded<PodConfig>>),
    Policy(usize, Said<Guarded<PodConfigPolicy>>),
    Namespace(usize, Said<NamespaceMeta>),
    Pod(usize, Said<Pod>),
    PeerSlice(usize, Said<Guarded<PeerSlice>>),
    ReservedNetworks(usize, Said<Guarded<ReservedNetworks>>),
    Claim(usize, Said<Guarded<AddressClaim>>),
}

/// One object that nobody can read must not make a whole list unreadable, and so blind the daemon.
pub type Guarded<K> = DeserializeGuard<K>;

const RESERVED_NETWORKS: &str = "reservednetworks";
const PEER_SLICES: &str = "peerslices";
const CLAIMS: &str = "addressclaims";

pub struct Books {
    pub updater: StoreUpdater,
    pub podconfigs: Vec<Ledger>,
    pub policies: Vec<Ledger>,
    pub namespaces: Vec<Ledger>,
    pub pods: Vec<Ledger>,
    pub peer_slices: Vec<Ledger>,
    pub reserved_networks: Vec<Ledger>,
    pub claims: Vec<Ledger>,
    /// Who is told of them.
    pub of_node: ClaimAllocator,
    pub metrics: Metrics,
    /// Kinds whose lists can not be had at the moment, and why.
    pub deaf_to: BTreeMap<&'static str, String>,
}

impl Books {
    /// Applies a watch event to the stores.
    pub fn take(&mut self, heard: Heard) -> Vec<Trigger> {
        match heard {
            Heard::PodConfig(at, said) => {
                let news = self.news("podconfigs", said, |books| &mut books.podconfigs[at]);
                let changes = news.into_iter();
                changes
                    .filter_map(|news| self.updater.podconfig(readable(news)?))
                    .collect()
            }
            Heard::Policy(at, said) => {
                let news = self.news("podconfigpolicies", said, |books| &mut books.policies[at]);
                let changes = news.into_iter();
                changes
                    .filter_map(|news| self.updater.policy(readable(news)?))
                    .collect()
            }
            Heard::Namespace(at, said) => {
                let news = self.news("namespaces", said, |books| &mut books.namespaces[at]);
                let changes = news.into_iter();
                changes
                    .filter_map(|news| self.updater.namespace(news))
                    .collect()
            }
            Heard::Pod(at, said) => {
                let news = self.news("pods", said, |books| &mut books.pods[at]);
                let changes = news.into_iter();
                changes.filter_map(|news| self.updater.pod(news)).collect()
            }
            Heard::PeerSlice(at, said) => {
                let now = Instant::now();
                let news = self.news(PEER_SLICES, said, |books| &mut books.peer_slices[at]);
                let changes = news.into_iter();
                changes
                    .filter_map(|news| self.updater.peer_slice(readable(news)?, now))
                    .collect()
            }
            Heard::ReservedNetworks(at, said) => {
                let news = self.news(RESERVED_NETWORKS, said, |books| {
                    &mut books.reserved_networks[at]
                });
                let changes = news.into_iter();
                changes
                    .filter_map(|news| self.updater.reserved_networks(readable(news)?))
                    .collect()
            }
            Heard::Claim(at, said) => {
                let news = self.news(CLAIMS, said, |books| &mut books.claims[at]);
                news.into_iter().for_each(|news| self.claim(news));
                if self.claims.iter().all(Ledger::is_complete) {
                    self.of_node.set_synced();
                }
                // Whom it concerns, the claims themselves tell.
                Vec::new()
            }
        }
    }

    /// Slices of peers that were deleted and did not come back.
    pub fn expire(&mut self, now: Instant) -> Vec<Trigger> {
        let may_come_back = !self.deaf_to.contains_key(PEER_SLICES);
        self.updater.expire_slices(may_come_back, now)
    }

    fn claim(&self, news: News<Guarded<AddressClaim>>) {
        match readable(news) {
            Some(News::Came(claim)) => self.of_node.applied(claim),
            Some(News::Went((_, name))) => {
                ClaimName::parse(&name)
                    .iter()
                    .for_each(|name| self.of_node.deleted(name));
            }
            None => (),
        }
    }

    fn news<K: Resource>(
        &mut self,
        kind: &'static str,
        said: Said<K>,
        ledger: impl FnOnce(&mut Self) -> &mut Ledger,
    ) -> Vec<News<K>> {
        match said {
            Ok(event) => {
                if self.deaf_to.remove(kind).is_some() {
                    tracing::info!(kind, "heard again");
                }
                ledger(self).take(event)
            }
            Err(error) => {
                self.metrics.watch_restarted(kind);
                self.is_deaf_to(kind, &error);
                Vec::new()
            }
        }
    }

    /// What was known stays in force: a list that can not be had is unknown, and not empty.
    fn is_deaf_to(&mut self, kind: &'static str, error: &watcher::Error) {
        let why = why(error);
        if self.deaf_to.insert(kind, why.clone()).as_ref() != Some(&why) {
            tracing::warn!(kind, "{why}; what was known stays in force");
        }
    }

    /// What was never heard as a whole, in words; none if everything was.
    pub fn missing(&self) -> Option<String> {
        let kinds = [
            ("podconfigs", &self.podconfigs),
            ("podconfigpolicies", &self.policies),
            ("namespaces", &self.namespaces),
            ("pods", &self.pods),
            (PEER_SLICES, &self.peer_slices),
            (RESERVED_NETWORKS, &self.reserved_networks),
            (CLAIMS, &self.claims),
        ];
        let missing = kinds
            .iter()
            .filter(|(_, ledgers)| !ledgers.iter().all(Ledger::is_complete))
            // Where it can not be had, no new address is given out, and everything else goes on.
            .filter(|(kind, _)| {
                ![RESERVED_NETWORKS, CLAIMS].contains(kind) || !self.deaf_to.contains_key(kind)
            });
        let words = missing.map(|(kind, _)| match self.deaf_to.get(kind) {
            Some(why) => format!("{kind} ({why})"),
            None => (*kind).to_owned(),
        });
        let words: Vec<String> = words.collect();
        (!words.is_empty()).then(|| format!("the API has not told all of {}", words.join(", ")))
    }
}

/// Of an object that can not be read, the last version that could be stays in force.
fn readable<K: Resource<DynamicType = ()>>(news: News<Guarded<K>>) -> Option<News<K>> {
    match news {
        News::Came(guarded) => match guarded.0 {
            Ok(object) => Some(News::Came(Box::new(object))),
            Err(invalid) => {
                let (kind, meta) = (K::kind(&()), &invalid.metadata);
                tracing::error!(
                    kind = %kind, namespace = meta.namespace, name = meta.name,
                    "can not be read, and what was known of it stays in force: {}", invalid.error
                );
                None
            }
        },
        News::Went(key) => Some(News::Went(key)),
    }
}

/// Why a list or a watch can not be had.
pub fn why(error: &watcher::Error) -> String {
    use watcher::Error::{InitialListFailed, WatchFailed, WatchStartFailed};
    match error {
        InitialListFailed(cause) | WatchStartFailed(cause) | WatchFailed(cause) => {
            client::refusal(cause)
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;

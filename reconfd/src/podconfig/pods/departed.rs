//! Pods whose last record went a while ago, as the record of a sandbox does that ends. Their objects say later
//! that they have completed, or never: a sandbox may be made anew.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// The kubelet writes that a pod has completed when its sandbox has ended; a slow API gets its time.
const KEPT: Duration = Duration::from_secs(60);

/// The last record of a pod.
#[derive(Debug)]
pub struct Record {
    pub record: Arc<cni_plugin::record::Record>,
    /// When it went.
    pub at: Instant,
}

#[derive(Debug, Default)]
pub struct Departed {
    by_uid: HashMap<String, Record>,
    /// How many there may be before those whose time is over are taken out: of many that go at once, each must
    /// not look at all others.
    most: usize,
}

impl Departed {
    pub fn add(&mut self, uid: String, record: Arc<cni_plugin::record::Record>, at: Instant) {
        if self.by_uid.len() >= self.most {
            self.by_uid
                .retain(|_, departed| at.saturating_duration_since(departed.at) < KEPT);
            self.most = 2 * self.by_uid.len() + 64;
        }
        self.by_uid.insert(uid, Record { record, at });
    }

    pub fn is_back(&mut self, uid: &str) {
        self.by_uid.remove(uid);
    }

    pub fn get(&self, uid: &str, now: Instant) -> Option<&Record> {
        let departed = self.by_uid.get(uid)?;
        (now.saturating_duration_since(departed.at) < KEPT).then_some(departed)
    }
}

//! Pods whose last record was deleted recently, as it is when a sandbox ends. Their objects show
//! the completion later, or never if the sandbox is recreated.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// The kubelet reports completion after the sandbox has ended; a slow API gets time.
const KEPT: Duration = Duration::from_secs(60);

/// The last record of a pod.
#[derive(Debug)]
pub struct Record {
    pub record: Arc<sandbox_record::Record>,
    /// When it was deleted.
    pub at: Instant,
}

#[derive(Debug, Default)]
pub struct Departed {
    by_uid: HashMap<String, Record>,
    /// Number of entries above which expired ones are dropped: of many pods that go at once, each
    /// must not scan all others.
    most: usize,
}

impl Departed {
    pub fn add(&mut self, uid: String, record: Arc<sandbox_record::Record>, at: Instant) {
        if self.by_uid.len() >= self.most {
            self.by_uid
                .retain(|_, departed| at.saturating_duration_since(departed.at) < KEPT);
            self.most = 2 * self.by_uid.len() + 64;
        }
        self.by_uid.insert(uid, Record { record, at });
    }

    pub fn remove(&mut self, uid: &str) {
        self.by_uid.remove(uid);
    }

    pub fn get(&self, uid: &str, now: Instant) -> Option<&Record> {
        let departed = self.by_uid.get(uid)?;
        (now.saturating_duration_since(departed.at) < KEPT).then_some(departed)
    }
}

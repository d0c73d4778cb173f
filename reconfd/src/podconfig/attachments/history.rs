//! Pure: since when each link is attached, for Events: what is new in a pass, and what has gone.

use std::{collections::HashMap, time::SystemTime};

use attachments::{
    entry::{Entry, Phase},
    status::LinkState,
};

/// The links of each pod that were seen as attached: their ifindex, and since when; `None`: since before this daemon.
#[derive(Debug, Default)]
pub struct History(HashMap<String, HashMap<String, Attached>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Attached {
    ifindex: Option<u32>,
    since: Option<SystemTime>,
}

impl History {
    /// What was attached when the daemon started.
    pub fn of(stored: Vec<Entry>) -> Self {
        let mut history = Self::default();
        for entry in stored
            .into_iter()
            .filter(|entry| entry.phase == Phase::Attached)
        {
            let attached = Attached {
                ifindex: entry.facts.ifindex,
                since: None,
            };
            let pod = history.0.entry(entry.pod.uid).or_default();
            pod.insert(entry.chain.ifname, attached);
        }
        history
    }

    /// Since when a link is attached; `None`: it is not, or since before this daemon.
    pub fn since(
        &mut self,
        uid: &str,
        name: &str,
        state: &LinkState,
        now: SystemTime,
    ) -> Option<SystemTime> {
        let LinkState::Attached { entry, .. } = state else {
            return None;
        };
        let ifindex = entry.facts.ifindex;
        let pod = self.0.entry(uid.to_owned()).or_default();
        match pod.get(name) {
            Some(known) if known.ifindex == ifindex => known.since,
            _ => {
                let since = Some(now);
                pod.insert(name.to_owned(), Attached { ifindex, since });
                since
            }
        }
    }

    /// Names of links that were attached, and of which nothing is stored any more. Each is returned once.
    pub fn removed(&mut self, uid: &str, stored: &[Entry]) -> Vec<String> {
        let Some(pod) = self.0.get_mut(uid) else {
            return Vec::new();
        };
        let is_stored = |name: &String| stored.iter().any(|entry| entry.chain.ifname == *name);
        let gone: Vec<String> = pod
            .keys()
            .filter(|name| !is_stored(name))
            .cloned()
            .collect();
        pod.retain(|name, _| is_stored(name));
        gone
    }

    /// A pod has ended.
    pub fn forget(&mut self, uid: &str) {
        self.0.remove(uid);
    }
}

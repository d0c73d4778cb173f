//! Which pod is next: one operation per pod, a bound over all, and shares so that a chain that hangs delays no other
//! namespace.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::Instant,
};

/// Pods to look at. A pod is in it once, and is not returned again while its operation runs.
#[derive(Debug)]
pub struct Queue {
    parallel: usize,
    lanes: BTreeMap<String, Lane>,
    delayed: BTreeSet<(Instant, String)>,
    pods: HashMap<String, Place>,
    running: usize,
    running_suspects: usize,
    /// Counts what was returned, for turns.
    turn: u64,
}

/// The pods of one namespace.
#[derive(Debug, Default)]
struct Lane {
    members: usize,
    running: usize,
    last_turn: u64,
    ready: VecDeque<String>,
    /// Pods whose newest chain ran into a limit.
    suspects: VecDeque<String>,
}

#[derive(Debug)]
struct Place {
    namespace: String,
    is_suspect: bool,
    /// Whether the operation that runs counts as a suspect's.
    running: Option<bool>,
    wait: Wait,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Idle,
    Ready,
    Until(Instant),
}

impl Queue {
    pub fn new(parallel: usize) -> Self {
        Self {
            parallel: parallel.max(1),
            lanes: BTreeMap::new(),
            delayed: BTreeSet::new(),
            pods: HashMap::new(),
            running: 0,
            running_suspects: 0,
            turn: 0,
        }
    }

    /// Enqueues a pod at once.
    pub fn add(&mut self, uid: &str, namespace: &str) {
        self.place(uid, namespace);
        self.enqueue(uid);
    }

    /// Enqueues a pod for this time. An earlier time of the same pod wins.
    pub fn add_at(&mut self, uid: &str, at: Instant) {
        let Some(place) = self.pods.get_mut(uid) else {
            return;
        };
        match place.wait {
            Wait::Ready => return,
            Wait::Until(before) if before <= at => return,
            Wait::Until(before) => {
                self.delayed.remove(&(before, uid.to_owned()));
            }
            Wait::Idle => {}
        }
        place.wait = Wait::Until(at);
        self.delayed.insert((at, uid.to_owned()));
    }

    /// States whether the pod's newest chain ran into a limit.
    pub fn set_suspect(&mut self, uid: &str, is_suspect: bool) {
        if let Some(place) = self.pods.get_mut(uid) {
            place.is_suspect = is_suspect;
        }
    }

    /// Drops a pod that has nothing stored and nothing requested.
    pub fn remove(&mut self, uid: &str) {
        let Some(place) = self.pods.remove(uid) else {
            return;
        };
        if let Wait::Until(at) = place.wait {
            self.delayed.remove(&(at, uid.to_owned()));
        }
        if let Some(lane) = self.lanes.get_mut(&place.namespace) {
            lane.ready.retain(|other| other != uid);
            lane.suspects.retain(|other| other != uid);
            lane.members -= 1;
            if lane.members == 0 {
                self.lanes.remove(&place.namespace);
            }
        }
    }

    /// The next pod, whose operation runs until [`Self::done`].
    pub fn pop(&mut self, now: Instant) -> Option<String> {
        self.wake(now);
        if self.running >= self.parallel {
            return None;
        }
        let namespace = self.best_lane()?;
        self.turn += 1;
        let turn = self.turn;
        let lane = self.lanes.get_mut(&namespace)?;
        let is_suspect = lane.ready.is_empty();
        let uid = match is_suspect {
            true => lane.suspects.pop_front(),
            false => lane.ready.pop_front(),
        }?;
        lane.running += 1;
        lane.last_turn = turn;
        self.running += 1;
        self.running_suspects += usize::from(is_suspect);
        let place = self.pods.get_mut(&uid)?;
        place.wait = Wait::Idle;
        place.running = Some(is_suspect);
        Some(uid)
    }

    /// Ends a pod's operation. It is enqueued again if it was meanwhile.
    pub fn done(&mut self, uid: &str) {
        let Some(place) = self.pods.get_mut(uid) else {
            return;
        };
        let Some(is_suspect) = place.running.take() else {
            return;
        };
        let is_ready = place.wait == Wait::Ready;
        if let Some(lane) = self.lanes.get_mut(&place.namespace) {
            lane.running -= 1;
        }
        self.running -= 1;
        self.running_suspects -= usize::from(is_suspect);
        if is_ready {
            self.line_up(uid);
        }
    }

    /// When a delayed pod is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.delayed.first().map(|(at, _)| *at)
    }

    fn place(&mut self, uid: &str, namespace: &str) {
        if self.pods.contains_key(uid) {
            return;
        }
        let place = Place {
            namespace: namespace.to_owned(),
            is_suspect: false,
            running: None,
            wait: Wait::Idle,
        };
        self.pods.insert(uid.to_owned(), place);
        self.lanes.entry(namespace.to_owned()).or_default().members += 1;
    }

    fn wake(&mut self, now: Instant) {
        while self.delayed.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, uid)) = self.delayed.pop_first() else {
                return;
            };
            self.enqueue(&uid);
        }
    }

    fn enqueue(&mut self, uid: &str) {
        let Some(place) = self.pods.get_mut(uid) else {
            return;
        };
        match place.wait {
            Wait::Ready => return,
            Wait::Until(at) => {
                self.delayed.remove(&(at, uid.to_owned()));
            }
            Wait::Idle => {}
        }
        place.wait = Wait::Ready;
        if place.running.is_none() {
            self.line_up(uid);
        }
    }

    fn line_up(&mut self, uid: &str) {
        let Some(place) = self.pods.get(uid) else {
            return;
        };
        let lane = self.lanes.entry(place.namespace.clone()).or_default();
        match place.is_suspect {
            true => lane.suspects.push_back(uid.to_owned()),
            false => lane.ready.push_back(uid.to_owned()),
        }
    }

    /// The namespace whose turn it is: pods that did not run into a limit first, then the namespace with the fewest
    /// operations, then the one that has waited longest.
    fn best_lane(&self) -> Option<String> {
        let may_suspect = self.running_suspects < (self.parallel / 2).max(1);
        let lanes = self.lanes.iter().filter(|(_, lane)| {
            let has_pods = !lane.ready.is_empty() || (may_suspect && !lane.suspects.is_empty());
            has_pods && lane.running < self.share()
        });
        let best =
            lanes.min_by_key(|(_, lane)| (lane.ready.is_empty(), lane.running, lane.last_turn));
        best.map(|(namespace, _)| namespace.clone())
    }

    /// One of several namespaces never has all: what hangs in it leaves one to the others.
    fn share(&self) -> usize {
        match self.lanes.len() {
            0 | 1 => self.parallel,
            _ => (self.parallel - 1).max(1),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

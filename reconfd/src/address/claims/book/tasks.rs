//! Pure: errands, and when each is due.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::super::{errand::Errand, paper::Name};

/// After a failure or a refusal the next try comes so soon, and each further one after twice the time.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Which errand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// Whom it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// A link of a pod, by uid and name.
    Wish(String, String),
    /// Whether a claim, or its pod, is there.
    Claim(Name),
    /// A claim that is given back.
    Release(Name),
}

#[derive(Default)]
pub struct Tasks {
    last: u64,
    tasks: BTreeMap<Ticket, Task>,
}

pub struct Task {
    pub about: About,
    /// None while somebody does it.
    errand: Option<Errand>,
    due: Instant,
    tries: u32,
    /// Nobody wants it any more.
    pub is_cancelled: bool,
}

impl Tasks {
    pub fn put(&mut self, about: About, errand: Errand, due: Instant) -> Ticket {
        self.last += 1;
        let task = Task {
            about,
            errand: Some(errand),
            due,
            tries: 0,
            is_cancelled: false,
        };
        self.tasks.insert(Ticket(self.last), task);
        Ticket(self.last)
    }

    /// Unless there is one already.
    pub fn put_once(&mut self, about: About, errand: Errand, due: Instant) {
        if !self.has(&about) {
            self.put(about, errand, due);
        }
    }

    /// What is due, the oldest first.
    pub fn take(&mut self, now: Instant, most: usize) -> Vec<(Ticket, Errand)> {
        let mut due: Vec<(Instant, Ticket)> = self
            .tasks
            .iter()
            .filter(|(_, task)| task.errand.is_some() && task.due <= now)
            .map(|(ticket, task)| (task.due, *ticket))
            .collect();
        due.sort_unstable();
        due.truncate(most);
        let taken = due.into_iter().filter_map(|(_, ticket)| {
            let errand = self.tasks.get_mut(&ticket)?.errand.take()?;
            Some((ticket, errand))
        });
        taken.collect()
    }

    pub fn next_due(&self) -> Option<Instant> {
        let idle = self.tasks.values().filter(|task| task.errand.is_some());
        idle.map(|task| task.due).min()
    }

    pub fn get(&self, ticket: Ticket) -> Option<&Task> {
        self.tasks.get(&ticket)
    }

    /// It is done for good.
    pub fn remove(&mut self, ticket: Ticket) -> Option<Task> {
        self.tasks.remove(&ticket)
    }

    /// It is to be done again after a while; `pointless`: for so long nothing can come of it.
    pub fn put_back(&mut self, ticket: Ticket, errand: Errand, now: Instant, pointless: Duration) {
        if let Some(task) = self.tasks.get_mut(&ticket) {
            let wait = FIRST_WAIT * 2u32.saturating_pow(task.tries.min(16));
            task.errand = Some(errand);
            task.due = now + LONGEST_WAIT.min(wait.max(pointless));
            task.tries += 1;
        }
    }

    /// At once, and if it fails, soon again.
    pub fn wake(&mut self, ticket: Ticket, now: Instant) {
        if let Some(task) = self.tasks.get_mut(&ticket) {
            task.due = now;
            task.tries = 0;
        }
    }

    pub fn is_running(&self, ticket: Ticket) -> bool {
        self.tasks
            .get(&ticket)
            .is_some_and(|task| task.errand.is_none())
    }

    pub fn cancel(&mut self, ticket: Ticket) {
        match self.is_running(ticket) {
            true => {
                if let Some(task) = self.tasks.get_mut(&ticket) {
                    task.is_cancelled = true;
                }
            }
            false => drop(self.tasks.remove(&ticket)),
        }
    }

    /// Whether there is any for this.
    pub fn has(&self, about: &About) -> bool {
        self.tasks.values().any(|task| task.about == *about)
    }

    /// All for this: what is not under way is dropped, and what is counts for nothing more.
    pub fn cancel_all(&mut self, about: &About) {
        let of_it = self.tasks.iter().filter(|(_, task)| task.about == *about);
        let of_it: Vec<Ticket> = of_it.map(|(ticket, _)| *ticket).collect();
        of_it.into_iter().for_each(|ticket| self.cancel(ticket));
    }

    /// Drops what nobody does at the moment.
    pub fn drop_idle(&mut self, about: &About) {
        self.tasks
            .retain(|_, task| task.about != *about || task.errand.is_none());
    }

    /// Whether there is something for this, and none of it was ever begun.
    pub fn is_untouched(&self, about: &About) -> bool {
        let mut of_it = self.tasks.values().filter(|task| task.about == *about);
        self.has(about) && of_it.all(|task| task.errand.is_some() && task.tries == 0)
    }
}

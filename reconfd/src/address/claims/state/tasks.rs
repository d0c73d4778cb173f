//! Pure: errands, and when each is due.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::super::{claim_meta::ClaimName, operation::ClaimOperation};

/// After a failure or a refusal the next try comes so soon, and each further one after twice the time.
const MIN_BACKOFF: Duration = Duration::from_millis(250);
const MAX_BACKOFF: Duration = Duration::from_secs(10);

/// Which errand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(u64);

/// Whom it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskKey {
    /// A link of a pod, by uid and name.
    Acquire(String, String),
    /// Whether a claim, or its pod, is there.
    Verify(ClaimName),
    /// A claim that is given back.
    Release(ClaimName),
}

#[derive(Default)]
pub struct Tasks {
    last: u64,
    tasks: BTreeMap<TaskId, Task>,
}

pub struct Task {
    pub task_key: TaskKey,
    /// None while somebody does it.
    operation: Option<ClaimOperation>,
    due: Instant,
    tries: u32,
    /// Nobody wants it any more.
    pub is_cancelled: bool,
}

impl Tasks {
    pub fn add(&mut self, task_key: TaskKey, operation: ClaimOperation, due: Instant) -> TaskId {
        self.last += 1;
        let task = Task {
            task_key,
            operation: Some(operation),
            due,
            tries: 0,
            is_cancelled: false,
        };
        self.tasks.insert(TaskId(self.last), task);
        TaskId(self.last)
    }

    /// Unless there is one already.
    pub fn add_once(&mut self, task_key: TaskKey, operation: ClaimOperation, due: Instant) {
        if !self.has(&task_key) {
            self.add(task_key, operation, due);
        }
    }

    /// What is due, the oldest first.
    pub fn take_due(&mut self, now: Instant, most: usize) -> Vec<(TaskId, ClaimOperation)> {
        let mut due: Vec<(Instant, TaskId)> = self
            .tasks
            .iter()
            .filter(|(_, task)| task.operation.is_some() && task.due <= now)
            .map(|(id, task)| (task.due, *id))
            .collect();
        due.sort_unstable();
        due.truncate(most);
        let taken = due.into_iter().filter_map(|(_, id)| {
            let operation = self.tasks.get_mut(&id)?.operation.take()?;
            Some((id, operation))
        });
        taken.collect()
    }

    pub fn next_due(&self) -> Option<Instant> {
        let idle = self.tasks.values().filter(|task| task.operation.is_some());
        idle.map(|task| task.due).min()
    }

    pub fn get(&self, id: TaskId) -> Option<&Task> {
        self.tasks.get(&id)
    }

    /// It is done for good.
    pub fn remove(&mut self, id: TaskId) -> Option<Task> {
        self.tasks.remove(&id)
    }

    /// It is to be done again after a while; `min_delay`: for so long nothing can come of it.
    pub fn requeue(
        &mut self,
        id: TaskId,
        operation: ClaimOperation,
        now: Instant,
        min_delay: Duration,
    ) {
        if let Some(task) = self.tasks.get_mut(&id) {
            let wait = MIN_BACKOFF * 2u32.saturating_pow(task.tries.min(16));
            task.operation = Some(operation);
            task.due = now + MAX_BACKOFF.min(wait.max(min_delay));
            task.tries += 1;
        }
    }

    /// At once, and if it fails, soon again.
    pub fn wake(&mut self, id: TaskId, now: Instant) {
        if let Some(task) = self.tasks.get_mut(&id) {
            task.due = now;
            task.tries = 0;
        }
    }

    pub fn is_running(&self, id: TaskId) -> bool {
        self.tasks
            .get(&id)
            .is_some_and(|task| task.operation.is_none())
    }

    pub fn cancel(&mut self, id: TaskId) {
        match self.is_running(id) {
            true => {
                if let Some(task) = self.tasks.get_mut(&id) {
                    task.is_cancelled = true;
                }
            }
            false => drop(self.tasks.remove(&id)),
        }
    }

    /// Whether there is any for this.
    pub fn has(&self, task_key: &TaskKey) -> bool {
        self.tasks.values().any(|task| task.task_key == *task_key)
    }

    /// All for this: what is not under way is dropped, and what is counts for nothing more.
    pub fn cancel_all(&mut self, task_key: &TaskKey) {
        let of_it = self
            .tasks
            .iter()
            .filter(|(_, task)| task.task_key == *task_key);
        let of_it: Vec<TaskId> = of_it.map(|(id, _)| *id).collect();
        of_it.into_iter().for_each(|id| self.cancel(id));
    }

    /// Drops what nobody does at the moment.
    pub fn drop_idle(&mut self, task_key: &TaskKey) {
        self.tasks
            .retain(|_, task| task.task_key != *task_key || task.operation.is_none());
    }

    /// Whether there is something for this, and none of it was ever begun.
    pub fn is_unstarted(&self, task_key: &TaskKey) -> bool {
        let mut of_it = self
            .tasks
            .values()
            .filter(|task| task.task_key == *task_key);
        self.has(task_key) && of_it.all(|task| task.operation.is_some() && task.tries == 0)
    }
}

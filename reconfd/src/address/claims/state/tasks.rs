//! Pure: the operations, and when each is due.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use workqueue::{Attempts, Backoff};

use super::super::{claim_meta::ClaimName, operation::ClaimOperation};

/// Longest delay after a failure or refusal.
const MAX_BACKOFF: Duration = Duration::from_secs(10);
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(250), MAX_BACKOFF);

/// Identifies a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(u64);

/// What a task is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskKey {
    /// A link of a pod, by uid and name.
    Acquire(String, String),
    /// Existence of a claim or of its pod.
    Verify(ClaimName),
    /// The release of a claim.
    Release(ClaimName),
}

#[derive(Default)]
pub struct Tasks {
    last: u64,
    tasks: BTreeMap<TaskId, Task>,
}

pub struct Task {
    pub task_key: TaskKey,
    /// `None` while it runs.
    operation: Option<ClaimOperation>,
    due: Instant,
    attempts: Attempts,
    /// The result is no longer needed.
    pub is_cancelled: bool,
}

impl Tasks {
    pub fn add(&mut self, task_key: TaskKey, operation: ClaimOperation, due: Instant) -> TaskId {
        self.last += 1;
        let task = Task {
            task_key,
            operation: Some(operation),
            due,
            attempts: Attempts::default(),
            is_cancelled: false,
        };
        self.tasks.insert(TaskId(self.last), task);
        TaskId(self.last)
    }

    /// Adds the operation, unless there is one for this key.
    pub fn add_once(&mut self, task_key: TaskKey, operation: ClaimOperation, due: Instant) {
        if !self.has(&task_key) {
            self.add(task_key, operation, due);
        }
    }

    /// Takes due operations, the oldest first.
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

    /// Removes a finished task.
    pub fn remove(&mut self, id: TaskId) -> Option<Task> {
        self.tasks.remove(&id)
    }

    /// Schedules another attempt with backoff, but not before `min_delay`.
    pub fn requeue(
        &mut self,
        id: TaskId,
        operation: ClaimOperation,
        now: Instant,
        min_delay: Duration,
    ) {
        if let Some(task) = self.tasks.get_mut(&id) {
            let delay = task.attempts.failed(&BACKOFF, now).max(min_delay);
            task.operation = Some(operation);
            task.due = now + delay.min(MAX_BACKOFF);
        }
    }

    /// Makes it due now and resets its backoff.
    pub fn wake(&mut self, id: TaskId, now: Instant) {
        if let Some(task) = self.tasks.get_mut(&id) {
            task.due = now;
            task.attempts.reset();
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

    /// Whether there is a task for this key.
    pub fn has(&self, task_key: &TaskKey) -> bool {
        self.tasks.values().any(|task| task.task_key == *task_key)
    }

    /// Cancels all tasks for this key: idle ones are removed, the results of running ones are ignored.
    pub fn cancel_all(&mut self, task_key: &TaskKey) {
        let of_it = self
            .tasks
            .iter()
            .filter(|(_, task)| task.task_key == *task_key);
        let of_it: Vec<TaskId> = of_it.map(|(id, _)| *id).collect();
        of_it.into_iter().for_each(|id| self.cancel(id));
    }

    /// Removes the tasks for this key that are not running.
    pub fn drop_idle(&mut self, task_key: &TaskKey) {
        self.tasks
            .retain(|_, task| task.task_key != *task_key || task.operation.is_none());
    }

    /// Whether there are tasks for this key, and none of them was ever started.
    pub fn is_unstarted(&self, task_key: &TaskKey) -> bool {
        let mut of_it = self
            .tasks
            .values()
            .filter(|task| task.task_key == *task_key);
        self.has(task_key)
            && of_it.all(|task| task.operation.is_some() && !task.attempts.has_failed())
    }
}

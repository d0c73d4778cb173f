//! Pure: the operations, and when each is due.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use workqueue::{Backoff, Outcome, WorkQueue};

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

pub struct Tasks {
    last: u64,
    tasks: BTreeMap<TaskId, Task>,
    queue: WorkQueue<TaskId>,
}

pub struct Task {
    pub task_key: TaskKey,
    /// `None` while it runs.
    operation: Option<ClaimOperation>,
    /// The result is no longer needed.
    pub is_cancelled: bool,
}

impl Default for Tasks {
    fn default() -> Self {
        Self {
            last: 0,
            tasks: BTreeMap::new(),
            queue: WorkQueue::new(Duration::ZERO, BACKOFF),
        }
    }
}

impl Tasks {
    pub fn add(&mut self, task_key: TaskKey, operation: ClaimOperation, due: Instant) -> TaskId {
        self.last += 1;
        let task = Task {
            task_key,
            operation: Some(operation),
            is_cancelled: false,
        };
        let id = TaskId(self.last);
        self.tasks.insert(id, task);
        self.queue.add(id, due);
        id
    }

    /// Adds the operation, unless there is one for this key.
    pub fn add_once(&mut self, task_key: TaskKey, operation: ClaimOperation, due: Instant) {
        if !self.has(&task_key) {
            self.add(task_key, operation, due);
        }
    }

    /// Takes due operations, the oldest first.
    pub fn take_due(&mut self, now: Instant, most: usize) -> Vec<(TaskId, ClaimOperation)> {
        let due = std::iter::from_fn(|| {
            let id = self.queue.pop(now)?;
            let operation = self.tasks.get_mut(&id)?.operation.take()?;
            Some((id, operation))
        });
        due.take(most).collect()
    }

    pub fn next_due(&self) -> Option<Instant> {
        self.queue.next_due()
    }

    pub fn get(&self, id: TaskId) -> Option<&Task> {
        self.tasks.get(&id)
    }

    /// Removes a finished task.
    pub fn remove(&mut self, id: TaskId) -> Option<Task> {
        self.queue.remove(&id);
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
            task.operation = Some(operation);
            let outcome = Outcome::Failed(Some(min_delay.min(MAX_BACKOFF)));
            self.queue.done(&id, outcome, now);
        }
    }

    /// Makes it due now and resets its backoff.
    pub fn wake(&mut self, id: TaskId, now: Instant) {
        if self.tasks.contains_key(&id) {
            self.queue.expedite(id, now);
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
            false => drop(self.remove(id)),
        }
    }

    /// Whether there is a task for this key.
    pub fn has(&self, task_key: &TaskKey) -> bool {
        self.of(task_key).next().is_some()
    }

    /// Cancels all tasks for this key: idle ones are removed, the results of running ones are ignored.
    pub fn cancel_all(&mut self, task_key: &TaskKey) {
        let of_it: Vec<TaskId> = self.of(task_key).map(|(id, _)| *id).collect();
        of_it.into_iter().for_each(|id| self.cancel(id));
    }

    /// Removes the tasks for this key that are not running.
    pub fn drop_idle(&mut self, task_key: &TaskKey) {
        let idle = self
            .of(task_key)
            .filter(|(_, task)| task.operation.is_some());
        let idle: Vec<TaskId> = idle.map(|(id, _)| *id).collect();
        for id in idle {
            self.remove(id);
        }
    }

    /// Whether there are tasks for this key, and none of them was ever started.
    pub fn is_unstarted(&self, task_key: &TaskKey) -> bool {
        let is_unstarted =
            |id: &TaskId, task: &Task| task.operation.is_some() && !self.queue.has_failed(id);
        self.has(task_key) && self.of(task_key).all(|(id, task)| is_unstarted(id, task))
    }

    fn of(&self, task_key: &TaskKey) -> impl Iterator<Item = (&TaskId, &Task)> {
        let all = self.tasks.iter();
        all.filter(move |(_, task)| task.task_key == *task_key)
    }
}

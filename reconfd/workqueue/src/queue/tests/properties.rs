//! Whatever happens in whatever order: no key is lost, doubled or worked on too early.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Operation {
    Add(u8, u64),
    Pop,
    Done(u8, Outcome),
    Forget(u8),
    Prune,
    /// Milliseconds pass.
    Pass(u64),
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let key = 0..4_u8;
    let outcome = prop_oneof![
        Just(Outcome::Unchanged),
        Just(Outcome::Changed),
        prop::option::of(0..5_000_u64)
            .prop_map(|delay| Outcome::Failed(delay.map(Duration::from_millis))),
    ];
    let operation = prop_oneof![
        3 => (key.clone(), 0..3_000_u64).prop_map(|(key, delay)| Operation::Add(key, delay)),
        3 => Just(Operation::Pop),
        3 => (key.clone(), outcome).prop_map(|(key, outcome)| Operation::Done(key, outcome)),
        1 => key.prop_map(Operation::Forget),
        1 => Just(Operation::Prune),
        3 => (0..2_000_u64).prop_map(Operation::Pass),
    ];
    prop::collection::vec(operation, 0..80)
}

/// What must hold of one key, by what has been done with the queue.
#[derive(Default)]
struct Expected {
    /// The work that was added and not begun since is due at this time at the latest, but for
    /// `not_before`.
    added: Option<Instant>,
    not_before: Option<Instant>,
    is_running: bool,
}

struct Run {
    queue: WorkQueue<u8>,
    keys: BTreeMap<u8, Expected>,
    now: Instant,
}

impl Run {
    fn new() -> Self {
        Self {
            queue: WorkQueue::new(MIN_INTERVAL, Backoff::new(FIRST, MAX)),
            keys: (0..4).map(|key| (key, Expected::default())).collect(),
            now: Instant::now(),
        }
    }

    fn step(&mut self, operation: &Operation) {
        let now = self.now;
        match operation {
            Operation::Add(key, delay) => {
                let at = now + Duration::from_millis(*delay);
                self.queue.add(*key, at);
                let added = &mut self.keys.get_mut(key).unwrap().added;
                *added = Some(added.map_or(at, |added| added.min(at)));
            }
            Operation::Pop => drop(self.pop()),
            Operation::Done(key, outcome) => self.done(*key, *outcome),
            Operation::Forget(key) => {
                self.queue.forget(key);
                let expected = self.keys.get_mut(key).unwrap();
                (expected.added, expected.not_before) = (None, None);
            }
            Operation::Prune => self.queue.prune(now),
            Operation::Pass(milliseconds) => self.now += Duration::from_millis(*milliseconds),
        }
    }

    fn pop(&mut self) -> Option<u8> {
        let key = self.queue.pop(self.now)?;
        let expected = self.keys.get_mut(&key).unwrap();
        assert!(!expected.is_running, "{key} is begun twice");
        assert!(
            expected.added.is_some_and(|added| added <= self.now),
            "{key} is too early"
        );
        assert!(
            expected.not_before.is_none_or(|at| at <= self.now),
            "{key} is too early"
        );
        (expected.added, expected.is_running) = (None, true);
        Some(key)
    }

    fn done(&mut self, key: u8, outcome: Outcome) {
        let expected = self.keys.get_mut(&key).unwrap();
        if !std::mem::take(&mut expected.is_running) {
            return;
        }
        self.queue.done(&key, outcome, self.now);
        match outcome {
            Outcome::Unchanged => (),
            Outcome::Changed => expected.not_before = Some(self.now + MIN_INTERVAL),
            Outcome::Failed(requested) => {
                let earliest = self.now + FIRST.max(requested.unwrap_or_default());
                (expected.added, expected.not_before) = (Some(earliest), Some(earliest));
            }
        }
    }

    /// Ends what runs; then every key that was added comes, and no other.
    fn drain(&mut self) {
        (0..4).for_each(|key| self.done(key, Outcome::Unchanged));
        let added = self
            .keys
            .iter()
            .filter(|(_, expected)| expected.added.is_some());
        let added: Vec<u8> = added.map(|(key, _)| *key).collect();
        assert_eq!(self.queue.len(), added.len());
        self.now += Duration::from_secs(3600);
        let mut popped: Vec<u8> = std::iter::from_fn(|| self.pop()).collect();
        popped.sort_unstable();
        assert_eq!(popped, added);
    }
}

proptest! {
    #[test]
    fn no_key_is_lost_doubled_or_early(operations in operations()) {
        let mut run = Run::new();
        for operation in &operations {
            run.step(operation);
            let queued = run.keys.values().filter(|expected| !expected.is_running && expected.added.is_some());
            prop_assert_eq!(run.queue.next_due().is_some(), queued.count() > 0);
        }
        run.drain();
    }
}

//! Steps that take longer than a pass may: each runs on a thread of its own, its end is an event
//! that enqueues its pod, and nothing else waits for it.

use std::{collections::HashSet, hash::Hash, io, sync::mpsc, thread};

use store::Trigger;

use super::EventSender;

/// The steps that are in progress, and the results that no pass has taken yet. A pod's
/// end stops no step: its result is dropped.
pub struct SlowSteps<K, R> {
    events: EventSender,
    sender: mpsc::Sender<(K, R)>,
    results: mpsc::Receiver<(K, R)>,
    in_progress: HashSet<K>,
}

impl<K, R> SlowSteps<K, R>
where
    K: Clone + Eq + Hash + Send + 'static,
    R: Send + 'static,
{
    pub fn new(events: EventSender) -> Self {
        let (sender, results) = mpsc::channel();
        Self {
            events,
            sender,
            results,
            in_progress: HashSet::new(),
        }
    }

    /// Starts a step, unless it is in progress. Its end enqueues the pod `uid`.
    pub fn start(
        &mut self,
        (key, uid): (K, &str),
        step: impl FnOnce() -> R + Send + 'static,
    ) -> io::Result<()> {
        if !self.in_progress.insert(key.clone()) {
            return Ok(());
        }
        let (sender, events) = (self.sender.clone(), self.events.clone());
        let (ended, trigger) = (key.clone(), Trigger::StepEnded(uid.to_owned()));
        let thread = thread::Builder::new().name("step".into()).spawn(move || {
            let result = step();
            // A reconciler that has ended needs no result.
            let _ = sender.send((ended, result));
            events.send(trigger);
        });
        match thread {
            Ok(_) => Ok(()),
            Err(error) => {
                self.in_progress.remove(&key);
                Err(error)
            }
        }
    }

    /// Takes the results of all steps that have ended.
    pub fn take(&mut self) -> Vec<(K, R)> {
        let ended: Vec<(K, R)> = self.results.try_iter().collect();
        for (key, _) in &ended {
            self.in_progress.remove(key);
        }
        ended
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{super::event_queue, *};

    #[test]
    fn a_step_runs_once_at_a_time_and_its_end_is_an_event_of_its_pod() {
        let (events, receiver) = event_queue().unwrap();
        let mut steps = SlowSteps::new(events);
        let (go, gate) = mpsc::channel::<()>();
        steps
            .start(("k", "u"), move || gate.recv().is_ok())
            .unwrap();
        steps.start(("k", "u"), || false).unwrap();
        assert_eq!(steps.take(), []);
        go.send(()).unwrap();
        let trigger = receiver.triggers.recv().unwrap();
        assert_eq!(trigger, Trigger::StepEnded("u".into()));
        assert_eq!(steps.take(), [("k", true)]);
        // The second one was not started beside it, and may be now.
        assert!(receiver.triggers.try_recv().is_err());
        steps.start(("k", "u"), || false).unwrap();
        receiver.triggers.recv().unwrap();
        assert_eq!(steps.take(), [("k", false)]);
    }
}

use std::time::Duration;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Act {
    Add(usize),
    AddLater(usize, u64),
    Pop,
    Done(usize),
    Suspect(usize, bool),
    Remove(usize),
    Wait(u64),
}

const PODS: usize = 8;

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..PODS).prop_map(Act::Add),
        2 => (0..PODS, 0..9_u64).prop_map(|(pod, seconds)| Act::AddLater(pod, seconds)),
        5 => Just(Act::Pop),
        3 => (0..PODS).prop_map(Act::Done),
        1 => (0..PODS, any::<bool>()).prop_map(|(pod, is)| Act::Suspect(pod, is)),
        1 => (0..PODS).prop_map(Act::Remove),
        1 => (0..9_u64).prop_map(Act::Wait),
    ]
}

fn uid(pod: usize) -> String {
    format!("u{pod}")
}

fn namespace(pod: usize) -> String {
    format!("ns{}", pod % 3)
}

proptest! {
    /// No pod runs twice at a time, none is dropped, and no bound is exceeded, in any order of events.
    #[test]
    fn every_added_pod_comes_once_within_the_bounds(
        parallel in 1..5_usize,
        acts in prop::collection::vec(act(), 1..80),
    ) {
        let (mut queue, mut now) = (Queue::new(parallel), Instant::now());
        let mut running: BTreeSet<String> = BTreeSet::new();
        // Added, and not returned since.
        let mut waiting: BTreeSet<String> = BTreeSet::new();
        for act in acts {
            match act {
                Act::Add(pod) => {
                    queue.add(&uid(pod), &namespace(pod));
                    waiting.insert(uid(pod));
                }
                Act::AddLater(pod, seconds) => {
                    queue.add_at(&uid(pod), now + Duration::from_secs(seconds));
                }
                Act::Pop => {
                    if let Some(uid) = queue.pop(now) {
                        waiting.remove(&uid);
                        prop_assert!(running.insert(uid), "a pod runs twice");
                    }
                }
                Act::Done(pod) => {
                    if running.remove(&uid(pod)) {
                        queue.done(&uid(pod));
                    }
                }
                Act::Suspect(pod, is_suspect) => queue.set_suspect(&uid(pod), is_suspect),
                Act::Remove(pod) => {
                    // Its owner removes a pod only when nothing runs.
                    if !running.contains(&uid(pod)) {
                        queue.remove(&uid(pod));
                        waiting.remove(&uid(pod));
                    }
                }
                Act::Wait(seconds) => now += Duration::from_secs(seconds),
            }
            prop_assert!(running.len() <= parallel);
            prop_assert_eq!(queue.running, running.len());
        }
        for uid in std::mem::take(&mut running) {
            queue.done(&uid);
        }
        now += Duration::from_secs(10);
        while let Some(uid) = queue.pop(now) {
            waiting.remove(&uid);
            queue.done(&uid);
        }
        prop_assert!(waiting.is_empty(), "{waiting:?} never came");
        prop_assert_eq!((queue.running, queue.running_suspects, queue.next_due()), (0, 0, None));
    }
}

#[test]
fn an_earlier_time_of_a_pod_wins() {
    let (mut queue, now) = (Queue::new(4), Instant::now());
    let at = |seconds| now + Duration::from_secs(seconds);
    queue.add("u", "ns");
    assert_eq!(queue.pop(now).as_deref(), Some("u"));
    queue.done("u");
    queue.add_at("u", at(5));
    queue.add_at("u", at(9));
    queue.add_at("u", at(3));
    assert_eq!((queue.next_due(), queue.pop(at(2))), (Some(at(3)), None));
    assert_eq!(queue.pop(at(3)).as_deref(), Some("u"));
}

#[test]
fn a_pod_that_is_added_while_it_runs_comes_again() {
    let (mut queue, now) = (Queue::new(4), Instant::now());
    queue.add("u", "ns");
    queue.pop(now);
    queue.add("u", "ns");
    assert_eq!(queue.pop(now), None);
    queue.done("u");
    assert_eq!(queue.pop(now).as_deref(), Some("u"));
}

mod properties;

use super::*;

const MIN_INTERVAL: Duration = Duration::from_secs(1);
const FIRST: Duration = Duration::from_millis(500);
const MAX: Duration = Duration::from_secs(60);
const KEY: &str = "t/data";

fn empty() -> WorkQueue<&'static str> {
    WorkQueue::new(MIN_INTERVAL, Backoff::new(FIRST, MAX))
}

fn with_key(at: Instant) -> WorkQueue<&'static str> {
    let mut queue = empty();
    queue.add(KEY, at);
    queue
}

/// A queue whose key has just been worked on.
fn done(outcome: Outcome, now: Instant) -> WorkQueue<&'static str> {
    let mut queue = with_key(now);
    queue.pop(now).unwrap();
    queue.done(&KEY, outcome, now);
    queue
}

#[test]
fn the_first_after_a_quiet_time_is_done_at_once() {
    let now = Instant::now();
    assert_eq!(with_key(now).pop(now), Some(KEY));
}

#[test]
fn what_was_changed_is_not_changed_again_within_the_minimum_interval() {
    let now = Instant::now();
    let mut queue = done(Outcome::Changed, now);
    for _ in 0..100 {
        queue.add(KEY, now);
    }
    assert_eq!(queue.pop(now + MIN_INTERVAL / 2), None);
    assert_eq!(queue.pop(now + MIN_INTERVAL), Some(KEY));
    assert_eq!(queue.pop(now + MIN_INTERVAL), None);
}

#[test]
fn what_needed_no_change_waits_for_nothing() {
    let now = Instant::now();
    let mut queue = done(Outcome::Unchanged, now);
    queue.add(KEY, now);
    assert_eq!(queue.pop(now), Some(KEY));
}

#[test]
fn a_key_under_way_is_done_once_more_when_something_happens_meanwhile() {
    let now = Instant::now();
    let mut queue = with_key(now);
    queue.pop(now).unwrap();
    queue.add(KEY, now);
    assert_eq!(queue.pop(now + MIN_INTERVAL), None, "it is running");
    queue.done(&KEY, Outcome::Changed, now);
    assert_eq!(queue.next_due(), Some(now + MIN_INTERVAL));
}

#[test]
fn what_waits_for_more_is_done_at_once_when_all_of_it_is_there() {
    let now = Instant::now();
    let mut queue = with_key(now + MIN_INTERVAL);
    assert_eq!(queue.pop(now), None);
    queue.add(KEY, now);
    queue.add(KEY, now + MIN_INTERVAL);
    assert_eq!(queue.pop(now), Some(KEY));
}

#[test]
fn what_failed_is_tried_again_ever_less_often_or_when_the_server_says() {
    let now = Instant::now();
    let mut queue = with_key(now);
    let mut waits = Vec::new();
    for _ in 0..12 {
        let at = queue.next_due().unwrap();
        queue.pop(at).unwrap();
        queue.done(&KEY, Outcome::Failed(None), at);
        waits.push(queue.next_due().unwrap() - at);
    }
    assert_eq!(waits[..3], [1, 2, 4].map(|n| FIRST * n));
    assert_eq!(waits[11], MAX);
    let at = queue.next_due().unwrap();
    queue.pop(at).unwrap();
    let asked = MAX * 2;
    queue.done(&KEY, Outcome::Failed(Some(asked)), at);
    assert_eq!(queue.next_due(), Some(at + asked));
}

#[test]
fn what_is_expedited_waits_for_nothing_and_its_backoff_starts_over() {
    let now = Instant::now();
    let mut queue = done(Outcome::Failed(None), now);
    assert!(queue.has_failed(&KEY));
    queue.expedite(KEY, now);
    assert!(!queue.has_failed(&KEY));
    assert_eq!(queue.pop(now), Some(KEY));
    queue.done(&KEY, Outcome::Failed(None), now);
    assert_eq!(queue.next_due(), Some(now + FIRST));
}

#[test]
fn an_object_that_is_made_anew_does_not_wait_for_what_the_old_one_was_written() {
    let now = Instant::now();
    let mut queue = done(Outcome::Changed, now);
    queue.add(KEY, now);
    queue.forget(&KEY);
    assert_eq!(queue.len(), 0);
    queue.add(KEY, now);
    assert_eq!(queue.pop(now), Some(KEY));
    // Under way, it is not begun a second time.
    queue.forget(&KEY);
    queue.add(KEY, now);
    assert_eq!(queue.pop(now), None);
    queue.done(&KEY, Outcome::Unchanged, now);
    assert_eq!(queue.pop(now), Some(KEY));
}

#[test]
fn nothing_is_kept_of_what_is_done() {
    let now = Instant::now();
    let mut queue = done(Outcome::Changed, now);
    queue.prune(now);
    assert_eq!(queue.states.len(), 1, "the minimum interval has not passed");
    queue.prune(now + MIN_INTERVAL);
    assert!(queue.states.is_empty());
    assert!(queue.is_empty());
}

#[test]
fn nothing_is_kept_of_what_is_removed_even_while_it_runs() {
    let now = Instant::now();
    let mut queue = with_key(now);
    queue.pop(now).unwrap();
    assert!(queue.remove(&KEY));
    assert!(queue.states.is_empty());
    queue.done(&KEY, Outcome::Failed(None), now);
    assert!(queue.states.is_empty() && queue.is_empty());
}

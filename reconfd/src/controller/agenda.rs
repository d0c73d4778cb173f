//! Pure: what is to be done when. One object is written at most once in a second, and what failed is tried
//! again less and less often.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use super::job::{Job, Mark, Wait};

/// No object is written again before so long.
pub const PACE: Duration = Duration::from_secs(1);
/// For so long the policy of a new namespace may still be on its way.
pub const SETTLE: Duration = Duration::from_secs(10);
/// For so long what no longer holds may come right by itself.
pub const GRACE: Duration = Duration::from_secs(30);
/// What failed is tried again after so long, and after twice the time when it fails again.
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub struct Agenda {
    jobs: HashMap<Job, State>,
    queue: BTreeSet<(Instant, Job)>,
}

#[derive(Debug, Default)]
struct State {
    due: Option<Instant>,
    not_before: Option<Instant>,
    is_busy: bool,
    failures: u32,
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All is as it should be.
    Unneeded,
    Written,
    /// With the time that the server asked for.
    Failed(Option<Duration>),
}

impl Wait {
    fn span(self) -> Duration {
        match self {
            Self::Now => Duration::ZERO,
            Self::Soon => PACE,
            Self::Settle => SETTLE,
            Self::Grace => GRACE,
        }
    }
}

impl Agenda {
    /// The job is to be done, unless it is to be done earlier in any case.
    pub fn mark(&mut self, mark: Mark, now: Instant) {
        let at = now + mark.wait.span();
        let state = self.jobs.entry(mark.job.clone()).or_default();
        let at = state.not_before.map_or(at, |not_before| at.max(not_before));
        if state.due.is_some_and(|due| due <= at) {
            return;
        }
        let before = state.due.replace(at);
        if state.is_busy {
            return;
        }
        if let Some(before) = before {
            self.queue.remove(&(before, mark.job.clone()));
        }
        self.queue.insert((at, mark.job));
    }

    /// When the next job is due.
    pub fn next(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// A job that is due. It is not taken again before it has ended.
    pub fn take(&mut self, now: Instant) -> Option<Job> {
        self.queue.first().filter(|(at, _)| *at <= now)?;
        let (_, job) = self.queue.pop_first()?;
        if let Some(state) = self.jobs.get_mut(&job) {
            (state.due, state.is_busy) = (None, true);
        }
        Some(job)
    }

    pub fn ended(&mut self, job: &Job, ended: Ended, now: Instant) {
        let Some(state) = self.jobs.get_mut(job) else {
            return;
        };
        state.is_busy = false;
        match ended {
            Ended::Unneeded => state.failures = 0,
            Ended::Written => {
                state.failures = 0;
                state.not_before = Some(now + PACE);
            }
            Ended::Failed(asked) => {
                state.failures += 1;
                let wait = retry(state.failures).max(asked.unwrap_or_default());
                state.not_before = Some(now + wait);
                state.due = state.not_before;
            }
        }
        let not_before = state.not_before;
        if let Some(due) = &mut state.due {
            *due = not_before.map_or(*due, |not_before| (*due).max(not_before));
            self.queue.insert((*due, job.clone()));
        }
    }

    /// The object is gone: one that is made anew under its name begins anew.
    pub fn forget(&mut self, job: &Job) {
        let Some(state) = self.jobs.remove(job) else {
            return;
        };
        if state.is_busy {
            let is_busy = true;
            let state = State {
                is_busy,
                ..State::default()
            };
            self.jobs.insert(job.clone(), state);
        } else if let Some(due) = state.due {
            self.queue.remove(&(due, job.clone()));
        }
    }

    /// Forgets jobs that nothing is left of.
    pub fn tidy(&mut self, now: Instant) {
        self.jobs.retain(|_, state| {
            state.is_busy || state.due.is_some() || state.not_before.is_some_and(|at| at > now)
        });
    }

    /// How many jobs wait or are under way.
    pub fn len(&self) -> usize {
        let under_way = self.jobs.values().filter(|state| state.is_busy);
        self.queue.len() + under_way.count()
    }
}

fn retry(failures: u32) -> Duration {
    FIRST_RETRY
        .saturating_mul(1 << failures.saturating_sub(1).min(16))
        .min(LONGEST_RETRY)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn job() -> Job {
        Job::status("t", "data")
    }

    fn marked(wait: Wait, now: Instant) -> Agenda {
        let mut agenda = Agenda::default();
        agenda.mark(job().after(wait), now);
        agenda
    }

    #[test]
    fn the_first_after_a_quiet_time_is_done_at_once() {
        let now = Instant::now();
        assert_eq!(marked(Wait::Now, now).take(now), Some(job()));
    }

    #[test]
    fn what_is_written_is_not_written_again_within_a_second() {
        let now = Instant::now();
        let mut agenda = marked(Wait::Now, now);
        agenda.take(now).unwrap();
        agenda.ended(&job(), Ended::Written, now);
        for _ in 0..100 {
            agenda.mark(job().after(Wait::Now), now);
        }
        assert_eq!(agenda.take(now + PACE / 2), None);
        assert_eq!(agenda.take(now + PACE), Some(job()));
        assert_eq!(agenda.take(now + PACE), None);
    }

    #[test]
    fn what_needed_no_write_waits_for_nothing() {
        let now = Instant::now();
        let mut agenda = marked(Wait::Now, now);
        agenda.take(now).unwrap();
        agenda.ended(&job(), Ended::Unneeded, now);
        agenda.mark(job().after(Wait::Now), now);
        assert_eq!(agenda.take(now), Some(job()));
    }

    #[test]
    fn a_job_under_way_is_done_once_more_when_something_happens_meanwhile() {
        let now = Instant::now();
        let mut agenda = marked(Wait::Now, now);
        agenda.take(now).unwrap();
        agenda.mark(job().after(Wait::Now), now);
        assert_eq!(agenda.take(now + PACE), None, "it is under way");
        agenda.ended(&job(), Ended::Written, now);
        assert_eq!(agenda.next(), Some(now + PACE));
    }

    #[test]
    fn what_waits_for_more_is_done_at_once_when_all_of_it_is_there() {
        let now = Instant::now();
        let mut agenda = marked(Wait::Soon, now);
        assert_eq!(agenda.take(now), None);
        agenda.mark(job().after(Wait::Now), now);
        agenda.mark(job().after(Wait::Soon), now);
        assert_eq!(agenda.take(now), Some(job()));
    }

    #[test]
    fn what_failed_is_tried_again_ever_less_often_or_when_the_server_says() {
        let now = Instant::now();
        let mut agenda = marked(Wait::Now, now);
        let mut waits = Vec::new();
        for _ in 0..12 {
            let at = agenda.next().unwrap();
            agenda.take(at).unwrap();
            agenda.ended(&job(), Ended::Failed(None), at);
            waits.push(agenda.next().unwrap() - at);
        }
        assert_eq!(waits[..3], [1, 2, 4].map(|n| FIRST_RETRY * n));
        assert_eq!(waits[11], LONGEST_RETRY);
        let at = agenda.next().unwrap();
        agenda.take(at).unwrap();
        let asked = LONGEST_RETRY * 2;
        agenda.ended(&job(), Ended::Failed(Some(asked)), at);
        assert_eq!(agenda.next(), Some(at + asked));
    }

    #[test]
    fn an_object_that_is_made_anew_does_not_wait_for_what_the_old_one_was_written() {
        let now = Instant::now();
        let mut agenda = marked(Wait::Now, now);
        agenda.take(now).unwrap();
        agenda.ended(&job(), Ended::Written, now);
        agenda.mark(job().after(Wait::Now), now);
        agenda.forget(&job());
        assert_eq!(agenda.len(), 0);
        agenda.mark(job().after(Wait::Now), now);
        assert_eq!(agenda.take(now), Some(job()));
        // Under way, it is not begun a second time.
        agenda.forget(&job());
        agenda.mark(job().after(Wait::Now), now);
        assert_eq!(agenda.take(now), None);
        agenda.ended(&job(), Ended::Unneeded, now);
        assert_eq!(agenda.take(now), Some(job()));
    }

    #[test]
    fn nothing_is_kept_of_what_is_done() {
        let now = Instant::now();
        let mut agenda = marked(Wait::Now, now);
        agenda.take(now).unwrap();
        agenda.ended(&job(), Ended::Written, now);
        agenda.tidy(now);
        assert_eq!(agenda.jobs.len(), 1, "the pace is still to be kept");
        agenda.tidy(now + PACE);
        assert!(agenda.jobs.is_empty());
        assert_eq!(agenda.len(), 0);
    }
}

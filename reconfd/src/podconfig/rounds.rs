//! How far the reconciler is: the initial pass, and the rounds of periodic checks.

use std::time::{Duration, Instant};

use telemetry::http::DaemonHealth;

/// Every so many rounds the expensive checks are done as well.
const THOROUGH: u32 = 10;

pub struct Rounds {
    pub health: DaemonHealth,
    initial_pass_done: bool,
    last: Instant,
    count: u32,
    /// The pod that was checked last.
    rechecked: Option<String>,
}

impl Rounds {
    pub fn new(health: DaemonHealth) -> Self {
        Self {
            health,
            initial_pass_done: false,
            last: Instant::now(),
            count: 0,
            rechecked: None,
        }
    }

    /// Every pod has been observed once; what is unclaimed from then on has no owner.
    pub fn finish_initial_pass(&mut self) {
        self.initial_pass_done = true;
    }

    /// Before it, the desired state is not fully known.
    pub fn is_initial_pass_done(&self) -> bool {
        self.initial_pass_done
    }

    pub fn is_round_due(&self, interval: Duration) -> bool {
        self.last.elapsed() >= interval
    }

    pub fn begin_round(&mut self) {
        self.last = Instant::now();
        self.count += 1;
    }

    pub fn is_thorough(&self) -> bool {
        self.count.is_multiple_of(THOROUGH)
    }

    /// Whether the switch's settings are checked in this round: one after the other checks.
    pub fn is_for_settings(&self) -> bool {
        self.count % THOROUGH == 1
    }

    /// Which of so many groups has its turn.
    pub fn turn(&self, groups: usize) -> usize {
        self.count as usize % groups.max(1)
    }

    /// The next pod to check, by the pod before it.
    pub fn recheck_next(
        &mut self,
        after: impl FnOnce(Option<&str>) -> Option<String>,
    ) -> Option<String> {
        self.rechecked = after(self.rechecked.as_deref());
        self.rechecked.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_and_every_kind_of_round_has_its_turn() {
        let mut rounds = Rounds::new(DaemonHealth::default());
        let done = (0..THOROUGH).map(|_| {
            rounds.begin_round();
            let kind = (rounds.is_thorough(), rounds.is_for_settings());
            (rounds.turn(2), kind)
        });
        let done: Vec<_> = done.collect();
        assert_eq!(done.iter().filter(|(turn, _)| *turn == 1).count(), 5);
        assert_eq!(done.first(), Some(&(1, (false, true))));
        assert_eq!(done.last(), Some(&(0, (true, false))));
        assert_eq!(rounds.turn(0), 0);
    }

    #[test]
    fn a_pod_is_rechecked_after_the_one_before() {
        let mut rounds = Rounds::new(DaemonHealth::default());
        let mut next = |after: Option<&str>| {
            let expected = after.map(str::to_owned);
            rounds.recheck_next(|last| {
                assert_eq!(last, expected.as_deref());
                Some(format!("{}a", last.unwrap_or_default()))
            })
        };
        assert_eq!(next(None).as_deref(), Some("a"));
        assert_eq!(next(Some("a")).as_deref(), Some("aa"));
    }
}

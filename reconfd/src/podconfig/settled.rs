//! What a pod looked like after its last pass, so that the kernel's echo of our own doing is told
//! from somebody's undoing of it; and how often it was undone.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant, SystemTime},
};

use super::allowance::Allowance;
use crate::node::{InPod, links::Place, row::Row};

/// So many repairs follow at once; then each waits twice as long as the one before.
const FREE_REPAIRS: u32 = 3;
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// So long after something else changed in a pod that lacks a link, it is looked at; twice as long
/// each time, or a pod that plays with its own links would keep the node busy.
const FIRST_CHANCE: Duration = Duration::from_millis(20);
const LONGEST_CHANCE: Duration = Duration::from_secs(5);
/// A pod that was left in peace for so long starts afresh.
const PEACE: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub struct Settled {
    /// Pod ends by number.
    pub pod_ends: HashMap<u32, PodEnd>,
    pub host_ends: HashMap<(Place, u32), HostEnd>,
    /// Bridges of the node that its links name.
    pub host_bridges: BTreeSet<String>,
    /// Specification hashes of the links that stand, by name.
    pub hashes: HashMap<String, String>,
    /// When each was last changed.
    pub changed: HashMap<String, SystemTime>,
    /// Whether links are missing that could be there if the pod changed.
    pub lacks: bool,
    pub has_routes: bool,
    pub has_rules: bool,
    /// Whether all that it says was seen in the kernel, and every event since was heard.
    pub seen: bool,
    /// The PodConfigs that ask for something in this pod.
    pub configs: BTreeSet<String>,
    /// When it is looked at again, though nothing happens.
    pub due: Option<Instant>,
    /// Since when something is not as wanted.
    pub unapplied_since: Option<Instant>,
    /// How many links may be made now.
    allowance: Allowance,
    chances: u32,
    last_chance: Option<Instant>,
    repairs: u32,
    failures: u32,
    last_repair: Option<Instant>,
    not_before: Option<Instant>,
    wait_is_told: bool,
    /// An address or a route of ours seemed gone.
    pub alarmed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Of what we did ourselves, or nothing to us.
    Echo,
    /// A link that is missing may be possible now.
    Chance,
    /// Something is not as it was left.
    Undone,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodEnd {
    pub name: String,
    pub mtu: u32,
    pub mac: [u8; 6],
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostEnd {
    pub name: String,
    pub mtu: u32,
    pub master: Option<u32>,
}

impl Settled {
    /// What an event in the pod means for its links.
    pub fn meaning_of(&self, what: &InPod) -> Meaning {
        let own = |undone: bool| {
            if undone {
                Meaning::Undone
            } else {
                Meaning::Echo
            }
        };
        match what {
            InPod::Link(row) if self.pod_ends.contains_key(&row.index) => {
                own(self.pod_end_differs(row))
            }
            InPod::LinkGone(index) if self.pod_ends.contains_key(index) => Meaning::Undone,
            InPod::Link(_) | InPod::LinkGone(_) if self.lacks => Meaning::Chance,
            InPod::Link(_) | InPod::LinkGone(_) => Meaning::Echo,
            InPod::AddressGone(index) => own(self.pod_ends.contains_key(index)),
            InPod::RouteGone => own(self.has_routes),
        }
    }

    fn pod_end_differs(&self, row: &Row) -> bool {
        let end = self.pod_ends.get(&row.index);
        end.is_none_or(|end| {
            !row.up || (&row.name, row.mtu, row.mac) != (&end.name, end.mtu, Some(end.mac))
        })
    }

    pub fn host_end_differs(&self, place: Place, index: u32, now: Option<&Row>) -> bool {
        let Some(end) = self.host_ends.get(&(place, index)) else {
            return false;
        };
        let Some(row) = now else { return true };
        !row.up || (&row.name, row.mtu, row.master) != (&end.name, end.mtu, end.master)
    }

    /// Whether a disturbed pod is to be looked at now. While its repairs wait, once, to tell so; the
    /// repair itself follows when its time has come.
    pub fn may_look_now(&mut self, now: Instant) -> bool {
        !self.must_wait(now) || !std::mem::replace(&mut self.wait_is_told, true)
    }

    /// Looks again as soon as repairs need not wait.
    pub fn look_when_allowed(&mut self, now: Instant) {
        if !self.must_wait(now) {
            self.due = Some(now);
        }
    }

    /// Whether repairs have to wait. If so, the pod is looked at again when they need not.
    pub fn must_wait(&mut self, now: Instant) -> bool {
        let Some(at) = self.not_before.filter(|at| *at > now) else {
            return false;
        };
        self.look_at(at);
        true
    }

    /// Whether one more link may be made. If not, the pod is looked at again when it may.
    pub fn may_make(&mut self, now: Instant) -> bool {
        let taken = self.allowance.take(now);
        taken.map_err(|at| self.look_at(at)).is_ok()
    }

    fn look_at(&mut self, at: Instant) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// Looks again soon, once for all that happens until then.
    pub fn look_soon(&mut self, now: Instant) {
        // What the kernel refused is tried again in its own time, or its echo would be a chance.
        let is_retried = self.failures > 0 && self.due.is_some();
        if is_retried || self.due.is_some_and(|due| due <= now + LONGEST_CHANCE) {
            return;
        }
        if self
            .last_chance
            .is_none_or(|last| now.saturating_duration_since(last) > PEACE)
        {
            self.chances = 0;
        }
        self.due = Some(
            now + FIRST_CHANCE
                .saturating_mul(1 << self.chances.min(10))
                .min(LONGEST_CHANCE),
        );
        self.chances += 1;
        self.last_chance = Some(now);
    }

    /// It was looked at because something seemed undone, and nothing was.
    pub fn false_alarm(&mut self, now: Instant) {
        if std::mem::take(&mut self.alarmed) {
            self.repaired(now);
        }
    }

    /// Something was undone and has been mended.
    pub fn repaired(&mut self, now: Instant) {
        if self
            .last_repair
            .is_some_and(|last| now.saturating_duration_since(last) > PEACE)
        {
            self.repairs = 0;
        }
        self.repairs += 1;
        self.last_repair = Some(now);
        self.alarmed = false;
        self.not_before =
            (self.repairs > FREE_REPAIRS).then(|| now + wait(self.repairs - FREE_REPAIRS));
        self.wait_is_told = false;
    }

    /// The kernel refused something; it is tried again, less and less often.
    pub fn failed(&mut self, now: Instant) {
        self.failures += 1;
        self.due = Some(now + wait(self.failures + 3));
    }

    pub fn succeeded(&mut self) {
        self.failures = 0;
    }
}

fn wait(times: u32) -> Duration {
    FIRST_WAIT
        .saturating_mul(1 << times.saturating_sub(1).min(16))
        .min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_repairs_follow_at_once_and_later_ones_wait_longer_and_longer() {
        let (mut settled, now) = (Settled::default(), Instant::now());
        for _ in 0..FREE_REPAIRS {
            settled.repaired(now);
            assert!(settled.may_look_now(now));
        }
        settled.repaired(now);
        assert!(settled.must_wait(now));
        assert_eq!(settled.due, Some(now + FIRST_WAIT));
        settled.repaired(now);
        assert!(settled.must_wait(now + FIRST_WAIT));
        assert!(!settled.must_wait(now + 2 * FIRST_WAIT));
    }

    #[test]
    fn a_wait_is_told_once() {
        let (mut settled, now) = (Settled::default(), Instant::now());
        (0..=FREE_REPAIRS).for_each(|_| settled.repaired(now));
        assert!(settled.may_look_now(now));
        assert!(!settled.may_look_now(now));
        assert!(settled.may_look_now(now + FIRST_WAIT));
    }

    #[test]
    fn a_pod_left_in_peace_starts_afresh() {
        let (mut settled, now) = (Settled::default(), Instant::now());
        (0..20).for_each(|_| settled.repaired(now));
        assert!(settled.must_wait(now + LONGEST_WAIT - Duration::from_millis(1)));
        settled.repaired(now + PEACE + Duration::from_secs(1));
        assert!(!settled.must_wait(now + PEACE + Duration::from_secs(1)));
    }

    #[test]
    fn a_pod_that_plays_with_its_links_is_looked_at_less_and_less() {
        let (mut settled, mut now) = (Settled::default(), Instant::now());
        let mut looks = 0;
        let end = now + Duration::from_secs(10);
        while now < end {
            settled.look_soon(now);
            now += Duration::from_millis(1);
            if settled.due.is_some_and(|due| due <= now) {
                settled.due = None;
                looks += 1;
            }
        }
        assert!((2..12).contains(&looks), "{looks}");
    }

    #[test]
    fn the_echo_of_our_own_doing_disturbs_nobody() {
        let mut settled = Settled::default();
        let end = PodEnd {
            name: "data0".into(),
            mtu: 1500,
            mac: [1; 6],
        };
        settled.pod_ends.insert(7, end);
        let echo = Row {
            index: 7,
            name: "data0".into(),
            up: true,
            mtu: 1500,
            mac: Some([1; 6]),
            ..Row::default()
        };
        let meaning = |row: Row| settled.meaning_of(&InPod::Link(Box::new(row)));
        assert_eq!(meaning(echo.clone()), Meaning::Echo);
        assert_eq!(
            meaning(Row {
                up: false,
                ..echo.clone()
            }),
            Meaning::Undone
        );
        assert_eq!(
            meaning(Row {
                name: "mine".into(),
                ..echo
            }),
            Meaning::Undone
        );
        assert_eq!(settled.meaning_of(&InPod::LinkGone(7)), Meaning::Undone);
        assert_eq!(settled.meaning_of(&InPod::LinkGone(8)), Meaning::Echo);
    }
}

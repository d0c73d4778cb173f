//! When each of many links is up, and when all are gone.

use std::{
    collections::HashMap,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use super::spans::Spans;
use crate::{ears::Ears, node};

const PATIENCE: Duration = Duration::from_secs(60);
/// Messages of a hundred pods are not worth a wake-up each.
const BREATH: Duration = Duration::from_millis(1);

/// Listens to the pods that have links to a switch.
pub struct Listener {
    ears: Ears,
    up: HashMap<(i32, u32), Instant>,
}

impl Listener {
    /// In the switch of that name.
    pub fn at(switch: &str) -> Result<Self> {
        let ears = node::within(switch, Ears::elsewhere)?;
        Ok(Self {
            ears,
            up: HashMap::new(),
        })
    }

    /// Until so many links of that name are up; how long after `start` each was.
    pub fn until_up(&mut self, name: &str, count: usize, start: Instant) -> Result<Spans> {
        self.up.clear();
        self.wait(&format!("{count} links {name} to be up"), |ears, up| {
            for (key, link) in &ears.links {
                if link.up && link.name == name {
                    up.entry(*key).or_insert_with(Instant::now);
                }
            }
            up.len() >= count
        })?;
        let mut spans = Spans::default();
        self.up.values().for_each(|at| spans.push(*at - start));
        Ok(spans)
    }

    /// Until no link is left; how long after `start` the last went.
    pub fn until_gone(&mut self, start: Instant) -> Result<Duration> {
        self.wait("all links to be gone", |ears, _| ears.links.is_empty())?;
        Ok(start.elapsed())
    }

    fn wait(
        &mut self,
        what: &str,
        mut holds: impl FnMut(&Ears, &mut HashMap<(i32, u32), Instant>) -> bool,
    ) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            self.ears.hear()?;
            if holds(&self.ears, &mut self.up) {
                return Ok(());
            }
            sleep(BREATH);
        }
        let (there, log) = (self.ears.links.len(), super::daemon::log_tail());
        bail!("waited {PATIENCE:?} for {what}: {there} links are there; the daemon's log:\n{log}")
    }
}

//! What a deed costs: CPU time and wall time, taken from the kernel's own accounts, and medians.
//! A ratio is that of two medians; its span is that of the same in consecutive parts of the run.

use std::{
    ops::{Add, Sub},
    process::Child,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use nix::{
    sys::resource::{UsageWho, getrusage},
    time::{ClockId, clock_getcpuclockid, clock_gettime},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};

/// Microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    pub cpu: f64,
    pub wall: f64,
}

/// One deed's costs, round by round.
#[derive(Clone, Debug, Default)]
pub struct Costs(pub Vec<Cost>);

/// A ratio, and the least and greatest of its parts.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Ratio {
    pub value: f64,
    pub least: f64,
    pub most: f64,
}

/// Whose CPU time is counted.
#[derive(Clone, Copy)]
pub enum Whose {
    /// The calling thread's.
    Thread,
    /// A process's, with the threads that have ended.
    Process(Pid),
    /// Of children that have been waited for, with theirs.
    Children,
}

/// In so many parts a run is cut for the span of a ratio.
const PARTS: usize = 5;

impl Whose {
    /// Microseconds so far.
    pub fn cpu(self) -> Result<f64> {
        let clock = match self {
            Self::Thread => ClockId::CLOCK_THREAD_CPUTIME_ID,
            Self::Process(pid) => clock_getcpuclockid(pid).context("the process's CPU clock")?,
            Self::Children => {
                let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
                let (user, system) = (usage.user_time(), usage.system_time());
                let micros =
                    |t: nix::sys::time::TimeVal| t.tv_sec() as f64 * 1e6 + t.tv_usec() as f64;
                return Ok(micros(user) + micros(system));
            }
        };
        Ok(micros(Duration::from(clock_gettime(clock)?)))
    }

    /// Does the deed and says what it cost.
    pub fn cost<T>(self, deed: impl FnOnce() -> Result<T>) -> Result<(Cost, T)> {
        let (cpu, start) = (self.cpu()?, Instant::now());
        let value = deed()?;
        let wall = micros(start.elapsed());
        Ok((
            Cost {
                cpu: self.cpu()? - cpu,
                wall,
            },
            value,
        ))
    }
}

pub fn micros(span: Duration) -> f64 {
    span.as_secs_f64() * 1e6
}

/// The end of a child that must succeed.
pub fn ended(child: Child, what: &str) -> Result<String> {
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(
        output.status.success(),
        "{what}: {}\n{said}{complaint}",
        output.status
    );
    Ok(said)
}

impl Costs {
    pub fn push(&mut self, cost: Cost) {
        self.0.push(cost);
    }

    pub fn median(&self) -> Cost {
        Cost {
            cpu: median(self.0.iter().map(|c| c.cpu)),
            wall: median(self.0.iter().map(|c| c.wall)),
        }
    }

    /// Round by round, since they were taken by turns.
    pub fn plus(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| *a + *b).collect())
    }

    /// Of as many, or as few.
    pub fn times(&self, factor: f64) -> Self {
        let scaled = self.0.iter().map(|cost| Cost {
            cpu: cost.cpu * factor,
            wall: cost.wall * factor,
        });
        Self(scaled.collect())
    }

    pub fn cpu_to(&self, other: &Self) -> Ratio {
        self.ratio(other, |cost| cost.cpu)
    }

    pub fn wall_to(&self, other: &Self) -> Ratio {
        self.ratio(other, |cost| cost.wall)
    }

    fn ratio(&self, other: &Self, of: impl Fn(&Cost) -> f64) -> Ratio {
        let quotient =
            |a: &[Cost], b: &[Cost]| median(a.iter().map(&of)) / median(b.iter().map(&of));
        let size = self.0.len().div_ceil(PARTS).max(1);
        let parts: Vec<f64> = self
            .0
            .chunks(size)
            .zip(other.0.chunks(size))
            .map(|(a, b)| quotient(a, b))
            .collect();
        Ratio {
            value: quotient(&self.0, &other.0),
            least: parts.iter().copied().fold(f64::INFINITY, f64::min),
            most: parts.iter().copied().fold(0.0, f64::max),
        }
    }
}

impl From<Cost> for Costs {
    fn from(cost: Cost) -> Self {
        Self(vec![cost])
    }
}

impl Add for Cost {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            cpu: self.cpu + other.cpu,
            wall: self.wall + other.wall,
        }
    }
}

impl Sub for Cost {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self {
            cpu: self.cpu - other.cpu,
            wall: self.wall - other.wall,
        }
    }
}

pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let middle = |at: usize| sorted.get(at).copied().unwrap_or(f64::NAN);
    // Of an even number there are two in the middle.
    (middle(sorted.len().saturating_sub(1) / 2) + middle(sorted.len() / 2)) / 2.0
}

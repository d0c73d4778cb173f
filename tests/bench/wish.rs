//! One wish and what comes of it: a manifest shown to the daemon, until its link is there and all that
//! follows is done. Beside it, what the same takes by hand.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{
    cost::{Cost, Costs, Ratio, micros},
    daemon::Daemon,
    ears::Ears,
    node,
    paper::{self, Told},
    table::Table,
};

/// The link of every wish.
pub const LINK: &str = "data0";

/// Round by round.
#[derive(Default)]
pub struct Wishes {
    /// With the report, and all else that comes behind the link.
    pub whole: Costs,
    /// Until the link is up with its address, heard in the pod.
    pub until: Costs,
    /// Wall time until the reports are written.
    told: Costs,
    parse: Costs,
    write: Costs,
}

/// What ratios are of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum By {
    Cpu,
    /// Where the CPU clock goes by ticks, and one CPU does nothing else.
    Wall,
}

impl By {
    pub fn ratio(self, one: &Costs, other: &Costs) -> Ratio {
        match self {
            Self::Cpu => one.cpu_to(other),
            Self::Wall => one.wall_to(other),
        }
    }
}

impl Wishes {
    /// From the rename to the link up with its address; the CPU time with all that comes behind it.
    /// Pod, PodConfig and manifest have one name.
    pub fn grant(
        &mut self,
        daemon: &Daemon,
        ears: &mut Ears,
        name: &str,
        text: &str,
    ) -> Result<()> {
        let whose = daemon.cpu();
        ears.hear()?;
        let told = Told::new()?;
        node::prepare(name, text)?;
        let (cpu, start) = (whose.cpu()?, Instant::now());
        node::show(name)?;
        let is_there = |ears: &Ears| ears.count(|link| link.name == LINK) == 1;
        let there = ears.until("the link, up and with its address", is_there)?;
        let (wall, so_far) = (micros(there - start), whose.cpu()? - cpu);
        let told = micros(told.until(name)? - start);
        daemon.settle()?;
        let cpu = whose.cpu()? - cpu;
        self.until.push(Cost { cpu: so_far, wall });
        self.whole.push(Cost { cpu, wall });
        self.told.push(Cost { cpu, wall: told });
        self.parse.push(paper::parse(text)?);
        let reports = paper::reports([name].into_iter(), [name].into_iter())?;
        self.write.push(paper::write(&reports)?);
        Ok(())
    }

    /// What the same takes by hand: these, the parse and the report.
    pub fn floor(&self, parts: &[(&str, &Costs)]) -> Costs {
        let paper = self.parse.plus(&self.write);
        parts.iter().fold(paper, |sum, (_, part)| sum.plus(part))
    }

    /// The rows, and the bar on them.
    pub fn show(&self, table: &mut Table, by: By, what: &str, parts: &[(&str, &Costs)]) {
        let sum = self.floor(parts);
        let whole = match by {
            By::Cpu => &self.whole,
            By::Wall => &self.told,
        };
        let mut row = |what: &str, costs: &Costs| {
            let to_sum = (!std::ptr::eq(costs, &sum)).then(|| by.ratio(costs, &sum));
            table.row_to(what, costs.median(), to_sum, "floor sum");
        };
        row(&format!("{what}: daemon, rename to reports written"), whole);
        row("  of it until the link has its address", &self.until);
        row("floor sum: what follows", &sum);
        for (part, costs) in parts {
            row(&format!("  {part}"), costs);
        }
        row("  parse and admit (in both sums)", &self.parse);
        row(
            "  report and status, in words and written (in both)",
            &self.write,
        );
        if by == By::Cpu {
            let bar = format!("{what}, CPU to the floor sum");
            table.bar(&bar, 1.5, whole.cpu_to(&sum));
        }
    }
}

/// Between two deeds by hand: the daemon comes to a link from idleness, and not with the caches that the
/// link before has left.
pub fn rest() {
    sleep(Duration::from_millis(60));
}

/// Takes a manifest away, until its link is gone and the daemon is through.
pub fn withdraw(daemon: &Daemon, ears: &mut Ears, name: &str) -> Result<()> {
    ears.hear()?;
    let gone = ears.gone;
    node::withdraw(name)?;
    ears.until("the link to go", |ears| ears.gone > gone)?;
    daemon.settle()
}

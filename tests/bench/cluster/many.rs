//! One PodConfig for 50 and for 100 pods of one node; and what the daemon holds with 300 links.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{
    api::{Api, Watch},
    baseline::Baseline,
    daemon::Daemon,
    links::Listener,
    pods::{self, SWITCH},
    spans::Spans,
    writes::{LATE, Writes, of},
};
use crate::{node::Pod, table::Table};

const HALF: usize = 50;
const ROUNDS: usize = 3;
/// To the same links by raw socket.
const RATIO: f64 = 1.5;
const MEGABYTES: f64 = 40.0;
/// Behind a new link the kernel probes its IPv6 address for up to two seconds, under the lock that makes links.
const CALM: Duration = Duration::from_millis(2200);

struct Field<'a> {
    api: &'a Api,
    watch: Watch,
    listener: Listener,
    baseline: Baseline,
    round: usize,
}

pub fn run(api: &Api, table: &mut Table) -> Result<()> {
    let all = [
        pods::start(api, "half", HALF)?,
        pods::start(api, "rest", HALF)?,
    ]
    .concat();
    pods::find_switch()?;
    let mut field = Field {
        api,
        watch: api.watch()?,
        listener: Listener::at(SWITCH)?,
        baseline: Baseline::new()?,
        round: 0,
    };
    let daemon = Daemon::of_node(api)?;
    field.measure(("app", "half"), &all[..HALF], &daemon, table)?;
    field.measure(("bench", "all"), &all, &daemon, table)?;
    table.note("for comparison, multus-dynamic-networks-controller with thick Multus on such a cluster: 27.3 s for 50 pods, and 27.3 s to take the links away");
    field.hold(&all, &daemon, table)
}

impl Field<'_> {
    fn measure(
        &mut self,
        label: (&str, &str),
        pods: &[Pod],
        daemon: &Daemon,
        table: &mut Table,
    ) -> Result<()> {
        let count = pods.len();
        let (mut behind, mut by_hand) = (Vec::new(), Vec::new());
        table.title(&format!("One link to each of {count} pods of one node by one PodConfig, {ROUNDS} rounds by turns"));
        for round in 0..ROUNDS {
            std::thread::sleep(CALM);
            let (hands, hosts) = self.baseline.add(pods)?;
            self.baseline.remove(&hosts)?;
            by_hand.push(hands);
            std::thread::sleep(CALM);
            behind.push(self.add_and_remove(
                label,
                count,
                (round + 1 == ROUNDS).then_some(daemon),
                table,
            )?);
        }
        for percent in [50, 95] {
            let least = |all: &[Spans]| {
                all.iter()
                    .map(|spans| spans.percentile(percent))
                    .fold(f64::INFINITY, f64::min)
            };
            let (ours, hands) = (least(&behind), least(&by_hand));
            table.note(format!("p{percent}, the best round: {ours:.1} ms behind the watch, {hands:.1} ms by raw socket"));
            table.bar_on(
                &format!("{count} pods, p{percent} to link up behind the watch, to the raw socket"),
                RATIO,
                ours / hands,
                "",
            );
        }
        Ok(())
    }

    /// How long behind the watch each link was up.
    fn add_and_remove(
        &mut self,
        label: (&str, &str),
        count: usize,
        told: Option<&Daemon>,
        table: &mut Table,
    ) -> Result<Spans> {
        self.round += 1;
        let name = format!("many-{}", self.round);
        if told.is_some() {
            // What the last round wrote late is not counted.
            std::thread::sleep(LATE);
        }
        let before = told
            .map(|daemon| Ok::<_, anyhow::Error>((Writes::from_now()?, daemon.received()?)))
            .transpose()?;
        let start = self.api.apply(&pods::config(&name, label, &["data0"]))?;
        let up = self.listener.until_up("data0", count, start)?;
        let (heard, ready) = self.watch.of(&name)?;
        let behind = up.less(heard - start);
        if let (Some(daemon), Some((writes, received))) = (told, before) {
            tell_writes(count, writes, daemon.received()? - received, table)?;
        }
        let gone = self.take_away(&name)?;
        table.note(format!(
            "link up: {}; watch {:.1} ms; Ready=True {:.0} ms; deleted: all gone {:.0} ms",
            up.shown(),
            millis(heard - start),
            millis(ready - start),
            millis(gone),
        ));
        Ok(behind)
    }

    fn take_away(&mut self, name: &str) -> Result<Duration> {
        let start = self.api.withdraw(name)?;
        self.listener.until_gone(start)
    }

    /// With three links in each of them.
    fn hold(&mut self, pods: &[Pod], daemon: &Daemon, table: &mut Table) -> Result<()> {
        table.title(&format!("{} pods with 3 links each", pods.len()));
        let start = Instant::now();
        self.api.apply(&pods::config(
            "three",
            ("bench", "all"),
            &["data0", "sync0", "bulk0"],
        ))?;
        for link in ["data0", "sync0", "bulk0"] {
            self.listener.until_up(link, pods.len(), start)?;
        }
        self.watch.of("three")?;
        let (now, most) = daemon.resident()?;
        table.note(format!(
            "resident: {:.1} MB now, {:.1} MB at most",
            now / 1024.0,
            most / 1024.0
        ));
        table.bar_on(
            "resident memory of the daemon",
            MEGABYTES,
            most / 1024.0,
            " MB",
        );
        self.take_away("three").map(drop)
    }
}

fn tell_writes(count: usize, writes: Writes, received: f64, table: &mut Table) -> Result<()> {
    let counts = writes.count()?;
    table.note(format!("written for {count} links: {counts:?}"));
    table.note(format!(
        "read by the daemon meanwhile: {:.1} kB, {:.2} kB for a link",
        received / 1e3,
        received / 1e3 / count as f64
    ));
    let by_daemon = of(&counts, &["daemon: "]) - of(&counts, &["daemon: ", "pods/status"]);
    let on_config = of(&counts, &["daemon: ", "events on PodConfig"]);
    table.bar_on(
        &format!("{count} pods, writes of the daemon for a link (report, Event on the pod)"),
        2.0,
        (by_daemon - on_config) as f64 / count as f64,
        "",
    );
    Ok(())
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

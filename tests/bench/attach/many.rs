//! Many pods that get one link each at once, and as many chains by hand with the same parallelism.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread::{self, sleep},
    time::Instant,
};

use anyhow::{Result, anyhow};
use cni::CniResult;

use super::{
    BAR, Installation,
    hand::{self, Hand},
    wanted::{self, CHECK_AFTER, Check, Kind, grant, withdraw},
};
use crate::{
    Programs,
    cost::{Cost, Costs, Whose, micros},
    node::{self, Pod},
    table::Table,
    wish,
};

const PODS: usize = 50;
const ROUNDS: usize = 3;
const CHECKED_ROUNDS: usize = 1;
/// Chains at the same time, as the runner's default.
const PARALLEL: usize = 4;
const KINDS: [Kind; 2] = [Kind::Macvlan, Kind::Chain];

pub fn run(programs: &Programs, check: Check, table: &mut Table) -> Result<()> {
    let rounds = match check {
        Check::Never => ROUNDS,
        Check::Report => CHECKED_ROUNDS,
    };
    let prefix = format!("all-{}", check.name()).to_lowercase();
    let ours = node::make_pods(&prefix, PODS)?;
    let theirs = node::make_pods(&format!("by-hand-{prefix}"), PODS)?;
    node::record(&prefix, &ours.iter().collect::<Vec<_>>())?;
    let (mut by_podconfig, mut by_hand) = (Costs::default(), Costs::default());
    for _ in 0..rounds {
        by_podconfig.push(through_podconfig(programs, &prefix, &ours, check)?);
        by_hand.push(all_by_hand(&theirs, check)?);
    }
    let what = format!("{PODS} pods with one link each, check: {}", check.name());
    table.title(&format!(
        "{what}; half of each kind, {PARALLEL} at a time, {rounds} rounds by turns"
    ));
    let to_hand = by_podconfig.cpu_to(&by_hand);
    table.row_to(
        "podconfig: daemon, runner, plugins",
        by_podconfig.median(),
        Some(to_hand),
        "by hand",
    );
    table.row("the same chains by hand", by_hand.median());
    table.bar(&format!("{what}, CPU to the chains by hand"), BAR, to_hand);
    table.bar(
        &format!("{what}, wall to the chains by hand"),
        BAR,
        by_podconfig.wall_to(&by_hand),
    );
    Ok(())
}

/// A daemon of its own for each round: a namespace may not attach so many again and again.
fn through_podconfig(programs: &Programs, name: &str, pods: &[Pod], check: Check) -> Result<Cost> {
    let installation = Installation::start(programs)?;
    let (cpu, start) = (installation.account.cpu()?, Instant::now());
    grant(name, pods, &KINDS, check)?;
    let wall = micros(wanted::ready(pods)? - start);
    if check == Check::Report {
        sleep(CHECK_AFTER);
    }
    installation.settle()?;
    let cpu = installation.account.cpu()? - cpu;
    withdraw(name, pods)?;
    installation.settle()?;
    Ok(Cost { cpu, wall })
}

fn all_by_hand(pods: &[Pod], check: Check) -> Result<Cost> {
    let chains = pods.iter().zip(KINDS.iter().cycle());
    let chains: Vec<Hand> = chains
        .map(|(pod, kind)| Hand::new(pod, *kind))
        .collect::<Result<_>>()?;
    wish::rest();
    let (children, start) = (Whose::Children.cpu()?, Instant::now());
    let (next, mut own, mut results) = (AtomicUsize::new(0), 0.0, Vec::new());
    thread::scope(|scope| {
        let workers: Vec<_> = (0..PARALLEL)
            .map(|_| scope.spawn(|| work(&chains, &next)))
            .collect();
        for worker in workers {
            let (cpu, made) = worker.join().map_err(|_| anyhow!("a worker panicked"))??;
            own += cpu;
            results.extend(made);
        }
        anyhow::Ok(())
    })?;
    let wall = micros(start.elapsed());
    let mut cpu = own + Whose::Children.cpu()? - children;
    if check == Check::Report {
        let mut checks = results.iter();
        let check = || checks.try_for_each(|(at, result)| chains[*at].check(result));
        cpu += hand::cost(check)?.0.cpu;
    }
    results
        .iter()
        .try_for_each(|(at, result)| chains[*at].del(result))?;
    Ok(Cost { cpu, wall })
}

fn work(chains: &[Hand], next: &AtomicUsize) -> Result<(f64, Vec<(usize, CniResult)>)> {
    let before = Whose::Thread.cpu()?;
    let mut made = Vec::new();
    loop {
        let at = next.fetch_add(1, Ordering::Relaxed);
        let Some(chain) = chains.get(at) else { break };
        made.push((at, chain.add()?));
    }
    Ok((Whose::Thread.cpu()? - before, made))
}

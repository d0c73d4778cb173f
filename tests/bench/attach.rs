//! Links of CNI plugins: through podconfig, and the same chains executed by hand with the same requests, by turns.

/// CPU time of a group of processes.
mod account;
/// Chains by hand.
mod hand;
/// Many pods at once.
mod many;
/// The runner.
mod runner;
/// Manifests, and what follows from them.
mod wanted;

use std::{
    fs,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::Result;
use nix::mount::{MsFlags, mount};

use self::{
    account::Account,
    hand::Hand,
    runner::Runner,
    wanted::{CHECK_AFTER, Check, Kind, grant, withdraw},
};
use crate::{
    Programs,
    cost::{Cost, Costs, micros},
    daemon::{Daemon, settle},
    node::{self, Pod},
    table::Table,
    wish,
};

const ROUNDS: usize = 20;
/// With a CHECK there is a wait of seconds in each.
const CHECKED_ROUNDS: usize = 5;
const BAR: f64 = 1.2;
const RESERVATIONS: &str = "/var/lib/cni";

/// Daemon and runner of one series of rounds, in one account.
pub struct Installation {
    _daemon: Daemon,
    _runner: Runner,
    pub account: Account,
}

impl Installation {
    fn start(programs: &Programs) -> Result<Self> {
        let account = Account::new("podconfig")?;
        let runner = Runner::start(&programs.daemon, &account)?;
        let (daemon, _) = Daemon::start_prepared(&programs.daemon, |command| {
            account.take(command.args(runner::FLAGS))
        })?;
        let installation = Self {
            _daemon: daemon,
            _runner: runner,
            account,
        };
        installation.settle()?;
        Ok(installation)
    }

    /// Waits until neither has anything left to do. What they use meanwhile is counted as their work.
    pub fn settle(&self) -> Result<()> {
        settle(|| self.account.cpu())
    }
}

pub fn run(programs: &Programs, table: &mut Table) -> Result<()> {
    prepare()?;
    for kind in [Kind::Macvlan, Kind::Chain] {
        for check in [Check::Never, Check::Report] {
            one(programs, kind, check, table)?;
        }
    }
    for check in [Check::Never, Check::Report] {
        many::run(programs, check, table)?;
    }
    Ok(())
}

fn prepare() -> Result<()> {
    fs::create_dir_all(RESERVATIONS)?;
    let nothing = None::<&str>;
    mount(
        Some("cni"),
        RESERVATIONS,
        Some("tmpfs"),
        MsFlags::empty(),
        nothing,
    )?;
    fs::write("/run/xtables.lock", "")?;
    node::uplink()?;
    wanted::prepare()
}

/// One link to a running pod.
fn one(programs: &Programs, kind: Kind, check: Check, table: &mut Table) -> Result<()> {
    let rounds = match check {
        Check::Never => ROUNDS,
        Check::Report => CHECKED_ROUNDS,
    };
    let prefix = format!("{}-{}", kind.name(), check.name()).to_lowercase();
    let pods = node::make_pods(&prefix, 2)?;
    node::record(&prefix, &[&pods[0]])?;
    let installation = Installation::start(programs)?;
    let (mut ours, mut theirs, mut idle) = (Costs::default(), Costs::default(), Costs::default());
    // What the first one leaves, such as a bridge, and what it alone asks for is not in the figures.
    for round in 0..=rounds {
        let before = installation.account.cpu()?;
        sleep(Duration::from_millis(60));
        let waited = installation.account.cpu()? - before;
        let by_podconfig = through_podconfig(&installation, &pods[0], kind, check)?;
        let by_hand = by_hand(&pods[1], kind, check)?;
        if round > 0 {
            idle.push(Cost {
                cpu: waited,
                wall: f64::NAN,
            });
            ours.push(by_podconfig);
            theirs.push(by_hand);
        }
    }
    let what = format!("{}, check: {}", kind.title(), check.name());
    table.title(&format!(
        "One link, {what}; {rounds} rounds by turns, files on a tmpfs"
    ));
    table.row_to(
        "podconfig: daemon, runner, plugins",
        ours.median(),
        Some(ours.cpu_to(&theirs)),
        "by hand",
    );
    table.row("the same chain by hand", theirs.median());
    table.row("daemon and runner idle for 60 ms", idle.median());
    table.bar(
        &format!("{what}, CPU to the chain by hand"),
        BAR,
        ours.cpu_to(&theirs),
    );
    table.bar(
        &format!("{what}, wall to the chain by hand"),
        BAR,
        ours.wall_to(&theirs),
    );
    Ok(())
}

/// From the rename of the manifest to the report `LinkReady`; the CPU time with all that follows.
fn through_podconfig(
    installation: &Installation,
    pod: &Pod,
    kind: Kind,
    check: Check,
) -> Result<Cost> {
    let pods = std::slice::from_ref(pod);
    let cpu = installation.account.cpu()?;
    let start = Instant::now();
    grant(&pod.name, pods, &[kind], check)?;
    let wall = micros(wanted::ready(pods)? - start);
    if check == Check::Report {
        sleep(CHECK_AFTER);
    }
    installation.settle()?;
    let cpu = installation.account.cpu()? - cpu;
    withdraw(&pod.name, pods)?;
    installation.settle()?;
    Ok(Cost { cpu, wall })
}

/// The wall time of ADD; the CPU time with that of a CHECK, where podconfig does one as well.
fn by_hand(pod: &Pod, kind: Kind, check: Check) -> Result<Cost> {
    let hand = Hand::new(pod, kind)?;
    wish::rest();
    let (mut cost, result) = hand::cost(|| hand.add())?;
    if check == Check::Report {
        cost.cpu += hand::cost(|| hand.check(&result))?.0.cpu;
    }
    hand.del(&result)?;
    Ok(cost)
}

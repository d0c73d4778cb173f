//! 200 pods with three links each: added, changed in place, kept over a restart, and removed.

/// What was measured, and how it reads.
mod figures;

use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow, ensure};

use figures::{DELETIONS, Figures, single_deletions};

use crate::{
    Programs,
    cost::{Cost, Whose, micros},
    daemon::Daemon,
    ears::{Ears, Heard},
    floor::{Floor, Wish},
    manifest,
    node::{self, Pod},
    paper,
    table::Table,
};

const ROUNDS: usize = 4;
const PODS: usize = 200;
const LINKS: [(&str, &str); 3] = [("data0", "blue"), ("sync0", "green"), ("bulk0", "red")];
const ALL: usize = PODS * LINKS.len();
const MTU: u32 = 1500;
const CHANGED_MTU: u32 = 1400;
const MEGABYTES: f64 = 25.0;
/// For up to two seconds behind a new link the kernel probes its IPv6 address, under the same lock
/// that makes links: one's links must not be probed in the other's turn.
pub const CALM: Duration = Duration::from_millis(2200);

/// The daemon's pods and the floor's.
struct Field<'a> {
    pods: Vec<Pod>,
    ears: Ears,
    floor: &'a mut Floor,
    floor_pods: Vec<Pod>,
    floor_ears: Ears,
    bridges: Vec<u32>,
    figures: Figures,
    kept_numbers: bool,
}

/// The daemon that runs at the end.
pub fn run(
    mut daemon: Daemon,
    programs: &Programs,
    floor: &mut Floor,
    table: &mut Table,
) -> Result<Daemon> {
    let mut field = Field::prepare(&daemon, floor)?;
    let (at_first, mut resident) = (daemon.resident()?, 0.0_f64);
    table.title(&format!("{PODS} pods with {} links each, all veth, {ROUNDS} rounds by turns; a row is for all {ALL}", LINKS.len()));
    for _ in 0..ROUNDS {
        let hosts = field.by_hand()?;
        field.add(&daemon)?;
        field.change(&daemon)?;
        resident = resident.max(daemon.resident()?);
        daemon = field.restart(daemon, programs)?;
        let (few, others) = hosts.split_at(DELETIONS);
        let single = single_deletions(field.floor, few)?;
        field.figures.single.push(single.median());
        node::within("hub", || field.floor.delete_all(others))?;
        field.remove(&daemon)?;
        resident = resident.max(daemon.resident()?);
    }
    field.figures.show(table);
    table.judge(
        "changed in place",
        "every link kept its number",
        field.kept_numbers,
    );
    table.note(format!(
        "the most that was resident with 200 pods and no link, before: {:.1} MB",
        at_first / 1024.0
    ));
    table.bar_on(
        "resident memory of the daemon, the most at any moment",
        MEGABYTES,
        resident / 1024.0,
        " MB",
    );
    Ok(daemon)
}

impl<'a> Field<'a> {
    fn prepare(daemon: &Daemon, floor: &'a mut Floor) -> Result<Self> {
        let (pods, floor_pods) = (
            node::make_pods("many", PODS)?,
            node::make_pods("floor", PODS)?,
        );
        let bridges = LINKS
            .iter()
            .map(|(_, bridge)| floor.bridge(bridge))
            .collect::<Result<Vec<_>>>()?;
        let (ears, floor_ears) = (
            node::within("podconfig", Ears::elsewhere)?,
            node::within("hub", Ears::elsewhere)?,
        );
        node::record("many", &pods.iter().collect::<Vec<_>>())?;
        daemon.settle()?;
        let (figures, kept_numbers) = (Figures::default(), true);
        Ok(Self {
            pods,
            ears,
            floor,
            floor_pods,
            floor_ears,
            bridges,
            figures,
            kept_numbers,
        })
    }

    fn by_hand(&mut self) -> Result<Vec<u32>> {
        sleep(CALM);
        let Self {
            floor,
            floor_pods,
            floor_ears,
            bridges,
            ..
        } = self;
        let start = Instant::now();
        let (cost, hosts, there) = std::thread::scope(|scope| {
            let make = || {
                node::within("hub", || {
                    Whose::Thread.cost(|| make_all(floor, floor_pods, bridges))
                })
            };
            let maker = scope.spawn(make);
            let there =
                floor_ears.until("the floor's links", |ears| ears.count(|_| true) == ALL)?;
            let (cost, hosts) = maker
                .join()
                .unwrap_or_else(|_| Err(anyhow!("the floor panicked")))?;
            anyhow::Ok((cost, hosts, there))
        })?;
        self.figures.floor.push(Cost {
            wall: micros(there - start),
            ..cost
        });
        self.floor_ears.links.clear();
        Ok(hosts)
    }

    fn add(&mut self, daemon: &Daemon) -> Result<()> {
        let text = manifests(&self.pods, 10, MTU);
        let cost = self.wish(daemon, &text, "all links", |_| true)?;
        self.figures.add.push(cost);
        self.figures.parse.push(paper::parse(&text)?);
        let names = || self.pods.iter().map(|pod| pod.name.as_str());
        let reports = paper::reports(names(), names())?;
        self.figures.write.push(paper::write(&reports)?);
        Ok(())
    }

    fn change(&mut self, daemon: &Daemon) -> Result<()> {
        let (numbers, gone) = (numbers(&self.ears), self.ears.gone);
        let text = manifests(&self.pods, 11, CHANGED_MTU);
        let is_changed = |link: &Heard| {
            link.mtu == CHANGED_MTU && link.addresses.iter().all(|address| address[0] == 11)
        };
        let cost = self.wish(daemon, &text, "all changes", is_changed)?;
        self.figures.change.push(cost);
        self.kept_numbers &= numbers == self::numbers(&self.ears) && gone == self.ears.gone;
        Ok(())
    }

    /// From the rename until it is heard to be so; the CPU time with all that comes behind it.
    fn wish(
        &mut self,
        daemon: &Daemon,
        text: &str,
        what: &str,
        holds: impl Fn(&Heard) -> bool,
    ) -> Result<Cost> {
        node::prepare("many", text)?;
        sleep(CALM);
        let (cpu, start) = (daemon.cpu().cpu()?, Instant::now());
        node::show("many")?;
        let wall = micros(self.ears.until(what, |ears| ears.count(&holds) == ALL)? - start);
        daemon.settle()?;
        Ok(Cost {
            cpu: daemon.cpu().cpu()? - cpu,
            wall,
        })
    }

    fn remove(&mut self, daemon: &Daemon) -> Result<()> {
        sleep(CALM);
        let (cpu, start) = (daemon.cpu().cpu()?, Instant::now());
        node::withdraw("many")?;
        let wall = micros(
            self.ears
                .until("all links to go", |ears| ears.links.is_empty())?
                - start,
        );
        daemon.settle()?;
        self.figures.remove.push(Cost {
            cpu: daemon.cpu().cpu()? - cpu,
            wall,
        });
        Ok(())
    }

    fn restart(&mut self, daemon: Daemon, programs: &Programs) -> Result<Daemon> {
        let (gone, ended) = (self.ears.gone, daemon.stop()?);
        let (daemon, ready) = Daemon::start(&programs.daemon)?;
        self.figures.restart.push(Cost {
            cpu: daemon.cpu().cpu()?,
            wall: micros(ready),
        });
        self.figures.end.push(Cost {
            cpu: f64::NAN,
            wall: micros(ended),
        });
        daemon.settle()?;
        self.figures.sent_by_restart += Daemon::metric("reconfd_netlink_changes_total")?;
        self.ears.hear()?;
        let went = self.ears.gone - gone;
        ensure!(went == 0, "{went} links went in the restart");
        Ok(daemon)
    }
}

fn address(first: u8, pod: usize, link: usize) -> Ipv4Addr {
    Ipv4Addr::new(
        first,
        100 + link as u8,
        (pod / 200) as u8,
        (pod % 200 + 1) as u8,
    )
}

fn manifests(pods: &[Pod], first: u8, mtu: u32) -> String {
    let of_pod = |pod: &Pod| {
        let link = |(n, (link, bridge)): (usize, &(&'static str, &'static str))| {
            (*link, *bridge, address(first, pod.number, n))
        };
        let links: Vec<_> = LINKS.iter().enumerate().map(link).collect();
        manifest::config(&pod.name, &links, mtu)
    };
    pods.iter().map(of_pod).collect()
}

fn make_all(floor: &mut Floor, pods: &[Pod], bridges: &[u32]) -> Result<Vec<u32>> {
    let mut hosts = Vec::with_capacity(ALL);
    for pod in pods {
        for (n, (name, _)) in LINKS.iter().enumerate() {
            let address = address(10, pod.number, n);
            hosts.push(floor.make(&Wish {
                pod,
                name,
                address: Some(address),
                bridge: bridges[n],
                mtu: MTU,
                untagged: false,
            })?);
        }
    }
    Ok(hosts)
}

/// Namespace and number of every link.
fn numbers(ears: &Ears) -> BTreeSet<(i32, u32)> {
    ears.links.keys().copied().collect()
}

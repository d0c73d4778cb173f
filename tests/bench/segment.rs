//! 100 pods on one vxlan segment, by one PodConfig for all of them: added, one peer changed in place, and
//! removed. Against the same by hand.

use std::{net::Ipv4Addr, thread::sleep, time::Instant};

use ::node::filter::Tunnel;
use anyhow::{Result, anyhow};

use crate::{
    cost::{Cost, Costs, Whose, median, micros},
    daemon::Daemon,
    ears::Ears,
    floor::{
        Floor, HUB, Wish,
        segment::{Filter, Reach, Segment},
    },
    manifest,
    many::CALM,
    node::{self, Pod},
    paper,
    table::Table,
    tunnel::{MTU, PEERS},
    wish::LINK,
};

const ROUNDS: usize = 4;
const PODS: usize = 100;
/// Name of the PodConfig, and what its pods are called.
const ALL: &str = "segment";
const VNI: u32 = 10043;
const TUNNEL: Tunnel = Tunnel {
    vni: VNI,
    port: 4791,
};
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 4);

/// Round by round; each is for all pods.
#[derive(Default)]
struct Figures {
    add: Costs,
    change: Costs,
    remove: Costs,
    sent: Vec<f64>,
    floor_add: Costs,
    floor_change: Costs,
    floor_remove: Costs,
    parse: Costs,
    write: Costs,
}

struct Field<'a> {
    daemon: &'a Daemon,
    floor: &'a mut Floor,
    filter: Filter,
    underlay: u32,
    pods: Vec<Pod>,
    floor_pods: Vec<Pod>,
    ears: Ears,
    floor_ears: Ears,
    figures: Figures,
}

pub fn run(daemon: &Daemon, floor: &mut Floor, table: &mut Table) -> Result<()> {
    let pods = node::make_pods(ALL, PODS)?;
    node::record(ALL, &pods.iter().collect::<Vec<_>>())?;
    let mut field = Field {
        daemon,
        floor,
        filter: Filter::new()?,
        underlay: node::uplink()?,
        pods,
        floor_pods: node::make_pods("by-hand", PODS)?,
        ears: node::within("podconfig", Ears::elsewhere)?,
        floor_ears: node::within(HUB, Ears::elsewhere)?,
        figures: Figures::default(),
    };
    daemon.settle()?;
    for _ in 0..ROUNDS {
        let (segment, hosts) = field.add_by_hand()?;
        field.change_by_hand(segment, &hosts)?;
        field.remove_by_hand(segment, hosts)?;
        field.by_daemon()?;
    }
    field.figures.show(table);
    Ok(())
}

fn manifest(peers: &[Ipv4Addr]) -> String {
    let peers: Vec<String> = peers.iter().map(ToString::to_string).collect();
    let link = format!(
        "{{name: {LINK}, vxlan: {{underlay: eth1, vni: {VNI}, peers: {{addresses: [{}]}}}}}}",
        peers.join(", ")
    );
    manifest::on(ALL, &format!("set: {ALL}"), &link)
}

fn up(ears: &Ears) -> usize {
    let links = ears.links.values();
    links.filter(|link| link.up && link.name == LINK).count()
}

fn none(ears: &Ears) -> bool {
    ears.links.values().all(|link| link.name != LINK)
}

impl Field<'_> {
    /// Does something on a thread in the hub until it is heard to be done.
    fn by_hand<T: Send>(
        &mut self,
        deed: impl FnOnce(&mut Floor) -> Result<T> + Send,
        holds: impl Fn(&Ears) -> bool,
    ) -> Result<(Cost, T)> {
        let (floor, ears) = (&mut *self.floor, &mut self.floor_ears);
        let start = Instant::now();
        std::thread::scope(|scope| {
            let deed = || node::within(HUB, || Whose::Thread.cost(|| deed(floor)));
            let doer = scope.spawn(deed);
            let there = ears.until("the floor's links", holds)?;
            let done = doer
                .join()
                .unwrap_or_else(|_| Err(anyhow!("the floor panicked")));
            let (cost, value) = done?;
            let wall = micros(there - start);
            Ok((Cost { wall, ..cost }, value))
        })
    }

    fn filter(&self, peers: &[Ipv4Addr]) -> Result<Cost> {
        let transaction = self.filter.prepare(TUNNEL, self.underlay, peers);
        Ok(Whose::Thread.cost(|| self.filter.write(transaction))?.0)
    }

    fn add_by_hand(&mut self) -> Result<(Segment, Vec<u32>)> {
        sleep(CALM);
        let filter = self.filter(&PEERS)?;
        let (pods, underlay) = (self.floor_pods.clone(), self.underlay);
        let reach = Reach::Vxlan {
            vni: VNI,
            port: TUNNEL.port,
            peers: PEERS.to_vec(),
        };
        let make = |floor: &mut Floor| {
            let segment = floor.segment(ALL, &reach, underlay, MTU)?;
            let link = |pod: &Pod| floor.make(&wish(pod, segment.bridge));
            let hosts = pods.iter().map(link).collect::<Result<Vec<_>>>()?;
            Ok((segment, hosts))
        };
        let (cost, made) = self.by_hand(make, |ears| up(ears) == PODS)?;
        self.figures.floor_add.push(filter + cost);
        Ok(made)
    }

    fn change_by_hand(&mut self, segment: Segment, hosts: &[u32]) -> Result<()> {
        let filter = self.filter(&[PEERS[0], OTHER])?;
        let floor = &*self.floor;
        let (cost, ()) = node::within(HUB, || {
            Whose::Thread.cost(|| {
                floor.change_peer(segment.device, OTHER, PEERS[1])?;
                floor.mark_all(hosts, LINK)
            })
        })?;
        self.figures.floor_change.push(filter + cost);
        Ok(())
    }

    fn remove_by_hand(&mut self, segment: Segment, mut hosts: Vec<u32>) -> Result<()> {
        sleep(CALM);
        hosts.extend([segment.device, segment.bridge]);
        let remove = |floor: &mut Floor| floor.delete_all(&hosts);
        let (cost, ()) = self.by_hand(remove, none)?;
        self.figures.floor_remove.push(cost + self.filter(&[])?);
        Ok(())
    }

    fn by_daemon(&mut self) -> Result<()> {
        let text = manifest(&PEERS);
        let cost = self.wish(&text, |ears| up(ears) == PODS)?;
        self.figures.add.push(cost);
        self.figures.parse.push(paper::parse(&text)?);
        let names = self.pods.iter().map(|pod| pod.name.as_str());
        let reports = paper::reports(names, [ALL].into_iter())?;
        self.figures.write.push(paper::write(&reports)?);
        let sent = Daemon::metric("reconfd_netlink_changes_total")?;
        // What changes is in the switch, and no pod hears of it.
        let cost = self.wish(&manifest(&[PEERS[0], OTHER]), |_| true)?;
        self.figures.change.push(cost);
        let sent = Daemon::metric("reconfd_netlink_changes_total")? - sent;
        self.figures.sent.push(sent);
        sleep(CALM);
        let (cpu, start) = (self.daemon.cpu().cpu()?, Instant::now());
        node::withdraw(ALL)?;
        let wall = micros(self.ears.until("all links to go", none)? - start);
        self.daemon.settle()?;
        let cpu = self.daemon.cpu().cpu()? - cpu;
        self.figures.remove.push(Cost { cpu, wall });
        Ok(())
    }

    /// From the rename until it is heard to be so; the CPU time with all that comes behind it.
    fn wish(&mut self, text: &str, holds: impl Fn(&Ears) -> bool) -> Result<Cost> {
        node::prepare(ALL, text)?;
        sleep(CALM);
        let (cpu, start) = (self.daemon.cpu().cpu()?, Instant::now());
        let told = paper::Told::new()?;
        node::show(ALL)?;
        self.ears.hear()?;
        let there = match holds(&self.ears) {
            true => told.until(ALL)?,
            false => self.ears.until("all links", holds)?,
        };
        self.daemon.settle()?;
        let cpu = self.daemon.cpu().cpu()? - cpu;
        let wall = micros(there - start);
        Ok(Cost { cpu, wall })
    }
}

fn wish(pod: &Pod, bridge: u32) -> Wish<'_> {
    Wish {
        pod,
        name: LINK,
        address: None,
        bridge,
        mtu: MTU,
        untagged: false,
    }
}

impl Figures {
    fn show(&self, table: &mut Table) {
        table.title(&format!(
            "{PODS} pods on one vxlan segment by one PodConfig, {ROUNDS} rounds by turns; a row is for all"
        ));
        let behind = self.write.0.iter().map(|cost| Cost { wall: 0.0, ..*cost });
        let paper = self.parse.plus(&Costs(behind.collect()));
        let sums = [&self.floor_add, &self.floor_change].map(|floor| floor.plus(&paper));
        let mut row = |what: &str, costs: &Costs, sum: &Costs| {
            let to_sum = (!std::ptr::eq(costs, sum)).then(|| costs.cpu_to(sum));
            table.row_to(what, costs.median(), to_sum, "floor sum");
        };
        row("add all, rename to reports written", &self.add, &sums[0]);
        row(
            "floor sum: filter, messages, parse, reports",
            &sums[0],
            &sums[0],
        );
        row("change a peer of all in place", &self.change, &sums[1]);
        row(
            "floor sum: filter, messages, parse, reports",
            &sums[1],
            &sums[1],
        );
        row("remove all", &self.remove, &self.floor_remove);
        row(
            "floor: messages, filter",
            &self.floor_remove,
            &self.floor_remove,
        );
        let write = self.write.median().cpu;
        table.note(format!(
            "{} reports, in the sums of add and change: {write:.0} us of CPU",
            PODS + 1
        ));
        let sent = median(self.sent.iter().copied());
        table.note(format!(
            "messages that the daemon sent to change a peer: {sent:.0}"
        ));
        table.bar(
            "segment: add all, CPU to the floor sum",
            1.5,
            self.add.cpu_to(&sums[0]),
        );
        table.bar(
            "segment: add all, wall to the floor sum",
            1.5,
            self.add.wall_to(&sums[0]),
        );
        let of_remove = self.remove.cpu_to(&self.floor_remove);
        table.bar("segment: remove all, CPU to the floor", 1.5, of_remove);
    }
}

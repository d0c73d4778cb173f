//! One link to a running pod: through the daemon, by running CNI once more, with `ip`, and by hand.

use std::{net::Ipv4Addr, thread::sleep, time::Duration};

use anyhow::Result;
use serde_json::json;

use crate::{
    cni,
    cost::{Costs, Whose},
    daemon::Daemon,
    ears::Ears,
    floor::{Floor, HUB, Wish},
    manifest,
    node::{self, Pod},
    same::{self, Side},
    table::Table,
    wish::{self, By, LINK, Wishes},
};

const ROUNDS: usize = 40;
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 9);
const HOLDER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 8);
const MTU: u32 = 1500;
/// The pods of the four ways, and one that holds the daemon's bridge.
const PODS: usize = 5;

/// The figures of all rounds.
#[derive(Default)]
struct Figures {
    wishes: Wishes,
    floor: Costs,
    cni: Costs,
    ip: Costs,
    idle: Costs,
}

struct Ways<'a> {
    daemon: &'a Daemon,
    floor: &'a mut Floor,
    bridge: u32,
    pods: Vec<Pod>,
    ears: Ears,
    figures: Figures,
}

pub fn run(daemon: &Daemon, floor: &mut Floor, table: &mut Table) -> Result<()> {
    let mut ways = Ways::prepare(daemon, floor)?;
    for round in 0..ROUNDS {
        ways.round(round + 1 == ROUNDS, table)?;
    }
    ways.show(table);
    node::withdraw(&ways.pods[0].name)?;
    node::withdraw(&ways.pods[4].name)?;
    daemon.settle()
}

impl<'a> Ways<'a> {
    fn prepare(daemon: &'a Daemon, floor: &'a mut Floor) -> Result<Self> {
        let bridge = floor.bridge("br0")?;
        let pods = node::make_pods("one", PODS)?;
        let ears = node::within(&pods[0].name, Ears::here)?;
        node::record("one", &[&pods[0], &pods[4]])?;
        let holder = &pods[4].name;
        node::apply(holder, &manifest::one(holder, HOLDER, MTU))?;
        node::within(HUB, || {
            node::ip("link add ipbr type bridge")?;
            node::ip("link set ipbr up")
        })?;
        daemon.settle()?;
        Ok(Self {
            daemon,
            floor,
            bridge,
            pods,
            ears,
            figures: Figures::default(),
        })
    }

    fn round(&mut self, last: bool, table: &mut Table) -> Result<()> {
        self.by_daemon()?;
        let host = self.by_hand()?;
        self.by_cni()?;
        self.by_ip()?;
        if last {
            table.title(&format!(
                "One link to a running pod, {ROUNDS} rounds by turns"
            ));
            let side = |space, at: usize| Side {
                space,
                pod: &self.pods[at].name,
            };
            return same::compare(table, "veth", &[[side("podconfig", 0), side(HUB, 1)]]);
        }
        node::within(HUB, || self.floor.delete(host))?;
        wish::withdraw(self.daemon, &mut self.ears, &self.pods[0].name)
    }

    fn by_daemon(&mut self) -> Result<()> {
        let (idle, ()) = self.daemon.cpu().cost(|| {
            sleep(Duration::from_millis(60));
            Ok(())
        })?;
        self.figures.idle.push(idle);
        let name = &self.pods[0].name;
        let text = manifest::one(name, ADDRESS, MTU);
        let wishes = &mut self.figures.wishes;
        wishes.grant(self.daemon, &mut self.ears, name, &text)
    }

    fn by_hand(&mut self) -> Result<u32> {
        let wish = Wish {
            pod: &self.pods[1],
            name: LINK,
            address: Some(ADDRESS),
            bridge: self.bridge,
            mtu: MTU,
            untagged: false,
        };
        wish::rest();
        let floor = &mut *self.floor;
        let (cost, host) = node::within(HUB, || Whose::Thread.cost(|| floor.make(&wish)))?;
        self.figures.floor.push(cost);
        Ok(host)
    }

    /// The `bridge` plugin with `host-local`, run by hand for one more interface.
    fn by_cni(&mut self) -> Result<()> {
        let entry = json!({"type": "bridge", "bridge": "cni1"});
        let (cost, ()) = Whose::Children.cost(|| cni::run(&self.pods[2], &entry, "ADD"))?;
        self.figures.cni.push(cost);
        cni::run(&self.pods[2], &entry, "DEL")
    }

    fn by_ip(&mut self) -> Result<()> {
        let pod = &self.pods[3].name;
        let steps = [
            format!(
                "-n hub link add ip0 mtu {MTU} type veth peer name data0 mtu {MTU} netns {pod}"
            ),
            "-n hub link set ip0 master ipbr".to_owned(),
            "-n hub link set ip0 up".to_owned(),
            format!("-n {pod} address add {ADDRESS}/16 dev data0"),
            format!("-n {pod} link set data0 up"),
        ];
        let (cost, ()) =
            Whose::Children.cost(|| steps.iter().try_for_each(|step| node::ip(step)))?;
        self.figures.ip.push(cost);
        node::ip("-n hub link del ip0")
    }

    fn show(&self, table: &mut Table) {
        let Figures {
            wishes,
            floor,
            cni,
            ip,
            idle,
        } = &self.figures;
        wishes.show(
            table,
            By::Cpu,
            "one link",
            &[("messages by hand, two sends", floor)],
        );
        let daemon = &wishes.whole;
        table.row_to(
            "bridge with host-local, run once more",
            cni.median(),
            Some(cni.cpu_to(daemon)),
            "of daemon",
        );
        table.row_to(
            "ip, five commands",
            ip.median(),
            Some(ip.cpu_to(daemon)),
            "of daemon",
        );
        table.row("daemon idle for 60 ms", idle.median());
        table.note(
            "the daemon's wall time is until the link is up with its address, heard in the pod",
        );
        let got = wishes.until.wall_to(cni);
        table.bar("one link, wall to the bridge plugin", 0.25, got);
    }
}

//! One vlan link to a running pod: on a bridge that the node's pods share (mode Shared), and as the
//! device itself in the pod (mode Exclusive). Against the same by hand, and against Debian's `vlan`
//! plugin, run once more: what it makes is what Exclusive makes.

use std::{net::Ipv4Addr, process::Command};

use anyhow::Result;
use serde_json::json;

use crate::{
    cni,
    cost::{Costs, Whose},
    daemon::Daemon,
    ears::Ears,
    floor::{
        Floor, HUB, Wish,
        segment::{Reach, Segment, delete_in_pod},
    },
    manifest,
    node::{self, Pod},
    same::{self, Side},
    table::Table,
    wish::{self, By, LINK, Wishes},
};

const ROUNDS: usize = 15;
const MTU: u32 = 1500;
/// The links of each way, which are the pods 0 to 3 of the daemon and 4 to 7 of the floor. The veth is
/// there to compare with: other rows of the table are of another kernel.
const FIRST: usize = 0;
const FURTHER: usize = 1;
const EXCLUSIVE: usize = 2;
const VETH: usize = 3;
const LINKS: usize = 4;
const OF_PLUGIN: usize = 2 * LINKS;
/// Ids: the daemon's shared one and its exclusive one, then the floor's, then the plugin's.
const SHARED_ID: u16 = 100;
const EXCLUSIVE_ID: u16 = 101;
const FLOOR_IDS: u16 = 200;
const PLUGIN_ID: u16 = 300;

#[derive(Default)]
struct Figures {
    wishes: [Wishes; LINKS],
    floor_segment: Costs,
    floor_bridge: Costs,
    floor: [Costs; LINKS],
    plugin: Costs,
    nothing: Costs,
}

struct Ways<'a> {
    daemon: &'a Daemon,
    floor: &'a mut Floor,
    parent: u32,
    pods: Vec<Pod>,
    ears: Vec<Ears>,
    figures: Figures,
}

pub fn run(daemon: &Daemon, floor: &mut Floor, by: By, table: &mut Table) -> Result<()> {
    let pods = node::make_pods("vlan", OF_PLUGIN + 1)?;
    let ours = &pods[..LINKS];
    node::record("vlan", &ours.iter().collect::<Vec<_>>())?;
    let listen = |pod: &Pod| node::within(&pod.name, Ears::here);
    let mut ways = Ways {
        daemon,
        floor,
        parent: node::uplink()?,
        ears: ours.iter().map(listen).collect::<Result<_>>()?,
        pods,
        figures: Figures::default(),
    };
    daemon.settle()?;
    for round in 0..ROUNDS {
        ways.round(round + 1 == ROUNDS, table)?;
    }
    ways.figures.show(table, by);
    Ok(())
}

fn address(link: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 80, 0, 1 + link as u8)
}

fn manifest(name: &str, link: usize) -> String {
    let way = match link {
        VETH => return manifest::one(name, address(link), MTU),
        EXCLUSIVE => format!("id: {EXCLUSIVE_ID}, mode: Exclusive"),
        _ => format!("id: {SHARED_ID}"),
    };
    let address = address(link);
    let link =
        format!("{{name: {LINK}, vlan: {{parent: eth1, {way}}}, addresses: [{address}/16]}}");
    manifest::on(name, &format!("pod: {name}"), &link)
}

impl Ways<'_> {
    fn round(&mut self, last: bool, table: &mut Table) -> Result<()> {
        for link in 0..LINKS {
            let name = &self.pods[link].name;
            let (wishes, ears) = (&mut self.figures.wishes[link], &mut self.ears[link]);
            wishes.grant(self.daemon, ears, name, &manifest(name, link))?;
        }
        let (in_hub, in_pod) = self.by_hand()?;
        self.by_plugin()?;
        if last {
            table.title(&format!(
                "One vlan link to a running pod, {ROUNDS} rounds by turns"
            ));
            self.compare(table)?;
        }
        self.clear(&in_hub, in_pod)
    }

    fn by_hand(&mut self) -> Result<(Vec<u32>, u32)> {
        let (floor, parent) = (&mut *self.floor, self.parent);
        let reach = Reach::Vlan(FLOOR_IDS);
        let segment = || floor.segment("vlan", &reach, parent, MTU);
        wish::rest();
        let (cost, Segment { bridge, device }) = node::within(HUB, || Whose::Thread.cost(segment))?;
        self.figures.floor_segment.push(cost);
        wish::rest();
        let (cost, alone) = node::within(HUB, || Whose::Thread.cost(|| floor.bridge("alone")))?;
        self.figures.floor_bridge.push(cost);
        let mut hosts = vec![device, bridge, alone];
        for link in [FIRST, FURTHER] {
            hosts.push(self.link_by_hand(link, bridge)?);
        }
        hosts.push(self.link_by_hand(VETH, alone)?);
        Ok((hosts, self.link_by_hand(EXCLUSIVE, 0)?))
    }

    fn link_by_hand(&mut self, link: usize, bridge: u32) -> Result<u32> {
        let wish = Wish {
            pod: &self.pods[LINKS + link],
            name: LINK,
            address: Some(address(link)),
            bridge,
            mtu: MTU,
            untagged: link != VETH,
        };
        let (floor, parent) = (&mut *self.floor, self.parent);
        let make = || match link {
            EXCLUSIVE => floor.exclusive(&wish, &Reach::Vlan(FLOOR_IDS + 1), parent),
            _ => floor.make(&wish),
        };
        wish::rest();
        let (cost, index) = node::within(HUB, || Whose::Thread.cost(make))?;
        self.figures.floor[link].push(cost);
        Ok(index)
    }

    fn by_plugin(&mut self) -> Result<()> {
        let nothing = || {
            let status = Command::new("/bin/true").status()?;
            anyhow::ensure!(status.success(), "true: {status}");
            Ok(())
        };
        self.figures.nothing.push(Whose::Children.cost(nothing)?.0);
        let pod = &self.pods[OF_PLUGIN];
        let entry = json!({"type": "vlan", "master": "eth1", "vlanId": PLUGIN_ID});
        let (cost, ()) = Whose::Children.cost(|| cni::run(pod, &entry, "ADD"))?;
        self.figures.plugin.push(cost);
        cni::run(pod, &entry, "DEL")
    }

    fn compare(&self, table: &mut Table) -> Result<()> {
        let side = |space, at: usize| Side {
            space,
            pod: &self.pods[at].name,
        };
        let pair = |link: usize| [side("podconfig", link), side(HUB, LINKS + link)];
        let pairs = [FIRST, FURTHER, EXCLUSIVE, VETH].map(pair);
        same::compare(table, "vlan, Shared and Exclusive, and the veth", &pairs)
    }

    fn clear(&mut self, in_hub: &[u32], in_pod: u32) -> Result<()> {
        let pod = &self.pods[LINKS + EXCLUSIVE].name;
        node::within(pod, || delete_in_pod(in_pod))?;
        node::within(HUB, || self.floor.delete_all(in_hub))?;
        for link in (0..LINKS).rev() {
            wish::withdraw(self.daemon, &mut self.ears[link], &self.pods[link].name)?;
        }
        Ok(())
    }
}

impl Figures {
    fn show(&self, table: &mut Table, by: By) {
        let [first, further, exclusive, veth] = &self.wishes;
        let segment = ("bridge and vlan by hand, three sends", &self.floor_segment);
        let by_hand = |link: usize| ("veth by hand, two sends", &self.floor[link]);
        let all = [segment, by_hand(FIRST)];
        first.show(table, by, "Shared, first of its id", &all);
        further.show(table, by, "Shared, further one", &[by_hand(FURTHER)]);
        let device = ("vlan in the pod by hand, two sends", &self.floor[EXCLUSIVE]);
        exclusive.show(table, by, "Exclusive", &[device]);
        let bridge = ("bridge by hand", &self.floor_bridge);
        let what = "for comparison, a veth on a new bridge";
        veth.show(table, by, what, &[bridge, by_hand(VETH)]);
        for (way, wishes) in [("Exclusive", exclusive), ("Shared, first", first)] {
            let cpu = Some(by.ratio(&self.plugin, &wishes.until));
            let what = format!("vlan with host-local, run once more, to {way}");
            table.row_to(&what, self.plugin.median(), cpu, "of daemon");
            let got = wishes.until.wall_to(&self.plugin);
            table.bar(&format!("{way}, wall to the vlan plugin"), 0.25, got);
        }
        let share = Some(by.ratio(&self.nothing, &self.plugin));
        table.row_to(
            "start of a program that does nothing",
            self.nothing.median(),
            share,
            "of plugin",
        );
        table.note("Shared is a veth on the bridge of the vlan; Exclusive and the plugin put the vlan itself into the pod");
    }
}

//! One vxlan link to a running pod: the first of its segment, which brings bridge, device, peers and
//! filter with it, and a further one, which is a veth on the bridge. Each against the same by hand.

use std::net::Ipv4Addr;

use ::node::filter::Tunnel;
use anyhow::Result;

use crate::{
    cost::{Costs, Whose},
    daemon::Daemon,
    ears::Ears,
    floor::{
        Floor, HUB, Wish,
        segment::{Filter, Reach, Segment},
    },
    manifest,
    node::{self, Pod},
    same::{self, Side},
    table::Table,
    wish::{self, By, LINK, Wishes},
};

const ROUNDS: usize = 25;
const VNI: u32 = 10042;
/// Not the usual one, which is the daemon's: the second of the two would find the socket of the first.
const FLOOR_PORT: u16 = 4790;
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 79, 0, 1);
const FURTHER: Ipv4Addr = Ipv4Addr::new(10, 79, 0, 2);
pub const PEERS: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 9, 0, 2), Ipv4Addr::new(10, 9, 0, 3)];
/// Of the underlay's 1500.
pub const MTU: u32 = 1450;

#[derive(Default)]
struct Figures {
    first: Wishes,
    further: Wishes,
    floor_segment: Costs,
    floor_first: Costs,
    floor_further: Costs,
    filter: Costs,
}

struct Ways<'a> {
    daemon: &'a Daemon,
    floor: &'a mut Floor,
    filter: Filter,
    underlay: u32,
    /// The first and the further one of the daemon, then those of the floor.
    pods: Vec<Pod>,
    ears: [Ears; 2],
    figures: Figures,
}

pub fn run(daemon: &Daemon, floor: &mut Floor, table: &mut Table) -> Result<()> {
    let pods = node::make_pods("tunnel", 4)?;
    node::record("tunnel", &[&pods[0], &pods[1]])?;
    let listen = |at: usize| node::within(&pods[at].name, Ears::here);
    let mut ways = Ways {
        daemon,
        floor,
        filter: Filter::new()?,
        underlay: node::uplink()?,
        ears: [listen(0)?, listen(1)?],
        pods,
        figures: Figures::default(),
    };
    daemon.settle()?;
    for round in 0..ROUNDS {
        ways.round(round + 1 == ROUNDS, table)?;
    }
    ways.figures.show(table);
    Ok(())
}

/// The wish of one pod for a link on the tunnel.
pub fn manifest(name: &str, vni: u32, peers: &[Ipv4Addr], address: Ipv4Addr) -> String {
    let peers: Vec<String> = peers.iter().map(ToString::to_string).collect();
    let link = format!(
        "{{name: {LINK}, vxlan: {{underlay: eth1, vni: {vni}, peers: {{addresses: [{}]}}}}, addresses: [{address}/16]}}",
        peers.join(", ")
    );
    manifest::on(name, &format!("pod: {name}"), &link)
}

impl Ways<'_> {
    fn round(&mut self, last: bool, table: &mut Table) -> Result<()> {
        self.by_daemon()?;
        let (segment, hosts) = self.by_hand()?;
        if last {
            table.title(&format!(
                "One vxlan link to a running pod, {ROUNDS} rounds by turns"
            ));
            self.compare(table)?;
        }
        let all = [hosts[0], hosts[1], segment.device, segment.bridge];
        node::within(HUB, || self.floor.delete_all(&all))?;
        self.filter
            .write(self.filter.prepare(TUNNEL, self.underlay, &[]))?;
        for at in [1, 0] {
            wish::withdraw(self.daemon, &mut self.ears[at], &self.pods[at].name)?;
        }
        Ok(())
    }

    fn by_daemon(&mut self) -> Result<()> {
        let Figures { first, further, .. } = &mut self.figures;
        for (at, wishes, address) in [(0, first, FIRST), (1, further, FURTHER)] {
            let name = &self.pods[at].name;
            let text = manifest(name, VNI, &PEERS, address);
            wishes.grant(self.daemon, &mut self.ears[at], name, &text)?;
        }
        Ok(())
    }

    fn by_hand(&mut self) -> Result<(Segment, [u32; 2])> {
        wish::rest();
        let transaction = self.filter.prepare(TUNNEL, self.underlay, &PEERS);
        let (cost, ()) = Whose::Thread.cost(|| self.filter.write(transaction))?;
        self.figures.filter.push(cost);
        let reach = Reach::Vxlan {
            vni: VNI,
            port: FLOOR_PORT,
            peers: PEERS.to_vec(),
        };
        wish::rest();
        let (floor, underlay) = (&mut *self.floor, self.underlay);
        let (cost, segment) = node::within(HUB, || {
            Whose::Thread.cost(|| floor.segment("tunnel", &reach, underlay, MTU))
        })?;
        self.figures.floor_segment.push(cost);
        let first = self.link_by_hand(2, FIRST, segment.bridge)?;
        let further = self.link_by_hand(3, FURTHER, segment.bridge)?;
        Ok((segment, [first, further]))
    }

    fn link_by_hand(&mut self, at: usize, address: Ipv4Addr, bridge: u32) -> Result<u32> {
        let wish = Wish {
            pod: &self.pods[at],
            name: LINK,
            address: Some(address),
            bridge,
            mtu: MTU,
            untagged: false,
        };
        wish::rest();
        let floor = &mut *self.floor;
        let (cost, host) = node::within(HUB, || Whose::Thread.cost(|| floor.make(&wish)))?;
        let costs = match at {
            2 => &mut self.figures.floor_first,
            _ => &mut self.figures.floor_further,
        };
        costs.push(cost);
        Ok(host)
    }

    fn compare(&self, table: &mut Table) -> Result<()> {
        let side = |space, at: usize| Side {
            space,
            pod: &self.pods[at].name,
        };
        let what = "vxlan, first and further";
        let first = [side("podconfig", 0), side(HUB, 2)];
        let further = [side("podconfig", 1), side(HUB, 3)];
        same::compare(table, what, &[first, further])
    }
}

const TUNNEL: Tunnel = Tunnel {
    vni: VNI,
    port: FLOOR_PORT,
};

impl Figures {
    fn show(&self, table: &mut Table) {
        let parts = [
            (
                "bridge, vxlan and peers by hand, three sends",
                &self.floor_segment,
            ),
            ("veth by hand, two sends", &self.floor_first),
            ("peer filter by hand, one transaction", &self.filter),
        ];
        self.first
            .show(table, By::Cpu, "first of its segment", &parts);
        let parts = [("veth by hand, two sends", &self.floor_further)];
        self.further.show(table, By::Cpu, "further one", &parts);
        table.note(
            "the filter by hand: the bytes that the daemon would send, made before, in one send",
        );
    }
}

//! What passes from pod to pod of two nodes: pod, switch, vxlan, vxlan, switch, pod. Against the same
//! links built by hand with `ip`, in one namespace per node. All in namespaces of the bench.

use std::{path::PathBuf, thread::sleep, time::Duration};

use anyhow::{Context, Result};

use crate::{cost::Costs, node, table::Table, wish::LINK};

use self::{far::Far, road::Road};

/// A node of its own, in a process of its own.
pub mod far;
/// From one pod to another.
mod road;

const ROUNDS: usize = 20;
/// The address of the second pod, on either way.
const TARGET: &str = "10.81.0.2";

#[derive(Default)]
struct Figures {
    /// For one megabyte.
    stream: Costs,
    /// For one round trip.
    trip: Costs,
}

pub fn run(table: &mut Table) -> Result<()> {
    let nodes = [Far::start(1)?, Far::start(2)?];
    // The nodes' own namespaces, and a cable between them.
    let [one, two] = [nodes[0].pid(), nodes[1].pid()];
    node::ip(&format!(
        "link add eth1 netns {one} type veth peer name eth1 netns {two}"
    ))?;
    let [mut first, mut second] = nodes;
    first.join()?;
    second.join()?;
    let by_daemon = road([first.pod(), second.pod()])?;
    let by_hand = build_by_hand()?;
    let mut figures = [Figures::default(), Figures::default()];
    for way in [&by_daemon, &by_hand] {
        way.wait_open()?;
    }
    for _ in 0..ROUNDS {
        for (way, figures) in [&by_daemon, &by_hand].into_iter().zip(&mut figures) {
            figures.stream.push(way.stream()?);
            figures.trip.push(way.round_trip()?);
        }
    }
    show(table, &figures);
    Ok(())
}

fn road([from, to]: [PathBuf; 2]) -> Result<Road> {
    Road::new(&from, &to, TARGET.parse().context("an address")?)
}

/// Namespaces `hand-1` and `hand-2`, each with a bridge, a vxlan and one end of a pod's veth.
fn build_by_hand() -> Result<Road> {
    for name in ["hand-1", "hand-2", "hand-pod-1", "hand-pod-2"] {
        node::make_namespace(name, || node::ip("link set lo up"))?;
    }
    node::ip("link add eth1 netns hand-1 type veth peer name eth1 netns hand-2")?;
    for (number, other) in [(1, 2), (2, 1)] {
        let (node, pod) = (format!("hand-{number}"), format!("hand-pod-{number}"));
        let steps = [
            format!("-n {node} address add 10.9.0.{number}/24 dev eth1"),
            format!("-n {node} link set eth1 up"),
            format!("-n {node} link add br0 type bridge"),
            format!(
                "-n {node} link add vx0 mtu 1450 type vxlan id 10044 dstport 4789 dev eth1 remote 10.9.0.{other}"
            ),
            format!("-n {node} link set vx0 master br0"),
            format!(
                "-n {node} link add p0 mtu 1450 type veth peer name {LINK} mtu 1450 netns {pod}"
            ),
            format!("-n {node} link set p0 master br0"),
            format!("-n {pod} address add 10.81.0.{number}/16 dev {LINK}"),
        ];
        let ends = ["br0", "vx0", "p0"].map(|link| format!("-n {node} link set {link} up"));
        let last = format!("-n {pod} link set {LINK} up");
        let mut all = steps.iter().chain(&ends).chain([&last]);
        all.try_for_each(|step| node::ip(step))?;
    }
    road(["hand-pod-1", "hand-pod-2"].map(node::namespace_path))
}

fn show(table: &mut Table, figures: &[Figures; 2]) {
    let [daemon, hand] = figures;
    table.title(&format!(
        "From pod to pod over a vxlan between two nodes, {ROUNDS} rounds by turns"
    ));
    let stream = Some(daemon.stream.wall_to(&hand.stream));
    table.row_to(
        "TCP, one megabyte (1e6 bytes)",
        daemon.stream.median(),
        stream,
        "by hand",
    );
    table.row("  by hand, in one namespace per node", hand.stream.median());
    let trip = Some(daemon.trip.wall_to(&hand.trip));
    table.row_to(
        "UDP, one round trip of 64 bytes",
        daemon.trip.median(),
        trip,
        "by hand",
    );
    table.row("  by hand, in one namespace per node", hand.trip.median());
    table.note("CPU is of the sending and receiving threads, with what the kernel does in their name; the ratio is of wall time");
    let got = hand.stream.wall_to(&daemon.stream);
    table.at_least("throughput to the same by hand", 0.95, got);
    let got = hand.trip.wall_to(&daemon.trip);
    table.at_least("round trips a second to the same by hand", 0.95, got);
}

/// Before the first look at something that may take a moment.
fn breathe() {
    sleep(Duration::from_millis(20));
}

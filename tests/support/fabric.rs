//! Several nodes on one wire, for stories that take more than one. The wire is a bridge in the
//! namespace of a node of its own: it passes every frame on as it is, tagged or not, up to 9216 bytes.

use std::{
    cell::Cell,
    io::Write,
    ops::Index,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    node::{TestNode, expect_success},
    wait::set_step_in,
    wire::Wire,
};

/// The interface of every node and outsider on the wire.
pub const UPLINK: &str = "eth1";
/// Outsiders are numbered from here, so that nobody takes them for nodes.
const OUTSIDERS: u32 = 200;

pub struct Fabric {
    nodes: Vec<TestNode>,
    middle: TestNode,
    outsiders: Cell<u32>,
}

/// A bare namespace on the wire, for whoever is no node: a router, a server, an attacker.
pub struct Outsider<'f> {
    middle: &'f TestNode,
    name: String,
    number: u32,
}

/// Node 0 has 10.77.0.1 and fd77::1, and so on.
pub fn address(node: usize) -> String {
    format!("10.77.0.{}", node + 1)
}

pub fn address6(node: usize) -> String {
    format!("fd77::{}", node + 1)
}

impl Fabric {
    pub fn new(nodes: usize) -> Self {
        Self::with_mtu(nodes, 1500)
    }

    /// With another MTU of the nodes' `eth1`.
    pub fn with_mtu(nodes: usize, mtu: u32) -> Self {
        let middle = TestNode::new();
        batch(
            middle.pid(),
            "link add wire type bridge mcast_snooping 0
             link set wire addrgenmode none mtu 9216 promisc on
             link set wire up",
        );
        let nodes: Vec<_> = (0..nodes).map(|_| TestNode::new()).collect();
        for (number, node) in nodes.iter().enumerate() {
            let pid = node.pid();
            batch(middle.pid(), &port(&format!("node{number}"), pid, mtu));
            batch(pid, &uplink(&address(number), &address6(number)));
        }
        let doors: Vec<_> = nodes.iter().enumerate().map(door).collect();
        set_step_in(doors.join(", "));
        Self {
            nodes,
            middle,
            outsiders: Cell::new(OUTSIDERS),
        }
    }

    pub fn nodes(&self) -> &[TestNode] {
        &self.nodes
    }

    /// The first has 10.77.0.200 and fd77::200, and so on.
    pub fn outsider(&self) -> Outsider<'_> {
        let number = self.outsiders.replace(self.outsiders.get() + 1);
        let outsider = Outsider {
            middle: &self.middle,
            name: format!("outsider{number}"),
            number,
        };
        self.middle.run(&["ip", "netns", "add", &outsider.name]);
        self.middle.shell(&format!(
            "ip -batch - <<END\n{}\nEND\nip -n {name} -batch - <<END\n{}\nEND",
            port(&outsider.name, &outsider.name, 1500),
            uplink(&outsider.address(), &outsider.address6()),
            name = outsider.name,
        ));
        outsider
    }

    /// Hears every frame on the wire, once, and with its tag.
    pub fn tap(&self) -> Wire {
        Wire::on(&net(self.middle.pid()), "wire")
    }
}

impl Index<usize> for Fabric {
    type Output = TestNode;

    fn index(&self, node: usize) -> &TestNode {
        &self.nodes[node]
    }
}

impl Outsider<'_> {
    pub fn address(&self) -> String {
        format!("10.77.0.{}", self.number)
    }

    pub fn address6(&self) -> String {
        format!("fd77::{}", self.number)
    }

    /// The namespace, as the test sees it.
    pub fn netns(&self) -> PathBuf {
        self.middle.path(&format!("/run/netns/{}", self.name))
    }

    /// What it sends and hears itself.
    pub fn wire(&self) -> Wire {
        Wire::on(&self.netns(), UPLINK)
    }

    /// The words must succeed; what they print.
    pub fn run(&self, words: &[&str]) -> String {
        self.middle
            .run(&[&["ip", "netns", "exec", &self.name], words].concat())
    }
}

/// A port of the wire whose other end is the `eth1` of that namespace.
fn port(name: &str, netns: impl std::fmt::Display, mtu: u32) -> String {
    format!(
        "link add {name} mtu 9216 type veth peer name {UPLINK} mtu {mtu} netns {netns}
         link set {name} addrgenmode none master wire
         link set {name} up"
    )
}

fn uplink(address: &str, address6: &str) -> String {
    format!(
        "link set lo up
         link set {UPLINK} up
         address add {address}/24 dev {UPLINK}
         address add {address6}/64 dev {UPLINK} nodad"
    )
}

fn net(pid: u32) -> PathBuf {
    Path::new("/proc").join(pid.to_string()).join("ns/net")
}

fn door((number, node): (usize, &TestNode)) -> String {
    format!("node {number}: nsenter -t {} -n -m -p", node.pid())
}

/// Lines of `ip` in that process's network namespace; a pid in them is as the test sees it.
fn batch(pid: u32, lines: &str) {
    let words = ["nsenter", "-t", &pid.to_string(), "-n", "ip", "-batch", "-"];
    let mut child = Command::new(words[0])
        .args(&words[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("nsenter runs");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    stdin
        .write_all(lines.as_bytes())
        .expect("ip reads its lines");
    drop(stdin);
    expect_success(&words, child.wait_with_output().expect("ip ends"));
}

//! One link to a running pod: through the daemon, by running CNI once more, with `ip`, and by hand.

use std::{
    io::Write,
    net::Ipv4Addr,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde_json::json;

use crate::{
    cost::{Cost, Costs, Whose, ended, micros},
    daemon::Daemon,
    ears::Ears,
    floor::{Floor, Wish},
    manifest,
    node::{self, Pod},
    paper, same,
    table::Table,
};

const ROUNDS: usize = 40;
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 9);
const MTU: u32 = 1500;
/// The pods of the four ways, and one that holds the daemon's bridge.
const PODS: usize = 5;

/// The figures of all rounds.
#[derive(Default)]
struct Figures {
    daemon: Costs,
    until_addressed: Costs,
    floor: Costs,
    cni: Costs,
    ip: Costs,
    parse: Costs,
    write: Costs,
    idle: Costs,
}

struct Ways<'a> {
    daemon: &'a Daemon,
    floor: Floor,
    bridge: u32,
    pods: Vec<Pod>,
    ears: Ears,
    figures: Figures,
}

/// The floor, for what comes next.
pub fn run(daemon: &Daemon, table: &mut Table) -> Result<Floor> {
    let mut ways = Ways::prepare(daemon)?;
    for round in 0..ROUNDS {
        ways.round(round + 1 == ROUNDS)?;
    }
    same::compare(table)?;
    ways.show(table);
    node::withdraw("one")?;
    node::withdraw("holder")?;
    daemon.settle()?;
    Ok(ways.floor)
}

impl<'a> Ways<'a> {
    fn prepare(daemon: &'a Daemon) -> Result<Self> {
        let mut floor = Floor::new()?;
        let bridge = floor.bridge("br0")?;
        let pods = node::make_pods("one", PODS)?;
        let ears = node::within(&pods[0].name, Ears::here)?;
        node::record(&[&pods[0], &pods[4]])?;
        node::apply(
            "holder",
            &manifest::one(
                &pods[4].name,
                &pods[4].name,
                Ipv4Addr::new(10, 77, 0, 8),
                MTU,
            ),
        )?;
        node::within("hub", || {
            sh("ip link add ipbr type bridge; ip link set ipbr up")
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

    fn round(&mut self, last: bool) -> Result<()> {
        let text = manifest::one(&self.pods[0].name, &self.pods[0].name, ADDRESS, MTU);
        self.by_daemon(&text)?;
        self.figures.parse.push(paper::parse(&text)?);
        let reports = paper::reports([self.pods[0].name.as_str()].into_iter())?;
        self.figures.write.push(paper::write(&reports)?);
        let host = self.by_hand()?;
        self.by_cni()?;
        self.by_ip()?;
        if last {
            return Ok(());
        }
        node::within("hub", || self.floor.delete(host))?;
        let gone = self.ears.gone;
        node::withdraw("one")?;
        self.ears.until("the link to go", |ears| ears.gone > gone)?;
        self.daemon.settle()
    }

    /// From the rename to the link up with its address; the CPU time with all that comes behind it.
    fn by_daemon(&mut self, text: &str) -> Result<()> {
        let whose = self.daemon.cpu();
        let (idle, ()) = whose.cost(|| {
            std::thread::sleep(Duration::from_millis(60));
            Ok(())
        })?;
        self.ears.hear()?;
        node::prepare("one", text)?;
        let (cpu, start) = (whose.cpu()?, Instant::now());
        node::show("one")?;
        let there = self
            .ears
            .until("the link, up and with its address", |ears| {
                ears.count(|link| link.name == "data0") == 1
            })?;
        let wall = micros(there - start);
        let so_far = whose.cpu()? - cpu;
        self.daemon.settle()?;
        self.figures.idle.push(idle);
        self.figures
            .until_addressed
            .push(Cost { cpu: so_far, wall });
        self.figures.daemon.push(Cost {
            cpu: whose.cpu()? - cpu,
            wall,
        });
        Ok(())
    }

    fn by_hand(&mut self) -> Result<u32> {
        let wish = Wish {
            pod: &self.pods[1],
            name: "data0",
            address: ADDRESS,
            bridge: self.bridge,
            mtu: MTU,
        };
        let floor = &mut self.floor;
        let (cost, host) = node::within("hub", || Whose::Thread.cost(|| floor.make(&wish)))?;
        self.figures.floor.push(cost);
        Ok(host)
    }

    /// The `bridge` plugin with `host-local`, run by hand for one more interface.
    fn by_cni(&mut self) -> Result<()> {
        let (cost, ()) = Whose::Children.cost(|| bridge_plugin(&self.pods[2], "ADD"))?;
        self.figures.cni.push(cost);
        bridge_plugin(&self.pods[2], "DEL")
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
        let (cost, ()) = Whose::Children.cost(|| steps.iter().try_for_each(|step| ip(step)))?;
        self.figures.ip.push(cost);
        ip("-n hub link del ip0")
    }

    fn show(&self, table: &mut Table) {
        let Figures {
            daemon,
            until_addressed,
            floor,
            cni,
            ip,
            parse,
            write,
            idle,
        } = &self.figures;
        let sum = floor.plus(parse).plus(write);
        table.title(&format!(
            "One link to a running pod, {ROUNDS} rounds by turns"
        ));
        table.row_to(
            "daemon, rename to reports written",
            daemon.median(),
            Some(daemon.cpu_to(&sum)),
            "floor sum",
        );
        table.row_to(
            "  of it until the link has its address",
            until_addressed.median(),
            Some(until_addressed.cpu_to(&sum)),
            "floor sum",
        );
        table.row("floor sum: messages, parse, report", sum.median());
        table.row("  messages by hand, two sends", floor.median());
        table.row("  parse and admit (in both sums)", parse.median());
        table.row("  report and status, written (in both)", write.median());
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
        table.bar("one link, CPU to the floor sum", 1.5, daemon.cpu_to(&sum));
        table.bar(
            "one link, wall to the bridge plugin",
            0.25,
            until_addressed.wall_to(cni),
        );
    }
}

fn ip(words: &str) -> Result<()> {
    let child = Command::new("ip")
        .args(words.split(' '))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    ended(child, &format!("ip {words}")).map(drop)
}

fn sh(script: &str) -> Result<()> {
    let child = Command::new("sh")
        .args(["-ec", script])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    ended(child, script).map(drop)
}

fn bridge_plugin(pod: &Pod, verb: &str) -> Result<()> {
    let request = json!({
        "cniVersion": "1.0.0", "name": "second", "type": "bridge", "bridge": "cni1",
        "ipam": {"type": "host-local", "dataDir": "/run/cni", "ranges": [[{"subnet": "10.78.0.0/16"}]]},
    });
    let mut child = Command::new("/usr/lib/cni/bridge")
        .env("CNI_COMMAND", verb)
        .env("CNI_CONTAINERID", "d".repeat(64))
        .env("CNI_NETNS", node::namespace_path(&pod.name))
        .env("CNI_IFNAME", "data0")
        .env("CNI_PATH", "/usr/lib/cni")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("/usr/lib/cni/bridge is needed (containernetworking-plugins)")?;
    child
        .stdin
        .take()
        .context("stdin is piped")?
        .write_all(request.to_string().as_bytes())?;
    ended(child, &format!("{verb} of bridge")).map(drop)
}

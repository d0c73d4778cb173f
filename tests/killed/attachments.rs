//! Links of CNI plugins, attached and detached while daemon, runner and plugins are killed at random moments: when
//! nothing is requested any more, everything is as it was before.

use std::{collections::BTreeSet, thread::sleep, time::Duration};

use super::Dice;
use crate::{
    attachments::{define, macvlan, options},
    support::{
        daemon::Daemon,
        look::addresses,
        manifests::{config, policy},
        node::TestNode,
        pod::TestPod,
        runner::RunnerProcess,
        wait::{seen, within},
    },
};

const PODS: usize = 3;
/// Between two looks at what is left.
const CYCLES_EACH: u64 = 15;
const PLUGINS: [&str; 5] = ["macvlan", "bridge", "host-local", "tuning", "portmap"];
const RULE: &str = "{cni: {definitions: [{namespace: networks, names: [fast, chain]}], \
    hostPorts: [{min: 30000, max: 30010}]}, addresses: [10.77.0.0/16], routes: [0.0.0.0/0]}";
const CHAIN: &str = r#"{"cniVersion": "1.0.0", "name": "chain", "plugins": [
    {"type": "bridge", "bridge": "cbr", "isGateway": true, "ipMasq": true,
     "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.77.1.0/24"}]]}},
    {"type": "tuning", "sysctl": {"net.ipv4.conf.IFNAME.arp_notify": "1"}},
    {"type": "portmap", "capabilities": {"portMappings": true}}]}"#;
/// Links and addresses of the node, rules, reservations, mounts, processes, and files of the store and of claims.
const TRACES: [&str; 7] = [
    "ip -br link | cut -d' ' -f1 | sort",
    "ip -br -4 address | awk '{print $1, $3}' | sort",
    "iptables-save | grep -E '^[-:]' | sed 's/ \\[.*//' | sort",
    "find /var/lib/cni /run/podconfig/state /run/podconfig/objects-claims -type f ! -name 'last_reserved*' ! -name lock | sort",
    "awk '{print $5}' /proc/self/mountinfo | sort",
    "pgrep -l . | cut -d' ' -f2 | grep -E '^(macvlan|bridge|host-local|tuning|portmap|iptables|ip6tables)$' | sort",
    "pgrep -f run-[j]ail | tail -n +2",
];

struct Field<'n> {
    node: &'n TestNode,
    pods: [Option<TestPod<'n>>; PODS],
    daemon: Option<Daemon>,
    runner: Option<RunnerProcess>,
}

impl<'n> Field<'n> {
    fn new(node: &'n TestNode) -> Self {
        node.prepare_for_plugins();
        node.shell(
            "ip link add up0 type veth peer name up1 && ip link set up0 up && ip link set up1 up",
        );
        node.apply("policy", &policy("telco", "{}", &format!("[{RULE}]")));
        define(node, "fast", &macvlan("10.77.0.0/24"));
        define(
            node,
            "chain",
            &CHAIN.replace('\n', " ").replace("IFNAME", "net1"),
        );
        Self {
            node,
            pods: Default::default(),
            daemon: Some(node.daemon_with(&options())),
            runner: Some(node.runner_process(&PLUGINS)),
        }
    }

    fn name(number: usize) -> String {
        format!("p{number}")
    }

    fn attach(&mut self, number: usize, definition: &str) {
        let name = Self::name(number);
        if self.pods[number].is_none() {
            self.pods[number] = Some(self.node.bare_pod("tenant-a", &name));
        }
        let ports = match definition {
            "chain" => format!(", portMappings: [{{hostPort: 3000{number}, containerPort: 80}}]"),
            _ => String::new(),
        };
        let link = format!(
            "[{{name: net1, cni: {{networkAttachmentDefinition: networks/{definition}{ports}}}}}]"
        );
        let wanted = config("tenant-a", &name, &name, &link);
        self.node.apply(&format!("wish-{name}"), &wanted);
    }

    fn detach(&self, number: usize) {
        let name = format!("wish-{}", Self::name(number));
        let folder = self.node.path("/run/podconfig/objects");
        if folder.join(format!("{name}.yaml")).exists() {
            self.node.withdraw(&name);
        }
    }

    fn end(&mut self, number: usize) {
        self.pods[number]
            .take()
            .into_iter()
            .for_each(TestPod::delete);
    }

    /// One step of a cycle, and a kill at a random moment behind it.
    fn step(&mut self, number: usize, dice: &mut Dice) {
        match dice.throw(8) {
            0..3 => self.attach(number, "fast"),
            3..6 => self.attach(number, "chain"),
            6 => self.detach(number),
            _ => self.end(number),
        }
        sleep(Duration::from_micros(dice.throw(120_000)));
        self.kill(dice);
    }

    /// SIGKILL of one of them. Daemon and runner are started again as a node would, a plugin is not.
    fn kill(&mut self, dice: &mut Dice) {
        let pause = |dice: &mut Dice| sleep(Duration::from_micros(dice.throw(30_000)));
        match dice.throw(6) {
            0..2 => {
                self.daemon.take().into_iter().for_each(Daemon::kill);
                pause(dice);
                self.daemon = Some(self.node.daemon_unawaited(&options()));
            }
            2 => {
                self.runner.take().into_iter().for_each(RunnerProcess::kill);
                pause(dice);
                self.runner = Some(self.node.runner_process(&PLUGINS));
            }
            3 => {
                self.node.shell("pkill -KILL -f run-[j]ail || true");
            }
            4 => {
                let plugin = PLUGINS[usize::try_from(dice.throw(5)).expect("a small number")];
                self.node.shell(&format!("pkill -KILL -x {plugin} || true"));
            }
            _ => {}
        }
    }

    /// A runner that cannot build its first jail ends, and the node starts it again.
    fn keep_runner(&mut self) {
        if self.runner.as_mut().is_none_or(RunnerProcess::has_ended) {
            self.runner = Some(self.node.runner_process(&PLUGINS));
        }
    }

    fn traces(&self) -> Vec<String> {
        TRACES
            .map(|command| self.node.shell(&format!("{command} || true")))
            .to_vec()
    }

    /// Each pod gets its link, with one address of its own, and nothing else is reserved.
    fn each_has_one_address(&mut self, dice: &mut Dice, what: &str) {
        for number in 0..PODS {
            let definition = ["fast", "chain"][usize::try_from(dice.throw(2)).expect("a bit")];
            self.attach(number, definition);
        }
        within(
            Duration::from_secs(60),
            &format!("one address each {what}"),
            || {
                self.keep_runner();
                self.pods_and_reservations_agree()
            },
        );
    }

    fn pods_and_reservations_agree(&self) -> Result<(), String> {
        let mut assigned = BTreeSet::new();
        for pod in self.pods.iter().flatten() {
            let report = pod.reported("net1").unwrap_or_default();
            seen(report["reason"] == "LinkReady", &report)?;
            let link = pod.find("net1").ok_or("no link")?;
            let own = addresses(&link);
            let own: Vec<_> = own.iter().filter(|address| address.contains('.')).collect();
            seen(own.len() == 1, format!("{link}"))?;
            let address = own[0].split('/').next().unwrap_or_default().to_owned();
            seen(assigned.insert(address), format!("twice: {link}"))?;
        }
        let reserved = self
            .node
            .shell("find /var/lib/cni -name '10.*' -printf '%f\\n'");
        let reserved: BTreeSet<_> = reserved.lines().map(str::to_owned).collect();
        seen(
            assigned == reserved && assigned.len() == PODS,
            format!("{assigned:?}, reserved {reserved:?}"),
        )
    }

    fn all_goes(&mut self, dice: &mut Dice) {
        let with_pods = dice.throw(2) == 0;
        for number in 0..PODS {
            match with_pods && dice.throw(2) == 0 {
                true => self.end(number),
                false => self.detach(number),
            }
            if dice.throw(3) == 0 {
                self.kill(dice);
            }
        }
        (0..PODS).for_each(|number| self.detach(number));
        (0..PODS).for_each(|number| self.end(number));
    }

    fn is_as_before(&mut self, before: &[String], what: &str) {
        within(
            Duration::from_secs(60),
            &format!("nothing is left {what}"),
            || {
                self.keep_runner();
                let now = self.traces();
                let pairs = before
                    .iter()
                    .zip(&now)
                    .filter(|(before, now)| before != now);
                let changed: Vec<_> = pairs.collect();
                seen(changed.is_empty(), format!("{changed:#?}"))
            },
        );
    }
}

#[test]
fn attachments_survive_the_end_of_daemon_runner_and_plugins_without_a_trace() {
    let cycles = std::env::var("PODCONFIG_TEST_CYCLES");
    let cycles: u64 = cycles.map_or(60, |text| text.parse().expect("a number"));
    let node = TestNode::new();
    let mut field = Field::new(&node);
    let mut dice = Dice::new();
    // What plugins leave for the next one, such as the bridge and the common chains of portmap, is there from here on.
    field.attach(0, "chain");
    within(Duration::from_secs(60), "the first link", || {
        let report = field.pods[0].as_ref().and_then(|pod| pod.reported("net1"));
        seen(
            report
                .as_ref()
                .is_some_and(|report| report["reason"] == "LinkReady"),
            format!("{report:?}"),
        )
    });
    field.detach(0);
    field.end(0);
    within(Duration::from_secs(60), "its end", || {
        let left =
            node.shell("find /var/lib/cni /run/podconfig/state -name '10.*' -o -name '*net1*'");
        seen(left.is_empty(), left)
    });
    let before = field.traces();
    let mut cycle = 0;
    while cycle < cycles {
        for _ in 0..CYCLES_EACH {
            let number = usize::try_from(dice.throw(PODS as u64)).expect("a small number");
            field.step(number, &mut dice);
            cycle += 1;
        }
        let what = format!("after cycle {cycle}");
        field.each_has_one_address(&mut dice, &what);
        field.all_goes(&mut dice);
        field.is_as_before(&before, &what);
    }
}

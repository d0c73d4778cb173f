//! Claims and tunnels of pods that come and go while the daemon is killed: when nothing is wanted any more,
//! nothing is left.

use std::{fs, thread::sleep, time::Duration};

use super::{Dice, nothing_half_made};
use crate::{
    support::{
        daemon::Options,
        fabric::{Fabric, UPLINK},
        manifests::{config, policy},
        node::TestNode,
        pod::TestPod,
        wait::{eventually, seen, within},
    },
    vxlan::TUNNELS,
};

const PODS: usize = 4;
const RULES: &str = "{veth: {bridges: Own}, addresses: [10.1.0.0/16]}";
const RANGE: &str = "{cidr: 10.1.9.0/28}";

/// The links that a pod is to have: with listed and with chosen addresses, on a bridge, on a tunnel and as the
/// tunnel's own device.
fn links(pod: usize, dice: &mut Dice) -> Option<String> {
    let (port, peers) = (4789 + dice.throw(2), "{addresses: [10.77.0.9]}");
    let vxlan = |mode: &str, vni: usize| {
        format!("vxlan: {{underlay: {UPLINK}, {mode} vni: {vni}, port: {port}, peers: {peers}}}")
    };
    Some(match dice.throw(6) {
        0 => return None,
        1 => format!("[{{name: data0, veth: {{bridge: blue}}, addresses: [10.1.0.{pod}/24]}}]"),
        2 => format!(
            "[{{name: data{}, veth: {{bridge: blue}}, ipam: {{ranges: [{RANGE}]}}}}]",
            dice.throw(2)
        ),
        3 => format!(
            "[{{name: data0, {}, addresses: [10.5.0.{pod}/24]}}]",
            vxlan("", 7)
        ),
        4 => format!(
            "[{{name: data1, {}, addresses: [10.5.1.{pod}/24]}}]",
            vxlan("mode: Exclusive,", 20 + pod)
        ),
        _ => format!(
            "[{{name: data0, {}, addresses: [10.5.0.{pod}/24]}}, \
              {{name: data1, veth: {{bridge: red}}, ipam: {{ranges: [{RANGE}]}}}}]",
            vxlan("", 7)
        ),
    })
}

struct Yard<'n> {
    node: &'n TestNode,
    pods: [Option<TestPod<'n>>; PODS],
}

impl Yard<'_> {
    fn file(&self, name: &str) -> bool {
        let folder = self.node.path("/run/podconfig/objects");
        folder.join(format!("{name}.yaml")).exists()
    }

    fn withdraw(&self, pod: usize) {
        let name = format!("wish-p{pod}");
        if self.file(&name) {
            self.node.withdraw(&name);
        }
    }

    /// One thing happens to one of the pods.
    fn happen(&mut self, dice: &mut Dice) {
        let number = usize::try_from(dice.throw(PODS as u64)).expect("a small number");
        let name = format!("p{number}");
        let what = dice.throw(8);
        match &mut self.pods[number] {
            None => self.pods[number] = Some(self.node.bare_pod("tenant-a", &name)),
            Some(pod) if what == 0 => pod.restart_sandbox(),
            there if what == 1 => there.take().into_iter().for_each(TestPod::delete),
            Some(_) => match links(number, dice) {
                Some(links) => {
                    let config = config("tenant-a", &name, &name, &links);
                    self.node.apply(&format!("wish-{name}"), &config);
                }
                None => self.withdraw(number),
            },
        }
    }

    /// Everything goes, in any order, at once or one after the other.
    fn go(&mut self, dice: &mut Dice) {
        let first = dice.throw(3);
        for number in 0..PODS {
            if first != 0 {
                self.withdraw(number);
            }
            if first != 1 {
                self.pods[number]
                    .take()
                    .into_iter()
                    .for_each(TestPod::delete);
            }
            sleep(Duration::from_micros(dice.throw(3) * dice.throw(15_000)));
        }
        for number in 0..PODS {
            self.withdraw(number);
            self.pods[number]
                .take()
                .into_iter()
                .for_each(TestPod::delete);
        }
    }

    fn nothing_is_left(&self) -> Result<(), String> {
        let folder = self.node.path("/run/podconfig/objects-claims");
        let files = fs::read_dir(folder).into_iter().flatten().flatten();
        let claims: Vec<String> = files
            .map(|file| file.file_name().to_string_lossy().into_owned())
            .filter(|name| !name.starts_with('.'))
            .collect();
        let tables = self.node.run(&["nft", "list", "ruleset"]);
        let links = (self.node.host_ends().len(), self.node.bridges().len());
        seen(
            claims.is_empty() && !tables.contains("podconfig") && links == (0, 0),
            format!("{claims:?} {links:?}\n{tables}"),
        )?;
        nothing_half_made(self.node)
    }
}

/// All that was wanted goes while no daemon is there, and the next one has no pod to look at.
#[test]
fn what_a_killed_daemon_left_of_pods_that_are_gone_goes_with_the_start_of_the_next() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let rules = format!("[{RULES}, {TUNNELS}]");
    node.apply("policy", &policy("all", "{}", &rules));
    let daemon = node.daemon();
    let pod = node.bare_pod("tenant-a", "p0");
    let links = format!(
        "[{{name: data0, vxlan: {{underlay: {UPLINK}, vni: 7, peers: {{addresses: [10.77.0.9]}}}}, \
           addresses: [10.5.0.1/24]}}]"
    );
    node.apply("wish-p0", &config("tenant-a", "p0", "p0", &links));
    pod.ready("data0");
    daemon.kill();
    let mut yard = Yard {
        node,
        pods: [Some(pod), None, None, None],
    };
    let left = yard.nothing_is_left().expect_err("the link is there");
    assert!(left.contains("cluster.10.5.0.1.yaml"), "{left}");
    assert!(left.contains("table inet podconfig-"), "{left}");
    yard.go(&mut Dice(1));
    node.withdraw("policy");
    eventually("the kernel has taken its links away", || {
        let ends = node.host_ends();
        seen(ends.is_empty(), format!("{ends:?}"))
    });
    let _daemon = node.daemon();
    eventually("nothing is left", || yard.nothing_is_left());
}

#[test]
fn when_nothing_is_wanted_any_more_no_claim_and_no_table_is_left() {
    let episodes = std::env::var("PODCONFIG_TEST_EPISODES");
    let episodes: u64 = episodes.map_or(4, |text| text.parse().expect("a number"));
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let exclusive = TUNNELS.replace("underlays:", "modes: [Exclusive], underlays:");
    let rules = format!("[{RULES}, {TUNNELS}, {exclusive}]");
    node.apply("policy", &policy("all", "{}", &rules));
    let mut dice = Dice::new();
    let mut yard = Yard {
        node,
        pods: Default::default(),
    };
    for episode in 0..episodes {
        let rest = dice.throw(2).to_string();
        let options = Options {
            more: &["--address-rest", &rest],
            ..Options::default()
        };
        for _ in 0..dice.throw(8) {
            let daemon = node.daemon_unawaited(&options);
            sleep(Duration::from_micros(dice.throw(60_000)));
            (0..dice.throw(4)).for_each(|_| yard.happen(&mut dice));
            sleep(Duration::from_micros(dice.throw(30_000)));
            daemon.kill();
            (0..dice.throw(3)).for_each(|_| yard.happen(&mut dice));
        }
        // Before the last daemon comes, or before its eyes.
        let is_early = dice.throw(3) == 0;
        if is_early {
            yard.go(&mut dice);
        }
        let _daemon = node.daemon_unawaited(&options);
        for _ in 0..dice.throw(12) * u64::from(!is_early) {
            yard.happen(&mut dice);
            sleep(Duration::from_micros(dice.throw(2) * dice.throw(40_000)));
        }
        yard.go(&mut dice);
        let what = format!("nothing is left after episode {episode}");
        within(Duration::from_secs(30), &what, || yard.nothing_is_left());
    }
}

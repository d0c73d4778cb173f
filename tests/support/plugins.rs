//! A CNI plugin of the distribution against all the ways in which its link can end: nothing may be left on the node that
//! was not there before.

use std::time::Duration;

use cni::FrozenChain;
use runner::protocol::Operation;
use serde_json::{Value, json};

use super::{
    daemon::Options,
    manifests::{config, policy},
    node::TestNode,
    pod::TestPod,
    runner::{TestRunner, chain_of},
    wait::{seen, within},
};

/// What the daemon needs for attachments.
pub const FLAGS: [&str; 4] = [
    "--runner-socket",
    "/run/podconfig/run.sock",
    "--state-dir",
    "/run/podconfig/state",
];
const RULE: &str = "{cni: {definitions: [{namespace: networks, names: [fast]}], hostPorts: [{min: 30000, max: 30099}]}, \
    addresses: [10.77.0.0/16], routes: [0.0.0.0/0]}";
const VERSIONS: [&str; 4] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0"];
/// On a busy machine, and in the guest of `tests/vm.sh`.
const LONG: Duration = Duration::from_secs(60);
/// Links, addresses, routes, rules, queues, reservations, files, mounts and processes of the node.
const TRACES: &[&str] = &[
    "ip -o link | cut -d: -f2 | sed 's/@.*//' | sort",
    "ip -br -4 address | awk '{print $1, $3}' | sort",
    "ip rule; ip route show table all type unicast | grep -v ^fe80 | sed 's/ linkdown//' | sort",
    "iptables-save | grep -E '^[-:]' | sed 's/ \\[.*//' | sort",
    "ip6tables-save | grep -E '^[-:]' | sed 's/ \\[.*//' | sort",
    "tc qdisc show | grep -v noqueue | sort",
    "find /var/lib/cni /run/cni /run/podconfig/state -type f | grep -vE '/(last_reserved[^/]*|lock)$' | sort",
    "grep -vc /run/netns/cni- /proc/self/mountinfo; pgrep -a . | grep '^[0-9]* /usr/lib/cni/'",
];

pub fn options() -> Options<'static> {
    Options {
        more: &FLAGS,
        ..Options::default()
    }
}

/// A NetworkAttachmentDefinition in the namespace `networks`.
pub fn define(node: &TestNode, name: &str, configuration: &str) {
    let object = format!(
        "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata: {{name: {name}, namespace: networks}}\nspec:\n  config: |\n    {configuration}\n"
    );
    node.apply(&format!("definition-{name}"), &object);
}

/// How a link ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Withdrawn,
    /// The tenant has renamed the link.
    Renamed,
    /// The tenant has deleted the link.
    Deleted,
    /// The device that the link is made on is gone.
    MasterGone,
    /// The pod ends; the daemon holds its namespace for DEL.
    PodEnded,
    /// The pod ends while no daemon runs: its namespace is gone at DEL.
    Gone,
}

/// A chain, and how its plugins are known to fail.
#[derive(Clone, Copy, Default)]
pub struct PluginCase<'a> {
    /// Of the node's list.
    pub kinds: &'a [&'a str],
    pub plugins: &'a [&'a str],
    /// Makes what is missing of the node's devices; run again before each link.
    pub devices: &'a str,
    /// What the link asks for: members of `cni`, and of the runtime's configuration.
    pub request: &'a str,
    pub runtime_config: &'a str,
    /// The first version that all of its plugins support.
    pub since: &'a str,
    /// Plugins whose CHECK fails right after ADD.
    pub unchecked: &'a [&'a str],
    /// Ends at which DEL of a plugin fails as long as the namespace lives.
    pub fails: &'a [End],
}

impl PluginCase<'_> {
    /// Runs the chain alone, in every version, and then through the daemon, in every way to end.
    pub fn leaves_nothing(&self) {
        let node = TestNode::new();
        let runner = node.runner(self.kinds, &[]);
        node.shell(self.devices);
        // What plugins leave for the next link, such as bridges and common chains, is there from the second on.
        self.attach_alone(&node, &runner, "1.0.0");
        for version in self.versions() {
            let before = self.attach_alone(&node, &runner, version);
            let left = changed(&before, &traces(&node));
            assert!(left.is_empty(), "{version}: {left:#?}");
        }
        node.apply("policy", &policy("telco", "{}", &format!("[{RULE}]")));
        let mut ends = vec![
            End::Withdrawn,
            End::Renamed,
            End::Deleted,
            End::PodEnded,
            End::Gone,
        ];
        if self.devices.contains("up0") {
            ends.push(End::MasterGone);
        }
        let versions: Vec<_> = self.versions().collect();
        let mut daemon = Some(node.daemon_with(&options()));
        for (number, end) in ends.into_iter().enumerate() {
            let before = traces(&node);
            let version = versions[number % versions.len()];
            let pod = self.attach(&node, number, version);
            if end == End::Gone {
                daemon.take().into_iter().for_each(|daemon| daemon.kill());
                pod.delete();
                daemon = Some(node.daemon_with(&options()));
            } else {
                self.end(&node, pod, end);
            }
            self.is_as_before(&node, &before, (version, end));
        }
    }

    fn versions(&self) -> impl Iterator<Item = &'static str> {
        let since = self.since;
        VERSIONS
            .into_iter()
            .filter(move |version| *version >= since)
    }

    /// ADD, CHECK, DEL, DEL again.
    fn attach_alone(&self, node: &TestNode, runner: &TestRunner, version: &str) -> Vec<String> {
        let pod = node.bare_pod("tenant-b", &format!("alone-{}", version.replace('.', "-")));
        let chain = self.chain(&pod, version);
        let before = traces(node);
        let result = runner.add(&pod, &chain);
        if !matches!(version, "0.3.0" | "0.3.1") {
            self.check(runner, &pod, (&chain, &result));
        }
        assert_eq!(runner.del(Some(&pod), &chain, &result).first_fault(), None);
        assert_eq!(pod.find("net1"), None);
        let again = runner.del(Some(&pod), &chain, &json!(null));
        let is_expected = self.fails.contains(&End::Deleted);
        assert_eq!(again.first_fault().is_some(), is_expected, "{again:?}");
        before
    }

    fn check(
        &self,
        runner: &TestRunner,
        pod: &TestPod<'_>,
        (chain, result): (&FrozenChain, &Value),
    ) {
        let check = Operation::Check {
            prev_result: result.clone(),
            which: None,
        };
        let checked = runner
            .ask(Some(pod), chain, check)
            .expect("it is not refused");
        let failed = checked.steps.iter().filter(|step| step.fault.is_some());
        let failed: Vec<&str> = failed.map(|step| step.plugin_type.as_str()).collect();
        assert_eq!(failed, self.unchecked, "{checked:?}");
    }

    fn chain(&self, pod: &TestPod<'_>, version: &str) -> FrozenChain {
        let plugins = self.plugins.iter().map(|text| parse(text));
        let plugins: Vec<Value> = plugins.collect();
        let mut chain = chain_of(pod, version, &plugins);
        if !self.runtime_config.is_empty() {
            let values = parse(self.runtime_config);
            chain.runtime_config = values.as_object().expect("an object").clone();
        }
        chain
    }

    fn attach<'n>(&self, node: &'n TestNode, number: usize, version: &str) -> TestPod<'n> {
        define(node, "fast", &self.configuration(version));
        let name = format!("web-{number}");
        let pod = node.bare_pod("tenant-a", &name);
        let link = format!(
            "[{{name: net1, cni: {{networkAttachmentDefinition: networks/fast{}}}}}]",
            self.request
        );
        node.apply("web", &config("tenant-a", "web", &name, &link));
        within(
            LONG,
            &format!("the link is ready in version {version}"),
            || {
                let report = pod.reported("net1").unwrap_or_default();
                seen(report["reason"] == "LinkReady", report)
            },
        );
        assert!(pod.find("net1").is_some());
        pod
    }

    /// A single plugin is written as a configuration, or as a list of one.
    fn configuration(&self, version: &str) -> String {
        match self.plugins {
            [one] if matches!(version, "0.3.1" | "1.0.0") => {
                one.replacen('{', &format!(r#"{{"cniVersion": "{version}", "#), 1)
            }
            plugins => format!(
                r#"{{"cniVersion": "{version}", "plugins": [{}]}}"#,
                plugins.join(", ")
            ),
        }
    }

    fn end(&self, node: &TestNode, pod: TestPod<'_>, end: End) {
        let of_tenant = match end {
            End::Renamed => {
                "ip link set net1 down && ip link set net1 name mine && ip link set mine up"
            }
            End::Deleted => "ip link delete net1",
            _ => "true",
        };
        pod.shell(of_tenant);
        match end {
            End::MasterGone => drop(node.shell("ip link delete up0 2>/dev/null || true")),
            End::PodEnded => return pod.delete(),
            _ => {}
        }
        node.withdraw("web");
        within(LONG, "the link is gone", || {
            let left = ["net1", "mine"].into_iter().find_map(|name| pod.find(name));
            seen(left.is_none(), format!("{left:?}"))
        });
        if self.fails.contains(&end) {
            pod.delete();
        }
    }

    fn is_as_before(&self, node: &TestNode, before: &[String], (version, end): (&str, End)) {
        let what = format!("nothing is left in version {version} after {end:?}");
        within(LONG, &what, || {
            // A device that comes back with DEL may be on its way.
            node.try_run(&["sh", "-c", self.devices]);
            let now = traces(node);
            let changed = changed(before, &now);
            seen(changed.is_empty(), format!("{changed:#?}"))
        });
    }
}

fn traces(node: &TestNode) -> Vec<String> {
    let all = TRACES.join("; echo ---; ");
    let traces = node.shell(&format!("{{ set +e; {all}; }} 2>/dev/null; true"));
    traces.split("---\n").map(str::to_owned).collect()
}

fn changed(before: &[String], now: &[String]) -> Vec<(String, String)> {
    let pairs = before.iter().zip(now).filter(|(a, b)| a != b);
    pairs.map(|(a, b)| (a.clone(), b.clone())).collect()
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).expect("the table holds JSON")
}

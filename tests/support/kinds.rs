//! Links that are edited to other kinds: compared in the kernel with links that were made so from nothing.

use std::{collections::BTreeMap, process::Output};

use serde_json::{Value, json};

use super::{
    look::names,
    manifests::config,
    node::{TestNode, json as parse},
    pod::TestPod,
    wait::{eventually, seen},
};

/// What a link is asked to be beside its kind; `N` is the pod's number, and `M` the other's.
pub type More = &'static str;

/// What a link can be made as.
#[derive(Debug)]
pub struct Kind {
    pub name: &'static str,
    /// With the numbers of the pods in it.
    pub spec: &'static str,
    /// Links before it that it is on.
    pub below: &'static str,
    /// Whether two pods of a node meet on it.
    pub meets: bool,
}

/// Every kind to every other one.
pub fn round(kinds: &[&'static Kind]) -> Vec<&'static Kind> {
    let mut round = Vec::new();
    for (number, kind) in kinds.iter().enumerate() {
        round.push(*kind);
        for other in &kinds[number + 1..] {
            round.extend([*other, *kind]);
        }
    }
    round
}

pub type References = BTreeMap<(&'static str, More), Vec<String>>;

/// Two pods that are asked to have the same link.
pub struct Pair<'n> {
    node: &'n TestNode,
    pods: [TestPod<'n>; 2],
}

impl<'n> Pair<'n> {
    pub fn new(node: &'n TestNode) -> Self {
        let pods = ["a", "b"].map(|name| node.bare_pod("tenant-a", name));
        Self { node, pods }
    }

    pub fn ask(&self, kind: &Kind, more: More) {
        for (pod, (number, other)) in self.pods.iter().zip([("1", "2"), ("2", "1")]) {
            let name = &pod.attachment.name;
            let links = format!("[{}{{name: data0, {}, {more}}}]", kind.below, kind.spec);
            let links = links.replace('N', number).replace('M', other);
            self.node
                .apply(name, &config("tenant-a", name, name, &links));
        }
    }

    fn ask_for_nothing(&self) {
        for pod in &self.pods {
            self.node.withdraw(&pod.attachment.name);
        }
        for pod in &self.pods {
            pod.lacks("data0");
            eventually("the report has no link", || {
                let told = pod.reported("data0");
                seen(told.is_none(), format!("{told:?}"))
            });
        }
        eventually("the switch is empty", || {
            let left = names(&self.node.switch_ip(&["link", "show"]));
            seen(left == ["lo"], format!("{left:?}"))
        });
    }

    /// Each of the kinds with each of the rest, as the kernel shows a link that was made so.
    pub fn references(&self, kinds: &[&'static Kind], wanted: &[More]) -> References {
        let all = kinds.iter();
        let all = all.flat_map(|kind| wanted.iter().map(move |more| (*kind, *more)));
        all.map(|(kind, more)| ((kind.name, more), self.made(kind, more)))
            .collect()
    }

    fn made(&self, kind: &Kind, more: More) -> Vec<String> {
        self.ask(kind, more);
        for pod in &self.pods {
            pod.ready("data0");
            eventually("the link has its link-local address", || {
                let link = pod.find("data0").ok_or("no link")?;
                let all = link["addr_info"].as_array().cloned().unwrap_or_default();
                seen(all.iter().any(|a| a["scope"] == "link"), link)
            });
        }
        let made = self.look(more);
        self.meet(kind, more);
        self.ask_for_nothing();
        made
    }

    pub fn becomes(&self, kind: &Kind, more: More, references: &References) {
        self.ask(kind, more);
        let wanted = references[&(kind.name, more)].as_slice();
        eventually(&format!("the links are {} with {more}", kind.name), || {
            let now = self.look(more);
            let differs = |some: &[String], others: &[String]| {
                let lines = some.iter().filter(|line| !others.contains(line));
                lines.cloned().collect::<Vec<_>>().join("\n  ")
            };
            let state = || {
                format!(
                    "beside what a new link is:\n  {}\nin place of:\n  {}",
                    differs(&now, wanted),
                    differs(wanted, &now)
                )
            };
            if now == wanted { Ok(()) } else { Err(state()) }
        });
        for pod in &self.pods {
            pod.ready("data0");
        }
        self.meet(kind, more);
    }

    fn meet(&self, kind: &Kind, more: More) {
        if !kind.meets {
            return;
        }
        let [a, b] = &self.pods;
        for address in [
            "10.99.0.N",
            "10.99.7.N",
            "192.168.9.N",
            "fd97::N",
            "fd99::N",
        ] {
            if more.contains(address) && !is_alone(more, address) {
                a.ping(&address.replace('N', "2"));
                b.ping(&address.replace('N', "1"));
            }
        }
    }

    fn look(&self, more: More) -> Vec<String> {
        let mut seen = Vec::new();
        // A link keeps the link-local address that it came up with, whatever its MAC address is since.
        let keeps_local = !more.contains("mac:");
        for (pod, name) in self.pods.iter().zip(["a", "b"]) {
            let inside = inside(pod, keeps_local);
            seen.extend(inside.iter().map(|line| format!("pod {name}: {line}")));
            let outside = outside(self.node, pod);
            seen.extend(
                outside
                    .iter()
                    .map(|line| format!("host end {name}: {line}")),
            );
        }
        for link in self
            .node
            .switch_ip(&["link", "show"])
            .as_array()
            .into_iter()
            .flatten()
        {
            let (kind, mtu) = (&link["linkinfo"]["info_kind"], &link["mtu"]);
            seen.push(format!("switch: {} {kind} {mtu}", link["ifname"]));
        }
        seen.sort_unstable();
        seen
    }
}

/// Whether an address has no network in which the other pod would be.
fn is_alone(more: More, address: &str) -> bool {
    more.contains(&format!("{address}/32")) || more.contains(&format!("{address}/128"))
}

/// What a program printed about something that may just have gone.
fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Entries without the numbers that the kernel counts up, one a line.
fn lines(what: &str, entries: &Value, keep: impl Fn(&Value) -> bool) -> Vec<String> {
    let entries = entries.as_array().into_iter().flatten();
    let entries = entries.filter(|entry| keep(entry));
    entries.map(|entry| format!("{what} {entry}")).collect()
}

fn inside(pod: &TestPod<'_>, keeps_local: bool) -> Vec<String> {
    let is_local = |text: &Value| text.as_str().is_some_and(|text| text.starts_with("fe80::"));
    // The route to a link-local address itself comes when nobody else is found to have it.
    let keep = |entry: &Value| {
        let is_own_route = is_local(&entry["dst"]) && entry["type"] == "local";
        !is_own_route && (keeps_local || !is_local(&entry["local"]))
    };
    let Some(mut link) = pod.find("data0") else {
        return Vec::new();
    };
    let addresses = lines("address", &link["addr_info"], keep);
    let fields = link.as_object_mut().expect("a link is an object");
    for number in ["ifindex", "link_index", "link_netnsid", "link", "addr_info"] {
        fields.remove(number);
    }
    // A kernel forgets to say UP of a link that came up while it was made: the flags say it.
    fields.remove("operstate");
    // The number of a link of the node, which iproute2 takes for one of the pod.
    if let Some(data) = link["linkinfo"]["info_data"].as_object_mut() {
        data.remove("link");
    }
    let mut all = vec![format!("link {link}")];
    all.extend(addresses);
    for family in ["-4", "-6"] {
        let words = [
            "ip", "-j", "-d", family, "route", "show", "table", "all", "dev", "data0",
        ];
        let routes = parse(said(&pod.try_run(&words)));
        all.extend(lines(&format!("route {family}"), &routes, keep));
        let rules = pod.ip(&[family, "rule", "show"]);
        all.extend(lines(&format!("rule {family}"), &rules, |_| true));
    }
    let words = ["ip", "-j", "neighbour", "show", "dev", "data0"];
    let neighbours = parse(said(&pod.try_run(&words)));
    all.extend(lines("neighbour", &neighbours, |n| {
        n["state"] == json!(["PERMANENT"])
    }));
    all
}

fn outside(node: &TestNode, pod: &TestPod<'_>) -> Vec<String> {
    let is_of_pod = |link: &&Value| {
        let alias = link["ifalias"].as_str().unwrap_or_default();
        alias.contains(&pod.attachment.uid) && alias.contains(":data0:")
    };
    let find = |links: Value| links.as_array()?.iter().find(is_of_pod).cloned();
    let in_node = find(node.ip(&["address", "show"]));
    let in_switch = find(node.switch_ip(&["address", "show"]));
    let mut all = Vec::new();
    for (place, link) in [("node", in_node), ("switch", in_switch)] {
        let Some(link) = link else { continue };
        let name = link["ifname"].as_str().unwrap_or_default();
        let port = &link["linkinfo"]["info_slave_data"];
        let port = ["learning", "flood", "locked", "isolated"].map(|flag| &port[flag]);
        all.push(format!(
            "in the {place}: {name} {} mtu {} {} group {} master {} {port:?}",
            link["flags"], link["mtu"], link["address"], link["group"], link["master"],
        ));
        all.extend(lines("address", &link["addr_info"], |a| {
            a["scope"] != "link" || a["local"] == "fe80::1"
        }));
        let run = |words: &[&str]| match place {
            "node" => said(&node.try_run(words)),
            _ => {
                let words = [&["ip", "netns", "exec", "podconfig"], words].concat();
                said(&node.try_run(&words))
            }
        };
        let filter = run(&["tc", "filter", "show", "dev", name, "ingress"]);
        all.push(format!("filter {filter}"));
        for family in ["-4", "-6"] {
            let words = [
                "ip", "-j", family, "route", "show", "table", "main", "dev", name,
            ];
            let routes = parse(run(&words));
            all.extend(lines("route", &routes, |route| route["dst"] != "fe80::/64"));
        }
        let fdb = parse(run(&["bridge", "-j", "fdb", "show", "dev", name]));
        let own = pod.find("data0").map(|link| link["address"].clone());
        let is_own = |entry: &Value| Some(&entry["mac"]) == own.as_ref() && entry["state"] != "";
        all.extend(lines("fdb", &fdb, is_own));
        if place == "node" {
            all.extend(sysctls(node, name));
        }
    }
    all
}

fn sysctls(node: &TestNode, name: &str) -> Vec<String> {
    let script = format!(
        "cd /proc/sys/net; grep -H . ipv4/conf/{name}/rp_filter ipv4/conf/{name}/accept_* \
         ipv4/conf/{name}/route_localnet ipv6/conf/{name}/accept_ra ipv6/conf/{name}/autoconf \
         ipv6/conf/{name}/accept_redirects ipv6/conf/{name}/disable_ipv6"
    );
    said(&node.try_run(&["sh", "-c", &script]))
        .lines()
        .map(|line| format!("sysctl {line}"))
        .collect()
}

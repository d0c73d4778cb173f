//! One pod: what the API says of it, and what its kernel says.

use std::process::{Command, Output};

use serde_json::Value;

use super::{
    eventually,
    kubectl::{kubectl, list, name_of, object},
    node::{links, process_of},
};
use crate::wait::seen;

/// A pod that runs, with the sandbox that it has now.
#[derive(Clone, Debug)]
pub struct Pod {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub node: String,
    /// The process that holds its namespaces, as this machine sees it.
    sandbox: u32,
}

/// What a pod with `hostNetwork` has not.
const HOLDER: &str = "pause";

impl Pod {
    /// Waits until it runs.
    pub fn named(namespace: &str, name: &str) -> Self {
        eventually(&format!("pod {namespace}/{name} runs"), || {
            let pod = object(&["pod", "-n", namespace, name]).ok_or("there is none")?;
            Self::of(&pod).ok_or_else(|| pod["status"].to_string())
        })
    }

    /// All that run and are not about to end.
    pub fn all(namespace: &str, selector: &str) -> Vec<Self> {
        let pods = list(&["pods", "-n", namespace, "-l", selector]);
        pods.iter().filter_map(Self::of).collect()
    }

    fn of(pod: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        if pod["status"]["phase"] != "Running" || !pod["metadata"]["deletionTimestamp"].is_null() {
            return None;
        }
        let uid = text(&pod["metadata"]["uid"])?;
        Some(Self {
            sandbox: process_of(&uid, HOLDER)?,
            namespace: text(&pod["metadata"]["namespace"])?,
            name: name_of(pod),
            node: text(&pod["spec"]["nodeName"])?,
            uid,
        })
    }

    pub fn object(&self) -> Value {
        object(&["pod", "-n", &self.namespace, &self.name])
            .unwrap_or_else(|| panic!("pod {} is gone", self.name))
    }

    pub fn report(&self) -> Option<Value> {
        object(&["podreport", "-n", &self.namespace, &self.name])
    }

    /// How often its first container was started again.
    pub fn restarts(&self) -> u64 {
        let pod = self.object();
        pod["status"]["containerStatuses"][0]["restartCount"]
            .as_u64()
            .unwrap_or_default()
    }

    pub fn label(&self, label: &str) {
        kubectl(&["label", "pod", "-n", &self.namespace, &self.name, label]);
    }

    /// A program of this machine with the pod's network.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.sandbox.to_string(), "-n", "--", program]);
        command
    }

    pub fn try_run(&self, words: &[&str]) -> Output {
        self.command(words[0])
            .args(&words[1..])
            .output()
            .expect("nsenter runs")
    }

    pub fn links(&self) -> Vec<Value> {
        let output = self.try_run(&["ip", "-j", "-d", "address", "show"]);
        links(&String::from_utf8_lossy(&output.stdout))
    }

    /// The link of that name, however it is.
    pub fn link(&self, name: &str) -> Option<Value> {
        self.links().into_iter().find(|link| link["ifname"] == name)
    }

    /// Waits until the link is up; its number in the pod.
    pub fn has(&self, name: &str) -> u64 {
        let what = format!("{} has {name}", self.name);
        let link = eventually(&what, || {
            let found = self.link(name).ok_or_else(|| names(&self.links()))?;
            seen(found["operstate"] == "UP", &found)?;
            Ok(found)
        });
        number(&link)
    }

    /// Waits until the link is up with this address and no other of IPv4.
    pub fn has_with(&self, name: &str, address: &str) -> u64 {
        self.has(name);
        eventually(&format!("{} has {address} on {name}", self.name), || {
            let link = self.link(name).ok_or("the link is gone")?;
            let got = addresses(&link);
            seen(got == [address], format!("{got:?}"))?;
            Ok(number(&link))
        })
    }

    /// Waits until there is no such link.
    pub fn lacks(&self, name: &str) {
        eventually(&format!("{} lacks {name}", self.name), || {
            seen(self.link(name).is_none(), names(&self.links()))
        });
    }

    /// The link-local address that the kernel gave the link, to be reached from the link `from` of others.
    pub fn link_local(&self, name: &str) -> String {
        eventually("a link has a link-local address", || {
            let link = self.link(name).ok_or("the link is gone")?;
            let all = link["addr_info"].as_array().cloned().unwrap_or_default();
            let local = all.iter().find(|one| {
                one["scope"] == "link" && one["family"] == "inet6" && one["tentative"].is_null()
            });
            let local = local.and_then(|one| one["local"].as_str());
            local
                .map(|text| format!("{text}%{name}"))
                .ok_or_else(|| link.to_string())
        })
    }

    /// Waits until the report says so of the link.
    pub fn reports(&self, link: &str, reason: &str) -> Value {
        let what = format!("the report of {} says {reason} of {link}", self.name);
        eventually(&what, || {
            let report = self.report().ok_or("there is no report")?;
            let links = report["status"]["links"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let found = links.into_iter().find(|one| one["name"] == link);
            let found = found.ok_or_else(|| report["status"].to_string())?;
            seen(found["reason"] == reason, &found)?;
            Ok(found)
        })
    }

    /// Waits until nothing is reported of it.
    pub fn has_no_report(&self) {
        eventually(&format!("{} has no report", self.name), || {
            self.report()
                .map_or(Ok(()), |report| Err(report.to_string()))
        });
    }
}

pub fn number(link: &Value) -> u64 {
    link["ifindex"]
        .as_u64()
        .unwrap_or_else(|| panic!("a link has a number: {link}"))
}

/// `address/length` of each address of IPv4.
pub fn addresses(link: &Value) -> Vec<String> {
    let all = link["addr_info"].as_array().into_iter().flatten();
    all.filter(|one| one["family"] == "inet")
        .map(|one| {
            format!(
                "{}/{}",
                one["local"].as_str().unwrap_or_default(),
                one["prefixlen"]
            )
        })
        .collect()
}

fn names(links: &[Value]) -> String {
    let names: Vec<&str> = links
        .iter()
        .filter_map(|link| link["ifname"].as_str())
        .collect();
    format!("{names:?}")
}

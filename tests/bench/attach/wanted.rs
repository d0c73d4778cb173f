//! What is requested of podconfig, and until when it has come.

use std::{
    fs,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use serde_json::{Map, Value, json};

use crate::{
    manifest,
    node::{self, NAMESPACE, Pod, REPORTS},
    wish::LINK,
};

/// The baseline of CHECK is taken two seconds after ADD.
pub const CHECK_AFTER: Duration = Duration::from_millis(2300);
const PATIENCE: Duration = Duration::from_secs(60);
const STORE: &str = "/run/podconfig/state/default/attachments/results";
const POLICY: &str = "apiVersion: podconfig.dev/v1alpha1
kind: PodConfigPolicy
metadata:
  name: plugins
spec:
  namespaceSelector: {}
  allow:
  - cni:
      definitions: [{namespace: networks, names: [macvlan, chain]}]
      hostPorts: [{min: 20000, max: 60000}]
    addresses: [10.0.0.0/7]
    routes: [0.0.0.0/0]
";

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Check {
    Never,
    Report,
}

impl Check {
    pub fn name(self) -> &'static str {
        match self {
            Self::Never => "Never",
            Self::Report => "Report",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Macvlan,
    Chain,
}

impl Kind {
    /// Of the definition.
    pub fn name(self) -> &'static str {
        match self {
            Self::Macvlan => "macvlan",
            Self::Chain => "chain",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::Macvlan => "macvlan with host-local",
            Self::Chain => "bridge with host-local, tuning, portmap",
        }
    }

    /// Of its own networks and its own bridge for each side.
    pub fn configuration(self, side: &str) -> String {
        let net = u8::from(side == "hand") * 10 + u8::from(self == Self::Chain);
        let ipam = json!({"type": "host-local", "ranges": [[{"subnet": format!("10.{}.0.0/16", 100 + net)}]]});
        let plugins = match self {
            Self::Macvlan => {
                json!([{"type": "macvlan", "master": "eth1", "mode": "bridge", "ipam": ipam}])
            }
            Self::Chain => json!([
                {"type": "bridge", "bridge": format!("br{net}"), "ipam": ipam},
                {"type": "tuning", "sysctl": {format!("net.ipv4.conf.{LINK}.arp_notify"): "1"}},
                {"type": "portmap", "capabilities": {"portMappings": true}},
            ]),
        };
        json!({"cniVersion": "1.0.0", "name": format!("{side}-{}", self.name()), "plugins": plugins}).to_string()
    }

    pub fn runtime_config(self, pod: &Pod) -> Map<String, Value> {
        let mut config = Map::new();
        if self == Self::Chain {
            let mapping =
                json!([{"hostPort": 40000 + pod.number, "containerPort": 80, "protocol": "tcp"}]);
            config.insert("portMappings".to_owned(), mapping);
        }
        config
    }

    fn link(self, pod: &Pod, check: Check) -> String {
        let ports = match self {
            Self::Macvlan => String::new(),
            Self::Chain => format!(
                ", portMappings: [{{hostPort: {}, containerPort: 80}}]",
                20000 + pod.number
            ),
        };
        let (definition, check) = (self.name(), check.name());
        format!(
            "{{name: {LINK}, cni: {{networkAttachmentDefinition: networks/{definition}, check: {check}{ports}}}}}"
        )
    }
}

pub fn prepare() -> Result<()> {
    node::apply("plugins", POLICY)?;
    for kind in [Kind::Macvlan, Kind::Chain] {
        let (name, text) = (kind.name(), kind.configuration("podconfig"));
        let object = format!(
            "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata: {{name: {name}, namespace: networks}}\nspec:\n  config: '{text}'\n"
        );
        node::apply(&format!("definition-{name}"), &object)?;
    }
    Ok(())
}

/// One PodConfig for each pod, of the kinds by turns.
pub fn grant(name: &str, pods: &[Pod], kinds: &[Kind], check: Check) -> Result<()> {
    let pairs = pods.iter().zip(kinds.iter().cycle());
    let text = pairs.map(|(pod, kind)| {
        manifest::on(
            &pod.name,
            &format!("pod: {}", pod.name),
            &kind.link(pod, check),
        )
    });
    node::apply(name, &text.collect::<String>())
}

/// Until each has its link by its report.
pub fn ready(pods: &[Pod]) -> Result<Instant> {
    let mut waiting: Vec<&Pod> = pods.iter().collect();
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        // One that was last is looked at first: the others are looked at once it is there.
        while let Some(pod) = waiting.last() {
            if !is_ready(pod) {
                break;
            }
            waiting.pop();
        }
        if waiting.is_empty() {
            return Ok(Instant::now());
        }
        sleep(Duration::from_micros(500));
    }
    let left = waiting.last().map(|pod| report(pod)).unwrap_or_default();
    bail!(
        "{} links have not come after {PATIENCE:?}; the report of one:\n{left}\n{}",
        waiting.len(),
        crate::daemon::log_tail()
    )
}

fn is_ready(pod: &Pod) -> bool {
    report(pod).contains("LinkReady")
}

fn report(pod: &Pod) -> String {
    let file = format!("{REPORTS}/{NAMESPACE}/podreport-{}.yaml", pod.name);
    fs::read_to_string(file).unwrap_or_default()
}

/// Takes the manifest away, until nothing is attached, and no report says that it is: the next round waits for those.
pub fn withdraw(name: &str, pods: &[Pod]) -> Result<()> {
    node::withdraw(name)?;
    let start = Instant::now();
    while fs::read_dir(STORE)?.count() > 0 || pods.iter().any(is_ready) {
        if start.elapsed() > PATIENCE {
            bail!(
                "links have not gone after {PATIENCE:?}:\n{}",
                crate::daemon::log_tail()
            );
        }
        sleep(Duration::from_millis(2));
    }
    Ok(())
}

//! Chains, requests and pods.

use attachments::{
    entry::{NetnsId, PodRef, Requester},
    state::{CheckMode, LinkRequest, PodRequest, Sandbox, Takeover, Target, Wanted},
};
use cni::{FrozenChain, FrozenPlugin, Version};
use serde_json::json;

pub const BOOT: &str = "0d1e2f3a-0000-4000-8000-000000000000";

pub fn chain(network: &str, container_id: &str, ifname: &str) -> FrozenChain {
    let plugin = |kind: &str| FrozenPlugin {
        plugin_type: kind.into(),
        ipam_type: None,
        object: json!({"type": kind, "network": network})
            .as_object()
            .unwrap()
            .clone(),
    };
    FrozenChain {
        network: network.into(),
        cni_version: Version::V1_1_0,
        plugins: ["macvlan", "tuning", "portmap"].map(plugin).into(),
        disable_check: false,
        disable_gc: false,
        runtime_config: serde_json::Map::new(),
        args: Vec::new(),
        container_id: container_id.into(),
        ifname: ifname.into(),
        netns: format!("/run/netns/{container_id}"),
        digests: Default::default(),
    }
}

/// A pod, its namespace, its uid and its current container.
#[derive(Clone, Debug)]
pub struct Pod {
    pub namespace: String,
    pub uid: String,
    pub container_id: String,
}

impl Pod {
    pub fn new(namespace: &str, uid: &str, container_id: &str) -> Self {
        Self {
            namespace: namespace.into(),
            uid: uid.into(),
            container_id: container_id.into(),
        }
    }

    pub fn reference(&self) -> PodRef {
        PodRef {
            namespace: self.namespace.clone(),
            name: format!("pod-{}", self.uid),
            uid: self.uid.clone(),
        }
    }

    /// A request for these links.
    pub fn request(&self, links: Vec<LinkRequest>) -> PodRequest {
        PodRequest {
            pod: self.reference(),
            sandbox: Some(Sandbox {
                container_id: self.container_id.clone(),
                netns: NetnsId {
                    boot_id: BOOT.into(),
                    cookie: 7,
                },
            }),
            links,
        }
    }

    /// What Multus attached is to be detached.
    pub fn take_over(&self, ifname: &str) -> LinkRequest {
        LinkRequest {
            ifname: ifname.into(),
            target: Target::TakeOver(Takeover {
                definition: "networks/fast".into(),
                netns: format!("/run/netns/{}", self.container_id),
            }),
        }
    }

    /// A link `ifname` on a network, made after others.
    pub fn link(&self, ifname: &str, network: &str, after: &[&str]) -> LinkRequest {
        self.checked(ifname, network, after, CheckMode::Never)
    }

    pub fn checked(
        &self,
        ifname: &str,
        network: &str,
        after: &[&str],
        check: CheckMode,
    ) -> LinkRequest {
        let wanted = Wanted {
            chain: chain(network, &self.container_id, ifname),
            requester: Requester::PodConfig {
                uid: "c0".into(),
                name: "config".into(),
                link: ifname.into(),
            },
            spec_hash: network.into(),
            // Of one interface, so that both kinds of link are made.
            gateways: match ifname {
                "net1" => vec!["10.0.0.1".parse().unwrap()],
                _ => Vec::new(),
            },
            after: after.iter().map(|&name| name.into()).collect(),
            check,
        };
        LinkRequest {
            ifname: ifname.into(),
            target: Target::Attach(Box::new(wanted)),
        }
    }
}

//! The command line of `reconfd run`.

use std::{path::PathBuf, time::Duration};

use args::Logging;
use clap::Args;

use crate::{
    jail::{Layout, Limits},
    node_files::NodeFiles,
    usage::UsageLimits,
};

/// What is hidden from plugins: secrets of the node and of its pods, podconfig's own store, and what the runtime and
/// Multus have stored about attachments of their own, beside the plugins' folders.
const HIDDEN: [&str; 14] = [
    "/etc/kubernetes",
    "/home",
    "/root",
    "/var/lib/cni/cache",
    "/var/lib/cni/multus",
    "/var/lib/cni/results",
    "/var/lib/containerd",
    "/var/lib/containers",
    "/var/lib/docker",
    "/var/lib/etcd",
    "/var/lib/kubelet",
    "/var/lib/podconfig",
    "/var/lib/rancher",
    "/var/log",
];

/// Executes CNI plugins for running pods
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct RunConfig {
    /// Unix socket on which the daemon's requests arrive; made anew, for root alone
    #[arg(long, value_name = "PATH")]
    pub socket: PathBuf,
    /// A plugin that may be executed, by the name of its file; may be repeated. Every other one is refused
    #[arg(long = "plugin", value_name = "TYPE", required = true)]
    pub plugins: Vec<String>,
    /// Folder of plugins on the node; may be repeated, the first that has a plugin counts
    #[arg(
        long = "plugin-folder",
        value_name = "PATH",
        default_value = "/opt/cni/bin"
    )]
    pub folders: Vec<PathBuf>,
    /// Where the node's file system is: /host in a container
    #[arg(long, value_name = "PATH", default_value = "/")]
    pub root: PathBuf,
    /// Socket, file or folder below /run that plugins need beside those of CNI; may be repeated
    #[arg(long = "share", value_name = "PATH")]
    pub shared: Vec<PathBuf>,
    /// Multus' folder of what it has attached, its cniDir. An attachment of a pod that does not request it any more is
    /// undone by its file there, which is removed then
    #[arg(long, value_name = "PATH", default_value = "/var/lib/cni/multus")]
    pub multus_cni_dir: PathBuf,
    /// Multus' folder of configurations, its confDir: that of a NetworkAttachmentDefinition with an empty spec is in a
    /// file there
    #[arg(long, value_name = "PATH", default_value = "/etc/cni/multus/net.d")]
    pub multus_conf_dir: PathBuf,
    /// Folder of the node's own CNI configuration: tenants may use neither its plugins nor its networks
    #[arg(long, value_name = "PATH", default_value = "/etc/cni/net.d")]
    pub conf_dir: PathBuf,
    /// Number of chains that run at the same time
    #[arg(long, value_name = "NUMBER", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub parallel: u16,
    /// Seconds that one plugin may take
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub plugin_timeout: u64,
    /// Seconds that a chain may take
    #[arg(long, value_name = "SECONDS", default_value_t = 90, value_parser = clap::value_parser!(u64).range(1..=1800))]
    pub chain_timeout: u64,
    /// MiB of memory that the processes of a chain may take together, without pages of files. A plugin in Go takes 10
    /// to 50, iptables 60 with 40 000 rules in its table
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u64).range(16..=65536))]
    pub chain_memory: u64,
    /// Processes and threads that a chain may have at the same time. A plugin in Go has 5 to 20, and it starts others
    #[arg(long, value_name = "NUMBER", default_value_t = 256, value_parser = clap::value_parser!(u64).range(16..=8192))]
    pub chain_processes: u64,
    #[command(flatten)]
    pub logging: Logging,
}

impl RunConfig {
    pub fn layout(&self) -> Layout {
        let mut hidden: Vec<PathBuf> = HIDDEN.iter().map(PathBuf::from).collect();
        if !hidden.contains(&self.multus_cni_dir) {
            hidden.push(self.multus_cni_dir.clone());
        }
        Layout {
            root: self.root.clone(),
            writable: vec!["/var/lib/cni".into()],
            run: self.shared.clone(),
            hidden,
        }
    }

    pub fn files(&self) -> NodeFiles {
        NodeFiles {
            root: self.root.clone(),
            multus_cni_dir: self.multus_cni_dir.clone(),
            multus_conf_dir: self.multus_conf_dir.clone(),
            conf_dir: self.conf_dir.clone(),
        }
    }

    pub fn limits(&self) -> Limits {
        Limits {
            plugin: Duration::from_secs(self.plugin_timeout),
            chain: Duration::from_secs(self.chain_timeout),
            usage: UsageLimits {
                memory: self.chain_memory,
                processes: self.chain_processes,
            },
        }
    }
}

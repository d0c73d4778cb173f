//! Flags and environment of the daemon. All values are validated here, so that an invalid one is reported at the
//! start, and no other code handles unparsed strings. No flag takes credentials.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use args::{
    Installation, ListenAddress, Logging, NetnsFolders, RecordsDir, RunDir, StateDir, SwitchFolder,
};
use clap::{Parser, ValueEnum};
use crds::Cidr;
use nix::sys::utsname::uname;
use node::switch::Maker;
use store::scope::Scope;

use crate::podconfig::{
    annotation::NetworksAnnotation, attachments::AttachmentOptions,
    pods::unsupported::RUNTIME_CLASSES, reporter::ReporterOptions,
};

/// Reconciles the network links of each recorded pod with the PodConfigs.
#[derive(Clone, Debug, PartialEq, Eq, Parser)]
#[command(name = "reconfd", version)]
#[command(mut_arg("run_dir", |arg| arg.help("The folder for the daemon's lock")))]
pub struct Config {
    /// Source of the objects: cluster, the Kubernetes API; or directory:PATH, a folder of manifests
    #[arg(long, env = "PODCONFIG_SOURCE")]
    pub source: ObjectSource,

    #[command(flatten)]
    pub scope: Scope,

    /// A network that no link may overlap, beside those of the cluster and of this node; may be given more than
    /// once, or with commas between
    #[arg(
        long,
        env = "PODCONFIG_RESERVE",
        value_name = "CIDR",
        value_delimiter = ','
    )]
    pub reserve: Vec<Cidr>,

    /// Probe by ARP and neighbour discovery whether an address is in use before it is set on a link; takes half a
    /// second, and the right to send raw frames
    #[arg(long, env = "PODCONFIG_PROBE_ADDRESSES")]
    pub probe_addresses: bool,

    /// Set the condition podconfig.dev/ready of the pods that list it as a readiness gate
    #[arg(long, env = "PODCONFIG_READINESS_GATE")]
    pub readiness_gate: bool,

    /// Keep the links in the pods' annotation k8s.v1.cni.cncf.io/network-status, as Multus does
    #[arg(long, env = "PODCONFIG_NETWORK_STATUS")]
    pub network_status: bool,

    /// What the annotation k8s.v1.cni.cncf.io/networks of a running pod is to podconfig. off: nothing. strict: its
    /// elements are attached and detached as multus-dynamic-networks-controller does it, nothing while one has no
    /// interface name. match: the same, and an element without a name is the interface of that network which the pod
    /// has, else net<N>. The policies judge it as a PodConfig of the pod's namespace
    #[arg(
        long,
        env = "PODCONFIG_NETWORKS_ANNOTATION",
        value_name = "MODE",
        value_enum,
        default_value = "off"
    )]
    pub networks_annotation: NetworksAnnotation,

    /// Socket of the runner, which executes CNI plugins for `cni` links: see `reconfd run`. Without it such links are
    /// refused
    #[arg(long, env = "PODCONFIG_RUNNER_SOCKET", value_name = "PATH")]
    pub runner_socket: Option<PathBuf>,

    /// GC of networks of CNI 1.1 runs once no pod sandbox of the node was made for so many seconds, and then once a day;
    /// 0: never
    #[arg(
        long,
        env = "PODCONFIG_GC_AFTER",
        value_name = "SECONDS",
        default_value_t = 300
    )]
    pub gc_after: u32,

    #[command(flatten)]
    pub state_dir: StateDir,

    #[command(flatten)]
    pub records: RecordsDir,

    /// libcni's result cache, to find pods that have no record: a path, or off. Default: off,
    /// with the cluster source /var/lib/cni/results
    #[arg(long, env = "PODCONFIG_CNI_CACHE", value_name = "PATH")]
    pub cni_cache: Option<PathBuf>,

    /// The container runtime's CRI socket, to find pods that are found in no other way; access to it gives full
    /// control of the node
    #[arg(long, env = "PODCONFIG_CRI_SOCKET", value_name = "PATH", value_parser = cri_socket)]
    pub cri_socket: Option<PathBuf>,

    /// Runtime classes whose pods do not see links that are added later, separated by commas; a trailing * matches
    /// any suffix
    #[arg(
        long,
        env = "PODCONFIG_UNSUPPORTED_RUNTIME_CLASSES",
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = RUNTIME_CLASSES
    )]
    pub unsupported_runtime_classes: Vec<String>,

    /// The folder for reports; by default that of the manifests with the suffix "-reports"
    #[arg(long, env = "PODCONFIG_REPORTS", value_name = "PATH")]
    pub reports: Option<PathBuf>,

    /// The folder for address claims, with a folder of manifests; daemons that share it never allocate the same
    /// address. By default that of the manifests with the suffix "-claims"
    #[arg(long, env = "PODCONFIG_CLAIMS", value_name = "PATH")]
    pub claims: Option<PathBuf>,

    /// Seconds before a released address may be allocated again
    #[arg(
        long,
        env = "PODCONFIG_ADDRESS_REST",
        value_name = "SECONDS",
        default_value_t = 30
    )]
    pub address_rest: u32,

    #[command(flatten)]
    pub netns: NetnsFolders,

    #[command(flatten)]
    pub switch_folder: SwitchFolder,

    /// make: make the switch and pin it; adopt: use the one that `reconfd keep` pins, and never make another.
    /// By default adopt on a cluster, and make with a folder of manifests
    #[arg(long, env = "PODCONFIG_SWITCH", value_name = "HOW", value_enum)]
    pub switch: Option<Switch>,

    #[command(flatten)]
    pub installation: Installation,

    #[command(flatten)]
    pub run_dir: RunDir,

    #[command(flatten)]
    pub listen: ListenAddress,

    /// The name of this node in reports; by default the host's
    #[arg(long, env = "PODCONFIG_NODE_NAME", value_name = "NAME", default_value_t = host_name(), value_parser = node_name)]
    pub node_name: String,

    #[command(flatten)]
    pub logging: Logging,
}

/// Source of objects and destination of reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectSource {
    Cluster,
    Directory(PathBuf),
}

/// How the daemon gets the switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    Make,
    Adopt,
}

/// libcni's result cache, with every runtime.
const CNI_CACHE: &str = "/var/lib/cni/results";

impl Config {
    /// What is reported beside the reports.
    pub fn reporting(&self) -> ReporterOptions {
        ReporterOptions {
            gate: self.readiness_gate,
            network_status: self.network_status,
            attachments: self.networks_annotation.is_followed(),
        }
    }

    /// `None`: this node executes no CNI plugins.
    pub fn attachments(&self) -> Option<AttachmentOptions> {
        Some(AttachmentOptions {
            runner: self.runner_socket.clone()?,
            state: self.state_dir.path.clone(),
            installation: self.installation.name.clone(),
            netns: self.netns.folders.clone(),
            gc_after: (self.gc_after > 0).then(|| Duration::from_secs(self.gc_after.into())),
        })
    }

    /// On a cluster the daemon may not mount.
    pub fn maker(&self) -> Maker {
        let by_source = match self.source {
            ObjectSource::Cluster => Switch::Adopt,
            ObjectSource::Directory(_) => Switch::Make,
        };
        match self.switch.unwrap_or(by_source) {
            Switch::Make => Maker::Itself,
            Switch::Adopt => Maker::Other,
        }
    }

    /// libcni's result cache, if it is to be read.
    pub fn cni_cache(&self) -> Option<&Path> {
        match (&self.cni_cache, &self.source) {
            (Some(path), _) => Some(path.as_path()).filter(|path| *path != Path::new("off")),
            (None, ObjectSource::Cluster) => Some(Path::new(CNI_CACHE)),
            (None, ObjectSource::Directory(_)) => None,
        }
    }

    /// The folder for reports on these manifests.
    pub fn reports(&self, manifests: &Path) -> Result<PathBuf, String> {
        beside(manifests, self.reports.as_deref(), "reports")
    }

    /// The folder for address claims.
    pub fn claims(&self, manifests: &Path) -> Result<PathBuf, String> {
        beside(manifests, self.claims.as_deref(), "claims")
    }

    /// How long a released address is quarantined.
    pub fn address_rest(&self) -> Duration {
        Duration::from_secs(self.address_rest.into())
    }
}

/// A folder that the daemon writes, by default beside the manifests. Inside of them, the daemon would read its own
/// output.
fn beside(manifests: &Path, named: Option<&Path>, what: &str) -> Result<PathBuf, String> {
    let folder = named.map(Path::to_owned).unwrap_or_else(|| {
        let mut beside = manifests.components().as_path().as_os_str().to_owned();
        beside.push(format!("-{what}"));
        beside.into()
    });
    if folder.starts_with(manifests) {
        let (folder, manifests) = (folder.display(), manifests.display());
        return Err(format!(
            "the folder for {what} {folder} is inside of the manifests in {manifests}"
        ));
    }
    Ok(folder)
}

impl FromStr for ObjectSource {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("directory", "")) => Err("directory: needs a path after the colon".to_owned()),
            Some(("directory", path)) => Ok(Self::Directory(path.into())),
            None if text == "cluster" => Ok(Self::Cluster),
            Some(("cluster", _)) => Err(
                "cluster takes no value; the cluster is that of KUBECONFIG, or of the pod's service account"
                    .to_owned(),
            ),
            _ => Err("not a source; use cluster or directory:PATH".to_owned()),
        }
    }
}

fn cri_socket(text: &str) -> Result<PathBuf, String> {
    let path = text.strip_prefix("unix://").unwrap_or(text);
    match path.starts_with('/') {
        true => Ok(path.into()),
        false => Err(
            "not the absolute path of a unix socket, such as /run/containerd/containerd.sock"
                .to_owned(),
        ),
    }
}

fn node_name(text: &str) -> Result<String, String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if text.is_empty() || text.len() > 253 || !text.bytes().all(allowed) {
        return Err("not a host name; use --node-name NAME".to_owned());
    }
    Ok(text.to_owned())
}

/// Empty if the host has none, which is then refused like any other invalid name.
fn host_name() -> String {
    uname()
        .map(|host| host.nodename().to_string_lossy().into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;

//! A throwaway node: this process in network and mount namespaces of its own, with a private `/run`.
//! They end with the process, and all that was made in them.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context, Result, anyhow};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, setns, unshare},
};
use sandbox_record::{
    Record, RecordFolder, SCHEMA, boot_id,
    netns::{Identity, Netns},
    now, since_boot,
};

use crate::cost::ended;

pub const OBJECTS: &str = "/run/podconfig/objects";
pub const RECORDS: &str = "/run/podconfig/records";
pub const REPORTS: &str = "/run/podconfig/reports";
pub const NAMESPACES: &str = "/run/netns";
/// What the plugins' records go to, out of the daemon's sight.
pub const PLUGIN_RECORDS: &str = "/run/podconfig/plugin-records";
pub const NAMESPACE: &str = "bench";

/// A pod: a network namespace, and what records and manifests say of it.
#[derive(Clone, Debug)]
pub struct Pod {
    pub name: String,
    /// The first word of its name.
    pub set: String,
    pub number: usize,
    pub identity: Identity,
}

/// Before any thread is started.
pub fn enter() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
        .context("make namespaces: the bench needs root")?;
    let nothing = None::<&str>;
    mount(
        nothing,
        "/",
        nothing,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        nothing,
    )?;
    mount(
        Some("run"),
        "/run",
        Some("tmpfs"),
        MsFlags::empty(),
        Some("mode=755"),
    )
    .context("mount a tmpfs on /run")?;
    for folder in [OBJECTS, RECORDS, REPORTS, NAMESPACES, PLUGIN_RECORDS] {
        fs::create_dir_all(folder)?;
    }
    for folder in [RECORDS, PLUGIN_RECORDS] {
        fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    }
    mount(
        Some(NAMESPACES),
        NAMESPACES,
        nothing,
        MsFlags::MS_BIND,
        nothing,
    )?;
    mount(nothing, NAMESPACES, nothing, MsFlags::MS_SHARED, nothing)?;
    mount(
        Some("sys"),
        "/sys",
        Some("sysfs"),
        MsFlags::empty(),
        nothing,
    )
    .context("mount sysfs")?;
    ip("link set lo up")
}

pub fn ip(words: &str) -> Result<()> {
    let child = Command::new("ip")
        .args(words.split(' '))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("ip (iproute2) is needed")?;
    ended(child, &format!("ip {words}")).map(drop)
}

/// The node's `eth1`, made if it is not there; nobody is at its other end. Its number.
pub fn uplink() -> Result<u32> {
    let number = || fs::read_to_string("/sys/class/net/eth1/ifindex");
    if number().is_err() {
        ip("link add eth1 type veth peer name wire")?;
        ip("link set wire up")?;
        ip("address add 10.9.0.1/24 dev eth1")?;
        ip("link set eth1 up")?;
    }
    Ok(number()?.trim().parse()?)
}

pub fn namespace_path(name: &str) -> PathBuf {
    Path::new(NAMESPACES).join(name)
}

/// Makes a network namespace and pins it, as runtimes do; `inside` runs in it.
pub fn make_namespace<T: Send>(
    name: &str,
    inside: impl FnOnce() -> Result<T> + Send,
) -> Result<(Identity, T)> {
    let path = namespace_path(name);
    File::create_new(&path).with_context(|| path.display().to_string())?;
    in_thread(|| {
        unshare(CloneFlags::CLONE_NEWNET)?;
        let nothing = None::<&str>;
        mount(
            Some("/proc/thread-self/ns/net"),
            &path,
            nothing,
            MsFlags::MS_BIND,
            nothing,
        )?;
        let identity = Netns::own().map_err(|error| anyhow!("{error}"))?.identity();
        Ok((identity, inside()?))
    })
    .with_context(|| format!("make the network namespace {name}"))
}

/// Runs in a namespace on a thread that dies with it.
pub fn within<T: Send>(name: &str, inside: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let file = File::open(namespace_path(name))?;
    in_thread(|| {
        setns(&file, CloneFlags::CLONE_NEWNET)?;
        inside()
    })
}

fn in_thread<T: Send>(deed: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| scope.spawn(deed).join())
        .unwrap_or_else(|_| Err(anyhow!("the thread panicked")))
}

/// Namespaces that no record speaks of so far.
pub fn make_pods(prefix: &str, count: usize) -> Result<Vec<Pod>> {
    let make = |number: usize| {
        let name = format!("{prefix}-{number}");
        let (identity, ()) = make_namespace(&name, || Ok(()))?;
        Ok(Pod {
            name,
            set: prefix.into(),
            number,
            identity,
        })
    };
    (0..count).map(make).collect()
}

/// What the plugin would have written about each, and then the manifest of all, under that name.
pub fn record(name: &str, pods: &[&Pod]) -> Result<()> {
    let folder = RecordFolder::new(RECORDS);
    for pod in pods {
        folder
            .write(&record_of(pod)?)
            .map_err(|error| anyhow!("{error}"))?;
    }
    let text: String = pods.iter().map(|pod| manifest_of(pod)).collect();
    apply(&format!("pods-{name}"), &text)
}

fn record_of(pod: &Pod) -> Result<Record> {
    Ok(Record {
        schema: SCHEMA,
        pod_namespace: NAMESPACE.into(),
        pod_name: pod.name.clone(),
        pod_uid: Some(uid_of(pod)),
        container_id: format!("{:064x}", pod.identity.inode),
        ifname: "eth0".into(),
        network: "cluster".into(),
        netns: namespace_path(&pod.name),
        device: pod.identity.device,
        inode: pod.identity.inode,
        cookie: pod.identity.cookie,
        boot_id: boot_id()?,
        addresses: vec![format!(
            "10.88.{}.{}/16",
            pod.number / 250,
            pod.number % 250 + 1
        )],
        annotations: std::collections::BTreeMap::new(),
        time: now(),
        since_boot: since_boot(),
    })
}

fn uid_of(pod: &Pod) -> String {
    format!("00000000-0000-4000-8000-{:012x}", pod.identity.inode)
}

fn manifest_of(pod: &Pod) -> String {
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata:\n  namespace: {NAMESPACE}\n  name: {0}\n  uid: {1}\n  labels:\n    pod: {0}\n    set: {2}\n",
        pod.name,
        uid_of(pod),
        pod.set
    )
}

/// Puts a manifest in its place by a rename; the rename is the last thing that happens.
pub fn apply(name: &str, text: &str) -> Result<()> {
    prepare(name, text)?;
    show(name)
}

pub fn prepare(name: &str, text: &str) -> Result<()> {
    Ok(fs::write(format!("{OBJECTS}/.{name}.new"), text)?)
}

pub fn show(name: &str) -> Result<()> {
    Ok(fs::rename(
        format!("{OBJECTS}/.{name}.new"),
        format!("{OBJECTS}/{name}.yaml"),
    )?)
}

pub fn withdraw(name: &str) -> Result<()> {
    Ok(fs::remove_file(format!("{OBJECTS}/{name}.yaml"))?)
}

//! The switch: podconfig's own network namespace on this node, where the tenants' segments meet.
//!
//! It forwards nothing, has no address and its loopback stays down, so that a pod on a segment
//! reaches the other pods of the segment and nothing of the node.

use std::{
    fs, io,
    os::fd::{AsFd, AsRawFd},
    path::{Path, PathBuf},
};

use cni_plugin::netns::{Identity, Netns, NetnsFolders};
use netlink_packet_route::RouteNetlinkMessage;
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};
use rtnetlink::LinkUnspec;

use super::{
    links::mark::switch_alias,
    netlink::{Changes, Error, Request, Socket},
    procfs::Procfs,
    space::read_links,
};

/// What must hold inside, whatever the node's own settings are: a new namespace inherits some.
const SETTINGS: [(&str, &str); 7] = [
    ("ipv4/ip_forward", "0"),
    ("ipv6/conf/all/forwarding", "0"),
    ("ipv6/conf/all/disable_ipv6", "1"),
    ("ipv6/conf/default/disable_ipv6", "1"),
    ("bridge/bridge-nf-call-iptables", "0"),
    ("bridge/bridge-nf-call-ip6tables", "0"),
    ("bridge/bridge-nf-call-arptables", "0"),
];

/// The switch's namespace and the path that it is pinned at.
pub struct Pin {
    pub netns: Netns,
    path: PathBuf,
    identity: Identity,
}

impl Pin {
    /// The installation's switch: found again, or made and pinned.
    pub fn find_or_make(
        folder: &Path,
        installation: &str,
        procfs: &Procfs,
        changes: &Changes,
    ) -> io::Result<Self> {
        share_mounts(folder)?;
        let name = match installation {
            "default" => "podconfig".to_owned(),
            other => format!("podconfig-{other}"),
        };
        let path = folder.join(name);
        let alias = switch_alias(installation);
        let (netns, found) = match open(folder, &path)? {
            Some(netns) => (check(netns, &path, &alias, changes)?, true),
            None => (make(&alias, procfs, changes)?, false),
        };
        let identity = netns.identity();
        let pin = Self {
            netns,
            path,
            identity,
        };
        pin.enforce(procfs)?;
        if !found {
            pin.pin()?;
            tracing::info!(path = %pin.path.display(), "made the switch");
        }
        Ok(pin)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the settings hold again, should somebody have loaded a module or changed them.
    pub fn enforce(&self, procfs: &Procfs) -> io::Result<()> {
        self.netns
            .enter(|| enforce(procfs))
            .map_err(io::Error::other)?
    }

    /// Whether the path still leads to this very namespace.
    pub fn holds(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(&self.path)
            .is_ok_and(|m| (m.dev(), m.ino()) == (self.identity.device, self.identity.inode))
    }

    /// Pins the namespace at its path; again, if somebody unmounted it.
    pub fn pin(&self) -> io::Result<()> {
        let told = |e: io::Error| {
            io::Error::new(
                e.kind(),
                format!("pin the switch at {}: {e}", self.path.display()),
            )
        };
        fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&self.path)
            .map_err(told)?;
        let source = format!("/proc/self/fd/{}", self.netns.as_fd().as_raw_fd());
        mount(
            Some(source.as_str()),
            &self.path,
            None::<&str>,
            MsFlags::MS_BIND,
            None::<&str>,
        )
        .map_err(|errno| told(errno.into()))
    }
}

/// As `ip netns` does: what is mounted below the folder must be seen by everybody.
fn share_mounts(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let share = || {
        mount(
            None::<&str>,
            folder,
            None::<&str>,
            MsFlags::MS_SHARED | MsFlags::MS_REC,
            None::<&str>,
        )
    };
    if share().is_ok() {
        return Ok(());
    }
    mount(
        Some(folder),
        folder,
        None::<&str>,
        MsFlags::MS_BIND | MsFlags::MS_REC,
        None::<&str>,
    )?;
    share().map_err(io::Error::from)
}

/// The namespace at the path; `None` if there is none, also if an unmounted file is all that is left.
fn open(folder: &Path, path: &Path) -> io::Result<Option<Netns>> {
    if !path.try_exists()? {
        return Ok(None);
    }
    let file = fs::symlink_metadata(path)?;
    let folders = NetnsFolders::new(&[folder.to_owned()]);
    match folders.open(path) {
        Ok(netns) => Ok(Some(netns)),
        Err(_) if file.is_file() && file.len() == 0 && !is_mounted(path)? => Ok(None),
        Err(error) => Err(io::Error::other(format!(
            "{}: {error}; move it away, or choose another --installation",
            path.display()
        ))),
    }
}

fn is_mounted(path: &Path) -> io::Result<bool> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let at = path.to_string_lossy();
    Ok(mounts
        .lines()
        .any(|line| line.split(' ').nth(4) == Some(&*at)))
}

/// A namespace of that name that somebody else made is left alone.
fn check(netns: Netns, path: &Path, alias: &str, changes: &Changes) -> io::Result<Netns> {
    let links = netns.enter(|| Socket::open(changes).map(|mut socket| read_links(&mut socket)));
    let links = links
        .map_err(io::Error::other)??
        .map_err(io::Error::other)?;
    if links.get(&1).and_then(|lo| lo.alias.as_deref()) == Some(alias) {
        return Ok(netns);
    }
    Err(io::Error::other(format!(
        "{} is a network namespace that podconfig did not make (its lo has no alias {alias:?}); move it away, or choose another --installation",
        path.display()
    )))
}

/// Ready before it is pinned, so that a crash leaves either nothing or a whole switch.
fn make(alias: &str, procfs: &Procfs, changes: &Changes) -> io::Result<Netns> {
    let made = std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name("make-switch".into());
        let thread = builder.spawn_scoped(scope, || {
            unshare(CloneFlags::CLONE_NEWNET)?;
            enforce(procfs)?;
            let lo = LinkUnspec::new_with_index(1).alias(alias).build();
            let request = Request::new("mark the switch", 0, RouteNetlinkMessage::SetLink(lo));
            Socket::open(changes)?
                .change(request)
                .map_err(|e: Error| io::Error::other(e.to_string()))?;
            Netns::own().map_err(|e| io::Error::other(e.to_string()))
        })?;
        thread.join().unwrap_or_else(|_| {
            Err(io::Error::other(
                "the thread that makes the switch panicked",
            ))
        })
    });
    made.map_err(|e: io::Error| io::Error::new(e.kind(), format!("make the switch: {e}")))
}

fn enforce(procfs: &Procfs) -> io::Result<()> {
    for (name, value) in SETTINGS {
        if procfs.ensure(name, value)? {
            tracing::debug!(name, value, "set in the switch");
        }
    }
    Ok(())
}

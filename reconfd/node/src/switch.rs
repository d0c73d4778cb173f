//! The switch: podconfig's own network namespace on this node, with the bridges of the tenants' segments.
//!
//! It forwards nothing, has no address and its loopback stays down, so that a pod on a segment
//! reaches the other pods of the segment and nothing of the node.

use std::{
    fs, io,
    os::fd::{AsFd, AsRawFd},
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

use netlink_packet_route::RouteNetlinkMessage;
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
};
use rtnetlink::LinkUnspec;
use sandbox_record::netns::{Identity, Netns, NetnsFolders};

use super::{
    links::ownership_mark::switch_alias,
    netlink::{Changes, Error, Request, Socket},
    procfs::Procfs,
    watched_netns::read_links,
};

/// The sysctls inside: a new namespace inherits some from the node.
const SETTINGS: [(&str, &str); 7] = [
    ("ipv4/ip_forward", "0"),
    ("ipv6/conf/all/forwarding", "0"),
    ("ipv6/conf/all/disable_ipv6", "1"),
    ("ipv6/conf/default/disable_ipv6", "1"),
    ("bridge/bridge-nf-call-iptables", "0"),
    ("bridge/bridge-nf-call-ip6tables", "0"),
    ("bridge/bridge-nf-call-arptables", "0"),
];

/// How long to wait for a switch that another program pins.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);

/// The program that creates and pins the switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// This program.
    Itself,
    /// Another one: this one may not mount, and never creates a second switch.
    Other,
}

/// The switch's namespace and the path that it is pinned at.
pub struct Pin {
    pub netns: Netns,
    path: PathBuf,
    identity: Identity,
    maker: Maker,
}

impl Pin {
    /// Opens or creates the installation's switch, depending on the maker.
    pub fn open(
        folder: &Path,
        installation: &str,
        maker: Maker,
        procfs: &Procfs,
        changes: &Changes,
    ) -> io::Result<Self> {
        match maker {
            Maker::Itself => Self::find_or_make(folder, installation, procfs, changes),
            Maker::Other => Self::adopt(folder, installation, procfs, changes),
        }
    }

    /// Opens the installation's switch, or creates and pins it.
    pub fn find_or_make(
        folder: &Path,
        installation: &str,
        procfs: &Procfs,
        changes: &Changes,
    ) -> io::Result<Self> {
        share_mounts(folder)?;
        if let Some(pin) = Self::find(folder, installation, changes)? {
            pin.enforce(procfs)?;
            return Ok(pin);
        }
        let netns = make(&switch_alias(installation), procfs, changes)?;
        let pin = Self::of(netns, path_in(folder, installation), Maker::Itself);
        pin.enforce(procfs)?;
        pin.pin()?;
        tracing::info!(path = %pin.path.display(), "made the switch");
        Ok(pin)
    }

    /// The installation's switch, if it is pinned.
    pub fn find(folder: &Path, installation: &str, changes: &Changes) -> io::Result<Option<Self>> {
        let path = path_in(folder, installation);
        let Some(netns) = open(folder, &path)? else {
            return Ok(None);
        };
        let netns = check(netns, &path, &switch_alias(installation), changes)?;
        Ok(Some(Self::of(netns, path, Maker::Itself)))
    }

    fn adopt(
        folder: &Path,
        installation: &str,
        procfs: &Procfs,
        changes: &Changes,
    ) -> io::Result<Self> {
        let Some(mut pin) = Self::find(folder, installation, changes)? else {
            return Err(missing(&path_in(folder, installation)));
        };
        pin.maker = Maker::Other;
        pin.enforce(procfs)?;
        Ok(pin)
    }

    fn of(netns: Netns, path: PathBuf, maker: Maker) -> Self {
        let identity = netns.identity();
        Self {
            netns,
            path,
            identity,
            maker,
        }
    }

    pub fn maker(&self) -> Maker {
        self.maker
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Enforces the settings again, in case a module was loaded or they were changed.
    pub fn enforce(&self, procfs: &Procfs) -> io::Result<()> {
        self.netns
            .enter(|| enforce(procfs))
            .map_err(io::Error::other)?
    }

    /// Whether the path still leads to this namespace. An unreadable path is an error.
    pub fn holds(&self) -> io::Result<bool> {
        use std::os::unix::fs::MetadataExt;
        match fs::metadata(&self.path) {
            Ok(m) => Ok((m.dev(), m.ino()) == (self.identity.device, self.identity.inode)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Pins the namespace at its path, also after it was unmounted.
    pub fn pin(&self) -> io::Result<()> {
        let failed = |error| in_context("pin the switch at", &self.path, &error);
        fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&self.path)
            .map_err(failed)?;
        let source = format!("/proc/self/fd/{}", self.netns.as_fd().as_raw_fd());
        set_mount(Some(Path::new(&source)), &self.path, MsFlags::MS_BIND).map_err(failed)
    }

    /// Removes the pin; the namespace ends with its last reference. Another namespace at that path stays.
    pub fn unpin(&self) -> io::Result<()> {
        // It may be mounted several times.
        while self.holds()? {
            umount2(&self.path, MntFlags::MNT_DETACH)
                .map_err(|e| in_context("unmount the switch at", &self.path, &e.into()))?;
        }
        if is_mounted(&self.path)? {
            return Ok(());
        }
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(in_context("remove", &self.path, &error))
            }
            _ => Ok(()),
        }
    }
}

/// Waits for the switch that another program pins. Must precede everything that would signal to that program
/// that a daemon already uses one.
pub fn await_pin(folder: &Path, installation: &str) -> io::Result<()> {
    let (path, start) = (path_in(folder, installation), Instant::now());
    while open(folder, &path)?.is_none() {
        if start.elapsed() > PATIENCE {
            return Err(missing(&path));
        }
        sleep(PAUSE);
    }
    Ok(())
}

fn in_context(op: &str, path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{op} {}: {error}", path.display()))
}

fn set_mount(source: Option<&Path>, target: &Path, flags: MsFlags) -> io::Result<()> {
    mount(source, target, None::<&str>, flags, None::<&str>).map_err(io::Error::from)
}

fn missing(path: &Path) -> io::Error {
    io::Error::other(format!(
        "no switch is pinned at {}; `reconfd keep` makes and pins it: does it run on this node?",
        path.display()
    ))
}

fn path_in(folder: &Path, installation: &str) -> PathBuf {
    match installation {
        "default" => folder.join("podconfig"),
        other => folder.join(format!("podconfig-{other}")),
    }
}

/// As `ip netns` does: mounts below the folder must propagate to all mount namespaces.
fn share_mounts(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let share = || set_mount(None, folder, MsFlags::MS_SHARED | MsFlags::MS_REC);
    if share().is_ok() {
        return Ok(());
    }
    set_mount(Some(folder), folder, MsFlags::MS_BIND | MsFlags::MS_REC)?;
    share()
}

/// The namespace at the path; `None` if there is none, also if only an unmounted file is left.
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

/// Refuses a namespace of that name that another program created.
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

/// Set up before it is pinned, so that a crash leaves either nothing or a complete switch.
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

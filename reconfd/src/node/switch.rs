//! The switch: podconfig's own network namespace on this node, where the tenants' segments meet.
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

use cni_plugin::netns::{Identity, Netns, NetnsFolders};
use netlink_packet_route::RouteNetlinkMessage;
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
};
use rtnetlink::LinkUnspec;

use super::{
    links::ownership_mark::switch_alias,
    netlink::{Changes, Error, Request, Socket},
    procfs::Procfs,
    watched_netns::read_links,
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

/// How long a switch that somebody else pins is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);

/// Who makes the switch and pins it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// This program.
    Itself,
    /// Another one: this one may not mount, and never builds in a second switch.
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
    /// The installation's switch, by whoever makes it.
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

    /// The installation's switch: found again, or made and pinned.
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

    /// Makes the settings hold again, should somebody have loaded a module or changed them.
    pub fn enforce(&self, procfs: &Procfs) -> io::Result<()> {
        self.netns
            .enter(|| enforce(procfs))
            .map_err(io::Error::other)?
    }

    /// Whether the path still leads to this very namespace. A path that cannot be looked at may.
    pub fn holds(&self) -> io::Result<bool> {
        use std::os::unix::fs::MetadataExt;
        match fs::metadata(&self.path) {
            Ok(m) => Ok((m.dev(), m.ino()) == (self.identity.device, self.identity.inode)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Pins the namespace at its path; again, if somebody unmounted it.
    pub fn pin(&self) -> io::Result<()> {
        let with_context = |e: io::Error| {
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
            .map_err(with_context)?;
        let source = format!("/proc/self/fd/{}", self.netns.as_fd().as_raw_fd());
        mount(
            Some(source.as_str()),
            &self.path,
            None::<&str>,
            MsFlags::MS_BIND,
            None::<&str>,
        )
        .map_err(|errno| with_context(errno.into()))
    }

    /// Takes the pin away; the namespace goes with its last holder. Another namespace at that path stays.
    pub fn unpin(&self) -> io::Result<()> {
        let with_context = |op: &str, error: io::Error| {
            io::Error::new(
                error.kind(),
                format!("{op} {}: {error}", self.path.display()),
            )
        };
        // It may have been mounted over itself.
        while self.holds()? {
            umount2(&self.path, MntFlags::MNT_DETACH)
                .map_err(|errno| with_context("unmount the switch at", errno.into()))?;
        }
        if is_mounted(&self.path)? {
            return Ok(());
        }
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(with_context("remove", error))
            }
            _ => Ok(()),
        }
    }
}

/// Waits for the switch that somebody else pins. Before anything that would tell that somebody that a daemon
/// already lives in one.
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

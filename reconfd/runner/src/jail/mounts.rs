//! The mounts of a jail. Everything is in a mount namespace of its own, so nothing of it is seen outside, and nothing
//! needs to be undone.

/// Files of devices.
mod devices;

use std::{
    fs, io,
    os::fd::{AsRawFd as _, OwnedFd, RawFd},
    path::{Component, Path, PathBuf},
};

use nix::{
    fcntl::{OFlag, open},
    mount::{MsFlags, mount},
    sys::stat::Mode,
    unistd::{chdir, chroot},
};

use super::{Layout, limits::process_numbers, remount};

const NONE: Option<&str> = None;
/// Below `/run`: what plugins of the field share with others. The rest of it, sockets of the runtime first of all, is
/// not in the jail.
const SHARED_RUN: [&str; 3] = ["xtables.lock", "cni", "k8s.cni.cncf.io"];
/// Where a namespace is, if its recorded path is not one that can be made.
pub const OTHER_NETNS: &str = "/run/netns/pod";

/// Builds the jail and enters it. `netns`: the descriptor of the pod's namespace, and the path where plugins expect it.
/// `processes`: how many plugins may have.
pub fn build(layout: &Layout, netns: Option<(RawFd, &Path)>, processes: u64) -> Result<(), String> {
    let root = layout.root.as_path();
    attempt(
        "make mounts private",
        Path::new("/"),
        private(Path::new("/")),
    )?;
    // The folders of the node as they are now, before others cover them.
    let run = folder(&under(root, Path::new("/run")))?;
    let dev = folder(Path::new("/dev"))?;
    let writable = writable_mounts(layout)?;
    remount::read_only(root)?;
    for path in &writable {
        attempt("make writable", path, remount::writable(path))?;
    }
    hide(layout)?;
    temporary(&under(root, Path::new("/tmp")), "mode=1777,size=16m")?;
    devices::build(&under(root, Path::new("/dev")), &dev)?;
    build_run(layout, &run, netns)?;
    build_proc(&under(root, Path::new("/proc")), processes)?;
    attempt(
        "enter",
        root,
        chroot(root)
            .and_then(|()| chdir("/"))
            .map_err(io::Error::from),
    )
}

/// A path of the node, as this process sees it.
pub fn under(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

fn private(path: &Path) -> io::Result<()> {
    Ok(mount(
        NONE,
        path,
        NONE,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        NONE,
    )?)
}

fn folder(path: &Path) -> Result<OwnedFd, String> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let opened = open(path, flags, Mode::empty()).map_err(io::Error::from);
    opened.map_err(|error| format!("cannot open {}: {error}", path.display()))
}

/// Each writable folder becomes a mount, of which alone the node's file system may be written.
fn writable_mounts(layout: &Layout) -> Result<Vec<PathBuf>, String> {
    let mut mounts = Vec::new();
    for path in &layout.writable {
        let path = under(&layout.root, path);
        attempt("make", &path, fs::create_dir_all(&path))?;
        attempt("mount", &path, bind(&path, &path))?;
        mounts.push(path);
    }
    Ok(mounts)
}

fn hide(layout: &Layout) -> Result<(), String> {
    for path in &layout.hidden {
        let path = under(&layout.root, path);
        // A link could lead elsewhere; what it leads to has its own entry.
        let is_folder = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir());
        if is_folder {
            temporary(&path, "mode=0755,size=4k,ro")?;
        }
    }
    Ok(())
}

fn build_run(
    layout: &Layout,
    before: &OwnedFd,
    netns: Option<(RawFd, &Path)>,
) -> Result<(), String> {
    let run = under(&layout.root, Path::new("/run"));
    temporary(&run, "mode=0755,size=16m")?;
    let extra = layout
        .run
        .iter()
        .filter_map(|path| path.strip_prefix("/run").ok());
    for name in SHARED_RUN.iter().map(Path::new).chain(extra) {
        let source = magic(before.as_raw_fd()).join(name);
        let Ok(meta) = fs::metadata(&source) else {
            continue;
        };
        let target = run.join(name);
        make_target(&target, meta.is_dir())?;
        attempt("mount", &target, bind(&source, &target))?;
    }
    let Some((fd, path)) = netns else {
        return Ok(());
    };
    let below = path.strip_prefix("/run").or(path.strip_prefix("/var/run"));
    let below = below.or(Path::new(OTHER_NETNS).strip_prefix("/run"));
    let below = below.unwrap_or(path);
    // A step upwards would leave the folder, and what is there is made empty.
    let is_below = |part| matches!(part, Component::Normal(_));
    if !below.components().all(is_below) {
        return Err(format!("{} is not a path below /run", path.display()));
    }
    let target = run.join(below);
    make_target(&target, false)?;
    attempt("mount", &target, bind(&magic(fd), &target))
}

/// A procfs of this pid namespace. Plugins find themselves in it, and no process of the node. Of the node's settings
/// only those of the network may be written.
fn build_proc(proc: &Path, processes: u64) -> Result<(), String> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let mounted = mount(Some("proc"), proc, Some("proc"), flags, NONE);
    attempt("mount", proc, mounted.map_err(io::Error::from))?;
    process_numbers::bound(proc, processes);
    for name in ["sys", "sysrq-trigger", "irq", "bus", "fs"] {
        let path = proc.join(name);
        if path.exists() {
            attempt("mount", &path, bind(&path, &path))?;
            attempt("make read-only", &path, remount::read_only_mount(&path))?;
        }
    }
    let net = proc.join("sys/net");
    attempt("mount", &net, bind(&net, &net))?;
    attempt("make writable", &net, remount::writable(&net))
}

fn temporary(path: &Path, options: &str) -> Result<(), String> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let mounted = mount(Some("tmpfs"), path, Some("tmpfs"), flags, Some(options));
    attempt("mount", path, mounted.map_err(io::Error::from))
}

/// An empty file or folder to mount on.
fn make_target(path: &Path, is_folder: bool) -> Result<(), String> {
    let made = match (is_folder, path.parent()) {
        (true, _) => fs::create_dir_all(path),
        (false, Some(parent)) => {
            fs::create_dir_all(parent).and_then(|()| fs::File::create(path).map(drop))
        }
        (false, None) => Ok(()),
    };
    attempt("make", path, made)
}

pub fn bind(source: &Path, target: &Path) -> io::Result<()> {
    Ok(mount(Some(source), target, NONE, MsFlags::MS_BIND, NONE)?)
}

/// The path of what a descriptor is open on, whatever covers it now.
pub fn magic(fd: RawFd) -> PathBuf {
    format!("/proc/self/fd/{fd}").into()
}

pub fn attempt(what: &str, path: &Path, result: io::Result<()>) -> Result<(), String> {
    result.map_err(|error| format!("cannot {what} {}: {error}", path.display()))
}

//! Mounts made read-only and writable: with `mount_setattr` (Linux 5.12), or each by itself where the kernel has no such
//! call or the runtime's seccomp profile none.

use std::{
    ffi::CString,
    fs, io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use nix::{
    libc,
    mount::{MsFlags, mount},
    sys::statvfs::{FsFlags, statvfs},
};

const NONE: Option<&str> = None;
const MOUNT_ATTR_RDONLY: u64 = 1;

/// `struct mount_attr` of linux/mount.h.
#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Makes everything below the path read-only, in all depths.
pub fn read_only(root: &Path) -> Result<(), String> {
    let set = set_attribute(root, libc::AT_RECURSIVE, (MOUNT_ATTR_RDONLY, 0));
    match set {
        Err(error) if is_missing(&error) => each_read_only(root),
        set => set.map_err(|error| failed(root, &error)),
    }
}

/// Makes one mount read-only.
pub fn read_only_mount(path: &Path) -> io::Result<()> {
    match set_attribute(path, 0, (MOUNT_ATTR_RDONLY, 0)) {
        Err(error) if is_missing(&error) => remount(path, true),
        set => set,
    }
}

/// Makes one mount writable.
pub fn writable(path: &Path) -> io::Result<()> {
    match set_attribute(path, 0, (0, MOUNT_ATTR_RDONLY)) {
        Err(error) if is_missing(&error) => remount(path, false),
        set => set,
    }
}

/// A seccomp profile that does not know a call refuses it with either of these.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM))
}

#[allow(unsafe_code)]
fn set_attribute(path: &Path, flags: i32, (set, clear): (u64, u64)) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let attr = MountAttr {
        attr_set: set,
        attr_clr: clear,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: path and attr live until the call returns, which reads as many bytes of attr as it is told.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn each_read_only(root: &Path) -> Result<(), String> {
    let info = fs::read_to_string("/proc/self/mountinfo")
        .map_err(|error| format!("cannot read the mounts: {error}"))?;
    for path in mount_points(&info).filter(|path| path.starts_with(root)) {
        match remount(&path, true) {
            // Covered by another mount, or of a file system that went away: nothing reaches it.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOENT)) => {}
            remounted => remounted.map_err(|error| failed(&path, &error))?,
        }
    }
    Ok(())
}

/// Keeps the other flags of the mount, which the kernel would clear.
fn remount(path: &Path, is_read_only: bool) -> io::Result<()> {
    let before = statvfs(path)?.flags();
    let mut flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND;
    let kept = [
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
        (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
    ];
    for (_, flag) in kept.into_iter().filter(|(was, _)| before.contains(*was)) {
        flags |= flag;
    }
    if is_read_only {
        flags |= MsFlags::MS_RDONLY;
    }
    Ok(mount(NONE, path, NONE, flags, NONE)?)
}

/// The mount points of a mountinfo, with its escapes of blanks resolved.
fn mount_points(info: &str) -> impl Iterator<Item = PathBuf> {
    let fields = info.lines().filter_map(|line| line.split(' ').nth(4));
    fields.map(|field| {
        let plain = field.replace("\\040", " ").replace("\\011", "\t");
        PathBuf::from(plain.replace("\\012", "\n").replace("\\134", "\\"))
    })
}

fn failed(path: &Path, error: &io::Error) -> String {
    format!("cannot make {} read-only: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_with_a_blank_is_read() {
        let info =
            "36 35 98:0 / /mnt\\0402 rw - ext3 /dev/root rw\n37 35 0:5 / /proc rw - proc proc rw";
        let points: Vec<_> = mount_points(info).collect();
        assert_eq!(points, [Path::new("/mnt 2"), Path::new("/proc")]);
    }
}

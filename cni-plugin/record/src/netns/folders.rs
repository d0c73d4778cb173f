//! The folders in which runtimes mount their network namespaces, and the only way to open one from a record.
//! It never follows a link below them, nor opens a path of a record outside of them.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::Mode;

use super::{FLAGS, Identity, Netns, NetnsError, NetnsErrorKind, retry};

/// The allow-list, such as `/run/netns`.
#[derive(Debug, Clone)]
pub struct NetnsFolders {
    folders: Vec<PathBuf>,
    /// Whether `/var/run` is another name of `/run`.
    one_run: bool,
    /// The namespace of the process. Only short-lived threads leave it.
    own: Option<Identity>,
}

impl NetnsFolders {
    /// The folders may appear later. They are opened again for each namespace: after a mount over one (as by
    /// `ip netns add`) an old fd would show the covered folder.
    pub fn new(folders: &[PathBuf]) -> Self {
        let one_run = !std::fs::symlink_metadata("/var/run").is_ok_and(|found| found.is_dir());
        let folders = folders
            .iter()
            .map(|folder| spelled(folder, one_run))
            .collect();
        let own = Netns::own().ok().map(|own| own.identity());
        Self {
            folders,
            one_run,
            own,
        }
    }

    /// Opens the namespace that a record names, and verifies that it is one and not the caller's. Compare
    /// [`Netns::identity`] to check that it is still the recorded one.
    pub fn open(&self, path: &Path) -> Result<Netns, NetnsError> {
        let Some((folder, name)) = self.place(path) else {
            return Err(NetnsErrorKind::OutsideFolders.at(path));
        };
        let opened = open_beneath(folder, name).and_then(|fd| Netns::from_fd_beside(fd, self.own));
        opened.map_err(|error| error.at(path))
    }

    /// The folder that holds the path, and the file's plain name in it.
    fn place(&self, path: &Path) -> Option<(&Path, PathBuf)> {
        let path = spelled(path, self.one_run);
        let name = only_name(path.components().next_back()?)?.to_owned();
        let parent = path.parent()?;
        let folder = self.folders.iter().find(|folder| *folder == parent)?;
        Some((folder, PathBuf::from(name)))
    }
}

fn only_name(part: Component<'_>) -> Option<&OsStr> {
    match part {
        Component::Normal(name) => Some(name),
        _ => None,
    }
}

/// Normalizes `/var/run/…` to `/run/…`, without any lookup of the path.
fn spelled(path: &Path, one_run: bool) -> PathBuf {
    match path.strip_prefix("/var/run") {
        Ok(rest) if one_run => Path::new("/run").join(rest),
        _ => path.to_owned(),
    }
}

fn open_beneath(folder: &Path, name: PathBuf) -> Result<OwnedFd, NetnsError> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let folder = retry(|| open(folder, flags, Mode::empty()), |errno| Some(*errno));
    let folder = folder.map_err(NetnsErrorKind::Folder)?;
    let beneath = ResolveFlag::RESOLVE_BENEATH
        | ResolveFlag::RESOLVE_NO_SYMLINKS
        | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let how = OpenHow::new().flags(FLAGS).resolve(beneath);
    // The kernel returns EAGAIN if there is a concurrent rename or mount anywhere.
    let opened = retry(|| openat2(&folder, &name, how), |errno| Some(*errno));
    Ok(opened.map_err(NetnsErrorKind::Open)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(one_run: bool) -> NetnsFolders {
        let folders = vec!["/run/netns".into(), "/var/snap/x/run/netns".into()];
        NetnsFolders {
            folders,
            one_run,
            own: None,
        }
    }

    #[test]
    fn both_spellings_of_run_are_one_folder() {
        for path in ["/run/netns/a", "/var/run/netns/a"] {
            assert_eq!(
                folders(true).place(Path::new(path)).map(|place| place.1),
                Some("a".into())
            );
        }
        assert!(
            folders(false)
                .place(Path::new("/var/run/netns/a"))
                .is_none()
        );
    }

    #[test]
    fn what_lies_elsewhere_has_no_place() {
        let outside = [
            "",
            "/",
            "a",
            "run/netns/a",
            "/run/netns",
            "/run/netns/..",
            "/run/netns/a/b",
            "/run/netns/../a",
            "/run/netns/../netns/a",
            "/run/netnsx/a",
            "/proc/1/ns/net",
            "/var/run",
            "/var/run/../run/netns/a",
        ];
        for path in outside {
            assert!(folders(true).place(Path::new(path)).is_none(), "{path:?}");
        }
    }
}

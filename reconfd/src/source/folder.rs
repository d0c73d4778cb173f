//! An inotify watch of one folder, which may be removed and created again.

use std::{
    io,
    os::linux::fs::MetadataExt,
    path::{Path, PathBuf},
};

use nix::sys::inotify::{AddWatchFlags as Flags, Inotify, WatchDescriptor};

/// Events of entries.
pub const ENTRIES: Flags = Flags::IN_MOVED_TO
    .union(Flags::IN_MOVED_FROM)
    .union(Flags::IN_CREATE)
    .union(Flags::IN_DELETE);
/// Events of the folder itself.
pub const ITSELF: Flags = Flags::IN_DELETE_SELF
    .union(Flags::IN_MOVE_SELF)
    .union(Flags::IN_ONLYDIR);

pub struct Folder {
    path: PathBuf,
    flags: Flags,
    /// With device and inode, to detect that the path leads elsewhere.
    watched: Option<(WatchDescriptor, (u64, u64))>,
}

impl Folder {
    pub fn new(path: &Path, flags: Flags) -> Self {
        Self {
            path: path.to_owned(),
            flags,
            watched: None,
        }
    }

    pub fn is_watched(&self) -> bool {
        self.watched.is_some()
    }

    pub fn is(&self, descriptor: WatchDescriptor) -> bool {
        self.watched
            .is_some_and(|(watched, _)| watched == descriptor)
    }

    /// Handles an event of the folder itself.
    pub fn lost(&mut self, inotify: &Inotify, mask: Flags) {
        if mask.intersects(
            Flags::IN_DELETE_SELF | Flags::IN_MOVE_SELF | Flags::IN_UNMOUNT | Flags::IN_IGNORED,
        ) {
            self.drop_watch(inotify);
        }
    }

    fn drop_watch(&mut self, inotify: &Inotify) {
        if let Some((descriptor, _)) = self.watched.take() {
            // Fails if the kernel has removed the watch with the folder.
            let _ = inotify.rm_watch(descriptor);
        }
    }

    /// Watches what the path leads to now; true if that has changed.
    pub fn check(&mut self, inotify: &Inotify) -> io::Result<bool> {
        let identity = match std::fs::metadata(&self.path) {
            Ok(folder) => (folder.st_dev(), folder.st_ino()),
            Err(error) => {
                self.drop_watch(inotify);
                return Err(error);
            }
        };
        if self.watched.is_some_and(|(_, watched)| watched == identity) {
            return Ok(false);
        }
        self.drop_watch(inotify);
        self.watched = Some((inotify.add_watch(&self.path, self.flags)?, identity));
        Ok(true)
    }
}

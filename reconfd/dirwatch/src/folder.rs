//! A watched folder, which may be removed and created again.

use std::{
    io,
    os::linux::fs::MetadataExt,
    path::{Path, PathBuf},
};

use nix::sys::inotify::{AddWatchFlags as Flags, Inotify, WatchDescriptor};

/// Events of the folder itself.
const ITSELF: Flags = Flags::IN_DELETE_SELF
    .union(Flags::IN_MOVE_SELF)
    .union(Flags::IN_ONLYDIR);
/// Events after which the watch is of no use: the path leads elsewhere, or nowhere.
const LOST: Flags = Flags::IN_DELETE_SELF
    .union(Flags::IN_MOVE_SELF)
    .union(Flags::IN_UNMOUNT)
    .union(Flags::IN_IGNORED);

/// A folder to watch, and which events of its files are of interest.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    flags: Flags,
    /// With device and inode, to detect that the path leads elsewhere.
    watched: Option<(WatchDescriptor, (u64, u64))>,
}

impl Folder {
    /// Files that are written, renamed or removed.
    pub fn new(path: &Path) -> Self {
        let written = Flags::IN_CLOSE_WRITE | Flags::IN_MOVED_TO;
        Self {
            path: path.to_owned(),
            flags: ITSELF | written | Flags::IN_MOVED_FROM | Flags::IN_DELETE,
            watched: None,
        }
    }

    /// Also new files before they are written.
    #[must_use]
    pub fn with_created(mut self) -> Self {
        self.flags |= Flags::IN_CREATE;
        self
    }

    /// Also changes of owner, mode and times.
    #[must_use]
    pub fn with_touched(mut self) -> Self {
        self.flags |= Flags::IN_ATTRIB;
        self
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.watched.is_some()
    }

    pub(crate) fn is(&self, descriptor: WatchDescriptor) -> bool {
        self.watched
            .is_some_and(|(watched, _)| watched == descriptor)
    }

    /// Handles an event of the folder itself. Returns whether it is no longer watched.
    pub(crate) fn lost(&mut self, inotify: &Inotify, mask: Flags) -> bool {
        let is_lost = mask.intersects(LOST);
        if is_lost {
            self.drop_watch(inotify);
        }
        is_lost
    }

    fn drop_watch(&mut self, inotify: &Inotify) {
        if let Some((descriptor, _)) = self.watched.take() {
            // Fails if the kernel has removed the watch with the folder.
            let _ = inotify.rm_watch(descriptor);
        }
    }

    /// Watches what the path leads to now. Returns whether that has changed.
    pub(crate) fn check(&mut self, inotify: &Inotify) -> io::Result<bool> {
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

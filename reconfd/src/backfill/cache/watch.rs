//! inotify watch of the result folder, which may be created later, removed, and created again.

use std::{
    collections::BTreeSet,
    io,
    os::{fd::AsFd, linux::fs::MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        eventfd::EventFd,
        inotify::{AddWatchFlags as Flags, InitFlags, Inotify, InotifyEvent, WatchDescriptor},
    },
};

/// How often a missing folder is looked for, and the path of a watched one is checked.
const MISSING: Duration = Duration::from_secs(1);
const WATCHED: Duration = Duration::from_secs(5);
/// Bounds the reads of one batch, so that continuous writes do not delay its handling.
const READS_A_BATCH: usize = 64;

/// The events since the last wait.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct CacheEvents {
    /// Files that were written or removed.
    pub names: BTreeSet<String>,
    /// Any file may have changed.
    pub all: bool,
    pub stop: bool,
}

pub struct CacheWatch {
    path: PathBuf,
    inotify: Inotify,
    stop: Arc<EventFd>,
    /// With device and inode, to detect that the path leads elsewhere.
    watched: Option<(WatchDescriptor, (u64, u64))>,
    next_check: Instant,
}

impl CacheWatch {
    /// Starts to watch; the folder need not exist.
    pub fn new(path: &Path) -> io::Result<Self> {
        let mut watch = Self {
            path: path.to_owned(),
            inotify: Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?,
            stop: Arc::new(EventFd::new()?),
            watched: None,
            next_check: Instant::now(),
        };
        watch.check();
        Ok(watch)
    }

    /// A write to it ends the next wait.
    pub fn stop(&self) -> Arc<EventFd> {
        self.stop.clone()
    }

    /// Waits for events.
    pub fn wait(&mut self) -> io::Result<CacheEvents> {
        let mut batch = CacheEvents {
            stop: self.pause()?,
            ..CacheEvents::default()
        };
        for _ in 0..READS_A_BATCH {
            match self.inotify.read_events() {
                Ok(events) => events
                    .into_iter()
                    .for_each(|event| self.event(event, &mut batch)),
                Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => (),
                Err(errno) => return Err(errno.into()),
            }
        }
        if Instant::now() >= self.next_check || self.watched.is_none() {
            batch.all |= self.check();
        }
        Ok(batch)
    }

    /// Waits for an event or the next check; true if the watch is to end.
    fn pause(&self) -> io::Result<bool> {
        let left = self.next_check.saturating_duration_since(Instant::now());
        // Rounded up: a wait that ends a little early would return at once, again and again.
        let timeout = PollTimeout::try_from(left.as_micros().div_ceil(1000));
        let wanted = [self.inotify.as_fd(), self.stop.as_fd()];
        let mut fds = wanted.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match poll(&mut fds, timeout.unwrap_or(PollTimeout::MAX)) {
            Ok(_) => Ok(fds[1].any().unwrap_or_default()),
            Err(Errno::EINTR) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    fn event(&mut self, event: InotifyEvent, batch: &mut CacheEvents) {
        let lost =
            Flags::IN_DELETE_SELF | Flags::IN_MOVE_SELF | Flags::IN_UNMOUNT | Flags::IN_IGNORED;
        if event.mask.contains(Flags::IN_Q_OVERFLOW) {
            batch.all = true;
        } else if self.watched.is_none_or(|(watched, _)| watched != event.wd) {
            // A late event of a folder that was watched before.
        } else if event.mask.intersects(lost) {
            self.drop_watch();
            batch.all = true;
        } else if let Some(name) = event.name {
            // A name that is not UTF-8 is not an entry.
            let name = name.into_string().ok();
            batch
                .names
                .extend(name.filter(|name| !name.starts_with('.')));
        }
    }

    /// Watches what the path leads to now; true if that has changed.
    fn check(&mut self) -> bool {
        let found = std::fs::metadata(&self.path).ok();
        let identity = found.map(|folder| (folder.st_dev(), folder.st_ino()));
        let before = self.watched.map(|(_, identity)| identity);
        if identity != before {
            self.drop_watch();
            self.watched = identity.and_then(|identity| Some((self.add_watch()?, identity)));
        }
        let pause = self.watched.map_or(MISSING, |_| WATCHED);
        self.next_check = Instant::now() + pause;
        identity != before
    }

    fn add_watch(&self) -> Option<WatchDescriptor> {
        let entries =
            Flags::IN_CLOSE_WRITE | Flags::IN_MOVED_TO | Flags::IN_MOVED_FROM | Flags::IN_DELETE;
        let itself = Flags::IN_DELETE_SELF | Flags::IN_MOVE_SELF | Flags::IN_ONLYDIR;
        self.inotify.add_watch(&self.path, entries | itself).ok()
    }

    fn drop_watch(&mut self) {
        if let Some((descriptor, _)) = self.watched.take() {
            // Fails if the kernel has removed the watch with the folder.
            let _ = self.inotify.rm_watch(descriptor);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;

    use tempfile::TempDir;

    use super::*;

    /// Collects events until the condition holds, for a few seconds.
    fn collect(watch: &mut CacheWatch, until: impl Fn(&CacheEvents) -> bool) -> CacheEvents {
        let mut all = CacheEvents::default();
        for _ in 0..10 {
            let batch = watch.wait().unwrap();
            all.names.extend(batch.names);
            all.all |= batch.all;
            all.stop |= batch.stop;
            if until(&all) {
                break;
            }
        }
        all
    }

    #[test]
    fn files_that_are_written_renamed_and_removed_are_reported() {
        let root = TempDir::new().unwrap();
        let path = |name: &str| root.path().join(name);
        let mut watch = CacheWatch::new(root.path()).unwrap();
        fs::write(path("a"), "x").unwrap();
        fs::rename(path("a"), path("b")).unwrap();
        fs::write(path(".hidden"), "x").unwrap();
        fs::write(path("c"), "x").unwrap();
        fs::remove_file(path("c")).unwrap();
        let batch = collect(&mut watch, |batch| batch.names.len() == 3);
        assert_eq!(batch.names, BTreeSet::from(["a", "b", "c"].map(Into::into)));
        assert!(!batch.all && !batch.stop);
    }

    #[test]
    fn a_folder_may_come_later_and_go_and_come_back() {
        let root = TempDir::new().unwrap();
        let folder = root.path().join("results");
        let mut watch = CacheWatch::new(&folder).unwrap();
        for _ in 0..2 {
            fs::create_dir(&folder).unwrap();
            assert!(collect(&mut watch, |batch| batch.all).all);
            fs::write(folder.join("a"), "x").unwrap();
            let batch = collect(&mut watch, |batch| !batch.names.is_empty());
            assert!(batch.names.contains("a"));
            fs::remove_dir_all(&folder).unwrap();
            assert!(collect(&mut watch, |batch| batch.all).all);
        }
    }

    #[test]
    fn a_wait_ends_on_stop() {
        let root = TempDir::new().unwrap();
        let mut watch = CacheWatch::new(root.path()).unwrap();
        watch.stop().write(1).unwrap();
        assert!(watch.wait().unwrap().stop);
    }
}

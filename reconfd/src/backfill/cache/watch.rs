//! The kernel's word on what happened in a folder. The folder may come later, go, and come back.

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

/// How soon a folder that is missing is looked for again, and one that is watched is held against its path.
const MISSING: Duration = Duration::from_secs(1);
const WATCHED: Duration = Duration::from_secs(5);
/// So that a writer who never rests cannot keep the others unheard.
const READS_A_BATCH: usize = 64;

/// What happened since the last look.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Files that were written, or that went.
    pub names: BTreeSet<String>,
    /// Anything may have happened.
    pub all: bool,
    pub stop: bool,
}

pub struct Watch {
    path: PathBuf,
    inotify: Inotify,
    stop: Arc<EventFd>,
    /// With device and inode, to see whether the path leads elsewhere now.
    watched: Option<(WatchDescriptor, (u64, u64))>,
    next_check: Instant,
}

impl Watch {
    /// Watches from now on; the folder need not be there.
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

    /// Written to, it ends the next wait.
    pub fn stop(&self) -> Arc<EventFd> {
        self.stop.clone()
    }

    /// Waits for something to happen.
    pub fn wait(&mut self) -> io::Result<Batch> {
        let mut batch = Batch {
            stop: self.pause()?,
            ..Batch::default()
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

    /// Until something happens or a look is due; whether somebody says stop.
    fn pause(&self) -> io::Result<bool> {
        let left = self.next_check.saturating_duration_since(Instant::now());
        // Rounded up: a wait that ends a little early would come back at once, again and again.
        let timeout = PollTimeout::try_from(left.as_micros().div_ceil(1000));
        let wanted = [self.inotify.as_fd(), self.stop.as_fd()];
        let mut fds = wanted.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match poll(&mut fds, timeout.unwrap_or(PollTimeout::MAX)) {
            Ok(_) => Ok(fds[1].any().unwrap_or_default()),
            Err(Errno::EINTR) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    fn event(&mut self, event: InotifyEvent, batch: &mut Batch) {
        let lost =
            Flags::IN_DELETE_SELF | Flags::IN_MOVE_SELF | Flags::IN_UNMOUNT | Flags::IN_IGNORED;
        if event.mask.contains(Flags::IN_Q_OVERFLOW) {
            batch.all = true;
        } else if self.watched.is_none_or(|(watched, _)| watched != event.wd) {
            // The last words of a folder that was watched before.
        } else if event.mask.intersects(lost) {
            self.drop_watch();
            batch.all = true;
        } else if let Some(name) = event.name {
            // A name that is no text belongs to no entry.
            let name = name.into_string().ok();
            batch
                .names
                .extend(name.filter(|name| !name.starts_with('.')));
        }
    }

    /// Watches what the path leads to now; true if that is not what was watched before.
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
            // It may have gone with its folder.
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

    /// Everything that is heard until it holds, within a few seconds.
    fn heard(watch: &mut Watch, until: impl Fn(&Batch) -> bool) -> Batch {
        let mut all = Batch::default();
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
    fn files_that_are_written_renamed_and_removed_are_heard_of() {
        let root = TempDir::new().unwrap();
        let path = |name: &str| root.path().join(name);
        let mut watch = Watch::new(root.path()).unwrap();
        fs::write(path("a"), "x").unwrap();
        fs::rename(path("a"), path("b")).unwrap();
        fs::write(path(".hidden"), "x").unwrap();
        fs::write(path("c"), "x").unwrap();
        fs::remove_file(path("c")).unwrap();
        let batch = heard(&mut watch, |batch| batch.names.len() == 3);
        assert_eq!(batch.names, BTreeSet::from(["a", "b", "c"].map(Into::into)));
        assert!(!batch.all && !batch.stop);
    }

    #[test]
    fn a_folder_may_come_later_and_go_and_come_back() {
        let root = TempDir::new().unwrap();
        let folder = root.path().join("results");
        let mut watch = Watch::new(&folder).unwrap();
        for _ in 0..2 {
            fs::create_dir(&folder).unwrap();
            assert!(heard(&mut watch, |batch| batch.all).all);
            fs::write(folder.join("a"), "x").unwrap();
            let batch = heard(&mut watch, |batch| !batch.names.is_empty());
            assert!(batch.names.contains("a"));
            fs::remove_dir_all(&folder).unwrap();
            assert!(heard(&mut watch, |batch| batch.all).all);
        }
    }

    #[test]
    fn a_wait_ends_when_it_is_told_to() {
        let root = TempDir::new().unwrap();
        let mut watch = Watch::new(root.path()).unwrap();
        watch.stop().write(1).unwrap();
        assert!(watch.wait().unwrap().stop);
    }
}

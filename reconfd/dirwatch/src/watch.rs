//! inotify watch of several folders.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    os::fd::AsFd,
    sync::Arc,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        eventfd::EventFd,
        inotify::{AddWatchFlags as Flags, InitFlags, Inotify, InotifyEvent},
    },
};

use crate::{FileEvent, Folder, names::Names};

/// How often a missing folder is looked for, and the path of a watched one is checked.
const MISSING: Duration = Duration::from_millis(250);
const WATCHED: Duration = Duration::from_secs(2);
/// Bounds the reads of one batch, so that continuous writes do not delay its handling.
const READS_A_BATCH: usize = 64;

/// What has happened since the last wait.
#[derive(Debug, Default)]
pub struct Events {
    /// By the order in which the folders were given.
    pub folders: Vec<FolderEvents>,
    /// The watch is to end.
    pub stop: bool,
}

#[derive(Debug, Default)]
pub struct FolderEvents {
    pub names: BTreeMap<OsString, FileEvent>,
    /// Any file may have changed: events were lost, or the folder is another one than before.
    pub all: bool,
    /// The folder was removed or moved away.
    pub lost: bool,
    /// Whether the folder exists.
    pub is_watched: bool,
}

impl FolderEvents {
    /// Names with events, without hidden files: temporary files of their writers. One that is not
    /// UTF-8 is no name of a file that podconfig reads.
    pub fn visible(&self) -> impl Iterator<Item = &str> {
        let names = self.names.keys().filter_map(|name| name.to_str());
        names.filter(|name| !name.starts_with('.'))
    }
}

/// Watches folders, any of which may be missing.
#[derive(Debug)]
pub struct DirWatch {
    inotify: Inotify,
    stop: Arc<EventFd>,
    folders: Vec<Folder>,
    next_check: Instant,
}

impl DirWatch {
    /// Starts to watch. The state at the start is reported as no event.
    pub fn new(folders: Vec<Folder>) -> io::Result<Self> {
        let mut watch = Self {
            inotify: Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?,
            stop: Arc::new(EventFd::new()?),
            folders,
            next_check: Instant::now() + MISSING,
        };
        for folder in &mut watch.folders {
            // A missing one is looked for later.
            let _ = folder.check(&watch.inotify);
        }
        Ok(watch)
    }

    /// Fails if one of the folders cannot be watched now.
    pub fn require(&mut self, folder: usize) -> io::Result<()> {
        let folder = self.folders.get_mut(folder);
        folder.map_or(Ok(()), |folder| folder.check(&self.inotify).map(drop))
    }

    /// A write to it ends the next wait.
    pub fn stop(&self) -> Arc<EventFd> {
        self.stop.clone()
    }

    /// Waits for events, at most until the given time.
    pub fn wait(&mut self, until: Option<Instant>) -> io::Result<Events> {
        let until = until.map_or(self.next_check, |until| until.min(self.next_check));
        let stop = self.pause(until)?;
        let mut folders: Vec<_> = self
            .folders
            .iter()
            .map(|_| FolderEvents::default())
            .collect();
        self.drain(&mut folders)?;
        if Instant::now() >= self.next_check || !self.all_watched() {
            self.check(&mut folders);
        }
        for (events, folder) in folders.iter_mut().zip(&self.folders) {
            events.is_watched = folder.is_watched();
        }
        Ok(Events { folders, stop })
    }

    /// Returns whether the watch is to end.
    fn pause(&self, until: Instant) -> io::Result<bool> {
        let left = until.saturating_duration_since(Instant::now());
        // Rounded up: a wait that ends a little early would return at once, again and again.
        let millis = left.as_micros().div_ceil(1000);
        let timeout = PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX);
        let wanted = [self.stop.as_fd(), self.inotify.as_fd()];
        let mut fds = wanted.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match poll(&mut fds, timeout) {
            Ok(_) => Ok(fds[0].any().unwrap_or_default()),
            Err(Errno::EINTR) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    fn drain(&mut self, folders: &mut [FolderEvents]) -> io::Result<()> {
        let mut names: Vec<Names> = folders.iter().map(|_| Names::default()).collect();
        for _ in 0..READS_A_BATCH {
            match self.inotify.read_events() {
                Ok(events) => events
                    .into_iter()
                    .for_each(|event| self.event(event, folders, &mut names)),
                Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        for (events, names) in folders.iter_mut().zip(names) {
            events.names = names.take();
        }
        Ok(())
    }

    fn event(&mut self, event: InotifyEvent, folders: &mut [FolderEvents], names: &mut [Names]) {
        if event.mask.contains(Flags::IN_Q_OVERFLOW) {
            return folders.iter_mut().for_each(|events| events.all = true);
        }
        let found = self.folders.iter_mut().zip(folders.iter_mut().zip(names));
        let found = found.into_iter().find(|(folder, _)| folder.is(event.wd));
        // Otherwise a late event of a folder that was watched before.
        if let Some((folder, (events, names))) = found {
            match event.name {
                None => events.lost |= folder.lost(&self.inotify, event.mask),
                Some(name) => names.add(name, event.mask, event.cookie),
            }
        }
    }

    /// Checks that all watches are on what the paths lead to.
    fn check(&mut self, folders: &mut [FolderEvents]) {
        for (events, folder) in folders.iter_mut().zip(&mut self.folders) {
            let was_watched = folder.is_watched();
            events.all |= folder.check(&self.inotify).is_ok_and(|is_new| is_new);
            events.lost |= was_watched && !folder.is_watched();
        }
        let pause = if self.all_watched() { WATCHED } else { MISSING };
        self.next_check = Instant::now() + pause;
    }

    fn all_watched(&self) -> bool {
        self.folders.iter().all(Folder::is_watched)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

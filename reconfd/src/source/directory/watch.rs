//! The kernel's word on what happened in the folder of manifests and in the record folder. Knows
//! nothing of what is in the files. Either folder may go and come back.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    os::fd::AsFd,
    path::Path,
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

use crate::source::folder::{ENTRIES, Folder, ITSELF};

/// How soon a folder that is missing is looked for again, and one that is watched is held against its path.
const MISSING: Duration = Duration::from_millis(250);
const WATCHED: Duration = Duration::from_secs(2);
/// So that a writer who never rests can't keep the daemon from acting.
const READS_A_BATCH: usize = 64;

/// What became of a name; of several events, the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its content is complete: renamed to this name, or closed after writing.
    Written,
    /// It has a new entry, whose content may be still to come.
    Created,
    /// Its owner, mode or times changed.
    Touched,
    /// Deleted, or renamed to a name outside: it may be an editor's doing, and come back.
    Vanished,
    /// Renamed to this other name of the folder.
    RenamedTo,
}

#[derive(Debug, Default)]
pub struct Batch {
    pub names: BTreeMap<OsString, Fate>,
    /// The folder of manifests must be read as a whole.
    pub reread: bool,
    /// Names in the record folder; `None` for all of them.
    pub records: Vec<Option<String>>,
    pub stop: bool,
}

pub struct Watch {
    inotify: Inotify,
    stop: Arc<EventFd>,
    manifests: Folder,
    records: Folder,
    next_check: Instant,
}

impl Watch {
    /// Watches from now on; the folder of manifests must be there, the record folder need not.
    pub fn new(manifests: &Path, records: &Path) -> io::Result<Self> {
        let content = Flags::IN_CLOSE_WRITE | Flags::IN_ATTRIB;
        let mut watch = Self {
            inotify: Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?,
            stop: Arc::new(EventFd::new()?),
            manifests: Folder::new(manifests, ENTRIES | ITSELF | content),
            records: Folder::new(records, ENTRIES | ITSELF | Flags::IN_CLOSE_WRITE),
            next_check: Instant::now() + MISSING,
        };
        watch.manifests.check(&watch.inotify)?;
        // The controller's first pass reads it, if it is there by then; if not, it is told.
        let _ = watch.records.check(&watch.inotify);
        Ok(watch)
    }

    /// Written to, it ends the next wait.
    pub fn stop(&self) -> Arc<EventFd> {
        self.stop.clone()
    }

    pub fn has_manifests(&self) -> bool {
        self.manifests.is_watched()
    }

    /// Waits for something to happen, at most until then.
    pub fn wait(&mut self, until: Option<Instant>) -> io::Result<Batch> {
        let until = until.map_or(self.next_check, |until| until.min(self.next_check));
        self.pause(until)?;
        let mut batch = Batch {
            stop: self.stopped(),
            ..Batch::default()
        };
        self.drain(&mut batch)?;
        if Instant::now() >= self.next_check
            || !self.manifests.is_watched()
            || !self.records.is_watched()
        {
            self.check(&mut batch);
        }
        Ok(batch)
    }

    fn pause(&self, until: Instant) -> io::Result<()> {
        let left = until.saturating_duration_since(Instant::now());
        // Rounded up: a wait that ends a little early would come back at once, again and again.
        let millis = left.as_micros().div_ceil(1000);
        let timeout = PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX);
        let wanted = [self.inotify.as_fd(), self.stop.as_fd()];
        let mut fds = wanted.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn stopped(&self) -> bool {
        let mut fds = [PollFd::new(self.stop.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }

    fn drain(&mut self, batch: &mut Batch) -> io::Result<()> {
        let mut moved = BTreeMap::new();
        for _ in 0..READS_A_BATCH {
            match self.inotify.read_events() {
                Ok(events) => events
                    .into_iter()
                    .for_each(|event| self.event(event, batch, &mut moved)),
                Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    fn event(
        &mut self,
        event: InotifyEvent,
        batch: &mut Batch,
        moved: &mut BTreeMap<u32, OsString>,
    ) {
        if event.mask.contains(Flags::IN_Q_OVERFLOW) {
            batch.reread = true;
            batch.records.push(None);
        } else if self.manifests.is(event.wd) {
            match event.name {
                None => self.manifests.lost(&self.inotify, event.mask),
                // Kubernetes swaps a whole volume by renaming this one symlink.
                Some(name) if name == "..data" => batch.reread = true,
                Some(name) => manifest(batch, moved, name, event.mask, event.cookie),
            }
        } else if self.records.is(event.wd) {
            match event.name {
                None => self.records.lost(&self.inotify, event.mask),
                Some(name) => record(batch, &name.to_string_lossy()),
            }
        }
    }

    /// Holds both folders against their paths.
    fn check(&mut self, batch: &mut Batch) {
        if self.manifests.check(&self.inotify).is_ok_and(|new| new) {
            batch.reread = true;
        }
        if self.records.check(&self.inotify).is_ok_and(|new| new) {
            batch.records.push(None);
        }
        let both = self.manifests.is_watched() && self.records.is_watched();
        self.next_check = Instant::now() + if both { WATCHED } else { MISSING };
    }
}

fn manifest(
    batch: &mut Batch,
    moved: &mut BTreeMap<u32, OsString>,
    name: OsString,
    mask: Flags,
    cookie: u32,
) {
    let fate = if mask.contains(Flags::IN_MOVED_TO) {
        if let Some(old) = moved
            .remove(&cookie)
            .filter(|_| super::is_manifest(&name.to_string_lossy()))
        {
            batch.names.insert(old, Fate::RenamedTo);
        }
        Fate::Written
    } else if mask.contains(Flags::IN_CLOSE_WRITE) {
        Fate::Written
    } else if mask.contains(Flags::IN_CREATE) {
        Fate::Created
    } else if mask.contains(Flags::IN_MOVED_FROM) {
        moved.insert(cookie, name.clone());
        Fate::Vanished
    } else if mask.contains(Flags::IN_DELETE) {
        Fate::Vanished
    } else {
        Fate::Touched
    };
    // A change of mode says nothing about an entry whose content is new, or still to come.
    if fate == Fate::Touched {
        batch.names.entry(name).or_insert(fate);
    } else {
        batch.names.insert(name, fate);
    }
}

fn record(batch: &mut Batch, name: &str) {
    let name = Some(name.to_owned());
    if !name.as_deref().is_some_and(|name| name.starts_with('.')) && !batch.records.contains(&name)
    {
        batch.records.push(name);
    }
}

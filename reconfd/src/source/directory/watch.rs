//! inotify watch of the manifest folder and the record folder. Does not read the files. Either folder may be removed
//! and created again.

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

/// How often a missing folder is looked for, and the path of a watched one is checked.
const MISSING: Duration = Duration::from_millis(250);
const WATCHED: Duration = Duration::from_secs(2);
/// Bounds the reads of one batch, so that continuous writes do not starve the daemon.
const READS_A_BATCH: usize = 64;

/// The last event of a file name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileEvent {
    /// The content is complete: renamed to this name, or closed after writing.
    Written,
    /// A new entry, whose content may be incomplete.
    Created,
    /// Owner, mode or times changed.
    Touched,
    /// Deleted, or renamed to a name outside; an editor may be about to create it again.
    Vanished,
    /// Renamed to another name in the folder.
    RenamedTo,
}

#[derive(Debug, Default)]
pub struct FileEvents {
    pub names: BTreeMap<OsString, FileEvent>,
    /// The whole manifest folder must be read.
    pub reread: bool,
    /// Names in the record folder; `None` means all.
    pub records: Vec<Option<String>>,
    pub stop: bool,
}

pub struct ManifestWatch {
    inotify: Inotify,
    stop: Arc<EventFd>,
    manifests: Folder,
    records: Folder,
    next_check: Instant,
}

impl ManifestWatch {
    /// Starts to watch; the manifest folder must exist, the record folder need not.
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
        // The reconciler's first pass reads it if it exists; otherwise there is an event later.
        let _ = watch.records.check(&watch.inotify);
        Ok(watch)
    }

    /// A write to it ends the next wait.
    pub fn stop(&self) -> Arc<EventFd> {
        self.stop.clone()
    }

    pub fn has_manifests(&self) -> bool {
        self.manifests.is_watched()
    }

    /// Waits for events, at most until the given time.
    pub fn wait(&mut self, until: Option<Instant>) -> io::Result<FileEvents> {
        let until = until.map_or(self.next_check, |until| until.min(self.next_check));
        self.pause(until)?;
        let mut events = FileEvents {
            stop: self.stopped(),
            ..FileEvents::default()
        };
        self.drain(&mut events)?;
        if Instant::now() >= self.next_check
            || !self.manifests.is_watched()
            || !self.records.is_watched()
        {
            self.check(&mut events);
        }
        Ok(events)
    }

    fn pause(&self, until: Instant) -> io::Result<()> {
        let left = until.saturating_duration_since(Instant::now());
        // Rounded up: a wait that ends a little early would return at once, again and again.
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

    fn drain(&mut self, batch: &mut FileEvents) -> io::Result<()> {
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
        events: &mut FileEvents,
        moved: &mut BTreeMap<u32, OsString>,
    ) {
        if event.mask.contains(Flags::IN_Q_OVERFLOW) {
            events.reread = true;
            events.records.push(None);
        } else if self.manifests.is(event.wd) {
            match event.name {
                None => self.manifests.lost(&self.inotify, event.mask),
                // Kubernetes swaps a whole volume by renaming this one symlink.
                Some(name) if name == "..data" => events.reread = true,
                Some(name) => manifest(events, moved, name, event.mask, event.cookie),
            }
        } else if self.records.is(event.wd) {
            match event.name {
                None => self.records.lost(&self.inotify, event.mask),
                Some(name) => record(events, &name.to_string_lossy()),
            }
        }
    }

    /// Checks that both watches are on what the paths lead to.
    fn check(&mut self, events: &mut FileEvents) {
        if self.manifests.check(&self.inotify).is_ok_and(|new| new) {
            events.reread = true;
        }
        if self.records.check(&self.inotify).is_ok_and(|new| new) {
            events.records.push(None);
        }
        let both = self.manifests.is_watched() && self.records.is_watched();
        self.next_check = Instant::now() + if both { WATCHED } else { MISSING };
    }
}

fn manifest(
    events: &mut FileEvents,
    moved: &mut BTreeMap<u32, OsString>,
    name: OsString,
    mask: Flags,
    cookie: u32,
) {
    let event = if mask.contains(Flags::IN_MOVED_TO) {
        if let Some(old) = moved
            .remove(&cookie)
            .filter(|_| super::is_manifest(&name.to_string_lossy()))
        {
            events.names.insert(old, FileEvent::RenamedTo);
        }
        FileEvent::Written
    } else if mask.contains(Flags::IN_CLOSE_WRITE) {
        FileEvent::Written
    } else if mask.contains(Flags::IN_CREATE) {
        FileEvent::Created
    } else if mask.contains(Flags::IN_MOVED_FROM) {
        moved.insert(cookie, name.clone());
        FileEvent::Vanished
    } else if mask.contains(Flags::IN_DELETE) {
        FileEvent::Vanished
    } else {
        FileEvent::Touched
    };
    // A change of mode does not replace an event of new or incomplete content.
    if event == FileEvent::Touched {
        events.names.entry(name).or_insert(event);
    } else {
        events.names.insert(name, event);
    }
}

fn record(events: &mut FileEvents, name: &str) {
    let name = Some(name.to_owned());
    if !name.as_deref().is_some_and(|name| name.starts_with('.')) && !events.records.contains(&name)
    {
        events.records.push(name);
    }
}

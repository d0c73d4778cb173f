//! inotify watch of the record folder alone, for a source that watches no folder itself.

use std::{
    io,
    os::fd::AsFd,
    path::Path,
    sync::Arc,
    thread::{Builder, JoinHandle},
    time::Duration,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        eventfd::EventFd,
        inotify::{AddWatchFlags as Flags, InitFlags, Inotify},
    },
};

use super::{
    Trigger,
    folder::{ENTRIES, Folder, ITSELF},
};

/// How often a missing folder is looked for, and the path of a watched one is checked.
const MISSING: Duration = Duration::from_millis(250);
const WATCHED: Duration = Duration::from_secs(2);

/// The running watch; it ends when this is dropped.
#[must_use]
pub struct Records {
    stop: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

struct Watch {
    inotify: Inotify,
    folder: Folder,
    stop: Arc<EventFd>,
}

impl Records {
    /// Calls `notify` for every record that is created, changed or deleted; the folder may be created later.
    pub fn watch(path: &Path, notify: impl Fn(Trigger) + Send + 'static) -> io::Result<Self> {
        let stop = Arc::new(EventFd::new()?);
        let mut watch = Watch {
            inotify: Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?,
            folder: Folder::new(path, ENTRIES | ITSELF | Flags::IN_CLOSE_WRITE),
            stop: stop.clone(),
        };
        // Present records are read by the first pass.
        let _ = watch.folder.check(&watch.inotify);
        let thread = Builder::new().name("records".into());
        let thread = thread.spawn(move || watch.run(&notify))?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        if let Err(errno) = self.stop.write(1) {
            return tracing::error!(%errno, "cannot stop watching records");
        }
        if let Some(thread) = self.thread.take() {
            // The panic hook has logged a panic of the thread.
            let _ = thread.join();
        }
    }
}

impl Watch {
    fn run(&mut self, notify: &dyn Fn(Trigger)) {
        loop {
            match self.wait() {
                Ok(true) => return,
                Ok(false) => self.events(notify),
                Err(error) => {
                    tracing::error!(%error, "cannot watch the records");
                    std::thread::sleep(WATCHED);
                }
            }
        }
    }

    /// Waits for an event or the next check; true if the watch is to end.
    fn wait(&self) -> io::Result<bool> {
        let interval = match self.folder.is_watched() {
            true => WATCHED,
            false => MISSING,
        };
        let timeout = PollTimeout::try_from(interval).unwrap_or(PollTimeout::MAX);
        let wanted = [self.stop.as_fd(), self.inotify.as_fd()];
        let mut fds = wanted.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match poll(&mut fds, timeout) {
            Ok(_) => Ok(fds[0].any().unwrap_or(false)),
            Err(Errno::EINTR) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    fn events(&mut self, notify: &dyn Fn(Trigger)) {
        let events = self.inotify.read_events().unwrap_or_default();
        for event in events {
            let overflow = event.mask.contains(Flags::IN_Q_OVERFLOW);
            match event.name {
                None if overflow => notify(Trigger::Records(None)),
                None if self.folder.is(event.wd) => self.folder.lost(&self.inotify, event.mask),
                Some(name) if self.folder.is(event.wd) => {
                    let name = name.to_string_lossy();
                    // The plugin's temporary files.
                    if !name.starts_with('.') {
                        notify(Trigger::Records(Some(name.into_owned())));
                    }
                }
                _ => (),
            }
        }
        if self.folder.check(&self.inotify).is_ok_and(|is_new| is_new) {
            notify(Trigger::Records(None));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{fs, sync::mpsc};

    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    #[test]
    fn a_folder_that_is_created_later_is_watched() {
        let top = tempfile::tempdir().unwrap();
        let folder = top.path().join("records");
        let (sender, receiver) = mpsc::channel();
        let records =
            Records::watch(&folder, move |trigger| sender.send(trigger).unwrap()).unwrap();
        fs::create_dir(&folder).unwrap();
        assert_eq!(receiver.recv_timeout(SOON), Ok(Trigger::Records(None)));
        fs::write(folder.join(".half"), "").unwrap();
        fs::rename(folder.join(".half"), folder.join("a.eth0.json")).unwrap();
        let changed = Trigger::Records(Some("a.eth0.json".into()));
        assert_eq!(receiver.recv_timeout(SOON), Ok(changed.clone()));
        fs::remove_file(folder.join("a.eth0.json")).unwrap();
        assert_eq!(receiver.recv_timeout(SOON), Ok(changed));
        drop(records);
        assert!(receiver.recv().is_err());
    }
}

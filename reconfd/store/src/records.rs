//! inotify watch of the record folder.

use std::{io, path::Path};

use dirwatch::{DirWatch, Folder, FolderEvents, WatchThread};

use super::Trigger;

/// The running watch, for a source that watches no folder itself; it ends when this is dropped.
#[must_use]
pub struct Records {
    _thread: WatchThread,
}

impl Records {
    /// Calls `notify` for every record that is created, changed or deleted; the folder may be created later.
    /// Present records are read by the first pass.
    pub fn watch(path: &Path, notify: impl Fn(Trigger) + Send + 'static) -> io::Result<Self> {
        let watch = DirWatch::new(vec![folder(path)])?;
        let thread = WatchThread::spawn("records", watch, move |events| {
            events.folders.iter().flat_map(triggers).for_each(&notify);
            None
        })?;
        Ok(Self { _thread: thread })
    }
}

/// The record folder, to be watched.
pub fn folder(path: &Path) -> Folder {
    Folder::new(path).with_created()
}

/// One trigger for each record with an event. The plugin's temporary files are hidden.
pub fn triggers(events: &FolderEvents) -> impl Iterator<Item = Trigger> {
    let names = events.visible().map(|name| Some(name.to_owned()));
    names
        .chain(events.all.then_some(None))
        .map(Trigger::Records)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{fs, sync::mpsc, time::Duration};

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

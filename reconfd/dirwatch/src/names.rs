//! What has happened to the files of a folder, by name; the last event of a name counts.

use std::{collections::BTreeMap, ffi::OsString};

use nix::sys::inotify::AddWatchFlags as Flags;

/// The last event of a file name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileEvent {
    /// The content is complete: renamed to this name, or closed after writing.
    Written,
    /// A new entry, whose content may be incomplete.
    Created,
    /// Owner, mode or times changed.
    Touched,
    /// Deleted, or renamed to a name outside; an editor may be about to create it again.
    Vanished,
    /// Renamed to this name in the folder.
    RenamedTo(OsString),
}

/// Collects the events of one folder.
#[derive(Debug, Default)]
pub struct Names {
    last: BTreeMap<OsString, FileEvent>,
    /// Names that were renamed to a name not known yet, by the kernel's cookie.
    moved: BTreeMap<u32, OsString>,
}

impl Names {
    pub fn add(&mut self, name: OsString, mask: Flags, cookie: u32) {
        let event = if mask.contains(Flags::IN_MOVED_TO) {
            if let Some(old) = self.moved.remove(&cookie) {
                self.last.insert(old, FileEvent::RenamedTo(name.clone()));
            }
            FileEvent::Written
        } else if mask.contains(Flags::IN_CLOSE_WRITE) {
            FileEvent::Written
        } else if mask.contains(Flags::IN_CREATE) {
            FileEvent::Created
        } else if mask.contains(Flags::IN_MOVED_FROM) {
            self.moved.insert(cookie, name.clone());
            FileEvent::Vanished
        } else if mask.contains(Flags::IN_DELETE) {
            FileEvent::Vanished
        } else {
            FileEvent::Touched
        };
        // A change of mode does not replace an event of new or incomplete content.
        if event == FileEvent::Touched {
            self.last.entry(name).or_insert(event);
        } else {
            self.last.insert(name, event);
        }
    }

    pub fn take(self) -> BTreeMap<OsString, FileEvent> {
        self.last
    }
}

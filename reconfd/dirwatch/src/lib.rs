//! inotify watch of folders that may be removed and created again. Reports names, and reads no file.
//!
//! Events of a folder come with the state of its watch: the folder is missing, or it is another one
//! than before, or the kernel's queue has overflowed and any file may have changed.

mod folder;
mod names;
mod thread;
mod watch;

pub use folder::Folder;
pub use names::FileEvent;
pub use thread::WatchThread;
pub use watch::{DirWatch, Events, FolderEvents};

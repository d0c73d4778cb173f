//! Small files that are replaced atomically, and only when their text has changed. A failing disk never blocks the
//! caller: the newest text of each file is kept, and written on retry.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, DirBuilder, OpenOptions},
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

const LOG_INTERVAL: Duration = Duration::from_secs(60);
/// A longer file was not written by us.
const MAX_BYTES: u64 = 4 << 20;
const UNFINISHED: &str = ".unfinished";

pub struct AtomicFiles {
    root: PathBuf,
    /// Hash of each file's content; `None` if the file does not exist.
    written: HashMap<PathBuf, Option<u64>>,
    /// Writes that failed; `None` stands for a removal.
    pending: BTreeMap<PathBuf, Option<String>>,
    logged: Option<Instant>,
}

impl AtomicFiles {
    pub fn new(root: PathBuf) -> Self {
        Self {
            root,
            written: HashMap::new(),
            pending: BTreeMap::new(),
            logged: None,
        }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn write(&mut self, file: PathBuf, text: String) {
        self.set(file, Some(text));
    }

    pub fn remove(&mut self, file: PathBuf) {
        self.set(file, None);
    }

    /// Retries failed writes; true if none is left.
    pub fn retry(&mut self) -> bool {
        for (file, text) in std::mem::take(&mut self.pending) {
            if let Err(error) = self.put(&file, text.as_deref()) {
                self.log_error(&file, &error);
                self.pending.insert(file, text);
            }
        }
        if !self.pending.is_empty() {
            return false;
        }
        if self.logged.take().is_some() {
            tracing::info!(folder = %self.root.display(), "reports can be written again");
        }
        true
    }

    /// The files in the folder.
    pub fn present(&self) -> Vec<PathBuf> {
        let folders = fs::read_dir(&self.root).into_iter().flatten().flatten();
        let folders = folders.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let files =
            folders.flat_map(|folder| fs::read_dir(folder.path()).into_iter().flatten().flatten());
        let names = files.filter_map(|file| {
            file.path()
                .strip_prefix(&self.root)
                .map(Path::to_owned)
                .ok()
        });
        names.collect()
    }

    fn set(&mut self, file: PathBuf, text: Option<String>) {
        let hash = text.as_deref().map(hash);
        if !self.pending.contains_key(&file) && self.holds(&file) == Some(hash) {
            return;
        }
        match self.put(&file, text.as_deref()) {
            Ok(()) => {
                self.pending.remove(&file);
            }
            Err(error) => {
                self.log_error(&file, &error);
                self.pending.insert(file, text);
            }
        }
    }

    /// The hash of the file's content; the file is read the first time. `None` if it cannot be read.
    fn holds(&mut self, file: &Path) -> Option<Option<u64>> {
        if !self.written.contains_key(file) {
            let hash = match read(&self.root.join(file)) {
                Ok(text) => Some(hash(&text)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(_) => return None,
            };
            self.written.insert(file.to_owned(), hash);
        }
        self.written.get(file).copied()
    }

    fn put(&mut self, file: &Path, text: Option<&str>) -> io::Result<()> {
        let path = self.root.join(file);
        match text {
            Some(text) => replace(&path, text)?,
            None => erase(&path, &self.root)?,
        }
        match text {
            Some(text) => self.written.insert(file.to_owned(), Some(hash(text))),
            None => self.written.remove(file),
        };
        Ok(())
    }

    fn log_error(&mut self, file: &Path, error: &io::Error) {
        if self
            .logged
            .is_none_or(|last| last.elapsed() >= LOG_INTERVAL)
        {
            self.logged = Some(Instant::now());
            let path = self.root.join(file);
            tracing::error!(path = %path.display(), %error, "cannot write a report; it will be retried");
        }
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

fn read(path: &Path) -> io::Result<String> {
    // A FIFO must not block us.
    let flags = nix::fcntl::OFlag::O_NONBLOCK.bits();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    let unfinished = folder.join(UNFINISHED);
    let mut file = match create(&unfinished) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(folder)?;
            create(&unfinished)?
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(&unfinished)?;
            create(&unfinished)?
        }
        result => result?,
    };
    let done = file
        .write_all(text.as_bytes())
        .and_then(|()| fs::rename(&unfinished, path));
    if done.is_err() {
        // Free its blocks on a full disk.
        let _ = fs::remove_file(&unfinished);
    }
    done
}

fn create(path: &Path) -> io::Result<fs::File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(path)
}

fn erase(path: &Path, root: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    if let Some(folder) = path.parent().filter(|folder| *folder != root) {
        // Fails while the folder is in use.
        let _ = fs::remove_dir(folder);
    }
    Ok(())
}

//! Small files that are replaced as a whole, and only when their text changed. A disk that refuses
//! never stops the caller: the newest text of each file is kept, and written when it can be.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, DirBuilder, OpenOptions},
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

const COMPLAIN_EVERY: Duration = Duration::from_secs(60);
/// A text that is longer than this was not written by us.
const LONGEST: u64 = 4 << 20;
const UNFINISHED: &str = ".unfinished";

pub struct Pages {
    root: PathBuf,
    /// What each file holds, by hash; `None`: it is not there.
    written: HashMap<PathBuf, Option<u64>>,
    /// What the disk has refused so far; `None`: the removal.
    pending: BTreeMap<PathBuf, Option<String>>,
    complained: Option<Instant>,
}

impl Pages {
    pub fn new(root: PathBuf) -> Self {
        Self {
            root,
            written: HashMap::new(),
            pending: BTreeMap::new(),
            complained: None,
        }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn write(&mut self, page: PathBuf, text: String) {
        self.set(page, Some(text));
    }

    pub fn remove(&mut self, page: PathBuf) {
        self.set(page, None);
    }

    /// What could not be written before, once more; true if nothing is left.
    pub fn retry(&mut self) -> bool {
        for (page, text) in std::mem::take(&mut self.pending) {
            if let Err(error) = self.put(&page, text.as_deref()) {
                self.complain(&page, &error);
                self.pending.insert(page, text);
            }
        }
        if !self.pending.is_empty() {
            return false;
        }
        if self.complained.take().is_some() {
            tracing::info!(folder = %self.root.display(), "reports can be written again");
        }
        true
    }

    /// The pages that are in the folder now.
    pub fn present(&self) -> Vec<PathBuf> {
        let folders = fs::read_dir(&self.root).into_iter().flatten().flatten();
        let folders = folders.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let pages =
            folders.flat_map(|folder| fs::read_dir(folder.path()).into_iter().flatten().flatten());
        let names = pages.filter_map(|page| {
            page.path()
                .strip_prefix(&self.root)
                .map(Path::to_owned)
                .ok()
        });
        names.collect()
    }

    fn set(&mut self, page: PathBuf, text: Option<String>) {
        let hash = text.as_deref().map(hash);
        if !self.pending.contains_key(&page) && self.holds(&page) == Some(hash) {
            return;
        }
        match self.put(&page, text.as_deref()) {
            Ok(()) => {
                self.pending.remove(&page);
            }
            Err(error) => {
                self.complain(&page, &error);
                self.pending.insert(page, text);
            }
        }
    }

    /// What is known of the file; at the first look, what it really holds.
    fn holds(&mut self, page: &Path) -> Option<Option<u64>> {
        if !self.written.contains_key(page) {
            let hash = match read(&self.root.join(page)) {
                Ok(text) => Some(hash(&text)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(_) => return None,
            };
            self.written.insert(page.to_owned(), hash);
        }
        self.written.get(page).copied()
    }

    fn put(&mut self, page: &Path, text: Option<&str>) -> io::Result<()> {
        let path = self.root.join(page);
        match text {
            Some(text) => replace(&path, text)?,
            None => erase(&path, &self.root)?,
        }
        match text {
            Some(text) => self.written.insert(page.to_owned(), Some(hash(text))),
            None => self.written.remove(page),
        };
        Ok(())
    }

    fn complain(&mut self, page: &Path, error: &io::Error) {
        if self
            .complained
            .is_none_or(|last| last.elapsed() >= COMPLAIN_EVERY)
        {
            self.complained = Some(Instant::now());
            let path = self.root.join(page);
            tracing::error!(path = %path.display(), %error, "cannot write a report; it will be tried again");
        }
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

fn read(path: &Path) -> io::Result<String> {
    // Whatever stands there: a FIFO must not hold us up.
    let flags = nix::fcntl::OFlag::O_NONBLOCK.bits();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text)?;
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
        // On a full disk, its blocks are needed.
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
        // Goes with its last page; one that is in use stays.
        let _ = fs::remove_dir(folder);
    }
    Ok(())
}

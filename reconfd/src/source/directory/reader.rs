//! From what the kernel says of the folder to what is in force: reads the files that changed, feeds the
//! stores, tells the controller. The only place that knows both the watch and the shelf.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs, io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    identity::{Identities, Left},
    is_manifest, is_text,
    key::Kind,
    open::{self, Opened},
    read::{self, Admit},
    shelf::{Shelf, Touched},
    sink::FileSink,
    stores::ManifestStores,
    watch::{Batch, Fate, Watch},
};
use crate::source::{Refusal, StoreWriter, Trigger};

/// For this long a name that vanished may come back as if it had never been away: editors and version
/// control remove a file before they write it anew.
const HOLD: Duration = Duration::from_millis(50);
/// An entry that came with content and is not closed by now was linked, not written.
const SETTLE: Duration = Duration::from_millis(100);

pub struct Reader {
    folder: PathBuf,
    stores: ManifestStores,
    sink: FileSink,
    admit: Box<Admit>,
    shelf: Shelf,
    /// Names to look at later, if nothing else is said of them until then.
    held: BTreeMap<String, Instant>,
    /// What one event of its own can't tell of: what a symlink leads to may be written under another name.
    links: BTreeSet<String>,
    refusals: Arc<[Refusal]>,
    trouble: Option<Refusal>,
}

impl Reader {
    pub fn new(folder: &Path, writer: StoreWriter, sink: FileSink, admit: Box<Admit>) -> Self {
        Self {
            folder: folder.to_owned(),
            stores: ManifestStores::new(writer),
            sink,
            admit,
            shelf: Shelf::default(),
            held: BTreeMap::new(),
            links: BTreeSet::new(),
            refusals: Arc::new([]),
            trouble: None,
        }
    }

    /// The first complete reading, on top of what the status files remember.
    pub fn first(&mut self, reports: &Path) -> io::Result<()> {
        let (identities, left) = Identities::load(reports);
        let mut touched = Touched::new();
        for left in left {
            self.remember(left, &mut touched);
        }
        self.all(&mut touched)?;
        let folder = self.folder.clone();
        self.stores.fill(identities, &self.shelf, &touched, |file| {
            open::modified(&folder.join(file))
        });
        self.tell_notes(&touched);
        self.sink.write_refusals(&[]);
        self.tell_refusals();
        Ok(())
    }

    /// The last good version is in force until its manifest has been read.
    fn remember(&mut self, left: Left, touched: &mut Touched) {
        let origin = left
            .origin
            .filter(|name| is_manifest(name) && !name.contains('/'));
        let Some(origin) = origin else { return };
        let contents = read::contents(&origin, &left.object.to_string(), &*self.admit);
        for found in contents
            .found
            .into_iter()
            .filter(|found| found.key == left.key)
        {
            self.shelf.remember(&origin, found);
            touched.insert(left.key.clone());
        }
    }

    pub fn run(mut self, mut watch: Watch, notify: &dyn Fn(Trigger)) {
        loop {
            let until = self.held.values().min().copied();
            match watch.wait(until) {
                Ok(batch) if batch.stop => return,
                Ok(batch) => self.batch(batch, watch.has_manifests(), notify),
                Err(error) => {
                    tracing::error!(%error, "cannot watch the manifests");
                    std::thread::sleep(Duration::from_secs(1));
                }
            }
        }
    }

    fn batch(&mut self, batch: Batch, has_folder: bool, notify: &dyn Fn(Trigger)) {
        batch
            .records
            .into_iter()
            .for_each(|name| notify(Trigger::Records(name)));
        let mut touched = Touched::new();
        self.look_at_folder(has_folder);
        if batch.reread {
            if let Err(error) = self.all(&mut touched) {
                self.trouble = Some(self.folder_trouble(&error.to_string()));
            }
        } else if !batch.names.is_empty() || !self.held.is_empty() {
            self.some(batch.names, &mut touched);
        }
        let triggers = self.stores.settle(&self.shelf, &touched);
        self.tell_notes(&touched);
        triggers.into_iter().for_each(notify);
        // What is held is about to change: who is a twin of what is not known before.
        if self.held.is_empty() {
            self.tell_refusals();
        }
    }

    fn look_at_folder(&mut self, has_folder: bool) {
        match (has_folder, &self.trouble) {
            (false, None) => self.trouble = Some(self.folder_trouble("it is gone")),
            (true, Some(_)) => self.trouble = None,
            _ => {}
        }
    }

    fn folder_trouble(&self, why: &str) -> Refusal {
        let message =
            format!("the folder of manifests can't be read: {why}; what was in force stays so");
        Refusal {
            file: self.folder.display().to_string(),
            message,
            ..Refusal::default()
        }
    }

    /// Reads the whole folder; what is not in it any more is gone.
    fn all(&mut self, touched: &mut Touched) -> io::Result<()> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.retain(|name| is_manifest(name));
        let folder = open::folder(&self.folder)?;
        self.held.clear();
        for gone in self
            .shelf
            .names()
            .into_iter()
            .filter(|name| !names.contains(name))
        {
            touched.append(&mut self.shelf.remove(&gone));
        }
        names
            .iter()
            .for_each(|name| self.file(&folder, name, touched));
        Ok(())
    }

    fn some(&mut self, names: BTreeMap<OsString, Fate>, touched: &mut Touched) {
        // A folder that is gone took its files with it only if it said so of each.
        let folder = open::folder(&self.folder);
        for (name, fate) in names {
            let name = name.to_string_lossy().into_owned();
            if is_manifest(&name) {
                self.fate(folder.as_ref().ok(), name, fate, touched);
            }
        }
        let now = Instant::now();
        let due: Vec<String> = self
            .held
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(name, _)| name.clone())
            .collect();
        for name in due {
            self.held.remove(&name);
            match &folder {
                Ok(folder) => self.file(folder, &name, touched),
                Err(_) => touched.append(&mut self.shelf.remove(&name)),
            }
        }
        if let Ok(folder) = folder {
            let links: Vec<String> = self.links.iter().cloned().collect();
            links
                .iter()
                .for_each(|name| self.file(&folder, name, touched));
        }
    }

    fn fate(&mut self, folder: Option<&OwnedFd>, name: String, fate: Fate, touched: &mut Touched) {
        self.held.remove(&name);
        match (fate, folder) {
            (Fate::Vanished, _) if !is_text(&name) => touched.append(&mut self.shelf.remove(&name)),
            (Fate::Vanished, _) => {
                self.held.insert(name, Instant::now() + HOLD);
            }
            (Fate::RenamedTo, _) => touched.append(&mut self.shelf.remove(&name)),
            (Fate::Created, Some(folder)) => self.created(folder, name, touched),
            (Fate::Touched, _) if !self.shelf.is_unread(&name) => {}
            (Fate::Written | Fate::Touched, Some(folder)) => self.file(folder, &name, touched),
            (_, None) => {}
        }
    }

    /// A new entry: something linked or made is complete, something opened for writing is not.
    fn created(&mut self, folder: &OwnedFd, name: String, touched: &mut Touched) {
        match open::look(folder.as_fd(), &name) {
            Some(stat) if open::is_being_written(&stat) => {
                if stat.st_size > 0 {
                    self.held.insert(name, Instant::now() + SETTLE);
                }
            }
            Some(_) => self.file(folder, &name, touched),
            None => {
                self.held.insert(name, Instant::now() + HOLD);
            }
        }
    }

    fn file(&mut self, folder: &OwnedFd, name: &str, touched: &mut Touched) {
        if !is_text(name) {
            return touched.append(
                &mut self
                    .shelf
                    .refuse(name, "the file name is not UTF-8 text".into()),
            );
        }
        if open::look(folder.as_fd(), name).is_some_and(|stat| open::is_link(&stat)) {
            self.links.insert(name.to_owned());
        } else {
            self.links.remove(name);
        }
        let mut changed = match open::read(folder.as_fd(), name) {
            Opened::Gone => self.shelf.remove(name),
            Opened::Refused(message) => self.shelf.refuse(name, message),
            Opened::Text(text) => self
                .shelf
                .put(name, read::contents(name, &text, &*self.admit)),
        };
        touched.append(&mut changed);
    }

    /// What each PodConfig's status has to say beside the controller's word.
    fn tell_notes(&self, touched: &Touched) {
        for key in touched.iter().filter(|key| key.kind == Kind::PodConfig) {
            self.sink
                .note(&key.namespace, &key.name, self.shelf.note(key));
        }
    }

    fn tell_refusals(&mut self) {
        let mut refusals = self.shelf.refusals();
        refusals.splice(0..0, self.trouble.clone());
        if refusals[..] == self.refusals[..] {
            return;
        }
        for refusal in refusals
            .iter()
            .filter(|refusal| !self.refusals.contains(refusal))
        {
            let Refusal {
                file,
                document,
                line,
                object,
                field,
                message,
            } = refusal;
            tracing::warn!(
                file,
                document,
                line,
                object,
                field,
                message,
                "manifest refused"
            );
        }
        self.sink.write_refusals(&refusals);
        self.refusals = refusals.into();
        self.stores.refusals(self.refusals.clone());
    }
}

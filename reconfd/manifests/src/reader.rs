//! Applies file events: reads the files that changed, updates index and stores, and sends triggers. The only place
//! that uses both the watch and the index.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    fs, io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use dirwatch::{Events, FileEvent, FolderEvents};
use store::{Refusal, StoreWriter, Trigger, kinds::ObjectKind, records};

use super::{
    identity::{Identities, PersistedObject},
    index::{ManifestIndex, Touched},
    is_manifest, is_text,
    open::{self, Opened},
    parse::{self, Admit},
    sink::FileSink,
    stores::ManifestStores,
};

/// Kubernetes swaps a whole volume by renaming this one symlink.
const VOLUME: &str = "..data";
/// A file that reappears within this time was not removed: editors and version control remove a file before they
/// write it again.
const HOLD: Duration = Duration::from_millis(50);
/// A new entry with content that was not closed within this time was linked, not written.
const SETTLE: Duration = Duration::from_millis(100);

pub struct Reader {
    folder: PathBuf,
    stores: ManifestStores,
    sink: FileSink,
    admit: Box<Admit>,
    index: ManifestIndex,
    /// Names to read later, unless there is another event of them before.
    held: BTreeMap<String, Instant>,
    /// Symlinks: their targets may change without an event of the link.
    links: BTreeSet<String>,
    refusals: Arc<[Refusal]>,
    folder_error: Option<Refusal>,
}

impl Reader {
    pub fn new(folder: &Path, writer: StoreWriter, sink: FileSink, admit: Box<Admit>) -> Self {
        Self {
            folder: folder.to_owned(),
            stores: ManifestStores::new(writer),
            sink,
            admit,
            index: ManifestIndex::default(),
            held: BTreeMap::new(),
            links: BTreeSet::new(),
            refusals: Arc::new([]),
            folder_error: None,
        }
    }

    /// The first complete read, on top of the versions restored from the status files.
    pub fn initial_read(&mut self, reports: &Path) -> io::Result<()> {
        let (identities, persisted) = Identities::load(reports);
        let mut touched = Touched::new();
        for persisted in persisted {
            self.remember(persisted, &mut touched);
        }
        self.read_all(&mut touched)?;
        let folder = self.folder.clone();
        self.stores.fill(identities, &self.index, &touched, |file| {
            open::modified(&folder.join(file))
        });
        self.report_statuses(&touched);
        self.sink.write_refusals(&[]);
        self.report_errors();
        Ok(())
    }

    /// The last good version is in force until its manifest has been read.
    fn remember(&mut self, persisted: PersistedObject, touched: &mut Touched) {
        let origin = persisted
            .origin
            .filter(|name| is_manifest(name) && !name.contains('/'));
        let Some(origin) = origin else { return };
        let parsed = parse::parse(&origin, &persisted.object.to_string(), &*self.admit);
        for found in parsed
            .objects
            .into_iter()
            .filter(|found| found.key == persisted.key)
        {
            self.index.remember(&origin, found);
            touched.insert(persisted.key.clone());
        }
    }

    /// Handles events of the manifest folder and of the record folder. Returns when names on hold are due.
    pub fn events(&mut self, events: Events, notify: &dyn Fn(Trigger)) -> Option<Instant> {
        let mut folders = events.folders.into_iter();
        let (manifests, records) = (folders.next()?, folders.next()?);
        records::triggers(&records).for_each(notify);
        self.manifest_events(manifests, notify);
        self.held.values().min().copied()
    }

    fn manifest_events(&mut self, events: FolderEvents, notify: &dyn Fn(Trigger)) {
        let mut touched = Touched::new();
        self.check_folder(events.is_watched);
        if events.all || events.names.contains_key(OsStr::new(VOLUME)) {
            if let Err(error) = self.read_all(&mut touched) {
                self.folder_error = Some(self.folder_error(&error.to_string()));
            }
        } else if !events.names.is_empty() || !self.held.is_empty() {
            self.read_changed(events.names, &mut touched);
        }
        let triggers = self.stores.settle(&self.index, &touched);
        self.report_statuses(&touched);
        triggers.into_iter().for_each(notify);
        // Names on hold are about to change: duplicates are not known before.
        if self.held.is_empty() {
            self.report_errors();
        }
    }

    fn check_folder(&mut self, has_folder: bool) {
        match (has_folder, &self.folder_error) {
            (false, None) => self.folder_error = Some(self.folder_error("it does not exist")),
            (true, Some(_)) => self.folder_error = None,
            _ => {}
        }
    }

    fn folder_error(&self, why: &str) -> Refusal {
        let message =
            format!("cannot read the manifest folder: {why}; the versions in force stay in force");
        Refusal::of_file(self.folder.display().to_string(), message)
    }

    /// Reads the whole folder; files that are not in it any more are removed from the index.
    fn read_all(&mut self, touched: &mut Touched) -> io::Result<()> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.retain(|name| is_manifest(name));
        let folder = open::folder(&self.folder)?;
        self.held.clear();
        for gone in self
            .index
            .names()
            .into_iter()
            .filter(|name| !names.contains(name))
        {
            touched.append(&mut self.index.remove(&gone));
        }
        names
            .iter()
            .for_each(|name| self.read_file(&folder, name, touched));
        Ok(())
    }

    fn read_changed(&mut self, names: BTreeMap<OsString, FileEvent>, touched: &mut Touched) {
        // When the folder is gone, only files with an event of their own were removed.
        let folder = open::folder(&self.folder);
        for (name, event) in names {
            let name = name.to_string_lossy().into_owned();
            if is_manifest(&name) {
                self.on_event(folder.as_ref().ok(), name, event, touched);
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
                Ok(folder) => self.read_file(folder, &name, touched),
                Err(_) => touched.append(&mut self.index.remove(&name)),
            }
        }
        if let Ok(folder) = folder {
            let links: Vec<String> = self.links.iter().cloned().collect();
            links
                .iter()
                .for_each(|name| self.read_file(&folder, name, touched));
        }
    }

    fn on_event(
        &mut self,
        folder: Option<&OwnedFd>,
        name: String,
        event: FileEvent,
        touched: &mut Touched,
    ) {
        self.held.remove(&name);
        match (event, folder) {
            (FileEvent::RenamedTo(new), _) if is_manifest(&new.to_string_lossy()) => {
                touched.append(&mut self.index.remove(&name))
            }
            (FileEvent::Vanished | FileEvent::RenamedTo(_), _) if !is_text(&name) => {
                touched.append(&mut self.index.remove(&name))
            }
            (FileEvent::Vanished | FileEvent::RenamedTo(_), _) => {
                self.held.insert(name, Instant::now() + HOLD);
            }
            (FileEvent::Created, Some(folder)) => self.created(folder, name, touched),
            (FileEvent::Touched, _) if !self.index.is_unread(&name) => {}
            (FileEvent::Written | FileEvent::Touched, Some(folder)) => {
                self.read_file(folder, &name, touched)
            }
            (_, None) => {}
        }
    }

    /// A new entry: a link or a rename is complete, a file opened for writing is not.
    fn created(&mut self, folder: &OwnedFd, name: String, touched: &mut Touched) {
        match open::stat(folder.as_fd(), &name) {
            Some(stat) if open::is_being_written(&stat) => {
                if stat.st_size > 0 {
                    self.held.insert(name, Instant::now() + SETTLE);
                }
            }
            Some(_) => self.read_file(folder, &name, touched),
            None => {
                self.held.insert(name, Instant::now() + HOLD);
            }
        }
    }

    fn read_file(&mut self, folder: &OwnedFd, name: &str, touched: &mut Touched) {
        if !is_text(name) {
            return touched.append(
                &mut self
                    .index
                    .refuse(name, "the file name is not UTF-8 text".into()),
            );
        }
        if open::stat(folder.as_fd(), name).is_some_and(|stat| open::is_link(&stat)) {
            self.links.insert(name.to_owned());
        } else {
            self.links.remove(name);
        }
        let mut changed = match open::read(folder.as_fd(), name) {
            Opened::Gone => self.index.remove(name),
            Opened::Refused(message) => self.index.refuse(name, message),
            Opened::Text(text) => self
                .index
                .put(name, parse::parse(name, &text, &*self.admit)),
        };
        touched.append(&mut changed);
    }

    /// Passes origin and errors of each PodConfig to its status file.
    fn report_statuses(&self, touched: &Touched) {
        for key in touched
            .iter()
            .filter(|key| key.kind == ObjectKind::PodConfig)
        {
            self.sink
                .set_manifest_status(&key.namespace, &key.name, self.index.status(key));
        }
    }

    fn report_errors(&mut self) {
        let mut refusals = self.index.refusals();
        refusals.splice(0..0, self.folder_error.clone());
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

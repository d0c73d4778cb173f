//! Claims as files: a folder that several daemons may share, one file for each claim with the content of the
//! object. A file is made as a whole or not at all, and only if there is none of its name.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    net::IpAddr,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crds::{AddressClaim, AddressClaimSpec, ClaimPod, claim::claim_name};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use nix::fcntl::{Flock, FlockArg, OFlag};

use crate::{
    address::claims::{
        Book, Claims, Door,
        errand::{Ask, Told},
        paper::{Name, OWNER},
    },
    source::Change,
};

const ENDING: &str = ".yaml";
const LOCK: &str = ".lock";
const UNFINISHED: &str = ".unfinished";
/// Nobody takes so long to finish a file.
const ABANDONED: Duration = Duration::from_secs(60);
/// A file that is larger was not written by us.
const LARGEST: u64 = 64 << 10;
/// How often it is looked whether somebody has changed the folder.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// A folder of claims.
pub struct Folder {
    root: PathBuf,
    made: AtomicU64,
    /// What was read, by file name and what tells one edition of it from another.
    read: Mutex<HashMap<String, (Edition, AddressClaim)>>,
}

type Edition = (u64, i64, i64, u64);

/// The thread that does what is due; when this is dropped, it ends.
#[must_use]
pub struct Keeping {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// The claims of a node, kept in a folder, which is made if it is not there.
pub fn start(
    folder: &Path,
    node: &str,
    book: Book,
    notify: impl Fn(Change) + Send + Sync + 'static,
) -> io::Result<(Claims, Keeping)> {
    fs::create_dir_all(folder)?;
    let folder = Arc::new(Folder::new(folder));
    folder.clear_unfinished();
    let asked = folder.clone();
    let bell: Arc<Mutex<Option<std::thread::Thread>>> = Arc::default();
    let rung = bell.clone();
    let door = Door {
        on_the_spot: Some(Box::new(move |ask| asked.answer(ask))),
        ring: Box::new(move || {
            let thread = rung.lock().unwrap_or_else(PoisonError::into_inner);
            thread.iter().for_each(std::thread::Thread::unpark);
        }),
        notify: Box::new(notify),
    };
    let claims = Claims::new(book, door);
    folder.look(&claims, node);
    let stop = Arc::new(AtomicBool::new(false));
    let (node, stopped, served) = (node.to_owned(), stop.clone(), claims.clone());
    let thread = std::thread::Builder::new().name("claims".into());
    let thread = thread.spawn(move || folder.keep(&served, &node, &stopped))?;
    *bell.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread.thread().clone());
    let keeping = Keeping {
        stop,
        thread: Some(thread),
    };
    Ok((claims, keeping))
}

impl Drop for Keeping {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic of its own has been told by the panic hook.
            let _ = thread.join();
        }
    }
}

impl Folder {
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            made: AtomicU64::new(0),
            read: Mutex::default(),
        }
    }

    /// Does what is due, and looks now and then at what others did.
    fn keep(&self, claims: &Claims, node: &str, stopped: &AtomicBool) {
        let mut looked = Instant::now();
        while !stopped.load(Ordering::Acquire) {
            claims.work(None);
            if looked.elapsed() >= LOOK_AGAIN {
                looked = Instant::now();
                self.look(claims, node);
            }
            let due = claims.next_due();
            let rest = LOOK_AGAIN.saturating_sub(looked.elapsed());
            let due = due.map_or(rest, |due| due.saturating_duration_since(Instant::now()));
            std::thread::park_timeout(due.min(rest).max(Duration::from_millis(1)));
        }
    }

    /// Tells the claims of this node as the folder has them.
    fn look(&self, claims: &Claims, node: &str) {
        let before = claims.names();
        let Ok(files) = self.files() else {
            return tracing::warn!(folder = %self.root.display(), "the claims can not be listed");
        };
        for name in before {
            if !files.contains(&file_of(&name)) {
                claims.went(&name);
            }
        }
        for file in files {
            if let Some(claim) = self.cached(&file).filter(|claim| claim.spec.node == node) {
                claims.came(claim);
            }
        }
    }

    /// Does what is asked.
    pub fn answer(&self, ask: &Ask) -> Told {
        let told = match ask {
            Ask::Create(claim) => self.create(claim),
            Ask::Get(name) => self.get(name),
            Ask::OfOwner { domain, owner } => {
                let is_of = |claim: &AddressClaim| {
                    let labels = claim.metadata.labels.as_ref();
                    labels.and_then(|labels| labels.get(OWNER)) == Some(owner)
                };
                self.list(domain, |_| true, is_of)
            }
            Ask::OfBlock { domain, block } => {
                self.list(domain, |address| block.holds(address), |_| true)
            }
            Ask::Replace(claim) => self.with_same(claim, |claim| {
                let mut claim = claim.clone();
                claim.metadata.resource_version = Some(self.version());
                self.write(&claim, |unfinished, path| fs::rename(unfinished, path))?;
                Ok(Told::Claim(Box::new(claim)))
            }),
            Ask::Delete(claim) => self.with_same(claim, |claim| {
                fs::remove_file(self.path(&Name::of(claim)))?;
                Ok(Told::Deleted)
            }),
            // Only who looks after the pods of this node can say.
            Ask::LookUp(_) => Ok(Told::PodIsThere),
        };
        told.unwrap_or_else(|error| Told::Failed(format!("{}: {error}", self.root.display())))
    }

    fn create(&self, claim: &AddressClaim) -> io::Result<Told> {
        let mut claim = claim.clone();
        let version = self.version();
        claim.metadata.uid = Some(format!("{}-{version}", std::process::id()));
        claim.metadata.resource_version = Some(version);
        claim.metadata.creation_timestamp = Some(Time(Timestamp::now()));
        let made = self.write(&claim, |unfinished, path| {
            // Fails if there is one, and what it makes is whole.
            let made = fs::hard_link(unfinished, path);
            fs::remove_file(unfinished)?;
            made
        });
        match made {
            Ok(()) => Ok(Told::Claim(Box::new(claim))),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Told::Exists),
            Err(error) => Err(error),
        }
    }

    fn get(&self, name: &Name) -> io::Result<Told> {
        match self.read(&file_of(name)) {
            Ok(claim) => Ok(Told::Claim(Box::new(claim))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Told::Missing),
            Err(error) => Ok(Told::Failed(format!(
                "{} can not be read, and the address counts as taken: {error}",
                self.path(name).display()
            ))),
        }
    }

    fn list(
        &self,
        domain: &str,
        is_wanted: impl Fn(IpAddr) -> bool,
        fits: impl Fn(&AddressClaim) -> bool,
    ) -> io::Result<Told> {
        let files = self.files()?.into_iter();
        let named = files.filter_map(|file| Some((name_of(&file)?, file)));
        let wanted = named.filter(|(name, _)| name.domain == domain && is_wanted(name.address));
        let claims = wanted.filter_map(|(name, file)| match self.read(&file) {
            Ok(claim) => Some(claim),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(file, %error, "a claim can not be read; its address counts as taken");
                Some(of_nobody(&name))
            }
        });
        let claims = claims.filter(|claim| fits(claim)).collect();
        Ok(Told::Listed(claims, Time(Timestamp::now())))
    }

    /// With the folder locked, and if the claim is still what was read.
    fn with_same(
        &self,
        claim: &AddressClaim,
        deed: impl FnOnce(&AddressClaim) -> io::Result<Told>,
    ) -> io::Result<Told> {
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.root.join(LOCK))?;
        let _lock = Flock::lock(lock, FlockArg::LockExclusive)
            .map_err(|(_, errno)| io::Error::from(errno))?;
        let now = match self.get(&Name::of(claim))? {
            Told::Claim(now) => now,
            told => return Ok(told),
        };
        let edition = |claim: &AddressClaim| {
            let metadata = &claim.metadata;
            (metadata.uid.clone(), metadata.resource_version.clone())
        };
        match edition(&now) == edition(claim) {
            true => deed(claim),
            false => Ok(Told::Overtaken),
        }
    }

    fn write(
        &self,
        claim: &AddressClaim,
        put: impl FnOnce(&Path, &Path) -> io::Result<()>,
    ) -> io::Result<()> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let unfinished = self
            .root
            .join(format!(".{}-{number}{UNFINISHED}", std::process::id()));
        let text = yaml(claim)?;
        // One of an earlier process of this number may be a claim's other name: never written into.
        let _ = fs::remove_file(&unfinished);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(&unfinished)?;
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        put(&unfinished, &self.path(&Name::of(claim)))
    }

    /// The claim as a file has it; what was read before is not read again.
    fn read(&self, file: &str) -> io::Result<AddressClaim> {
        let path = self.root.join(file);
        let found = fs::symlink_metadata(&path)?;
        let edition = (found.ino(), found.mtime(), found.mtime_nsec(), found.len());
        let mut known = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((read, claim)) = known.get(file)
            && *read == edition
        {
            return Ok(claim.clone());
        }
        known.remove(file);
        let claim = parse(&path, file)?;
        known.insert(file.to_owned(), (edition, claim.clone()));
        Ok(claim)
    }

    fn cached(&self, file: &str) -> Option<AddressClaim> {
        name_of(file).and_then(|_| self.read(file).ok())
    }

    fn files(&self) -> io::Result<std::collections::BTreeSet<String>> {
        let entries = fs::read_dir(&self.root)?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.filter(|name| !name.starts_with('.')).collect())
    }

    fn path(&self, name: &Name) -> PathBuf {
        self.root.join(file_of(name))
    }

    /// Grows, also from one process to the next.
    fn version(&self) -> String {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let now = u64::try_from(Timestamp::now().as_microsecond()).unwrap_or(0);
        (now * 16 + number % 16).to_string()
    }

    /// What a daemon left that was killed at it.
    fn clear_unfinished(&self) {
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten();
        for entry in entries {
            let is_unfinished = entry.file_name().to_string_lossy().ends_with(UNFINISHED);
            let modified = entry.metadata().and_then(|file| file.modified());
            let age = modified.ok().and_then(|at| at.elapsed().ok());
            if is_unfinished && age.is_some_and(|age| age > ABANDONED) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

fn file_of(name: &Name) -> String {
    format!("{}{ENDING}", claim_name(&name.domain, name.address))
}

/// The claim that a file's name says it is.
fn name_of(file: &str) -> Option<Name> {
    let (domain, word) = file.strip_suffix(ENDING)?.split_once('.')?;
    let address = match word.split('.').count() {
        8 => word.replace('.', ":").parse().ok()?,
        _ => word.parse().ok()?,
    };
    let domain = domain.to_owned();
    let name = Name { domain, address };
    (file_of(&name) == file).then_some(name)
}

fn parse(path: &Path, file: &str) -> io::Result<AddressClaim> {
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW).bits();
    let open = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    let text = contents(open)?;
    let claim: AddressClaim = serde_saphyr::from_str(&text).map_err(io::Error::other)?;
    match file_of(&Name::of(&claim)) == file {
        true => Ok(claim),
        false => Err(io::Error::other(
            "it is of another address than its name says",
        )),
    }
}

fn contents(file: File) -> io::Result<String> {
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut text = String::new();
    file.take(LARGEST).read_to_string(&mut text)?;
    Ok(text)
}

fn yaml(claim: &AddressClaim) -> io::Result<String> {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let mut text = String::new();
    serde_saphyr::to_fmt_writer_with_options(&mut text, claim, options)
        .map_err(io::Error::other)?;
    Ok(text)
}

/// What stands for a claim that nobody can read.
fn of_nobody(name: &Name) -> AddressClaim {
    let nobody = AddressClaimSpec {
        domain: name.domain.clone(),
        address: name.address,
        pod: ClaimPod {
            namespace: "?".into(),
            name: "?".into(),
            uid: String::new(),
        },
        link: "?".into(),
        node: String::new(),
        installation: String::new(),
        released: None,
    };
    AddressClaim::new(&name.to_string(), nobody)
}

#[cfg(test)]
mod tests;

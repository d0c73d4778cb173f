//! A folder of claims: what is asked of it is done at once, and by one program at a time.

use std::{
    collections::{BTreeSet, HashMap},
    fs::{self, OpenOptions},
    io::{self, Write as _},
    net::IpAddr,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crds::AddressClaim;
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use nix::fcntl::{Flock, FlockArg};

use super::file::{file_of, name_of, parse, yaml};
use crate::address::claims::{
    claim_meta::{ClaimName, OWNER, placeholder},
    operation::{ClaimRequest, ClaimResponse},
};

const LOCK: &str = ".lock";
const UNFINISHED: &str = ".unfinished";
/// Nobody takes so long to finish a file.
const ABANDONED: Duration = Duration::from_secs(60);

/// A folder of claims.
pub struct Folder {
    pub root: PathBuf,
    made: AtomicU64,
    /// What was read and written, by file name.
    known: Mutex<HashMap<String, Known>>,
}

/// What a file says, and which edition of it.
type Known = (Edition, Arc<AddressClaim>);
/// Inode, time of the last change in seconds and nanoseconds, length.
type Edition = (u64, i64, i64, u64);

fn edition(file: &fs::Metadata) -> Edition {
    (file.ino(), file.mtime(), file.mtime_nsec(), file.len())
}

impl Folder {
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            made: AtomicU64::new(0),
            known: Mutex::default(),
        }
    }

    /// Does what is asked.
    pub fn execute(&self, request: &ClaimRequest) -> ClaimResponse {
        let response = match request {
            ClaimRequest::Create(claim) => self.create(claim),
            ClaimRequest::Get(name) => self.get(name),
            ClaimRequest::ListByOwner { domain, owner } => {
                let is_of = |claim: &AddressClaim| {
                    let labels = claim.metadata.labels.as_ref();
                    labels.and_then(|labels| labels.get(OWNER)) == Some(owner)
                };
                self.list(domain, |_| true, is_of)
            }
            ClaimRequest::ListBlock { domain, block } => {
                self.list(domain, |address| block.holds(address), |_| true)
            }
            ClaimRequest::Replace(claim) => self.with_same(claim, || {
                let mut claim = (**claim).clone();
                claim.metadata.resource_version = Some(self.version());
                self.write(claim, |unfinished, path| fs::rename(unfinished, path))
                    .map(ClaimResponse::Claim)
            }),
            ClaimRequest::Delete(claim) => self.with_same(claim, || {
                fs::remove_file(self.path(&ClaimName::of(claim)))?;
                Ok(ClaimResponse::Deleted)
            }),
            // Only who looks after the pods of this node can say.
            ClaimRequest::CheckPod(_) => Ok(ClaimResponse::PodExists),
        };
        response.unwrap_or_else(|error| {
            ClaimResponse::Failed(format!("{}: {error}", self.root.display()))
        })
    }

    fn create(&self, claim: &AddressClaim) -> io::Result<ClaimResponse> {
        let mut claim = claim.clone();
        let version = self.version();
        claim.metadata.uid = Some(format!("{}-{version}", std::process::id()));
        claim.metadata.resource_version = Some(version);
        claim.metadata.creation_timestamp = Some(Time(Timestamp::now()));
        let made = self.write(claim, |unfinished, path| {
            // Fails if there is one, and what it makes is whole.
            let made = fs::hard_link(unfinished, path);
            fs::remove_file(unfinished)?;
            made
        });
        match made {
            Ok(claim) => Ok(ClaimResponse::Claim(claim)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(ClaimResponse::Exists),
            Err(error) => Err(error),
        }
    }

    fn get(&self, name: &ClaimName) -> io::Result<ClaimResponse> {
        match self.read(&file_of(name)) {
            Ok(claim) => Ok(ClaimResponse::Claim(claim)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(ClaimResponse::NotFound),
            Err(error) => Ok(ClaimResponse::Failed(format!(
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
    ) -> io::Result<ClaimResponse> {
        let files = self.files()?.into_iter();
        let named = files.filter_map(|file| Some((name_of(&file)?, file)));
        let wanted = named.filter(|(name, _)| name.domain == domain && is_wanted(name.address));
        let claims = wanted.filter_map(|(name, file)| match self.read(&file) {
            Ok(claim) => Some(claim),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(file, %error, "a claim can not be read; its address counts as taken");
                Some(Arc::new(placeholder(&name)))
            }
        });
        let claims = claims.filter(|claim| fits(claim)).collect();
        Ok(ClaimResponse::Listed(claims, Time(Timestamp::now())))
    }

    /// With the folder locked, and if the claim is still what was read.
    fn with_same(
        &self,
        claim: &AddressClaim,
        change: impl FnOnce() -> io::Result<ClaimResponse>,
    ) -> io::Result<ClaimResponse> {
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.root.join(LOCK))?;
        let _lock = Flock::lock(lock, FlockArg::LockExclusive)
            .map_err(|(_, errno)| io::Error::from(errno))?;
        let now = match self.get(&ClaimName::of(claim))? {
            ClaimResponse::Claim(now) => now,
            response => return Ok(response),
        };
        let edition = |claim: &AddressClaim| {
            let metadata = &claim.metadata;
            (metadata.uid.clone(), metadata.resource_version.clone())
        };
        match edition(&now) == edition(claim) {
            true => change(),
            false => Ok(ClaimResponse::Conflict),
        }
    }

    /// Writes a claim's file; what it says now.
    fn write(
        &self,
        claim: AddressClaim,
        put: impl FnOnce(&Path, &Path) -> io::Result<()>,
    ) -> io::Result<Arc<AddressClaim>> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let unfinished = self
            .root
            .join(format!(".{}-{number}{UNFINISHED}", std::process::id()));
        let text = yaml(&claim)?;
        // One of an earlier process of this number may be a claim's other name: never written into.
        let _ = fs::remove_file(&unfinished);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(&unfinished)?;
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        let edition = edition(&file.metadata()?);
        let name = ClaimName::of(&claim);
        put(&unfinished, &self.path(&name))?;
        let claim = Arc::new(claim);
        self.known()
            .insert(file_of(&name), (edition, claim.clone()));
        Ok(claim)
    }

    /// The claim as a file has it; what was read or written before is not read again.
    fn read(&self, file: &str) -> io::Result<Arc<AddressClaim>> {
        let path = self.root.join(file);
        let edition = edition(&fs::symlink_metadata(&path)?);
        let mut known = self.known();
        if let Some((read, claim)) = known.get(file)
            && *read == edition
        {
            return Ok(claim.clone());
        }
        known.remove(file);
        let claim = Arc::new(parse(&path, file)?);
        known.insert(file.to_owned(), (edition, claim.clone()));
        Ok(claim)
    }

    /// Forgets what was read of files that are gone: where addresses are many, no name comes again.
    pub fn keep_only(&self, files: &BTreeSet<String>) {
        self.known().retain(|file, _| files.contains(file));
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub fn remembered(&self) -> usize {
        self.known().len()
    }

    pub fn cached(&self, file: &str) -> Option<Arc<AddressClaim>> {
        name_of(file).and_then(|_| self.read(file).ok())
    }

    pub fn files(&self) -> io::Result<BTreeSet<String>> {
        let entries = fs::read_dir(&self.root)?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.filter(|name| !name.starts_with('.')).collect())
    }

    fn path(&self, name: &ClaimName) -> PathBuf {
        self.root.join(file_of(name))
    }

    /// Grows, also from one process to the next.
    fn version(&self) -> String {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let now = u64::try_from(Timestamp::now().as_microsecond()).unwrap_or(0);
        (now * 16 + number % 16).to_string()
    }

    /// What a daemon left that was killed at it.
    pub fn clear_unfinished(&self) {
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

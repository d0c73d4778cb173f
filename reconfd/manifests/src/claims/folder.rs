//! Claim requests executed on a folder, synchronously. Updates and deletions take a lock that all programs share.

use std::{
    collections::{BTreeSet, HashMap},
    fs::{self, OpenOptions},
    hash::{BuildHasher as _, RandomState},
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

use address::claims::{
    claim_meta::{ClaimName, OWNER, placeholder},
    protocol::{ClaimRequest, ClaimResponse},
};
use crds::AddressClaim;
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use nix::fcntl::{Flock, FlockArg};

use super::file::{file_of, name_of, parse, yaml};

const LOCK: &str = ".lock";
const UNFINISHED: &str = ".unfinished";
/// A temporary file of this age belongs to a program that has died.
const ABANDONED: Duration = Duration::from_secs(60);

/// A folder of claims.
pub struct ClaimFolder {
    pub root: PathBuf,
    /// Distinguishes this program from all others that write into the folder. A process id does not: daemons of several
    /// nodes share a folder, and each may be process 1 of its own PID namespace.
    writer: u64,
    made: AtomicU64,
    /// Claims that were read or written, by file name.
    cache: Mutex<HashMap<String, CachedClaim>>,
}

/// A claim, and the edition of the file that it was read from.
type CachedClaim = (Edition, Arc<AddressClaim>);
/// Inode, time of the last change in seconds and nanoseconds, length.
type Edition = (u64, i64, i64, u64);

fn edition(file: &fs::Metadata) -> Edition {
    (file.ino(), file.mtime(), file.mtime_nsec(), file.len())
}

impl ClaimFolder {
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            writer: RandomState::new().hash_one(std::process::id()),
            made: AtomicU64::new(0),
            cache: Mutex::default(),
        }
    }

    /// Executes a request.
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
            // The folder knows no pods; their node's daemon decides.
            ClaimRequest::CheckPod(_) => Ok(ClaimResponse::PodExists),
        };
        response.unwrap_or_else(|error| {
            ClaimResponse::Failed(format!("{}: {error}", self.root.display()))
        })
    }

    fn create(&self, claim: &AddressClaim) -> io::Result<ClaimResponse> {
        let mut claim = claim.clone();
        let version = self.version();
        claim.metadata.uid = Some(format!("{:016x}-{version}", self.writer));
        claim.metadata.resource_version = Some(version);
        claim.metadata.creation_timestamp = Some(Time(Timestamp::now()));
        let made = self.write(claim, |unfinished, path| {
            // Fails if the file exists, and creates it complete.
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
                "cannot read {}, the address counts as taken: {error}",
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
                tracing::warn!(file, %error, "cannot read a claim; its address counts as taken");
                Some(Arc::new(placeholder(&name)))
            }
        });
        let claims = claims.filter(|claim| fits(claim)).collect();
        Ok(ClaimResponse::Listed(claims, Time(Timestamp::now())))
    }

    /// Locks the folder, and runs `change` if the claim has not changed since it was read.
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

    /// Writes a claim's file, and returns the claim as written.
    fn write(
        &self,
        claim: AddressClaim,
        put: impl FnOnce(&Path, &Path) -> io::Result<()>,
    ) -> io::Result<Arc<AddressClaim>> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let unfinished = self
            .root
            .join(format!(".{:016x}-{number}{UNFINISHED}", self.writer));
        let text = yaml(&claim)?;
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
        self.cache()
            .insert(file_of(&name), (edition, claim.clone()));
        Ok(claim)
    }

    /// The claim in a file; read only if the file has changed since the last read or write.
    fn read(&self, file: &str) -> io::Result<Arc<AddressClaim>> {
        let path = self.root.join(file);
        let edition = edition(&fs::symlink_metadata(&path)?);
        let mut cache = self.cache();
        if let Some((read, claim)) = cache.get(file)
            && *read == edition
        {
            return Ok(claim.clone());
        }
        cache.remove(file);
        let claim = Arc::new(parse(&path, file)?);
        cache.insert(file.to_owned(), (edition, claim.clone()));
        Ok(claim)
    }

    /// Drops cached claims whose files are gone: where addresses are many, names do not recur.
    pub fn keep_only(&self, files: &BTreeSet<String>) {
        self.cache().retain(|file, _| files.contains(file));
    }

    fn cache(&self) -> MutexGuard<'_, HashMap<String, CachedClaim>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub fn cached_count(&self) -> usize {
        self.cache().len()
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

    /// A resource version; increases, also across restarts.
    fn version(&self) -> String {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let now = u64::try_from(Timestamp::now().as_microsecond()).unwrap_or(0);
        (now * 16 + number % 16).to_string()
    }

    /// Removes temporary files of daemons that were killed.
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

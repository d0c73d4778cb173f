//! Plugins whose effects are files, and faults that are files: both outlive a daemon that is killed.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use cni::request::ValidAttachment;
use serde_json::{Value, json};

use cni::FrozenChain;

use crate::{
    entry::{Entry, Facts, MultusFile, Slot},
    ports::{
        self, AddOutcome, CheckOutcome, DelOutcome, Netns, NetnsFd, Ready, Remains, Runner, Verdict,
    },
    status::{Failure, FailureReason},
};

pub(super) struct Plugins {
    dir: PathBuf,
}

pub(super) struct Host {
    dir: PathBuf,
}

fn failure(reason: FailureReason) -> Failure {
    Failure::new(reason, "by the test")
}

/// `<container> <interface> <place>` of each effect.
pub(super) fn effects(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir.join("effects")).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    names
}

pub(super) fn log(dir: &Path) -> Vec<String> {
    let text = fs::read_to_string(dir.join("log")).unwrap_or_default();
    text.lines().map(ToOwned::to_owned).collect()
}

impl Plugins {
    pub(super) fn new(dir: &Path) -> Self {
        fs::create_dir_all(dir.join("effects")).unwrap();
        Self { dir: dir.into() }
    }

    fn effect(&self, entry: &Entry, place: usize) -> PathBuf {
        let chain = &entry.chain;
        let name = format!("{} {} {place}", chain.container_id, chain.ifname);
        self.dir.join("effects").join(name)
    }

    fn note(&self, line: &str) {
        let mut log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.join("log"))
            .unwrap();
        writeln!(log, "{line}").unwrap();
    }

    fn is_set(&self, fault: &str, entry: &Entry) -> bool {
        self.dir.join(format!("{fault} {}", entry.pod.uid)).exists()
    }

    fn pause(&self) {
        if let Ok(millis) = fs::read_to_string(self.dir.join("slow")) {
            thread::sleep(Duration::from_millis(millis.parse().unwrap()));
        }
    }
}

impl Runner for Plugins {
    fn preflight(&self, chain: &FrozenChain) -> Result<Ready, Failure> {
        Ok(Ready {
            digests: chain.digests.clone(),
        })
    }

    fn add(&self, entry: &Entry, _netns: NetnsFd) -> AddOutcome {
        self.note(&format!(
            "ADD {} {}",
            entry.chain.container_id, entry.chain.ifname
        ));
        while self.is_set("hang", entry) {
            thread::sleep(Duration::from_millis(2));
        }
        for place in 0..entry.chain.plugins.len() {
            self.pause();
            let made = File::create_new(self.effect(entry, place));
            if made.is_err() {
                self.note(&format!("DOUBLE {}", entry.id()));
                return AddOutcome::Failed(failure(FailureReason::PluginFailed), None);
            }
        }
        self.pause();
        AddOutcome::Added(json!({"plugins": entry.chain.plugins.len()}))
    }

    fn del(&self, entry: &Entry, netns: NetnsFd) -> DelOutcome {
        let with = if netns.is_some() { "with" } else { "without" };
        let line = format!(
            "DEL {} {} {with} namespace",
            entry.chain.container_id, entry.chain.ifname
        );
        self.note(&line);
        if self.is_set("fail DEL", entry) {
            return DelOutcome::Failed(BTreeSet::from([0]), failure(FailureReason::PluginFailed));
        }
        let all = (0..entry.chain.plugins.len()).collect();
        let remaining = entry
            .deletion()
            .and_then(|deletion| deletion.remaining.clone());
        for place in remaining.unwrap_or(all).into_iter().rev() {
            self.pause();
            let _ = fs::remove_file(self.effect(entry, place));
        }
        DelOutcome::Deleted
    }

    fn check(&self, _: &Entry, _: Option<&BTreeSet<usize>>, _: NetnsFd) -> CheckOutcome {
        CheckOutcome {
            passed: BTreeSet::new(),
            failure: None,
            is_complete: true,
        }
    }

    fn collect(
        &self,
        chain: &FrozenChain,
        valid: &BTreeSet<ValidAttachment>,
    ) -> Result<(), Failure> {
        let valid: Vec<_> = valid.iter().map(|one| one.ifname.as_str()).collect();
        self.note(&format!("GC {} {valid:?}", chain.network));
        Ok(())
    }

    fn read_multus(&self, _: &Slot) -> Result<Option<MultusFile>, Failure> {
        Ok(None)
    }

    fn remove_multus(&self, _: &Entry) -> Result<(), Failure> {
        Ok(())
    }
}

impl Host {
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.into() }
    }
}

impl ports::Host for Host {
    fn open(&self, entry: &Entry) -> Netns {
        let is = |word: &str| {
            let name = format!("{word} {}", entry.chain.container_id);
            self.dir.join(name).exists()
        };
        if is("gone") {
            Netns::Gone
        } else if is("unknown") {
            Netns::Unknown(failure(FailureReason::SandboxUnknown))
        } else {
            Netns::Open(std::sync::Arc::new(File::open("/dev/null").unwrap().into()))
        }
    }

    fn before_add(&self, _: &Entry, _: &OwnedFd) -> Result<Option<Value>, Failure> {
        Ok(None)
    }

    fn judge(&self, _: &Entry, _: &OwnedFd) -> Verdict {
        Verdict::Accepted(Facts::default())
    }

    fn set_default_routes(&self, _: &Entry, _: &OwnedFd) -> Result<(), Failure> {
        Ok(())
    }

    fn check_default_routes(&self, _: &Entry, _: &OwnedFd) -> Option<Failure> {
        None
    }

    fn look(&self, _: &Entry, _: &OwnedFd) -> Result<Facts, Failure> {
        Ok(Facts::default())
    }

    fn before_del(&self, _: &Entry, _: &OwnedFd) -> Result<Option<Value>, Failure> {
        Ok(None)
    }

    fn after_del(&self, _: &Entry, _: &OwnedFd) -> Remains {
        Remains::Nothing
    }
}

//! The binaries of plugins: which file of `CNI_PATH` is executed, and its digest.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use cni::{FrozenChain, Version as CniVersion, plugin_types};
use sha2::{Digest as _, Sha256};

use crate::{
    chain::KnownVersions,
    protocol::{Refusal, RefusalKind},
};

/// What tells that a file is unchanged: device, inode, size, and the time of its last change in nanoseconds, which
/// nobody can set.
type Version = (u64, u64, u64, i64, i64);

/// The node's binaries, as the runner sees them.
pub struct Binaries {
    /// Where the node's file system is.
    root: PathBuf,
    /// `CNI_PATH`, in order.
    folders: Vec<PathBuf>,
    /// The types that may be executed.
    allowed: Vec<String>,
    digests: Mutex<HashMap<PathBuf, (Version, String)>>,
    /// Answers to VERSION, by digest.
    versions: Mutex<HashMap<String, Vec<CniVersion>>>,
}

impl Binaries {
    pub fn new(root: PathBuf, folders: Vec<PathBuf>, allowed: Vec<String>) -> Self {
        Self {
            root,
            folders,
            allowed,
            digests: Mutex::default(),
            versions: Mutex::default(),
        }
    }

    /// The versions that binaries have answered before, by type.
    pub fn known_versions(&self, chosen: &Chosen) -> KnownVersions {
        let versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        let known = chosen.digests.iter().filter_map(|(plugin_type, digest)| {
            Some((plugin_type.clone(), versions.get(digest)?.clone()))
        });
        known.collect()
    }

    pub fn keep_versions(&self, chosen: &Chosen, answered: &KnownVersions) {
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        for (plugin_type, answer) in answered {
            if let Some(digest) = chosen.digests.get(plugin_type) {
                versions.insert(digest.clone(), answer.clone());
            }
        }
    }

    /// The value of `CNI_PATH`.
    pub fn cni_path(&self) -> String {
        let folders = self
            .folders
            .iter()
            .map(|folder| folder.display().to_string());
        folders.collect::<Vec<_>>().join(":")
    }

    /// The binary of each type that the chain names at any depth: on the node's list, there, and the one that was
    /// frozen.
    pub fn of_chain(&self, chain: &FrozenChain) -> Result<Chosen, Refusal> {
        let mut chosen = Chosen::default();
        for (index, plugin) in chain.plugins.iter().enumerate() {
            let types = plugin_types::of_plugin(&plugin.object).map_err(|error| {
                Refusal::new(RefusalKind::Invalid, format!("plugin {index}: {error}"))
            })?;
            for at in types {
                let path = self.find(&at.name)?;
                let digest = self.digest(&path).map_err(|error| {
                    Refusal::new(
                        RefusalKind::Plugin,
                        format!("cannot read {}: {error}", path.display()),
                    )
                })?;
                self.is_frozen(chain, &at.name, &digest)?;
                chosen.digests.insert(at.name.clone(), digest);
                chosen.paths.insert(at.name, path);
            }
        }
        Ok(chosen)
    }

    fn find(&self, plugin_type: &str) -> Result<PathBuf, Refusal> {
        if !self.allowed.iter().any(|allowed| allowed == plugin_type) {
            let message = format!(
                "the node's list of plugins, reinvoke.plugins, does not name {plugin_type}"
            );
            return Err(Refusal::new(RefusalKind::Plugin, message));
        }
        let mut paths = self.folders.iter().map(|folder| folder.join(plugin_type));
        paths.find(|path| self.seen(path).is_file()).ok_or_else(|| {
            let message = format!(
                "the node has no plugin {plugin_type} in {}",
                self.cni_path()
            );
            Refusal::new(RefusalKind::Plugin, message)
        })
    }

    /// DEL of what an earlier version has made is for the version that is there now.
    fn is_frozen(
        &self,
        chain: &FrozenChain,
        plugin_type: &str,
        digest: &str,
    ) -> Result<(), Refusal> {
        match chain.digests.get(plugin_type) {
            Some(frozen) if frozen != digest => {
                let message = format!("the plugin {plugin_type} was replaced after it was judged");
                Err(Refusal::new(RefusalKind::Plugin, message))
            }
            _ => Ok(()),
        }
    }

    /// SHA-256 of a binary, computed once for each version of the file.
    fn digest(&self, path: &Path) -> io::Result<String> {
        let mut file = File::open(self.seen(path))?;
        let meta = file.metadata()?;
        let version = (
            meta.dev(),
            meta.ino(),
            meta.size(),
            meta.ctime(),
            meta.ctime_nsec(),
        );
        let known = self
            .digests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(path)
            .cloned();
        if let Some((_, digest)) = known.filter(|(known, _)| *known == version) {
            return Ok(digest);
        }
        let (mut hash, mut buffer) = (Sha256::new(), vec![0; 64 << 10]);
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                read => hash.update(&buffer[..read]),
            }
        }
        let digest: String = hash
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        digests.insert(path.to_owned(), (version, digest.clone()));
        Ok(digest)
    }

    /// A path of the node, as this process sees it.
    fn seen(&self, path: &Path) -> PathBuf {
        let relative = path.strip_prefix("/").unwrap_or(path);
        self.root.join(relative)
    }
}

/// The binaries of one chain.
#[derive(Clone, Debug, Default)]
pub struct Chosen {
    /// On the node, by type.
    pub paths: BTreeMap<String, PathBuf>,
    pub digests: BTreeMap<String, String>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn binaries(folder: &Path) -> Binaries {
        Binaries::new(
            "/".into(),
            vec![folder.to_owned()],
            vec!["bridge".into(), "host-local".into()],
        )
    }

    fn chain(object: &str) -> FrozenChain {
        let object = serde_json::from_str(object).unwrap();
        FrozenChain {
            network: "net".into(),
            cni_version: "1.0.0".parse().unwrap(),
            plugins: vec![cni::FrozenPlugin::of(object).unwrap()],
            disable_check: false,
            disable_gc: false,
            runtime_config: Default::default(),
            args: vec![],
            container_id: "c".into(),
            ifname: "net1".into(),
            netns: "/run/netns/c".into(),
            digests: Default::default(),
        }
    }

    #[test]
    fn a_type_at_any_depth_must_be_on_the_nodes_list() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["bridge", "host-local", "static"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        let binaries = binaries(folder.path());
        let found = binaries.of_chain(&chain(r#"{"type":"bridge","ipam":{"type":"host-local"}}"#));
        assert_eq!(found.unwrap().paths.len(), 2);
        let refused = binaries.of_chain(&chain(r#"{"type":"bridge","ipam":{"type":"static"}}"#));
        let refused = refused.unwrap_err();
        assert_eq!(refused.kind, RefusalKind::Plugin);
        assert!(refused.message.contains("static"), "{}", refused.message);
    }

    #[test]
    fn a_binary_that_was_replaced_is_not_executed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("bridge"), "first").unwrap();
        let (binaries, mut chain) = (binaries(folder.path()), chain(r#"{"type":"bridge"}"#));
        chain.digests = binaries.of_chain(&chain).unwrap().digests;
        binaries.of_chain(&chain).unwrap();
        std::fs::write(folder.path().join("bridge"), "other").unwrap();
        let refused = binaries.of_chain(&chain).unwrap_err();
        assert!(refused.message.contains("replaced"), "{}", refused.message);
    }
}

//! What others have attached, for GC: whatever is not listed to a plugin is deleted by it, so these are read whole or GC
//! does not run.

use std::{
    collections::BTreeSet,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use cni::{names, request::ValidAttachment};

use super::{Answer, Cached, NodeFiles, RESULTS, names_in};
use crate::protocol::{CachedAttachments, FileResponse};

/// Where libcni keeps its cache, now and in older versions. Below it containerd and CRI-O have the pods' first networks,
/// and other programs theirs.
const RUNTIME: [&str; 2] = ["/var/lib/cni", "/var/lib/cni/cache"];
/// The folders of all installations of podconfig.
const INSTALLATIONS: &str = "/var/lib/podconfig";
/// The store of an installation.
const STORE: &str = "attachments";

impl NodeFiles {
    /// What the caches have of a network. One of the node's own configuration belongs to the runtime, which runs its GC.
    pub(super) fn cached_attachments(&self, network: &str) -> Answer {
        names::network(network).map_err(|error| error.to_string())?;
        if self.own_networks()?.networks.contains(network) {
            return Err(format!(
                "{network} is a network of the node's own CNI configuration"
            ));
        }
        let mut attachments = BTreeSet::new();
        let has_multus = self.add_cached(&self.multus_cni_dir, network, &mut attachments)?;
        for folder in RUNTIME.iter().map(PathBuf::from).chain(self.stores()?) {
            self.add_cached(&folder, network, &mut attachments)?;
        }
        Ok(FileResponse::Cached(CachedAttachments {
            attachments,
            has_multus,
        }))
    }

    /// Stores of attachments. This installation's is one of them.
    fn stores(&self) -> Result<Vec<PathBuf>, String> {
        let parent = Path::new(INSTALLATIONS);
        let cannot = |error: std::io::Error| format!("cannot list {}: {error}", parent.display());
        match self.folder(parent) {
            Ok(folder) => {
                let names = names_in(&folder).map_err(cannot)?.into_iter();
                let names = names.filter(|name| !matches!(name.as_str(), "." | ".."));
                Ok(names.map(|name| parent.join(name).join(STORE)).collect())
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(cannot(error)),
        }
    }

    /// Adds what one folder has. Returns whether there is such a folder.
    fn add_cached(
        &self,
        folder: &Path,
        network: &str,
        all: &mut BTreeSet<ValidAttachment>,
    ) -> Result<bool, String> {
        let folder = folder.join(RESULTS);
        let cannot = |error: &dyn std::fmt::Display| format!("{}: {error}", folder.display());
        let opened = match self.folder(&folder) {
            Ok(opened) => opened,
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return Ok(false);
            }
            Err(error) => return Err(cannot(&error)),
        };
        let prefix = format!("{network}-");
        let names = names_in(&opened).map_err(|error| cannot(&error))?;
        for name in names.iter().filter(|name| name.starts_with(&prefix)) {
            let Some(text) = self.read(&opened, name)? else {
                continue;
            };
            let cached: Cached = serde_json::from_str(&text)
                .map_err(|error| cannot(&format!("{name} is torn or not JSON: {error}")))?;
            // The names of networks may have hyphens: it may be of another one.
            if cached.network_name == network {
                all.insert(ValidAttachment {
                    container_id: cached.container_id,
                    ifname: cached.if_name,
                });
            }
        }
        Ok(true)
    }
}

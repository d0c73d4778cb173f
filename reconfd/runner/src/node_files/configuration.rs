//! The configuration of a network that a NetworkAttachmentDefinition only names, found as Multus finds it: the files of its
//! confDir in the order of their names, the first that is of the network. One that cannot be used ends the search,
//! because what it is for is not known.

use std::{
    io::{self, ErrorKind},
    path::Path,
};

use cni::names;
use serde::Deserialize;

use super::{Answer, NodeFiles, Writers, names_in, own_networks::ENDINGS, read_plain};
use crate::protocol::FileResponse;

/// What tells a configuration from others.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    name: String,
    #[serde(default, rename = "type")]
    plugin_type: String,
}

impl NodeFiles {
    pub(super) fn node_configuration(&self, network: &str) -> Answer {
        names::network(network).map_err(|error| error.to_string())?;
        let folder = &self.multus_conf_dir;
        let cannot = |what: &Path, error: &dyn std::fmt::Display| {
            format!("{} (--multus-conf-dir): {error}", what.display())
        };
        for name in self
            .configurations()
            .map_err(|error| cannot(folder, &error))?
        {
            let path = folder.join(&name);
            let text = self.trusted(&path).map_err(|error| cannot(&path, &error))?;
            let head: Head = serde_json::from_str(&text).map_err(|error| {
                cannot(&path, &format!("it is no network configuration: {error}"))
            })?;
            if head.name != network {
                continue;
            }
            if head.plugin_type.is_empty() && !name.ends_with(".conflist") {
                let why =
                    "it has no type; a list of plugins is in a file with the ending .conflist";
                return Err(cannot(&path, &why));
            }
            return Ok(FileResponse::Found { name, text });
        }
        Ok(FileResponse::Missing)
    }

    fn configurations(&self) -> io::Result<Vec<String>> {
        let mut names = match self.folder(&self.multus_conf_dir) {
            Ok(folder) => names_in(&folder)?,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        names.retain(|name| ENDINGS.iter().any(|ending| name.ends_with(ending)));
        names.sort_unstable();
        Ok(names)
    }

    /// It decides what is executed, and only root's word does.
    fn trusted(&self, path: &Path) -> io::Result<String> {
        read_plain(self.open_file(path)?, Writers::Root)
    }
}

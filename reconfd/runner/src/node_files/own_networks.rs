//! The node's own CNI configuration: which plugins and networks it names. What is read here only takes from tenants, so
//! it is read generously; a file that is not JSON is not the runtime's either.

use std::{io, path::Path};

use serde_json::Value;

use super::{NodeFiles, Writers, names_in, read_plain};
use crate::protocol::NodeNetworks;

/// As the runtime reads them.
pub(super) const ENDINGS: [&str; 3] = [".conf", ".conflist", ".json"];

impl NodeFiles {
    pub(super) fn own_networks(&self) -> Result<NodeNetworks, String> {
        let cannot =
            |error: &io::Error| format!("cannot read {}: {error}", self.conf_dir.display());
        let names = match self.folder(&self.conf_dir) {
            Ok(folder) => names_in(&folder).map_err(|error| cannot(&error))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(cannot(&error)),
        };
        let mut found = NodeNetworks::default();
        let is_one = |name: &&String| ENDINGS.iter().any(|ending| name.ends_with(ending));
        for name in names.iter().filter(is_one) {
            match self.configuration(&self.conf_dir.join(name)) {
                Ok(value) => found.add(&value),
                Err(error) => {
                    tracing::warn!(file = name, "cannot read a CNI configuration: {error}");
                }
            }
        }
        Ok(found)
    }

    fn configuration(&self, path: &Path) -> io::Result<Value> {
        let text = read_plain(self.open_file(path)?, Writers::Any)?;
        Ok(serde_json::from_str(&text)?)
    }
}

impl NodeNetworks {
    /// A plugin, a list of them, or one that delegates, as Multus does in a thin installation.
    fn add(&mut self, configuration: &Value) {
        let text = |key: &str| configuration[key].as_str().map(str::to_owned);
        self.types.extend(text("type"));
        self.networks.extend(text("name"));
        for key in ["plugins", "delegates"] {
            let inner = configuration[key].as_array();
            inner.into_iter().flatten().for_each(|one| self.add(one));
        }
        if configuration["delegate"].is_object() {
            self.add(&configuration["delegate"]);
        }
    }
}

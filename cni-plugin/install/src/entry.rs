//! The chain entry: our plugin object in a runtime's configuration.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::ser::{PrettyFormatter, Serializer};

/// The object a runtime hands to the plugin as its configuration.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "recordsDir")]
    records_dir: String,
    /// Which file the one around this entry is a copy of. Runtimes pass unknown keys of a plugin
    /// through, whereas a key beside `plugins` might be refused.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    copy: Option<CopyMark>,
    capabilities: Capabilities,
}

/// The source of a copy, stored in our entry. The keys are part of the entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CopyMark {
    /// The file's name.
    pub copy_of: String,
    /// The digest of its text, as a list and without our entry.
    #[serde(default)]
    pub copied_digest: String,
    /// The types of its plugins. All others in the copy were added by others.
    #[serde(default)]
    pub copied_plugins: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
struct Capabilities {
    #[serde(rename = "io.kubernetes.cri.pod-annotations")]
    annotations: bool,
}

impl Entry {
    pub fn new(records: &str) -> Entry {
        Entry {
            kind: cni_plugin::PLUGIN_TYPE,
            records_dir: records.to_owned(),
            copy: None,
            capabilities: Capabilities { annotations: true },
        }
    }

    /// The entry of a file that is a copy of another.
    pub fn in_copy(self, mark: CopyMark) -> Entry {
        Entry {
            copy: Some(mark),
            ..self
        }
    }

    /// Whether a plugin object is equal to this entry, regardless of formatting.
    pub fn is_equal_to(&self, text: &str) -> bool {
        let ours = serde_json::to_value(self).ok();
        ours.is_some() && ours == serde_json::from_str::<Value>(text).ok()
    }

    /// Formatted on one line, for a file that has its plugins on one line.
    pub fn on_one_line(&self) -> String {
        serde_json::to_string(self).expect("strings and a bool can always be written")
    }

    /// Formatted on several lines, each after the first indented by `margin`.
    pub fn on_lines(&self, newline: &str, margin: &str) -> String {
        let unit: &[u8] = if margin.contains('\t') { b"\t" } else { b"  " };
        let mut text = Vec::new();
        let mut writer = Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(unit));
        self.serialize(&mut writer)
            .expect("strings and a bool can always be written");
        String::from_utf8_lossy(&text).replace('\n', &format!("{newline}{margin}"))
    }
}

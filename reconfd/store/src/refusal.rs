//! An error in a manifest, with its position.

use std::fmt;

use serde::Serialize;

/// Why a manifest, or a part of one, is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Refusal {
    pub file: String,
    /// Counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// `PodConfig tenant-a/data-plane`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    pub message: String,
}

impl Refusal {
    /// Refuses a whole file, or states an error of it that no document causes.
    pub fn of_file(file: impl Into<String>, message: String) -> Self {
        Self {
            file: file.into(),
            message,
            ..Self::default()
        }
    }

    /// The position, without the object: `a.yaml, document 2, line 7`.
    pub fn position(&self) -> String {
        let mut position = self.file.clone();
        if let Some(document) = self.document {
            position += &format!(", document {document}");
        }
        if let Some(line) = self.line {
            position += &format!(", line {line}");
        }
        position
    }

    /// Field and message: `spec.links[0].mtu: too large`.
    pub fn detail(&self) -> String {
        match &self.field {
            Some(field) if !field.is_empty() => format!("{field}: {}", self.message),
            _ => self.message.clone(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.position())?;
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        f.write_str(&self.detail())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_file_document_line_object_and_field() {
        let refusal = Refusal {
            file: "a.yaml".into(),
            document: Some(2),
            line: Some(7),
            object: Some("PodConfig t/x".into()),
            field: Some("spec.links[0].mtu".into()),
            message: "70000 is more than 65535".into(),
        };
        let text = "a.yaml, document 2, line 7: PodConfig t/x: spec.links[0].mtu: 70000 is more than 65535";
        assert_eq!(refusal.to_string(), text);
    }
}

//! Constants of the CNI specification: commands, versions, error codes. Pure.

use std::fmt;

use serde::Serialize;

/// The `type` of our entry in a chain, which is the name of the binary.
pub const PLUGIN_TYPE: &str = "podconfig-cni";

/// Every version of the specification that supports chains, oldest first.
pub const SUPPORTED_VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// The version of results if the request names no supported version.
pub const NEWEST_VERSION: &str = SUPPORTED_VERSIONS[4];

/// A command of the CNI specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CniCommand {
    Add,
    Check,
    Del,
    Gc,
    Status,
    Version,
}

impl CniCommand {
    /// Reads `CNI_COMMAND`.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "ADD" => Self::Add,
            "CHECK" => Self::Check,
            "DEL" => Self::Del,
            "GC" => Self::Gc,
            "STATUS" => Self::Status,
            "VERSION" => Self::Version,
            _ => return None,
        })
    }
}

impl fmt::Display for CniCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Add => "ADD",
            Self::Check => "CHECK",
            Self::Del => "DEL",
            Self::Gc => "GC",
            Self::Status => "STATUS",
            Self::Version => "VERSION",
        })
    }
}

/// The error codes of the specification that this plugin uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    IncompatibleVersion = 1,
    InvalidEnvironment = 4,
    Io = 5,
    Decode = 6,
    InvalidConfig = 7,
    TryAgainLater = 11,
}

/// An error as the runtime receives it on stdout.
#[derive(Debug)]
pub struct CniError {
    pub code: Code,
    pub msg: String,
    pub version: &'static str,
}

impl CniError {
    pub fn new(code: Code, msg: impl Into<String>) -> Self {
        Self {
            code,
            msg: msg.into(),
            version: NEWEST_VERSION,
        }
    }

    /// The error object of the specification.
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a> {
            cni_version: &'a str,
            code: u32,
            msg: &'a str,
        }
        let body = Body {
            cni_version: self.version,
            code: self.code as u32,
            msg: &self.msg,
        };
        serde_json::to_string(&body).unwrap_or_default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_error_object_survives_any_message() {
        let json = CniError::new(Code::Decode, "a \"quote\"\nand a line").to_json();
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["code"], 6);
        assert_eq!(value["msg"], "a \"quote\"\nand a line");
    }
}

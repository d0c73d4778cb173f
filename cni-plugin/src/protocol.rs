//! What the CNI specification fixes: commands, versions, error codes.
//! It must never read or write anything itself.

use std::fmt;

use serde::Serialize;

/// The `type` of our entry in a chain, which is the name of the binary.
pub const PLUGIN_TYPE: &str = "podconfig-cni";

/// Every version of the specification that has chains, oldest first.
pub const SUPPORTED_VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// What answers are written in when the request names no version that we speak.
pub const NEWEST_VERSION: &str = SUPPORTED_VERSIONS[4];

/// What a runtime asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    Add,
    Check,
    Del,
    Gc,
    Status,
    Version,
}

impl Command {
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

impl fmt::Display for Command {
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

/// The specification's error codes, those that we use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    IncompatibleVersion = 1,
    InvalidEnvironment = 4,
    Io = 5,
    Decode = 6,
    InvalidConfig = 7,
    TryAgainLater = 11,
}

/// An error as a runtime gets it, on stdout.
#[derive(Debug)]
pub struct Failure {
    pub code: Code,
    pub msg: String,
    pub version: &'static str,
}

impl Failure {
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
        let json = Failure::new(Code::Decode, "a \"quote\"\nand a line").to_json();
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["code"], 6);
        assert_eq!(value["msg"], "a \"quote\"\nand a line");
    }
}

//! Versions of the specification, and what each of them has.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A version of the specification that podconfig executes plugins by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Version {
    #[serde(rename = "0.3.0")]
    V0_3_0,
    #[serde(rename = "0.3.1")]
    V0_3_1,
    #[serde(rename = "0.4.0")]
    V0_4_0,
    #[serde(rename = "1.0.0")]
    V1_0_0,
    #[serde(rename = "1.1.0")]
    V1_1_0,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    #[error("cniVersion {0:?} is not supported: use one of 0.3.0, 0.3.1, 0.4.0, 1.0.0 and 1.1.0")]
    Unsupported(String),
    /// Without a version a configuration is of 0.1.0, whose results have another form.
    #[error("cniVersion is missing: use one of 0.3.0, 0.3.1, 0.4.0, 1.0.0 and 1.1.0")]
    Missing,
    #[error("the answer to VERSION is not an object with supportedVersions")]
    Answer,
}

impl Version {
    pub const ALL: [Self; 5] = [
        Self::V0_3_0,
        Self::V0_3_1,
        Self::V0_4_0,
        Self::V1_0_0,
        Self::V1_1_0,
    ];
    pub const LATEST: Self = Self::V1_1_0;

    pub fn as_str(self) -> &'static str {
        match self {
            Self::V0_3_0 => "0.3.0",
            Self::V0_3_1 => "0.3.1",
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
            Self::V1_1_0 => "1.1.0",
        }
    }

    /// The version of a configuration. As libcni: of `cniVersions` and `cniVersion` the highest supported, and
    /// without `cniVersions` exactly `cniVersion`. Empty is missing.
    pub fn highest(version: Option<&str>, versions: &[&str]) -> Result<Self, VersionError> {
        let version = version.filter(|version| !version.is_empty());
        let supported = version
            .into_iter()
            .chain(versions.iter().copied())
            .filter_map(|text| text.parse().ok())
            .max();
        supported.ok_or_else(|| match version.or(versions.last().copied()) {
            Some(text) => VersionError::Unsupported(crate::json::shown(text)),
            None => VersionError::Missing,
        })
    }

    /// The supported versions in a plugin's answer to VERSION, ascending. Versions that podconfig does not know are
    /// left out.
    pub fn supported_by(answer: &[u8]) -> Result<Vec<Self>, VersionError> {
        let text = std::str::from_utf8(answer).map_err(|_| VersionError::Answer)?;
        let answer = crate::json::parse(text).map_err(|_| VersionError::Answer)?;
        let listed = answer
            .get("supportedVersions")
            .and_then(Value::as_array)
            .ok_or(VersionError::Answer)?;
        let mut versions: Vec<_> = listed
            .iter()
            .filter_map(|version| version.as_str()?.parse().ok())
            .collect();
        versions.sort();
        versions.dedup();
        Ok(versions)
    }

    /// Whether plugins implement CHECK.
    pub fn has_check(self) -> bool {
        self >= Self::V0_4_0
    }

    /// Whether DEL gets the result of ADD as `prevResult`.
    pub fn del_has_prev_result(self) -> bool {
        self >= Self::V0_4_0
    }

    /// Whether plugins implement STATUS.
    pub fn has_status(self) -> bool {
        self >= Self::V1_1_0
    }

    /// Whether plugins implement GC.
    pub fn has_gc(self) -> bool {
        self >= Self::V1_1_0
    }

    /// Whether an address of a result carries its family, `"version": "4"`.
    pub(crate) fn addresses_have_family(self) -> bool {
        self < Self::V1_0_0
    }

    /// Whether an interface of a result carries `mtu`, `socketPath` and `pciID`. They came with 1.1.0, and libcni reads
    /// and writes them in 1.0.0 too.
    pub(crate) fn interfaces_have_devices(self) -> bool {
        self >= Self::V1_0_0
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        Self::ALL
            .into_iter()
            .find(|version| version.as_str() == text)
            .ok_or_else(|| VersionError::Unsupported(crate::json::shown(text)))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

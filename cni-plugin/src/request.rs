//! Parser of the network configuration that a runtime writes to stdin. It only applies the specification; the
//! callers decide what to do.

use std::borrow::Cow;

use sandbox_record::json::Members;
use serde_json::value::RawValue;

use crate::protocol::{CniError, Code, PLUGIN_TYPE, SUPPORTED_VERSIONS};

/// The network configuration on stdin. Each field is validated when it is used, so that a wrong type in an
/// optional one has no effect.
#[derive(Debug)]
pub struct Request<'a>(Members<'a>);

impl<'a> Request<'a> {
    /// Reads the text of stdin.
    pub fn parse(text: &'a [u8]) -> Result<Self, CniError> {
        match Members::parse(text) {
            Ok(members) => Ok(Self(members)),
            Err(error) => {
                let msg = format!("cannot read the network configuration on stdin: {error}");
                Err(CniError::new(Code::Decode, msg))
            }
        }
    }

    /// The version as the runtime wrote it. A missing one means 0.1.0 by the specification.
    pub fn stated_version(&self) -> Result<Cow<'a, str>, CniError> {
        match self.0.string("cniVersion") {
            Ok(version) => Ok(version.unwrap_or(Cow::Borrowed("0.1.0"))),
            Err(problem) => Err(CniError::new(Code::Decode, problem)),
        }
    }

    /// The version, if it supports chains.
    pub fn version(&self) -> Result<&'static str, CniError> {
        let stated = self.stated_version()?;
        supported(&stated).ok_or_else(|| {
            let known = SUPPORTED_VERSIONS.join(", ");
            let msg = format!("cniVersion {stated:?} is not one of {known}");
            CniError::new(Code::IncompatibleVersion, msg)
        })
    }

    /// The name of the network.
    pub fn network(&self) -> Result<Cow<'a, str>, String> {
        self.0
            .string("name")?
            .ok_or_else(|| "the configuration has no name".into())
    }

    /// The record folder of the chain entry, if it names one.
    pub fn records_dir(&self) -> Result<Option<Cow<'a, str>>, String> {
        self.0.string("recordsDir")
    }

    /// The result of the plugins before us, byte for byte.
    pub fn prev_result(&self) -> Result<&'a str, CniError> {
        let problem = match self.0.value("prevResult").map(RawValue::get) {
            Some(result) if result.starts_with('{') => return Ok(result),
            Some(_) => "prevResult is not an object",
            None => "prevResult is missing",
        };
        // An unsupported version is the better explanation: versions up to 0.2 have no chains.
        let version = self.version()?;
        let msg = format!(
            "{problem}: {PLUGIN_TYPE} changes no network and must come after a plugin that does"
        );
        Err(CniError {
            version,
            ..CniError::new(Code::InvalidConfig, msg)
        })
    }

    /// A remark about unusual versions of the request and its result. A runtime parses a result by the
    /// version in the result, so it is passed on in any case.
    pub fn version_remark(&self, result: &str) -> Option<String> {
        let version = match self.version() {
            Ok(version) => version,
            Err(failure) => return Some(failure.msg),
        };
        match stated_in(result) {
            Ok(Some(stated)) if !same_family(&stated, version) => Some(format!(
                "prevResult is written in cniVersion {stated:?}, and the chain in {version:?}"
            )),
            Ok(_) => None,
            Err(problem) => Some(format!("prevResult: {problem}")),
        }
    }

    /// A capability's argument.
    pub fn runtime_config(&self, capability: &str) -> Result<Option<&'a RawValue>, String> {
        let Some(config) = self.0.value("runtimeConfig") else {
            return Ok(None);
        };
        match Members::parse(config.get().as_bytes()) {
            Ok(config) => Ok(config.value(capability)),
            Err(error) => Err(format!("runtimeConfig: {error}")),
        }
    }

    /// The attachments that GC must keep: `None` if the runtime does not list them, empty for `null`.
    pub fn valid_attachments(&self) -> Result<Option<Vec<Attachment<'a>>>, String> {
        const KEY: &str = "cni.dev/valid-attachments";
        let Some(value) = self.0.get(KEY) else {
            return Ok(None);
        };
        if value.get() == "null" {
            return Ok(Some(Vec::new()));
        }
        let list: Vec<Members<'a>> =
            serde_json::from_str(value.get()).map_err(|error| format!("{KEY}: {error}"))?;
        let attachments: Result<Vec<_>, String> = list.iter().map(Attachment::read).collect();
        attachments
            .map(Some)
            .map_err(|problem| format!("{KEY}: {problem}"))
    }
}

/// One attachment that the runtime still uses.
#[derive(Debug, PartialEq, Eq)]
pub struct Attachment<'a> {
    pub container_id: Cow<'a, str>,
    pub ifname: Cow<'a, str>,
}

impl<'a> Attachment<'a> {
    fn read(members: &Members<'a>) -> Result<Self, String> {
        let text = |key: &str| {
            members
                .string(key)?
                .ok_or_else(|| format!("an entry has no {key}"))
        };
        Ok(Self {
            container_id: text("containerID")?,
            ifname: text("ifname")?,
        })
    }
}

fn supported(version: &str) -> Option<&'static str> {
    SUPPORTED_VERSIONS
        .into_iter()
        .find(|known| *known == version)
}

/// The `cniVersion` in a result; `None` if the result is unreadable.
fn stated_in(result: &str) -> Result<Option<Cow<'_, str>>, String> {
    match Members::parse(result.as_bytes()) {
        Ok(members) => members.string("cniVersion"),
        Err(_) => Ok(None),
    }
}

/// Results have one format in all of 0.3 and 0.4, and one in all of 1.x.
fn same_family(stated: &str, version: &str) -> bool {
    supported(stated).is_some_and(|stated| stated.starts_with('0') == version.starts_with('0'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn prev_result(text: &str) -> Result<String, Code> {
        let request = Request::parse(text.as_bytes()).map_err(|failure| failure.code)?;
        let result = request.prev_result();
        result.map(str::to_owned).map_err(|failure| failure.code)
    }

    #[test]
    fn a_result_keeps_its_spelling() {
        let odd = "{ \"ips\":[ ],\n\t\"n\" : 1.0E+02, \"u\":\"\\u00e9é\\ud800\" }";
        let text = format!("{{\"cniVersion\":\"1.0.0\",\"prevResult\":  {odd}  }}");
        assert_eq!(prev_result(&text).unwrap(), odd);
    }

    #[test]
    fn a_result_of_the_other_family_is_remarked_on() {
        let remark = |version: &str, result: &str| {
            let result = format!(r#"{{"cniVersion":"{result}"}}"#);
            let text = format!(r#"{{"cniVersion":"{version}","prevResult":{result}}}"#);
            assert_eq!(prev_result(&text).unwrap(), result);
            let request = Request::parse(text.as_bytes()).unwrap();
            request.version_remark(&result)
        };
        for (version, result) in [("1.0.0", "0.4.0"), ("0.3.1", "1.1.0"), ("1.1.0", "7.0.0")] {
            assert!(remark(version, result).unwrap().contains(result));
        }
        for (version, result) in [("1.0.0", "1.1.0"), ("0.3.0", "0.4.0")] {
            assert_eq!(remark(version, result), None);
        }
        assert!(remark("1.2.0", "1.1.0").unwrap().contains("1.2.0"));
    }

    #[test]
    fn without_a_result_the_version_is_the_first_explanation() {
        assert_eq!(
            prev_result(r#"{"cniVersion":"0.2.0"}"#).unwrap_err(),
            Code::IncompatibleVersion
        );
        assert_eq!(
            prev_result(r#"{"cniVersion":"1.0.0"}"#).unwrap_err(),
            Code::InvalidConfig
        );
    }

    #[test]
    fn attachments_may_be_unknown_none_or_wrong() {
        let read = |text: &'static str| {
            Request::parse(text.as_bytes())
                .unwrap()
                .valid_attachments()
                .map(|a| a.map(|a| a.len()))
        };
        assert_eq!(read("{}"), Ok(None));
        assert_eq!(read(r#"{"cni.dev/valid-attachments":null}"#), Ok(Some(0)));
        assert_eq!(
            read(r#"{"cni.dev/valid-attachments":[{"containerID":"a","ifname":"eth0"}]}"#),
            Ok(Some(1))
        );
        for wrong in [
            r#"{"cni.dev/valid-attachments":7}"#,
            r#"{"cni.dev/valid-attachments":[7]}"#,
            r#"{"cni.dev/valid-attachments":[{"containerID":"a"}]}"#,
        ] {
            assert!(
                read(wrong)
                    .unwrap_err()
                    .starts_with("cni.dev/valid-attachments")
            );
        }
    }
}

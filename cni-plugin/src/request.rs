//! The network configuration that a runtime writes to stdin, field by field.
//! It must never decide what to do about a field: only what the specification says of it.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::json::Members;
use crate::protocol::{Code, Failure, PLUGIN_TYPE, SUPPORTED_VERSIONS};

/// The network configuration on stdin. Each field is judged when it is needed, so that a
/// wrong type in one that we can do without stops nothing.
#[derive(Debug)]
pub struct Request<'a>(Members<'a>);

impl<'a> Request<'a> {
    /// Reads the text of stdin.
    pub fn parse(text: &'a [u8]) -> Result<Self, Failure> {
        match Members::parse(text) {
            Ok(members) => Ok(Self(members)),
            Err(error) => {
                let msg = format!("cannot read the network configuration on stdin: {error}");
                Err(Failure::new(Code::Decode, msg))
            }
        }
    }

    /// The version that the runtime speaks, as it wrote it. None means 0.1.0, says the specification.
    pub fn stated_version(&self) -> Result<Cow<'a, str>, Failure> {
        match self.0.string("cniVersion") {
            Ok(version) => Ok(version.unwrap_or(Cow::Borrowed("0.1.0"))),
            Err(problem) => Err(Failure::new(Code::Decode, problem)),
        }
    }

    /// The version, when it is one that has chains.
    pub fn version(&self) -> Result<&'static str, Failure> {
        let stated = self.stated_version()?;
        supported(&stated).ok_or_else(|| {
            let known = SUPPORTED_VERSIONS.join(", ");
            let msg = format!("cniVersion {stated:?} is not one of {known}");
            Failure::new(Code::IncompatibleVersion, msg)
        })
    }

    /// The name of the network.
    pub fn network(&self) -> Result<Cow<'a, str>, String> {
        self.0
            .string("name")?
            .ok_or_else(|| "the configuration has no name".into())
    }

    /// The record folder that the chain entry names, when it names one.
    pub fn records_dir(&self) -> Result<Option<Cow<'a, str>>, String> {
        self.0.string("recordsDir")
    }

    /// The result of the plugins before us, byte for byte, when the next one can use it.
    pub fn prev_result(&self, version: &'static str) -> Result<&'a str, Failure> {
        let refuse = |problem: String| {
            let msg = format!(
                "{problem}: {PLUGIN_TYPE} changes no network and must come after a plugin that does"
            );
            Failure {
                version,
                ..Failure::new(Code::InvalidConfig, msg)
            }
        };
        let Some(result) = self.0.value("prevResult").map(RawValue::get) else {
            return Err(refuse("prevResult is missing".into()));
        };
        if !result.starts_with('{') {
            return Err(refuse("prevResult is not an object".into()));
        }
        match stated_family(result) {
            Ok(None) => Ok(result),
            Ok(Some(stated)) if same_family(&stated, version) => Ok(result),
            Ok(Some(stated)) => Err(refuse(format!(
                "prevResult is written in cniVersion {stated:?}, which cannot follow on {version}"
            ))),
            Err(problem) => Err(refuse(format!("prevResult: {problem}"))),
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

    /// What GC may keep: `None` when the runtime does not say, a list of none for `null`.
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

/// One attachment that a runtime still knows.
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

/// The `cniVersion` inside a result. One that cannot be read at all says nothing, and goes on as it came.
fn stated_family(result: &str) -> Result<Option<Cow<'_, str>>, String> {
    match Members::parse(result.as_bytes()) {
        Ok(members) => members.string("cniVersion"),
        Err(_) => Ok(None),
    }
}

/// Results are written alike in all of 0.3 and 0.4, and alike in all of 1.x.
fn same_family(stated: &str, version: &str) -> bool {
    supported(stated).is_some_and(|stated| stated.starts_with('0') == version.starts_with('0'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn prev_result(text: &str) -> Result<String, Code> {
        let request = Request::parse(text.as_bytes()).map_err(|failure| failure.code)?;
        let version = request.version().map_err(|failure| failure.code)?;
        let result = request.prev_result(version);
        result.map(str::to_owned).map_err(|failure| failure.code)
    }

    #[test]
    fn a_result_keeps_its_spelling() {
        let odd = "{ \"ips\":[ ],\n\t\"n\" : 1.0E+02, \"u\":\"\\u00e9é\\ud800\" }";
        let text = format!("{{\"cniVersion\":\"1.0.0\",\"prevResult\":  {odd}  }}");
        assert_eq!(prev_result(&text).unwrap(), odd);
    }

    #[test]
    fn a_result_of_the_other_family_is_refused() {
        for (version, result) in [("1.0.0", "0.4.0"), ("0.3.1", "1.1.0"), ("1.1.0", "7.0.0")] {
            let text =
                format!(r#"{{"cniVersion":"{version}","prevResult":{{"cniVersion":"{result}"}}}}"#);
            assert_eq!(prev_result(&text).unwrap_err(), Code::InvalidConfig);
        }
        for (version, result) in [("1.0.0", "1.1.0"), ("0.3.0", "0.4.0")] {
            let text =
                format!(r#"{{"cniVersion":"{version}","prevResult":{{"cniVersion":"{result}"}}}}"#);
            assert!(prev_result(&text).is_ok());
        }
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

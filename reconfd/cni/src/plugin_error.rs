//! Errors of plugins, and what may be shown of them. A tenant reads the message, and a plugin may print anything into
//! it: its whole configuration with an administrator's passwords, escape sequences, a mebibyte.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Command, Secrets};

/// Of a message for people, in bytes.
pub const LONGEST_MESSAGE: usize = 1 << 10;
/// Of each text that is kept, in bytes.
const LONGEST_KEPT: usize = 4 << 10;
const TRY_AGAIN_LATER: u32 = 11;
const NOT_AVAILABLE: u32 = 50;
const LIMITED_CONNECTIVITY: u32 = 51;
/// Where a configuration may begin: an object of JSON, or a structure as Go prints it.
const CONFIGURATION: char = '{';

/// An error as the specification has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginError {
    /// 0 if the plugin gave none.
    pub code: u32,
    pub msg: String,
    /// For the node's log alone.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
}

/// How a plugin ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Exit {
    Status(i32),
    Signal(i32),
}

#[derive(Deserialize)]
struct Printed {
    #[serde(default)]
    code: u32,
    #[serde(default)]
    msg: String,
    #[serde(default)]
    details: String,
}

impl Printed {
    /// An object, and no list, which serde takes for one.
    fn read(stdout: &[u8]) -> Option<Self> {
        let object: Map<String, Value> = serde_json::from_slice(stdout).ok()?;
        serde_json::from_value(object.into()).ok()
    }
}

impl PluginError {
    /// The error of an execution, or `None` if it succeeded. As in libcni the exit status alone decides that.
    pub fn of(exit: Exit, stdout: &[u8], stderr: &[u8]) -> Option<Self> {
        let ended = match exit {
            Exit::Status(0) => return None,
            Exit::Status(status) => format!("exit status {status}"),
            Exit::Signal(signal) => format!("signal {signal}"),
        };
        let stderr = String::from_utf8_lossy(stderr);
        let error = match Printed::read(stdout) {
            Some(printed) => Self {
                code: printed.code,
                msg: match printed.msg.trim() {
                    "" => format!("the plugin ended with {ended} and an error without a message"),
                    _ => printed.msg,
                },
                details: joined(&printed.details, &stderr),
            },
            None => Self {
                code: 0,
                msg: format!("the plugin ended with {ended} and printed no error"),
                details: joined(&String::from_utf8_lossy(stdout), &stderr),
            },
        };
        Some(error.bounded())
    }

    /// ADD may succeed if it is repeated.
    pub fn is_try_again_later(&self) -> bool {
        self.code == TRY_AGAIN_LATER
    }

    /// STATUS: the plugin cannot serve ADD now.
    pub fn is_not_available(&self) -> bool {
        self.code == NOT_AVAILABLE
    }

    /// STATUS: it cannot serve ADD now either, and containers that are attached already may have no connection.
    pub fn is_limited_connectivity(&self) -> bool {
        self.code == LIMITED_CONNECTIVITY
    }

    /// For a report: command, type, code and message, as [`shown`] has it.
    pub fn message(&self, command: Command, plugin_type: &str, secrets: &Secrets) -> String {
        let code = match self.code {
            0 => String::new(),
            code => format!(" (code {code})"),
        };
        shown(
            format!("{command} of {plugin_type} failed{code}: "),
            &self.msg,
            secrets,
        )
    }

    fn bounded(mut self) -> Self {
        truncate(&mut self.msg, LONGEST_KEPT);
        truncate(&mut self.details, LONGEST_KEPT);
        self
    }
}

/// What a plugin has said, for a report: at most 1 KiB with what is before it, printable, and without a configuration or
/// a secret of one.
pub fn shown(before: String, said: &str, secrets: &Secrets) -> String {
    let said = secrets.conceal(said);
    let said = match said.split_once(CONFIGURATION) {
        Some((before, _)) => format!("{before}{{…}}"),
        None => said,
    };
    let mut message = before + &printable(&said);
    truncate(&mut message, LONGEST_MESSAGE);
    message
}

fn joined(details: &str, stderr: &str) -> String {
    let parts = [details.trim(), stderr.trim()];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("; ")
}

/// Control and format characters escaped: no line breaks, no escape sequences, no change of direction.
fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|character| {
            // Quotes and backslashes are printable, and `escape_debug` would escape them too.
            let plain = matches!(character, '"' | '\'' | '\\');
            let escaped = (!plain).then(|| character.escape_debug());
            let unescaped = plain.then_some(character);
            escaped.into_iter().flatten().chain(unescaped)
        })
        .collect()
}

/// At most so many bytes, with an ellipsis if something is left out.
fn truncate(text: &mut String, most: usize) {
    const ELLIPSIS: char = '…';
    if text.len() > most {
        let longest = most - ELLIPSIS.len_utf8();
        let end = (0..=longest).rev().find(|&end| text.is_char_boundary(end));
        text.truncate(end.unwrap_or_default());
        text.push(ELLIPSIS);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

//! I/O of one plugin call: environment, the three streams, and the exit code. It writes exactly one result to
//! stdout.

use std::ffi::OsString;
use std::fmt;
use std::io::{ErrorKind, Read, Write};

use crate::protocol::{CniCommand, CniError, Code, PLUGIN_TYPE};
use crate::watchdog;

/// The maximum size of a request: far more than any chain, far less than what harms a node.
const MAX_REQUEST_BYTES: usize = 16 * 1024 * 1024;

/// The maximum length of a line on stderr, which ends in the runtime's log.
const MAX_LINE_CHARS: usize = 1000;

/// The inputs and outputs of a call.
pub struct CniIo<'a> {
    pub env: &'a dyn Fn(&str) -> Option<OsString>,
    pub stdin: &'a mut dyn Read,
    pub stdout: &'a mut dyn Write,
    pub stderr: &'a mut dyn Write,
}

/// The output of a command on stdout.
pub enum Output {
    None,
    Text(&'static str),
    Error(CniError),
}

impl CniIo<'_> {
    /// A variable's value; empty means unset, as everywhere in CNI.
    pub fn variable(&self, name: &str) -> Option<OsString> {
        (self.env)(name).filter(|value| !value.is_empty())
    }

    /// Writes one line to the runtime's log; control characters in quoted text are escaped.
    pub fn log(&mut self, about: impl fmt::Display, text: impl fmt::Display) {
        let line = one_line(&format!("{PLUGIN_TYPE}: {about}: {text}"));
        // A closed stderr is not an error.
        let _ = writeln!(self.stderr, "{line}");
    }

    /// The command in `CNI_COMMAND`.
    pub fn command(&self) -> Result<CniCommand, CniError> {
        let value = self.variable("CNI_COMMAND").unwrap_or_default();
        let value = value.to_string_lossy();
        CniCommand::parse(&value).ok_or_else(|| {
            let msg =
                format!("CNI_COMMAND is {value:?}, which is not a command of the specification");
            CniError::new(Code::InvalidEnvironment, msg)
        })
    }

    /// All of stdin, or what arrived before the timeout. It is leaked: the result is a slice of it, and the
    /// process ends right after printing it.
    pub fn read_request(&mut self) -> Result<&'static [u8], CniError> {
        let mut text = Vec::new();
        let mut filled = 0;
        while filled <= MAX_REQUEST_BYTES {
            if filled == text.len() {
                text.resize((2 * filled).max(8 * 1024), 0);
            }
            match self.stdin.read(&mut text[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() != ErrorKind::Interrupted => {
                    return Err(CniError::new(
                        Code::Io,
                        format!("cannot read stdin: {error}"),
                    ));
                }
                Err(_) if watchdog::is_late() => return complete(text, filled),
                Err(_) => {}
            }
        }
        if filled > MAX_REQUEST_BYTES {
            let msg = format!("the request on stdin is larger than {MAX_REQUEST_BYTES} bytes");
            return Err(CniError::new(Code::Decode, msg));
        }
        text.truncate(filled);
        Ok(text.leak())
    }

    /// Prints the output of a command and returns the exit code.
    pub fn print_result(&mut self, output: &Output) -> u8 {
        let json;
        let (text, code) = match output {
            Output::None => return 0,
            Output::Text(text) => (*text, 0),
            Output::Error(failure) => {
                json = failure.to_json();
                (json.as_str(), 1)
            }
        };
        watchdog::printing();
        match self
            .stdout
            .write_all(text.as_bytes())
            .and_then(|()| self.stdout.flush())
        {
            Ok(()) => code,
            Err(error) => {
                self.log("stdout", format_args!("cannot print the output: {error}"));
                1
            }
        }
    }
}

/// A runtime that did not close stdin may still have written its complete request.
fn complete(mut text: Vec<u8>, filled: usize) -> Result<&'static [u8], CniError> {
    text.truncate(filled);
    if serde_json::from_slice::<serde::de::IgnoredAny>(&text).is_ok() {
        return Ok(text.leak());
    }
    let msg = format!(
        "the request on stdin was not complete after {} s",
        watchdog::SECONDS
    );
    Err(CniError::new(Code::TryAgainLater, msg))
}

fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(MAX_LINE_CHARS));
    for char in text.chars().take(MAX_LINE_CHARS) {
        if char.is_control()
            || matches!(char, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        {
            line.extend(char.escape_unicode());
        } else {
            line.push(char);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_log_stays_one_line() {
        let line = one_line("a\nb\r\u{1b}[31mc\u{2028}d\u{202e}e");
        assert_eq!(line, "a\\u{a}b\\u{d}\\u{1b}[31mc\\u{2028}d\\u{202e}e");
        assert_eq!(one_line(&"x".repeat(5000)).len(), MAX_LINE_CHARS);
    }
}

//! What surrounds one call of the plugin: the runtime's variables, its three streams, and the exit code.
//! It must never write to stdout more than the one answer.

use std::ffi::OsString;
use std::fmt;
use std::io::{ErrorKind, Read, Write};

use crate::commands::{self, Answer};
use crate::protocol::{Code, Command, Failure, PLUGIN_TYPE};
use crate::watchdog;

/// The largest request: far more than any chain, far less than what hurts a node.
const MAX_REQUEST_BYTES: usize = 16 * 1024 * 1024;

/// No line on stderr is longer: it ends in the runtime's log.
const MAX_LINE_CHARS: usize = 1000;

/// What a call reads and writes.
pub struct World<'a> {
    pub env: &'a dyn Fn(&str) -> Option<OsString>,
    pub stdin: &'a mut dyn Read,
    pub stdout: &'a mut dyn Write,
    pub stderr: &'a mut dyn Write,
}

/// Serves one call of a runtime and returns the exit code.
pub fn run(mut world: World<'_>) -> u8 {
    let answer = match world.command() {
        Err(failure) => Answer::Failure(failure),
        Ok(command) => {
            let request = world.read_request();
            commands::serve(command, request, &mut world)
        }
    };
    world.tell(&answer)
}

impl World<'_> {
    /// A variable's value; empty means unset, as everywhere in CNI.
    pub fn variable(&self, name: &str) -> Option<OsString> {
        (self.env)(name).filter(|value| !value.is_empty())
    }

    /// One line for the runtime's log. Whatever it quotes, it stays one line.
    pub fn say(&mut self, about: impl fmt::Display, text: impl fmt::Display) {
        let line = one_line(&format!("{PLUGIN_TYPE}: {about}: {text}"));
        // A closed stderr is no reason to fail.
        let _ = writeln!(self.stderr, "{line}");
    }

    fn command(&self) -> Result<Command, Failure> {
        let value = self.variable("CNI_COMMAND").unwrap_or_default();
        let value = value.to_string_lossy();
        Command::parse(&value).ok_or_else(|| {
            let msg = format!("CNI_COMMAND is {value:?}, which is no command of the specification");
            Failure::new(Code::InvalidEnvironment, msg)
        })
    }

    /// All of stdin, or what came of it within the second. It is kept for ever: the answer is a part
    /// of it, and the process lives no longer than the answer.
    fn read_request(&mut self) -> Result<&'static [u8], Failure> {
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
                    return Err(Failure::new(
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
            return Err(Failure::new(Code::Decode, msg));
        }
        text.truncate(filled);
        Ok(text.leak())
    }

    fn tell(&mut self, answer: &Answer) -> u8 {
        let json;
        let (text, code) = match answer {
            Answer::Nothing => return 0,
            Answer::Text(text) => (*text, 0),
            Answer::Failure(failure) => {
                json = failure.to_json();
                (json.as_str(), 1)
            }
        };
        watchdog::telling();
        match self
            .stdout
            .write_all(text.as_bytes())
            .and_then(|()| self.stdout.flush())
        {
            Ok(()) => code,
            Err(error) => {
                self.say("stdout", format_args!("cannot print the answer: {error}"));
                1
            }
        }
    }
}

/// A runtime that never closed stdin may have written all of its request nevertheless.
fn complete(mut text: Vec<u8>, filled: usize) -> Result<&'static [u8], Failure> {
    text.truncate(filled);
    if serde_json::from_slice::<serde::de::IgnoredAny>(&text).is_ok() {
        return Ok(text.leak());
    }
    let msg = format!(
        "the request on stdin was not complete after {} s",
        watchdog::SECONDS
    );
    Err(Failure::new(Code::TryAgainLater, msg))
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

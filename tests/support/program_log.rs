//! What a program under test prints: kept out of the tests' own output, and shown when a test fails.

use std::{
    fs::{self, File},
    process::{Command, Stdio},
};

use tempfile::NamedTempFile;

/// Lines that are shown.
const LAST: usize = 60;

pub struct ProgramLog {
    program: &'static str,
    file: NamedTempFile,
}

impl ProgramLog {
    /// Of a program that is about to be started; it has no standard input.
    pub fn of(program: &'static str, command: &mut Command) -> Self {
        let file = NamedTempFile::new().expect("a temporary file can be made");
        command.stdin(Stdio::null());
        command.stdout(end(&file)).stderr(end(&file));
        Self { program, file }
    }

    pub fn text(&self) -> String {
        fs::read_to_string(self.file.path()).unwrap_or_default()
    }
}

/// Both outputs append, so that neither overwrites the other.
fn end(file: &NamedTempFile) -> File {
    let opened = File::options().append(true).open(file.path());
    opened.expect("the log can be opened again")
}

impl Drop for ProgramLog {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let text = self.text();
            let lines: Vec<&str> = text.lines().collect();
            eprintln!("the last lines of the {}:", self.program);
            for line in &lines[lines.len().saturating_sub(LAST)..] {
                eprintln!("  {line}");
            }
        }
    }
}

//! The lines that the installer writes: what it did on stdout, what is wrong on stderr.

use std::fmt::Display;
use std::io::Write as _;

/// The name of this program.
pub const PROGRAM: &str = "podconfig-install";

/// Writes one line to stdout; a closed pipe does not abort the run.
pub fn log(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{PROGRAM}: {line}");
}

pub fn warn(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{PROGRAM}: {line}");
}

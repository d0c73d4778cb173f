//! Parts that this machine's kernel is too small for: this program once more, under the full kernel of
//! `tests/vm.sh`.

use std::{
    env,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result};

use crate::{cost::ended, table::Table};

/// The word that makes the program print its table packed.
pub const PACKED: &str = "packed";
const TESTS: &str = env!("CARGO_MANIFEST_DIR");

/// Whether the machine's own kernel has it all.
pub fn is_needed() -> Result<bool> {
    let asked = Command::new(Path::new(TESTS).join("../.ci/full-kernel"))
        .stdout(Stdio::null())
        .status()
        .context("run .ci/full-kernel")?;
    Ok(!asked.success())
}

pub fn run(part: &str, table: &mut Table) -> Result<()> {
    let guest = Command::new(Path::new(TESTS).join("vm.sh"))
        .args(["--seconds", "300"])
        .arg(env::current_exe()?)
        .args([PACKED, part])
        .current_dir(TESTS)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("run tests/vm.sh")?;
    let said = ended(guest, &format!("the part {part:?} under the full kernel"))?;
    table.append(&said).context("read what the guest said")?;
    table.note("under the full kernel (user-mode Linux), since this machine's own has no vlans: ratios only");
    table.note(
        "they are of wall time on its one CPU, whose clock of CPU time goes by ticks; a switch between threads \
         is dear there, which the floor has none of, so the floor is no bar: compare with the veth",
    );
    table.note("there a deletion of a link costs 0.5 ms and not 15, and the start of a program ten times as much as here");
    Ok(())
}

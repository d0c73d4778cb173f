//! Installs the plugin once.

use crate::args::Options;
use crate::binary::{Program, Wanted};
use crate::error::{InstallError, InstallErrorKind};
use crate::folder::PATIENCE;
use crate::output::{log, warn};
use crate::pass::{Pass, pass};

/// A mode change may take two passes: a file restored for the old mode may be the one that the new mode
/// copies.
const PASSES: usize = 4;

/// Repeats the pass until it finds nothing to change.
pub fn install(options: &Options) -> Result<(), InstallError> {
    let program = Program::find(options.plugin.as_deref())?;
    let mut wanted = Wanted::Current;
    let mut ever_changed = false;
    for _ in 0..PASSES {
        match pass(options, &program, wanted, PATIENCE) {
            Ok(Pass {
                placed,
                changed: false,
            }) => {
                if !ever_changed {
                    log(format_args!(
                        "nothing to change, {} has the entry",
                        placed.path.display()
                    ));
                }
                return Ok(());
            }
            Ok(_) => (ever_changed, wanted) = (true, Wanted::Runnable),
            Err(failure) if failure.kind == InstallErrorKind::Modified => warn(&failure.text),
            Err(failure) => return Err(failure),
        }
    }
    let folder = options.conf_dir.display();
    let text = format!("{folder} keeps changing: another program writes there continuously");
    Err(InstallError::new(InstallErrorKind::Contended, text))
}

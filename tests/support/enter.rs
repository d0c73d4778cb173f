//! A socket belongs to the namespace that it was made in: a scratch thread enters, does the deed
//! and dies, so that no thread of the test ever has to find its way back.

use std::{fs::File, path::Path};

use nix::sched::{CloneFlags, setns};

pub fn with_netns<T: Send>(netns: &Path, deed: impl FnOnce() -> T + Send) -> T {
    let file =
        File::open(netns).unwrap_or_else(|error| panic!("open {}: {error}", netns.display()));
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            setns(&file, CloneFlags::CLONE_NEWNET).expect("node tests run as root");
            deed()
        });
        match thread.join() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

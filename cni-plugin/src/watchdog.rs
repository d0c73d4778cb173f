//! One second for everything: what the plugin does when something it waits for never comes.
//! The handler must do nothing but read atomics, write(2) and _exit(2).

use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU8, AtomicUsize, Ordering};

use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::unistd::alarm;

/// The whole time a runtime can lose by us.
pub const SECONDS: u32 = 1;

/// The request is still being read: the alarm only interrupts the read.
const READING: u8 = 0;
/// The answer is known: the alarm prints it and ends the process.
const HOLDING: u8 = 1;
/// The answer is being printed, or the first alarm has gone by: the next one ends the process.
const TELLING: u8 = 2;

static STAGE: AtomicU8 = AtomicU8::new(READING);
static ANSWER: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());
static LENGTH: AtomicUsize = AtomicUsize::new(0);
/// The exit code of a process that could tell nothing.
static SILENT_EXIT: AtomicI32 = AtomicI32::new(0);

/// Starts the second. `silent_exit` is the exit code when not even an answer can be printed.
pub fn arm(silent_exit: u8) -> nix::Result<()> {
    SILENT_EXIT.store(i32::from(silent_exit), Ordering::SeqCst);
    // Without SA_RESTART a blocked read returns; with SA_NODEFER a second alarm ends a blocked write.
    let action = SigAction::new(
        SigHandler::Handler(expired),
        SaFlags::SA_NODEFER,
        SigSet::empty(),
    );
    // SAFETY: the handler is async-signal-safe: atomics, alarm(2), write(2) and _exit(2) only.
    #[allow(unsafe_code)]
    unsafe { sigaction(Signal::SIGALRM, &action) }?;
    // Whoever started us may have had it blocked.
    let mut alone = SigSet::empty();
    alone.add(Signal::SIGALRM);
    alone.thread_unblock()?;
    alarm::set(SECONDS);
    Ok(())
}

/// From now on an alarm prints `answer` and exits 0.
pub fn hold(answer: &'static [u8]) {
    LENGTH.store(answer.len(), Ordering::SeqCst);
    ANSWER.store(answer.as_ptr().cast_mut(), Ordering::SeqCst);
    STAGE.store(HOLDING, Ordering::SeqCst);
}

/// The answer is about to be printed by ordinary code: an alarm must not print it again.
pub fn telling() {
    STAGE.store(TELLING, Ordering::SeqCst);
}

/// Whether the second went by while the request was being read.
pub fn is_late() -> bool {
    STAGE.load(Ordering::SeqCst) == TELLING
}

extern "C" fn expired(_: libc::c_int) {
    match STAGE.swap(TELLING, Ordering::SeqCst) {
        READING => again(),
        HOLDING => {
            again();
            print_answer();
            exit(0)
        }
        _ => exit(SILENT_EXIT.load(Ordering::SeqCst)),
    }
}

/// One more second, for a reader that does not take the answer either.
#[allow(unsafe_code)]
fn again() {
    // SAFETY: alarm(2) takes no pointer and is async-signal-safe.
    unsafe { libc::alarm(SECONDS) };
}

#[allow(unsafe_code)]
fn print_answer() {
    let (mut at, mut left) = (
        ANSWER.load(Ordering::SeqCst).cast_const(),
        LENGTH.load(Ordering::SeqCst),
    );
    while left > 0 {
        // SAFETY: `hold` stored pointer and length of a slice that lives for ever; `at` and `left` stay inside of it.
        let written = unsafe { libc::write(libc::STDOUT_FILENO, at.cast(), left) };
        let Ok(written) = usize::try_from(written) else {
            exit(1)
        };
        // SAFETY: write(2) returns at most `left`.
        at = unsafe { at.add(written) };
        left -= written;
    }
}

#[allow(unsafe_code)]
fn exit(code: i32) -> ! {
    // SAFETY: _exit(2) ends the process without running anything of it.
    unsafe { libc::_exit(code) }
}

//! A timeout of one second for the whole call. The signal handler only uses atomics, alarm(2), write(2) and
//! _exit(2).

use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU8, AtomicUsize, Ordering};

use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::unistd::alarm;

/// The maximum delay of a runtime by this plugin.
pub const SECONDS: u32 = 1;

/// The request is still being read: the alarm only interrupts the read.
const READING: u8 = 0;
/// The result is known: the alarm prints it and ends the process.
const HOLDING: u8 = 1;
/// The result is being printed, or the first alarm has fired: the next one ends the process.
const PRINTING: u8 = 2;

static STAGE: AtomicU8 = AtomicU8::new(READING);
static ANSWER: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());
static LENGTH: AtomicUsize = AtomicUsize::new(0);
/// The exit code of a process that could not print a result.
static SILENT_EXIT: AtomicI32 = AtomicI32::new(0);

/// Starts the timer. `silent_exit` is the exit code if no result can be printed.
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
    // The parent may have blocked the signal.
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

/// The caller prints the result itself now: an alarm must not print it again.
pub fn printing() {
    STAGE.store(PRINTING, Ordering::SeqCst);
}

/// Whether the timer expired while the request was being read.
pub fn is_late() -> bool {
    STAGE.load(Ordering::SeqCst) == PRINTING
}

extern "C" fn expired(_: libc::c_int) {
    match STAGE.swap(PRINTING, Ordering::SeqCst) {
        READING => again(),
        HOLDING => {
            again();
            print_answer();
            exit(0)
        }
        _ => exit(SILENT_EXIT.load(Ordering::SeqCst)),
    }
}

/// Restarts the timer, for a reader that does not accept the result either.
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

//! Retries system calls that fail for a transient reason: a single failure must not be mistaken for a result.

use std::thread::sleep;
use std::time::Duration;

use nix::errno::Errno;

/// Fifteen milliseconds in total, far less than the timeout of the runtime or of a pass.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(4),
    Duration::from_millis(8),
];

/// Whether the same call may succeed in a moment. A descriptor limit is not transient.
pub fn is_transient(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::EINTR | Errno::EAGAIN | Errno::ENOMEM | Errno::ENOBUFS
    )
}

/// Repeats the call until it succeeds, fails permanently, or has failed five times.
pub fn retry<T, E>(
    mut call: impl FnMut() -> Result<T, E>,
    errno: impl Fn(&E) -> Option<Errno>,
) -> Result<T, E> {
    for pause in PAUSES {
        match call() {
            Err(error) if errno(&error).is_some_and(is_transient) => sleep(pause),
            answer => return answer,
        }
    }
    call()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(times: u32, errno: Errno) -> (Result<u32, Errno>, u32) {
        let mut calls = 0;
        let call = || {
            calls += 1;
            if calls <= times { Err(errno) } else { Ok(7) }
        };
        let answer = retry(call, |errno| Some(*errno));
        (answer, calls)
    }

    #[test]
    fn what_passes_is_tried_again_and_what_stays_is_not() {
        assert_eq!(fails(1, Errno::EAGAIN), (Ok(7), 2));
        assert_eq!(fails(4, Errno::EINTR), (Ok(7), 5));
        assert_eq!(fails(9, Errno::ENOMEM), (Err(Errno::ENOMEM), 5));
        assert_eq!(fails(1, Errno::EMFILE), (Err(Errno::EMFILE), 1));
        assert_eq!(fails(1, Errno::ENOENT), (Err(Errno::ENOENT), 1));
    }
}

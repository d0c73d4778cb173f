//! Waiting with a deadline: the daemon is quick, so a poll is short; a failure says what was last
//! seen and how to step into the node.

use std::{
    cell::RefCell,
    fmt::Display,
    fs,
    sync::LazyLock,
    thread::sleep,
    time::{Duration, Instant},
};

/// For what takes a moment where nothing else runs: only a test that fails waits for so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// In the guest of `tests/vm.sh` a program takes twenty times as long to start.
static SLOWNESS: LazyLock<u32> = LazyLock::new(|| {
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    if processor.contains("User Mode Linux") {
        4
    } else {
        1
    }
});

thread_local! {
    static STEP_IN: RefCell<String> = const { RefCell::new(String::new()) };
}

/// How a person gets into the node of this test.
pub fn set_step_in(line: String) {
    STEP_IN.set(line);
}

pub fn step_in() -> String {
    STEP_IN.with_borrow(Clone::clone)
}

/// Polls until the probe is content; its error is the state that it saw.
pub fn eventually<T>(what: &str, probe: impl FnMut() -> Result<T, String>) -> T {
    within(PATIENCE, what, probe)
}

pub fn within<T>(
    patience: Duration,
    what: &str,
    mut probe: impl FnMut() -> Result<T, String>,
) -> T {
    let patience = patience * *SLOWNESS;
    let start = Instant::now();
    let mut pause = Duration::from_millis(2);
    loop {
        match probe() {
            Ok(value) => return value,
            Err(state) if start.elapsed() > patience => panic!(
                "waited {patience:?} for: {what}\nlast seen: {state}\n\
                 step in (hold the node with PODCONFIG_TEST_HOLD=1): {}",
                step_in()
            ),
            Err(_) => sleep(pause),
        }
        pause = (pause * 5 / 4).min(Duration::from_millis(25));
    }
}

/// For a condition that must go on holding: looks again and again for `span`.
pub fn stays(what: &str, span: Duration, mut probe: impl FnMut() -> Result<(), String>) {
    let start = Instant::now();
    while start.elapsed() < span {
        if let Err(state) = probe() {
            panic!(
                "no longer so after {:?}: {what}\nseen: {state}\nstep in: {}",
                start.elapsed(),
                step_in()
            );
        }
        sleep(Duration::from_millis(20));
    }
}

/// A probe's answer from a condition and the state to show when it does not hold.
pub fn seen(holds: bool, state: impl Display) -> Result<(), String> {
    if holds {
        Ok(())
    } else {
        Err(state.to_string())
    }
}

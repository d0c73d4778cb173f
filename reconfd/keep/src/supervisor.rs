//! Supervises `podconfig-install install --watch`: restarts the child with exponential backoff, so that it does not fight
//! for ever with a program that removes the entry repeatedly.

use std::{
    fs,
    path::Path,
    process::{Child, ExitStatus},
    time::{Duration, Instant},
};

use installation::{
    ChainConfig, Mode,
    plugin::InstallOutcome,
    registry::{ChainState, RegistryEntry},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use workqueue::{Attempts, Backoff};

const MAX_BACKOFF: Duration = Duration::from_secs(600);
/// Between restarts.
const RESTART: Backoff = Backoff::new(Duration::from_secs(1), MAX_BACKOFF);
/// The same after another program has removed the entry.
const HOLD_OFF: Backoff = Backoff::new(Duration::from_secs(60), MAX_BACKOFF);
/// Backoff is reset after the child has run for this time.
const STABLE_AFTER: Duration = Duration::from_secs(300);
/// How long the child may take to end on SIGTERM.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

pub struct Supervisor<'c> {
    chain: &'c ChainConfig,
    child: Option<Child>,
    started: Option<Instant>,
    /// When the child is restarted.
    due: Option<Instant>,
    backoff: Backoff,
    attempts: Attempts,
    /// Why the last child ended, until the next one has added the entry.
    failure: Option<RegistryEntry>,
}

impl<'c> Supervisor<'c> {
    pub fn new(chain: &'c ChainConfig) -> Self {
        Self {
            chain,
            child: None,
            started: None,
            due: None,
            backoff: RESTART,
            attempts: Attempts::default(),
            failure: None,
        }
    }

    /// Restarts the child if it is due; returns the state of the chain.
    pub fn check(&mut self, now: Instant) -> RegistryEntry {
        if self.chain.mode == Mode::None {
            return RegistryEntry::new(ChainState::Off, "");
        }
        if let Some(status) = self.ended() {
            self.record_exit(status, now);
        }
        if self.child.is_none() && self.due.is_none_or(|due| due <= now) {
            self.start(now);
        }
        if self.child.is_some() && has_entry(self.chain) {
            self.failure = None;
            return RegistryEntry::new(ChainState::Kept, "");
        }
        let waiting = || RegistryEntry::new(ChainState::Pending, InstallOutcome::NoChain.message());
        self.failure.clone().unwrap_or_else(waiting)
    }

    /// The child's exit status, if it has ended.
    fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        self.child = None;
        Some(status)
    }

    fn start(&mut self, now: Instant) {
        match self.chain.watch() {
            Ok(child) => (self.child, self.started) = (Some(child), Some(now)),
            Err(error) => {
                tracing::error!("{error:#}");
                self.fail(format!("{error:#}"), now);
            }
        }
    }

    fn record_exit(&mut self, status: ExitStatus, now: Instant) {
        let outcome = InstallOutcome::of(status);
        if self
            .started
            .is_some_and(|started| now.duration_since(started) >= STABLE_AFTER)
        {
            self.start_over_with(RESTART);
        }
        if matches!(outcome, InstallOutcome::Reverted) {
            self.hold_off(now);
        }
        let pause = self.fail(outcome.message(), now);
        tracing::error!(%status, pause_seconds = pause.as_secs(), "podconfig-install install --watch has ended: {}", outcome.message());
    }

    /// Lengthens the delays to those of `HOLD_OFF`, unless they are as long already.
    fn hold_off(&mut self, now: Instant) {
        let first = Attempts::default().delay(&HOLD_OFF, now);
        if self.attempts.delay(&self.backoff, now) < first {
            self.start_over_with(HOLD_OFF);
        }
    }

    fn start_over_with(&mut self, backoff: Backoff) {
        (self.backoff, self.attempts) = (backoff, Attempts::default());
    }

    /// Returns the delay before the next start.
    fn fail(&mut self, message: impl Into<String>, now: Instant) -> Duration {
        let delay = self.attempts.failed(&self.backoff, now);
        self.due = Some(now + delay);
        self.failure = Some(RegistryEntry::new(ChainState::Broken, message));
        delay
    }

    /// Ends the child; the entry stays.
    pub fn end(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        let pid = i32::try_from(child.id()).map(Pid::from_raw);
        let signalled = pid.is_ok_and(|pid| kill(pid, Signal::SIGTERM).is_ok());
        let start = Instant::now();
        while signalled && start.elapsed() < STOP_TIMEOUT {
            if matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // Its changes are atomic.
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Whether a file of the chain's folder, or of a network's folder in it, names the plugin, and the plugin's
/// executable exists. The child checks the entry itself.
fn has_entry(chain: &ChainConfig) -> bool {
    let folders = fs::read_dir(&chain.conf_dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir());
    let is_named = std::iter::once(chain.conf_dir.clone())
        .chain(folders)
        .any(|folder| names_plugin(&folder));
    is_named && chain.bin_dir.join("podconfig-cni").is_file()
}

fn names_plugin(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let confs = entries.map(|entry| entry.path()).filter(|path| {
        let ending = path.extension().and_then(|ending| ending.to_str());
        matches!(ending, Some("conf" | "conflist" | "json"))
    });
    confs
        .filter_map(|path| fs::read_to_string(path).ok())
        .any(|text| text.contains("podconfig-cni"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use args::RecordsDir;

    struct Place {
        folder: tempfile::TempDir,
        chain: ChainConfig,
    }

    /// A chain folder, and an installer that does what the shell says.
    fn place(mode: Mode, script: &str) -> Place {
        let folder = tempfile::tempdir().unwrap();
        let inside = |name: &str| folder.path().join(name);
        for name in ["net.d", "bin"] {
            fs::create_dir(inside(name)).unwrap();
        }
        fs::write(inside("installer"), format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(inside("installer"), fs::Permissions::from_mode(0o755)).unwrap();
        let chain = ChainConfig {
            mode,
            conf_dir: inside("net.d"),
            bin_dir: inside("bin"),
            records: RecordsDir {
                path: inside("records"),
            },
            plugin: None,
            installer: Some(inside("installer")),
            choice: installation::Choice::default(),
        };
        Place { folder, chain }
    }

    impl Place {
        fn join_chain(&self, file: &str) {
            let path = self.chain.conf_dir.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, r#"{"plugins": [{"type": "podconfig-cni"}]}"#).unwrap();
            fs::write(self.chain.bin_dir.join("podconfig-cni"), "").unwrap();
        }
    }

    /// Looks until the child has ended.
    fn check_until_ended(supervisor: &mut Supervisor<'_>, now: Instant) -> RegistryEntry {
        for _ in 0..500 {
            let entry = supervisor.check(now);
            if supervisor.child.is_none() {
                return entry;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        unreachable!("the child goes on")
    }

    #[test]
    fn pauses_grow_and_end_growing() {
        let place = place(Mode::Inline, "");
        let (mut supervisor, now) = (Supervisor::new(&place.chain), Instant::now());
        let mut pauses = |times: usize| -> Vec<u64> {
            let pauses = (0..times).map(|_| supervisor.fail("no", now).as_secs());
            pauses.collect()
        };
        let grown = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600];
        assert_eq!(pauses(12), grown);
    }

    #[test]
    fn a_hold_off_shortens_no_pause_and_what_follows_grows_from_it() {
        let place = place(Mode::Inline, "");
        let (mut supervisor, now) = (Supervisor::new(&place.chain), Instant::now());
        let mut pauses = Vec::new();
        for reverted in [false, true, false, true] {
            if reverted {
                supervisor.hold_off(now);
            }
            pauses.push(supervisor.fail("no", now).as_secs());
        }
        assert_eq!(pauses, [1, 60, 120, 240]);
    }

    #[test]
    fn a_child_that_ends_is_started_again_only_after_its_pause() {
        let place = place(Mode::Inline, "echo >>\"$0.runs\"; exit 1");
        let runs = place.folder.path().join("installer.runs");
        let count = || {
            fs::read_to_string(&runs)
                .unwrap_or_default()
                .lines()
                .count()
        };
        let mut supervisor = Supervisor::new(&place.chain);
        let now = Instant::now();
        let entry = check_until_ended(&mut supervisor, now);
        assert_eq!((entry.chain, count()), (ChainState::Broken, 1));
        let pause = Duration::from_secs(1);
        supervisor.check(now + pause / 2);
        assert!(supervisor.child.is_none());
        check_until_ended(&mut supervisor, now + pause);
        assert_eq!(count(), 2);
    }

    #[test]
    fn a_removed_entry_leads_to_a_long_hold_off() {
        let place = place(Mode::Inline, "exit 4");
        let mut supervisor = Supervisor::new(&place.chain);
        let now = Instant::now();
        let entry = check_until_ended(&mut supervisor, now);
        assert_eq!(supervisor.due, Some(now + Duration::from_secs(60)));
        assert!(entry.message.contains("again and again"), "{entry:?}");
    }

    #[test]
    fn the_chain_is_kept_while_the_child_lives_and_the_entry_is_there() {
        for file in ["10-a.conflist", "cluster/99-podconfig.conf"] {
            let place = place(Mode::Inline, "exec sleep 1000");
            let mut supervisor = Supervisor::new(&place.chain);
            let now = Instant::now();
            assert_eq!(supervisor.check(now).chain, ChainState::Pending);
            place.join_chain(file);
            assert_eq!(supervisor.check(now).chain, ChainState::Kept, "{file}");
            supervisor.end();
        }
    }

    #[test]
    fn where_the_chain_is_left_alone_nothing_is_started() {
        let place = place(Mode::None, "exit 1");
        let mut supervisor = Supervisor::new(&place.chain);
        assert_eq!(supervisor.check(Instant::now()).chain, ChainState::Off);
        assert!(supervisor.child.is_none());
    }

    #[test]
    fn a_missing_program_is_reported_and_retried() {
        let mut place = place(Mode::Inline, "");
        place.chain.installer = Some("/nowhere/podconfig-install".into());
        let mut supervisor = Supervisor::new(&place.chain);
        let entry = supervisor.check(Instant::now());
        assert_eq!(entry.chain, ChainState::Broken);
        assert!(
            entry.message.contains("/nowhere/podconfig-install"),
            "{entry:?}"
        );
        assert!(supervisor.due.is_some());
    }

    #[test]
    fn a_child_is_ended_with_its_keeper() {
        let place = place(Mode::Inline, "exec sleep 1000");
        let mut supervisor = Supervisor::new(&place.chain);
        supervisor.check(Instant::now());
        let pid = supervisor.child.as_ref().map(Child::id).unwrap();
        supervisor.end();
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }
}

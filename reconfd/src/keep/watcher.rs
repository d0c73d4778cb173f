//! `podconfig-cni install --watch` as a child that is started again when it ends, with longer and longer
//! pauses: whoever takes the entry out again and again is not fought for ever.

use std::{
    fs,
    path::Path,
    process::{Child, ExitStatus},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::installation::{
    Chain, Mode,
    notes::{Chained, Note},
    plugin::Ended,
};

/// Before the child is started again; doubled each time, and as at first after it has run for long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The same where somebody else takes the entry out.
const FIRST_TRUCE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
const LONG: Duration = Duration::from_secs(300);
/// How long the child may take to end when told.
const PATIENCE: Duration = Duration::from_secs(3);

pub struct Watcher<'c> {
    chain: &'c Chain,
    child: Option<Child>,
    started: Option<Instant>,
    /// When the next child is started.
    due: Option<Instant>,
    pause: Duration,
    /// Why the last child ended, until the next one has the entry in place.
    trouble: Option<Note>,
}

impl<'c> Watcher<'c> {
    pub fn new(chain: &'c Chain) -> Self {
        Self {
            chain,
            child: None,
            started: None,
            due: None,
            pause: Duration::ZERO,
            trouble: None,
        }
    }

    /// Starts the child if it is time, and says how the chain is.
    pub fn look(&mut self, now: Instant) -> Note {
        if self.chain.mode == Mode::None {
            return Note::new(Chained::Off, "");
        }
        if let Some(status) = self.ended() {
            self.note_end(status, now);
        }
        if self.child.is_none() && self.due.is_none_or(|due| due <= now) {
            self.start(now);
        }
        if self.child.is_some() && has_entry(self.chain) {
            self.trouble = None;
            return Note::new(Chained::Kept, "");
        }
        let waiting = || Note::new(Chained::Pending, Ended::NoChain.words());
        self.trouble.clone().unwrap_or_else(waiting)
    }

    /// How the child ended, if it has.
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
                self.fail(
                    Note::new(Chained::Broken, format!("{error:#}")),
                    FIRST_PAUSE,
                    now,
                );
            }
        }
    }

    fn note_end(&mut self, status: ExitStatus, now: Instant) {
        let ended = Ended::of(status);
        let first = match ended {
            Ended::Undone => FIRST_TRUCE,
            _ => FIRST_PAUSE,
        };
        if self
            .started
            .is_some_and(|started| now.duration_since(started) >= LONG)
        {
            self.pause = Duration::ZERO;
        }
        self.fail(Note::new(Chained::Broken, ended.words()), first, now);
        tracing::error!(%status, pause_seconds = self.pause.as_secs(), "podconfig-cni install --watch has ended: {}", ended.words());
    }

    fn fail(&mut self, trouble: Note, first: Duration, now: Instant) {
        self.pause = next_pause(self.pause, first);
        self.due = Some(now + self.pause);
        self.trouble = Some(trouble);
    }

    /// Ends the child, which leaves the entry in place.
    pub fn end(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        let pid = i32::try_from(child.id()).map(Pid::from_raw);
        let told = pid.is_ok_and(|pid| kill(pid, Signal::SIGTERM).is_ok());
        let start = Instant::now();
        while told && start.elapsed() < PATIENCE {
            if matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // Nothing that it does is ever half done.
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn next_pause(last: Duration, first: Duration) -> Duration {
    (last * 2).clamp(first, LONGEST_PAUSE)
}

/// Whether a file of the chain's folder, or of a network's folder in it, names the plugin, and the plugin is
/// there. How the entry stands in it is the watcher's business.
fn has_entry(chain: &Chain) -> bool {
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

    struct Place {
        folder: tempfile::TempDir,
        chain: Chain,
    }

    /// A chain folder, and a plugin that does what the shell says.
    fn place(mode: Mode, script: &str) -> Place {
        let folder = tempfile::tempdir().unwrap();
        let inside = |name: &str| folder.path().join(name);
        for name in ["net.d", "bin"] {
            fs::create_dir(inside(name)).unwrap();
        }
        fs::write(inside("plugin"), format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(inside("plugin"), fs::Permissions::from_mode(0o755)).unwrap();
        let chain = Chain {
            mode,
            conf_dir: inside("net.d"),
            bin_dir: inside("bin"),
            records: inside("records"),
            plugin: Some(inside("plugin")),
            choice: crate::installation::Choice::default(),
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
    fn look_until_ended(watcher: &mut Watcher<'_>, now: Instant) -> Note {
        for _ in 0..500 {
            let note = watcher.look(now);
            if watcher.child.is_none() {
                return note;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        unreachable!("the child goes on")
    }

    #[test]
    fn pauses_grow_and_end_growing() {
        let mut pause = Duration::ZERO;
        let mut seen = Vec::new();
        for _ in 0..12 {
            pause = next_pause(pause, FIRST_PAUSE);
            seen.push(pause.as_secs());
        }
        assert_eq!(seen, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
        assert_eq!(next_pause(FIRST_PAUSE, FIRST_TRUCE), FIRST_TRUCE);
    }

    #[test]
    fn a_child_that_ends_is_started_again_only_after_its_pause() {
        let place = place(Mode::Inline, "echo >>\"$0.runs\"; exit 1");
        let runs = place.folder.path().join("plugin.runs");
        let count = || {
            fs::read_to_string(&runs)
                .unwrap_or_default()
                .lines()
                .count()
        };
        let mut watcher = Watcher::new(&place.chain);
        let now = Instant::now();
        let note = look_until_ended(&mut watcher, now);
        assert_eq!((note.chain, count()), (Chained::Broken, 1));
        watcher.look(now + FIRST_PAUSE / 2);
        assert!(watcher.child.is_none());
        look_until_ended(&mut watcher, now + FIRST_PAUSE);
        assert_eq!(count(), 2);
    }

    #[test]
    fn whoever_takes_the_entry_out_is_given_a_long_truce() {
        let place = place(Mode::Inline, "exit 4");
        let mut watcher = Watcher::new(&place.chain);
        let note = look_until_ended(&mut watcher, Instant::now());
        assert_eq!(watcher.pause, FIRST_TRUCE);
        assert!(note.message.contains("again and again"), "{note:?}");
    }

    #[test]
    fn the_chain_is_kept_while_the_child_lives_and_the_entry_is_there() {
        for file in ["10-a.conflist", "cluster/99-podconfig.conf"] {
            let place = place(Mode::Inline, "exec sleep 1000");
            let mut watcher = Watcher::new(&place.chain);
            let now = Instant::now();
            assert_eq!(watcher.look(now).chain, Chained::Pending);
            place.join_chain(file);
            assert_eq!(watcher.look(now).chain, Chained::Kept, "{file}");
            watcher.end();
        }
    }

    #[test]
    fn where_the_chain_is_left_alone_nothing_is_started() {
        let place = place(Mode::None, "exit 1");
        let mut watcher = Watcher::new(&place.chain);
        assert_eq!(watcher.look(Instant::now()).chain, Chained::Off);
        assert!(watcher.child.is_none());
    }

    #[test]
    fn a_missing_program_is_told_and_tried_again() {
        let mut place = place(Mode::Inline, "");
        place.chain.plugin = Some("/nowhere/podconfig-cni".into());
        let mut watcher = Watcher::new(&place.chain);
        let note = watcher.look(Instant::now());
        assert_eq!(note.chain, Chained::Broken);
        assert!(note.message.contains("/nowhere/podconfig-cni"), "{note:?}");
        assert!(watcher.due.is_some());
    }

    #[test]
    fn a_child_is_ended_with_its_keeper() {
        let place = place(Mode::Inline, "exec sleep 1000");
        let mut watcher = Watcher::new(&place.chain);
        watcher.look(Instant::now());
        let pid = watcher.child.as_ref().map(Child::id).unwrap();
        watcher.end();
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }
}

//! Stays after the installation and puts the entry back when another program removes it. It gives up after
//! repeated removals, and never uninstalls anything when it is terminated.

use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::args::Options;
use crate::binary::{Program, Wanted};
use crate::error::{InstallError, InstallErrorKind};
use crate::folder::PARKED;
use crate::output::{log, warn};
use crate::pass::{Pass, pass};
use crate::placement::Placed;

/// It gives up after this many reverted repairs within this time.
const REPAIRS: usize = 3;
const WITHIN: Duration = Duration::from_secs(60);
/// Resync interval without events, for lost events and for links whose target changed elsewhere.
const SWEEP: Duration = Duration::from_secs(10);
/// Retry interval while the installation is incomplete.
const RETRY: Duration = Duration::from_millis(300);
/// A writer counts as done after this quiet time; a continuous one is waited for at most the second duration.
const QUIET: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_millis(400);

/// Installs and stays until it is terminated or another program keeps reverting the change.
pub fn run(options: &Options) -> Result<(), InstallError> {
    let program = Program::find(options.plugin.as_deref())?;
    let watch = WatchHandle::new()?;
    let mut history = History::default();
    let mut wanted = Wanted::Current;
    let mut reported = String::new();
    loop {
        // Watched before it is read, so that no change is missed.
        let complete = watch.watch_folders(options, history.placed.as_ref());
        let rest = match pass(options, &program, wanted, Duration::ZERO) {
            Ok(Pass { placed, changed }) => {
                history.add(placed, changed, Instant::now())?;
                wanted = Wanted::Runnable;
                reported.clear();
                if complete { SWEEP } else { RETRY }
            }
            Err(failure) if failure.kind.is_transient() => {
                if reported != failure.text {
                    warn(format_args!("{}; waiting", failure.text));
                }
                reported = failure.text;
                RETRY
            }
            Err(failure) => return Err(failure),
        };
        if watch.wait(rest)? == WatchEvent::Shutdown {
            log("terminated; the entry and the binary stay");
            return Ok(());
        }
    }
}

/// The last place of the entry, and the times of repairs.
#[derive(Debug, Default)]
struct History {
    placed: Option<Placed>,
    repairs: Vec<Instant>,
}

impl History {
    /// Records the result of a pass; a change at the same place with the same content is a repair.
    fn add(&mut self, placed: Placed, changed: bool, now: Instant) -> Result<(), InstallError> {
        let before = self.placed.as_ref();
        let again =
            before.is_some_and(|before| before.path == placed.path && before.text == placed.text);
        if changed && again {
            self.repairs
                .retain(|repair| now.duration_since(*repair) < WITHIN);
            if self.repairs.len() >= REPAIRS {
                return Err(contended(&placed));
            }
            self.repairs.push(now);
        }
        self.placed = Some(placed);
        Ok(())
    }
}

/// The error that names the likely cause. Of a copy it is not the primary's owner, which does not know of it.
fn contended(placed: &Placed) -> InstallError {
    let path = placed.path.display();
    let primary_file = placed.primary_file.display();
    let cilium = "Set cni.exclusive=false in Cilium's values, or use --mode drop-in where the runtime reads drop-ins";
    let bak = format!("{path}{}", PARKED[0]);
    let text = if Path::new(&bak).exists() {
        format!(
            "by Cilium, which renames every file but its own ({bak}; the copy follows {primary_file}). {cilium}"
        )
    } else if placed.is_copy {
        format!(
            "by a program that changes files of others in that folder; it is not the owner of {primary_file}, which the \
             copy follows. Find it among the agents of this node that install themselves into a CNI chain, or use \
             another --mode"
        )
    } else {
        let remedy = match placed.primary.as_str() {
            "cilium-cni" => cilium,
            _ => {
                "Have that plugin leave the entries and files of others alone (some call it \"exclusive\"), or use another --mode"
            }
        };
        format!(
            "most likely by the daemon of plugin {:?}, which writes {primary_file}. {remedy}",
            placed.primary
        )
    };
    let text = format!(
        "giving up: the entry in {path} was put back {REPAIRS} times within a minute and taken out again each time, {text}"
    );
    InstallError::new(InstallErrorKind::Contended, text)
}

#[derive(Debug, PartialEq, Eq)]
enum WatchEvent {
    /// Something may have changed.
    Change,
    /// SIGTERM or SIGINT arrived.
    Shutdown,
}

/// The event sources of the watcher: inotify and termination signals.
struct WatchHandle {
    /// `None` if the inotify limit is reached: then all folders are polled.
    inotify: Option<Inotify>,
    signals: SignalFd,
}

impl WatchHandle {
    fn new() -> Result<WatchHandle, InstallError> {
        let failed = |error: Errno| {
            InstallError::new(InstallErrorKind::Io, format!("prepare to watch: {error}"))
        };
        let mut ends = SigSet::empty();
        ends.add(Signal::SIGTERM);
        ends.add(Signal::SIGINT);
        ends.thread_block().map_err(failed)?;
        let signals = SignalFd::with_flags(&ends, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .map_err(failed)?;
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).ok();
        Ok(WatchHandle { inotify, signals })
    }

    /// Watches every relevant folder; returns whether all exist. Adding a watch again is idempotent; a folder
    /// that was created again gets a new watch.
    fn watch_folders(&self, options: &Options, placed: Option<&Placed>) -> bool {
        let mut complete = self.watch(&options.conf_dir) & self.watch(&options.bin_dir);
        if let Some(placed) = placed {
            complete &= placed
                .path
                .parent()
                .is_some_and(|folder| self.watch(folder));
            // The target of a link may be elsewhere.
            let target = placed.primary_file.canonicalize().ok();
            complete &= target
                .as_deref()
                .and_then(Path::parent)
                .is_none_or(|folder| self.watch(folder));
        }
        complete
    }

    fn watch(&self, folder: &Path) -> bool {
        let events = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        self.inotify
            .as_ref()
            .is_some_and(|inotify| inotify.add_watch(folder, events).is_ok())
    }

    /// Waits for a change and for the quiet time after it, at most for `rest`.
    fn wait(&self, rest: Duration) -> Result<WatchEvent, InstallError> {
        let Some(first) = self.next_event(rest)? else {
            return Ok(WatchEvent::Change);
        };
        let deadline = Instant::now() + PATIENCE;
        let mut event = first;
        while event == WatchEvent::Change && Instant::now() < deadline {
            match self.next_event(QUIET)? {
                Some(next) => event = next,
                None => break,
            }
        }
        Ok(event)
    }

    /// The next event; `None` on timeout.
    fn next_event(&self, rest: Duration) -> Result<Option<WatchEvent>, InstallError> {
        let failed = |error: Errno| {
            InstallError::new(
                InstallErrorKind::Io,
                format!("watch the conf folder: {error}"),
            )
        };
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        fds.extend(
            self.inotify
                .as_ref()
                .map(|inotify| PollFd::new(inotify.as_fd(), PollFlags::POLLIN)),
        );
        let timeout = PollTimeout::try_from(rest).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, timeout) {
            Ok(0) | Err(Errno::EINTR) => return Ok(None),
            Ok(_) => {}
            Err(error) => return Err(failed(error)),
        }
        if self.signals.read_signal().map_err(failed)?.is_some() {
            return Ok(Some(WatchEvent::Shutdown));
        }
        match self
            .inotify
            .as_ref()
            .map_or(Err(Errno::EAGAIN), Inotify::read_events)
        {
            Ok(_) | Err(Errno::EAGAIN) => Ok(Some(WatchEvent::Change)),
            Err(error) => Err(failed(error)),
        }
    }
}

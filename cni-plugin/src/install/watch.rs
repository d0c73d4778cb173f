//! Stays after the installation and puts the entry back when somebody takes it out. It must never fight
//! for ever, and never take anything out when it is told to end.

use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::args::Options;
use super::binary::Wanted;
use super::failure::{Failure, Kind};
use super::folder::PARKED;
use super::mode::Placed;
use super::{Pass, pass, say, warn};

/// So many repairs may be undone within so much time.
const REPAIRS: usize = 3;
const WITHIN: Duration = Duration::from_secs(60);
/// A look without any event: a lost event, or a link whose target changed elsewhere.
const SWEEP: Duration = Duration::from_secs(10);
/// A look while something is still to come.
const RETRY: Duration = Duration::from_millis(300);
/// A writer is done when it was quiet for so long; a steady one is not waited for longer than the second.
const QUIET: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_millis(400);

/// Installs, and stays until it is told to end or somebody undoes the work again and again.
pub fn run(options: &Options) -> Result<(), Failure> {
    let bell = Bell::new()?;
    let mut history = History::default();
    let mut wanted = Wanted::Current;
    let mut told = String::new();
    loop {
        // Watched before it is read, so that no change falls between.
        let complete = bell.listen(options, history.placed.as_ref());
        let rest = match pass(options, wanted, Duration::ZERO) {
            Ok(Pass { placed, changed }) => {
                history.add(placed, changed, Instant::now())?;
                wanted = Wanted::Runnable;
                told.clear();
                if complete { SWEEP } else { RETRY }
            }
            Err(failure) if failure.kind.is_passing() => {
                if told != failure.text {
                    warn(format_args!("{}; waiting", failure.text));
                }
                told = failure.text;
                RETRY
            }
            Err(failure) => return Err(failure),
        };
        if bell.wait(rest)? == Heard::End {
            say("ending as told; the entry and the binary stay");
            return Ok(());
        }
    }
}

/// Where the entry was put last, and when it had to be put there again.
#[derive(Debug, Default)]
struct History {
    placed: Option<Placed>,
    repairs: Vec<Instant>,
}

impl History {
    /// Notes what a pass came to; a change of the very thing that was there before is a repair.
    fn add(&mut self, placed: Placed, changed: bool, now: Instant) -> Result<(), Failure> {
        let before = self.placed.as_ref();
        let again =
            before.is_some_and(|before| before.path == placed.path && before.text == placed.text);
        if changed && again {
            self.repairs
                .retain(|repair| now.duration_since(*repair) < WITHIN);
            if self.repairs.len() >= REPAIRS {
                return Err(undone(&placed));
            }
            self.repairs.push(now);
        }
        self.placed = Some(placed);
        Ok(())
    }
}

/// Who takes the entry out: of a copy it is not the primary's owner, who does not know of it.
fn undone(placed: &Placed) -> Failure {
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
    Failure::new(Kind::Undone, text)
}

#[derive(Debug, PartialEq, Eq)]
enum Heard {
    /// Something may have changed.
    Change,
    /// The program is told to end.
    End,
}

/// What wakes the watcher: the folders and the signals to end.
struct Bell {
    /// Missing when the machine has no more of them: then every folder is looked at again and again.
    inotify: Option<Inotify>,
    signals: SignalFd,
}

impl Bell {
    fn new() -> Result<Bell, Failure> {
        let failed =
            |error: Errno| Failure::new(Kind::Machine, format!("prepare to watch: {error}"));
        let mut ends = SigSet::empty();
        ends.add(Signal::SIGTERM);
        ends.add(Signal::SIGINT);
        ends.thread_block().map_err(failed)?;
        let signals = SignalFd::with_flags(&ends, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .map_err(failed)?;
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).ok();
        Ok(Bell { inotify, signals })
    }

    /// Listens to every folder that matters, and tells whether none was missing. A folder that is listened
    /// to already stays so; one that was made anew is a new one.
    fn listen(&self, options: &Options, placed: Option<&Placed>) -> bool {
        let mut complete = self.hears(&options.conf_dir) & self.hears(&options.bin_dir);
        if let Some(placed) = placed {
            complete &= placed
                .path
                .parent()
                .is_some_and(|folder| self.hears(folder));
            // A link's target may live elsewhere.
            let target = placed.primary_file.canonicalize().ok();
            complete &= target
                .as_deref()
                .and_then(Path::parent)
                .is_none_or(|folder| self.hears(folder));
        }
        complete
    }

    fn hears(&self, folder: &Path) -> bool {
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

    /// Waits for a change and for the quiet after it, at most for the time given.
    fn wait(&self, rest: Duration) -> Result<Heard, Failure> {
        let Some(first) = self.ring(rest)? else {
            return Ok(Heard::Change);
        };
        let deadline = Instant::now() + PATIENCE;
        let mut heard = first;
        while heard == Heard::Change && Instant::now() < deadline {
            match self.ring(QUIET)? {
                Some(next) => heard = next,
                None => break,
            }
        }
        Ok(heard)
    }

    /// What happens next, or `None` when the time is up.
    fn ring(&self, rest: Duration) -> Result<Option<Heard>, Failure> {
        let failed =
            |error: Errno| Failure::new(Kind::Machine, format!("watch the conf folder: {error}"));
        let mut ears = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        ears.extend(
            self.inotify
                .as_ref()
                .map(|inotify| PollFd::new(inotify.as_fd(), PollFlags::POLLIN)),
        );
        let timeout = PollTimeout::try_from(rest).unwrap_or(PollTimeout::MAX);
        match poll(&mut ears, timeout) {
            Ok(0) | Err(Errno::EINTR) => return Ok(None),
            Ok(_) => {}
            Err(error) => return Err(failed(error)),
        }
        if self.signals.read_signal().map_err(failed)?.is_some() {
            return Ok(Some(Heard::End));
        }
        match self
            .inotify
            .as_ref()
            .map_or(Err(Errno::EAGAIN), Inotify::read_events)
        {
            Ok(_) | Err(Errno::EAGAIN) => Ok(Some(Heard::Change)),
            Err(error) => Err(failed(error)),
        }
    }
}

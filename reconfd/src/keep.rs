//! The keeper of one copy of podconfig on a node, for a daemon that may not mount: it makes the switch and
//! keeps it pinned, puts the plugin into the chain and keeps it there. It speaks with nobody, and when it is
//! told to end it leaves everything as it is.

/// The plugin's own watcher, run as a child.
mod watcher;

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::interval,
};

use crate::{
    cli::Logging,
    installation::{
        Mode, OnNode,
        notes::{Chained, Note, Notes},
        plugin::Ended,
    },
    lock::{self, Role},
    node::{netlink::Changes, procfs::Procfs, switch::Pin},
};

use self::watcher::Watcher;

/// How often the pin, the child and the chain are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Of so many looks, once the switch's settings are looked at as well.
const THOROUGH: u32 = 10;
/// How long a keeper of the same installation may take to end.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct KeepConfig {
    /// Pin the switch, put the plugin into the chain, and end
    #[arg(long)]
    pub once: bool,

    /// Only say whether the keeper has the plugin in the chain: the exit code is 0 if so
    #[arg(long, conflicts_with = "once")]
    pub check: bool,

    #[command(flatten)]
    pub node: OnNode,

    #[command(flatten)]
    pub logging: Logging,
}

pub fn run(config: &KeepConfig) -> anyhow::Result<()> {
    let (node, notes) = (&config.node, Notes::in_run_dir(&config.node.run_dir));
    if config.check {
        return check(&notes, &node.installation);
    }
    let _lock = lock::wait_for(Role::Keeper, &node.run_dir, &node.installation, PATIENCE)?;
    let mut keeper = Keeper::open(node, notes)?;
    match config.once {
        true => keeper.install_once(),
        false => keeper.keep(),
    }
}

/// What the keeper noted last.
fn check(notes: &Notes, installation: &str) -> anyhow::Result<()> {
    let Some(note) = notes.read(installation)? else {
        bail!("no keeper of the installation {installation:?} has run on this node");
    };
    match note.chain {
        Chained::Kept | Chained::Off => Ok(()),
        Chained::Pending | Chained::Broken => bail!("{}", note.message),
    }
}

struct Keeper<'c> {
    node: &'c OnNode,
    notes: Notes,
    noted: Option<Note>,
    pin: Pin,
    procfs: Procfs,
    looks: u32,
}

impl<'c> Keeper<'c> {
    /// Noted before anything is installed: another copy that is uninstalled meanwhile leaves it alone.
    fn open(node: &'c OnNode, notes: Notes) -> anyhow::Result<Self> {
        let procfs = Procfs::open().context("open a procfs")?;
        let pin = find_or_make(node, &procfs)?;
        let mut keeper = Self {
            node,
            notes,
            noted: None,
            pin,
            procfs,
            looks: 0,
        };
        let _lock = keeper.notes.lock()?;
        if keeper
            .notes
            .read(&node.installation)
            .ok()
            .flatten()
            .is_none()
        {
            keeper.note(keeper.pending("it has just begun"))?;
        }
        Ok(keeper)
    }

    fn pending(&self, message: &str) -> Note {
        match self.node.chain.mode {
            Mode::None => Note::new(Chained::Off, ""),
            _ => Note::new(Chained::Pending, message),
        }
    }

    fn note(&mut self, note: Note) -> anyhow::Result<()> {
        if self.noted.as_ref() != Some(&note) {
            self.notes.write(&self.node.installation, &note)?;
            self.noted = Some(note);
        }
        Ok(())
    }

    /// A chain that cannot be joined is told and left to the keeper that stays: pods that run already get
    /// their links all the same.
    fn install_once(&mut self) -> anyhow::Result<()> {
        let note = match self.node.chain.mode {
            Mode::None => self.pending(""),
            _ => {
                let _lock = self.notes.lock()?;
                let ended = self.node.chain.install_once()?;
                if ended != Ended::Well {
                    tracing::warn!("{}", ended.words());
                }
                match ended {
                    Ended::Well => Note::new(Chained::Kept, ""),
                    Ended::NoChain => Note::new(Chained::Pending, ended.words()),
                    Ended::Undone | Ended::Failed => Note::new(Chained::Broken, ended.words()),
                }
            }
        };
        self.note(note)
    }

    /// Until it is told to end.
    fn keep(&mut self) -> anyhow::Result<()> {
        let mut watcher = Watcher::new(&self.node.chain);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("start the keeper")?;
        let kept = runtime.block_on(async {
            let (mut terminate, mut interrupt) = (
                signal(SignalKind::terminate())?,
                signal(SignalKind::interrupt())?,
            );
            let mut tick = interval(LOOK);
            loop {
                tokio::select! {
                    _ = terminate.recv() => return Ok(()),
                    _ = interrupt.recv() => return Ok(()),
                    _ = tick.tick() => self.look(&mut watcher)?,
                }
            }
        });
        watcher.end();
        tracing::info!("ending as told; the chain entry, the switch and all links stay");
        kept
    }

    fn look(&mut self, watcher: &mut Watcher<'_>) -> anyhow::Result<()> {
        self.look_at_pin();
        let note = watcher.look(Instant::now());
        if let Err(error) = self.note(note) {
            tracing::error!("{error:#}");
        }
        Ok(())
    }

    /// The very same namespace is pinned again, by the descriptor that is held.
    fn look_at_pin(&mut self) {
        let path = self.pin.path().display();
        if matches!(self.pin.holds(), Ok(false)) {
            match self.pin.pin() {
                Ok(()) => {
                    tracing::warn!(%path, "somebody unmounted the switch's namespace; it was pinned again");
                }
                Err(error) => tracing::error!("{error}"),
            }
        }
        if self.looks.is_multiple_of(THOROUGH)
            && let Err(error) = self.pin.enforce(&self.procfs)
        {
            tracing::error!("keep the settings of the switch {path}: {error}");
        }
        self.looks += 1;
    }
}

/// A daemon that lives in a switch which is no longer pinned would not see a second one, and its links would
/// go with the first: nothing is made beside it.
fn find_or_make(node: &OnNode, procfs: &Procfs) -> anyhow::Result<Pin> {
    let changes = Changes::default();
    let (folder, installation) = (&node.switch_folder, &node.installation);
    let found = Pin::find(folder, installation, &changes)?;
    if found.is_none() && lock::is_held(Role::Daemon, &node.run_dir, installation)? {
        bail!(
            "the switch is not pinned in {}, and a daemon of the installation {installation:?} lives in it: start the daemon anew, then a new switch is made",
            folder.display()
        );
    }
    Ok(Pin::find_or_make(folder, installation, procfs, &changes)?)
}

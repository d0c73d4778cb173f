//! The keeper of an installation on a node, for a daemon that may not mount: creates the switch and keeps it pinned,
//! adds the plugin to the chain and keeps it there. It needs no network, and leaves everything in place when it ends.

/// Supervises the plugin's own watcher, a child process.
mod supervisor;

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use args::Logging;
use clap::Args;
use installation::{
    Mode, OnNode,
    lock::{self, Role},
    plugin::InstallOutcome,
    registry::{ChainState, Registry, RegistryEntry},
};
use node::{netlink::Changes, procfs::Procfs, switch::Pin};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::interval,
};

use self::supervisor::Supervisor;

/// Interval of the checks of pin, child and chain.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// The switch's settings are checked once in this many checks.
const SETTINGS_CHECK_EVERY: u32 = 10;
/// How long to wait for another keeper of the installation to end.
const KEEPER_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct KeepConfig {
    /// Pin the switch, add the plugin to the chain, and exit
    #[arg(long)]
    pub once: bool,

    /// Only check whether the keeper has the plugin in the chain: the exit code is 0 if so
    #[arg(long, conflicts_with = "once")]
    pub check: bool,

    #[command(flatten)]
    pub node: OnNode,

    #[command(flatten)]
    pub logging: Logging,
}

pub fn run(config: &KeepConfig) -> anyhow::Result<()> {
    let (node, registry) = (
        &config.node,
        Registry::in_run_dir(&config.node.run_dir.path),
    );
    if config.check {
        return check(&registry, &node.installation.name);
    }
    let _lock = lock::wait_for(
        Role::Keeper,
        &node.run_dir.path,
        &node.installation.name,
        KEEPER_TIMEOUT,
    )?;
    let mut keeper = Keeper::open(node, registry)?;
    match config.once {
        true => keeper.install_once(),
        false => keeper.keep(),
    }
}

/// Checks the entry that the keeper wrote last.
fn check(registry: &Registry, installation: &str) -> anyhow::Result<()> {
    let Some(entry) = registry.read(installation)? else {
        bail!("no keeper of the installation {installation:?} has run on this node");
    };
    match entry.chain {
        ChainState::Kept | ChainState::Off => Ok(()),
        ChainState::Pending | ChainState::Broken => bail!("{}", entry.message),
    }
}

struct Keeper<'c> {
    node: &'c OnNode,
    registry: Registry,
    written: Option<RegistryEntry>,
    pin: Pin,
    procfs: Procfs,
    checks: u32,
}

impl<'c> Keeper<'c> {
    /// Registers the installation before it installs anything, so that an uninstallation of another one meanwhile
    /// leaves the shared parts in place.
    fn open(node: &'c OnNode, registry: Registry) -> anyhow::Result<Self> {
        let procfs = Procfs::open().context("open a procfs")?;
        let pin = find_or_make(node, &procfs)?;
        let mut keeper = Self {
            node,
            registry,
            written: None,
            pin,
            procfs,
            checks: 0,
        };
        let _lock = keeper.registry.lock()?;
        if keeper
            .registry
            .read(&node.installation.name)
            .ok()
            .flatten()
            .is_none()
        {
            keeper.entry(keeper.pending("the keeper has just started"))?;
        }
        Ok(keeper)
    }

    fn pending(&self, message: &str) -> RegistryEntry {
        match self.node.chain.mode {
            Mode::None => RegistryEntry::new(ChainState::Off, ""),
            _ => RegistryEntry::new(ChainState::Pending, message),
        }
    }

    fn entry(&mut self, entry: RegistryEntry) -> anyhow::Result<()> {
        if self.written.as_ref() != Some(&entry) {
            self.registry.write(&self.node.installation.name, &entry)?;
            self.written = Some(entry);
        }
        Ok(())
    }

    /// An error is logged and left to the permanent keeper: pods that are already running get their links anyway.
    fn install_once(&mut self) -> anyhow::Result<()> {
        let entry = match self.node.chain.mode {
            Mode::None => self.pending(""),
            _ => {
                let _lock = self.registry.lock()?;
                let outcome = self.node.chain.install_once()?;
                if outcome != InstallOutcome::Success {
                    tracing::warn!("{}", outcome.message());
                }
                match outcome {
                    InstallOutcome::Success => RegistryEntry::new(ChainState::Kept, ""),
                    InstallOutcome::NoChain => {
                        RegistryEntry::new(ChainState::Pending, outcome.message())
                    }
                    InstallOutcome::Reverted | InstallOutcome::Failed => {
                        RegistryEntry::new(ChainState::Broken, outcome.message())
                    }
                }
            }
        };
        self.entry(entry)
    }

    /// Runs until SIGTERM or SIGINT.
    fn keep(&mut self) -> anyhow::Result<()> {
        let mut supervisor = Supervisor::new(&self.node.chain);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("start the keeper")?;
        let kept = runtime.block_on(async {
            let (mut terminate, mut interrupt) = (
                signal(SignalKind::terminate())?,
                signal(SignalKind::interrupt())?,
            );
            let mut tick = interval(CHECK_INTERVAL);
            loop {
                tokio::select! {
                    _ = terminate.recv() => return Ok(()),
                    _ = interrupt.recv() => return Ok(()),
                    _ = tick.tick() => self.check(&mut supervisor)?,
                }
            }
        });
        supervisor.end();
        tracing::info!("ending; the chain entry, the switch and all links stay");
        kept
    }

    fn check(&mut self, supervisor: &mut Supervisor<'_>) -> anyhow::Result<()> {
        self.check_pin();
        let entry = supervisor.check(Instant::now());
        if let Err(error) = self.entry(entry) {
            tracing::error!("{error:#}");
        }
        Ok(())
    }

    /// Pins the same namespace again, by the open descriptor.
    fn check_pin(&mut self) {
        let path = self.pin.path().display();
        if matches!(self.pin.holds(), Ok(false)) {
            match self.pin.pin() {
                Ok(()) => {
                    tracing::warn!(%path, "the switch's namespace was unmounted; it was pinned again");
                }
                Err(error) => tracing::error!("{error}"),
            }
        }
        if self.checks.is_multiple_of(SETTINGS_CHECK_EVERY)
            && let Err(error) = self.pin.enforce(&self.procfs)
        {
            tracing::error!("cannot enforce the settings of the switch {path}: {error}");
        }
        self.checks += 1;
    }
}

/// Fails if a daemon is running in a switch that is no longer pinned: it would not see a second switch, and its links
/// would go with the first.
fn find_or_make(node: &OnNode, procfs: &Procfs) -> anyhow::Result<Pin> {
    let changes = Changes::default();
    let (folder, installation) = (&node.switch_folder.path, &node.installation.name);
    let found = Pin::find(folder, installation, &changes)?;
    if found.is_none() && lock::is_held(Role::Daemon, &node.run_dir.path, installation)? {
        bail!(
            "the switch is not pinned in {}, and a daemon of the installation {installation:?} is running in it: restart the daemon, then a new switch is created",
            folder.display()
        );
    }
    Ok(Pin::find_or_make(folder, installation, procfs, &changes)?)
}

//! Links that CNI plugins make, as a pass sees them: it asks, and never waits for a plugin.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    os::fd::{AsFd as _, OwnedFd},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use attachments::{
    engine::{Engine, EngineError, Parts},
    entry::{Entry, NetnsId, PodRef, Requester, Slot},
    folder::Folder,
    limits::Limits,
    state::{CheckMode, LinkRequest, PodRequest, Sandbox, Target, Wanted},
};
use cni::CniResult;
use crds::{NetworkAttachmentDefinition, Reason, podconfig::Check, report::LinkState};
use sandbox_record::{Record, boot_id, netns::NetnsFolders};
use store::{Stores, Trigger};

use super::{
    EventSender,
    cause::Cause,
    desired::{ConfigurationSource, Desired, DesiredAttachment},
    outcome::LinkOutcome,
    pods::RecordedPod,
};

/// The runner, as the engine calls it.
mod executor;
/// Pods, rules and the kernel, as the engine asks for them.
mod host;
/// Outcomes of links.
mod outcomes;
/// From a request to a chain.
mod resolve;

use executor::Executor;
pub use host::Addresses;
use host::{NodeHost, Ruling, Rulings};
use resolve::{Resolved, resolve};

/// Where the runner listens, and where the store is.
pub struct AttachmentOptions {
    pub runner: PathBuf,
    pub state: PathBuf,
    pub installation: String,
    pub netns: Vec<PathBuf>,
}

/// `None`: this node executes no plugins.
#[derive(Default)]
pub struct Attachments(Option<Running>);

struct Running {
    engine: Engine,
    rulings: Rulings,
    folders: NetnsFolders,
    boot_id: String,
    /// The newest record of each pod that has, or has requested, attachments.
    pods: HashMap<String, Option<Arc<Record>>>,
}

/// What is attached to a pod, by its interface: what a pass needs of it.
pub struct AttachedResult {
    pub slot: Slot,
    pub result: CniResult,
}

impl AttachedResult {
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.result.ips.iter().map(|ip| ip.address.ip())
    }
}

impl Attachments {
    pub fn start(options: &AttachmentOptions, events: EventSender) -> Result<Self, EngineError> {
        let rulings = Rulings::default();
        let boot_id = boot_id()?;
        let folders = NetnsFolders::new(&options.netns);
        let host = NodeHost::new(folders.clone(), boot_id.clone(), rulings.clone());
        let parts = Parts {
            folder: Folder::of_installation(&options.state, &options.installation),
            runner: Box::new(Executor::new(options.runner.clone())),
            host: Box::new(host),
            on_event: Box::new(move |event| {
                tracing::debug!(pod = %event.pod, ifname = event.ifname, "{:?}", event.change);
                events.send(Trigger::StepEnded(event.pod.uid));
            }),
            limits: Limits::default(),
            boot_id: boot_id.clone(),
        };
        let (engine, unreadable) = Engine::start(parts)?;
        for file in unreadable {
            tracing::error!(
                file = file.file,
                "left an attachment alone: {}",
                file.problem
            );
        }
        let stored = engine.entries().into_iter().map(|entry| entry.pod.uid);
        Ok(Self(Some(Running {
            pods: stored.map(|uid| (uid, None)).collect(),
            engine,
            rulings,
            folders,
            boot_id,
        })))
    }

    /// Requests what a pod should have, whole, and returns the outcome of each, with its order.
    pub fn request(
        &mut self,
        known: &RecordedPod,
        desired: &Desired,
        stores: &Stores,
    ) -> Vec<(usize, LinkOutcome)> {
        match &mut self.0 {
            None => unavailable(desired),
            Some(running) => running.request(known, desired, stores),
        }
    }

    /// The results of what is stored for a pod, also while it is deleted.
    pub fn results(&self, uid: &str) -> Vec<AttachedResult> {
        self.stored(uid)
            .into_iter()
            .filter_map(|entry| {
                Some(AttachedResult {
                    slot: entry.slot(),
                    result: CniResult::from_value(entry.result?).ok()?,
                })
            })
            .collect()
    }

    fn stored(&self, uid: &str) -> Vec<Entry> {
        let engine = self.0.as_ref().map(|running| &running.engine);
        engine.map_or_else(Vec::new, |engine| engine.entries_of(uid))
    }

    /// Whether something is stored for a pod.
    pub fn has(&self, uid: &str) -> bool {
        !self.stored(uid).is_empty()
    }

    /// Whether the addresses of a result may be used.
    pub fn rule_on_addresses(&self, uid: &str, slot: &Slot, addresses: Addresses) {
        let Some(running) = &self.0 else { return };
        let mut rulings = lock(&running.rulings);
        let Some(ruling) = rulings.get_mut(slot) else {
            return;
        };
        if ruling.addresses != addresses {
            ruling.addresses = addresses;
            drop(rulings);
            running.engine.retry(uid);
        }
    }

    /// The pods with these uids have ended.
    pub fn pods_ended<'a>(&mut self, uids: impl IntoIterator<Item = &'a String>) {
        let Some(running) = &mut self.0 else { return };
        for uid in uids {
            if running.pods.remove(uid).is_some() {
                running.engine.pod_ended(uid);
            }
        }
    }

    /// Records of these pods have changed. A namespace that is about to go is held for DEL.
    pub fn records_changed(
        &mut self,
        uids: &[String],
        current: impl Fn(&str) -> Option<Arc<Record>>,
    ) {
        let Some(running) = &mut self.0 else { return };
        for uid in uids {
            let Some(Some(last)) = running.pods.get(uid) else {
                continue;
            };
            let is_current =
                current(uid).is_some_and(|record| record.container_id == last.container_id);
            if !is_current {
                let netns = running.open(last);
                running.engine.sandbox_ended(&last.container_id, netns);
            }
        }
    }

    /// Every pod of the node is known: others have ended.
    pub fn synced(&self, known: &BTreeSet<String>) {
        if let Some(running) = &self.0 {
            running.engine.synced(known);
        }
    }
}

impl Running {
    fn request(
        &mut self,
        known: &RecordedPod,
        desired: &Desired,
        stores: &Stores,
    ) -> Vec<(usize, LinkOutcome)> {
        let uid = &known.pod.uid;
        if desired.attachments.is_empty() && !self.pods.contains_key(uid) {
            return Vec::new();
        }
        self.pods.insert(uid.clone(), Some(known.record.clone()));
        let (mut outcomes, mut requested, mut links) = (Vec::new(), Vec::new(), Vec::new());
        for attachment in &desired.attachments {
            match resolved(attachment, stores, &known.record) {
                Ok(resolved) => {
                    links.push(self.link_request(attachment, resolved));
                    requested.push(attachment);
                }
                Err(cause) => outcomes.push((
                    attachment.order,
                    attachment.outcome(LinkState::Failed, cause),
                )),
            }
        }
        self.engine.request(PodRequest {
            pod: PodRef {
                namespace: known.pod.namespace.clone(),
                name: known.pod.name.clone(),
                uid: uid.clone(),
            },
            sandbox: self.sandbox(known),
            links,
        });
        let states = self.engine.outcome(uid).links;
        let states = requested.into_iter().zip(&states);
        outcomes.extend(
            states.map(|(attachment, state)| {
                (attachment.order, outcomes::outcome(attachment, state))
            }),
        );
        outcomes
    }

    /// What is requested in one slot, and the rules for its result.
    fn link_request(&self, attachment: &DesiredAttachment, resolved: Resolved) -> LinkRequest {
        let slot = Slot::of(&resolved.chain);
        let mut rulings = lock(&self.rulings);
        let ruling = rulings.entry(slot).or_insert_with(Ruling::default);
        ruling.grants = resolved.grants;
        let check = match attachment.request.check.unwrap_or_default() {
            Check::Never => CheckMode::Never,
            Check::Report => CheckMode::Report,
            Check::Repair => CheckMode::Repair,
        };
        LinkRequest {
            ifname: attachment.name.clone(),
            target: Target::Attach(Box::new(Wanted {
                chain: resolved.chain,
                requester: Requester::PodConfig {
                    uid: attachment.podconfig_uid.clone(),
                    name: attachment.podconfig.clone(),
                    link: attachment.name.clone(),
                },
                spec_hash: resolved.spec_hash,
                after: Vec::new(),
                check,
            })),
        }
    }

    /// A pod in trouble keeps what it has.
    fn sandbox(&self, known: &RecordedPod) -> Option<Sandbox> {
        let record = &known.record;
        let is_usable = known.trouble.is_none() && record.boot_id == self.boot_id;
        is_usable.then(|| Sandbox {
            container_id: record.container_id.clone(),
            netns: NetnsId {
                boot_id: record.boot_id.clone(),
                cookie: record.cookie,
            },
        })
    }

    fn open(&self, record: &Record) -> Option<OwnedFd> {
        let netns = self.folders.open(&record.netns).ok()?;
        let is_it = netns.identity().cookie == record.cookie;
        let fd = netns.as_fd().try_clone_to_owned().ok();
        fd.filter(|_| is_it)
    }
}

fn resolved(
    attachment: &DesiredAttachment,
    stores: &Stores,
    record: &Record,
) -> Result<Resolved, Cause> {
    match &attachment.source {
        ConfigurationSource::Inline(text) => resolve(attachment, Some(text), record),
        ConfigurationSource::Definition { namespace, name } => {
            let definition = stores.get::<NetworkAttachmentDefinition>(namespace, name);
            let text = definition
                .as_ref()
                .map(|definition| definition.spec.config.as_str());
            resolve(attachment, text, record)
        }
    }
}

/// The outcomes where no plugin can be executed.
fn unavailable(desired: &Desired) -> Vec<(usize, LinkOutcome)> {
    let attachments = desired.attachments.iter();
    let unavailable = "this node runs no CNI plugins: its list, reinvoke.plugins, is empty";
    let outcomes = attachments.map(|attachment| {
        let why = (Reason::PluginNotFound, unavailable.to_owned());
        (attachment.order, attachment.outcome(LinkState::Failed, why))
    });
    outcomes.collect()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

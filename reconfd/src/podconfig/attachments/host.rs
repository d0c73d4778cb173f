//! What the engine of attachments must know of pods, rules and the kernel. Called from its threads.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
    sync::{Arc, Mutex},
};

use attachments::{
    entry::{Entry, Facts, Slot},
    ports::{Host, Netns, Remains, Verdict},
    status::{Failure, FailureReason},
};
use cni::CniResult;
use crds::Reason;
use node::{
    attached::AttachedLinks,
    netlink::Error,
    sandbox::{self, Unreachable},
};
use policy::AttachmentGrant;
use runner::client::Client;
use sandbox_record::netns::{self, NetnsFolders};
use serde_json::Value;
use workqueue::Attempts;

/// Default routes through a link.
mod default_routes;
/// The node's own networks.
mod node_chain;
/// What a pod has before and after ADD.
mod seen;

use seen::{Before, Seen, addresses};

use super::{
    AttachedResult, EngineRef, lock,
    ports::PortClaims,
    resolve::{objection, result_objections},
};

const UNCLAIMED: &str = "its addresses are not claimed yet";

/// What a pass has found out about an attachment; its threads read it.
#[derive(Clone, Debug, Default)]
pub struct Ruling {
    pub grants: Vec<AttachmentGrant>,
    pub addresses: Addresses,
    /// The newest result that was refused, until the rules allow it.
    pub refused: Option<AttachedResult>,
    /// How often the rules allowed a refused result lately.
    pub returns: Attempts,
}

/// Whether the addresses of a result may be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Addresses {
    /// No pass has looked at the result yet.
    #[default]
    Unknown,
    Pending(String),
    /// These are claimed for the pod.
    Held(BTreeSet<IpAddr>),
    Refused(Reason, String),
}

/// Rulings by slot, shared by passes and the threads of the engine.
pub type Rulings = Arc<Mutex<HashMap<Slot, Ruling>>>;

pub struct NodeHost {
    folders: NetnsFolders,
    boot_id: String,
    rulings: Rulings,
    engine: EngineRef,
    ports: PortClaims,
    runner: Client,
}

impl NodeHost {
    pub fn new(
        folders: NetnsFolders,
        boot_id: String,
        (rulings, engine): (Rulings, EngineRef),
        runner: Client,
    ) -> Self {
        Self {
            folders,
            boot_id,
            rulings,
            ports: PortClaims::new(engine.clone()),
            engine,
            runner,
        }
    }

    fn ruling(&self, entry: &Entry) -> Option<Ruling> {
        lock(&self.rulings).get(&entry.slot()).cloned()
    }

    /// Passes find out when the rules allow it.
    fn remember(&self, result: AttachedResult) {
        if let Some(ruling) = lock(&self.rulings).get_mut(&result.slot) {
            ruling.refused = Some(result);
        }
    }
}

impl Host for NodeHost {
    fn open(&self, entry: &Entry) -> Netns {
        let path = Path::new(&entry.chain.netns);
        let recorded = (entry.netns.boot_id.as_str(), entry.netns.cookie);
        match sandbox::open_recorded(&self.folders, path, recorded, &self.boot_id) {
            Ok(netns) => match netns.as_fd().try_clone_to_owned() {
                Ok(fd) => Netns::Open(Arc::new(fd)),
                Err(error) => Netns::Unknown(unknown(error.to_string())),
            },
            Err(Unreachable::Gone(_)) => Netns::Gone,
            Err(Unreachable::Untrusted(_)) if !path.exists() => Netns::Gone,
            Err(error) => Netns::Unknown(unknown(error.to_string())),
        }
    }

    fn before_add(&self, entry: &Entry, netns: &OwnedFd) -> Result<Option<Value>, Failure> {
        // What a pass has found out about the attachment before this one says nothing about its result.
        if let Some(ruling) = lock(&self.rulings).get_mut(&entry.slot()) {
            (ruling.addresses, ruling.refused) = (Addresses::Unknown, None);
        }
        let mut pod = open(netns)?;
        let links = pod.links().map_err(kernel)?;
        let name = &entry.chain.ifname;
        if links.values().any(|link| link.name == *name) {
            let taken = format!("the pod has an interface {name} already, which is not this link");
            return Err(Failure::new(FailureReason::NameTaken, taken));
        }
        node_chain::is_not_of_the_node(entry, self.ruling(entry), &self.runner)?;
        self.ports.claim(entry)?;
        let before = Before {
            links: links.keys().copied().collect(),
            addresses: addresses(&mut pod)?,
            routes: default_routes::noted(&mut pod, entry)?,
        };
        Ok(Some(before.to_value()))
    }

    fn judge(&self, entry: &Entry, netns: &OwnedFd) -> Verdict {
        let Some(ruling) = self.ruling(entry) else {
            return Verdict::Later("the daemon has not evaluated the link yet".to_owned());
        };
        let result = entry.result.clone().unwrap_or_default();
        let result = match CniResult::from_value(result) {
            Ok(result) => result,
            Err(error) => return Verdict::Refused(Facts::default(), invalid(error.to_string())),
        };
        // The next pass claims them, and then the pod is looked at once.
        if is_unclaimed(&ruling, &result) {
            return Verdict::Later(UNCLAIMED.to_owned());
        }
        let seen = open(netns).and_then(|mut pod| Seen::read(&mut pod, &entry.chain.ifname));
        let seen = match seen {
            Ok(seen) => seen,
            Err(failure) => return Verdict::Later(failure.message),
        };
        let facts = seen.facts();
        let all = seen.with_its_addresses(&result);
        match judge(&ruling, &all, &seen, Before::of(entry)) {
            Ok(None) => Verdict::Accepted(facts),
            Ok(Some(later)) => Verdict::Later(later),
            Err(failure) => {
                if let FailureReason::Judged("NotAllowed" | "NetworkReserved") = failure.reason {
                    self.remember(AttachedResult::with(entry, all));
                }
                Verdict::Refused(facts, failure)
            }
        }
    }

    fn set_default_routes(&self, entry: &Entry, netns: &OwnedFd) -> Result<(), Failure> {
        default_routes::set(entry, netns)
    }

    fn check_default_routes(&self, entry: &Entry, netns: &OwnedFd) -> Option<Failure> {
        default_routes::check(entry, netns)
    }

    fn look(&self, entry: &Entry, netns: &OwnedFd) -> Result<Facts, Failure> {
        let mut pod = open(netns)?;
        let links = pod.links().map_err(kernel)?;
        Ok(seen::of_multus(entry, &links))
    }

    fn before_del(&self, entry: &Entry, netns: &OwnedFd) -> Result<Option<Value>, Failure> {
        let mut pod = open(netns)?;
        default_routes::restore(&mut pod, entry)?;
        if entry.result.is_none() {
            let seen = Seen::read(&mut pod, &entry.chain.ifname)?;
            let others = self.engine.get().map(|engine| engine.entries());
            return Ok(seen.result(&entry.chain, &others.unwrap_or_default()));
        }
        let Some(index) = entry.facts.ifindex else {
            return Ok(None);
        };
        let links = pod.links().map_err(kernel)?;
        let name = &entry.chain.ifname;
        let is_free = !links.values().any(|link| link.name == *name);
        match links.get(&index) {
            Some(link) if link.name != *name && is_free => {
                pod.rename(index, name).map_err(kernel)?;
            }
            _ => {}
        }
        Ok(None)
    }

    fn after_del(&self, entry: &Entry, netns: &OwnedFd) -> Remains {
        match remains(entry, netns) {
            Ok(remains) => remains,
            Err(failure) => Remains::Link(failure),
        }
    }
}

/// A link with the name of the attachment, or with its ifindex, may be left.
fn remains(entry: &Entry, netns: &OwnedFd) -> Result<Remains, Failure> {
    let mut pod = open(netns)?;
    let links = pod.links().map_err(kernel)?;
    let Some(link) = entry.facts.ifindex.and_then(|index| links.get(&index)) else {
        return Ok(Remains::Nothing);
    };
    let what = format!(
        "the plugins answered DEL with success, and left the link {}",
        link.name
    );
    let failure = Failure::new(FailureReason::DetachIncomplete, what);
    // A device of the hardware belongs to the node; only what the kernel made is deleted.
    if link.kind.is_none() {
        return Ok(Remains::Link(failure));
    }
    pod.delete(link.index, &link.name).map_err(kernel)?;
    Ok(Remains::Deleted(failure))
}

/// Whether a result that may be accepted waits for the claims of its addresses.
fn is_unclaimed(ruling: &Ruling, result: &CniResult) -> bool {
    let is_allowed = |grant: &AttachmentGrant| result_objections(result, grant).is_empty();
    ruling.addresses == Addresses::Unknown
        && !result.ips.is_empty()
        && ruling.grants.iter().any(is_allowed)
}

/// `Ok(None)`: accepted. `Ok(Some)`: what it waits for. `all`: the result, with what the link has beside it.
fn judge(
    ruling: &Ruling,
    all: &CniResult,
    seen: &Seen,
    before: Before,
) -> Result<Option<String>, Failure> {
    let Some(link) = &seen.link else {
        return Err(invalid(
            "the plugins made no interface of that name in the pod".to_owned(),
        ));
    };
    let is_trusted = AttachmentGrant::any_trusted(&ruling.grants);
    let mut further = seen
        .links
        .iter()
        .filter(|(index, _)| !before.links.contains(index));
    if let Some((_, name)) = further.find(|(index, _)| **index != link.index && !is_trusted) {
        return Err(invalid(format!(
            "the plugins made a further interface {name} in the pod"
        )));
    }
    for (index, had) in &before.addresses {
        let has = seen.addresses.get(index);
        if !had
            .iter()
            .all(|address| has.is_some_and(|has| has.contains(address)))
        {
            return Err(invalid(
                "the plugins changed another interface of the pod".to_owned(),
            ));
        }
    }
    if let Some(objection) = objection(all, &ruling.grants) {
        return Err(Failure::new(FailureReason::Judged("NotAllowed"), objection));
    }
    let needed: BTreeSet<IpAddr> = all.ips.iter().map(|ip| ip.address.ip()).collect();
    match &ruling.addresses {
        _ if needed.is_empty() => Ok(None),
        Addresses::Held(held) if needed.is_subset(held) => Ok(None),
        Addresses::Held(_) | Addresses::Unknown => Ok(Some(UNCLAIMED.to_owned())),
        Addresses::Pending(what) => Ok(Some(what.clone())),
        Addresses::Refused(reason, what) => Err(Failure::new(
            FailureReason::Judged(reason.as_str()),
            what.clone(),
        )),
    }
}

fn open(netns: &OwnedFd) -> Result<AttachedLinks, Failure> {
    let copy = netns
        .try_clone()
        .map_err(|error| unknown(error.to_string()))?;
    let netns = netns::Netns::from_fd(copy).map_err(|error| unknown(error.to_string()))?;
    AttachedLinks::open(&netns).map_err(kernel)
}

fn kernel(error: Error) -> Failure {
    unknown(error.to_string())
}

fn unknown(message: String) -> Failure {
    Failure::new(FailureReason::SandboxUnknown, message)
}

fn invalid(message: String) -> Failure {
    Failure::new(FailureReason::ResultInvalid, message)
}

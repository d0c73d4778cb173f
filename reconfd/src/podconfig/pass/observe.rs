//! Observation of one pod: its desired links, and what its network namespace has. Changes nothing,
//! neither in the kernel nor in what the daemon keeps of the pod.

use std::{
    collections::{BTreeSet, HashSet},
    net::IpAddr,
};

use node::{
    Machine,
    links::{HostNetns, Present, veth},
    netlink::Error,
    present::{Candidate, Stranded},
    sandbox::{Depth, NetnsState, Sandbox, Unreachable},
};
use sandbox_record::Record;

use crate::podconfig::{applied::AppliedState, cause::Cause, desired::Desired, pods::RecordedPod};

/// A pod as it was read.
pub struct Observed {
    pub known: RecordedPod,
    /// Before any address or segment is claimed.
    pub desired: Desired,
    /// The id of its namespace in the switch, if it was entered.
    pub netns_id: Option<i32>,
    pub netns: Result<Box<Reading>, Unread>,
}

/// What a pod's network namespace has.
pub struct Reading {
    pub sandbox: Sandbox,
    pub inside: NetnsState,
    pub present: Vec<Present>,
    /// Host ends of earlier sandboxes of the pod.
    pub stale: Vec<(HostNetns, u32)>,
    pub candidates: Vec<Candidate>,
    pub stranded: Vec<Stranded>,
}

/// Why a pod's network namespace was not read.
pub enum Unread {
    /// Its record or object forbids it.
    NotOpened(Cause),
    Unreachable(Unreachable),
}

impl Unread {
    /// Whether time will not help: the pod is gone, or does not match its record.
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Unreachable(Unreachable::Kernel(_)))
    }
}

impl Desired {
    pub(super) fn requests_devices(&self) -> bool {
        let mut granted = self.granted.iter();
        granted.any(|granted| granted.link.kind.is_device())
    }

    fn requests_routes(&self) -> bool {
        let mut granted = self.granted.iter();
        granted.any(|granted| !veth::pod_routes(&granted.link).is_empty())
    }

    pub(super) fn requests_tables(&self) -> bool {
        let mut routes = self.granted.iter().flat_map(|granted| &granted.link.routes);
        routes.any(|route| route.table.is_some())
    }
}

impl Observed {
    pub fn uid(&self) -> &str {
        &self.known.pod.uid
    }

    pub fn is_gone(&self) -> bool {
        matches!(self.netns, Err(Unread::Unreachable(Unreachable::Gone(_))))
    }
}

impl Reading {
    /// The next free index in the pod.
    pub fn next_index(&self) -> u32 {
        let indexes = self.inside.links.keys().max();
        indexes.copied().unwrap_or_default() + 1
    }

    /// Indexes of own links in the pod.
    pub fn own_indexes(&self) -> HashSet<u32> {
        let present = self.present.iter();
        let veths = present.filter_map(|link| Some(link.pod.as_ref()?.index));
        let devices = self.candidates.iter();
        let devices = devices.map(|candidate| candidate.info.index);
        let stranded = self.stranded.iter().map(|stranded| stranded.index);
        veths.chain(devices).chain(stranded).collect()
    }
}

/// Reads one pod. `applied`: what a pass has applied to it before.
pub(super) fn observe(
    machine: &mut Machine,
    (known, desired): (RecordedPod, Desired),
    applied: Option<&AppliedState>,
) -> Observed {
    if let Some(trouble) = known.trouble.clone() {
        return Observed {
            known,
            desired,
            netns_id: None,
            netns: Err(Unread::NotOpened(trouble)),
        };
    }
    let mut netns_id = None;
    let netns = machine.visit(&known.record).and_then(|sandbox| {
        netns_id = Some(sandbox.in_switch);
        Ok(read(machine, (&known, &desired), applied, sandbox)?)
    });
    Observed {
        known,
        desired,
        netns_id,
        netns: netns.map(Box::new).map_err(Unread::Unreachable),
    }
}

fn read(
    machine: &mut Machine,
    (known, desired): (&RecordedPod, &Desired),
    applied: Option<&AppliedState>,
    mut sandbox: Sandbox,
) -> Result<Reading, Error> {
    let (uid, id) = (&known.pod.uid, &known.pod.sandbox);
    let has_ends = !machine.ends_of(uid).is_empty();
    let depth = depth(desired, applied, has_ends);
    let inside = sandbox.read(depth)?;
    let (present, stale) = machine.present(&sandbox, id, uid, &inside)?;
    let primary = primary(&known.record);
    let candidates = machine.candidates(&mut sandbox, uid, &inside, &primary)?;
    let veth_ends = applied.and_then(|applied| applied.veth_ends_of(id));
    let found = (&inside, present.as_slice());
    let veth_ends = veth_ends.cloned().unwrap_or_default();
    let stranded = machine.stranded(&mut sandbox, uid, found, &veth_ends);
    Ok(Reading {
        sandbox,
        inside,
        present,
        stale,
        candidates,
        stranded,
    })
}

/// What was verified, and has not been reported as changed since, is unchanged: without own
/// routes none are dumped.
fn depth(desired: &Desired, applied: Option<&AppliedState>, has_ends: bool) -> Depth {
    let applied = applied.filter(|applied| applied.seen);
    // A device inside the pod has no host end that would show it.
    let has_ends =
        has_ends || desired.requests_devices() || applied.is_none_or(|applied| applied.has_devices);
    Depth {
        addresses: has_ends,
        routes: has_ends && (desired.requests_routes() || applied.is_none_or(|s| s.has_routes)),
        rules: desired.requests_tables() || applied.is_none_or(|s| s.has_rules),
    }
}

/// The addresses that the runtime assigned to the pod.
pub(super) fn primary(record: &Record) -> BTreeSet<IpAddr> {
    let addresses = record.addresses.iter();
    let alone = |address: &String| address.split('/').next().and_then(|ip| ip.parse().ok());
    addresses.filter_map(alone).collect()
}

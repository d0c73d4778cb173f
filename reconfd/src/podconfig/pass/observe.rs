//! Observes and plans: the desired links of one pod, its present links, and the steps between them.
//! Does not change the kernel.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

use crds::{Reason, claim::DEFAULT_DOMAIN};
use sandbox_record::Record;

use super::{
    ObjectSnapshot, acd,
    backoff::leave_suspended,
    claims::grants,
    context::{self, PodContext},
    pending_probe::PendingProbe,
};
use crate::{
    node::{
        Machine,
        links::{DevicePolicy, Want, mac::Derived, ownership_mark::host_end_name},
        netlink::Error,
        sandbox::{Depth, NetnsState, Sandbox, Unreachable},
    },
    podconfig::{
        NodeReconciler,
        applied::CarrierState,
        desired::{self, DesiredLink},
        outcome::LocalPod,
        plan::{self, PlanInput, plan},
        pods::RecordedPod,
    },
};

impl NodeReconciler {
    /// Observes and plans one pod; changes nothing.
    pub(super) fn observe(
        &mut self,
        known: RecordedPod,
        snapshot: &mut ObjectSnapshot,
        keep_open: bool,
    ) -> PodContext {
        let mut ctx = PodContext::new(known);
        if ctx.known.is_replaced || ctx.known.is_unsupported() {
            // The pod is replaced: its links must not exist beside those of its successor. Or it
            // cannot use them.
            ctx.plan.steps = self
                .machine
                .ends_of(ctx.uid())
                .into_iter()
                .map(context::removal)
                .collect();
        }
        self.prove_net_admin(&mut ctx.known, &snapshot.policies);
        let mut desired = self.evaluate(&ctx.known.pod, snapshot);
        if let Some(trouble) = ctx.known.trouble.clone() {
            ctx.set_desired(desired);
            return self.give_up(ctx, trouble);
        }
        self.claim(&ctx.known.pod, &mut desired);
        ctx.set_desired(desired);
        match self.evaluate_segments(&ctx.granted) {
            Ok(ends) => ctx.ends = ends,
            Err(error) => {
                ctx.trouble = Some((Reason::KernelRefused, error.to_string()));
                return ctx;
            }
        }
        match self.machine.visit(&ctx.known.record) {
            Ok(mut sandbox) => {
                self.pods.unmark_newest_gone(ctx.uid());
                self.has_netns_id(ctx.uid(), sandbox.in_switch);
                if let Err(error) = self.make_plan(&mut ctx, &mut sandbox) {
                    ctx.trouble = Some((Reason::KernelRefused, error.to_string()));
                }
                ctx.sandbox = keep_open.then_some(sandbox);
                ctx
            }
            // It may succeed later: what the pod holds, it keeps.
            Err(error @ Unreachable::Kernel(_)) => {
                ctx.trouble = Some(context::trouble(error));
                ctx
            }
            Err(error) => {
                let is_gone = matches!(error, Unreachable::Gone(_));
                if is_gone {
                    self.discover_in(&ctx.known.pod.namespace);
                }
                if is_gone && self.pods.mark_newest_gone(ctx.uid()) {
                    // Its record was the later one only because the clock was set back.
                    let known = self.pods.recorded(ctx.uid(), &self.stores);
                    return known.map_or(ctx, |known| self.observe(known, snapshot, keep_open));
                }
                self.give_up(ctx, context::trouble(error))
            }
        }
    }

    /// An id of another pod: that pod's namespace has ended, and the event of its end will name
    /// this pod.
    fn has_netns_id(&mut self, uid: &str, id: i32) {
        let before = self.netns_ids.owner(id).filter(|before| *before != uid);
        self.dirty.extend(before.cloned());
        self.netns_ids.insert(id, uid);
    }

    /// A pod that is gone, or does not match its record, holds nothing.
    fn give_up(&mut self, mut ctx: PodContext, trouble: (Reason, String)) -> PodContext {
        self.release_all(ctx.uid());
        ctx.trouble = Some(trouble);
        ctx
    }

    fn evaluate(&self, pod: &LocalPod, snapshot: &mut ObjectSnapshot) -> desired::Desired {
        let configs = snapshot
            .configs
            .entry(pod.namespace.clone())
            .or_insert_with(|| self.stores.podconfigs_of(&pod.namespace));
        let desired = desired::desired(
            pod,
            self.quota.place(&pod.namespace, &pod.uid),
            configs,
            &snapshot.policies,
            &self.machine.installation,
        );
        for trouble in &desired.troubles {
            tracing::warn!(namespace = pod.namespace, pod = pod.name, "{trouble}");
        }
        self.apply_precedence(&pod.namespace, desired)
    }

    fn make_plan(&mut self, ctx: &mut PodContext, sandbox: &mut Sandbox) -> Result<(), Error> {
        let uid = ctx.uid().to_owned();
        self.delete_moved_out(&uid, sandbox)?;
        let depth = self.depth(ctx);
        let inside = sandbox.read(depth)?;
        ctx.has_rules = !inside.rules.is_empty() || ctx.requests_tables();
        let (present, stale) =
            self.machine
                .present(sandbox, &ctx.known.pod.sandbox, &uid, &inside)?;
        let primary = primary(&ctx.known.record);
        let candidates = self.machine.candidates(sandbox, &uid, &inside, &primary)?;
        ctx.carriers = carriers(ctx, &inside);
        ctx.next_index = inside.links.keys().max().copied().unwrap_or_default() + 1;
        ctx.set_present(&present, &candidates);
        let ours = present
            .iter()
            .filter_map(|link| Some(link.pod.as_ref()?.index));
        let ours = ours.chain(candidates.iter().map(|candidate| candidate.info.index));
        let is_there = |index: &u32| inside.links.contains_key(index);
        let applied = self.applied.get_mut(&uid);
        let indexes = applied.map(|applied| applied.indexes(&ctx.known.pod.sandbox, is_there));
        let (known, veth_ends) = indexes.unwrap_or_default();
        let found = (&inside, present.as_slice());
        let stranded = self.machine.stranded(sandbox, &uid, found, &veth_ends);
        let ours = ours.chain(stranded.iter().map(|stranded| stranded.index));
        self.suspend_overlapping(ctx, sandbox, (&inside, &ours.collect()))?;
        let (granted, probing) = self.wants(ctx, &inside);
        ctx.probing = probing;
        let mut of_pod = plan::PodDevices::new(&inside.links, candidates, &known, &granted);
        (of_pod.stranded, of_pod.has_ipv6) = (stranded, inside.has_ipv6);
        let input = PlanInput {
            inside: of_pod,
            granted,
            present,
            stale,
            rules: &inside.rules,
            segments: &self.segments.targets,
            node: &self.machine,
        };
        let mut plan = plan(input);
        leave_suspended(&ctx.granted, &mut plan);
        acd::report(&ctx.probing, &mut plan);
        self.hold_back(ctx, plan);
        Ok(())
    }

    /// A device that the pod has moved to a namespace of its own would outlive its permission.
    fn delete_moved_out(&mut self, uid: &str, sandbox: &mut Sandbox) -> Result<(), Error> {
        let applied = self.applied.get_mut(uid);
        let moved_out = applied.map(|applied| std::mem::take(&mut applied.moved_out));
        Machine::remove_hidden(sandbox, &moved_out.unwrap_or_default())
    }

    /// The granted links as the machine should make them.
    fn wants(&mut self, ctx: &PodContext, inside: &NetnsState) -> (Vec<Want>, Vec<PendingProbe>) {
        let pod = &ctx.known.pod;
        let mut wants = Vec::with_capacity(ctx.granted.len());
        let mut probing = Vec::new();
        for granted in &ctx.granted {
            let mut link = granted.link.clone();
            let present = ctx.present.get(&link.name);
            if let (Some(_), Some(present)) = (&granted.suspended, present) {
                // The rules are for the addresses that it has.
                link.addresses.clone_from(&present.addresses);
            }
            link.kind.starts_at(ctx.ends.get(&link.name).copied());
            let mtu = link.mtu.unwrap_or_default();
            let domain = Some(granted.domain.as_str()).filter(|name| *name != DEFAULT_DOMAIN);
            let owner = (pod.namespace.as_str(), pod.name.as_str());
            let mut want = Want {
                derived: Derived::of(&link, owner, domain),
                host_name: host_end_name(&ctx.known.pod.sandbox, &link.name),
                host_mtu: mtu,
                mtu,
                policy: self.device_policy(ctx.uid(), granted, inside),
                device: None,
                link,
                mark: granted.mark.clone(),
            };
            if granted.suspended.is_none() {
                probing.extend(self.probe_first(ctx, &mut want));
            }
            wants.push(want);
        }
        (wants, probing)
    }

    /// What the rules permit the device of a link, if it has one.
    fn device_policy(
        &self,
        uid: &str,
        granted: &DesiredLink,
        inside: &NetnsState,
    ) -> Option<DevicePolicy> {
        let kind = &granted.link.kind;
        let Some(segment) = kind.segment() else {
            let own = inside.addresses.iter().map(|a| a.network.ip()).collect();
            let peers = kind.data()?.peers(&own);
            return Some(DevicePolicy {
                peers,
                ..DevicePolicy::default()
            });
        };
        let owners = &self.segments.owners;
        let owner = owners.owner(&segment.name).unwrap_or_default();
        let (on_port, unfiltered) = grants(granted, owner);
        Some(DevicePolicy {
            on_port,
            unfiltered,
            is_shared: owners.has_others(&segment.name, uid),
            peers: BTreeSet::new(),
        })
    }

    /// What was verified, and has not been reported as changed since, is unchanged: without own
    /// routes none are dumped.
    fn depth(&self, ctx: &PodContext) -> Depth {
        let applied = self.applied.get(ctx.uid()).filter(|applied| applied.seen);
        // A device inside the pod has no host end that would show it.
        let has_ends = !self.machine.ends_of(ctx.uid()).is_empty()
            || ctx.requests_devices()
            || applied.is_none_or(|applied| applied.has_devices);
        Depth {
            addresses: has_ends,
            routes: has_ends && (ctx.requests_routes() || applied.is_none_or(|s| s.has_routes)),
            rules: ctx.requests_tables() || applied.is_none_or(|s| s.has_rules),
        }
    }
}

/// Links of the pod that other links are based on, as they are.
fn carriers(ctx: &PodContext, inside: &NetnsState) -> HashMap<u32, CarrierState> {
    let names = ctx
        .granted
        .iter()
        .filter_map(|granted| granted.link.kind.carrier());
    let rows = names.filter_map(|name| inside.links.values().find(|row| row.is_called(name)));
    rows.map(|row| (row.index, CarrierState::from(row)))
        .collect()
}

/// The addresses that the runtime assigned to the pod.
pub(super) fn primary(record: &Record) -> BTreeSet<IpAddr> {
    let addresses = record.addresses.iter();
    let alone = |address: &String| address.split('/').next().and_then(|ip| ip.parse().ok());
    addresses.filter_map(alone).collect()
}

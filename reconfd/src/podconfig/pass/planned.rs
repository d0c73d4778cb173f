//! Plans one pod: the steps between its present and its desired links. Changes nothing in the
//! kernel.

use std::collections::{BTreeSet, HashMap, HashSet};

use crds::{Reason, claim::DEFAULT_DOMAIN};

use super::{
    acd,
    backoff::leave_suspended,
    claims::{Claimed, grants},
    context::{self, PodContext},
    observe::{Observed, Reading, Unread},
    pending_probe::PendingProbe,
};
use crate::{
    node::{
        links::{DevicePolicy, Want, mac::Derived, ownership_mark::host_end_name},
        netlink::Error,
        sandbox::NetnsState,
    },
    podconfig::{
        NodeReconciler,
        applied::CarrierState,
        cause::Cause,
        desired::DesiredLink,
        plan::{self, PlanInput, Step, plan},
    },
};

impl NodeReconciler {
    /// Plans the steps of one pod.
    pub(super) fn plan(&mut self, claimed: Claimed, keep_open: bool) -> PodContext {
        let Claimed {
            observed,
            endpoints,
        } = claimed;
        let Observed {
            known,
            desired,
            netns,
            ..
        } = observed;
        let mut ctx = PodContext::new(known, desired);
        let unknown = match endpoints {
            Ok(endpoints) => {
                ctx.ends = endpoints;
                None
            }
            Err(error) => Some(refused(&error)),
        };
        match (netns, unknown) {
            (Ok(mut reading), None) => {
                if let Err(error) = self.plan_links(&mut ctx, &mut reading) {
                    ctx.trouble = Some(refused(&error));
                }
                ctx.sandbox = keep_open.then_some(reading.sandbox);
            }
            (Ok(_), trouble) => ctx.trouble = trouble,
            (Err(unread), _) => {
                ctx.plan.steps = self.removals_of(&ctx);
                ctx.trouble = Some(trouble_of(unread));
            }
        }
        ctx
    }

    /// The steps of a pod that is replaced, so that its links must not exist beside those of its
    /// successor, or that cannot use links.
    fn removals_of(&self, ctx: &PodContext) -> Vec<Step> {
        if !ctx.known.is_replaced && !ctx.known.is_unsupported() {
            return Vec::new();
        }
        let ends = self.machine.ends_of(ctx.uid()).into_iter();
        ends.map(context::removal).collect()
    }

    fn plan_links(&mut self, ctx: &mut PodContext, reading: &mut Reading) -> Result<(), Error> {
        ctx.has_rules = !reading.inside.rules.is_empty() || ctx.desired.requests_tables();
        ctx.carriers = carriers(ctx, &reading.inside);
        let indexes = reading.inside.links.keys().max();
        ctx.next_index = indexes.copied().unwrap_or_default() + 1;
        ctx.set_present(&reading.present, &reading.candidates);
        self.suspend_overlapping(ctx, reading)?;
        let (granted, probing) = self.wants(ctx, &reading.inside);
        ctx.probing = probing;
        let applied = self.applied.get(ctx.uid());
        let applied = applied.filter(|applied| applied.sandbox == ctx.known.pod.sandbox);
        let known = applied.map(|applied| applied.pod_ends.keys().copied().collect());
        let known: HashSet<u32> = known.unwrap_or_default();
        let moved_out = applied.map(|applied| applied.moved_out.clone());
        let inside = &reading.inside;
        let candidates = std::mem::take(&mut reading.candidates);
        let mut of_pod = plan::PodDevices::new(&inside.links, candidates, &known, &granted);
        of_pod.stranded = std::mem::take(&mut reading.stranded);
        of_pod.has_ipv6 = inside.has_ipv6;
        let input = PlanInput {
            inside: of_pod,
            moved_out: moved_out.unwrap_or_default(),
            granted,
            present: std::mem::take(&mut reading.present),
            stale: std::mem::take(&mut reading.stale),
            rules: &inside.rules,
            segments: &self.segments.targets,
            node: &self.machine,
        };
        let mut plan = plan(input);
        leave_suspended(&ctx.desired.granted, &mut plan);
        acd::report(&ctx.probing, &mut plan);
        self.hold_back(ctx, plan);
        Ok(())
    }

    /// The granted links as the machine should make them.
    fn wants(&mut self, ctx: &PodContext, inside: &NetnsState) -> (Vec<Want>, Vec<PendingProbe>) {
        let pod = &ctx.known.pod;
        let mut wants = Vec::with_capacity(ctx.desired.granted.len());
        let mut probing = Vec::new();
        for granted in &ctx.desired.granted {
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
}

/// Links of the pod that other links are based on, as they are.
fn carriers(ctx: &PodContext, inside: &NetnsState) -> HashMap<u32, CarrierState> {
    let names = ctx
        .desired
        .granted
        .iter()
        .filter_map(|granted| granted.link.kind.carrier());
    let rows = names.filter_map(|name| inside.links.values().find(|row| row.is_called(name)));
    rows.map(|row| (row.index, CarrierState::from(row)))
        .collect()
}

fn refused(error: &Error) -> Cause {
    (Reason::KernelRefused, error.to_string())
}

/// The trouble of a pod whose namespace was not read.
fn trouble_of(unread: Unread) -> Cause {
    match unread {
        Unread::NotOpened(trouble) => trouble,
        Unread::Unreachable(error) => context::trouble(error),
    }
}

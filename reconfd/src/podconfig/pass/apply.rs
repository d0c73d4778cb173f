//! Applies plans: deletes in one batch, then creates and updates, pod by pod, and saves the result.
//! Decides nothing.

use std::{collections::HashSet, io, time::Instant};

use crds::Reason;

use super::context::{self, PodContext};
use crate::{
    metrics::Op,
    node::{
        Machine,
        apply::Made,
        links::{HostNetns, LinkKind, VETH, Want, edit::Edit},
        netlink::Error,
        sandbox::Sandbox,
    },
    podconfig::{NodeReconciler, plan::Step, segments::SegmentDemand},
};

impl NodeReconciler {
    /// Deletes everything in one batch: links, and bridges without users.
    pub(super) fn remove_links(
        &mut self,
        contexts: &mut [PodContext],
        mut victims: Vec<(HostNetns, u32)>,
    ) {
        let started = Instant::now();
        let of_pods: Vec<(usize, String, HostNetns, u32)> = contexts
            .iter()
            .enumerate()
            .flat_map(|(at, ctx)| {
                ctx.removals()
                    .map(move |(place, index, link)| (at, link, place, index))
            })
            .collect();
        victims.extend(of_pods.iter().map(|(_, _, place, index)| (*place, *index)));
        victims.extend(self.idle_without(contexts, &victims));
        if victims.is_empty() {
            return;
        }
        let bridges = self.machine.bridges_of_devices(&victims);
        let removed = self.machine.remove(&victims);
        // A segment whose device was deleted may still be in use.
        bridges
            .into_iter()
            .for_each(|bridge| self.enqueue_segment_on(bridge));
        for (at, link, ..) in of_pods.into_iter().filter(|(_, link, ..)| !link.is_empty()) {
            self.metrics
                .operated(Op::Remove, VETH, removed.is_ok(), started.elapsed());
            contexts[at].removed(&link, &removed);
        }
        if let Err(error) = removed {
            tracing::error!("cannot delete links: {error}");
        }
    }

    /// Bridges that no link is on once `going` is gone, and the devices of their segments.
    fn idle_without(
        &self,
        contexts: &[PodContext],
        going: &[(HostNetns, u32)],
    ) -> Vec<(HostNetns, u32)> {
        // A failed pod gets no link now; the links that it has keep their bridge in use.
        let served = contexts.iter().filter(|ctx| ctx.trouble.is_none());
        let needed: HashSet<&str> = served.flat_map(PodContext::bridges).collect();
        let going: HashSet<(HostNetns, u32)> = going.iter().copied().collect();
        let mut idle = self.machine.idle_bridges(&going);
        idle.retain(|(name, _)| !needed.contains(name.as_str()));
        let idle: HashSet<u32> = idle.into_iter().map(|(_, index)| index).collect();
        // A segment is deleted with its last pod.
        let mut all = self.machine.idle_devices(&idle);
        all.extend(idle.iter().map(|index| (HostNetns::Switch, *index)));
        all
    }

    /// Deletes the bridges that the last link has left for another place. The events of this pass must have been
    /// read.
    pub(super) fn remove_left_bridges(&mut self, contexts: &[PodContext]) -> io::Result<()> {
        if !contexts.iter().any(|ctx| ctx.has_left_a_bridge) {
            return Ok(());
        }
        let idle = self.idle_without(contexts, &[]);
        if idle.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.machine.remove(&idle) {
            tracing::error!("cannot delete bridges without links: {error}");
        }
        self.handle_kernel_events()
    }

    /// What the pods of this pass ask of segments.
    pub(super) fn segment_demand(contexts: &[PodContext]) -> SegmentDemand {
        let acting = contexts.iter().filter(|ctx| ctx.trouble.is_none());
        SegmentDemand {
            pods: contexts.iter().map(|ctx| ctx.uid().to_owned()).collect(),
            joined: acting.flat_map(PodContext::joined_segments).collect(),
        }
    }

    /// A link depends on its segment's device.
    pub(super) fn check_segments(&self, ctx: &mut PodContext) {
        let links = ctx.desired.granted.iter().map(|granted| &granted.link);
        let failed = links.filter_map(|link| {
            let segment = link.kind.switch_bridge()?;
            let error = self.segments.error(segment)?;
            Some((link.name.clone(), error.clone()))
        });
        let failed: Vec<_> = failed.collect();
        ctx.segments_failed(failed);
    }

    pub(super) fn act(&mut self, ctx: &mut PodContext) {
        if ctx.has_nothing_to_do() || ctx.trouble.is_some() {
            return;
        }
        let kept = ctx
            .sandbox
            .take()
            .map_or_else(|| self.machine.visit(&ctx.known.record), Ok);
        let mut sandbox = match kept {
            Ok(sandbox) => sandbox,
            Err(error) => {
                ctx.trouble = Some(context::trouble(error));
                return;
            }
        };
        self.remove_moved_out(ctx, &mut sandbox);
        if ctx.trouble.is_some() {
            return;
        }
        self.act_on_rules(ctx, &mut sandbox);
        self.remove_devices(ctx, &mut sandbox);
        for step in std::mem::take(&mut ctx.plan.steps) {
            self.act_on_link(ctx, &mut sandbox, step);
        }
        self.announce(ctx, &mut sandbox);
        self.probe(ctx, &sandbox);
    }

    fn act_on_link(&mut self, ctx: &mut PodContext, sandbox: &mut Sandbox, step: Step) {
        let started = Instant::now();
        match step {
            Step::Create(want) if ctx.may_create(&want.link.name) => {
                let made = self.machine.create(sandbox, &want, ctx.next_index);
                self.metrics.operated(
                    Op::Make,
                    want.link.kind.name(),
                    made.is_ok(),
                    started.elapsed(),
                );
                ctx.next_index += 1;
                ctx.made(&want, made);
            }
            Step::Change {
                present,
                want,
                edits,
            } => {
                let LinkKind::Veth(veth) = &want.link.kind else {
                    return;
                };
                let changed = self
                    .machine
                    .change(sandbox, &present, (&want, veth), &edits);
                ctx.has_moved(&want, &edits);
                ctx.has_left_a_bridge |= edits.iter().any(Edit::leaves_bridge);
                self.changed(ctx, &want, changed, started);
            }
            Step::ChangeDevice {
                present,
                want,
                edits,
            } => {
                let LinkKind::Device(device) = &want.link.kind else {
                    return;
                };
                let changed =
                    self.machine
                        .change_device(sandbox, &present, (&want, device), &edits);
                ctx.has_moved(&want, &edits);
                self.announce_to_more(ctx.uid(), &want.link.name, &edits);
                match edits.iter().all(Edit::is_of_ends) {
                    true => ctx.followed(&want, changed),
                    false => self.changed(ctx, &want, changed, started),
                }
            }
            Step::Create(_)
            | Step::Remove { .. }
            | Step::RemoveDevice { .. }
            | Step::RemoveMovedOut(_)
            | Step::AddRule(_)
            | Step::DeleteRule(_) => (),
        }
    }

    fn changed(
        &self,
        ctx: &mut PodContext,
        want: &Want,
        changed: Result<Made, Error>,
        started: Instant,
    ) {
        let kind = want.link.kind.name();
        self.metrics
            .operated(Op::Change, kind, changed.is_ok(), started.elapsed());
        ctx.changed(want, changed);
    }

    /// Devices inside the pod are deleted before any is created: the kernel accepts one of each
    /// kind.
    fn remove_devices(&mut self, ctx: &mut PodContext, sandbox: &mut Sandbox) {
        let removals = ctx.device_removals();
        if removals.is_empty() {
            return;
        }
        let devices: Vec<(u32, String)> = removals
            .iter()
            .map(|(index, name, _)| (*index, name.clone()))
            .collect();
        let started = Instant::now();
        let removed = Machine::remove_devices(sandbox, &devices);
        for (.., link) in removals {
            let kind = ctx.kind_of(&link);
            self.metrics
                .operated(Op::Remove, kind, removed.is_ok(), started.elapsed());
            ctx.removed(&link, &removed);
        }
    }

    fn remove_moved_out(&mut self, ctx: &mut PodContext, sandbox: &mut Sandbox) {
        let steps = ctx.plan.steps.iter();
        let devices = steps.filter_map(|step| match step {
            Step::RemoveMovedOut(devices) => Some(devices.as_slice()),
            _ => None,
        });
        let devices: Vec<_> = devices.flatten().copied().collect();
        match Machine::remove_hidden(sandbox, &devices) {
            Ok(()) => {
                let applied = self.applied.get_mut(ctx.uid());
                applied.into_iter().for_each(|applied| {
                    applied.moved_out.retain(|device| !devices.contains(device));
                });
            }
            Err(error) => ctx.trouble = Some((Reason::KernelRefused, error.to_string())),
        }
    }

    fn act_on_rules(&mut self, ctx: &mut PodContext, sandbox: &mut Sandbox) {
        let steps = ctx.plan.steps.iter();
        let requests: Vec<_> = steps.filter_map(Step::rule_request).collect();
        if requests.is_empty() {
            return;
        }
        match Machine::apply_rules(sandbox, &requests) {
            Ok(()) => ctx.rules_restored(),
            Err(error) => ctx.trouble = Some((Reason::KernelRefused, error.to_string())),
        }
    }

    /// Saves the applied state, before its own kernel events are handled.
    pub(super) fn save_applied(&mut self, ctx: &PodContext) {
        let now = Instant::now();
        let uid = ctx.uid().to_owned();
        let applied = self.applied.entry(uid.clone()).or_default();
        if !ctx.is_unknown() {
            for end in applied.host_ends.keys() {
                self.host_ends.remove(end);
            }
        }
        self.host_ends.extend(
            ctx.present
                .values()
                .filter_map(|s| Some((s.host?, uid.clone()))),
        );
        ctx.save_applied(applied, now);
        self.announce_again(ctx);
        for (link, kind) in &ctx.repaired {
            self.metrics.drift_repaired(kind);
            tracing::info!(
                namespace = ctx.known.pod.namespace,
                pod = ctx.known.pod.name,
                link,
                what = ctx.drifted_parts.get(link),
                "changed by another program and repaired"
            );
        }
    }
}

//! Applies plans: deletes in one batch, then creates and updates, pod by pod, and saves the result.
//! Decides nothing.

use std::{collections::HashSet, io, time::Instant};

use crds::Reason;
use node::{
    Machine,
    apply::Made,
    links::{HostNetns, LinkKind, VETH, Want, edit::Edit},
    netlink::Error,
    sandbox::Sandbox,
};
use telemetry::metrics::{Metrics, Op};

use super::{
    announcing::announce,
    applied::{Applied, Changes},
    planned::{Planned, trouble},
    pod_links::PodLinks,
    saved::Saved,
};
use crate::podconfig::{
    NodeReconciler, plan::Step, pod_schedule::PodSchedule, segments::ReconciledSegments,
};

/// A planned pod whose unwanted links were deleted.
pub struct Reduced {
    pod: Applied,
    sandbox: Option<Sandbox>,
    next_index: u32,
}

impl From<Planned> for Reduced {
    fn from(planned: Planned) -> Self {
        let Planned {
            links,
            sandbox,
            next_index,
        } = planned;
        let changes = Changes::default();
        Self {
            pod: Applied { links, changes },
            sandbox,
            next_index,
        }
    }
}

impl NodeReconciler {
    /// Deletes everything in one batch: links, and bridges without users.
    pub(super) fn remove_links(
        &mut self,
        planned: Vec<Planned>,
        mut victims: Vec<(HostNetns, u32)>,
    ) -> Vec<Reduced> {
        let started = Instant::now();
        let mut pods: Vec<Reduced> = planned.into_iter().map(Reduced::from).collect();
        let of_pods: Vec<(usize, String, HostNetns, u32)> = pods
            .iter()
            .enumerate()
            .flat_map(|(at, reduced)| {
                let removals = reduced.pod.links.removals();
                removals.map(move |(place, index, link)| (at, link, place, index))
            })
            .collect();
        victims.extend(of_pods.iter().map(|(_, _, place, index)| (*place, *index)));
        let links = pods.iter().map(|reduced| &reduced.pod.links);
        victims.extend(self.idle_without(links, &victims));
        if victims.is_empty() {
            return pods;
        }
        let bridges = self.machine.bridges_of_devices(&victims);
        let removed = self.machine.remove(&victims);
        // A segment whose device was deleted may still be in use.
        self.segments.enqueue_on_bridges(&self.machine, bridges);
        for (at, link, ..) in of_pods.into_iter().filter(|(_, link, ..)| !link.is_empty()) {
            self.reports
                .metrics
                .operated(Op::Remove, VETH, removed.is_ok(), started.elapsed());
            pods[at].pod.removed(&link, &removed);
        }
        if let Err(error) = removed {
            tracing::error!("cannot delete links: {error}");
        }
        pods
    }

    /// Bridges that no link is on once `going` is gone, and the devices of their segments.
    fn idle_without<'a>(
        &self,
        pods: impl Iterator<Item = &'a PodLinks>,
        going: &[(HostNetns, u32)],
    ) -> Vec<(HostNetns, u32)> {
        // A failed pod gets no link now; the links that it has keep their bridge in use.
        let served = pods.filter(|links| links.trouble.is_none());
        let needed: HashSet<&str> = served.flat_map(PodLinks::bridges).collect();
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
    pub(super) fn remove_left_bridges(&mut self, saved: &[Saved]) -> io::Result<()> {
        let mut pods = saved.iter().map(Saved::applied);
        if !pods.any(|pod| pod.changes.has_left_a_bridge) {
            return Ok(());
        }
        let links = saved.iter().map(|saved| &saved.applied().links);
        let idle = self.idle_without(links, &[]);
        if idle.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.machine.remove(&idle) {
            tracing::error!("cannot delete bridges without links: {error}");
        }
        self.handle_kernel_events()
    }

    /// Applies the remaining steps of one pod.
    pub(super) fn apply(&mut self, reduced: Reduced, segments: &ReconciledSegments) -> Applied {
        let Reduced {
            mut pod,
            sandbox,
            next_index,
        } = reduced;
        check_segments(&mut pod, segments);
        if pod.links.has_nothing_to_do() || pod.links.trouble.is_some() {
            return pod;
        }
        match sandbox.map_or_else(|| self.machine.visit(&pod.links.known.record), Ok) {
            Ok(mut sandbox) => self.apply_steps(&mut pod, &mut sandbox, next_index),
            Err(error) => pod.links.trouble = Some(trouble(error)),
        }
        pod
    }

    fn apply_steps(&mut self, pod: &mut Applied, sandbox: &mut Sandbox, mut next_index: u32) {
        remove_moved_out(pod, sandbox, &mut self.schedule);
        if pod.links.trouble.is_some() {
            return;
        }
        apply_rules(pod, sandbox);
        remove_devices(pod, sandbox, &self.reports.metrics);
        for step in std::mem::take(&mut pod.links.plan.steps) {
            self.apply_step(pod, sandbox, (step, &mut next_index));
        }
        announce(&mut self.machine, pod, sandbox);
        self.addressing.probe(&pod.links, sandbox);
    }

    fn apply_step(
        &mut self,
        pod: &mut Applied,
        sandbox: &mut Sandbox,
        (step, next_index): (Step, &mut u32),
    ) {
        let started = Instant::now();
        match step {
            Step::Create(want) if pod.may_create(&want.link.name) => {
                let made = self.machine.create(sandbox, &want, *next_index);
                self.reports.metrics.operated(
                    Op::Make,
                    want.link.kind.name(),
                    made.is_ok(),
                    started.elapsed(),
                );
                *next_index += 1;
                pod.made(&want, made);
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
                pod.has_moved(&want, &edits);
                pod.changes.has_left_a_bridge |= edits.iter().any(Edit::leaves_bridge);
                self.changed(pod, &want, changed, started);
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
                pod.has_moved(&want, &edits);
                self.schedule
                    .announce_to_more(pod.uid(), &want.link.name, &edits);
                match edits.iter().all(Edit::is_of_ends) {
                    true => pod.followed(&want, changed),
                    false => self.changed(pod, &want, changed, started),
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
        pod: &mut Applied,
        want: &Want,
        changed: Result<Made, Error>,
        started: Instant,
    ) {
        let kind = want.link.kind.name();
        self.reports
            .metrics
            .operated(Op::Change, kind, changed.is_ok(), started.elapsed());
        pod.changed(want, changed);
    }
}

/// A link depends on its segment's device.
fn check_segments(pod: &mut Applied, segments: &ReconciledSegments) {
    let links = pod.links.desired.granted.iter();
    let failed = links.filter_map(|granted| {
        let segment = granted.link.kind.switch_bridge()?;
        let error = segments.error(segment)?;
        Some((granted.link.name.clone(), error.clone()))
    });
    let failed: Vec<_> = failed.collect();
    pod.segments_failed(failed);
}

/// Devices inside the pod are deleted before any is created: the kernel accepts one of each
/// kind.
fn remove_devices(pod: &mut Applied, sandbox: &mut Sandbox, metrics: &Metrics) {
    let removals = pod.links.device_removals();
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
        let kind = pod.links.kind_of(&link);
        metrics.operated(Op::Remove, kind, removed.is_ok(), started.elapsed());
        pod.removed(&link, &removed);
    }
}

fn remove_moved_out(pod: &mut Applied, sandbox: &mut Sandbox, schedule: &mut PodSchedule) {
    let steps = pod.links.plan.steps.iter();
    let devices = steps.filter_map(|step| match step {
        Step::RemoveMovedOut(devices) => Some(devices.as_slice()),
        _ => None,
    });
    let devices: Vec<_> = devices.flatten().copied().collect();
    match Machine::remove_hidden(sandbox, &devices) {
        Ok(()) => {
            let applied = schedule.applied_mut(pod.uid());
            applied.into_iter().for_each(|applied| {
                applied.moved_out.retain(|device| !devices.contains(device));
            });
        }
        Err(error) => pod.links.trouble = Some((Reason::KernelRefused, error.to_string())),
    }
}

fn apply_rules(pod: &mut Applied, sandbox: &mut Sandbox) {
    let steps = pod.links.plan.steps.iter();
    let requests: Vec<_> = steps.filter_map(Step::rule_request).collect();
    if requests.is_empty() {
        return;
    }
    match Machine::apply_rules(sandbox, &requests) {
        Ok(()) => pod.rules_restored(),
        Err(error) => pod.links.trouble = Some((Reason::KernelRefused, error.to_string())),
    }
}

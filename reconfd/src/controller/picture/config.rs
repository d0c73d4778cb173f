//! Pure: a PodConfig, and the pods that it selects.

use std::{collections::BTreeSet, net::IpAddr, time::SystemTime};

use crds::{PodConfig, PodConfigSpec, PodConfigStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt};

use super::{
    Read,
    bridges::{self, Nodes},
    ranges::{self, Asked, Taken},
};
use crate::{
    conditions::{
        ADDRESS_CONFLICT, Revision, Trouble,
        near_miss::{Labels, near_miss},
        podconfig,
    },
    controller::{
        job::Segment,
        rollup::{self, Roll, Verdict},
        seen::{Seen, Told},
    },
    podconfig::policy,
};

pub struct Config {
    object: PodConfig,
    /// Why it cannot be read.
    fault: Option<String>,
    /// `None`: it makes no sense, and selects nothing.
    selector: Option<Selector>,
    /// The ranges of its links.
    ranges: Vec<Asked>,
    pub roll: Roll,
    /// The bridges of the namespace that its links are on.
    pub bridges: BTreeSet<String>,
    /// The nodes of the pods that it selects, each with how many; known only where there are bridges.
    nodes: Nodes,
}

impl Config {
    pub fn new(read: Read<PodConfig>) -> Self {
        let (object, fault) = match read {
            Ok(object) => (object, None),
            Err(invalid) => {
                let spec = PodConfigSpec {
                    pod_selector: LabelSelector::default(),
                    links: Vec::new(),
                };
                let mut object = PodConfig::new("", spec);
                object.metadata = invalid.metadata;
                (object, Some(invalid.error))
            }
        };
        let selector = policy::selector(&object.spec.pod_selector).ok();
        Self {
            ranges: ranges::asked(&object),
            bridges: bridges::asked(&object),
            nodes: Nodes::default(),
            object,
            selector: selector.filter(|_| fault.is_none()),
            fault,
            roll: Roll::default(),
        }
    }

    /// Takes over what is known of the same object; whether it still asks for the same, so that its pods
    /// need not be looked at.
    pub fn succeed(&mut self, before: Self) -> bool {
        let is_same = Revision::of(&self.object) == Revision::of(&before.object)
            && self.fault == before.fault;
        if is_same {
            (self.roll, self.nodes) = (before.roll, before.nodes);
        }
        if is_same && self.fault.is_some() {
            self.object.status = before.object.status;
        }
        is_same
    }

    pub fn uid(&self) -> &str {
        self.object.metadata.uid.as_deref().unwrap_or_default()
    }

    /// How a pod stands to it; `None`: it does not select the pod, or no longer.
    pub fn verdict(&self, name: &str, pod: &Seen, told: Option<&Told>) -> Option<Verdict> {
        let selector = self.selector.as_ref()?;
        (pod.is_active && selector.matches(&pod.labels))
            .then(|| Verdict::of(&self.troubles(name, pod, told)))
    }

    /// Whether it may ask for an end of this tunnel in the pod; of one that cannot be read nobody knows.
    pub fn may_ask_for(&self, segment: Segment, pod: &Seen) -> bool {
        let links = self.object.spec.links.iter();
        let tunnels = links.filter_map(|link| link.vxlan.as_ref());
        let mut found = tunnels.filter(|vxlan| vxlan.peers.auto.is_some());
        let mut is_asked = || {
            found.any(|vxlan| {
                let port = vxlan.port().map(i32::from);
                (vxlan.vni, port) == (segment.vni, Some(segment.port))
            })
        };
        let selects = |selector: &Selector| selector.matches(&pod.labels);
        self.fault.is_some() || self.selector.as_ref().is_some_and(selects) && is_asked()
    }

    /// Whether one of its ranges may give out this address.
    pub fn gives_out(&self, address: &(String, IpAddr)) -> bool {
        ranges::hold(&self.ranges, address)
    }

    /// The nodes of the pods that it selects.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.nodes.names()
    }

    /// Why it selects none of these pods.
    pub fn near_miss<'a>(&self, pods: impl Iterator<Item = &'a Labels>) -> String {
        near_miss(&self.object.spec.pod_selector, pods)
    }

    /// Takes down how a pod stands to it; whether its status may say otherwise now.
    pub fn look_at(&mut self, name: &str, pod: Option<&Seen>, told: Option<&Told>) -> bool {
        let verdict = pod.and_then(|pod| self.verdict(name, pod, told));
        let selected = pod.filter(|_| verdict.is_some());
        self.nodes
            .put(name, selected.and_then(|pod| pod.node.as_deref()));
        let conflicts = selected.map(|pod| rollup::conflicts(&self.object, name, pod, told));
        let is_news = self.roll.put(name, verdict);
        self.roll.put_conflicts(name, conflicts.unwrap_or_default()) | is_news
    }

    pub fn troubles<'a>(
        &self,
        name: &'a str,
        pod: &Seen,
        told: Option<&'a Told>,
    ) -> Vec<Trouble<'a>> {
        rollup::troubles(&self.object, name, pod, told)
    }

    /// The status that it should have, if it has another.
    pub fn status<'a>(
        &'a self,
        (look, conflicts): (
            impl Fn(&'a str) -> Vec<Trouble<'a>>,
            impl Fn(&PodConfig) -> Vec<String>,
        ),
        remark: String,
        taken: &Taken,
        now: SystemTime,
    ) -> Option<PodConfigStatus> {
        let (object, before) = (&self.object, self.object.status.as_ref());
        let mut status = match &self.fault {
            Some(why) => podconfig::unreadable(object.metadata.generation, why, before, now),
            None => {
                let said = (look, conflicts(object));
                self.roll.status(object, said, remark, now)
            }
        };
        ranges::tell(&self.ranges, taken, &mut status);
        (!before.is_some_and(|before| says(before, &status))).then_some(status)
    }

    /// What an object that cannot be read says of itself cannot be read either.
    pub fn written(&mut self, status: &PodConfigStatus) {
        if self.fault.is_some() {
            self.object.status = Some(status.clone());
        }
    }
}

/// Whether all of a status is there already; conditions of others do not matter, and one that is there only
/// while it is true must be gone with it.
fn says(there: &PodConfigStatus, status: &PodConfigStatus) -> bool {
    let mut there = there.clone();
    let is_ours = |type_: &String| {
        let mut ours = status.conditions.iter();
        type_ == ADDRESS_CONFLICT || ours.any(|own| own.type_ == *type_)
    };
    there
        .conditions
        .retain(|condition| is_ours(&condition.type_));
    let place = |type_: &String| status.conditions.iter().position(|own| own.type_ == *type_);
    there
        .conditions
        .sort_by_key(|condition| place(&condition.type_));
    there == *status
}

//! Pure: state of a PodConfig and of the pods that it selects.

use std::{collections::BTreeSet, net::IpAddr, time::SystemTime};

use conditions::{
    ADDRESS_CONFLICT, Revision, Trouble,
    near_miss::{Labels, near_miss},
    podconfig,
};
use crds::{PodConfig, PodConfigSpec, PodConfigStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt};

use super::{
    Read,
    bridges::{self, PodNodes},
    ranges::{self, ClaimedAddresses, RequestedRange},
};
use crate::{
    objects::{PodInfo, ReportInfo},
    reconcile_key::SegmentKey,
    status_summary::{self, PodState, StatusSummary},
};

/// A PodConfig with the state of its selected pods.
pub struct ConfigState {
    object: PodConfig,
    /// Parse error of the object.
    parse_error: Option<String>,
    /// `None`: invalid, selects nothing.
    selector: Option<Selector>,
    /// The address ranges of its links.
    ranges: Vec<RequestedRange>,
    pub summary: StatusSummary,
    /// The bridges that its links use.
    pub bridges: BTreeSet<String>,
    /// The nodes of the selected pods.
    nodes: PodNodes,
}

impl ConfigState {
    pub fn new(read: Read<PodConfig>) -> Self {
        let (object, parse_error) = match read {
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
            ranges: ranges::requested(&object),
            bridges: bridges::bridges_of(&object),
            nodes: PodNodes::default(),
            object,
            selector: selector.filter(|_| parse_error.is_none()),
            parse_error,
            summary: StatusSummary::default(),
        }
    }

    /// Takes over the state of the previous object if the revision is the same. Returns whether it is; then the
    /// pods need not be evaluated again.
    pub fn take_over(&mut self, before: Self) -> bool {
        let is_same = Revision::of(&self.object) == Revision::of(&before.object)
            && self.parse_error == before.parse_error;
        if is_same {
            (self.summary, self.nodes) = (before.summary, before.nodes);
        }
        if is_same && self.parse_error.is_some() {
            self.object.status = before.object.status;
        }
        is_same
    }

    pub fn uid(&self) -> &str {
        self.object.metadata.uid.as_deref().unwrap_or_default()
    }

    /// State of a pod; `None`: not selected.
    pub fn pod_state(
        &self,
        name: &str,
        pod: &PodInfo,
        report: Option<&ReportInfo>,
    ) -> Option<PodState> {
        let selector = self.selector.as_ref()?;
        (pod.is_active && selector.matches(&pod.labels))
            .then(|| PodState::of(&self.troubles(name, pod, report)))
    }

    /// Whether it may request an endpoint of this segment in the pod. One that cannot be parsed may.
    pub fn may_request(&self, segment: SegmentKey, pod: &PodInfo) -> bool {
        let links = self.object.spec.links.iter();
        let tunnels = links.filter_map(|link| link.vxlan.as_ref());
        let mut found = tunnels.filter(|vxlan| vxlan.peers.auto.is_some());
        let mut is_requested = || {
            found.any(|vxlan| {
                let port = vxlan.port().map(i32::from);
                (vxlan.vni, port) == (segment.vni, Some(segment.port))
            })
        };
        let selects = |selector: &Selector| selector.matches(&pod.labels);
        self.parse_error.is_some() || self.selector.as_ref().is_some_and(selects) && is_requested()
    }

    /// Whether one of its ranges contains this address.
    pub fn gives_out(&self, address: &(String, IpAddr)) -> bool {
        ranges::contain(&self.ranges, address)
    }

    /// The nodes of the selected pods.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.nodes.names()
    }

    /// Explains why it selects none of these pods.
    pub fn near_miss<'a>(&self, pods: impl Iterator<Item = &'a Labels>) -> String {
        near_miss(&self.object.spec.pod_selector, pods)
    }

    /// Updates the state of a pod. Returns whether the PodConfig's status may change.
    pub fn update_pod(
        &mut self,
        name: &str,
        pod: Option<&PodInfo>,
        report: Option<&ReportInfo>,
    ) -> bool {
        let state = pod.and_then(|pod| self.pod_state(name, pod, report));
        let selected = pod.filter(|_| state.is_some());
        self.nodes
            .put(name, selected.and_then(|pod| pod.node.as_deref()));
        let conflicts =
            selected.map(|pod| status_summary::conflicts(&self.object, name, pod, report));
        let is_changed = self.summary.put(name, state);
        self.summary
            .put_conflicts(name, conflicts.unwrap_or_default())
            | is_changed
    }

    pub fn troubles<'a>(
        &self,
        name: &'a str,
        pod: &PodInfo,
        report: Option<&'a ReportInfo>,
    ) -> Vec<Trouble<'a>> {
        status_summary::troubles(&self.object, name, pod, report)
    }

    /// The desired status, if it differs from the current one.
    pub fn status<'a>(
        &'a self,
        (troubles_of, conflicts): (
            impl Fn(&'a str) -> Vec<Trouble<'a>>,
            impl Fn(&PodConfig) -> Vec<String>,
        ),
        remark: String,
        claimed: &ClaimedAddresses,
        now: SystemTime,
    ) -> Option<PodConfigStatus> {
        let (object, before) = (&self.object, self.object.status.as_ref());
        let mut status = match &self.parse_error {
            Some(why) => podconfig::unreadable(object.metadata.generation, why, before, now),
            None => {
                let inputs = (troubles_of, conflicts(object));
                self.summary.status(object, inputs, remark, now)
            }
        };
        ranges::set_usage(&self.ranges, claimed, &mut status);
        (!before.is_some_and(|before| is_up_to_date(before, &status))).then_some(status)
    }

    /// The status of an object that cannot be parsed cannot be read back, so it is remembered here.
    pub fn written(&mut self, status: &PodConfigStatus) {
        if self.parse_error.is_some() {
            self.object.status = Some(status.clone());
        }
    }
}

/// Whether the current status equals the desired one. Foreign condition types are ignored; `AddressConflict` must
/// be absent if it is not desired.
fn is_up_to_date(current: &PodConfigStatus, status: &PodConfigStatus) -> bool {
    let mut current = current.clone();
    let is_ours = |type_: &String| {
        let mut ours = status.conditions.iter();
        type_ == ADDRESS_CONFLICT || ours.any(|own| own.type_ == *type_)
    };
    current
        .conditions
        .retain(|condition| is_ours(&condition.type_));
    let place = |type_: &String| status.conditions.iter().position(|own| own.type_ == *type_);
    current
        .conditions
        .sort_by_key(|condition| place(&condition.type_));
    current == *status
}

//! What the links of a pod need of segments, and what their failure means for them.

use node::{links::edit::Edit, netlink::Error};

use super::{applied::Applied, planned::Planned, pod_links::PodLinks};
use crate::podconfig::{plan::Step, segments::SegmentDemand};

/// What the pods of this pass ask of segments.
pub(super) fn segment_demand(pods: &[Planned]) -> SegmentDemand {
    let links = pods.iter().map(|planned| &planned.links);
    let acting = links.clone().filter(|links| links.trouble.is_none());
    SegmentDemand {
        pods: links.map(|links| links.uid().to_owned()).collect(),
        joined: acting.flat_map(PodLinks::joined_segments).collect(),
    }
}

impl PodLinks {
    /// Segments that links are created on or moved to.
    fn joined_segments(&self) -> impl Iterator<Item = String> {
        let wants = self.plan.steps.iter().filter_map(|step| match step {
            Step::Create(want) | Step::Change { want, .. } => Some(want),
            _ => None,
        });
        let shared = wants.filter(|want| !want.link.kind.is_device());
        shared.filter_map(|want| Some(want.link.kind.segment()?.name.clone()))
    }
}

impl Applied {
    /// Records the errors of segments by link: present links report them, and none is created on or
    /// moved to such a segment.
    pub fn segments_failed(&mut self, failed: Vec<(String, Error)>) {
        for (link, error) in failed {
            let is_to_join = |step: &Step| match step {
                Step::Create(want) => want.link.name == link,
                Step::Change { want, edits, .. } => {
                    want.link.name == link && edits.iter().any(Edit::leaves_bridge)
                }
                _ => false,
            };
            let steps = &mut self.links.plan.steps;
            let joins = steps.iter().any(is_to_join);
            if joins || self.links.present.contains_key(&link) {
                steps.retain(|step| !is_to_join(step));
                self.changes.errors.insert(link, error);
            }
        }
    }
}

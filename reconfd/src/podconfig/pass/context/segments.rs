//! What the links of a pod need of segments, and what their failure means for them.

use super::PodContext;
use crate::{
    node::{links::edit::Edit, netlink::Error},
    podconfig::plan::Step,
};

impl PodContext {
    /// Segments that links are created on or moved to.
    pub fn joined_segments(&self) -> impl Iterator<Item = String> {
        let wants = self.plan.steps.iter().filter_map(|step| match step {
            Step::Create(want) | Step::Change { want, .. } => Some(want),
            _ => None,
        });
        let wants = wants.filter(|want| self.may_create(&want.link.name));
        let shared = wants.filter(|want| !want.link.kind.is_device());
        shared.filter_map(|want| Some(want.link.kind.segment()?.name.clone()))
    }

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
            let joins = self.plan.steps.iter().any(is_to_join);
            if joins || self.present.contains_key(&link) {
                self.plan.steps.retain(|step| !is_to_join(step));
                self.errors.insert(link, error);
            }
        }
    }
}

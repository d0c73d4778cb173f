//! Pure: nodes that come, go, and do not answer.

use super::Picture;
use crate::controller::{
    job::Mark,
    seen::{NodeSeen, Seen},
};

impl Picture {
    pub(super) fn pod(&mut self, namespace: &str, name: &str, pod: Option<Seen>) -> Vec<Mark> {
        let pod = pod.map(|pod| {
            let node = pod.node.as_ref();
            let unreachable_since = node.and_then(|node| self.unreachable.get(node)).cloned();
            Seen {
                unreachable_since,
                ..pod
            }
        });
        self.within(namespace, |space| space.pod(name, pod))
    }

    pub(super) fn node(&mut self, name: String, node: Option<NodeSeen>) -> Vec<Mark> {
        let mut marks = Vec::new();
        let since = node
            .as_ref()
            .and_then(|node| node.unreachable_since.clone());
        if self.unreachable.get(&name) != since.as_ref() {
            let spaces = self.spaces.values_mut();
            marks.extend(spaces.flat_map(|space| space.node(&name, since.as_ref())));
            match since {
                Some(since) => drop(self.unreachable.insert(name.clone(), since)),
                None => drop(self.unreachable.remove(&name)),
            }
        }
        if node.is_some() {
            self.nodes.insert(name);
            return marks;
        }
        self.nodes.remove(&name);
        let spaces = self.spaces.values();
        marks.extend(spaces.flat_map(|space| {
            let untold = space.untold_ends(Some(&name));
            space.reports_of(&name).into_iter().chain(untold)
        }));
        marks.extend(self.claims.of_node(&name));
        marks
    }
}

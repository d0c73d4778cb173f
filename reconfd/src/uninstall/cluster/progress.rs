//! Which nodes are through, by the pods that clean them; and whether somebody still lives who would put back
//! what they take away.

use k8s_openapi::api::{apps::v1::DaemonSet, core::v1::Pod};
use kube::ResourceExt as _;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// How many nodes there should be; `None`: nobody has counted them yet.
    nodes: Option<usize>,
    /// Nodes that are through.
    through: usize,
    /// Nodes whose pod is at work, with what it says.
    at_work: Vec<String>,
    /// Nodes whose pod nobody on the node has taken up.
    away: Vec<String>,
    /// Pods of the daemon and the controller.
    still_there: Vec<String>,
}

impl Progress {
    pub fn of(set: &DaemonSet, pods: &[Pod]) -> Self {
        let status = set.status.as_ref();
        let counted = status
            .filter(|status| status.observed_generation >= set.metadata.generation)
            .and_then(|status| usize::try_from(status.desired_number_scheduled).ok());
        let mut progress = Self {
            nodes: counted,
            through: 0,
            at_work: Vec::new(),
            away: Vec::new(),
            still_there: Vec::new(),
        };
        pods.iter().for_each(|pod| progress.take(pod));
        progress
    }

    fn take(&mut self, pod: &Pod) {
        let component = pod.labels().get("app.kubernetes.io/component");
        match component.map(String::as_str) {
            Some("uninstall") => self.take_worker(pod),
            Some("daemon" | "controller") => self.still_there.push(pod.name_any()),
            _ => (),
        }
    }

    fn take_worker(&mut self, pod: &Pod) {
        let status = pod.status.as_ref();
        let conditions = status.and_then(|status| status.conditions.as_ref());
        let is_ready = conditions.is_some_and(|conditions| {
            let mut conditions = conditions.iter();
            conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
        });
        let node = pod
            .spec
            .as_ref()
            .and_then(|spec| spec.node_name.clone())
            .unwrap_or_else(|| format!("of pod {}", pod.name_any()));
        if is_ready {
            self.through += 1;
        } else if status.is_none_or(|status| status.start_time.is_none()) {
            self.away.push(node);
        } else {
            self.at_work.push(format!("{node} ({})", state(pod)));
        }
    }

    pub fn is_complete(&self) -> bool {
        self.nodes.is_some_and(|nodes| self.through >= nodes)
            && self.at_work.is_empty()
            && self.away.is_empty()
            && self.still_there.is_empty()
    }

    /// What is left is nobody's to hasten: a node that is away takes up no pod, and ends none.
    pub fn waits_for_the_away_alone(&self) -> bool {
        self.nodes
            .is_some_and(|nodes| self.through + self.away.len() >= nodes)
            && self.at_work.is_empty()
            && !self.away.is_empty()
            && self.still_there.len() <= self.away.len()
    }

    pub fn words(&self) -> String {
        let Some(nodes) = self.nodes else {
            return "nobody has counted the nodes of the DaemonSet podconfig-uninstall yet".into();
        };
        let mut words = format!("{} of {nodes} nodes are through", self.through);
        for (what, names) in [
            ("at work", &self.at_work),
            ("away", &self.away),
            ("not ended yet", &self.still_there),
        ] {
            if !names.is_empty() {
                words += &format!("; {what}: {}", names.join(", "));
            }
        }
        words
    }
}

/// What the container that does the work says of itself.
fn state(pod: &Pod) -> String {
    let status = pod.status.as_ref();
    let containers = status.and_then(|status| status.init_container_statuses.as_ref());
    let state = containers
        .and_then(|all| all.first())
        .and_then(|container| container.state.as_ref());
    let Some(state) = state else {
        return "not started".into();
    };
    if let Some(waiting) = &state.waiting {
        return waiting.reason.clone().unwrap_or_else(|| "waiting".into());
    }
    match &state.terminated {
        Some(ended) => format!("ended with code {}", ended.exit_code),
        None => "running".into(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn set(observed: i64, desired: i32) -> DaemonSet {
        let status = json!({
            "observedGeneration": observed, "desiredNumberScheduled": desired,
            "currentNumberScheduled": desired, "numberMisscheduled": 0, "numberReady": 0,
        });
        let set = json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": {"name": "podconfig-uninstall", "generation": 1}, "status": status,
        });
        serde_json::from_value(set).unwrap()
    }

    fn pod(component: &str, node: &str, status: Value) -> Pod {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": format!("{component}-{node}"),
                "labels": {"app.kubernetes.io/component": component},
            },
            "spec": {"nodeName": node, "containers": []}, "status": status,
        });
        serde_json::from_value(pod).unwrap()
    }

    fn ready(node: &str) -> Pod {
        let status = json!({
            "startTime": "2030-01-01T00:00:00Z",
            "conditions": [{"type": "Ready", "status": "True"}],
        });
        pod("uninstall", node, status)
    }

    fn failing(node: &str) -> Pod {
        let state = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        let container = json!({
            "name": "uninstall", "image": "", "imageID": "", "ready": false, "restartCount": 2, "state": state,
        });
        let status = json!({
            "startTime": "2030-01-01T00:00:00Z", "initContainerStatuses": [container],
        });
        pod("uninstall", node, status)
    }

    fn away(node: &str) -> Pod {
        pod("uninstall", node, json!({"phase": "Pending"}))
    }

    #[test]
    fn it_is_over_when_every_node_is_through_and_nobody_is_left() {
        let progress = Progress::of(&set(1, 2), &[ready("a"), ready("b")]);
        assert!(progress.is_complete(), "{progress:?}");
        let daemon = pod("daemon", "a", json!({}));
        let progress = Progress::of(&set(1, 2), &[ready("a"), ready("b"), daemon]);
        assert!(!progress.is_complete());
        assert!(!progress.waits_for_the_away_alone());
        assert!(progress.words().contains("not ended yet: daemon-a"));
    }

    #[test]
    fn nodes_that_nobody_has_counted_are_waited_for() {
        assert!(!Progress::of(&set(0, 0), &[]).is_complete());
        assert!(Progress::of(&set(1, 0), &[]).is_complete());
        assert!(!Progress::of(&set(1, 2), &[ready("a")]).is_complete());
    }

    #[test]
    fn a_node_that_is_away_is_told_apart_from_one_that_fails() {
        let progress = Progress::of(&set(1, 2), &[ready("a"), away("b")]);
        assert!(!progress.is_complete() && progress.waits_for_the_away_alone());
        let progress = Progress::of(&set(1, 2), &[ready("a"), failing("b")]);
        assert!(!progress.is_complete() && !progress.waits_for_the_away_alone());
        let words = progress.words();
        assert!(words.contains("b (CrashLoopBackOff)"), "{words}");
    }

    #[test]
    fn the_daemon_of_a_node_that_is_away_holds_nobody_up() {
        let daemon = pod("daemon", "b", json!({}));
        let progress = Progress::of(&set(1, 2), &[ready("a"), away("b"), daemon]);
        assert!(progress.waits_for_the_away_alone());
    }
}

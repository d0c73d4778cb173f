//! Progress of the uninstallation by node, from the pods that clean them; and the daemon and controller pods that are
//! still running and would add back what is removed.

use k8s_openapi::api::{apps::v1::DaemonSet, core::v1::Pod};
use kube::ResourceExt as _;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The number of nodes; `None` until the DaemonSet controller has counted them.
    nodes: Option<usize>,
    /// The number of nodes that are done.
    done: usize,
    /// Nodes whose pod is running, with its state.
    running: Vec<String>,
    /// Nodes where no kubelet has started the pod.
    unreachable: Vec<String>,
    /// Pods of the daemon and the controller.
    remaining: Vec<String>,
}

impl Progress {
    pub fn of(set: &DaemonSet, pods: &[Pod]) -> Self {
        let status = set.status.as_ref();
        let counted = status
            .filter(|status| status.observed_generation >= set.metadata.generation)
            .and_then(|status| usize::try_from(status.desired_number_scheduled).ok());
        let mut progress = Self {
            nodes: counted,
            done: 0,
            running: Vec::new(),
            unreachable: Vec::new(),
            remaining: Vec::new(),
        };
        pods.iter().for_each(|pod| progress.take(pod));
        progress
    }

    fn take(&mut self, pod: &Pod) {
        let component = pod.labels().get("app.kubernetes.io/component");
        match component.map(String::as_str) {
            Some("uninstall") => self.take_worker(pod),
            Some("daemon" | "controller") => self.remaining.push(pod.name_any()),
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
            self.done += 1;
        } else if status.is_none_or(|status| status.start_time.is_none()) {
            self.unreachable.push(node);
        } else {
            self.running.push(format!("{node} ({})", state(pod)));
        }
    }

    pub fn is_complete(&self) -> bool {
        self.nodes.is_some_and(|nodes| self.done >= nodes)
            && self.running.is_empty()
            && self.unreachable.is_empty()
            && self.remaining.is_empty()
    }

    /// Whether only unreachable nodes are left: their kubelets neither start nor end a pod.
    pub fn only_unreachable_left(&self) -> bool {
        self.nodes
            .is_some_and(|nodes| self.done + self.unreachable.len() >= nodes)
            && self.running.is_empty()
            && !self.unreachable.is_empty()
            && self.remaining.len() <= self.unreachable.len()
    }

    pub fn summary(&self) -> String {
        let Some(nodes) = self.nodes else {
            return "the DaemonSet podconfig-uninstall has no node count yet".into();
        };
        let mut summary = format!("{} of {nodes} nodes are done", self.done);
        for (what, names) in [
            ("running", &self.running),
            ("unreachable", &self.unreachable),
            ("not terminated yet", &self.remaining),
        ] {
            if !names.is_empty() {
                summary += &format!("; {what}: {}", names.join(", "));
            }
        }
        summary
    }
}

/// State of the init container that cleans the node.
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
    fn it_is_complete_when_every_node_is_done_and_no_daemon_is_left() {
        let progress = Progress::of(&set(1, 2), &[ready("a"), ready("b")]);
        assert!(progress.is_complete(), "{progress:?}");
        let daemon = pod("daemon", "a", json!({}));
        let progress = Progress::of(&set(1, 2), &[ready("a"), ready("b"), daemon]);
        assert!(!progress.is_complete());
        assert!(!progress.only_unreachable_left());
        assert!(progress.summary().contains("not terminated yet: daemon-a"));
    }

    #[test]
    fn a_missing_node_count_is_awaited() {
        assert!(!Progress::of(&set(0, 0), &[]).is_complete());
        assert!(Progress::of(&set(1, 0), &[]).is_complete());
        assert!(!Progress::of(&set(1, 2), &[ready("a")]).is_complete());
    }

    #[test]
    fn an_unreachable_node_is_distinguished_from_a_failing_one() {
        let progress = Progress::of(&set(1, 2), &[ready("a"), away("b")]);
        assert!(!progress.is_complete() && progress.only_unreachable_left());
        let progress = Progress::of(&set(1, 2), &[ready("a"), failing("b")]);
        assert!(!progress.is_complete() && !progress.only_unreachable_left());
        let words = progress.summary();
        assert!(words.contains("b (CrashLoopBackOff)"), "{words}");
    }

    #[test]
    fn the_daemon_of_an_unreachable_node_does_not_block() {
        let daemon = pod("daemon", "b", json!({}));
        let progress = Progress::of(&set(1, 2), &[ready("a"), away("b"), daemon]);
        assert!(progress.only_unreachable_left());
    }
}

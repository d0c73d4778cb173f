//! Pure: which reports nobody stands for any more. The garbage collector takes those of pods that are
//! deleted; this is for what it does not see.

use std::collections::HashSet;

use super::seen::{Seen, Told};

/// Whether a report is to go, if it is still so after a while and a look at what is there now: its pod is
/// gone, or it does not come from the node of its pod, or that node is gone. `nodes`: all of them, if known.
pub fn is_orphan(told: &Told, pod: Option<&Seen>, nodes: Option<&HashSet<String>>) -> bool {
    !pod.is_some_and(|pod| told.is_of(pod))
        || nodes.is_some_and(|nodes| !nodes.contains(&told.node))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told() -> Told {
        Told {
            uid: "report".into(),
            version: "1".into(),
            pod_uid: "pod".into(),
            node: "n0".into(),
            trouble: None,
            links: Vec::new(),
        }
    }

    fn pod(uid: &str, node: Option<&str>) -> Seen {
        Seen {
            uid: uid.into(),
            node: node.map(str::to_owned),
            ..Seen::default()
        }
    }

    fn nodes(names: &[&str]) -> HashSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn a_report_of_a_pod_on_its_node_stays() {
        let here = pod("pod", Some("n0"));
        assert!(!is_orphan(
            &told(),
            Some(&here),
            Some(&nodes(&["n0", "n1"]))
        ));
    }

    #[test]
    fn a_report_of_no_pod_or_another_or_from_elsewhere_goes() {
        assert!(is_orphan(&told(), None, None));
        for other in [
            pod("later", Some("n0")),
            pod("pod", Some("n1")),
            pod("pod", None),
        ] {
            assert!(is_orphan(&told(), Some(&other), None), "{other:?}");
        }
    }

    #[test]
    fn a_report_of_a_node_that_is_gone_goes_but_unknown_nodes_are_not_gone() {
        let here = pod("pod", Some("n0"));
        assert!(is_orphan(&told(), Some(&here), Some(&nodes(&["n1"]))));
        assert!(!is_orphan(&told(), Some(&here), None));
    }
}

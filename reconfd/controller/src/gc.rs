//! Pure: finds orphaned PodReports that the garbage collector does not cover. It deletes only the reports of
//! deleted pods.

use std::collections::HashSet;

use super::objects::{PodInfo, ReportInfo};

/// Whether a report is orphaned: its pod is gone, another node wrote it, or its node is gone. It is deleted after
/// `ORPHAN_GRACE` if the live objects confirm this. `nodes`: all nodes, if synced.
pub fn is_orphan(
    report: &ReportInfo,
    pod: Option<&PodInfo>,
    nodes: Option<&HashSet<String>>,
) -> bool {
    !pod.is_some_and(|pod| report.is_of(pod))
        || nodes.is_some_and(|nodes| !nodes.contains(&report.node))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> ReportInfo {
        ReportInfo {
            uid: "report".into(),
            version: "1".into(),
            pod_uid: "pod".into(),
            node: "n0".into(),
            trouble: None,
            links: Vec::new(),
        }
    }

    fn pod(uid: &str, node: Option<&str>) -> PodInfo {
        PodInfo {
            uid: uid.into(),
            node: node.map(str::to_owned),
            ..PodInfo::default()
        }
    }

    fn nodes(names: &[&str]) -> HashSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn a_report_of_a_pod_on_its_node_stays() {
        let here = pod("pod", Some("n0"));
        assert!(!is_orphan(
            &report(),
            Some(&here),
            Some(&nodes(&["n0", "n1"]))
        ));
    }

    #[test]
    fn a_report_of_no_pod_or_another_or_from_elsewhere_goes() {
        assert!(is_orphan(&report(), None, None));
        for other in [
            pod("later", Some("n0")),
            pod("pod", Some("n1")),
            pod("pod", None),
        ] {
            assert!(is_orphan(&report(), Some(&other), None), "{other:?}");
        }
    }

    #[test]
    fn a_report_of_a_node_that_is_gone_goes_but_unknown_nodes_are_not_gone() {
        let here = pod("pod", Some("n0"));
        assert!(is_orphan(&report(), Some(&here), Some(&nodes(&["n1"]))));
        assert!(!is_orphan(&report(), Some(&here), None));
    }
}

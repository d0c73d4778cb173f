//! Pure: node-local bridges of a namespace. Pods on different nodes are not connected by them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crds::PodConfig;

/// Maximum number of nodes named in a message.
const MAX_NAMED: usize = 3;

/// The bridges that the links of a PodConfig use.
pub fn bridges_of(config: &PodConfig) -> BTreeSet<String> {
    let veths = config
        .spec
        .links
        .iter()
        .filter_map(|link| link.veth.as_ref());
    veths.filter_map(|veth| veth.bridge.clone()).collect()
}

/// Nodes of a set of pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodNodes {
    /// Node by pod.
    by_pod: HashMap<String, String>,
    /// Number of pods by node.
    pods: BTreeMap<String, usize>,
}

impl PodNodes {
    /// Sets the node of a pod; `None`: not scheduled or not selected.
    pub fn put(&mut self, pod: &str, node: Option<&str>) {
        if self.by_pod.get(pod).map(String::as_str) == node {
            return;
        }
        if let Some(before) = self.by_pod.remove(pod)
            && let Some(pods) = self.pods.get_mut(&before)
        {
            *pods -= 1;
            if *pods == 0 {
                self.pods.remove(&before);
            }
        }
        if let Some(node) = node {
            self.by_pod.insert(pod.to_owned(), node.to_owned());
            *self.pods.entry(node.to_owned()).or_default() += 1;
        }
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.pods.keys().map(String::as_str)
    }
}

/// Warning that pods on different nodes are not connected by the bridge, if there are several nodes.
pub fn warning(bridge: &str, nodes: &BTreeSet<&str>) -> Option<String> {
    let mut named: Vec<&str> = nodes.iter().copied().take(MAX_NAMED).collect();
    let last = match nodes.len() {
        0 | 1 => return None,
        many if many > MAX_NAMED => "others",
        _ => named.pop()?,
    };
    let named = named.join(", ");
    Some(format!(
        "pods on {named} and {last} are not connected: bridge {bridge} is local to each node; use vxlan or vlan between nodes"
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_node_counts_as_long_as_a_pod_is_there() {
        let mut nodes = PodNodes::default();
        nodes.put("a", Some("n0"));
        nodes.put("b", Some("n0"));
        nodes.put("b", Some("n1"));
        assert_eq!(nodes.names().collect::<Vec<_>>(), ["n0", "n1"]);
        nodes.put("a", None);
        nodes.put("a", None);
        assert_eq!(nodes.names().collect::<Vec<_>>(), ["n1"]);
    }

    #[test]
    fn a_warning_names_only_some_of_the_nodes() {
        let of = |nodes: &[&'static str]| warning("blue", &nodes.iter().copied().collect());
        assert_eq!(of(&["n0"]), None);
        assert!(
            of(&["n1", "n0"])
                .unwrap()
                .starts_with("pods on n0 and n1 are not connected: bridge blue")
        );
        assert!(
            of(&["a", "b", "c"])
                .unwrap()
                .starts_with("pods on a, b and c are not")
        );
        assert!(
            of(&["a", "b", "c", "d"])
                .unwrap()
                .starts_with("pods on a, b, c and others are not")
        );
    }
}

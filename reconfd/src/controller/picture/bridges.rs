//! Pure: bridges of a namespace, each of which is of one node: pods of several nodes do not meet on it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crds::PodConfig;

/// How many nodes are named.
const NAMED: usize = 3;

/// The bridges of the namespace that the links of a PodConfig are on.
pub fn asked(config: &PodConfig) -> BTreeSet<String> {
    let veths = config
        .spec
        .links
        .iter()
        .filter_map(|link| link.veth.as_ref());
    veths.filter_map(|veth| veth.bridge.clone()).collect()
}

/// The nodes of some pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nodes {
    /// By pod.
    of: HashMap<String, String>,
    /// How many pods each has.
    pods: BTreeMap<String, usize>,
}

impl Nodes {
    /// Takes down on which node a pod is, `None` where it is on none or does not count.
    pub fn put(&mut self, pod: &str, node: Option<&str>) {
        if self.of.get(pod).map(String::as_str) == node {
            return;
        }
        if let Some(before) = self.of.remove(pod)
            && let Some(pods) = self.pods.get_mut(&before)
        {
            *pods -= 1;
            if *pods == 0 {
                self.pods.remove(&before);
            }
        }
        if let Some(node) = node {
            self.of.insert(pod.to_owned(), node.to_owned());
            *self.pods.entry(node.to_owned()).or_default() += 1;
        }
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.pods.keys().map(String::as_str)
    }
}

/// That the pods of these nodes do not meet on the bridge, if there are several.
pub fn warning(bridge: &str, nodes: &BTreeSet<&str>) -> Option<String> {
    let mut named: Vec<&str> = nodes.iter().copied().take(NAMED).collect();
    let last = match nodes.len() {
        0 | 1 => return None,
        many if many > NAMED => "others",
        _ => named.pop()?,
    };
    let named = named.join(", ");
    Some(format!(
        "pods on {named} and {last} do not meet on bridge {bridge}, which is of one node each; use vxlan or vlan between nodes"
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_node_counts_as_long_as_a_pod_is_there() {
        let mut nodes = Nodes::default();
        nodes.put("a", Some("n0"));
        nodes.put("b", Some("n0"));
        nodes.put("b", Some("n1"));
        assert_eq!(nodes.names().collect::<Vec<_>>(), ["n0", "n1"]);
        nodes.put("a", None);
        nodes.put("a", None);
        assert_eq!(nodes.names().collect::<Vec<_>>(), ["n1"]);
    }

    #[test]
    fn several_nodes_are_told_and_only_some_are_named() {
        let of = |nodes: &[&'static str]| warning("blue", &nodes.iter().copied().collect());
        assert_eq!(of(&["n0"]), None);
        assert!(
            of(&["n1", "n0"])
                .unwrap()
                .starts_with("pods on n0 and n1 do not meet on bridge blue")
        );
        assert!(
            of(&["a", "b", "c"])
                .unwrap()
                .starts_with("pods on a, b and c do")
        );
        assert!(
            of(&["a", "b", "c", "d"])
                .unwrap()
                .starts_with("pods on a, b, c and others do")
        );
    }
}

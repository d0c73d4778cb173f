//! Pure: pods that cannot use links. They get none, and their report says so.

/// Runtimes with a network stack of their own behind that of the namespace: they take over the
/// interfaces that exist at their start, and do not see later ones.
pub const RUNTIME_CLASSES: &str = "kata*,gvisor*,runsc*,firecracker*,urunc*";

/// Names of runtime classes; a trailing `*` matches any suffix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unsupported(Vec<String>);

impl Unsupported {
    pub fn new(patterns: &[String]) -> Self {
        let patterns = patterns.iter().filter(|pattern| !pattern.is_empty());
        Self(patterns.cloned().collect())
    }

    /// Why this pod gets no links, if so.
    pub fn why(&self, pod: &store::Pod) -> Option<String> {
        if pod.spec.host_network {
            return Some("the pod uses the node's own network (hostNetwork)".into());
        }
        let class = pod.spec.runtime_class_name.as_deref()?;
        let is_named = |pattern: &String| match pattern.strip_suffix('*') {
            Some(beginning) => class.starts_with(beginning),
            None => class == pattern,
        };
        self.0.iter().any(is_named).then(|| {
            format!(
                "what the runtime class {class:?} runs has a network of its own behind the pod's, \
                 and does not see links that come after its start"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(host_network: bool, class: Option<&str>) -> store::Pod {
        let mut pod = store::Pod::default();
        pod.spec.host_network = host_network;
        pod.spec.runtime_class_name = class.map(Into::into);
        pod
    }

    fn usual() -> Unsupported {
        let patterns: Vec<String> = RUNTIME_CLASSES.split(',').map(Into::into).collect();
        Unsupported::new(&patterns)
    }

    #[test]
    fn a_pod_on_the_nodes_network_is_unsupported_whatever_the_list_says() {
        let none = Unsupported::new(&[String::new()]);
        assert!(none.why(&pod(true, None)).is_some());
        assert_eq!(none.why(&pod(false, Some("kata"))), None);
    }

    #[test]
    fn guests_and_user_space_stacks_are_unsupported_and_ordinary_containers_are_not() {
        for class in [
            "kata",
            "kata-qemu",
            "kata-remote",
            "gvisor",
            "runsc",
            "urunc",
        ] {
            let why = usual().why(&pod(false, Some(class)));
            assert!(why.is_some_and(|why| why.contains(class)), "{class}");
        }
        for class in ["runc", "crun", "nvidia", "my-kata", "sysbox-runc", ""] {
            assert_eq!(usual().why(&pod(false, Some(class))), None, "{class}");
        }
        assert_eq!(usual().why(&pod(false, None)), None);
    }

    #[test]
    fn a_name_without_a_star_is_that_name_alone() {
        let one = Unsupported::new(&["vm".into()]);
        assert!(one.why(&pod(false, Some("vm"))).is_some());
        assert!(one.why(&pod(false, Some("vm2"))).is_none());
    }
}

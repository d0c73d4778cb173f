//! Containers of a pod that may administer its network. Other containers are not kept.

use serde::{Deserialize, Deserializer};

use policy::clipped;

/// A container with `NET_ADMIN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Administrator {
    pub name: String,
    /// By being privileged; otherwise by a capability.
    pub is_privileged: bool,
}

/// Whether a pod has `NET_ADMIN`, according to its object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NetAdmin {
    /// The object does not list its containers.
    #[default]
    Unknown,
    No,
    /// Yes, but in a user namespace of the pod, according to the object.
    Claimed(String),
    /// Yes, in the node's own user namespace; with the reason.
    Yes(String),
}

impl NetAdmin {
    pub(super) fn of(spec: &super::PodSpec) -> Self {
        let later = spec
            .init_containers
            .iter()
            .chain(&spec.ephemeral_containers);
        let mut all = spec.containers.iter().flatten().chain(later);
        let Some(first) = all.next() else {
            return match spec.containers {
                Some(_) => Self::No,
                None => Self::Unknown,
            };
        };
        let name = clipped(&first.name);
        let how = match first.is_privileged {
            true => format!("container {name} is privileged"),
            false => format!("container {name} has the capability NET_ADMIN"),
        };
        match spec.host_users {
            Some(false) => Self::Claimed(how),
            _ => Self::Yes(how),
        }
    }

    /// Corrects the answer by the owner of the pod's network namespace, as read from the kernel.
    pub fn proved(self, is_of_node: bool) -> Self {
        match (self, is_of_node) {
            (Self::Claimed(how), true) => Self::Yes(format!(
                "{how}, and its network namespace is the node's own user namespace's, though the pod says \
                 hostUsers: false"
            )),
            (Self::Claimed(_) | Self::Unknown, false) => Self::No,
            (answer, _) => answer,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Container {
    name: Option<String>,
    security_context: Option<SecurityContext>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SecurityContext {
    privileged: Option<bool>,
    capabilities: Option<Capabilities>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Capabilities {
    add: Option<Vec<String>>,
}

impl Container {
    fn administrator(self) -> Option<Administrator> {
        let context = self.security_context?;
        let is_privileged = context.privileged == Some(true);
        let added = context.capabilities.and_then(|all| all.add);
        let has_capability = added.iter().flatten().any(|name| is_net_admin(name));
        (is_privileged || has_capability).then(|| Administrator {
            name: self.name.unwrap_or_default(),
            is_privileged,
        })
    }
}

/// As the runtimes parse it: containerd ignores case, CRI-O also accepts the prefix.
fn is_net_admin(name: &str) -> bool {
    let name = name.trim().to_ascii_uppercase();
    let name = name.strip_prefix("CAP_").unwrap_or(&name);
    matches!(name, "NET_ADMIN" | "ALL")
}

/// Deserialises the containers of a list that have `NET_ADMIN`.
pub fn administrators<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Administrator>, D::Error> {
    named_administrators(from).map(Option::unwrap_or_default)
}

/// The same, telling a missing list from an empty one.
pub fn named_administrators<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Vec<Administrator>>, D::Error> {
    let containers: Option<Vec<Container>> = Option::deserialize(from)?;
    let found = |all: Vec<Container>| {
        all.into_iter()
            .filter_map(Container::administrator)
            .collect()
    };
    Ok(containers.map(found))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::Pod;

    fn of(spec: Value) -> NetAdmin {
        let pod: Pod = serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap();
        pod.net_admin()
    }

    fn container(name: &str, context: Value) -> Value {
        json!({"name": name, "image": "i", "securityContext": context})
    }

    fn is_yes(said: &NetAdmin, words: &str) -> bool {
        matches!(said, NetAdmin::Yes(how) if how.contains(words))
    }

    #[test]
    fn any_kind_of_container_counts() {
        let plain = container(
            "plain",
            json!({"capabilities": {"add": ["NET_RAW"], "drop": ["NET_ADMIN"]}}),
        );
        let bad = container("bad", json!({"capabilities": {"add": ["NET_ADMIN"]}}));
        assert_eq!(of(json!({"containers": [plain]})), NetAdmin::No);
        for list in ["containers", "initContainers", "ephemeralContainers"] {
            let mut spec = json!({"containers": [plain]});
            spec[list] = json!([plain, bad]);
            assert!(is_yes(&of(spec), "\"bad\" has the capability"), "{list}");
        }
        let privileged = container("p", json!({"privileged": true}));
        assert!(is_yes(
            &of(json!({"containers": [privileged]})),
            "is privileged"
        ));
    }

    #[test]
    fn a_capability_counts_however_a_runtime_lets_it_be_spelled() {
        for name in [
            "NET_ADMIN",
            "net_admin",
            "CAP_NET_ADMIN",
            "cap_net_admin",
            "ALL",
            "all",
            "CAP_ALL",
        ] {
            let spec =
                json!({"containers": [container("c", json!({"capabilities": {"add": [name]}}))]});
            assert!(is_yes(&of(spec), "NET_ADMIN"), "{name}");
        }
        for name in ["NET_RAW", "NET_ADMINS", "", "CAP_"] {
            let spec =
                json!({"containers": [container("c", json!({"capabilities": {"add": [name]}}))]});
            assert_eq!(of(spec), NetAdmin::No, "{name}");
        }
    }

    #[test]
    fn what_is_not_said_is_unknown_and_nulls_say_nothing() {
        assert_eq!(of(json!({})), NetAdmin::Unknown);
        assert_eq!(
            of(json!({"nodeName": "n0", "containers": null})),
            NetAdmin::Unknown
        );
        assert_eq!(
            of(
                json!({"containers": [{"name": "c"}, container("d", Value::Null),
                container("e", json!({"privileged": null, "capabilities": null})),
                container("f", json!({"capabilities": {"add": null}}))],
                "initContainers": null})
            ),
            NetAdmin::No
        );
    }

    #[test]
    fn the_kernel_has_the_last_word_on_a_user_namespace() {
        let mut spec = json!({"containers": [container("c", json!({"privileged": true}))], "hostUsers": false});
        assert!(matches!(of(spec.clone()), NetAdmin::Claimed(_)));
        assert_eq!(of(spec.clone()).proved(false), NetAdmin::No);
        assert!(is_yes(
            &of(spec.clone()).proved(true),
            "though the pod says"
        ));
        for said in [json!(true), Value::Null] {
            spec["hostUsers"] = said;
            assert!(is_yes(&of(spec.clone()).proved(false), "is privileged"));
        }
        assert_eq!(NetAdmin::Unknown.proved(true), NetAdmin::Unknown);
        assert_eq!(NetAdmin::Unknown.proved(false), NetAdmin::No);
        assert_eq!(NetAdmin::No.proved(true), NetAdmin::No);
    }
}

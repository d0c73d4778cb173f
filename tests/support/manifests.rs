//! The manifests that stories are told with.

use super::node::TestNode;

pub const PODCONFIG: &str = "apiVersion: podconfig.dev/v1alpha1\nkind: PodConfig\n";
pub const POLICY: &str = "apiVersion: podconfig.dev/v1alpha1\nkind: PodConfigPolicy\n";
/// A rule for all that a veth can be.
pub const ANY_VETH: &str = "{veth: {bridges: Own, hostBridges: [br-lan], routed: {}}, \
    addresses: [0.0.0.0/0, '::/0'], routes: [0.0.0.0/0, '::/0'], \
    mayOverlap: [{prefix: 0.0.0.0/0, sources: [NodeRoutes]}, {prefix: '::/0', sources: [NodeRoutes]}], \
    tables: [{min: 1, max: 4000000000}], macs: Any, slaac: Allowed}";
/// The same with addresses and MACs under podconfig's hand.
pub const OWN_BRIDGES: &str =
    "{veth: {bridges: Own}, addresses: [0.0.0.0/0, '::/0'], routes: [0.0.0.0/0, '::/0']}";

/// For the one pod that carries this name in its label `pod`.
pub fn config(namespace: &str, name: &str, pod: &str, links: &str) -> String {
    config_for(
        namespace,
        name,
        &format!("{{matchLabels: {{pod: {pod}}}}}"),
        links,
    )
}

pub fn config_for(namespace: &str, name: &str, selector: &str, links: &str) -> String {
    format!(
        "{PODCONFIG}metadata: {{namespace: {namespace}, name: {name}}}\n\
         spec: {{podSelector: {selector}, links: {links}}}\n"
    )
}

/// As an API server would give it: with a birthday and a uid.
pub fn config_born(namespace: &str, name: &str, born: &str, pod: &str, links: &str) -> String {
    format!(
        "{PODCONFIG}metadata: {{namespace: {namespace}, name: {name}, uid: uid-of-{name}, \
         creationTimestamp: \"{born}\"}}\n\
         spec: {{podSelector: {{matchLabels: {{pod: {pod}}}}}, links: {links}}}\n"
    )
}

/// One link on a bridge of the namespace.
pub fn on_bridge(link: &str, bridge: &str, address: &str) -> String {
    format!("[{{name: {link}, veth: {{bridge: {bridge}}}, addresses: [\"{address}\"]}}]")
}

pub fn policy(name: &str, namespaces: &str, rules: &str) -> String {
    format!(
        "{POLICY}metadata: {{name: {name}}}\nspec: {{namespaceSelector: {namespaces}, allow: {rules}}}\n"
    )
}

pub fn namespace(name: &str, labels: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {labels}}}\n")
}

impl TestNode {
    /// Every namespace may have every veth: the stories that are not about policy.
    pub fn allow_everything(&self) {
        self.apply(
            "policy",
            &policy("everything", "{}", &format!("[{ANY_VETH}]")),
        );
    }

    /// Every namespace may have links on bridges of its own, with assigned MACs.
    pub fn allow_own_bridges(&self) {
        self.apply(
            "policy",
            &policy("own-bridges", "{}", &format!("[{OWN_BRIDGES}]")),
        );
    }
}

//! Wishes, permissions and pods, as YAML.

/// On whatever node.
pub const ANYWHERE: &str = "";

pub fn namespace(name: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n")
}

/// Any bridge of its own and any address of 10.50.0.0/16, for the namespace of that name.
pub fn policy(namespace: &str) -> String {
    policy_of(
        namespace,
        &format!(
            "  - veth: {{bridges: Own}}\n    addresses: [10.50.0.0/16]\n    domains: [cluster, {namespace}]\n"
        ),
    )
}

/// With these rules, for the namespace of that name.
pub fn policy_of(namespace: &str, rules: &str) -> String {
    format!(
        "apiVersion: podconfig.dev/v1alpha1
kind: PodConfigPolicy
metadata: {{name: {namespace}}}
spec:
  namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {namespace}}}}}
  allow:
{rules}"
    )
}

/// A PodConfig for what `selector` selects: `app: web`; the links are lines of YAML.
pub fn config(name: &str, selector: &str, links: &str) -> String {
    format!(
        "apiVersion: podconfig.dev/v1alpha1
kind: PodConfig
metadata: {{name: {name}}}
spec:
  podSelector: {{matchLabels: {{{selector}}}}}
  links:
{links}"
    )
}

/// A link on a bridge of the namespace, without an address but the link-local one.
pub fn on_bridge(link: &str, bridge: &str) -> String {
    format!("  - name: {link}\n    veth: {{bridge: {bridge}}}\n")
}

pub fn with_address(link: &str, bridge: &str, address: &str) -> String {
    format!("{}    addresses: [{address}]\n", on_bridge(link, bridge))
}

/// An address in the routing domain of the tenant alone.
pub fn with_address_of(domain: &str, link: &str, bridge: &str, address: &str) -> String {
    let link = with_address(link, bridge, address);
    format!("{link}    ipam: {{domain: {domain}}}\n")
}

/// Each pod gets an address of this range.
pub fn with_range(link: &str, bridge: &str, range: &str) -> String {
    format!(
        "{}    ipam: {{ranges: [{range}]}}\n",
        on_bridge(link, bridge)
    )
}

/// For one pod of a StatefulSet.
pub fn of_pod(pod: &str) -> String {
    format!("statefulset.kubernetes.io/pod-name: {pod}")
}

pub fn deployment(name: &str, replicas: u32, node: &str) -> String {
    workload("Deployment", name, replicas, node, "")
}

pub fn stateful_set(name: &str, replicas: u32, node: &str) -> String {
    workload(
        "StatefulSet",
        name,
        replicas,
        node,
        "  podManagementPolicy: Parallel\n",
    )
}

fn workload(kind: &str, name: &str, replicas: u32, node: &str, more: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: {kind}
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
{more}  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
{}",
        indented(&pod_spec(node))
    )
}

/// One pod alone.
pub fn pod(name: &str, node: &str) -> String {
    pod_with(name, node, "")
}

/// With further lines of its spec.
pub fn pod_with(name: &str, node: &str, more: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec:
{}{more}",
        pod_spec(node)
    )
}

/// One pod alone that does this once and has completed then.
pub fn pod_running(name: &str, command: &str) -> String {
    let pod = pod_with(name, ANYWHERE, "  restartPolicy: Never\n");
    pod.replace("[httpd, -f, -p, \"8080\", -h, /var/www]", command)
}

/// A web server that dies at once when it is told to.
fn pod_spec(node: &str) -> String {
    let place = match node {
        ANYWHERE => "{}".to_owned(),
        node => format!("{{kubernetes.io/hostname: {node}}}"),
    };
    format!(
        "  terminationGracePeriodSeconds: 0
  nodeSelector: {place}
  containers:
  - name: main
    image: cluster.local/busybox:1
    imagePullPolicy: Never
    command: [httpd, -f, -p, \"8080\", -h, /var/www]
"
    )
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

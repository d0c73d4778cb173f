//! One tenant and another: neither reads, writes or reaches what is the other's.

use crate::support::{
    kubectl::{apply, refusal, try_kubectl, try_with_input},
    manifests::{config, with_address, with_address_of},
    tenant::Tenant,
};

/// An account with Kubernetes' own role for those who work in a namespace.
fn with_editor(name: &str) -> (Tenant, String) {
    let tenant = Tenant::new(name);
    apply(&format!(
        "apiVersion: v1
kind: ServiceAccount
metadata: {{name: dev, namespace: {name}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: dev, namespace: {name}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: edit}}
subjects: [{{kind: ServiceAccount, name: dev, namespace: {name}}}]
"
    ));
    let account = format!("--as=system:serviceaccount:{name}:dev");
    (tenant, account)
}

#[test]
fn two_tenants_have_the_same_bridge_and_address_and_never_meet() {
    let (one, dev_of_one) = with_editor("tenant-one");
    let (two, dev_of_two) = with_editor("tenant-two");
    let pods: Vec<_> = [(&one, &dev_of_one), (&two, &dev_of_two)]
        .into_iter()
        .map(|(tenant, dev)| {
            let pods = tenant.stateful_set("web", 2, "n0");
            for (n, pod) in pods.iter().enumerate() {
                let address = format!("10.50.30.{}/24", n + 1);
                let wish = config(
                    &pod.name,
                    &format!("statefulset.kubernetes.io/pod-name: {}", pod.name),
                    &with_address_of(&tenant.name, "data0", "blue", &address),
                );
                // With no more rights than `edit` gives.
                let words = ["-n", &tenant.name, dev, "apply", "-f", "-"];
                let output = try_with_input(&words, &wish);
                assert!(
                    output.status.success(),
                    "{}",
                    String::from_utf8_lossy(&output.stderr)
                );
                pod.has_with("data0", &address);
            }
            pods
        })
        .collect();
    for of_tenant in &pods {
        of_tenant[0].ping("10.50.30.2");
    }

    // What the other has, nobody answers for.
    two.withdraw("web-1");
    pods[1][1].lacks("data0");
    assert!(
        !pods[1][0].reaches("10.50.30.2"),
        "a bridge is shared by two tenants"
    );
    pods[0][0].ping("10.50.30.2");
}

#[test]
fn a_tenant_neither_reads_nor_writes_what_is_anothers_or_the_administrators() {
    let (one, _) = with_editor("reads-one");
    let (two, dev) = with_editor("reads-two");
    let denied = |words: &[&str]| {
        let said = refusal(try_kubectl(&[&[dev.as_str()], words].concat()));
        assert!(said.contains("forbidden"), "{words:?}: {said}");
    };
    let wish = config(
        "data",
        "app: web",
        &with_address("data0", "blue", "10.50.31.1/24"),
    );
    one.apply(&wish);
    for kind in [
        "podconfigs",
        "podreports",
        "podconfigallowances",
        "peerslices",
    ] {
        denied(&["get", kind, "-n", &one.name]);
    }
    denied(&["delete", "podconfig", "data", "-n", &one.name]);
    denied(&["get", "podconfigs", "--all-namespaces"]);
    denied(&["get", "podconfigpolicies"]);
    let said = refusal(try_with_input(
        &["-n", &one.name, &dev, "apply", "-f", "-"],
        &wish,
    ));
    assert!(said.contains("forbidden"), "{said}");

    // In its own namespace: its wishes, and to read what became of them. No more.
    two.apply(&wish);
    for verb in ["get", "list", "create", "delete"] {
        may(&dev, verb, "podconfigs", &two.name, true);
    }
    for kind in ["podreports", "podconfigallowances"] {
        may(&dev, "get", kind, &two.name, true);
        for verb in ["create", "patch", "delete"] {
            may(&dev, verb, kind, &two.name, false);
        }
    }
    may(&dev, "patch", "podconfigs/status", &two.name, false);
    may(&dev, "create", "podconfigpolicies", &two.name, false);
}

fn may(account: &str, verb: &str, kind: &str, namespace: &str, expected: bool) {
    let kind =
        format!("{kind}.podconfig.dev").replace("/status.podconfig.dev", ".podconfig.dev/status");
    let (name, part) = kind.split_once('/').unwrap_or((&kind, ""));
    let part = format!("--subresource={part}");
    let output = try_kubectl(&["auth", "can-i", verb, name, &part, "-n", namespace, account]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        said.trim() == "yes",
        expected,
        "{account} {verb} {kind} in {namespace}: {said}"
    );
}

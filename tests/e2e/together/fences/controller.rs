//! What the controller alone may write, and what people may.

use super::yard::{HERE, Someone, Yard};
use crate::support::{
    eventually,
    kubectl::{ALLOW_DELETION, apply, kubectl, refusal, try_kubectl, try_with_input},
};
use crate::wait::seen;

/// An allowance that lets the namespace have veths on bridges of its own.
fn allowance(policy: &str) -> String {
    format!(
        "apiVersion: podconfig.dev/v1alpha1\nkind: PodConfigAllowance\nmetadata: {{name: effective}}\n\
         spec: {{policies: [{policy}], allow: [{{veth: {{bridges: Own}}}}], complete: true}}\n"
    )
}

/// What a controller that runs makes the same of.
fn policy(namespace: &str) -> String {
    format!(
        "apiVersion: podconfig.dev/v1alpha1\nkind: PodConfigPolicy\nmetadata: {{name: {namespace}}}\n\
         spec: {{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {namespace}}}}}, \
         allow: [{{veth: {{bridges: Own}}}}]}}\n"
    )
}

/// An account of the controller's name in a namespace where it may write everything.
fn namesake(namespace: &str) -> Someone {
    apply(&format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: ruler, namespace: {namespace}}}\n\
         rules: [{{apiGroups: [podconfig.dev], resources: ['*'], verbs: [get, list, create, update, patch, delete]}}]\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: ruler, namespace: {namespace}}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: ruler}}\n\
         subjects: [{{kind: ServiceAccount, name: podconfig-controller, namespace: {namespace}}}]\n"
    ));
    Someone::new(namespace, namespace, "podconfig-controller", "")
}

#[test]
fn what_a_tenant_may_use_says_a_controller_with_the_right_to_publish() {
    let yard = Yard::new("fence-publish");
    let name = &yard.0;
    let controller = Someone::new(name, "podconfig-system", "podconfig-controller", "");
    apply(&policy(name));
    yard.allowed(&controller, &allowance(name));
    let said = yard.refused(&namesake(name), &allowance("mine"));
    assert!(
        said.contains("by the controller of podconfig alone"),
        "{said}"
    );
    // Not even an administrator says it; but deleting and what leaves the contents alone is nobody's to refuse.
    let force = [
        "-n",
        name,
        "apply",
        "--server-side",
        "--force-conflicts",
        "-f",
        "-",
    ];
    let said = refusal(try_with_input(&force, &allowance("mine")));
    assert!(said.contains("podconfig-controller-writes"), "{said}");
    kubectl(&[
        "-n",
        name,
        "label",
        "podconfigallowance",
        "effective",
        "looked-at=yes",
    ]);
    let foreground = "--cascade=foreground";
    kubectl(&[
        "-n",
        name,
        "delete",
        "podconfigallowance",
        "effective",
        foreground,
        "--wait=false",
    ]);
}

#[test]
fn which_networks_are_reserved_says_a_controller_with_the_right_to_publish() {
    let yard = Yard::new("fence-networks");
    let name = &yard.0;
    let networks = format!(
        "apiVersion: podconfig.dev/v1alpha1\nkind: ReservedNetworks\nmetadata: {{name: {name}}}\n\
         spec: {{installation: fence, sources: []}}\n"
    );
    let controller = Someone::new(name, "podconfig-system", "podconfig-controller", "");
    yard.allowed(&controller, &networks);
    // Whoever may write everything of podconfig is not the controller; an administrator is not either.
    let changed = networks.replace("sources: []", "summary: {networks: 7}");
    let force = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    let said = refusal(try_with_input(&force, &changed));
    assert!(
        said.contains("reservednetworks is written by the controller of podconfig alone"),
        "{said}"
    );
    kubectl(&["delete", "reservednetworks", name]);
}

#[test]
fn what_became_of_a_podconfig_says_a_controller_with_the_right_to_publish() {
    let yard = Yard::new("fence-verdict");
    let name = &yard.0;
    apply(&policy(name));
    // What the controller does, where one runs.
    let controller = Someone::new(name, "podconfig-system", "podconfig-controller", "");
    yard.allowed(&controller, &allowance(name));
    let wish = "apiVersion: podconfig.dev/v1alpha1\nkind: PodConfig\nmetadata: {name: data}\n\
                spec: {podSelector: {matchLabels: {no: body}}, links: [{name: data0, veth: {bridge: blue}}]}\n";
    eventually("the PodConfig is let in", || {
        let output = try_with_input(&["-n", name, "apply", "-f", "-"], wish);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        seen(output.status.success(), said)
    });
    let patch = r#"{"status":{"selected":99}}"#;
    let words = [
        "patch",
        "podconfig",
        "data",
        "--subresource=status",
        "--type=merge",
        "-p",
        patch,
    ];
    namesake(name).may_not(&words, "by the controller of podconfig alone");
    yard.on(HERE).may_not(&words, "forbidden");
    controller.may(&words);
    kubectl(&["annotate", "podconfigpolicy", name, ALLOW_DELETION]);
    kubectl(&["delete", "podconfigpolicy", name]);
}

#[test]
fn people_may_what_their_role_says() {
    let yard = Yard::new("fence-people");
    let name = &yard.0;
    for role in ["viewer", "editor"] {
        apply(&format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: {role}, namespace: {name}}}\n\
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: podconfig-{role}}}\n\
             subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: fence-{role}}}]\n"
        ));
    }
    let can = |user: &str, verb: &str, kind: &str, namespace: &str| {
        let who = format!("--as=fence-{user}");
        let kind = format!("{kind}.podconfig.dev");
        let output = try_kubectl(&["auth", "can-i", verb, &kind, "-n", namespace, &who]);
        String::from_utf8_lossy(&output.stdout).trim() == "yes"
    };
    eventually("the roles are given", || {
        seen(can("viewer", "get", "podconfigs", name), "not yet")
    });
    for (user, verb, kind, expected) in [
        ("viewer", "list", "podreports", true),
        ("viewer", "get", "podconfigallowances", true),
        ("viewer", "create", "podconfigs", false),
        ("viewer", "list", "podconfigpolicies", false),
        ("editor", "create", "podconfigs", true),
        ("editor", "deletecollection", "podconfigs", true),
        ("editor", "update", "podconfigallowances", false),
        ("editor", "delete", "podreports", false),
        ("editor", "create", "podconfigpolicies", false),
        ("editor", "list", "peerslices", false),
    ] {
        assert_eq!(
            can(user, verb, kind, name),
            expected,
            "{user} {verb} {kind}"
        );
    }
    assert!(!can("editor", "create", "podconfigs", "default"));
}

//! A token of a daemon in the wrong hands: it is good for what its own node has, and for that alone.

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
};

use crate::support::{
    kubectl::{kubectl, refusal},
    manifests::{config, on_bridge, pod},
    pod::Pod,
    product::daemon_process,
    tenant::Tenant,
};

const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// Somebody on a node who has taken its daemon's token.
struct Thief {
    token: String,
    authority: tempfile::NamedTempFile,
    server: String,
    /// Where the victims are.
    namespace: String,
}

impl Thief {
    fn on(node: &str, tenant: &Tenant) -> Self {
        let file = format!("/proc/{}/root{TOKEN}", daemon_process(node));
        let authority = tempfile::NamedTempFile::new().expect("a temporary file can be made");
        let of_cluster = |field: &str| {
            let path = format!("-o=jsonpath={{.clusters[0].cluster.{field}}}");
            kubectl(&["config", "view", "--raw", &path])
        };
        let encoded = of_cluster("certificate-authority-data");
        let decoder = Command::new("sh")
            .args(["-c", &format!("echo {encoded} | base64 -d")])
            .stdout(authority.reopen().expect("it was just made"))
            .status();
        assert!(decoder.is_ok_and(|status| status.success()));
        Self {
            token: std::fs::read_to_string(file).expect("the daemon has a token"),
            authority,
            server: of_cluster("server"),
            namespace: tenant.name.clone(),
        }
    }

    fn tries(&self, words: &[&str]) -> Output {
        Command::new("kubectl")
            .env("KUBECONFIG", "/dev/null")
            .args(["--server", &self.server, "--token", &self.token])
            .arg("--certificate-authority")
            .arg(self.authority.path())
            .args(["--namespace", &self.namespace])
            .args(words)
            .stdin(Stdio::null())
            .output()
            .expect("kubectl is in PATH")
    }

    fn may_not(&self, words: &[&str]) {
        let said = refusal(self.tries(words));
        let is_a_no = ["forbidden", "Forbidden", "denied"]
            .iter()
            .any(|word| said.contains(word));
        assert!(is_a_no, "{words:?} failed for another reason: {said}");
    }

    fn may(&self, words: &[&str]) {
        let output = self.tries(words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {said}");
    }

    fn may_not_patch(&self, object: &[&str], patch: &str) {
        self.may_not(&[&["patch"], object, &["--type=merge", "-p", patch]].concat());
    }
}

/// A pod with a link on each node.
fn victims(tenant: &Tenant) -> (Pod, Pod) {
    tenant.apply(&config("data", "role: victim", &on_bridge("data0", "blue")));
    let place = |name: &str, node: &str| {
        tenant.apply(&pod(name, node).replace("labels: {", "labels: {role: victim, "));
        let pod = tenant.pod(name);
        pod.reports("data0", "LinkReady");
        pod
    };
    (place("near", "n0"), place("far", "n1"))
}

#[test]
fn a_stolen_token_of_a_daemon_reaches_no_object_of_another_node() {
    let tenant = Tenant::new("stolen");
    let (near, far) = victims(&tenant);
    let thief = Thief::on("n0", &tenant);

    // It is a daemon's: its own node's reports it writes.
    let lie = r#"{"status":{"summary":{"links":"9/9"}}}"#;
    thief.may(&["patch", "podreport", &near.name, "--type=merge", "-p", lie]);
    thief.may_not_patch(&["podreport", &far.name], lie);
    thief.may_not_patch(&["podreport", &far.name], r#"{"status":{"node":"n0"}}"#);
    thief.may_not_patch(&["podreport", &near.name], r#"{"status":{"node":"n1"}}"#);
    thief.may_not(&["delete", "podreport", &far.name]);

    thief.may_not_patch(
        &["podconfig", "data", "--subresource=status"],
        r#"{"status":{"selected":99}}"#,
    );
    thief.may_not_patch(&["podconfig", "data"], r#"{"spec":{"podSelector":{}}}"#);
    thief.may_not(&["delete", "podconfig", "data"]);
    thief.may_not_patch(
        &["podconfigallowance", "effective"],
        r#"{"spec":{"allow":[]}}"#,
    );
    thief.may_not(&["delete", "podconfigpolicy", &tenant.name]);
    thief.may_not(&["get", "secrets"]);
}

/// A claim to an address that nobody asked for.
fn claim(node: &str, metadata: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    let text = format!(
        "apiVersion: podconfig.dev/v1alpha1\nkind: AddressClaim\n\
         metadata: {{name: stolen.10.213.99.1{metadata}}}\n\
         spec: {{domain: stolen, address: 10.213.99.1, link: data0, node: {node}, \
         pod: {{namespace: default, name: nobody, uid: '1'}}}}\n"
    );
    file.write_all(text.as_bytes()).expect("it can be written");
    file
}

#[test]
fn a_stolen_token_of_a_daemon_takes_no_address_in_another_nodes_name() {
    let tenant = Tenant::without_policy("stolen-address");
    let thief = Thief::on("n0", &tenant);
    let create = |node: &str, metadata: &str| {
        let file = claim(node, metadata);
        let path = file.path().to_str().expect("a path of letters").to_owned();
        thief.may_not(&["create", "-f", &path]);
    };
    create("n1", "");
    create("n0", ", finalizers: [podconfig.dev/never]");
    create("n0", ", labels: {app: web}");
    let all = "/apis/podconfig.dev/v1alpha1";
    thief.may_not(&["delete", "--raw", &format!("{all}/addressclaims")]);
    thief.may_not(&["delete", "--raw", &format!("{all}/reservednetworks")]);
    thief.may_not(&["delete", "reservednetworks", "default"]);
    thief.may(&["get", "reservednetworks"]);
    thief.may(&["get", "addressclaims", "--field-selector=spec.node=n0"]);
}

/// A daemon patches a status without asking for it first; kubectl asks.
fn let_kubectl_ask(tenant: &Tenant) {
    tenant.apply(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: ask}\n\
         rules: [{apiGroups: [''], resources: [pods/status], verbs: [get]}]\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: ask}\n\
         roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: ask}\n\
         subjects: [{kind: ServiceAccount, name: podconfig-daemon, namespace: podconfig-system}]\n",
    );
}

#[test]
fn a_stolen_token_of_a_daemon_changes_no_label_and_no_condition_but_one() {
    let tenant = Tenant::new("stolen-status");
    let_kubectl_ask(&tenant);
    let (near, far) = victims(&tenant);
    let thief = Thief::on("n0", &tenant);
    // The condition alone, as a patch that keeps the others.
    let gate = r#"{"status":{"conditions":[{"type":"podconfig.dev/ready","status":"True"}]}}"#;
    let patch = |pod: &str, patch: &str| {
        let words = [
            "patch",
            "pod",
            pod,
            "--subresource=status",
            "--type=strategic",
            "-p",
            patch,
        ];
        words.map(str::to_owned)
    };
    thief.may(&patch(&near.name, gate).each_ref().map(String::as_str));
    thief.may_not(&patch(&far.name, gate).each_ref().map(String::as_str));
    for more in [
        r#"{"metadata":{"labels":{"role":"admin"}}}"#,
        r#"{"metadata":{"annotations":{"anything":"else"}}}"#,
        r#"{"metadata":{"finalizers":["podconfig.dev/never"]}}"#,
        r#"{"status":{"conditions":[{"type":"Ready","status":"False"}]}}"#,
        r#"{"status":{"phase":"Failed"}}"#,
    ] {
        thief.may_not(&patch(&near.name, more).each_ref().map(String::as_str));
    }
    thief.may_not(&["label", "pod", &near.name, "role=admin", "--overwrite"]);
    thief.may_not(&["delete", "pod", &far.name]);
    assert_eq!(near.object()["metadata"]["labels"]["role"], "victim");
}

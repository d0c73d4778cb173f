//! Where fences are tried: pods and nodes made by hand, and accounts whose part anybody can play.

use std::process::{Command, Output, Stdio};

use crate::support::{
    eventually,
    kubectl::{apply, kubectl, refusal, try_with_input},
};
use crate::wait::seen;

/// Nodes without a kubelet: the pods on them are what a test says they are.
pub const HERE: &str = "fence-here";
pub const ELSEWHERE: &str = "fence-elsewhere";
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";

/// A namespace with a pod on each of the two nodes.
pub struct Yard(pub String);

impl Yard {
    pub fn new(name: &str) -> Self {
        // Where nobody ends namespaces, the one of an earlier run is still there.
        let name = format!("{name}-{}", std::process::id());
        apply(&format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n---\n\
             apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: nobody, namespace: {name}}}\n"
        ));
        add_nodes();
        for (pod, node) in [("near", HERE), ("far", ELSEWHERE)] {
            apply(&format!(
                "apiVersion: v1\nkind: Pod\n\
                 metadata: {{name: {pod}, namespace: {name}, labels: {{role: victim}}, annotations: {{mine: kept}}}}\n\
                 spec: {{nodeName: {node}, serviceAccountName: nobody, automountServiceAccountToken: false, \
                 tolerations: [{{operator: Exists}}], containers: [{{name: c, image: nothing}}]}}\n"
            ));
        }
        let yard = Self(name);
        yard.let_kubectl_ask();
        yard.status_of(
            "near",
            r#"{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}"#,
        );
        // An API server takes new fences to heart within a moment.
        eventually("the fences are up", || {
            let said = yard.refused(&yard.on(""), &report("far", HERE, "1"));
            seen(said.contains("does not say on which node"), said)
        });
        yard
    }

    /// A daemon patches without asking; kubectl asks first.
    fn let_kubectl_ask(&self) {
        let name = &self.0;
        apply(&format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: ask, namespace: {name}}}\n\
             rules: [{{apiGroups: [''], resources: [pods/status], verbs: [get]}}]\n---\n\
             apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: ask, namespace: {name}}}\n\
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: ask}}\n\
             subjects: [{{kind: ServiceAccount, name: podconfig-daemon, namespace: podconfig-system}}]\n"
        ));
    }

    fn status_of(&self, pod: &str, patch: &str) {
        kubectl(&[
            "-n",
            &self.0,
            "patch",
            "pod",
            pod,
            "--subresource=status",
            "--type=strategic",
            "-p",
            patch,
        ]);
    }

    /// A daemon with the token of a pod on that node; without a name, with a token that names none.
    pub fn on(&self, node: &str) -> Someone {
        Someone::new(&self.0, "podconfig-system", "podconfig-daemon", node)
    }

    pub fn allowed(&self, who: &Someone, manifest: &str) {
        let output = who.applies(manifest);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{who:?}: {said}\n{manifest}");
    }

    pub fn refused(&self, who: &Someone, manifest: &str) -> String {
        refusal(who.applies(manifest))
    }
}

impl Drop for Yard {
    fn drop(&mut self) {
        let _ = Command::new("kubectl")
            .args(["delete", "namespace", &self.0, "--wait=false"])
            .stdout(Stdio::null())
            .status();
        // Nobody ends pods of nodes that nobody is.
        let _ = Command::new("kubectl")
            .args([
                "-n",
                &self.0,
                "delete",
                "pods",
                "--all",
                "--force",
                "--grace-period=0",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

/// Kubernetes collects the pods of nodes that do not exist within a minute: so these exist. Their zone is their own, or
/// they would count where the node controller judges how many nodes of a zone are lost. Several tests add them at once.
fn add_nodes() {
    let node = |name| {
        format!(
            "apiVersion: v1\nkind: Node\n\
             metadata: {{name: {name}, labels: {{topology.kubernetes.io/zone: fences}}}}\n\
             spec: {{unschedulable: true}}\n"
        )
    };
    let nodes = [HERE, ELSEWHERE].map(node).join("---\n");
    eventually("the nodes of the fences are there", || {
        let output = try_with_input(&["apply", "--server-side", "-f", "-"], &nodes);
        seen(
            output.status.success(),
            String::from_utf8_lossy(&output.stderr),
        )
    });
}

#[derive(Debug)]
pub struct Someone(Vec<String>);

impl Someone {
    pub fn new(namespace: &str, home: &str, account: &str, node: &str) -> Self {
        let mut words = vec![
            format!("--namespace={namespace}"),
            format!("--as=system:serviceaccount:{home}:{account}"),
            format!("--as-group=system:serviceaccounts:{home}"),
            "--as-group=system:serviceaccounts".into(),
            "--as-group=system:authenticated".into(),
        ];
        if !node.is_empty() {
            words.push(format!("--as-user-extra={NODE_NAME}={node}"));
        }
        Self(words)
    }

    fn words<'w>(&'w self, more: &[&'w str]) -> Vec<&'w str> {
        self.0
            .iter()
            .map(String::as_str)
            .chain(more.iter().copied())
            .collect()
    }

    pub fn applies(&self, manifest: &str) -> Output {
        let apply = [
            "apply",
            "--server-side",
            "--field-manager=reconfd",
            "--force-conflicts",
            "-f",
            "-",
        ];
        try_with_input(&self.words(&apply), manifest)
    }

    /// As a daemon writes where it may not patch: made, or put in the place of what is there.
    pub fn makes(&self, manifest: &str) -> Output {
        try_with_input(&self.words(&["create", "-f", "-"]), manifest)
    }

    pub fn replaces(&self, manifest: &str) -> Output {
        try_with_input(&self.words(&["replace", "-f", "-"]), manifest)
    }

    pub fn would_replace(&self, manifest: &str) -> Output {
        let words = ["replace", "--dry-run=server", "-f", "-"];
        try_with_input(&self.words(&words), manifest)
    }

    pub fn tries(&self, words: &[&str]) -> Output {
        Command::new("kubectl")
            .args(self.words(words))
            .output()
            .expect("kubectl is in PATH")
    }

    pub fn may(&self, words: &[&str]) {
        let output = self.tries(words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{self:?} {words:?}: {said}");
    }

    pub fn may_not(&self, words: &[&str], why: &str) {
        let said = refusal(self.tries(words));
        assert!(said.contains(why), "{self:?} {words:?}: {said}");
    }

    pub fn patches_status(&self, pod: &str, patch: &str) -> Output {
        self.tries(&[
            "patch",
            "pod",
            pod,
            "--subresource=status",
            "--type=strategic",
            "-p",
            patch,
        ])
    }
}

pub fn report(pod: &str, node: &str, uid: &str) -> String {
    format!(
        "apiVersion: podconfig.dev/v1alpha1\nkind: PodReport\nmetadata: {{name: {pod}}}\nspec: {{}}\n\
         status: {{node: {node}, podUID: '{uid}'}}\n"
    )
}

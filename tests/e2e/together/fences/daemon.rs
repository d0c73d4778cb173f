//! What a daemon may write.

use serde_json::Value;

use super::yard::{ELSEWHERE, HERE, Yard, report};
use crate::support::kubectl::{apply, object, refusal};

#[test]
fn a_daemon_writes_reports_of_its_own_node_alone() {
    let yard = Yard::new("fence-reports");
    let (here, there) = (yard.on(HERE), yard.on(ELSEWHERE));
    yard.allowed(&here, &report("near", HERE, "1"));
    yard.allowed(&there, &report("far", ELSEWHERE, "2"));
    yard.allowed(
        &here,
        &report("near", HERE, "1").replace("spec:", "# again\nspec:"),
    );

    let said = yard.refused(&here, &report("new", ELSEWHERE, "3"));
    assert!(said.contains(HERE) && said.contains(ELSEWHERE), "{said}");
    yard.refused(&here, &report("near", ELSEWHERE, "1"));
    let said = yard.refused(&here, &report("far", HERE, "2"));
    assert!(said.contains("neither changes nor deletes"), "{said}");
    here.may_not(
        &["delete", "podreport", "far"],
        "neither changes nor deletes",
    );
    let all = format!(
        "/apis/podconfig.dev/v1alpha1/namespaces/{}/podreports",
        yard.0
    );
    here.may_not(&["delete", "--raw", &all], "deletecollection");
    yard.refused(&yard.on(""), &report("near", HERE, "1"));
    here.may(&["delete", "podreport", "near"]);
}

#[test]
fn a_report_is_taken_over_with_the_pod_that_came_back_elsewhere() {
    let yard = Yard::new("fence-moved");
    let (here, there) = (yard.on(HERE), yard.on(ELSEWHERE));
    yard.allowed(&there, &report("near", ELSEWHERE, "1"));
    yard.refused(&here, &report("near", HERE, "1"));
    yard.allowed(&here, &report("near", HERE, "2"));
    let found = object(&["podreport", "-n", &yard.0, "near"]).unwrap();
    assert_eq!(found["status"]["node"], HERE);
    yard.refused(&there, &report("near", ELSEWHERE, "2"));
}

#[test]
fn nothing_that_a_daemon_writes_outlives_its_pod() {
    let yard = Yard::new("fence-owners");
    let here = yard.on(HERE);
    let with = |more: &str| {
        report("near", HERE, "1").replace("{name: near}", &format!("{{name: near, {more}}}"))
    };
    let uid = object(&["pod", "-n", &yard.0, "near"]).unwrap()["metadata"]["uid"].clone();
    yard.allowed(
        &here,
        &with(&format!(
            "ownerReferences: [{{apiVersion: v1, kind: Pod, name: near, uid: {uid}}}]"
        )),
    );
    yard.refused(&here, &with("finalizers: [podconfig.dev/never]"));
    let stranger =
        format!("ownerReferences: [{{apiVersion: v1, kind: Pod, name: far, uid: {uid}}}]");
    yard.refused(&here, &with(&stranger));
}

#[test]
fn a_daemon_writes_nothing_else_of_podconfig_even_if_a_role_let_it() {
    let yard = Yard::new("fence-kinds");
    let name = &yard.0;
    apply(&format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: mistake, namespace: {name}}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}}\n\
         subjects: [{{kind: ServiceAccount, name: podconfig-daemon, namespace: podconfig-system}}]\n"
    ));
    let here = yard.on(HERE);
    let slice = "apiVersion: podconfig.dev/v1alpha1\nkind: PeerSlice\nmetadata: {name: vxlan-1-4789-0}\n\
                 spec: {vni: 1, port: 4789, peers: []}\n";
    let said = yard.refused(&here, slice);
    assert!(said.contains("ValidatingAdmissionPolicy"), "{said}");
    let wish = "apiVersion: podconfig.dev/v1alpha1\nkind: PodConfig\nmetadata: {name: data}\n\
                spec: {podSelector: {}, links: [{name: data0, veth: {bridge: blue}}]}\n";
    let said = yard.refused(&here, wish);
    assert!(said.contains("ValidatingAdmissionPolicy"), "{said}");
    here.may_not(
        &["label", "pod", "near", "role=admin", "--overwrite"],
        "the status of pods and nothing else",
    );
    here.may_not(
        &["delete", "pod", "near"],
        "the status of pods and nothing else",
    );
}

#[test]
fn of_a_pods_status_a_daemon_changes_one_condition_and_one_annotation() {
    let yard = Yard::new("fence-status");
    let (here, pod) = (yard.on(HERE), || {
        object(&["pod", "-n", &yard.0, "near"]).unwrap()
    });
    let condition = |kind: &str, status: &str| {
        format!(r#"{{"status":{{"conditions":[{{"type":"{kind}","status":"{status}"}}]}}}}"#)
    };
    let annotation = |key: &str| format!(r#"{{"metadata":{{"annotations":{{"{key}":"[]"}}}}}}"#);
    let ours = [
        condition("podconfig.dev/ready", "False"),
        condition("podconfig.dev/ready", "True"),
        annotation("k8s.v1.cni.cncf.io/network-status"),
        r#"{"metadata":{"annotations":{"k8s.v1.cni.cncf.io/network-status":null}}}"#.into(),
        r#"{"status":{"conditions":[{"type":"podconfig.dev/ready","$patch":"delete"}]}}"#.into(),
    ];
    for patch in &ours {
        let output = here.patches_status("near", patch);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{patch}: {said}");
    }
    let before = pod();
    let more = [
        condition("Ready", "False"),
        r#"{"status":{"conditions":[{"type":"Ready","$patch":"delete"}]}}"#.into(),
        r#"{"status":{"phase":"Failed"}}"#.into(),
        r#"{"status":{"podIPs":[{"ip":"10.1.2.3"}],"podIP":"10.1.2.3"}}"#.into(),
        annotation("anything"),
        r#"{"metadata":{"annotations":{"mine":null}}}"#.into(),
        r#"{"metadata":{"labels":{"role":"admin"}}}"#.into(),
        r#"{"metadata":{"labels":null}}"#.into(),
        r#"{"metadata":{"finalizers":["podconfig.dev/never"]}}"#.into(),
    ];
    for patch in &more {
        let said = refusal(here.patches_status("near", patch));
        assert!(said.contains("podconfig-pod-status"), "{patch}: {said}");
    }
    for who in [yard.on(ELSEWHERE), yard.on("")] {
        refusal(who.patches_status("near", &ours[0]));
    }
    let fields = |pod: &Value| {
        (
            pod["metadata"]["labels"].clone(),
            pod["metadata"]["annotations"].clone(),
            pod["status"].clone(),
        )
    };
    assert_eq!(fields(&pod()), fields(&before));
}

//! Addresses of whereabouts, and its reconciler, which frees each that network-status does not show.

use std::process::Command;

use super::*;
use crate::support::{
    eventually,
    kubectl::{kubectl, list},
};

/// Where the plugin looks for its own file, without which it does nothing.
const SETTINGS: &str = "/etc/cni/net.d/whereabouts.d";
const RANGE: &str = "10.98.0.0/24";

/// Runs the reconciler once; the addresses that it has freed.
fn freed() -> String {
    let output = Command::new("whereabouts-reconcile").output();
    let output = output.expect("it is with the other programs of the cluster");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Interface and pod of each reservation.
fn reserved() -> Vec<String> {
    let pools = list(&["ippools.whereabouts.cni.cncf.io", "--all-namespaces"]);
    let all = pools
        .iter()
        .filter_map(|pool| pool["spec"]["allocations"].as_object());
    let words = |one: &Value| {
        format!(
            "{} {}",
            one["ifname"].as_str().unwrap_or_default(),
            one["podref"].as_str().unwrap_or_default()
        )
    };
    all.flat_map(|allocations| allocations.values().map(words))
        .collect()
}

/// A reservation of a pod that is not there: what the reconciler is for.
fn leave_an_orphan() {
    let pool = &list(&["ippools.whereabouts.cni.cncf.io", "--all-namespaces"])[0]["metadata"];
    let word = |field: &str| pool[field].as_str().expect("a pool has a name").to_owned();
    let orphan = r#"{"spec":{"allocations":{"77":{"id":"gone","ifname":"net1","podref":"multus-whereabouts/gone"}}}}"#;
    kubectl(&[
        "patch",
        "ippools.whereabouts.cni.cncf.io",
        "-n",
        &word("namespace"),
        &word("name"),
        "--type=merge",
        "--patch",
        orphan,
    ]);
}

#[test]
fn an_address_survives_the_reconciler_while_attached_and_is_free_after_detach() {
    let tenant = tenant("multus-whereabouts");
    let mut plugin = macvlan();
    plugin["ipam"] = json!({"type": "whereabouts", "range": RANGE});
    define(
        &tenant,
        "whereabouts",
        &json!({"cniVersion": "1.0.0", "name": "whereabouts", "plugins": [plugin]}),
    );
    let kubeconfig = json!({"kubernetes": {"kubeconfig": "/etc/login-plugins"}});
    let write = format!("mkdir -p {SETTINGS} && echo '{kubeconfig}' >{SETTINGS}/whereabouts.conf");
    on("n0", &["sh", "-c", &write]);
    let pod = start(&tenant, "n0", &[]);
    ask(&tenant, &[element(&tenant, "whereabouts", "ens58")]);
    let config = crate::support::manifests::config(
        "fast",
        &format!("app: {POD}"),
        &format!(
            "  - name: fast0\n    cni: {{networkAttachmentDefinition: {}/whereabouts}}\n",
            tenant.name
        ),
    );
    tenant.apply(&config);
    pod.reports("ens58", "LinkReady");
    pod.reports("fast0", "LinkReady");
    let own = |link: &str| format!("{link} {}/{POD}", tenant.name);
    let both = |found: &[String]| found.contains(&own("ens58")) && found.contains(&own("fast0"));
    assert!(both(&reserved()), "{:?}", reserved());
    within(PUBLISHED, "network-status has both addresses", || {
        let found = secondary(&pod);
        seen(
            found.len() == 2 && found.iter().all(|one| one["ips"].is_array()),
            json!(found),
        )
    });

    leave_an_orphan();
    assert_eq!(freed(), "10.98.0.77\n");
    assert!(both(&reserved()), "{:?}", reserved());

    ask(&tenant, &[]);
    tenant.withdraw("fast");
    pod.lacks("ens58");
    pod.lacks("fast0");
    eventually("no reservation is left", || {
        let found = reserved();
        seen(found.is_empty(), format!("{found:?}"))
    });
    assert_eq!(freed(), "");
}

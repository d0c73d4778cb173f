//! podconfig comes to a cluster and leaves it.

use crate::{
    support::{
        eventually,
        installation::{
            file, helm, helm_install, helm_uninstall, install, is_in_chain, nodes_are_clean,
            uninstall,
        },
        kubectl::{TIMEOUT, kubectl, list, object, with_input},
        manifests::{config, pod, policy, with_address},
        node::{NODES, in_switch, switch_links},
        pod::{Pod, number},
        product::{DAEMON, NAMESPACE, daemon_of, ours},
        tenant::Tenant,
    },
    wait::{seen, stays, within},
};
use std::{fs, time::Duration};

/// A pod that runs, whoever serves it.
fn started(tenant: &Tenant, name: &str, node: &str) -> Pod {
    tenant.apply(&pod(name, node));
    tenant.kubectl(&[
        "wait",
        "--for=condition=Ready",
        &format!("pod/{name}"),
        TIMEOUT,
    ]);
    tenant.pod(name)
}

fn linked(tenant: &Tenant, pod: &Pod, address: &str) -> u64 {
    let link = with_address("data0", "blue", address);
    tenant.apply(&config(&pod.name, &format!("app: {}", pod.name), &link));
    pod.has_with("data0", address)
}

#[test]
fn an_uninstalled_cluster_works_and_pods_of_that_time_are_found_when_podconfig_comes_back() {
    let tenant = Tenant::new("uninstalled");
    let pods = NODES.map(|node| started(&tenant, &format!("on-{node}"), node));
    linked(&tenant, &pods[0], "10.50.70.1/24");
    linked(&tenant, &pods[1], "10.50.70.2/24");

    uninstall();
    for pod in &pods {
        assert!(
            pod.link("data0").is_none(),
            "{} has a link that nobody looks after",
            pod.name
        );
        assert_eq!(pod.restarts(), 0);
    }
    nodes_are_clean();
    // A node without it starts pods and ends them; also those that were recorded.
    let before = started(&tenant, "before", "n0");
    started(&tenant, "short", "n1");
    tenant.kubectl(&["delete", "pod", "short", "on-n1", TIMEOUT]);
    // Longer than containerd looks at its chain again.
    stays("nodes are ready", Duration::from_secs(6), || {
        let nodes = kubectl(&[&["get", "nodes", "--no-headers"], &NODES[..]].concat());
        seen(!nodes.contains("NotReady"), nodes)
    });

    without_definitions();
    install();
    tenant.may(&policy(&tenant.name));
    linked(&tenant, &before, "10.50.70.3/24");
    linked(&tenant, &pods[0], "10.50.70.1/24");
    before.ping("10.50.70.1");
    assert_eq!(before.restarts(), 0);
}

/// Everything but the definitions: the daemon waits for them, and says so.
fn without_definitions() {
    let all = fs::read_to_string(file("install.yaml")).expect("install.yaml is there");
    let without: Vec<&str> = all
        .split("\n---")
        .filter(|document| !document.contains("\nkind: CustomResourceDefinition"))
        .collect();
    with_input(
        &["apply", "--server-side", "-f", "-"],
        &without.join("\n---"),
    );
    let (name, _) = eventually("a daemon is started", || {
        let pods = ours(&["get", "pods"]);
        seen(pods.contains("podconfig-daemon"), pods).map(|()| daemon_of("n0"))
    });
    eventually("the daemon says what it waits for", || {
        let log = kubectl_logs(&name);
        seen(
            log.contains("the CustomResourceDefinition is not installed"),
            log,
        )
    });
    let ready = ours(&[
        "get",
        "pod",
        &name,
        "-o=jsonpath={.status.containerStatuses[?(@.name==\"daemon\")].ready}",
    ]);
    assert_eq!(ready, "false", "it is ready without the definitions");
}

fn kubectl_logs(pod: &str) -> String {
    let output =
        crate::support::kubectl::try_kubectl(&["-n", NAMESPACE, "logs", pod, "-c", "daemon"]);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn two_copies_from_the_chart_serve_their_own_namespaces_and_never_meet() {
    let (everybody, hard) = (Tenant::new("everybody"), Tenant::new("hard"));
    uninstall();
    two_copies();
    everybody.may(&policy("everybody"));
    hard.may(&policy("hard"));

    let (ours_pod, theirs) = (
        started(&everybody, "web", "n0"),
        started(&hard, "web", "n0"),
    );
    let before = linked(&everybody, &ours_pod, "10.50.71.1/24");
    linked(&hard, &theirs, "10.50.71.2/24");
    everybody.is_ready("web");
    lists_its_link(&ours_pod);
    hard.is_ready("web");
    is_left_alone(&hard, &theirs);
    upgraded(&["--set", "exceptNamespaces={hard}"]);
    eventually("the second serves its namespace", || {
        let links = switch_links("n0", "podconfig-hard");
        seen(links.len() > 1, format!("{links:?}"))
    });
    // The first may still have the claim of the address. Admission lets no installation take over another's, also not for
    // the same pod, so the second waits until the first has given it back and it has rested for half a minute.
    within(Duration::from_secs(90), "the second's link", || {
        seen(theirs.link("data0").is_some(), "no data0")
    });
    theirs.has_with("data0", "10.50.71.2/24");
    hard.is_ready("web");
    assert_eq!(
        switch_links("n0", "podconfig-hard").len(),
        switch_links("n0", "podconfig").len()
    );
    assert!(!in_switch("n0").is_empty());
    has_rights_in("hard", true);
    has_rights_in("everybody", false);

    // The second goes: plugin and chain stay for the first, whose link notices nothing.
    helm_uninstall("hard", "podconfig-hard");
    assert!(theirs.link("data0").is_none());
    assert!(switch_links("n0", "podconfig-hard").is_empty());
    says_that_it_is_uninstalled(&hard);
    everybody.is_ready("web");
    assert!(NODES.iter().all(|node| is_in_chain(node)));
    assert_eq!(
        number(&ours_pod.link("data0").expect("the link of the first")),
        before
    );

    // And from then on it serves everybody.
    upgraded(&[
        "--set",
        "image.tag=e2e-2",
        "--set-json",
        "exceptNamespaces=[]",
    ]);
    assert!(ours(&["get", DAEMON, "-o=yaml"]).contains(":e2e-2"));
    assert_eq!(
        number(&ours_pod.link("data0").expect("the link of the first")),
        before
    );
    theirs.has_with("data0", "10.50.71.2/24");
    helm_uninstall("podconfig", NAMESPACE);
    assert!(ours_pod.link("data0").is_none());
    nodes_are_clean();
    install();
}

/// The first serves everybody, also the second's namespace.
fn two_copies() {
    helm_install("podconfig", NAMESPACE, &["daemon.networkStatus=true"]);
    let second = [
        "installation=hard",
        "namespaces={hard}",
        "common.enabled=false",
        "daemon.port=9479",
    ];
    helm_install("hard", "podconfig-hard", &second);
}

fn says_that_it_is_uninstalled(tenant: &Tenant) {
    let status = tenant.status("web");
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    assert!(!conditions.is_empty(), "{status}");
    for condition in conditions {
        let said = (&condition["status"], &condition["reason"]);
        assert_eq!(said, (&"Unknown".into(), &"Uninstalled".into()), "{status}");
    }
}

/// The copy that came later makes nothing, disturbs nothing and says why.
fn is_left_alone(tenant: &Tenant, pod: &Pod) {
    for (kind, name) in [("Pod", pod.name.as_str()), ("PodConfig", "web")] {
        eventually(&format!("an Event ServedTwice on {kind} {name}"), || {
            let selector = format!(
                "--field-selector=involvedObject.kind={kind},involvedObject.name={name},reason=ServedTwice"
            );
            let events = list(&["events", "-n", &tenant.name, &selector]);
            let told = events.iter().any(|event| {
                let message = event["message"].as_str().unwrap_or_default();
                message.contains("\"default\" was first")
            });
            seen(told, format!("{events:?}"))
        });
    }
    assert!(switch_links("n0", "podconfig-hard").len() <= 1);
    let report = object(&["podreport", "-n", &tenant.name, &pod.name]).expect("the first's");
    assert_eq!(
        report["status"]["links"][0]["reason"], "LinkReady",
        "{report}"
    );
    let allowance = object(&["podconfigallowance", "-n", &tenant.name, "effective"]);
    let allowance = allowance.expect("the first's");
    assert_eq!(allowance["spec"]["installation"], "default", "{allowance}");
}

/// As people do it.
fn upgraded(more: &[&str]) {
    let chart = file("chart/podconfig");
    let mut words = vec![
        "upgrade",
        "podconfig",
        &chart,
        "-n",
        NAMESPACE,
        "--reuse-values",
    ];
    words.extend(more);
    words.extend(["--wait", "--timeout", "120s"]);
    helm(&words);
}

/// In the annotation that Multus has, where the installation was told to keep it.
fn lists_its_link(pod: &Pod) {
    eventually("the annotation lists the link", || {
        let notes = pod.object()["metadata"]["annotations"].clone();
        let status = notes["k8s.v1.cni.cncf.io/network-status"]
            .as_str()
            .unwrap_or_default();
        seen(
            status.contains("data0") && status.contains("10.50.71.1"),
            &notes,
        )
    });
}

/// What the second copy's daemon may do in a namespace of tenants.
fn has_rights_in(namespace: &str, expected: bool) {
    let account = "--as=system:serviceaccount:podconfig-hard:podconfig-daemon";
    for (verb, kind) in [
        ("list", "pods"),
        ("list", "podconfigs.podconfig.dev"),
        ("patch", "podreports.podconfig.dev"),
    ] {
        let words = ["auth", "can-i", verb, kind, "-n", namespace, account];
        let output = crate::support::kubectl::try_kubectl(&words);
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(
            said.trim() == "yes",
            expected,
            "{verb} {kind} in {namespace}: {said}"
        );
    }
}

//! Links of running workloads: they come, go, and follow their pods.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid as Process,
};

use crate::{
    support::{
        eventually,
        kubectl::{kubectl, list},
        manifests::{ANYWHERE, config, of_pod, on_bridge, with_address},
        node::process_of,
        pod::{Pod, number},
        tenant::Tenant,
    },
    wait::seen,
};

/// Everybody to everybody, by the link of that name.
fn meet(pods: &[Pod], link: &str) {
    for pod in pods {
        for other in pods {
            if pod.name != other.name {
                pod.ping(&other.link_local(link));
            }
        }
    }
}

#[test]
fn three_running_pods_of_a_deployment_get_a_link_and_lose_it_without_a_restart() {
    let tenant = Tenant::new("attach");
    let pods = tenant.deployment("web", 3, "n0");
    assert_eq!(pods.len(), 3);

    tenant.apply(&config("data", "app: web", &on_bridge("data0", "blue")));
    tenant.is_ready("data");
    for pod in &pods {
        pod.has("data0");
        pod.reports("data0", "LinkReady");
    }
    tenant.counts("data", 3, 3);
    meet(&pods, "data0");

    tenant.withdraw("data");
    for pod in &pods {
        pod.lacks("data0");
        pod.has_no_report();
        assert_eq!(pod.restarts(), 0, "{} was restarted", pod.name);
    }
    let same: Vec<_> = tenant.pods("web").into_iter().map(|pod| pod.uid).collect();
    for pod in &pods {
        assert!(same.contains(&pod.uid), "{} was replaced", pod.name);
    }
}

/// What selects nothing is not ready: a label may be written wrong.
fn a_typo_is_named(tenant: &Tenant) {
    tenant.apply(&config(
        "nobody",
        "app: nobody",
        &on_bridge("data0", "blue"),
    ));
    tenant.waits_for("nobody", "condition=Ready=Unknown");
    let said = tenant.status("nobody")["conditions"].to_string();
    assert!(said.contains("NoPodsSelected"), "{said}");
    assert!(
        said.contains("no pod has app=nobody, but there are pods with app="),
        "{said}"
    );
}

#[test]
fn kubectl_shows_what_there_is_to_see() {
    let tenant = Tenant::new("columns");
    let pods = tenant.stateful_set("web", 1, ANYWHERE);
    tenant.apply(&config(
        "data",
        "app: web",
        &with_address("data0", "blue", "10.50.1.1/24"),
    ));
    tenant.is_ready("data");
    pods[0].reports("data0", "LinkReady");

    let configs = tenant.kubectl(&["get", "podcfg", "-o", "wide"]);
    for word in [
        "READY",
        "REASON",
        "SELECTED",
        "CONFIGURED",
        "AGE",
        "SELECTOR",
        "LINKS",
        "MESSAGE",
    ] {
        assert!(configs.contains(word), "no column {word} in:\n{configs}");
    }
    assert!(
        configs.contains("app=web") && configs.contains("AllPodsConfigured"),
        "{configs}"
    );
    let reports = tenant.kubectl(&["get", "podreports"]);
    for word in [
        "NODE",
        "LINKS",
        "READY",
        "ADDRESSES",
        "AGE",
        "web-0",
        "1/1",
        "10.50.1.1",
    ] {
        assert!(reports.contains(word), "no {word} in:\n{reports}");
    }
    let names = |kind: &str| tenant.kubectl(&["get", kind, "-o", "name"]);
    assert_eq!(names("podconfigs"), "podconfig.podconfig.dev/data\n");
    let category = names("podconfig-dev");
    for kind in ["podconfig.", "podconfigallowance.", "podreport."] {
        assert!(category.contains(kind), "no {kind} in {category}");
    }
    a_typo_is_named(&tenant);
    let explained = kubectl(&["explain", "podconfig.spec.links.mtu"]);
    assert!(
        explained.contains("in bytes") && explained.contains("Default"),
        "{explained}"
    );
}

#[test]
fn a_label_brings_a_link_and_its_end_takes_it() {
    let tenant = Tenant::new("labels");
    let pod = &tenant.stateful_set("web", 1, ANYWHERE)[0];
    tenant.apply(&config(
        "data",
        "plane: data",
        &with_address("data0", "blue", "10.50.2.1/24"),
    ));
    tenant.waits_for("data", "condition=Ready=Unknown");
    assert!(pod.link("data0").is_none());

    pod.label("plane=data");
    pod.has_with("data0", "10.50.2.1/24");
    tenant.counts("data", 1, 1);

    pod.label("plane-");
    pod.lacks("data0");
    tenant.counts("data", 0, 0);
}

#[test]
fn links_follow_a_deployment_that_grows_and_shrinks() {
    let tenant = Tenant::new("scale");
    tenant.deployment("web", 1, "n0");
    tenant.apply(&config("data", "app: web", &on_bridge("data0", "blue")));
    tenant.counts("data", 1, 1);

    tenant.kubectl(&["scale", "deployment/web", "--replicas=5"]);
    tenant.kubectl(&["rollout", "status", "deployment/web"]);
    tenant.counts("data", 5, 5);
    let pods = tenant.pods("web");
    assert_eq!(pods.len(), 5);
    meet(&pods[..3], "data0");

    tenant.kubectl(&["scale", "deployment/web", "--replicas=2"]);
    tenant.counts("data", 2, 2);
    eventually("reports go with their pods", || {
        let reports = list(&["podreports", "-n", &tenant.name]);
        seen(reports.len() == 2, format!("{} reports", reports.len()))
    });
    meet(&tenant.pods("web"), "data0");
}

#[test]
fn a_pod_that_is_deleted_and_made_again_has_its_link_and_its_address_again() {
    let tenant = Tenant::new("again");
    let pods = tenant.stateful_set("web", 2, "n1");
    for (n, pod) in pods.iter().enumerate() {
        let link = with_address("data0", "blue", &format!("10.50.3.{}/24", n + 1));
        tenant.apply(&config(&pod.name, &of_pod(&pod.name), &link));
        pod.has_with("data0", &format!("10.50.3.{}/24", n + 1));
    }
    let before = &pods[0];

    tenant.kubectl(&["delete", "pod", &before.name]);
    tenant.kubectl(&["rollout", "status", "statefulset/web"]);
    let after = tenant.pod(&before.name);
    assert_ne!(before.uid, after.uid);
    after.has_with("data0", "10.50.3.1/24");
    after.ping("10.50.3.2");
    tenant.is_ready(&after.name);
    let report = eventually("the report is of the new pod", || {
        let report = after.report().ok_or("there is no report")?;
        seen(report["status"]["podUID"] == after.uid.as_str(), &report)?;
        Ok(report)
    });
    assert_eq!(
        report["metadata"]["ownerReferences"][0]["uid"],
        after.uid.as_str()
    );
    assert!(report["metadata"]["ownerReferences"][0]["blockOwnerDeletion"].is_null());
}

#[test]
fn a_container_that_is_started_again_keeps_the_link_of_its_pod() {
    let tenant = Tenant::new("restart");
    let pod = &tenant.stateful_set("web", 1, ANYWHERE)[0];
    tenant.apply(&config(
        "data",
        "app: web",
        &with_address("data0", "blue", "10.50.4.1/24"),
    ));
    let before = pod.has_with("data0", "10.50.4.1/24");

    let server = process_of(&pod.uid, "httpd").expect("the server runs");
    kill(Process::from_raw(server.cast_signed()), Signal::SIGKILL).expect("it can be killed");
    eventually("the container is started again", || {
        seen(pod.restarts() == 1, pod.object()["status"].to_string())
    });
    let link = pod.link("data0").expect("the link is still there");
    assert_eq!(number(&link), before);
    tenant.is_ready("data");
}

#[test]
fn a_policy_that_is_withdrawn_takes_its_links_and_one_that_comes_back_brings_them() {
    let tenant = Tenant::new("withdrawn");
    let pod = &tenant.stateful_set("web", 1, ANYWHERE)[0];
    tenant.apply(&config(
        "data",
        "app: web",
        &with_address("data0", "blue", "10.50.5.1/24"),
    ));
    tenant.is_ready("data");

    tenant.withdraw_policy();
    pod.lacks("data0");
    pod.reports("data0", "NoPolicy");
    tenant.waits_for("data", "condition=Ready=False");
    tenant.waits_for("data", "condition=Degraded");

    crate::support::kubectl::apply(&crate::support::manifests::policy(&tenant.name));
    pod.has_with("data0", "10.50.5.1/24");
    tenant.is_ready("data");
}

#[test]
fn a_change_is_made_in_place() {
    let tenant = Tenant::new("change");
    let pods = tenant.stateful_set("web", 2, "n0");
    tenant.apply(&config(
        "data",
        &of_pod("web-0"),
        &with_address("data0", "blue", "10.50.6.1/24"),
    ));
    tenant.apply(&config(
        "other",
        &of_pod("web-1"),
        &with_address("data0", "blue", "10.50.6.2/24"),
    ));
    let before = pods[0].has_with("data0", "10.50.6.1/24");
    let stream = pods[1].ping_on("10.50.6.1");

    let more = with_address("data0", "blue", "10.50.6.1/24, 10.50.6.9/24") + "    mtu: 1400\n";
    tenant.apply(&config("data", &of_pod("web-0"), &more));
    pods[1].ping("10.50.6.9");
    tenant.is_ready("data");
    let link = pods[0].link("data0").expect("the link is still there");
    assert_eq!((number(&link), link["mtu"].as_u64()), (before, Some(1400)));
    stream.lost_nothing();
}

#[test]
fn events_tell_on_the_pod_and_on_the_podconfig() {
    let tenant = Tenant::new("events");
    let pod = &tenant.stateful_set("web", 1, ANYWHERE)[0];
    tenant.apply(&config(
        "data",
        "app: web",
        &with_address("data0", "blue", "10.50.7.1/24"),
    ));
    pod.has("data0");
    for object in [("Pod", pod.name.as_str()), ("PodConfig", "data")] {
        told(&tenant, object, "LinkAdded", "data0");
    }
    tenant.withdraw("data");
    pod.lacks("data0");
    told(&tenant, ("Pod", &pod.name), "LinkRemoved", "data0");
}

fn told(tenant: &Tenant, (kind, name): (&str, &str), reason: &str, word: &str) {
    eventually(&format!("an Event {reason} on {kind} {name}"), || {
        let selector =
            format!("--field-selector=involvedObject.kind={kind},involvedObject.name={name}");
        let events = list(&["events", "-n", &tenant.name, &selector]);
        let fits = |event: &&serde_json::Value| {
            let message = event["message"].as_str().unwrap_or_default();
            event["reason"] == reason && message.contains(word)
        };
        seen(events.iter().find(fits).is_some(), format!("{events:?}"))
    });
}

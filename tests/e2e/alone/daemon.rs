//! Daemons come and go, and links do not notice.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid as Process,
};

use crate::support::{
    kubectl::{TIMEOUT, list},
    manifests::{config, of_pod, on_bridge, with_address},
    pod::{Pod, number},
    product::{self, Away, DAEMON, daemon_of, daemon_process, ours},
    tenant::Tenant,
};

/// Two pods of one node that reach each other at 10.50.40.1 and .2.
fn pair(tenant: &Tenant) -> Vec<Pod> {
    let pods = tenant.stateful_set("web", 2, "n0");
    for (n, pod) in pods.iter().enumerate() {
        let address = format!("10.50.40.{}/24", n + 1);
        let link = with_address("data0", "blue", &address);
        tenant.apply(&config(&pod.name, &of_pod(&pod.name), &link));
        pod.has_with("data0", &address);
        tenant.is_ready(&pod.name);
    }
    pods
}

fn numbers(pods: &[Pod]) -> Vec<u64> {
    let links = pods
        .iter()
        .map(|pod| pod.link("data0").expect("the link is there"));
    links.map(|link| number(&link)).collect()
}

#[test]
fn a_daemon_that_is_killed_comes_back_and_no_link_notices() {
    let tenant = Tenant::new("killed");
    let pods = pair(&tenant);
    let (before, first) = (numbers(&pods), daemon_process("n0"));
    let stream = pods[0].ping_on("10.50.40.2");

    kill(Process::from_raw(first.cast_signed()), Signal::SIGKILL).expect("the daemon runs");
    // What is asked for meanwhile is done by the one that comes.
    tenant.apply(&config("more", "app: web", &on_bridge("more0", "green")));
    for pod in &pods {
        pod.has("more0");
    }
    assert_ne!(daemon_process("n0"), first);
    assert_eq!(numbers(&pods), before);
    stream.lost_nothing();
    tenant.is_ready("more");
    product::is_ready();
}

#[test]
fn a_daemons_pod_that_is_deleted_is_replaced_and_no_link_notices() {
    let tenant = Tenant::new("deleted");
    let pods = pair(&tenant);
    let (before, (name, _)) = (numbers(&pods), daemon_of("n0"));
    let stream = pods[0].ping_on("10.50.40.2");

    ours(&["delete", "pod", &name, TIMEOUT]);
    product::is_ready();
    product::serves(&pods[0]);
    assert_eq!(numbers(&pods), before);
    stream.lost_nothing();
}

#[test]
fn a_podconfig_that_is_deleted_while_no_daemon_runs_is_gone_when_one_comes_back() {
    let tenant = Tenant::new("absent");
    let pods = pair(&tenant);
    let away = Away::daemons();

    tenant.withdraw("web-0");
    // Nobody is there to take it away, and the other is not disturbed.
    assert!(pods[0].link("data0").is_some());
    pods[1].has("data0");
    let pod = tenant.pod("web-1");
    let before = number(&pod.link("data0").expect("the link is there"));
    drop(away);
    pods[0].lacks("data0");
    pods[0].has_no_report();
    assert_eq!(
        number(&pod.link("data0").expect("the link is there")),
        before
    );
    product::is_ready();
}

#[test]
fn an_upgrade_touches_no_link_and_loses_no_ping() {
    let tenant = Tenant::new("upgrade");
    let pods = pair(&tenant);
    let before = numbers(&pods);
    let image = ours(&[
        "get",
        DAEMON,
        "-o=jsonpath={.spec.template.spec.containers[0].image}",
    ]);
    let stream = pods[0].ping_on("10.50.40.2");
    let old: Vec<_> = ["n0", "n1"].map(daemon_of).to_vec();

    let repository = image.rsplit_once(':').expect("an image has a tag").0;
    for next in [&format!("{repository}:e2e-2"), &image] {
        ours(&["set", "image", DAEMON, &format!("*={next}")]);
        product::is_ready();
        assert_eq!(numbers(&pods), before, "with {next}");
    }
    for (name, _) in old {
        let gone = list(&[
            "pods",
            "-n",
            product::NAMESPACE,
            &format!("--field-selector=metadata.name={name}"),
        ]);
        assert!(gone.is_empty(), "{name} was not replaced");
    }
    stream.lost_nothing();
    tenant.is_ready("web-0");
}

#[test]
fn a_controller_that_is_killed_holds_up_no_link() {
    let tenant = Tenant::new("headless");
    let pod = &tenant.stateful_set("web", 1, "n1")[0];
    let away = Away::controller();
    tenant.apply(&config(
        "data",
        "app: web",
        &with_address("data0", "blue", "10.50.41.1/24"),
    ));
    pod.has_with("data0", "10.50.41.1/24");
    pod.reports("data0", "LinkReady");

    drop(away);
    product::is_ready();
    tenant.is_ready("data");
}

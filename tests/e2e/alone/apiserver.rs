//! The API server comes and goes.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid as Process,
};

use std::time::Duration;

use crate::{
    support::{
        eventually,
        kubectl::try_kubectl,
        manifests::{config, of_pod, on_bridge, with_address},
        node::{bring_back, end},
        pod::number,
        product::{self, daemon_of, daemon_process},
        tenant::Tenant,
    },
    wait::{seen, stays},
};

#[test]
fn links_stay_while_the_api_server_is_away_and_wishes_are_served_when_it_is_back() {
    let tenant = Tenant::new("away");
    let pods = tenant.stateful_set("web", 2, "n0");
    for (n, pod) in pods.iter().enumerate() {
        let address = format!("10.50.50.{}/24", n + 1);
        let link = with_address("data0", "blue", &address);
        tenant.apply(&config(&pod.name, &of_pod(&pod.name), &link));
        pod.has_with("data0", &address);
    }
    let numbers = || {
        let links = pods
            .iter()
            .map(|pod| pod.link("data0").ok_or("the link is gone"));
        links
            .map(|link| Ok(number(&link?)))
            .collect::<Result<Vec<u64>, &str>>()
    };
    let before = numbers();
    let (stream, (_, daemon)) = (pods[0].ping_on("10.50.50.2"), daemon_of("n0"));
    let process = daemon_process("n0");

    end("kube-apiserver");
    // The same for a daemon that starts while nobody can tell it what is wanted.
    kill(Process::from_raw(process.cast_signed()), Signal::SIGKILL).expect("the daemon runs");
    eventually("the daemon is started again", || {
        let now = crate::support::node::process_of(&daemon, "reconfd");
        seen(now.is_some_and(|now| now != process), format!("{now:?}"))
    });
    stays("the links are as they were", Duration::from_secs(3), || {
        seen(
            numbers() == before,
            format!("{:?}, not {before:?}", numbers()),
        )
    });
    assert!(!try_kubectl(&["get", "--raw=/readyz"]).status.success());
    bring_back();

    tenant.is_allowed();
    tenant.apply(&config("more", "app: web", &on_bridge("more0", "green")));
    for pod in &pods {
        pod.has("more0");
    }
    assert_eq!(numbers(), before);
    stream.lost_nothing();
    tenant.withdraw("web-1");
    pods[1].lacks("data0");
    tenant.is_ready("more");
    product::is_ready();
}

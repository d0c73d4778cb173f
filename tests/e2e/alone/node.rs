//! A node goes away, without a word.

use crate::{
    support::{
        eventually,
        kubectl::{TIMEOUT, kubectl, object},
        manifests::{config, of_pod, on_bridge, pod, policy_of},
        node::{bring_back, end, on},
        pod::Pod,
        product,
        tenant::Tenant,
    },
    wait::seen,
};

fn tunnelled(tenant: &Tenant, pod: &Pod, number: u32) {
    let link = format!(
        "  - name: tun0\n    vxlan: {{underlay: eth0, vni: 5010, peers: {{auto: {{}}}}}}\n    addresses: [10.50.60.{number}/24]\n"
    );
    tenant.apply(&config(&pod.name, &of_pod(&pod.name), &link));
    pod.has("tun0");
}

/// The entries of n0 that lead to n1.
fn peers_on_n1() -> String {
    let all = on(
        "n0",
        &[
            "sh",
            "-c",
            "bridge -n podconfig fdb show | grep ' dst ' || true",
        ],
    );
    all.lines()
        .filter(|line| line.contains("10.213.77.11"))
        .collect()
}

#[test]
fn a_node_that_goes_away_blocks_nothing_and_is_forgotten() {
    let tenant = Tenant::without_policy("lost");
    tenant.may(&policy_of(
        "lost",
        "  - vxlan: {underlays: [eth0], vnis: [{min: 5010, max: 5010}], peers: [10.213.77.0/24]}
    addresses: [10.50.0.0/16]
  - veth: {bridges: Own}
",
    ));
    let lost = tenant.stateful_set("far", 1, "n1").remove(0);
    let kept = tenant.stateful_set("near", 1, "n0").remove(0);
    tunnelled(&tenant, &lost, 1);
    tunnelled(&tenant, &kept, 2);
    kept.ping("10.50.60.1");

    end("n1");
    kubectl(&["delete", "node", "n1", TIMEOUT]);
    // The wish, its deletion, and everybody else's are served as ever.
    tenant.kubectl(&["delete", "podconfig", &lost.name, TIMEOUT]);
    tenant.apply(&config("data", "app: near", &on_bridge("data0", "blue")));
    kept.has("data0");
    // If the controller was there, Kubernetes starts it elsewhere, in its own time.
    tenant.kubectl(&[
        "wait",
        "--for=condition=Ready",
        "podconfig/data",
        "--timeout=180s",
    ]);
    eventually("the report of the node that is gone is removed", || {
        let report = object(&["podreport", "-n", &tenant.name, &lost.name]);
        report.map_or(Ok(()), |report| Err(report.to_string()))
    });
    eventually("nobody sends to it any more", || {
        seen(peers_on_n1().is_empty(), peers_on_n1())
    });

    bring_back();
    product::is_ready();
    tenant.apply(&pod("late", "n1"));
    let late = tenant.pod("late");
    product::serves(&late);
}

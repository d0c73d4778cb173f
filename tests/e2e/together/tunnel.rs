//! Pods of several nodes.

use crate::support::{
    eventually,
    kubectl::kubectl,
    manifests::{ANYWHERE, config, of_pod, pod, policy_of, with_address},
    node::{in_switch, on, switch_links},
    pod::Pod,
    tenant::Tenant,
};
use crate::wait::seen;

fn tunnel(vni: u32, address: &str) -> String {
    format!(
        "  - name: tun0\n    vxlan: {{underlay: eth0, vni: {vni}, peers: {{auto: {{}}}}}}\n    addresses: [{address}]\n"
    )
}

/// Where the wire's addresses are peers.
fn tenant(name: &str, vni: u32) -> Tenant {
    let tenant = Tenant::without_policy(name);
    tenant.may(&policy_of(
        name,
        &format!(
            "  - vxlan: {{underlays: [eth0], vnis: [{{min: {vni}, max: {vni}}}], peers: [10.213.77.0/24]}}
    addresses: [10.50.0.0/16]
  - veth: {{bridges: Own}}
    addresses: [10.50.0.0/16]
"
        ),
    ));
    tenant
}

fn one_pod(tenant: &Tenant, name: &str, node: &str) -> Pod {
    tenant.apply(&pod(name, node));
    tenant.kubectl(&[
        "wait",
        "--for=condition=Ready",
        &format!("pod/{name}"),
        "--timeout=60s",
    ]);
    tenant.pod(name)
}

#[test]
fn pods_of_two_nodes_meet_in_a_tunnel_whose_peers_are_found() {
    let tenant = tenant("tunnel", 5001);
    let (here, there) = (
        one_pod(&tenant, "here", "n0"),
        one_pod(&tenant, "there", "n1"),
    );
    for (pod, address) in [(&here, "10.50.10.1/24"), (&there, "10.50.10.2/24")] {
        tenant.apply(&config(
            &pod.name,
            &format!("app: {}", pod.name),
            &tunnel(5001, address),
        ));
        pod.has_with("tun0", address);
    }
    here.ping("10.50.10.2");
    there.ping("10.50.10.1");

    // A third comes to where the first is, and talks to both.
    let third = one_pod(&tenant, "third", "n0");
    tenant.apply(&config(
        "third",
        "app: third",
        &tunnel(5001, "10.50.10.3/24"),
    ));
    third.ping("10.50.10.1");
    third.ping("10.50.10.2");

    // The only one of its node goes: nobody sends there any more.
    tenant.kubectl(&["delete", "pod", "there"]);
    eventually("the tunnel of n1 goes with its last pod", || {
        let devices = vxlans("n1", 5001);
        seen(devices == 0, format!("{devices} devices"))
    });
    eventually("n0 has no peer left", || {
        let entries = on(
            "n0",
            &[
                "sh",
                "-c",
                "bridge -n podconfig fdb show | grep dst || true",
            ],
        );
        let to_n1 = entries
            .lines()
            .filter(|line| line.contains("10.213.77.11"))
            .count();
        seen(to_n1 == 0, entries)
    });
}

fn vxlans(node: &str, vni: u64) -> usize {
    let links = switch_links(node, "podconfig");
    let of_vni = |link: &&serde_json::Value| link["linkinfo"]["info_data"]["id"] == vni;
    links.iter().filter(of_vni).count()
}

#[test]
fn a_pod_of_a_stateful_set_that_moves_to_another_node_takes_its_link_and_its_report_along() {
    let tenant = tenant("moves", 5002);
    let pods = tenant.stateful_set("web", 2, ANYWHERE);
    let (mover, stayer) = (&pods[0], &pods[1]);
    for (pod, address) in [(mover, "10.50.11.1/24"), (stayer, "10.50.11.2/24")] {
        tenant.apply(&config(
            &pod.name,
            &of_pod(&pod.name),
            &tunnel(5002, address),
        ));
        pod.has_with("tun0", address);
    }
    let elsewhere = if mover.node == "n0" { "n1" } else { "n0" };
    let patch = format!(
        r#"{{"spec":{{"updateStrategy":{{"type":"OnDelete","rollingUpdate":null}},"template":{{"spec":{{"nodeSelector":{{"kubernetes.io/hostname":"{elsewhere}"}}}}}}}}}}"#
    );
    tenant.kubectl(&["patch", "statefulset/web", "--patch", &patch]);
    tenant.kubectl(&["delete", "pod", &mover.name]);
    let moved = eventually("the pod is there again", || {
        let pods = tenant.pods("web");
        let found = pods
            .into_iter()
            .find(|pod| pod.name == mover.name && pod.uid != mover.uid);
        found.ok_or_else(|| "not yet".to_owned())
    });
    assert_eq!(moved.node, elsewhere);

    moved.has_with("tun0", "10.50.11.1/24");
    eventually("the report is taken over by the new node", || {
        let report = moved.report().ok_or("there is no report")?;
        let status = &report["status"];
        seen(
            status["node"] == elsewhere && status["podUID"] == moved.uid.as_str(),
            &report,
        )
    });
    let owner = moved.report().expect("it was just there")["metadata"]["ownerReferences"].clone();
    assert_eq!(
        owner[0]["uid"],
        moved.uid.as_str(),
        "the report would go with the old pod"
    );
    stayer.ping("10.50.11.1");
    tenant.is_ready(&mover.name);
}

#[test]
fn a_namespace_that_is_deleted_leaves_nothing_on_the_nodes() {
    let tenant = tenant("leaves", 5003);
    let pod = one_pod(&tenant, "last", "n1");
    let links = tunnel(5003, "10.50.12.1/24") + &with_address("data0", "blue", "10.50.13.1/24");
    tenant.apply(&config("data", "app: last", &links));
    pod.has("tun0");
    pod.has("data0");
    let report = pod.reports("data0", "LinkReady");
    let host_end = report["hostInterface"]
        .as_str()
        .expect("a veth has a host end")
        .to_owned();
    assert!(in_switch("n1").contains(&host_end));

    kubectl(&["delete", "namespace", &tenant.name, "--timeout=60s"]);
    eventually("nothing of it is left in the switch", || {
        let names = in_switch("n1");
        seen(
            !names.contains(&host_end) && vxlans("n1", 5003) == 0,
            format!("{names:?}"),
        )
    });
}

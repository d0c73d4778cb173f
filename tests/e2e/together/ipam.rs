//! Addresses that podconfig chooses, on a cluster with networks of its own.

use serde_json::Value;

use crate::{
    support::{
        eventually,
        kubectl::{apply, kubectl, list, object},
        manifests::{ANYWHERE, config, policy_of, with_range},
        pod::{Pod, addresses},
        tenant::Tenant,
    },
    wait::seen,
};

/// The address that a pod has on a link, and its MAC address.
fn of(pod: &Pod, link: &str) -> (String, Value) {
    pod.reports(link, "LinkReady");
    let found = pod.link(link).expect("it is reported ready");
    let mut all = addresses(&found).into_iter();
    let address = all.find(|address| address.contains('.'));
    (address.expect("an IPv4 address"), found["address"].clone())
}

fn claims(namespace: &str) -> Vec<Value> {
    let all = list(&["addressclaims"]).into_iter();
    all.filter(|claim| claim["spec"]["pod"]["namespace"] == namespace)
        .collect()
}

/// The condition of that type, if there is one.
fn condition(tenant: &Tenant, config: &str, type_: &str) -> Option<Value> {
    let status = tenant.status(config);
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|one| one["type"] == type_)
}

#[test]
fn a_pod_that_comes_back_on_another_node_has_its_address_and_its_mac() {
    let tenant = Tenant::new("keeps-address");
    let pods = tenant.stateful_set("web", 2, ANYWHERE);
    tenant.apply(&config(
        "pool",
        "app: web",
        &with_range("data0", "blue", "{cidr: 10.50.60.0/24}"),
    ));
    tenant.is_ready("pool");
    let (mover, other) = (&pods[0], of(&pods[1], "data0"));
    let before = of(mover, "data0");
    assert_ne!(before.0, other.0);
    eventually("how full the range is can be seen", || {
        let wide = tenant.kubectl(&["get", "podcfg", "pool", "-o", "wide"]);
        let words: Vec<&str> = wide.split_whitespace().collect();
        let has = |word| words.contains(&word);
        seen(has("USED") && has("FREE") && has("2") && has("252"), &wide)
    });
    let elsewhere = if mover.node == "n0" { "n1" } else { "n0" };
    let patch = format!(
        r#"{{"spec":{{"updateStrategy":{{"type":"OnDelete","rollingUpdate":null}},"template":{{"spec":{{"nodeSelector":{{"kubernetes.io/hostname":"{elsewhere}"}}}}}}}}}}"#
    );
    tenant.kubectl(&["patch", "statefulset/web", "--patch", &patch]);
    tenant.kubectl(&["delete", "pod", &mover.name]);
    let moved = eventually("the pod is there again", || {
        let pods = tenant.pods("web").into_iter();
        let mut found = pods.filter(|pod| pod.name == mover.name && pod.uid != mover.uid);
        found.next().ok_or_else(|| "not yet".to_owned())
    });
    assert_eq!(of(&moved, "data0"), before);
    let of_tenant = claims("keeps-address");
    assert_eq!(of_tenant.len(), 2, "{of_tenant:?}");
    let taken_over = of_tenant.iter().any(|claim| {
        claim["spec"]["pod"]["uid"] == moved.uid.as_str() && claim["spec"]["node"] == elsewhere
    });
    assert!(taken_over, "{of_tenant:?}");
}

#[test]
fn what_pods_leave_rests_and_goes() {
    let tenant = Tenant::new("rests");
    let pods = tenant.deployment("web", 2, ANYWHERE);
    tenant.apply(&config(
        "pool",
        "app: web",
        &with_range("data0", "blue", "{cidr: 10.50.61.0/24}"),
    ));
    for pod in &pods {
        of(pod, "data0");
    }
    tenant.kubectl(&["delete", "deployment", "web"]);
    eventually("the claims rest", || {
        let claims = claims("rests");
        let resting = claims
            .iter()
            .filter(|claim| claim["spec"]["released"].is_string());
        seen(resting.count() == claims.len(), format!("{claims:?}"))
    });
    crate::wait::within(
        std::time::Duration::from_secs(60),
        "the claims are gone",
        || {
            let claims = claims("rests");
            seen(claims.is_empty(), format!("{claims:?}"))
        },
    );
}

/// Attack 3 and 12: an address, a range and a route in the service network.
#[test]
fn the_clusters_own_service_network_is_nobodys_to_have() {
    let tenant = Tenant::without_policy("greedy");
    tenant.may(&policy_of(
        "greedy",
        "  - veth: {bridges: Own}\n    addresses: [0.0.0.0/0]\n    routes: [0.0.0.0/0]\n",
    ));
    let services = object(&["servicecidr", "kubernetes"]).expect("the cluster has services");
    let services = services["spec"]["cidrs"][0]
        .as_str()
        .expect("a network")
        .to_owned();
    let pod = tenant.stateful_set("web", 1, ANYWHERE).remove(0);
    let told = |links: &str| {
        tenant.apply(&config("greedy", "app: web", links));
        eventually("the link is refused", || {
            let report = pod.report().ok_or("no report")?;
            let link = report["status"]["links"][0].clone();
            let message = link["message"].as_str().unwrap_or_default().to_owned();
            let is_current = link["observedGeneration"]
                == object(&["-n", "greedy", "podconfig", "greedy"]).expect("it is there")["metadata"]
                    ["generation"];
            seen(is_current && link["reason"] == "NetworkReserved", &report).map(|()| message)
        })
    };
    let range = told(&with_range(
        "data0",
        "blue",
        &format!("{{cidr: {services}}}"),
    ));
    let says = format!(
        "{services} overlaps {services}, the service network of ServiceCIDR.networking.k8s.io/kubernetes (spec.cidrs[0])"
    );
    assert_eq!(range, says);
    let route = told(&format!(
        "  - name: data0\n    veth: {{bridge: blue}}\n    addresses: [172.30.5.5/24]\n    routes: [{{to: {services}}}]\n"
    ));
    assert_eq!(route, says);
    assert!(pod.link("data0").is_none());
    assert!(condition(&tenant, "greedy", "AddressConflict").is_some());
}

#[test]
fn a_service_network_that_appears_later_is_told_and_takes_no_link_away() {
    let tenant = Tenant::new("overtaken");
    let pods = tenant.stateful_set("web", 2, "n0");
    tenant.apply(&config(
        "pool",
        "app: web",
        &with_range("data0", "blue", "{cidr: 10.50.62.0/24}"),
    ));
    tenant.is_ready("pool");
    let target = of(&pods[1], "data0").0;
    let stream = pods[0].ping_on(target.split('/').next().expect("an address"));
    apply(
        "apiVersion: networking.k8s.io/v1\nkind: ServiceCIDR\nmetadata: {name: overtaking}\nspec: {cidrs: [10.50.62.0/25]}\n",
    );
    let told = eventually("the PodConfig says so", || {
        condition(&tenant, "pool", "AddressConflict").ok_or_else(|| "not yet".to_owned())
    });
    let message = told["message"].as_str().unwrap_or_default();
    assert!(
        message.contains(
            "10.50.62.0/25, the service network of ServiceCIDR.networking.k8s.io/overtaking"
        ),
        "{message}"
    );
    for pod in &pods {
        let report = pod.reports("data0", "LinkReady");
        assert!(report.to_string().contains("overtaking"), "{report}");
    }
    let events = eventually("an Event says so", || {
        let events = tenant.kubectl(&["events"]);
        seen(events.contains("AddressConflict"), &events).map(|()| events)
    });
    drop(events);
    stream.lost_nothing();
    kubectl(&["delete", "servicecidr", "overtaking"]);
    eventually("the conflict is over", || {
        let conflict = condition(&tenant, "pool", "AddressConflict");
        seen(conflict.is_none(), format!("{conflict:?}"))
    });
}

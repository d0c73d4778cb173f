//! Routed veths, and the routes that a link brings.

use serde_json::json;

use crate::support::{
    node::TestNode,
    wait::{eventually, seen},
};

/// Which source addresses pass.
mod sources;

#[test]
fn a_routed_link_has_its_gateway_on_the_host_end() {
    let node = TestNode::builder().any_veth().daemon().start();
    let pod = node.pod("tenant-a", "web-0");
    let links = "[{name: r0, veth: {routed: {}}, addresses: [172.31.5.7/32, 'fd31::7/128'], \
                  routes: [{to: 198.51.100.0/24}, {to: 'fd99::/64'}]}]";
    node.configure("tenant-a", "routed", "web-0", links);
    pod.ready("r0");
    pod.ping("169.254.1.1");
    let four = pod.ip(&["route", "show", "198.51.100.0/24"]);
    assert_eq!(
        (&four[0]["gateway"], &four[0]["dev"]),
        (&json!("169.254.1.1"), &json!("r0"))
    );
    let six = pod.ip(&["-6", "route", "show", "fd99::/64"]);
    assert_eq!(
        (&six[0]["gateway"], &six[0]["dev"]),
        (&json!("fe80::1"), &json!("r0"))
    );
    // The node reaches the pod's addresses through the host end.
    for (family, address) in [("-4", "172.31.5.7"), ("-6", "fd31::7")] {
        let way = node.ip(&[family, "route", "get", address]);
        assert!(way[0]["dev"].as_str().unwrap().starts_with("pc"), "{way}");
        node.run(&["ping", "-q", "-c", "1", "-W", "2", address]);
    }
    node.withdraw("routed");
    pod.lacks("r0");
    node.is_clean();
}

#[test]
fn routes_have_their_metric_and_their_table_with_its_rule() {
    let node = TestNode::builder().any_veth().daemon().start();
    let pod = node.pod("tenant-a", "web-0");
    let links = "[{name: data0, veth: {bridge: blue}, addresses: [10.1.0.1/24], routes: [\
                  {to: 172.20.0.0/16, via: 10.1.0.254, metric: 77}, \
                  {to: 0.0.0.0/0, via: 10.1.0.254, table: 200}]}]";
    node.configure("tenant-a", "x", "web-0", links);
    pod.ready("data0");
    let main = pod.ip(&["route", "show", "172.20.0.0/16"]);
    assert_eq!(
        (&main[0]["gateway"], &main[0]["metric"]),
        (&json!("10.1.0.254"), &json!(77))
    );
    let table = pod.ip(&["route", "show", "table", "200"]);
    assert_eq!(
        (&table[0]["dst"], &table[0]["dev"]),
        (&json!("default"), &json!("data0"))
    );
    let rules = pod.ip(&["rule", "show"]);
    let has_rule = |rules: &serde_json::Value| {
        let all = rules.as_array().unwrap().iter();
        all.filter(|rule| rule["src"] == "10.1.0.1" && rule["table"] == "200")
            .count()
    };
    assert_eq!(has_rule(&rules), 1, "{rules}");
    let way = pod.ip(&["route", "get", "8.8.8.8", "from", "10.1.0.1"]);
    assert_eq!(way[0]["dev"], "data0");
    assert_eq!(
        pod.ip(&["route", "get", "8.8.8.8"])[0]["dev"],
        "eth0",
        "other traffic keeps its way"
    );
    node.withdraw("x");
    pod.lacks("data0");
    eventually("the rule goes with the link", || {
        let rules = pod.ip(&["rule", "show"]);
        seen(has_rule(&rules) == 0, rules)
    });
}

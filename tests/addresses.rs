//! Addresses and routes change one by one; the others are not touched.

use crate::support::{
    look::{addresses, index},
    manifests::{config, on_bridge},
    node::TestNode,
    wait::{eventually, seen},
};

fn rewrite(node: &TestNode, links: &str) {
    node.apply("tenant-a-a", &config("tenant-a", "a", "a", links));
}

#[test]
fn an_address_edit_keeps_the_others_even_where_secondaries_are_not_promoted() {
    let node = TestNode::new();
    node.allow_own_bridges();
    let _daemon = node.daemon();
    let (a, b) = node.neighbours();
    a.shell("for f in all default data0; do echo 0 >/proc/sys/net/ipv4/conf/$f/promote_secondaries; done");
    rewrite(
        &node,
        "[{name: data0, veth: {bridge: blue}, addresses: [10.1.0.1/24, 10.1.0.5/24, 10.1.0.6/24]}]",
    );
    eventually("three addresses", || {
        let link = a.find("data0").ok_or("no link")?;
        seen(addresses(&link).len() == 3, link)
    });
    let before = a.link("data0");
    let (monitor, stream) = (node.monitor(a.netns_name()), b.ping_on("10.1.0.6"));
    rewrite(
        &node,
        "[{name: data0, veth: {bridge: blue}, addresses: [10.1.0.5/24, 10.1.0.6/24, 10.1.0.7/24]}]",
    );
    let after = eventually("the first address went and a new one came", || {
        let link = a.find("data0").ok_or("no link")?;
        let mut all = addresses(&link);
        all.sort();
        seen(all == ["10.1.0.5/24", "10.1.0.6/24", "10.1.0.7/24"], &link).map(|()| link)
    });
    stream.lost_nothing();
    assert_eq!(index(&after), index(&before));
    assert_eq!(
        after["address"], before["address"],
        "a later edit of addresses does not change the MAC"
    );
    assert_eq!(monitor.saw_down("data0"), Vec::<String>::new());
}

/// With the last address of a link the kernel drops its routes; that is nobody's undoing.
#[test]
fn an_address_edit_keeps_the_routes_even_where_secondaries_are_not_promoted() {
    let node = TestNode::new();
    node.allow_everything();
    let daemon = node.daemon();
    let (a, _b) = node.neighbours();
    a.shell("for f in all default data0; do echo 0 >/proc/sys/net/ipv4/conf/$f/promote_secondaries; done");
    for number in 11..19 {
        rewrite(
            &node,
            &format!(
                "[{{name: data0, veth: {{bridge: blue}}, addresses: [10.1.0.{number}/24], \
                  routes: [{{to: 172.20.0.0/16, via: 10.1.0.2}}, \
                  {{to: 0.0.0.0/0, via: 10.1.0.2, table: 200}}]}}]"
            ),
        );
        eventually("the new address is reported", || {
            let told = a.reported("data0").ok_or("no report")?;
            let address = format!("10.1.0.{number}/24");
            seen(told["addresses"] == serde_json::json!([address]), told)
        });
        let told = a.reported("data0").unwrap();
        assert_eq!(told["reason"], "LinkReady", "{told}");
        for table in ["main", "200"] {
            let routes = a.ip(&["route", "show", "table", table, "proto", "112"]);
            let gateways = routes.as_array().unwrap();
            assert!(
                gateways.len() == 1 && gateways[0]["gateway"] == "10.1.0.2",
                "{table}: {routes}"
            );
        }
    }
    assert!(daemon.metric("reconfd_drift_repairs_total").abs() < 0.5);
}

#[test]
fn an_address_of_the_other_family_comes_and_goes_alone() {
    let node = TestNode::new();
    node.allow_own_bridges();
    let _daemon = node.daemon();
    let (a, b) = node.neighbours();
    let before = index(&a.link("data0"));
    let stream = b.ping_on("10.1.0.1");
    let has_six = |wanted: bool| {
        eventually("the IPv6 address is as written", || {
            let link = a.find("data0").ok_or("no link")?;
            seen(
                addresses(&link).contains(&"fd01::1/64".to_owned()) == wanted,
                link,
            )
        });
    };
    rewrite(
        &node,
        "[{name: data0, veth: {bridge: blue}, addresses: [10.1.0.1/24, 'fd01::1/64']}]",
    );
    has_six(true);
    rewrite(&node, &on_bridge("data0", "blue", "10.1.0.1/24"));
    has_six(false);
    stream.lost_nothing();
    assert_eq!(index(&a.link("data0")), before);
}

#[test]
fn routes_change_and_those_of_others_stay() {
    let node = TestNode::new();
    node.allow_everything();
    let _daemon = node.daemon();
    let (a, b) = node.neighbours();
    a.shell("ip route add 203.0.113.0/24 via 10.1.0.2 dev data0");
    let with = |routes: &str| {
        rewrite(
            &node,
            &format!(
                "[{{name: data0, veth: {{bridge: blue}}, addresses: [10.1.0.1/24], routes: {routes}}}]"
            ),
        );
    };
    let shows = |to: &str, wanted: usize| {
        eventually(&format!("{wanted} routes to {to}"), || {
            let routes = a.ip(&["route", "show", "table", "all", to]);
            seen(routes.as_array().unwrap().len() == wanted, routes)
        });
    };
    let before = index(&a.link("data0"));
    with("[{to: 172.20.0.0/16, via: 10.1.0.2}, {to: 172.21.0.0/16, via: 10.1.0.2, table: 300}]");
    shows("172.20.0.0/16", 1);
    shows("172.21.0.0/16", 1);
    let stream = b.ping_on("10.1.0.1");
    with("[{to: 172.20.0.0/16, via: 10.1.0.9}, {to: 172.22.0.0/16, via: 10.1.0.2, metric: 5}]");
    shows("172.21.0.0/16", 0);
    shows("172.22.0.0/16", 1);
    eventually("the gateway is the new one", || {
        let route = a.ip(&["route", "show", "172.20.0.0/16"]);
        seen(
            route.as_array().unwrap().len() == 1 && route[0]["gateway"] == "10.1.0.9",
            route,
        )
    });
    eventually("the rule of the table is gone", || {
        let rules = a.ip(&["rule", "show"]);
        seen(
            !rules
                .as_array()
                .unwrap()
                .iter()
                .any(|rule| rule["table"] == "300"),
            rules,
        )
    });
    stream.lost_nothing();
    assert_eq!(index(&a.link("data0")), before);
    shows("203.0.113.0/24", 1);
}

/// A link keeps the MAC address that it was made with, also when the IP address that gave it moves on.
#[test]
fn the_next_holder_of_an_address_does_not_take_over_its_first_holders_traffic() {
    let node = TestNode::new();
    node.allow_everything();
    let _daemon = node.daemon();
    let (a, b) = node.neighbours();
    let first = a.ready("data0")["address"].clone();
    node.connect("tenant-a", "a", "data0", "10.1.0.77/24");
    eventually("the address of a has changed", || {
        let told = a.ip(&["address", "show", "data0"]).to_string();
        seen(told.contains("10.1.0.77"), told)
    });
    assert_eq!(a.link("data0")["address"], first);
    let c = node.bare_pod("tenant-a", "c");
    node.connect("tenant-a", "c", "data0", "10.1.0.1/24");
    assert_ne!(c.ready("data0")["address"], first);
    assert!(b.reaches("10.1.0.77") && b.reaches("10.1.0.1"));
    let twice = config(
        "tenant-a",
        "twice",
        "b",
        &format!("[{{name: data1, veth: {{bridge: blue}}, mac: {first}}}]"),
    );
    node.withdraw("tenant-a-b");
    node.apply("twice", &twice);
    b.reason("data1", "AddressTaken");
}

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
    let node = TestNode::builder().own_bridges().daemon().start();
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
        after["address"], "0a:58:0a:01:00:05",
        "the MAC address goes with the address that gave it, and nothing is lost"
    );
    assert_eq!(monitor.saw_down("data0"), Vec::<String>::new());
}

/// With the last address of a link the kernel drops its routes; that is nobody's undoing.
#[test]
fn an_address_edit_keeps_the_routes_even_where_secondaries_are_not_promoted() {
    let (node, daemon) = TestNode::builder().any_veth().start_with_daemon();
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
    let node = TestNode::builder().own_bridges().daemon().start();
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
    let node = TestNode::builder().any_veth().daemon().start();
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

/// A MAC address goes with the IP address that gave it, or its next holder would have it as well.
#[test]
fn the_next_holder_of_an_address_gets_its_mac_address_and_its_first_holder_has_another() {
    let node = TestNode::builder().any_veth().daemon().start();
    let (a, b) = node.neighbours();
    let link = a.ready("data0");
    let (first, before) = (link["address"].clone(), index(&link));
    node.connect("tenant-a", "a", "data0", "10.1.0.77/24");
    eventually("the addresses of a have changed", || {
        let link = a.find("data0").ok_or("no link")?;
        let told = link.to_string();
        seen(
            told.contains("10.1.0.77") && told.contains("fe80::858:aff:fe01:4d"),
            told,
        )
    });
    let link = a.link("data0");
    assert_eq!(link["address"], "0a:58:0a:01:00:4d");
    assert_eq!(index(&link), before, "it is the same link");
    assert!(b.reaches("10.1.0.77"));
    let c = node.connected("tenant-a", "c", "10.1.0.1/24");
    assert_eq!(c.ready("data0")["address"], first);
    assert!(b.reaches("10.1.0.77") && b.reaches("10.1.0.1"));
    eventually("c has a link-local address of its own", || {
        let all = c.run(&["ip", "-6", "address", "show", "dev", "data0"]);
        seen(
            all.contains("fe80::858:aff:fe01:1/64") && !all.contains("tentative"),
            all,
        )
    });
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

/// Neighbours need not learn anew what has not changed.
#[test]
fn a_link_keeps_its_mac_address_as_long_as_the_address_that_gave_it() {
    let node = TestNode::builder().any_veth().daemon().start();
    let (a, _b) = node.neighbours();
    let first = a.ready("data0")["address"].clone();
    let links = "[{name: data0, veth: {bridge: blue}, addresses: [10.1.0.77/24, 10.1.0.1/24]}]";
    node.apply("tenant-a-a", &config("tenant-a", "a", "a", links));
    eventually("a has another address as well", || {
        let told = a.ip(&["address", "show", "data0"]).to_string();
        seen(told.contains("10.1.0.77"), told)
    });
    assert_eq!(a.ready("data0")["address"], first);
}

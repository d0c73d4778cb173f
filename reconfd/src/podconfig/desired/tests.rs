#![allow(clippy::unwrap_used, clippy::panic)]

use serde_json::{Value, json};

use ipnetwork::IpNetwork;
use node::links::{Route, ownership_mark::bridge_name};
use store::pod::NetAdmin;

use super::*;

/// What holds for any input.
mod properties;
/// Links that reach beyond the node.
mod segments;

fn config(name: &str, minute: u32, links: Value) -> Arc<PodConfig> {
    selecting(name, minute, json!({}), links)
}

fn selecting(name: &str, minute: u32, selector: Value, links: Value) -> Arc<PodConfig> {
    let config = json!({"apiVersion": "podconfig.dev/v1alpha1", "kind": "PodConfig",
        "metadata": {"name": name, "namespace": "tenant-a", "uid": format!("uid-{name}"),
            "creationTimestamp": format!("2026-01-01T00:{minute:02}:00Z")},
        "spec": {"podSelector": selector, "links": links}});
    Arc::new(serde_json::from_value(config).unwrap())
}

fn policy(spec: Value) -> Arc<PodConfigPolicy> {
    Arc::new(PodConfigPolicy::new(
        "telco",
        serde_json::from_value(spec).unwrap(),
    ))
}

/// Allows what the tests ask for, with these limits.
fn open(limits: Value) -> Arc<PodConfigPolicy> {
    policy(
        json!({"namespaceSelector": {}, "limits": limits, "allow": [{
        "veth": {"bridges": "Own", "hostBridges": ["br-lan"], "routed": {}},
        "addresses": ["10.99.0.0/16", "fd99::/32"], "routes": ["0.0.0.0/0", "::/0"],
        "tables": [{"min": 0, "max": 4_294_967_296_u64}]}]}),
    )
}

fn pod() -> LocalPod {
    LocalPod {
        namespace: "tenant-a".into(),
        name: "web-0".into(),
        uid: "pod-uid".into(),
        labels: [("app".to_owned(), "cnf".to_owned())].into(),
        namespace_labels: BTreeMap::new(),
        sandbox: "0123abc".into(),
        recorded_by: None,
        net_admin: NetAdmin::No,
        host_network: false,
    }
}

fn of(configs: &[Arc<PodConfig>]) -> Desired {
    desired(&pod(), 0, configs, &[open(json!({}))], "default")
}

fn veth(name: &str, bridge: &str) -> Value {
    json!({"name": name, "veth": {"bridge": bridge}})
}

fn granted(wanted: &Desired) -> Vec<(&str, &str)> {
    wanted
        .granted
        .iter()
        .map(|g| (g.link.name.as_str(), g.podconfig.as_str()))
        .collect()
}

fn refused(wanted: &Desired) -> Vec<(&str, &str, Reason)> {
    wanted
        .refused
        .iter()
        .map(|r| (r.name.as_str(), r.podconfig.as_str(), r.reason))
        .collect()
}

#[test]
fn a_link_comes_out_as_the_node_understands_it() {
    let request = json!([{"name": "data0", "veth": {"bridge": "blue"}, "addresses": ["10.99.0.10/24", "FD99:0::10/64"],
        "routes": [{"to": "172.20.0.0/16", "via": "10.99.0.1", "metric": 100, "table": 7}, {"to": "fd00::/8", "metric": 0, "table": 254}]}]);
    let wanted = of(&[config("a", 0, request)]);
    let granted = &wanted.granted[0];
    let network = |text: &str| text.parse::<IpNetwork>().unwrap();
    assert_eq!(
        granted.link,
        Link {
            name: "data0".into(),
            kind: LinkKind::Veth(Veth {
                host_end: HostEnd::Bridge {
                    name: bridge_name("default", "tenant-a", "blue"),
                    stands_for: "tenant-a/blue".into()
                },
                learning: false
            }),
            mtu: Some(1500),
            mac: None,
            addresses: vec![network("10.99.0.10/24"), network("fd99::10/64")],
            routes: [
                Route {
                    to: network("172.20.0.0/16"),
                    via: Some("10.99.0.1".parse().unwrap()),
                    metric: Some(100),
                    table: Some(7)
                },
                Route {
                    to: network("fd00::/8"),
                    via: None,
                    metric: None,
                    table: None
                },
            ]
            .into(),
            slaac: false,
        }
    );
    let OwnershipMark {
        installation,
        pod_uid,
        podconfig_uid,
        link,
        spec_hash,
    } = &granted.mark;
    assert_eq!(
        [installation, pod_uid, podconfig_uid, link],
        ["default", "pod-uid", "uid-a", "data0"]
    );
    assert_eq!(*spec_hash, spec_hash::spec_hash(&granted.link));
}

#[test]
fn another_namespaces_podconfig_is_none_of_this_pods_business() {
    let mut other = (*config("a", 0, json!([veth("data0", "blue")]))).clone();
    other.metadata.namespace = Some("tenant-b".into());
    let wanted = of(&[Arc::new(other)]);
    assert!(wanted.granted.is_empty() && wanted.refused.is_empty());
}

#[test]
fn every_operator_of_a_selector_counts() {
    let cases = [
        (json!({"matchLabels": {"app": "cnf"}}), true),
        (json!({"matchLabels": {"app": "web"}}), false),
        (
            json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web", "cnf"]}]}),
            true,
        ),
        (
            json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["cnf"]}]}),
            false,
        ),
        (
            json!({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["cnf"]}]}),
            true,
        ),
        (
            json!({"matchExpressions": [{"key": "app", "operator": "Exists"}]}),
            true,
        ),
        (
            json!({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}),
            false,
        ),
        (
            json!({"matchLabels": {"app": "cnf"}, "matchExpressions": [{"key": "tier", "operator": "Exists"}]}),
            false,
        ),
    ];
    for (selector, selected) in cases {
        let config = selecting("a", 0, selector.clone(), json!([veth("data0", "blue")]));
        assert_eq!(
            of(std::slice::from_ref(&config)).granted.len() == 1,
            selected,
            "{selector}"
        );
        assert_eq!(selects(&config, &pod().labels), selected, "{selector}");
    }
}

#[test]
fn a_selector_that_makes_no_sense_selects_no_pod_and_is_reported() {
    let odd = json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": []}]});
    let config = selecting("a", 0, odd, json!([veth("data0", "blue")]));
    let wanted = of(std::slice::from_ref(&config));
    assert!(wanted.granted.is_empty() && !selects(&config, &pod().labels));
    assert_eq!(
        wanted.troubles,
        [r#"podconfig tenant-a/a selects nothing: podSelector NotIn of key "app" needs values"#]
    );
}

#[test]
fn without_a_policy_every_link_is_refused() {
    let wanted = desired(
        &pod(),
        0,
        &[config("a", 0, json!([veth("data0", "blue")]))],
        &[],
        "default",
    );
    assert_eq!(refused(&wanted), [("data0", "a", Reason::NoPolicy)]);
}

#[test]
fn the_older_podconfig_has_the_name_and_the_other_names_it() {
    let young = config(
        "a",
        2,
        json!([veth("data0", "blue"), veth("data1", "green")]),
    );
    let old = config("z", 1, json!([veth("data0", "red")]));
    let wanted = of(&[young, old]);
    assert_eq!(granted(&wanted), [("data0", "z"), ("data1", "a")]);
    assert_eq!(refused(&wanted), [("data0", "a", Reason::LinkNameTaken)]);
    assert!(wanted.refused[0].message.contains("podconfig z"));
}

#[test]
fn of_two_equally_old_podconfigs_the_name_decides() {
    let wanted = of(&[
        config("b", 1, json!([veth("data0", "blue")])),
        config("a", 1, json!([veth("data0", "red")])),
    ]);
    assert_eq!(granted(&wanted), [("data0", "a")]);
}

#[test]
fn a_podconfig_without_a_time_of_creation_is_the_youngest() {
    let mut ageless = (*config("a", 0, json!([veth("data0", "blue")]))).clone();
    ageless.metadata.creation_timestamp = None;
    assert_eq!(
        granted(&of(&[
            Arc::new(ageless),
            config("b", 9, json!([veth("data0", "red")]))
        ])),
        [("data0", "b")]
    );
}

#[test]
fn an_older_podconfig_keeps_the_name_even_where_its_own_link_is_refused() {
    let old = config(
        "old",
        1,
        json!([{"name": "data0", "veth": {"hostBridge": "br-secret"}}]),
    );
    let wanted = of(&[old, config("young", 2, json!([veth("data0", "blue")]))]);
    assert_eq!(
        refused(&wanted),
        [
            ("data0", "old", Reason::NotAllowed),
            ("data0", "young", Reason::LinkNameTaken)
        ]
    );
}

#[test]
fn one_link_per_segment_and_pod() {
    let lan = |name: &str| json!({"name": name, "veth": {"hostBridge": "br-lan"}});
    let routed = |name: &str| json!({"name": name, "veth": {"routed": {}}});
    let links = json!([
        veth("a0", "blue"),
        veth("a1", "blue"),
        veth("a2", "red"),
        lan("b0"),
        lan("b1"),
        routed("c0"),
        routed("c1")
    ]);
    let wanted = of(&[config("a", 0, links)]);
    assert_eq!(
        refused(&wanted),
        [
            ("a1", "a", Reason::SameSegment),
            ("b1", "a", Reason::SameSegment)
        ]
    );
    assert_eq!(
        wanted.refused[0].message,
        r#"link "a0" of this pod is on bridge "tenant-a/blue" already"#
    );
    assert_eq!(wanted.granted.len(), 5);
}

#[test]
fn links_beyond_the_limit_are_refused_in_the_order_of_asking() {
    let links = |prefix: &str, n: usize| {
        Value::from_iter((0..n).map(|n| veth(&format!("{prefix}{n}"), &format!("{prefix}{n}"))))
    };
    let configs = [config("b", 2, links("b", 2)), config("a", 1, links("a", 2))];
    let wanted = desired(
        &pod(),
        0,
        &configs,
        &[open(json!({"linksPerPod": 3}))],
        "default",
    );
    assert_eq!(refused(&wanted), [("b1", "b", Reason::TooManyLinks)]);
    let default = of(&[
        config("a", 1, links("a", 32)),
        config("b", 2, links("b", 1)),
    ]);
    assert_eq!(refused(&default), [("b0", "b", Reason::TooManyLinks)]);
}

#[test]
fn a_refused_link_takes_no_place_from_those_after_it() {
    let links = json!([{"name": "x", "veth": {"hostBridge": "br-secret"}}, veth("data0", "blue")]);
    let wanted = desired(
        &pod(),
        0,
        &[config("a", 0, links)],
        &[open(json!({"linksPerPod": 1}))],
        "default",
    );
    assert_eq!(granted(&wanted), [("data0", "a")]);
}

#[test]
fn pods_beyond_the_limit_get_nothing() {
    let at = |rank| {
        desired(
            &pod(),
            rank,
            &[config("a", 0, json!([veth("data0", "blue")]))],
            &[open(json!({"podsPerNamespace": 2}))],
            "default",
        )
    };
    assert_eq!(at(1).granted.len(), 1);
    assert_eq!(refused(&at(2)), [("data0", "a", Reason::TooManyPods)]);
}

#[test]
fn what_the_schema_should_have_caught_is_caught_again() {
    let name = |name: &str| veth(name, "blue");
    let with = |key: &str, value: Value| {
        let mut link = veth("data0", "blue");
        link[key] = value;
        link
    };
    for odd in [
        name(""),
        name("lo"),
        name("eth0"),
        name("all"),
        name("default"),
        name("."),
        name(".."),
        name("a/b"),
        name("a:b"),
        name("a b"),
        name("a\nb"),
        name("eth%d"),
        name("sixteen-bytes-xy"),
        name("größe"),
        with("mtu", json!(0)),
        with("mtu", json!(-1)),
        with("mtu", json!(67)),
        with("mtu", json!(65536)),
        with("routes", json!([{"to": "10.0.0.0/8", "via": "fd00::1"}])),
        with("routes", json!([{"to": "10.0.0.0/8", "metric": -1}])),
        with(
            "routes",
            json!([{"to": "10.0.0.0/8", "table": 4_294_967_296_u64}]),
        ),
        json!({"name": "data0"}),
        json!({"name": "data0", "veth": {}}),
    ] {
        let wanted = of(&[config("a", 0, json!([odd]))]);
        assert_eq!(
            wanted.refused.first().map(|r| r.reason),
            Some(Reason::Invalid),
            "{odd}"
        );
        assert!(wanted.granted.is_empty());
    }
}

#[test]
fn an_address_asked_for_twice_is_there_once() {
    let request = json!([{"name": "data0", "veth": {"bridge": "blue"}, "addresses": ["fd99::10/64", "fd99:0:0::10/64"]}]);
    assert_eq!(
        of(&[config("a", 0, request)]).granted[0]
            .link
            .addresses
            .len(),
        1
    );
}

#[test]
fn the_order_of_asking_is_found_again() {
    let links = json!([
        veth("a", "1"),
        veth("b", "1"),
        veth("c", "2"),
        veth("d", "2"),
        veth("e", "3")
    ]);
    let wanted = of(&[config("x", 0, links)]);
    let made = wanted.granted.iter().map(|g| {
        let done = LinkOutcome {
            name: g.link.name.clone(),
            reason: Reason::LinkReady,
            ..wanted.refused[0].clone()
        };
        (g.order, done)
    });
    let names: Vec<String> = in_order(made, wanted.refused.clone())
        .into_iter()
        .map(|o| o.name)
        .collect();
    assert_eq!(names, ["a", "b", "c", "d", "e"]);
    assert_eq!(in_order([], wanted.refused.clone()), wanted.refused);
}

#[test]
fn a_policy_may_give_pods_that_administer_the_nodes_network_no_links() {
    let configs = [config("a", 0, json!([veth("data0", "blue")]))];
    let asked = |net_admin: NetAdmin, word: Value| {
        let mut guarded = open(json!({})).as_ref().clone();
        guarded.spec.net_admin = serde_json::from_value(word).unwrap();
        // Another policy that says nothing of it, or the contrary, changes nothing.
        let mut any = open(json!({})).as_ref().clone();
        any.metadata.name = Some("any".into());
        any.spec.net_admin = Some(crds::policy::NetAdmin::Any);
        let policies = [Arc::new(any), Arc::new(guarded)];
        let pod = LocalPod { net_admin, ..pod() };
        desired(&pod, 0, &configs, &policies, "default")
    };
    let yes = || NetAdmin::Yes("container \"c\" is privileged".into());
    for net_admin in [yes(), NetAdmin::Unknown] {
        let wanted = asked(net_admin.clone(), json!("UserNamespace"));
        assert_eq!(refused(&wanted), [("data0", "a", Reason::NetAdminPod)]);
        let message = &wanted.refused[0].message;
        assert!(
            message.contains("telco") && message.contains("hostUsers: false"),
            "{message}"
        );
        assert_eq!(granted(&asked(net_admin, json!("Any"))), [("data0", "a")]);
    }
    for net_admin in [NetAdmin::No, NetAdmin::Claimed(String::new())] {
        assert_eq!(
            granted(&asked(net_admin, json!("UserNamespace"))),
            [("data0", "a")]
        );
    }
    assert_eq!(granted(&asked(yes(), Value::Null)), [("data0", "a")]);
}

#[test]
fn an_attachment_is_judged_counted_and_ordered_with_the_other_links() {
    let links = json!([
        {"name": "net1", "cni": {"networkAttachmentDefinition": "networks/fast"}},
        {"name": "data0", "veth": {"bridge": "blue"}},
        {"name": "net2", "cni": {"networkAttachmentDefinition": "networks/slow"}},
    ]);
    let configs = [config("a", 0, links)];
    let mut policy = open(json!({})).as_ref().clone();
    let rule = json!({"cni": {"definitions": [{"namespace": "networks", "names": ["fast"]}]}});
    policy
        .spec
        .allow
        .push(serde_json::from_value(rule).unwrap());
    let wanted = desired(&pod(), 0, &configs, &[Arc::new(policy)], "default");
    assert_eq!(granted(&wanted), [("data0", "a")]);
    assert_eq!(refused(&wanted), [("net2", "a", Reason::NotAllowed)]);
    assert_eq!(wanted.refused[0].kind, CNI);
    let [attachment] = wanted.attachments.as_slice() else {
        panic!("{:?}", wanted.attachments);
    };
    let source = ConfigurationSource::Definition {
        namespace: "networks".into(),
        name: "fast".into(),
    };
    assert_eq!(
        (attachment.name.as_str(), &attachment.source),
        ("net1", &source)
    );
    assert!(attachment.permit.attachments[0].trusted);
    let kept: Vec<usize> = wanted.kept_orders().collect();
    assert_eq!(kept, [1, 0]);
}

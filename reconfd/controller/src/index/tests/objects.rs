use crds::{Peer, report::Tunnel};

use super::*;

const SEGMENT: SegmentKey = SegmentKey { vni: 7, port: 4789 };

fn everywhere(more: Value) -> Value {
    json!({"namespaceSelector": {"matchLabels": {"tier": "cnf"}}, "allow": [more]})
}

fn vxlan() -> Value {
    everywhere(json!({"vxlan": {"vnis": [{"min": 7, "max": 7}], "peers": ["10.77.0.0/24"]}}))
}

fn allowance(fixture: &Fixture) -> Option<Action> {
    fixture.decide(&ReconcileKey::allowance("t"))
}

/// Applies the allowance.
fn observe_allowance(fixture: &mut Fixture) {
    let Some(Action::ApplyAllowance { spec, .. }) = allowance(fixture) else {
        panic!("nothing to write");
    };
    fixture.observe(
        "t",
        "effective",
        ObjectChange::Allowance(Some(Box::new(Ok(*spec)))),
    );
    assert_eq!(allowance(fixture), None);
}

#[test]
fn an_allowance_follows_policies_and_labels_and_is_mended() {
    let mut fixture = Fixture::with_namespace();
    fixture.policy("telco", vxlan());
    assert!(
        fixture
            .requeues
            .contains(&ReconcileKey::allowance("t").after(Delay::Now))
    );
    observe_allowance(&mut fixture);
    let other = PodConfigAllowanceSpec::default();
    fixture.observe(
        "t",
        "effective",
        ObjectChange::Allowance(Some(Box::new(Ok(other)))),
    );
    observe_allowance(&mut fixture);
    fixture.observe("t", "effective", ObjectChange::Allowance(None));
    assert!(
        fixture
            .requeues
            .contains(&ReconcileKey::allowance("t").after(Delay::Now))
    );
    observe_allowance(&mut fixture);
    fixture.observe(
        "",
        "t",
        ObjectChange::Namespace(Some(labels("tier", "web"))),
    );
    assert!(
        fixture
            .requeues
            .contains(&ReconcileKey::allowance("t").after(Delay::Now))
    );
    expect_nothing_allowed(&mut fixture);
}

fn expect_nothing_allowed(fixture: &mut Fixture) {
    let Some(Action::ApplyAllowance { spec, .. }) = allowance(fixture) else {
        panic!("nothing to write");
    };
    assert!(spec.allow.is_empty() && spec.policies.is_empty() && spec.complete);
    observe_allowance(fixture);
}

#[test]
fn every_namespace_has_an_allowance_and_one_without_a_policy_a_while_later() {
    let mut fixture = Fixture::with_namespace();
    fixture.observe(
        "",
        "t",
        ObjectChange::Namespace(Some(labels("tier", "web"))),
    );
    // The policy may be further down in the file.
    let later = ReconcileKey::allowance("t").after(Delay::PolicyGrace);
    assert!(fixture.requeues.contains(&later), "{:?}", fixture.requeues);
    assert!(fixture.index.all().contains(&later));
    fixture.policy("telco", vxlan());
    assert!(fixture.requeues.contains(&later), "it is about others");
    expect_nothing_allowed(&mut fixture);
    fixture.observe(
        "",
        "t",
        ObjectChange::Namespace(Some(labels("tier", "cnf"))),
    );
    let now = ReconcileKey::allowance("t").after(Delay::Now);
    assert!(fixture.requeues.contains(&now), "{:?}", fixture.requeues);
    fixture.observe("", "telco", ObjectChange::Policy(None));
    assert!(fixture.requeues.contains(&now), "{:?}", fixture.requeues);
}

#[test]
fn a_policy_that_cannot_be_read_stays_what_it_was() {
    let mut fixture = Fixture::with_namespace();
    fixture.policy("telco", vxlan());
    observe_allowance(&mut fixture);
    let invalid = InvalidObject {
        error: "odd".into(),
        metadata: Default::default(),
    };
    fixture.observe(
        "",
        "telco",
        ObjectChange::Policy(Some(Box::new(Err(invalid.into())))),
    );
    assert_eq!(allowance(&fixture), None);
}

#[test]
fn nothing_is_made_in_a_namespace_that_is_being_deleted() {
    let mut fixture = Fixture::with_namespace();
    fixture.policy("telco", vxlan());
    on_tunnel(&mut fixture, "a", "n0", "10.77.0.1");
    fixture.observe("", "t", ObjectChange::Namespace(None));
    assert_eq!(allowance(&fixture), None);
    assert_eq!(fixture.decide(&ReconcileKey::peers("t", SEGMENT)), None);
}

/// A pod of that node, and what the node says of its end of the tunnel.
fn on_tunnel(fixture: &mut Fixture, name: &str, node: &str, address: &str) {
    fixture.pod(
        name,
        Some(PodInfo {
            node: Some(node.into()),
            ..pod(name)
        }),
    );
    let link = ReportedLink {
        tunnel: Some(Tunnel {
            vni: 7,
            port: 4789,
            address: address.parse().unwrap(),
        }),
        ..ready()
    };
    let report = ReportInfo {
        node: node.into(),
        ..report(name, link)
    };
    fixture.report(name, Some(report));
}

/// Makes the slices what they should be; `+name: nodes` for each that was put, `-name` for each deleted.
fn pack(fixture: &mut Fixture) -> Vec<String> {
    let Some(action) = fixture.decide(&ReconcileKey::peers("t", SEGMENT)) else {
        return Vec::new();
    };
    let Action::ApplySlices { put, delete, .. } = action else {
        panic!("{action:?}");
    };
    let mut done = Vec::new();
    for (name, spec) in put {
        let nodes: Vec<&str> = spec.peers.iter().map(|peer| peer.node.as_str()).collect();
        done.push(format!("+{name}: {}", nodes.join(" ")));
        fixture.observe("t", &name, ObjectChange::PeerSlice(Some(Ok(spec))));
    }
    for name in delete {
        fixture.observe("t", &name, ObjectChange::PeerSlice(None));
        done.push(format!("-{name}"));
    }
    assert_eq!(fixture.decide(&ReconcileKey::peers("t", SEGMENT)), None);
    done
}

#[test]
fn peers_come_and_go_with_the_pods_of_their_nodes() {
    let mut fixture = Fixture::with_namespace();
    fixture.policy("telco", vxlan());
    on_tunnel(&mut fixture, "a", "n0", "10.77.0.1");
    assert_eq!(
        fixture.requeues[0],
        ReconcileKey::peers("t", SEGMENT).after(Delay::Now)
    );
    on_tunnel(&mut fixture, "b", "n1", "10.77.0.2");
    assert_eq!(pack(&mut fixture), ["+vxlan-7-4789-0: n0 n1"]);
    // The pod moves.
    fixture.pod("a", None);
    assert_eq!(pack(&mut fixture), ["+vxlan-7-4789-0: n1"]);
    on_tunnel(&mut fixture, "a", "n2", "10.77.0.3");
    assert_eq!(pack(&mut fixture), ["+vxlan-7-4789-0: n1 n2"]);
    fixture.pod("a", None).pod("b", None);
    assert_eq!(pack(&mut fixture), ["-vxlan-7-4789-0"]);
}

/// `data`, which asks for an end of the tunnel in pods with `app: cnf`.
fn overlay() -> Value {
    let mut object = config(1);
    object["spec"]["links"] = json!([{"name": "data0",
        "vxlan": {"underlay": "eth0", "vni": 7, "peers": {"auto": {}}}}]);
    object
}

/// Two nodes of a tunnel, as the slices say.
fn tunnel_of_two_nodes() -> Fixture {
    let mut fixture = Fixture::with_namespace();
    fixture.observe("", "n1", ObjectChange::Node(Some(NodeInfo::default())));
    fixture.policy("telco", vxlan()).config(overlay());
    on_tunnel(&mut fixture, "a", "n0", "10.77.0.1");
    on_tunnel(&mut fixture, "b", "n1", "10.77.0.2");
    assert_eq!(pack(&mut fixture), ["+vxlan-7-4789-0: n0 n1"]);
    fixture
}

#[test]
fn a_node_stays_a_peer_while_the_report_of_its_pod_is_missing() {
    let mut fixture = tunnel_of_two_nodes();
    fixture.report("a", None).report("b", None);
    assert!(
        pack(&mut fixture).is_empty(),
        "a missing report is no deletion"
    );
    // Nor does a controller that starts anew take them away: it has the slices and the pods.
    let Action::ApplySlices { put, .. } = tunnel_of_two_nodes_from_nothing() else {
        panic!("no slices");
    };
    let mut anew = Fixture::with_namespace();
    anew.observe("", "n1", ObjectChange::Node(Some(NodeInfo::default())));
    for (name, spec) in put {
        anew.observe("t", &name, ObjectChange::PeerSlice(Some(Ok(spec))));
    }
    anew.policy("telco", vxlan()).config(overlay());
    for (name, node) in [("a", "n0"), ("b", "n1")] {
        let node = Some(node.to_owned());
        anew.pod(name, Some(PodInfo { node, ..pod(name) }));
    }
    assert!(pack(&mut anew).is_empty());
}

fn tunnel_of_two_nodes_from_nothing() -> Action {
    let mut fixture = Fixture::with_namespace();
    fixture.policy("telco", vxlan()).config(overlay());
    on_tunnel(&mut fixture, "a", "n0", "10.77.0.1");
    on_tunnel(&mut fixture, "b", "n1", "10.77.0.2");
    fixture.decide(&ReconcileKey::peers("t", SEGMENT)).unwrap()
}

/// What takes node n0 off the tunnel: an object of this namespace and name, as it is then.
fn goings() -> [(&'static str, &'static str, &'static str, ObjectChange); 7] {
    let changed = |change: fn(&mut PodInfo)| {
        let mut pod = pod("a");
        change(&mut pod);
        ObjectChange::Pod(Some(pod))
    };
    let config: PodConfig = serde_json::from_value(config(2)).unwrap();
    [
        ("the pod is gone", "t", "a", ObjectChange::Pod(None)),
        (
            "it has ended",
            "t",
            "a",
            changed(|pod| pod.has_ended = true),
        ),
        (
            "it is not selected",
            "t",
            "a",
            changed(|pod| pod.labels.clear()),
        ),
        (
            "it is elsewhere",
            "t",
            "a",
            changed(|pod| pod.node = Some("n1".into())),
        ),
        (
            "its report says so",
            "t",
            "a",
            ObjectChange::PodReport(Some(report("a", ready()))),
        ),
        (
            "nothing asks for the tunnel",
            "t",
            "data",
            ObjectChange::PodConfig(Some(Box::new(Ok(config)))),
        ),
        ("the node is gone", "", "n0", ObjectChange::Node(None)),
    ]
}

#[test]
fn a_node_without_reports_goes_with_what_its_pod_was_on_the_tunnel_for() {
    let peers = ReconcileKey::peers("t", SEGMENT).after(Delay::Now);
    for (why, namespace, name, change) in goings() {
        let mut fixture = tunnel_of_two_nodes();
        fixture.report("a", None);
        assert!(pack(&mut fixture).is_empty(), "{why}");
        fixture.observe(namespace, name, change);
        assert!(
            fixture.requeues.contains(&peers),
            "{why}: {:?}",
            fixture.requeues
        );
        assert_eq!(pack(&mut fixture), ["+vxlan-7-4789-0: n1"], "{why}");
    }
}

#[test]
fn what_a_policy_no_longer_allows_is_no_peer_without_a_report_either() {
    let mut fixture = tunnel_of_two_nodes();
    fixture.report("a", None);
    fixture.observe("", "telco", ObjectChange::Policy(None));
    assert_eq!(pack(&mut fixture), ["-vxlan-7-4789-0"]);
}

#[test]
fn an_address_that_no_rule_allows_is_no_peer_whatever_a_node_says() {
    let mut fixture = Fixture::with_namespace();
    on_tunnel(&mut fixture, "a", "n0", "10.77.0.1");
    on_tunnel(&mut fixture, "b", "evil", "192.0.2.1");
    assert!(pack(&mut fixture).is_empty(), "no policy allows anything");
    fixture.policy("telco", vxlan());
    assert_eq!(pack(&mut fixture), ["+vxlan-7-4789-0: n0"]);
    fixture.observe("", "telco", ObjectChange::Policy(None));
    assert_eq!(pack(&mut fixture), ["-vxlan-7-4789-0"]);
}

#[test]
fn a_report_that_is_not_from_the_pods_node_adds_no_peer() {
    let mut fixture = Fixture::with_namespace();
    fixture.policy("telco", vxlan());
    on_tunnel(&mut fixture, "a", "n0", "10.77.0.1");
    fixture.pod("a", Some(pod("a")));
    assert_eq!(pack(&mut fixture), ["+vxlan-7-4789-0: n0"]);
    let elsewhere = PodInfo {
        node: Some("n1".into()),
        ..pod("a")
    };
    fixture.pod("a", Some(elsewhere));
    assert_eq!(pack(&mut fixture), ["-vxlan-7-4789-0"]);
}

#[test]
fn slices_that_somebody_else_made_or_changed_are_mended() {
    let mut fixture = Fixture::with_namespace();
    fixture.policy("telco", vxlan());
    on_tunnel(&mut fixture, "a", "n0", "10.77.0.1");
    pack(&mut fixture);
    let forged = |vni: i32| PeerSliceSpec {
        vni,
        port: 4789,
        peers: vec![Peer {
            node: "evil".into(),
            address: [192, 0, 2, 1].into(),
        }],
    };
    for (name, spec) in [("vxlan-7-4789-0", forged(7)), ("vxlan-7-4789-0", forged(8))] {
        fixture.observe("t", name, ObjectChange::PeerSlice(Some(Ok(spec))));
        assert!(
            fixture
                .requeues
                .contains(&ReconcileKey::peers("t", SEGMENT).after(Delay::Now))
        );
        assert_eq!(pack(&mut fixture), ["+vxlan-7-4789-0: n0"]);
    }
    for name in ["vxlan-7-4789-5", "mine"] {
        fixture.observe("t", name, ObjectChange::PeerSlice(Some(Ok(forged(7)))));
        assert_eq!(pack(&mut fixture), [format!("-{name}")]);
    }
}

/// The users of the policy `telco` that are to be written, and written.
fn write_use(fixture: &mut Fixture) -> Option<bool> {
    let Action::UpdatePolicyUse { name, in_use, .. } =
        fixture.decide(&ReconcileKey::policy_use("telco"))?
    else {
        panic!("another action");
    };
    let mut policy = PodConfigPolicy::new(&name, serde_json::from_value(vxlan()).unwrap());
    policy.status = Some(crds::policy::PodConfigPolicyStatus {
        in_use_by: in_use.then(|| "default".to_owned()).into_iter().collect(),
    });
    fixture.observe("", &name, ObjectChange::Policy(Some(Box::new(Ok(policy)))));
    let own = ReconcileKey::policy_use("telco").after(Delay::Batch);
    assert_eq!(
        fixture.requeues,
        [own],
        "its status is nothing to anybody else"
    );
    Some(in_use)
}

#[test]
fn a_policy_is_in_use_while_a_namespace_that_it_selects_has_podconfigs() {
    let mut fixture = Fixture::with_namespace();
    let requeue = ReconcileKey::policy_use("telco").after(Delay::Batch);
    fixture.policy("telco", vxlan());
    assert!(fixture.requeues.contains(&requeue) && fixture.index.all().contains(&requeue));
    assert_eq!(write_use(&mut fixture), None);
    fixture.config(config(1));
    assert!(fixture.requeues.contains(&requeue));
    assert_eq!(write_use(&mut fixture), Some(true));
    assert_eq!(write_use(&mut fixture), None);
    fixture.config(config(2));
    assert!(
        !fixture.requeues.contains(&requeue),
        "it has some as before"
    );
    fixture.observe(
        "",
        "t",
        ObjectChange::Namespace(Some(labels("tier", "web"))),
    );
    assert!(fixture.requeues.contains(&requeue));
    assert_eq!(write_use(&mut fixture), Some(false));
    fixture.observe(
        "",
        "t",
        ObjectChange::Namespace(Some(labels("tier", "cnf"))),
    );
    assert_eq!(write_use(&mut fixture), Some(true));
    fixture.observe("t", "data", ObjectChange::PodConfig(None));
    assert!(fixture.requeues.contains(&requeue));
    assert_eq!(write_use(&mut fixture), Some(false));
}

/// What an installation says that it serves.
fn serves(fixture: &mut Fixture, installation: &str, except: &[&str], since: u64) {
    let scope = Scope {
        except_namespaces: except.iter().map(|&name| name.to_owned()).collect(),
        ..Scope::default()
    };
    let spec = ReservedNetworksSpec {
        installation: installation.into(),
        serves: Some(store::scope::precedence::serves(
            &scope,
            None,
            &conditions::time(at(since)),
        )),
        ..ReservedNetworksSpec::default()
    };
    fixture.observe(
        "",
        installation,
        ObjectChange::Networks(Some(Box::new(spec))),
    );
}

#[test]
fn a_namespace_that_another_installation_serves_is_left_to_it_until_that_leaves_it() {
    let mut fixture = Fixture::with_namespace();
    fixture.policy("telco", vxlan()).config(config(1));
    fixture.pod("a", Some(pod("a")));
    serves(&mut fixture, "default", &[], 5);
    assert!(allowance(&fixture).is_some() && fixture.status().is_some());
    serves(&mut fixture, "other", &[], 6);
    assert!(allowance(&fixture).is_some() && fixture.index.served_elsewhere().is_empty());
    serves(&mut fixture, "first", &[], 4);
    assert_eq!(allowance(&fixture), None);
    assert!(fixture.status().is_none());
    let left = fixture.index.served_elsewhere();
    assert!(left["t"].contains("\"first\" was first"), "{left:?}");
    serves(&mut fixture, "first", &["t"], 4);
    assert!(
        fixture
            .requeues
            .contains(&ReconcileKey::allowance("t").after(Delay::Now))
    );
    let Some(Action::ApplyAllowance { spec, .. }) = allowance(&fixture) else {
        panic!("it is served again");
    };
    assert_eq!(spec.installation, "default");
}

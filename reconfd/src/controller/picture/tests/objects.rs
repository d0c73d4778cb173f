use crds::{Peer, report::Tunnel};

use super::*;

const SEGMENT: Segment = Segment { vni: 7, port: 4789 };

fn everywhere(more: Value) -> Value {
    json!({"namespaceSelector": {"matchLabels": {"tier": "cnf"}}, "allow": [more]})
}

fn vxlan() -> Value {
    everywhere(json!({"vxlan": {"vnis": [{"min": 7, "max": 7}], "peers": ["10.77.0.0/24"]}}))
}

fn allowance(heard: &Heard) -> Option<Deed> {
    heard.decide(&Job::allowance("t"))
}

/// What was decided is there.
fn hear_allowance(heard: &mut Heard) {
    let Some(Deed::PutAllowance { spec, .. }) = allowance(heard) else {
        panic!("nothing to write");
    };
    heard.hear("t", "effective", What::Allowance(Some(Box::new(Ok(*spec)))));
    assert_eq!(allowance(heard), None);
}

#[test]
fn an_allowance_follows_policies_and_labels_and_is_mended() {
    let mut heard = Heard::of_namespace();
    heard.policy("telco", vxlan());
    assert!(heard.marks.contains(&Job::allowance("t").after(Wait::Now)));
    hear_allowance(&mut heard);
    let other = PodConfigAllowanceSpec::default();
    heard.hear("t", "effective", What::Allowance(Some(Box::new(Ok(other)))));
    hear_allowance(&mut heard);
    heard.hear("t", "effective", What::Allowance(None));
    assert!(heard.marks.contains(&Job::allowance("t").after(Wait::Now)));
    hear_allowance(&mut heard);
    heard.hear("", "t", What::Namespace(Some(labels("tier", "web"))));
    assert!(heard.marks.contains(&Job::allowance("t").after(Wait::Now)));
    hears_that_nothing_is_allowed(&mut heard);
}

fn hears_that_nothing_is_allowed(heard: &mut Heard) {
    let Some(Deed::PutAllowance { spec, .. }) = allowance(heard) else {
        panic!("nothing to write");
    };
    assert!(spec.allow.is_empty() && spec.policies.is_empty() && spec.complete);
    hear_allowance(heard);
}

#[test]
fn every_namespace_has_an_allowance_and_one_without_a_policy_a_while_later() {
    let mut heard = Heard::of_namespace();
    heard.hear("", "t", What::Namespace(Some(labels("tier", "web"))));
    // The policy may be further down in the file.
    let later = Job::allowance("t").after(Wait::Settle);
    assert!(heard.marks.contains(&later), "{:?}", heard.marks);
    assert!(heard.picture.all().contains(&later));
    heard.policy("telco", vxlan());
    assert!(heard.marks.contains(&later), "it is about others");
    hears_that_nothing_is_allowed(&mut heard);
    heard.hear("", "t", What::Namespace(Some(labels("tier", "cnf"))));
    let now = Job::allowance("t").after(Wait::Now);
    assert!(heard.marks.contains(&now), "{:?}", heard.marks);
    heard.hear("", "telco", What::Policy(None));
    assert!(heard.marks.contains(&now), "{:?}", heard.marks);
}

#[test]
fn a_policy_that_cannot_be_read_stays_what_it_was() {
    let mut heard = Heard::of_namespace();
    heard.policy("telco", vxlan());
    hear_allowance(&mut heard);
    let invalid = InvalidObject {
        error: "odd".into(),
        metadata: Default::default(),
    };
    heard.hear(
        "",
        "telco",
        What::Policy(Some(Box::new(Err(invalid.into())))),
    );
    assert_eq!(allowance(&heard), None);
}

#[test]
fn nothing_is_made_in_a_namespace_that_is_being_deleted() {
    let mut heard = Heard::of_namespace();
    heard.policy("telco", vxlan());
    on_tunnel(&mut heard, "a", "n0", "10.77.0.1");
    heard.hear("", "t", What::Namespace(None));
    assert_eq!(allowance(&heard), None);
    assert_eq!(heard.decide(&Job::peers("t", SEGMENT)), None);
}

/// A pod of that node, and what the node says of its end of the tunnel.
fn on_tunnel(heard: &mut Heard, name: &str, node: &str, address: &str) {
    heard.pod(
        name,
        Some(Seen {
            node: Some(node.into()),
            ..pod(name)
        }),
    );
    let link = LinkTold {
        tunnel: Some(Tunnel {
            vni: 7,
            port: 4789,
            address: address.parse().unwrap(),
        }),
        ..ready()
    };
    let report = Told {
        node: node.into(),
        ..told(name, link)
    };
    heard.report(name, Some(report));
}

/// Makes the slices what they should be; `+name: nodes` for each that was put, `-name` for each deleted.
fn pack(heard: &mut Heard) -> Vec<String> {
    let Some(deed) = heard.decide(&Job::peers("t", SEGMENT)) else {
        return Vec::new();
    };
    let Deed::Slices { put, delete, .. } = deed else {
        panic!("{deed:?}");
    };
    let mut done = Vec::new();
    for (name, spec) in put {
        let nodes: Vec<&str> = spec.peers.iter().map(|peer| peer.node.as_str()).collect();
        done.push(format!("+{name}: {}", nodes.join(" ")));
        heard.hear("t", &name, What::PeerSlice(Some(Ok(spec))));
    }
    for name in delete {
        heard.hear("t", &name, What::PeerSlice(None));
        done.push(format!("-{name}"));
    }
    assert_eq!(heard.decide(&Job::peers("t", SEGMENT)), None);
    done
}

#[test]
fn peers_come_and_go_with_the_pods_of_their_nodes() {
    let mut heard = Heard::of_namespace();
    heard.policy("telco", vxlan());
    on_tunnel(&mut heard, "a", "n0", "10.77.0.1");
    assert_eq!(heard.marks[0], Job::peers("t", SEGMENT).after(Wait::Now));
    on_tunnel(&mut heard, "b", "n1", "10.77.0.2");
    assert_eq!(pack(&mut heard), ["+vxlan-7-4789-0: n0 n1"]);
    // The pod moves.
    heard.pod("a", None);
    assert_eq!(pack(&mut heard), ["+vxlan-7-4789-0: n1"]);
    on_tunnel(&mut heard, "a", "n2", "10.77.0.3");
    assert_eq!(pack(&mut heard), ["+vxlan-7-4789-0: n1 n2"]);
    heard.pod("a", None).pod("b", None);
    assert_eq!(pack(&mut heard), ["-vxlan-7-4789-0"]);
}

/// `data`, which asks for an end of the tunnel in pods with `app: cnf`.
fn overlay() -> Value {
    let mut object = config(1);
    object["spec"]["links"] = json!([{"name": "data0",
        "vxlan": {"underlay": "eth0", "vni": 7, "peers": {"auto": {}}}}]);
    object
}

/// Two nodes of a tunnel, as the slices say.
fn tunnel_of_two_nodes() -> Heard {
    let mut heard = Heard::of_namespace();
    heard.hear("", "n1", What::Node(Some(NodeSeen::default())));
    heard.policy("telco", vxlan()).config(overlay());
    on_tunnel(&mut heard, "a", "n0", "10.77.0.1");
    on_tunnel(&mut heard, "b", "n1", "10.77.0.2");
    assert_eq!(pack(&mut heard), ["+vxlan-7-4789-0: n0 n1"]);
    heard
}

#[test]
fn a_node_stays_a_peer_while_the_report_of_its_pod_is_missing() {
    let mut heard = tunnel_of_two_nodes();
    heard.report("a", None).report("b", None);
    assert!(
        pack(&mut heard).is_empty(),
        "nobody said that they are gone"
    );
    // Nor does a controller that starts anew take them away: it has the slices and the pods.
    let Deed::Slices { put, .. } = tunnel_of_two_nodes_from_nothing() else {
        panic!("no slices");
    };
    let mut anew = Heard::of_namespace();
    anew.hear("", "n1", What::Node(Some(NodeSeen::default())));
    for (name, spec) in put {
        anew.hear("t", &name, What::PeerSlice(Some(Ok(spec))));
    }
    anew.policy("telco", vxlan()).config(overlay());
    for (name, node) in [("a", "n0"), ("b", "n1")] {
        let node = Some(node.to_owned());
        anew.pod(name, Some(Seen { node, ..pod(name) }));
    }
    assert!(pack(&mut anew).is_empty());
}

fn tunnel_of_two_nodes_from_nothing() -> Deed {
    let mut heard = Heard::of_namespace();
    heard.policy("telco", vxlan()).config(overlay());
    on_tunnel(&mut heard, "a", "n0", "10.77.0.1");
    on_tunnel(&mut heard, "b", "n1", "10.77.0.2");
    heard.decide(&Job::peers("t", SEGMENT)).unwrap()
}

/// What takes node n0 off the tunnel: an object of this namespace and name, as it is then.
fn goings() -> [(&'static str, &'static str, &'static str, What); 7] {
    let changed = |change: fn(&mut Seen)| {
        let mut pod = pod("a");
        change(&mut pod);
        What::Pod(Some(pod))
    };
    let config: PodConfig = serde_json::from_value(config(2)).unwrap();
    [
        ("the pod is gone", "t", "a", What::Pod(None)),
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
            What::PodReport(Some(told("a", ready()))),
        ),
        (
            "nothing asks for the tunnel",
            "t",
            "data",
            What::PodConfig(Some(Box::new(Ok(config)))),
        ),
        ("the node is gone", "", "n0", What::Node(None)),
    ]
}

#[test]
fn a_node_without_reports_goes_with_what_its_pod_was_on_the_tunnel_for() {
    let peers = Job::peers("t", SEGMENT).after(Wait::Now);
    for (why, namespace, name, what) in goings() {
        let mut heard = tunnel_of_two_nodes();
        heard.report("a", None);
        assert!(pack(&mut heard).is_empty(), "{why}");
        heard.hear(namespace, name, what);
        assert!(heard.marks.contains(&peers), "{why}: {:?}", heard.marks);
        assert_eq!(pack(&mut heard), ["+vxlan-7-4789-0: n1"], "{why}");
    }
}

#[test]
fn what_a_policy_no_longer_allows_is_no_peer_without_a_report_either() {
    let mut heard = tunnel_of_two_nodes();
    heard.report("a", None);
    heard.hear("", "telco", What::Policy(None));
    assert_eq!(pack(&mut heard), ["-vxlan-7-4789-0"]);
}

#[test]
fn an_address_that_no_rule_allows_is_no_peer_whatever_a_node_says() {
    let mut heard = Heard::of_namespace();
    on_tunnel(&mut heard, "a", "n0", "10.77.0.1");
    on_tunnel(&mut heard, "b", "evil", "192.0.2.1");
    assert!(pack(&mut heard).is_empty(), "no policy allows anything");
    heard.policy("telco", vxlan());
    assert_eq!(pack(&mut heard), ["+vxlan-7-4789-0: n0"]);
    heard.hear("", "telco", What::Policy(None));
    assert_eq!(pack(&mut heard), ["-vxlan-7-4789-0"]);
}

#[test]
fn a_report_that_is_not_from_the_pods_node_adds_no_peer() {
    let mut heard = Heard::of_namespace();
    heard.policy("telco", vxlan());
    on_tunnel(&mut heard, "a", "n0", "10.77.0.1");
    heard.pod("a", Some(pod("a")));
    assert_eq!(pack(&mut heard), ["+vxlan-7-4789-0: n0"]);
    let elsewhere = Seen {
        node: Some("n1".into()),
        ..pod("a")
    };
    heard.pod("a", Some(elsewhere));
    assert_eq!(pack(&mut heard), ["-vxlan-7-4789-0"]);
}

#[test]
fn slices_that_somebody_else_made_or_changed_are_mended() {
    let mut heard = Heard::of_namespace();
    heard.policy("telco", vxlan());
    on_tunnel(&mut heard, "a", "n0", "10.77.0.1");
    pack(&mut heard);
    let forged = |vni: i32| PeerSliceSpec {
        vni,
        port: 4789,
        peers: vec![Peer {
            node: "evil".into(),
            address: [192, 0, 2, 1].into(),
        }],
    };
    for (name, spec) in [("vxlan-7-4789-0", forged(7)), ("vxlan-7-4789-0", forged(8))] {
        heard.hear("t", name, What::PeerSlice(Some(Ok(spec))));
        assert!(
            heard
                .marks
                .contains(&Job::peers("t", SEGMENT).after(Wait::Now))
        );
        assert_eq!(pack(&mut heard), ["+vxlan-7-4789-0: n0"]);
    }
    for name in ["vxlan-7-4789-5", "mine"] {
        heard.hear("t", name, What::PeerSlice(Some(Ok(forged(7)))));
        assert_eq!(pack(&mut heard), [format!("-{name}")]);
    }
}

/// The users of the policy `telco` that are to be written, and written.
fn write_use(heard: &mut Heard) -> Option<bool> {
    let Deed::PolicyUse { name, in_use, .. } = heard.decide(&Job::policy_use("telco"))? else {
        panic!("another deed");
    };
    let mut policy = PodConfigPolicy::new(&name, serde_json::from_value(vxlan()).unwrap());
    policy.status = Some(crds::policy::PodConfigPolicyStatus {
        in_use_by: in_use.then(|| "default".to_owned()).into_iter().collect(),
    });
    heard.hear("", &name, What::Policy(Some(Box::new(Ok(policy)))));
    let own = Job::policy_use("telco").after(Wait::Soon);
    assert_eq!(heard.marks, [own], "its status is nothing to anybody else");
    Some(in_use)
}

#[test]
fn a_policy_is_in_use_while_a_namespace_that_it_selects_has_podconfigs() {
    let mut heard = Heard::of_namespace();
    let mark = Job::policy_use("telco").after(Wait::Soon);
    heard.policy("telco", vxlan());
    assert!(heard.marks.contains(&mark) && heard.picture.all().contains(&mark));
    assert_eq!(write_use(&mut heard), None);
    heard.config(config(1));
    assert!(heard.marks.contains(&mark));
    assert_eq!(write_use(&mut heard), Some(true));
    assert_eq!(write_use(&mut heard), None);
    heard.config(config(2));
    assert!(!heard.marks.contains(&mark), "it has some as before");
    heard.hear("", "t", What::Namespace(Some(labels("tier", "web"))));
    assert!(heard.marks.contains(&mark));
    assert_eq!(write_use(&mut heard), Some(false));
    heard.hear("", "t", What::Namespace(Some(labels("tier", "cnf"))));
    assert_eq!(write_use(&mut heard), Some(true));
    heard.hear("t", "data", What::PodConfig(None));
    assert!(heard.marks.contains(&mark));
    assert_eq!(write_use(&mut heard), Some(false));
}

/// What an installation says that it serves.
fn serves(heard: &mut Heard, installation: &str, except: &[&str], since: u64) {
    let scope = Scope {
        except_namespaces: except.iter().map(|&name| name.to_owned()).collect(),
        ..Scope::default()
    };
    let spec = ReservedNetworksSpec {
        installation: installation.into(),
        serves: Some(precedence::serves(
            &scope,
            None,
            &crate::conditions::time(at(since)),
        )),
        ..ReservedNetworksSpec::default()
    };
    heard.hear("", installation, What::Networks(Some(Box::new(spec))));
}

#[test]
fn a_namespace_that_another_installation_serves_is_left_to_it_until_that_leaves_it() {
    let mut heard = Heard::of_namespace();
    heard.policy("telco", vxlan()).config(config(1));
    heard.pod("a", Some(pod("a")));
    serves(&mut heard, "default", &[], 5);
    assert!(allowance(&heard).is_some() && heard.status().is_some());
    serves(&mut heard, "other", &[], 6);
    assert!(allowance(&heard).is_some() && heard.picture.left_to_others().is_empty());
    serves(&mut heard, "first", &[], 4);
    assert_eq!(allowance(&heard), None);
    assert!(heard.status().is_none());
    let left = heard.picture.left_to_others();
    assert!(left["t"].contains("\"first\" was first"), "{left:?}");
    serves(&mut heard, "first", &["t"], 4);
    assert!(heard.marks.contains(&Job::allowance("t").after(Wait::Now)));
    let Some(Deed::PutAllowance { spec, .. }) = allowance(&heard) else {
        panic!("it is served again");
    };
    assert_eq!(spec.installation, "default");
}

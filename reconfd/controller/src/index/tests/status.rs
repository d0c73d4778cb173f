use super::*;

fn condition_of(status: &PodConfigStatus, type_: &str) -> (String, String, String) {
    let mut conditions = status.conditions.iter();
    let condition = conditions.find(|c| c.type_ == type_).unwrap();
    (
        condition.status.clone(),
        condition.reason.clone(),
        condition.message.clone(),
    )
}

fn ready_says(fixture: &Fixture) -> (String, String, String) {
    condition_of(&fixture.status().unwrap(), "Ready")
}

fn condition(status: &str, reason: &str, message: &str) -> (String, String, String) {
    (status.into(), reason.into(), message.into())
}

fn counts(fixture: &Fixture) -> (i32, i32, i32) {
    let status = fixture.status().unwrap();
    (status.selected, status.configured, status.failed)
}

#[test]
fn without_pods_nobody_can_say_that_it_is_ready() {
    let mut fixture = Fixture::with_namespace();
    fixture.config(config(1));
    let requeue = ReconcileKey::status("t", "data").after(Delay::Now);
    assert!(
        fixture.requeues.contains(&requeue),
        "{:?}",
        fixture.requeues
    );
    let none = "no pod has app=cnf";
    assert_eq!(
        ready_says(&fixture),
        condition("Unknown", "NoPodsSelected", none)
    );
    let status = fixture.status().unwrap();
    assert_eq!((&*status.selector, &*status.links), ("app=cnf", "data0"));
    assert_eq!(status.observed_generation, Some(1));
}

#[test]
fn it_is_ready_when_every_pods_node_has_told_so() {
    let mut fixture = Fixture::with_namespace();
    fixture.config(config(1));
    fixture.pod("a", Some(pod("a"))).pod("b", Some(pod("b")));
    let untold = "(1 of 2) pod a: no report from node n0 yet";
    assert_eq!(
        ready_says(&fixture),
        condition("False", "Reconciling", untold)
    );
    assert_eq!(counts(&fixture), (2, 0, 0));
    fixture.report("a", Some(report("a", ready())));
    fixture.report("b", Some(report("b", ready())));
    assert_eq!(
        ready_says(&fixture),
        condition("True", "AllPodsConfigured", "")
    );
    assert_eq!(counts(&fixture), (2, 2, 0));
}

#[test]
fn nodes_that_have_yet_to_tell_get_a_moment_and_the_last_of_them_is_not_waited_for() {
    let mut fixture = Fixture::with_namespace();
    let key = ReconcileKey::status("t", "data");
    fixture.config(config(1)).pod("a", Some(pod("a")));
    let soon = |requeue: &Requeue| *requeue == key.clone().after(Delay::Batch);
    assert!(!fixture.requeues.is_empty() && fixture.requeues.iter().all(soon));
    fixture.pod("b", Some(pod("b")));
    fixture.report("b", Some(report("b", ready())));
    assert!(!fixture.requeues.is_empty() && fixture.requeues.iter().all(soon));
    fixture.report("a", Some(report("a", ready())));
    assert_eq!(fixture.requeues, [key.after(Delay::Now)]);
}

#[test]
fn what_is_written_is_not_written_again() {
    let mut fixture = Fixture::with_namespace();
    fixture.config(config(1)).pod("a", Some(pod("a")));
    fixture.report("a", Some(report("a", ready())));
    fixture.write_status();
    assert_eq!(
        fixture
            .index
            .decide(&ReconcileKey::status("t", "data"), true, at(60)),
        None
    );
    // The same again, as a daemon that starts anew may tell it.
    fixture.report("a", Some(report("a", ready())));
    assert!(fixture.requeues.is_empty());
}

#[test]
fn a_condition_of_somebody_else_is_no_reason_to_write() {
    let mut fixture = Fixture::with_namespace();
    fixture.config(config(1));
    let mut object = config(1);
    let mut status = fixture.status().unwrap();
    let mut other = status.conditions[0].clone();
    other.type_ = "Audited".into();
    status.conditions.insert(0, other);
    object["status"] = serde_json::to_value(status).unwrap();
    fixture.config(object);
    assert_eq!(fixture.status(), None);
}

#[test]
fn a_status_that_somebody_else_changed_is_mended() {
    let mut fixture = Fixture::with_namespace();
    fixture.config(config(1));
    fixture.write_status();
    assert_eq!(fixture.status(), None);
    let mut object = config(1);
    object["status"] = json!({"selected": 7});
    fixture.config(object);
    assert!(
        fixture
            .requeues
            .contains(&ReconcileKey::status("t", "data").after(Delay::Now))
    );
    assert_eq!(counts(&fixture), (0, 0, 0));
}

#[test]
fn a_report_from_before_an_edit_does_not_make_it_ready() {
    let mut fixture = Fixture::with_namespace();
    fixture.config(config(1)).pod("a", Some(pod("a")));
    fixture.report("a", Some(report("a", ready())));
    fixture.config(config(2));
    assert_eq!(counts(&fixture), (1, 0, 0));
    assert_eq!(fixture.status().unwrap().observed_generation, Some(2));
    let link = ReportedLink {
        generation: 2,
        ..ready()
    };
    fixture.report("a", Some(report("a", link)));
    assert_eq!(counts(&fixture), (1, 1, 0));
}

#[test]
fn a_report_counts_only_for_its_pod_and_from_its_node() {
    let mut fixture = Fixture::with_namespace();
    fixture.config(config(1)).pod("a", Some(pod("a")));
    for strange in [
        ReportInfo {
            pod_uid: "an older pod".into(),
            ..report("a", ready())
        },
        ReportInfo {
            node: "n1".into(),
            ..report("a", ready())
        },
    ] {
        fixture.report("a", Some(strange.clone()));
        assert_eq!(counts(&fixture), (1, 0, 0), "{strange:?}");
    }
    fixture.report("a", Some(report("a", ready())));
    assert_eq!(counts(&fixture), (1, 1, 0));
}

#[test]
fn a_pod_that_is_not_scheduled_is_waited_for_and_one_that_ends_is_not() {
    let mut fixture = Fixture::with_namespace();
    fixture.config(config(1));
    let nowhere = PodInfo {
        node: None,
        ..pod("a")
    };
    fixture.pod("a", Some(nowhere));
    let message = "pod a: the pod is not scheduled yet";
    assert_eq!(
        ready_says(&fixture),
        condition("False", "Reconciling", message)
    );
    let ending = PodInfo {
        is_active: false,
        ..pod("a")
    };
    fixture.pod("a", Some(ending));
    assert_eq!(ready_says(&fixture).0, "Unknown");
}

#[test]
fn labels_that_come_near_are_named_as_pods_come_and_go() {
    let mut fixture = Fixture::with_namespace();
    fixture.config(config(1));
    let near = PodInfo {
        labels: labels("app", "cfn"),
        ..pod("a")
    };
    fixture.pod("a", Some(near));
    let requeue = ReconcileKey::status("t", "data").after(Delay::Batch);
    assert_eq!(fixture.requeues, [requeue]);
    let said = "no pod has app=cnf, but there are pods with app=cfn";
    assert_eq!(ready_says(&fixture).2, said);
}

#[test]
fn what_pods_have_on_a_node_that_does_not_answer_is_unknown() {
    let mut fixture = Fixture::with_namespace();
    fixture.config(config(1)).pod("a", Some(pod("a")));
    fixture.report("a", Some(report("a", ready())));
    let gone = NodeInfo {
        unreachable_since: Some("12:05".into()),
    };
    fixture.observe("", "n0", ObjectChange::Node(Some(gone)));
    assert_eq!(
        fixture.requeues,
        [ReconcileKey::status("t", "data").after(Delay::Now)]
    );
    let said = "pod a: node n0 is unreachable since 12:05; the state of its links is unknown";
    assert_eq!(
        ready_says(&fixture),
        condition("Unknown", "NodeUnreachable", said)
    );
    assert_eq!(counts(&fixture), (1, 0, 0));
    // A pod that comes meanwhile is no better, and what fails elsewhere counts more.
    fixture.pod("b", Some(pod("b")));
    assert_eq!(counts(&fixture), (2, 0, 0));
    let elsewhere = PodInfo {
        node: Some("n1".into()),
        ..pod("c")
    };
    fixture.pod("c", Some(elsewhere));
    assert_eq!(ready_says(&fixture).0, "False");
    fixture.pod("b", None).pod("c", None);
    fixture.observe("", "n0", ObjectChange::Node(Some(NodeInfo::default())));
    assert_eq!(
        ready_says(&fixture),
        condition("True", "AllPodsConfigured", "")
    );
}

#[test]
fn pods_of_several_nodes_on_a_bridge_are_told_that_they_do_not_meet() {
    let mut fixture = Fixture::with_namespace();
    let named = |name: &str, app: &str| {
        let mut object = config(1);
        object["metadata"]["name"] = name.into();
        object["spec"]["podSelector"]["matchLabels"]["app"] = app.into();
        let config: PodConfig = serde_json::from_value(object).unwrap();
        ObjectChange::PodConfig(Some(Box::new(Ok(config))))
    };
    fixture.config(config(1)).pod("a", Some(pod("a")));
    fixture.report("a", Some(report("a", ready())));
    assert_eq!(ready_says(&fixture).2, "");
    // One PodConfig for each pod is what addresses of each pod take.
    let elsewhere = PodInfo {
        node: Some("n1".into()),
        labels: labels("app", "web"),
        ..pod("b")
    };
    fixture.pod("b", Some(elsewhere));
    fixture.observe("t", "other", named("other", "web"));
    let requeue = ReconcileKey::status("t", "data").after(Delay::Batch);
    assert!(
        fixture.requeues.contains(&requeue),
        "{:?}",
        fixture.requeues
    );
    let (is, _, said) = ready_says(&fixture);
    assert!(
        is == "True" && said.starts_with("pods on n0 and n1 are not connected: bridge b "),
        "{said}"
    );
    fixture.pod("b", None);
    assert!(
        fixture.requeues.contains(&requeue),
        "{:?}",
        fixture.requeues
    );
    assert_eq!(ready_says(&fixture).2, "");
}

#[test]
fn a_label_decides_over_who_is_selected() {
    let mut fixture = Fixture::with_namespace();
    fixture.config(config(1)).pod("a", Some(pod("a")));
    let other = PodInfo {
        labels: labels("app", "web"),
        ..pod("a")
    };
    fixture.pod("a", Some(other));
    assert_eq!(counts(&fixture), (0, 0, 0));
    let mut object = config(2);
    object["spec"]["podSelector"] = json!({"matchLabels": {"app": "web"}});
    fixture.config(object);
    assert_eq!(counts(&fixture), (1, 0, 0));
}

#[test]
fn failures_are_told_with_pod_link_and_reason_and_the_first_five_are_shown() {
    let mut fixture = Fixture::with_namespace();
    fixture.config(config(1));
    for n in (0..8).rev() {
        let name = format!("web-{n}");
        fixture.pod(&name, Some(pod(&name)));
        let refused = ReportedLink {
            message: "no PodConfigPolicy selects the namespace".into(),
            ..link(LinkState::Failed, Reason::NoPolicy)
        };
        fixture.report(&name, Some(report(&name, refused)));
    }
    assert_eq!(counts(&fixture), (8, 0, 8));
    let status = fixture.status().unwrap();
    let pods: Vec<&str> = status.failures.iter().map(|f| f.pod.as_str()).collect();
    assert_eq!(pods, ["web-0", "web-1", "web-2", "web-3", "web-4"]);
    assert_eq!(status.failures[0].link, "data0");
    let message = "(1 of 8) pod web-0, link \"data0\": no PodConfigPolicy selects the namespace";
    assert_eq!(
        condition_of(&status, "Degraded"),
        condition("True", "NoPolicy", message)
    );
    assert_eq!(condition_of(&status, "Progressing").0, "False");
}

#[test]
fn what_is_wrong_with_the_whole_pod_is_a_failure_though_its_links_only_wait() {
    let mut fixture = Fixture::with_namespace();
    fixture.config(config(1)).pod("a", Some(pod("a")));
    let mut report = report("a", link(LinkState::Pending, Reason::NoRecord));
    report.trouble = Some(crds::report::PodTrouble {
        state: LinkState::Failed,
        reason: Reason::NoRecord,
        message: "no record says where it is".into(),
    });
    fixture.report("a", Some(report));
    assert_eq!(counts(&fixture), (1, 0, 1));
    let message = "pod a: no record says where it is";
    assert_eq!(
        ready_says(&fixture),
        condition("False", "NoRecord", message)
    );
}

#[test]
fn a_report_that_has_no_room_for_a_link_says_so() {
    let mut fixture = Fixture::with_namespace();
    fixture.config(config(1)).pod("a", Some(pod("a")));
    let mut report = report("a", ready());
    report.links = vec![
        ReportedLink {
            link: "other".into(),
            ..ready()
        };
        1024
    ];
    fixture.report("a", Some(report));
    assert_eq!(ready_says(&fixture).1, "TooManyLinks");
}

#[test]
fn a_selector_that_makes_no_sense_is_told() {
    let mut fixture = Fixture::with_namespace();
    fixture.pod("a", Some(pod("a")));
    let mut object = config(1);
    object["spec"]["podSelector"] =
        json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": []}]});
    fixture.config(object);
    let message = "podSelector NotIn of key \"app\" needs values";
    assert_eq!(ready_says(&fixture), condition("False", "Invalid", message));
    assert_eq!(counts(&fixture), (0, 0, 0));
}

#[test]
fn an_object_that_cannot_be_read_is_told_so_once() {
    let mut fixture = Fixture::with_namespace();
    fixture.pod("a", Some(pod("a")));
    let observe_invalid = |fixture: &mut Fixture| {
        let invalid = InvalidObject {
            error: "invalid prefix".into(),
            metadata: serde_json::from_value(config(3)["metadata"].clone()).unwrap(),
        };
        fixture.observe(
            "t",
            "data",
            ObjectChange::PodConfig(Some(Box::new(Err(invalid.into())))),
        );
    };
    observe_invalid(&mut fixture);
    let message = "the object cannot be read: invalid prefix";
    assert_eq!(ready_says(&fixture), condition("False", "Invalid", message));
    let action = fixture.decide(&ReconcileKey::status("t", "data")).unwrap();
    fixture.index.written(&action);
    observe_invalid(&mut fixture);
    assert_eq!(
        fixture
            .index
            .decide(&ReconcileKey::status("t", "data"), true, at(60)),
        None
    );
    fixture.config(config(4));
    assert_eq!(counts(&fixture), (1, 0, 0));
}

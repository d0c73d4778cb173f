use super::*;

fn said(status: &PodConfigStatus, type_: &str) -> (String, String, String) {
    let mut conditions = status.conditions.iter();
    let condition = conditions.find(|c| c.type_ == type_).unwrap();
    (
        condition.status.clone(),
        condition.reason.clone(),
        condition.message.clone(),
    )
}

fn ready_says(heard: &Heard) -> (String, String, String) {
    said(&heard.status().unwrap(), "Ready")
}

fn word(status: &str, reason: &str, message: &str) -> (String, String, String) {
    (status.into(), reason.into(), message.into())
}

fn counts(heard: &Heard) -> (i32, i32, i32) {
    let status = heard.status().unwrap();
    (status.selected, status.configured, status.failed)
}

#[test]
fn without_pods_nobody_can_say_that_it_is_ready() {
    let mut heard = Heard::of_namespace();
    heard.config(config(1));
    let mark = Job::status("t", "data").after(Wait::Now);
    assert!(heard.marks.contains(&mark), "{:?}", heard.marks);
    let none = "no pod has app=cnf";
    assert_eq!(ready_says(&heard), word("Unknown", "NoPodsSelected", none));
    let status = heard.status().unwrap();
    assert_eq!((&*status.selector, &*status.links), ("app=cnf", "data0"));
    assert_eq!(status.observed_generation, Some(1));
}

#[test]
fn it_is_ready_when_every_pods_node_has_told_so() {
    let mut heard = Heard::of_namespace();
    heard.config(config(1));
    heard.pod("a", Some(pod("a"))).pod("b", Some(pod("b")));
    let untold = "(1 of 2) pod a: the daemon of node n0 has not told yet";
    assert_eq!(ready_says(&heard), word("False", "Reconciling", untold));
    assert_eq!(counts(&heard), (2, 0, 0));
    heard.report("a", Some(told("a", ready())));
    heard.report("b", Some(told("b", ready())));
    assert_eq!(ready_says(&heard), word("True", "AllPodsConfigured", ""));
    assert_eq!(counts(&heard), (2, 2, 0));
}

#[test]
fn nodes_that_have_yet_to_tell_get_a_moment_and_the_last_of_them_is_not_waited_for() {
    let mut heard = Heard::of_namespace();
    let job = Job::status("t", "data");
    heard.config(config(1)).pod("a", Some(pod("a")));
    let soon = |mark: &Mark| *mark == job.clone().after(Wait::Soon);
    assert!(!heard.marks.is_empty() && heard.marks.iter().all(soon));
    heard.pod("b", Some(pod("b")));
    heard.report("b", Some(told("b", ready())));
    assert!(!heard.marks.is_empty() && heard.marks.iter().all(soon));
    heard.report("a", Some(told("a", ready())));
    assert_eq!(heard.marks, [job.after(Wait::Now)]);
}

#[test]
fn what_is_written_is_not_written_again() {
    let mut heard = Heard::of_namespace();
    heard.config(config(1)).pod("a", Some(pod("a")));
    heard.report("a", Some(told("a", ready())));
    heard.write_status();
    assert_eq!(
        heard
            .picture
            .decide(&Job::status("t", "data"), true, at(60)),
        None
    );
    // The same again, as a daemon that starts anew may tell it.
    heard.report("a", Some(told("a", ready())));
    assert!(heard.marks.is_empty());
}

#[test]
fn a_condition_of_somebody_else_is_no_reason_to_write() {
    let mut heard = Heard::of_namespace();
    heard.config(config(1));
    let mut object = config(1);
    let mut status = heard.status().unwrap();
    let mut other = status.conditions[0].clone();
    other.type_ = "Audited".into();
    status.conditions.insert(0, other);
    object["status"] = serde_json::to_value(status).unwrap();
    heard.config(object);
    assert_eq!(heard.status(), None);
}

#[test]
fn a_status_that_somebody_else_changed_is_mended() {
    let mut heard = Heard::of_namespace();
    heard.config(config(1));
    heard.write_status();
    assert_eq!(heard.status(), None);
    let mut object = config(1);
    object["status"] = json!({"selected": 7});
    heard.config(object);
    assert!(
        heard
            .marks
            .contains(&Job::status("t", "data").after(Wait::Now))
    );
    assert_eq!(counts(&heard), (0, 0, 0));
}

#[test]
fn a_report_from_before_an_edit_does_not_make_it_ready() {
    let mut heard = Heard::of_namespace();
    heard.config(config(1)).pod("a", Some(pod("a")));
    heard.report("a", Some(told("a", ready())));
    heard.config(config(2));
    assert_eq!(counts(&heard), (1, 0, 0));
    assert_eq!(heard.status().unwrap().observed_generation, Some(2));
    let link = LinkTold {
        generation: 2,
        ..ready()
    };
    heard.report("a", Some(told("a", link)));
    assert_eq!(counts(&heard), (1, 1, 0));
}

#[test]
fn a_report_counts_only_for_its_pod_and_from_its_node() {
    let mut heard = Heard::of_namespace();
    heard.config(config(1)).pod("a", Some(pod("a")));
    for strange in [
        Told {
            pod_uid: "an older pod".into(),
            ..told("a", ready())
        },
        Told {
            node: "n1".into(),
            ..told("a", ready())
        },
    ] {
        heard.report("a", Some(strange.clone()));
        assert_eq!(counts(&heard), (1, 0, 0), "{strange:?}");
    }
    heard.report("a", Some(told("a", ready())));
    assert_eq!(counts(&heard), (1, 1, 0));
}

#[test]
fn a_pod_that_is_not_scheduled_is_waited_for_and_one_that_ends_is_not() {
    let mut heard = Heard::of_namespace();
    heard.config(config(1));
    let nowhere = Seen {
        node: None,
        ..pod("a")
    };
    heard.pod("a", Some(nowhere));
    let message = "pod a: the pod is not scheduled yet";
    assert_eq!(ready_says(&heard), word("False", "Reconciling", message));
    let ending = Seen {
        is_active: false,
        ..pod("a")
    };
    heard.pod("a", Some(ending));
    assert_eq!(ready_says(&heard).0, "Unknown");
}

#[test]
fn labels_that_come_near_are_named_as_pods_come_and_go() {
    let mut heard = Heard::of_namespace();
    heard.config(config(1));
    let near = Seen {
        labels: labels("app", "cfn"),
        ..pod("a")
    };
    heard.pod("a", Some(near));
    let mark = Job::status("t", "data").after(Wait::Soon);
    assert_eq!(heard.marks, [mark]);
    let said = "no pod has app=cnf, but there are pods with app=cfn";
    assert_eq!(ready_says(&heard).2, said);
}

#[test]
fn what_pods_have_on_a_node_that_does_not_answer_is_unknown() {
    let mut heard = Heard::of_namespace();
    heard.config(config(1)).pod("a", Some(pod("a")));
    heard.report("a", Some(told("a", ready())));
    let gone = NodeSeen {
        unreachable_since: Some("12:05".into()),
    };
    heard.hear("", "n0", What::Node(Some(gone)));
    assert_eq!(heard.marks, [Job::status("t", "data").after(Wait::Now)]);
    let said = "pod a: node n0 has not answered since 12:05; what its pods have is unknown";
    assert_eq!(ready_says(&heard), word("Unknown", "NodeUnreachable", said));
    assert_eq!(counts(&heard), (1, 0, 0));
    // A pod that comes meanwhile is no better, and what fails elsewhere counts more.
    heard.pod("b", Some(pod("b")));
    assert_eq!(counts(&heard), (2, 0, 0));
    let elsewhere = Seen {
        node: Some("n1".into()),
        ..pod("c")
    };
    heard.pod("c", Some(elsewhere));
    assert_eq!(ready_says(&heard).0, "False");
    heard.pod("b", None).pod("c", None);
    heard.hear("", "n0", What::Node(Some(NodeSeen::default())));
    assert_eq!(ready_says(&heard), word("True", "AllPodsConfigured", ""));
}

#[test]
fn pods_of_several_nodes_on_a_bridge_are_told_that_they_do_not_meet() {
    let mut heard = Heard::of_namespace();
    let named = |name: &str, app: &str| {
        let mut object = config(1);
        object["metadata"]["name"] = name.into();
        object["spec"]["podSelector"]["matchLabels"]["app"] = app.into();
        let config: PodConfig = serde_json::from_value(object).unwrap();
        What::PodConfig(Some(Box::new(Ok(config))))
    };
    heard.config(config(1)).pod("a", Some(pod("a")));
    heard.report("a", Some(told("a", ready())));
    assert_eq!(ready_says(&heard).2, "");
    // One PodConfig for each pod is what addresses of each pod take.
    let elsewhere = Seen {
        node: Some("n1".into()),
        labels: labels("app", "web"),
        ..pod("b")
    };
    heard.pod("b", Some(elsewhere));
    heard.hear("t", "other", named("other", "web"));
    let mark = Job::status("t", "data").after(Wait::Soon);
    assert!(heard.marks.contains(&mark), "{:?}", heard.marks);
    let (is, _, said) = ready_says(&heard);
    assert!(
        is == "True" && said.starts_with("pods on n0 and n1 do not meet on bridge b"),
        "{said}"
    );
    heard.pod("b", None);
    assert!(heard.marks.contains(&mark), "{:?}", heard.marks);
    assert_eq!(ready_says(&heard).2, "");
}

#[test]
fn a_label_decides_over_who_is_selected() {
    let mut heard = Heard::of_namespace();
    heard.config(config(1)).pod("a", Some(pod("a")));
    let other = Seen {
        labels: labels("app", "web"),
        ..pod("a")
    };
    heard.pod("a", Some(other));
    assert_eq!(counts(&heard), (0, 0, 0));
    let mut object = config(2);
    object["spec"]["podSelector"] = json!({"matchLabels": {"app": "web"}});
    heard.config(object);
    assert_eq!(counts(&heard), (1, 0, 0));
}

#[test]
fn failures_are_told_with_pod_link_and_reason_and_the_first_five_are_shown() {
    let mut heard = Heard::of_namespace();
    heard.config(config(1));
    for n in (0..8).rev() {
        let name = format!("web-{n}");
        heard.pod(&name, Some(pod(&name)));
        let refused = LinkTold {
            message: "no PodConfigPolicy selects the namespace".into(),
            ..link(LinkState::Failed, Reason::NoPolicy)
        };
        heard.report(&name, Some(told(&name, refused)));
    }
    assert_eq!(counts(&heard), (8, 0, 8));
    let status = heard.status().unwrap();
    let pods: Vec<&str> = status.failures.iter().map(|f| f.pod.as_str()).collect();
    assert_eq!(pods, ["web-0", "web-1", "web-2", "web-3", "web-4"]);
    assert_eq!(status.failures[0].link, "data0");
    let message = "(1 of 8) pod web-0, link \"data0\": no PodConfigPolicy selects the namespace";
    assert_eq!(said(&status, "Degraded"), word("True", "NoPolicy", message));
    assert_eq!(said(&status, "Progressing").0, "False");
}

#[test]
fn what_is_wrong_with_the_whole_pod_is_a_failure_though_its_links_only_wait() {
    let mut heard = Heard::of_namespace();
    heard.config(config(1)).pod("a", Some(pod("a")));
    let mut report = told("a", link(LinkState::Pending, Reason::NoRecord));
    report.trouble = Some(crds::report::PodTrouble {
        state: LinkState::Failed,
        reason: Reason::NoRecord,
        message: "no record says where it is".into(),
    });
    heard.report("a", Some(report));
    assert_eq!(counts(&heard), (1, 0, 1));
    let message = "pod a: no record says where it is";
    assert_eq!(ready_says(&heard), word("False", "NoRecord", message));
}

#[test]
fn a_report_that_has_no_room_for_a_link_says_so() {
    let mut heard = Heard::of_namespace();
    heard.config(config(1)).pod("a", Some(pod("a")));
    let mut report = told("a", ready());
    report.links = vec![
        LinkTold {
            link: "other".into(),
            ..ready()
        };
        1024
    ];
    heard.report("a", Some(report));
    assert_eq!(ready_says(&heard).1, "TooManyLinks");
}

#[test]
fn a_selector_that_makes_no_sense_is_told() {
    let mut heard = Heard::of_namespace();
    heard.pod("a", Some(pod("a")));
    let mut object = config(1);
    object["spec"]["podSelector"] =
        json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": []}]});
    heard.config(object);
    let message = "podSelector NotIn of key \"app\" needs values";
    assert_eq!(ready_says(&heard), word("False", "Invalid", message));
    assert_eq!(counts(&heard), (0, 0, 0));
}

#[test]
fn an_object_that_cannot_be_read_is_told_so_once() {
    let mut heard = Heard::of_namespace();
    heard.pod("a", Some(pod("a")));
    let hear = |heard: &mut Heard| {
        let invalid = InvalidObject {
            error: "invalid prefix".into(),
            metadata: serde_json::from_value(config(3)["metadata"].clone()).unwrap(),
        };
        heard.hear(
            "t",
            "data",
            What::PodConfig(Some(Box::new(Err(invalid.into())))),
        );
    };
    hear(&mut heard);
    let message = "the object cannot be read: invalid prefix";
    assert_eq!(ready_says(&heard), word("False", "Invalid", message));
    let deed = heard.decide(&Job::status("t", "data")).unwrap();
    heard.picture.written(&deed);
    hear(&mut heard);
    assert_eq!(
        heard
            .picture
            .decide(&Job::status("t", "data"), true, at(60)),
        None
    );
    heard.config(config(4));
    assert_eq!(counts(&heard), (1, 0, 0));
}

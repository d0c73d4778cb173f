#![allow(clippy::unwrap_used, clippy::panic)]

use std::{sync::Arc, time::Duration};

use conditions::Revision;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::{Value, json};

use super::*;
use crate::podconfig::outcome::{NetworksOutcome, PresentFacts};

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_767_225_600_123 + seconds * 1000)
}

fn pod(name: &str) -> Arc<LocalPod> {
    Arc::new(LocalPod {
        namespace: "tenant-a".into(),
        name: name.into(),
        uid: format!("uid-{name}"),
        labels: [("app".to_owned(), "cnf".to_owned())].into(),
        namespace_labels: Default::default(),
        sandbox: "0123abc".into(),
        recorded_by: None,
        net_admin: NetAdmin::No,
        host_network: false,
    })
}

fn revision(generation: i64) -> Revision {
    Revision {
        uid: "uid-data".into(),
        generation,
    }
}

fn ready(name: &str) -> LinkOutcome {
    LinkOutcome {
        name: name.into(),
        podconfig: "data".into(),
        revision: revision(7),
        kind: "veth",
        state: LinkState::Ready,
        reason: Reason::LinkReady,
        message: String::new(),
        present: Some(PresentFacts {
            mac: [0x0a, 0x58, 10, 99, 0, 10],
            mtu: 1500,
            addresses: vec![
                "10.99.0.10/24".parse().unwrap(),
                "fd99::10/64".parse().unwrap(),
            ],
            host_interface: Some("pcabcdefghijklm".into()),
            bridge: Some("pcbabcdefghijkl".into()),
        }),
        domain: None,
        conflict: None,
        tunnel: None,
        last_change: Some(at(0)),
    }
}

fn failed(name: &str, reason: Reason, message: &str) -> LinkOutcome {
    let state = LinkState::Failed;
    LinkOutcome {
        state,
        reason,
        message: message.into(),
        present: None,
        last_change: None,
        ..ready(name)
    }
}

fn pending(name: &str) -> LinkOutcome {
    LinkOutcome {
        state: LinkState::Pending,
        ..failed(
            name,
            Reason::BridgeNotFound,
            "there is no bridge \"br-lan\"",
        )
    }
}

fn outcome(name: &str, links: Vec<LinkOutcome>) -> PodOutcome {
    PodOutcome {
        pod: pod(name),
        links,
        trouble: None,
        since: at(0),
        removed: Vec::new(),
        repaired: std::collections::BTreeMap::new(),
        networks: NetworksOutcome::default(),
    }
}

fn config(selector: Value) -> PodConfig {
    let object = json!({"apiVersion": "podconfig.dev/v1alpha1", "kind": "PodConfig",
        "metadata": {"name": "data", "namespace": "tenant-a", "generation": 7, "uid": "uid-data"},
        "spec": {"podSelector": selector, "links": [{"name": "data0", "veth": {"bridge": "blue"}}]}});
    serde_json::from_value(object).unwrap()
}

fn status(outcomes: &[PodOutcome]) -> PodConfigStatus {
    config_status(
        &config(json!({"matchLabels": {"app": "cnf"}})),
        outcomes.iter(),
        None,
        at(0),
    )
}

fn condition<'a>(conditions: &'a [Condition], type_: &str) -> &'a Condition {
    conditions
        .iter()
        .find(|condition| condition.type_ == type_)
        .unwrap()
}

fn summaries(conditions: &[Condition]) -> Vec<(&str, &str, &str)> {
    conditions
        .iter()
        .map(|c| (c.type_.as_str(), c.status.as_str(), c.reason.as_str()))
        .collect()
}

#[test]
fn a_report_belongs_to_its_pod_and_holds_nothing_up() {
    let metadata = pod_metadata(&pod("web-0"));
    assert_eq!(
        (metadata.name.as_deref(), metadata.namespace.as_deref()),
        (Some("web-0"), Some("tenant-a"))
    );
    let owner = &metadata.owner_references.unwrap()[0];
    assert_eq!(
        [&owner.api_version, &owner.kind, &owner.name, &owner.uid],
        ["v1", "Pod", "web-0", "uid-web-0"]
    );
    assert_eq!(owner.block_owner_deletion, None);
}

#[test]
fn a_daemon_that_starts_anew_says_the_same() {
    let outcome_of = |link| outcome("a", vec![link]);
    let before = pod_status(&outcome_of(ready("data0")), "n0", None, at(0));
    let mut anew = ready("data0");
    anew.last_change = None;
    let after = pod_status(&outcome_of(anew.clone()), "n0", Some(&before), at(60));
    assert_eq!(after, before);
    anew.revision.uid = "uid-other".into();
    let other = pod_status(&outcome_of(anew), "n0", Some(&before), at(60));
    assert_eq!(other.links[0].last_change, None, "it is another link");
    let gone = failed("data0", Reason::NotAllowed, "no");
    let gone = pod_status(&outcome_of(gone), "n0", Some(&before), at(60));
    assert_eq!(gone.links[0].last_change, None, "there is no link");
}

#[test]
fn a_report_says_what_the_pod_has() {
    let refused = failed(
        "lan0",
        Reason::NotAllowed,
        "veth.hostBridge \"br-x\" is not among [br-lan]",
    );
    let status = pod_status(
        &outcome("web-0", vec![ready("data0"), refused, pending("lan1")]),
        "node-1",
        None,
        at(0),
    );
    assert_eq!(
        (
            status.pod_uid.as_str(),
            status.node.as_str(),
            status.sandbox.as_str()
        ),
        ("uid-web-0", "node-1", "0123abc")
    );
    assert_eq!(
        (
            status.summary.links.as_str(),
            status.summary.addresses.as_str()
        ),
        ("1/3", "10.99.0.10/24,fd99::10/64")
    );
    let link = serde_json::to_value(&status.links[0]).unwrap();
    assert_eq!(
        link,
        json!({"name": "data0", "podConfig": "data", "podConfigUID": "uid-data", "observedGeneration": 7, "kind": "veth", "state": "Ready", "reason": "LinkReady",
            "mac": "0a:58:0a:63:00:0a", "mtu": 1500, "addresses": ["10.99.0.10/24", "fd99::10/64"],
            "hostInterface": "pcabcdefghijklm", "bridge": "pcbabcdefghijkl", "lastChange": "2026-01-01T00:00:00Z"})
    );
    assert_eq!(
        summaries(&status.conditions),
        [
            ("Ready", "False", "NotAllowed"),
            ("Progressing", "True", "BridgeNotFound"),
            ("Degraded", "True", "NotAllowed")
        ]
    );
    let message = &condition(&status.conditions, "Ready").message;
    assert_eq!(
        message,
        "link \"lan0\": veth.hostBridge \"br-x\" is not among [br-lan]"
    );
}

#[test]
fn a_pod_with_all_its_links_is_ready() {
    let status = pod_status(
        &outcome("web-0", vec![ready("data0")]),
        "node-1",
        None,
        at(0),
    );
    assert_eq!(
        summaries(&status.conditions),
        [
            ("Ready", "True", "LinkReady"),
            ("Progressing", "False", "LinkReady"),
            ("Degraded", "False", "LinkReady")
        ]
    );
}

#[test]
fn a_pod_in_trouble_is_not_ready_even_without_links() {
    let trouble = Some((Reason::BadRecord, "the record is a symlink".to_owned()));
    let status = pod_status(
        &PodOutcome {
            trouble,
            ..outcome("web-0", vec![])
        },
        "node-1",
        None,
        at(0),
    );
    let ready = condition(&status.conditions, "Ready");
    assert_eq!(
        (ready.status.as_str(), ready.reason.as_str()),
        ("False", "BadRecord")
    );
    assert_eq!(ready.message, "the record is a symlink");
    let trouble = serde_json::to_value(status.trouble).unwrap();
    assert_eq!(
        trouble,
        json!({"state": "Failed", "reason": "BadRecord", "message": "the record is a symlink"})
    );
}

#[test]
fn the_same_outcome_later_is_the_same_report() {
    let outcome = outcome("web-0", vec![ready("data0"), pending("lan0")]);
    let first = pod_status(&outcome, "node-1", None, at(0));
    let read_back = serde_json::from_value(serde_json::to_value(&first).unwrap()).unwrap();
    assert_eq!(
        pod_status(&outcome, "node-1", Some(&read_back), at(60)),
        first
    );
}

#[test]
fn a_time_changes_with_the_status_and_with_nothing_else() {
    let at_first = pod_status(
        &outcome("web-0", vec![pending("lan0")]),
        "node-1",
        None,
        at(0),
    );
    let worse = outcome(
        "web-0",
        vec![failed("lan0", Reason::KernelRefused, "no buffer space")],
    );
    let then = pod_status(&worse, "node-1", Some(&at_first), at(60));
    let time = |status: &PodReportStatus, type_| {
        condition(&status.conditions, type_)
            .last_transition_time
            .clone()
    };
    assert_eq!(time(&then, "Ready"), time(&at_first, "Ready"));
    assert_eq!(condition(&then.conditions, "Ready").reason, "KernelRefused");
    assert_ne!(time(&then, "Degraded"), time(&at_first, "Degraded"));
}

#[test]
fn a_new_pod_of_the_same_name_starts_its_own_times() {
    let of = outcome("web-0", vec![ready("data0")]);
    let old = PodReportStatus {
        pod_uid: "another".into(),
        ..pod_status(&of, "node-1", None, at(0))
    };
    let new = pod_status(&of, "node-1", Some(&old), at(60));
    assert_ne!(
        new.conditions[0].last_transition_time,
        old.conditions[0].last_transition_time
    );
}

#[test]
fn a_podconfig_is_ready_when_every_selected_pod_has_its_links() {
    let status = status(&[
        outcome("web-1", vec![ready("data0")]),
        outcome("web-0", vec![ready("data0")]),
    ]);
    assert_eq!(
        (status.selected, status.configured, status.failed),
        (2, 2, 0)
    );
    assert_eq!(
        (status.observed_generation, status.selector.as_str()),
        (Some(7), "app=cnf")
    );
    assert_eq!(
        condition(&status.conditions, "Ready").reason,
        "AllPodsConfigured"
    );
    assert!(
        status
            .conditions
            .iter()
            .all(|c| c.observed_generation == Some(7))
    );
}

#[test]
fn a_podconfig_that_selects_no_pod_is_ready() {
    let mut elsewhere = (*pod("web-0")).clone();
    elsewhere.namespace = "tenant-b".into();
    let elsewhere = PodOutcome {
        pod: Arc::new(elsewhere),
        ..outcome("web-0", vec![ready("data0")])
    };
    let mut unlabelled = (*pod("web-1")).clone();
    unlabelled.labels.clear();
    let unlabelled = PodOutcome {
        pod: Arc::new(unlabelled),
        ..outcome("web-1", vec![])
    };
    let status = status(&[elsewhere, unlabelled]);
    assert_eq!(status.selected, 0);
    assert_eq!(
        summaries(&status.conditions),
        [
            ("Ready", "Unknown", "NoPodsSelected"),
            ("Progressing", "False", "NoPodsSelected"),
            ("Degraded", "False", "NoPodsSelected")
        ]
    );
}

#[test]
fn one_reason_for_all_failures_is_the_reason() {
    let refused = || {
        vec![failed(
            "data0",
            Reason::NoPolicy,
            "no PodConfigPolicy selects the namespace",
        )]
    };
    let status = status(&[outcome("web-1", refused()), outcome("web-0", refused())]);
    let ready = condition(&status.conditions, "Ready");
    assert_eq!(
        (ready.status.as_str(), ready.reason.as_str()),
        ("False", "NoPolicy")
    );
    assert_eq!(
        ready.message,
        "(1 of 2) pod web-0, link \"data0\": no PodConfigPolicy selects the namespace"
    );
}

#[test]
fn failures_of_several_kinds_are_reported_as_failed_pods_and_the_first_five_are_shown() {
    let mut outcomes: Vec<PodOutcome> = (0..8)
        .map(|n| {
            outcome(
                &format!("web-{n}"),
                vec![failed("data0", Reason::NotAllowed, "no")],
            )
        })
        .collect();
    outcomes[7].links[0].reason = Reason::ForeignLink;
    outcomes.reverse();
    let status = status(&outcomes);
    assert_eq!(condition(&status.conditions, "Ready").reason, "PodsFailed");
    assert_eq!(
        (status.selected, status.configured, status.failed),
        (8, 0, 8)
    );
    let pods: Vec<&str> = status.failures.iter().map(|f| f.pod.as_str()).collect();
    assert_eq!(pods, ["web-0", "web-1", "web-2", "web-3", "web-4"]);
}

#[test]
fn what_another_podconfig_suffers_is_not_ours() {
    let other = LinkOutcome {
        podconfig: "other".into(),
        ..failed("x", Reason::NotAllowed, "no")
    };
    let status = status(&[outcome("web-0", vec![ready("data0"), other])]);
    assert_eq!((status.configured, status.failed), (1, 0));
}

#[test]
fn a_pod_that_waits_is_neither_configured_nor_failed() {
    let gone = PodOutcome {
        trouble: Some((Reason::NamespaceGone, "gone".into())),
        ..outcome("web-2", vec![])
    };
    let status = status(&[
        outcome("web-0", vec![pending("data0")]),
        outcome("web-1", vec![]),
        gone,
    ]);
    assert_eq!(
        (status.selected, status.configured, status.failed),
        (3, 0, 0)
    );
    assert_eq!(condition(&status.conditions, "Progressing").status, "True");
    assert_eq!(condition(&status.conditions, "Degraded").status, "False");
    assert!(status.failures.is_empty());
}

#[test]
fn what_is_waited_for_in_several_ways_is_work_under_way() {
    let status = status(&[
        outcome("web-0", vec![pending("data0")]),
        outcome("web-1", vec![]),
    ]);
    let ready = condition(&status.conditions, "Ready");
    assert_eq!(
        (ready.status.as_str(), ready.reason.as_str()),
        ("False", "Reconciling")
    );
    assert!(ready.message.contains("br-lan"), "{}", ready.message);
}

#[test]
fn what_was_said_of_an_older_podconfig_says_nothing_of_this_one() {
    let of = |revision: Revision| {
        let link = LinkOutcome {
            revision,
            ..ready("data0")
        };
        status(&[outcome("web-0", vec![link])]).configured
    };
    assert_eq!(of(revision(6)), 0);
    assert_eq!(of(revision(7)), 1);
    // The node was faster than the watch that tells of the PodConfig here.
    assert_eq!(of(revision(8)), 1);
    let of_another = Revision {
        uid: "of the deleted one".into(),
        ..revision(7)
    };
    assert_eq!(of(of_another), 0);
}

#[test]
fn a_link_that_is_asked_for_and_not_spoken_of_is_waited_for() {
    let status = status(&[outcome("web-0", vec![ready("other0")])]);
    assert_eq!((status.selected, status.configured), (1, 0));
    let message = &condition(&status.conditions, "Progressing").message;
    assert_eq!(message, "pod web-0: the pod has not been reconciled yet");
}

#[test]
fn a_pod_without_a_record_is_a_failure_of_its_podconfig() {
    let lost = PodOutcome {
        trouble: Some((Reason::NoRecord, "started before the plugin".into())),
        ..outcome("web-0", vec![])
    };
    let status = status(&[lost]);
    assert_eq!((status.failed, status.failures[0].link.as_str()), (1, ""));
    assert_eq!(
        condition(&status.conditions, "Ready").message,
        "pod web-0: started before the plugin"
    );
}

#[test]
fn what_is_wrong_with_a_pod_as_a_whole_is_one_failure() {
    let why = "the pod uses the node's own network (hostNetwork)";
    let links = vec![
        failed("d0", Reason::Unsupported, why),
        failed("d1", Reason::NotAllowed, "no rule"),
    ];
    let host = PodOutcome {
        trouble: Some((Reason::Unsupported, why.into())),
        ..outcome("host", links)
    };
    assert_eq!(host.worst(), Reason::Unsupported);
    let status = status(std::slice::from_ref(&host));
    let failures = status.failures.iter();
    let failures: Vec<_> = failures.map(|f| (f.link.as_str(), f.reason)).collect();
    let expected = [("", Reason::Unsupported), ("d1", Reason::NotAllowed)];
    assert_eq!((status.failed, failures), (1, expected.to_vec()));
    let mut alone = host;
    alone.links.truncate(1);
    let report = pod_status(&alone, "n0", None, at(0));
    let message = &condition(&report.conditions, "Ready").message;
    assert!(!message.contains("1 of"), "{message}");
}

#[test]
fn a_pass_ends_with_the_worst_of_its_reasons() {
    let with = |links| outcome("a", links).worst();
    assert_eq!(with(Vec::new()), Reason::LinkReady);
    assert_eq!(with(vec![ready("a")]), Reason::LinkReady);
    assert_eq!(with(vec![ready("a"), pending("b")]), Reason::BridgeNotFound);
    let taken = failed("c", Reason::AddressTaken, "taken");
    assert_eq!(
        with(vec![pending("b"), taken, ready("a")]),
        Reason::AddressTaken
    );
}

#[test]
fn a_selector_that_makes_no_sense_is_reported_in_the_status() {
    let odd =
        config(json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": []}]}));
    let status = config_status(
        &odd,
        [outcome("web-0", vec![ready("data0")])].iter(),
        None,
        at(0),
    );
    let ready = condition(&status.conditions, "Ready");
    assert_eq!(
        (
            status.selected,
            ready.status.as_str(),
            ready.reason.as_str()
        ),
        (0, "False", "Invalid")
    );
    assert_eq!(
        ready.message,
        "podSelector NotIn of key \"app\" needs values"
    );
    assert!(status.failures.is_empty());
}

#[test]
fn no_message_is_longer_than_a_condition_should_be() {
    let status = status(&[outcome(
        "web-0",
        vec![failed("data0", Reason::KernelRefused, &"é".repeat(9999))],
    )]);
    assert!(status.conditions.iter().all(|c| c.message.len() <= 500));
    assert!(status.failures[0].message.len() <= 500);
}

#[test]
fn a_tenant_with_too_many_requests_still_gets_a_report() {
    let requests = (0..2000)
        .map(|n| failed(&format!("n{n}"), Reason::TooManyLinks, "no"))
        .collect();
    let status = pod_status(&outcome("web-0", requests), "node-1", None, at(0));
    assert_eq!(
        (status.links.len(), status.summary.links.as_str()),
        (1024, "0/2000")
    );
}

#[test]
fn a_pod_that_administers_the_nodes_network_has_a_condition_of_its_own() {
    let status = |net_admin: NetAdmin| {
        let pod = LocalPod {
            net_admin,
            ..pod("a").as_ref().clone()
        };
        let outcome = PodOutcome {
            pod: Arc::new(pod),
            links: vec![ready("data0")],
            trouble: None,
            since: at(0),
            removed: Vec::new(),
            repaired: std::collections::BTreeMap::new(),
            networks: NetworksOutcome::default(),
        };
        let conditions = pod_status(&outcome, "n0", None, at(0)).conditions;
        conditions
            .into_iter()
            .find(|condition| condition.type_ == "NetAdmin")
    };
    let found = status(NetAdmin::Yes("container \"c\" is privileged".into())).unwrap();
    assert_eq!(
        (found.status.as_str(), found.reason.as_str()),
        ("True", "NetAdminPod")
    );
    assert!(found.message.starts_with("container \"c\" is privileged"));
    for quiet in [
        NetAdmin::No,
        NetAdmin::Unknown,
        NetAdmin::Claimed("c".into()),
    ] {
        assert_eq!(status(quiet), None);
    }
}

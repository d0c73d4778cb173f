#![allow(clippy::unwrap_used, clippy::panic)]

use std::{collections::BTreeMap, time::Duration};

use crds::{PodConfigStatus, Reason, report::LinkState};
use serde_json::{Value, json};

use super::*;
use crate::{objects::ReportedLink, reconcile_key::SegmentKey};

/// Allowances, slices and policy use.
mod objects;
/// The order of events does not matter.
mod order;
/// The status of a PodConfig.
mod status;

pub(super) fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600 + seconds)
}

/// A cluster index and the last requeues.
pub(super) struct Fixture {
    pub index: ClusterIndex,
    pub requeues: Vec<Requeue>,
}

impl Fixture {
    /// Namespace `t` with the label `tier: cnf`, and node n0.
    pub fn with_namespace() -> Self {
        let mut fixture = Self {
            index: ClusterIndex::new(Scope::default(), "default"),
            requeues: Vec::new(),
        };
        fixture.observe(
            "",
            "t",
            ObjectChange::Namespace(Some(labels("tier", "cnf"))),
        );
        fixture.observe("", "n0", ObjectChange::Node(Some(NodeInfo::default())));
        fixture
    }

    pub fn observe(&mut self, namespace: &str, name: &str, change: ObjectChange) -> &mut Self {
        self.requeues = self.index.update(IndexEvent {
            namespace: namespace.into(),
            name: name.into(),
            change,
        });
        self
    }

    pub fn pod(&mut self, name: &str, pod: Option<PodInfo>) -> &mut Self {
        self.observe("t", name, ObjectChange::Pod(pod))
    }

    pub fn report(&mut self, pod: &str, report: Option<ReportInfo>) -> &mut Self {
        self.observe("t", pod, ObjectChange::PodReport(report))
    }

    pub fn config(&mut self, object: Value) -> &mut Self {
        let config: PodConfig = serde_json::from_value(object).unwrap();
        self.observe(
            "t",
            "data",
            ObjectChange::PodConfig(Some(Box::new(Ok(config)))),
        )
    }

    pub fn policy(&mut self, name: &str, spec: Value) -> &mut Self {
        let policy = PodConfigPolicy::new(name, serde_json::from_value(spec).unwrap());
        self.observe("", name, ObjectChange::Policy(Some(Box::new(Ok(policy)))))
    }

    pub fn decide(&self, key: &ReconcileKey) -> Option<Action> {
        self.index.decide(key, true, at(0))
    }

    /// The status of `data` that is to be written.
    pub fn status(&self) -> Option<PodConfigStatus> {
        match self.decide(&ReconcileKey::status("t", "data"))? {
            Action::UpdateStatus { status, .. } => Some(*status),
            other => panic!("{other:?}"),
        }
    }

    /// Applies the action and observes the resulting event.
    pub fn write_status(&mut self) {
        let status = self.status().unwrap();
        let mut object = config(1);
        object["status"] = serde_json::to_value(status).unwrap();
        self.config(object);
    }
}

pub(super) fn labels(key: &str, value: &str) -> BTreeMap<String, String> {
    [(key.to_owned(), value.to_owned())].into()
}

/// `data`, which asks for one link in pods with `app: cnf`.
pub(super) fn config(generation: i64) -> Value {
    json!({
        "metadata": {"namespace": "t", "name": "data", "uid": "uid-data", "generation": generation},
        "spec": {"podSelector": {"matchLabels": {"app": "cnf"}}, "links": [{"name": "data0", "veth": {"bridge": "b"}}]},
    })
}

pub(super) fn pod(name: &str) -> PodInfo {
    PodInfo {
        uid: format!("uid-{name}"),
        node: Some("n0".into()),
        labels: labels("app", "cnf"),
        is_active: true,
        has_ended: false,
        unreachable_since: None,
    }
}

pub(super) fn link(state: LinkState, reason: Reason) -> ReportedLink {
    ReportedLink {
        link: "data0".into(),
        podconfig: "data".into(),
        podconfig_uid: "uid-data".into(),
        generation: 1,
        state,
        reason,
        message: String::new(),
        conflict: None,
        tunnel: None,
    }
}

pub(super) fn ready() -> ReportedLink {
    link(LinkState::Ready, Reason::LinkReady)
}

pub(super) fn report(pod: &str, link: ReportedLink) -> ReportInfo {
    ReportInfo {
        uid: format!("report-{pod}"),
        version: "1".into(),
        pod_uid: format!("uid-{pod}"),
        node: "n0".into(),
        trouble: None,
        links: vec![link],
    }
}

#[test]
fn what_another_copy_serves_is_left_alone() {
    let scope = Scope {
        namespaces: vec!["t".into()],
        except_namespaces: Vec::new(),
    };
    let mut fixture = Fixture {
        index: ClusterIndex::new(scope, "default"),
        requeues: Vec::new(),
    };
    fixture.observe("", "other", ObjectChange::Namespace(Some(BTreeMap::new())));
    fixture.policy("p", json!({"namespaceSelector": {}}));
    fixture.observe("other", "a", ObjectChange::Pod(Some(pod("a"))));
    fixture.observe(
        "other",
        "a",
        ObjectChange::PodReport(Some(report("a", ready()))),
    );
    assert!(fixture.requeues.is_empty(), "{:?}", fixture.requeues);
    let uses = ReconcileKey::policy_use("p");
    assert_eq!(fixture.index.all(), [uses.clone().after(Delay::Batch)]);
    assert_eq!(fixture.decide(&uses), None);
    fixture.observe("", "t", ObjectChange::Namespace(Some(BTreeMap::new())));
    let allowance = ReconcileKey::allowance("t").after(Delay::Now);
    assert_eq!(fixture.requeues, [allowance, uses.after(Delay::Batch)]);
}

#[test]
fn nothing_is_kept_of_a_namespace_that_is_gone() {
    let mut fixture = Fixture::with_namespace();
    fixture.config(config(1)).pod("a", Some(pod("a")));
    fixture.report("a", Some(report("a", ready())));
    fixture.report("a", None).pod("a", None);
    fixture.observe("t", "data", ObjectChange::PodConfig(None));
    fixture.observe("", "t", ObjectChange::Namespace(None));
    assert!(fixture.index.namespaces.is_empty());
}

#[test]
fn a_report_is_swept_when_its_pod_is_gone_or_its_node() {
    let mut fixture = Fixture::with_namespace();
    let sweep = ReconcileKey::orphan_report("t", "a");
    fixture.pod("a", Some(pod("a")));
    fixture.report("a", Some(report("a", ready())));
    assert!(fixture.requeues.is_empty() && fixture.decide(&sweep).is_none());

    fixture.observe("", "n0", ObjectChange::Node(None));
    assert_eq!(fixture.requeues, [sweep.clone().after(Delay::OrphanGrace)]);
    assert!(fixture.decide(&sweep).is_some());
    let unknown = fixture.index.decide(&sweep, false, at(0));
    assert_eq!(unknown, None, "without a list of nodes none is gone");

    fixture.observe("", "n0", ObjectChange::Node(Some(NodeInfo::default())));
    assert!(fixture.decide(&sweep).is_none());
    fixture.pod("a", None);
    assert_eq!(fixture.requeues, [sweep.clone().after(Delay::OrphanGrace)]);
    let Some(Action::DeleteReport(orphan)) = fixture.decide(&sweep) else {
        panic!("it stays");
    };
    assert_eq!(
        [
            &*orphan.pod_uid,
            &*orphan.node,
            &*orphan.uid,
            &*orphan.version
        ],
        ["uid-a", "n0", "report-a", "1"]
    );
}

#[test]
fn a_report_from_a_node_that_nobody_knows_is_looked_at_again() {
    let mut fixture = Fixture::with_namespace();
    fixture.pod(
        "a",
        Some(PodInfo {
            node: Some("gone".into()),
            ..pod("a")
        }),
    );
    fixture.report(
        "a",
        Some(ReportInfo {
            node: "gone".into(),
            ..report("a", ready())
        }),
    );
    let sweep = ReconcileKey::orphan_report("t", "a").after(Delay::OrphanGrace);
    assert_eq!(fixture.requeues, std::slice::from_ref(&sweep));
    assert!(fixture.index.all().contains(&sweep));
}

#[test]
fn all_of_it_is_looked_at_when_a_list_has_become_whole() {
    let mut fixture = Fixture::with_namespace();
    fixture.config(config(1)).pod("a", Some(pod("a")));
    let tunnel = ReportedLink {
        tunnel: Some(crds::report::Tunnel {
            vni: 7,
            port: 4789,
            address: [10, 77, 0, 1].into(),
        }),
        ..ready()
    };
    fixture.report("a", Some(report("a", tunnel)));
    let segment = SegmentKey { vni: 7, port: 4789 };
    let requeues = fixture.index.all();
    for requeue in [
        ReconcileKey::status("t", "data").after(Delay::Now),
        ReconcileKey::allowance("t").after(Delay::PolicyGrace),
        ReconcileKey::peers("t", segment).after(Delay::Now),
    ] {
        assert!(requeues.contains(&requeue), "{requeue:?}");
    }
}

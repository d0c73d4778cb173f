#![allow(clippy::unwrap_used, clippy::panic)]

use std::{collections::BTreeMap, time::Duration};

use crds::{PodConfigStatus, Reason, report::LinkState};
use serde_json::{Value, json};

use super::*;
use crate::controller::{job::Segment, seen::LinkTold};

/// What an allowance and slices come to.
mod objects;
/// However facts come, the same is made of them.
mod order;
/// What the status of a PodConfig comes to.
mod status;

pub(super) fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600 + seconds)
}

/// A cluster, as far as it was heard of.
pub(super) struct Heard {
    pub picture: Picture,
    pub marks: Vec<Mark>,
}

impl Heard {
    /// Namespace `t` with the label `tier: cnf`, and node n0.
    pub fn of_namespace() -> Self {
        let mut heard = Self {
            picture: Picture::new(Scope::default(), "default"),
            marks: Vec::new(),
        };
        heard.hear("", "t", What::Namespace(Some(labels("tier", "cnf"))));
        heard.hear("", "n0", What::Node(Some(NodeSeen::default())));
        heard
    }

    pub fn hear(&mut self, namespace: &str, name: &str, what: What) -> &mut Self {
        self.marks = self.picture.take(Fact {
            namespace: namespace.into(),
            name: name.into(),
            what,
        });
        self
    }

    pub fn pod(&mut self, name: &str, pod: Option<Seen>) -> &mut Self {
        self.hear("t", name, What::Pod(pod))
    }

    pub fn report(&mut self, pod: &str, told: Option<Told>) -> &mut Self {
        self.hear("t", pod, What::PodReport(told))
    }

    pub fn config(&mut self, object: Value) -> &mut Self {
        let config: PodConfig = serde_json::from_value(object).unwrap();
        self.hear("t", "data", What::PodConfig(Some(Box::new(Ok(config)))))
    }

    pub fn policy(&mut self, name: &str, spec: Value) -> &mut Self {
        let policy = PodConfigPolicy::new(name, serde_json::from_value(spec).unwrap());
        self.hear("", name, What::Policy(Some(Box::new(Ok(policy)))))
    }

    pub fn decide(&self, job: &Job) -> Option<Deed> {
        self.picture.decide(job, true, at(0))
    }

    /// The status of `data` that is to be written.
    pub fn status(&self) -> Option<PodConfigStatus> {
        match self.decide(&Job::status("t", "data"))? {
            Deed::Status { status, .. } => Some(*status),
            other => panic!("{other:?}"),
        }
    }

    /// The deed is done, and its echo heard.
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

pub(super) fn pod(name: &str) -> Seen {
    Seen {
        uid: format!("uid-{name}"),
        node: Some("n0".into()),
        labels: labels("app", "cnf"),
        is_active: true,
        has_ended: false,
        unreachable_since: None,
    }
}

pub(super) fn link(state: LinkState, reason: Reason) -> LinkTold {
    LinkTold {
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

pub(super) fn ready() -> LinkTold {
    link(LinkState::Ready, Reason::LinkReady)
}

pub(super) fn told(pod: &str, link: LinkTold) -> Told {
    Told {
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
    let mut heard = Heard {
        picture: Picture::new(scope, "default"),
        marks: Vec::new(),
    };
    heard.hear("", "other", What::Namespace(Some(BTreeMap::new())));
    heard.policy("p", json!({"namespaceSelector": {}}));
    heard.hear("other", "a", What::Pod(Some(pod("a"))));
    heard.hear("other", "a", What::PodReport(Some(told("a", ready()))));
    assert!(heard.marks.is_empty(), "{:?}", heard.marks);
    let uses = Job::policy_use("p");
    assert_eq!(heard.picture.all(), [uses.clone().after(Wait::Soon)]);
    assert_eq!(heard.decide(&uses), None);
    heard.hear("", "t", What::Namespace(Some(BTreeMap::new())));
    let allowance = Job::allowance("t").after(Wait::Now);
    assert_eq!(heard.marks, [allowance, uses.after(Wait::Soon)]);
}

#[test]
fn nothing_is_kept_of_a_namespace_that_is_gone() {
    let mut heard = Heard::of_namespace();
    heard.config(config(1)).pod("a", Some(pod("a")));
    heard.report("a", Some(told("a", ready())));
    heard.report("a", None).pod("a", None);
    heard.hear("t", "data", What::PodConfig(None));
    heard.hear("", "t", What::Namespace(None));
    assert!(heard.picture.spaces.is_empty());
}

#[test]
fn a_report_is_swept_when_its_pod_is_gone_or_its_node() {
    let mut heard = Heard::of_namespace();
    let sweep = Job::sweep("t", "a");
    heard.pod("a", Some(pod("a")));
    heard.report("a", Some(told("a", ready())));
    assert!(heard.marks.is_empty() && heard.decide(&sweep).is_none());

    heard.hear("", "n0", What::Node(None));
    assert_eq!(heard.marks, [sweep.clone().after(Wait::Grace)]);
    assert!(heard.decide(&sweep).is_some());
    let unknown = heard.picture.decide(&sweep, false, at(0));
    assert_eq!(unknown, None, "without a list of nodes none is gone");

    heard.hear("", "n0", What::Node(Some(NodeSeen::default())));
    assert!(heard.decide(&sweep).is_none());
    heard.pod("a", None);
    assert_eq!(heard.marks, [sweep.clone().after(Wait::Grace)]);
    let Some(Deed::Sweep(orphan)) = heard.decide(&sweep) else {
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
    let mut heard = Heard::of_namespace();
    heard.pod(
        "a",
        Some(Seen {
            node: Some("gone".into()),
            ..pod("a")
        }),
    );
    heard.report(
        "a",
        Some(Told {
            node: "gone".into(),
            ..told("a", ready())
        }),
    );
    let sweep = Job::sweep("t", "a").after(Wait::Grace);
    assert_eq!(heard.marks, std::slice::from_ref(&sweep));
    assert!(heard.picture.all().contains(&sweep));
}

#[test]
fn all_of_it_is_looked_at_when_a_list_has_become_whole() {
    let mut heard = Heard::of_namespace();
    heard.config(config(1)).pod("a", Some(pod("a")));
    let tunnel = LinkTold {
        tunnel: Some(crds::report::Tunnel {
            vni: 7,
            port: 4789,
            address: [10, 77, 0, 1].into(),
        }),
        ..ready()
    };
    heard.report("a", Some(told("a", tunnel)));
    let segment = Segment { vni: 7, port: 4789 };
    let marks = heard.picture.all();
    for mark in [
        Job::status("t", "data").after(Wait::Now),
        Job::allowance("t").after(Wait::Settle),
        Job::peers("t", segment).after(Wait::Now),
    ] {
        assert!(marks.contains(&mark), "{mark:?}");
    }
}

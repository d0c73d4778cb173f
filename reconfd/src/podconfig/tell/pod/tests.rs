#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use super::*;
use crate::{
    podconfig::outcome::{Pod, PresentFacts},
    standing::Edition,
};

fn link(name: &str, state: LinkState) -> LinkOutcome {
    let facts = PresentFacts {
        mac: [0x0a, 0x58, 192, 168, 100, 7],
        mtu: 1500,
        addresses: vec![
            "192.168.100.7/24".parse().unwrap(),
            "fd00::7/64".parse().unwrap(),
        ],
        host_interface: None,
        bridge: None,
    };
    LinkOutcome {
        name: name.into(),
        podconfig: "data".into(),
        edition: Edition::default(),
        kind: "veth",
        state,
        reason: match state {
            LinkState::Ready => Reason::LinkReady,
            _ => Reason::NotAllowed,
        },
        message: "why".into(),
        present: (state == LinkState::Ready).then_some(facts),
        tunnel: None,
        last_change: None,
    }
}

fn outcome(links: Vec<LinkOutcome>) -> PodOutcome {
    let pod = Pod {
        namespace: "t".into(),
        name: "a".into(),
        uid: "u".into(),
        labels: BTreeMap::new(),
        namespace_labels: BTreeMap::new(),
        sandbox: "s".into(),
        recorded_by: None,
    };
    PodOutcome {
        pod: Arc::new(pod),
        links,
        trouble: None,
        since: SystemTime::UNIX_EPOCH,
        removed: Vec::new(),
        mended: Vec::new(),
    }
}

#[test]
fn a_pod_is_ready_only_with_all_of_its_links() {
    let all = gate(&outcome(vec![link("a", LinkState::Ready)]));
    assert!(all.is_ready);
    let some = gate(&outcome(vec![
        link("a", LinkState::Ready),
        link("b", LinkState::Failed),
    ]));
    assert_eq!((some.is_ready, some.reason.as_str()), (false, "NotAllowed"));
    assert_eq!(some.message, "link b: why");
}

#[test]
fn a_pod_that_nobody_selects_waits_and_is_told_so() {
    let gate = gate(&outcome(Vec::new()));
    assert_eq!(
        (gate.is_ready, gate.reason.as_str()),
        (false, "NotSelected")
    );
    assert!(gate.message.contains("no PodConfig"), "{}", gate.message);
}

#[test]
fn a_pod_in_trouble_is_not_ready() {
    let trouble = Some((Reason::NoRecord, "no record".to_owned()));
    let gate = gate(&PodOutcome {
        trouble,
        ..outcome(vec![link("a", LinkState::Ready)])
    });
    assert_eq!((gate.is_ready, gate.reason.as_str()), (false, "NoRecord"));
}

#[test]
fn the_annotation_holds_what_is_there() {
    let links = vec![link("a", LinkState::Ready), link("b", LinkState::Failed)];
    let networks = networks(&outcome(links));
    assert_eq!(networks.len(), 1);
    assert_eq!(networks[0].interface, "a");
    assert_eq!(networks[0].mac, "0a:58:c0:a8:64:07");
    assert_eq!(networks[0].addresses, ["192.168.100.7", "fd00::7"]);
}

use std::time::SystemTime;

use super::*;
use crate::podconfig::reporter::example;

fn link(name: &str, state: LinkState) -> LinkOutcome {
    let reason = match state {
        LinkState::Ready => Reason::LinkReady,
        _ => Reason::NotAllowed,
    };
    example::link(name, state, reason, &["192.168.100.7/24", "fd00::7/64"])
}

fn outcome(links: Vec<LinkOutcome>) -> PodOutcome {
    example::outcome(links, SystemTime::UNIX_EPOCH)
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
fn a_pod_without_a_podconfig_waits_and_its_status_says_so() {
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
    let Network::Link(network) = &networks[0] else {
        panic!("{networks:?}");
    };
    assert_eq!(network.interface, "a");
    assert_eq!(network.mac, "0a:58:c0:a8:64:07");
    assert_eq!(network.addresses, ["192.168.100.7", "fd00::7"]);
}

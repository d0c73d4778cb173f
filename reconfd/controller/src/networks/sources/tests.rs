#![allow(clippy::unwrap_used)]

use crds::reserved::{Source, Usage};

use super::*;

fn at(kind: &str) -> usize {
    let is_kind = |source_kind: &SourceKind| source_kind.describe() == kind;
    ALL.iter().position(is_kind).unwrap()
}

const POOLS: &str = "IPPool.crd.projectcalico.org";

fn network(prefix: &str) -> ReservedNetwork {
    ReservedNetwork {
        prefix: prefix.parse().unwrap(),
        usage: Usage::Pods,
        source: Source::Calico,
        kind: POOLS.into(),
        object: "p".into(),
        field: "spec.cidr".into(),
        since: None,
    }
}

fn says(prefix: &str) -> SourceEvent {
    let said = Extracted {
        networks: vec![network(prefix)],
        ..Extracted::default()
    };
    SourceEvent::Object((String::new(), "p".into()), Some(said))
}

fn failed(code: u16) -> SourceEvent {
    let why = format!("{code}");
    SourceEvent::Failed { why, code }
}

fn state(sources: &SourceStates, now: Instant) -> (ReadState, String) {
    let state = sources.states(now).swap_remove(at(POOLS));
    (state.state, state.message)
}

fn prefixes(sources: &SourceStates) -> Vec<String> {
    let networks = sources.networks();
    networks
        .map(|(network, _)| network.prefix.to_string())
        .collect()
}

/// A kind that was found and read.
fn read(now: Instant) -> SourceStates {
    let mut sources = SourceStates::new(Vec::new());
    sources.set_served(at(POOLS), true);
    sources.update(at(POOLS), says("10.244.0.0/16"), now);
    sources.update(at(POOLS), SourceEvent::Synced, now);
    sources
}

#[test]
fn what_was_not_looked_for_yet_is_unknown_and_what_is_not_there_is_absent() {
    let now = Instant::now();
    let mut sources = SourceStates::new(Vec::new());
    assert_eq!(state(&sources, now).0, ReadState::Unknown);
    sources.set_served(at(POOLS), false);
    assert_eq!(state(&sources, now), (ReadState::Absent, String::new()));
    sources.set_served(at(POOLS), true);
    assert_eq!(state(&sources, now).0, ReadState::Unknown, "no list yet");
    sources.update(at(POOLS), SourceEvent::Synced, now);
    assert_eq!(state(&sources, now).0, ReadState::Read);
    assert!(!sources.is_settled(now), "the others are not");
}

#[test]
fn what_may_no_longer_be_read_is_unknown_at_once_and_its_networks_stay() {
    let now = Instant::now();
    let mut sources = read(now);
    assert!(sources.update(at(POOLS), failed(403), now));
    assert_eq!(state(&sources, now), (ReadState::Unknown, "403".into()));
    assert_eq!(prefixes(&sources), ["10.244.0.0/16"]);
    sources.update(at(POOLS), SourceEvent::Synced, now);
    assert_eq!(state(&sources, now).0, ReadState::Read);
}

#[test]
fn what_fails_for_a_moment_stays_known_and_for_long_is_unknown() {
    let now = Instant::now();
    for (code, bears) in [
        (500, OUTAGE_GRACE),
        (0, OUTAGE_GRACE),
        (404, NOT_FOUND_GRACE),
    ] {
        let mut sources = read(now);
        sources.update(at(POOLS), failed(code), now);
        let just_before = now + bears - Duration::from_millis(1);
        assert_eq!(state(&sources, just_before).0, ReadState::Read, "{code}");
        sources.update(at(POOLS), failed(code), just_before);
        assert_eq!(state(&sources, now + bears).0, ReadState::Unknown, "{code}");
        assert_eq!(prefixes(&sources), ["10.244.0.0/16"]);
    }
}

#[test]
fn a_watch_that_failed_and_may_go_on_silently_begins_anew_once() {
    let now = Instant::now();
    let mut sources = read(now);
    sources.update(at(POOLS), failed(500), now);
    assert!(sources.stuck(now).is_empty());
    assert_eq!(sources.stuck(now + RESTART_AFTER), [at(POOLS)]);
    assert!(sources.stuck(now + RESTART_AFTER).is_empty());
    sources.update(at(POOLS), SourceEvent::Synced, now + RESTART_AFTER);
    assert_eq!(state(&sources, now + OUTAGE_GRACE).0, ReadState::Read);
}

#[test]
fn what_went_while_nobody_could_ask_is_gone_when_the_list_is_whole_again() {
    let now = Instant::now();
    let mut sources = read(now);
    sources.update(at(POOLS), failed(500), now);
    sources.update(at(POOLS), SourceEvent::Restarted, now);
    assert_eq!(prefixes(&sources), ["10.244.0.0/16"], "not synced yet");
    let key = |name: &str| (String::new(), name.to_owned());
    sources.update(
        at(POOLS),
        SourceEvent::Object(key("other"), Some(Extracted::default())),
        now,
    );
    assert!(sources.update(at(POOLS), SourceEvent::Synced, now));
    assert!(prefixes(&sources).is_empty());
    // A list that a watch tells once more by itself takes nothing away: it says what went.
    sources.update(at(POOLS), says("10.9.0.0/16"), now);
    assert!(!sources.update(at(POOLS), SourceEvent::Synced, now));
    assert_eq!(prefixes(&sources), ["10.9.0.0/16"]);
}

#[test]
fn a_kind_that_is_gone_takes_its_networks_with_it() {
    let now = Instant::now();
    let mut sources = read(now);
    sources.set_served(at(POOLS), false);
    assert_eq!(state(&sources, now).0, ReadState::Absent);
    assert!(prefixes(&sources).is_empty());
    // One that comes back is read anew.
    sources.set_served(at(POOLS), true);
    assert_eq!(state(&sources, now).0, ReadState::Unknown);
}

#[test]
fn an_object_that_nobody_understands_makes_its_source_unknown_and_no_other() {
    let now = Instant::now();
    let mut sources = read(now);
    let said = Extracted {
        errors: vec!["IPPool/odd: spec.cidr: \"ten\" is not a network".into()],
        ..Extracted::default()
    };
    let key: ObjectKey = (String::new(), "odd".into());
    assert!(sources.update(
        at(POOLS),
        SourceEvent::Object(key.clone(), Some(said.clone())),
        now
    ));
    assert!(!sources.update(at(POOLS), SourceEvent::Object(key.clone(), Some(said)), now));
    let (is, why) = state(&sources, now);
    assert_eq!(is, ReadState::Unknown);
    assert!(why.contains("IPPool/odd: spec.cidr"), "{why}");
    assert_eq!(prefixes(&sources), ["10.244.0.0/16"]);
    assert!(sources.update(at(POOLS), SourceEvent::Object(key, None), now));
    assert_eq!(state(&sources, now).0, ReadState::Read);
}

#[test]
fn an_api_server_that_does_not_tell_its_kinds_makes_those_unknown_that_are_not_read() {
    let now = Instant::now();
    let mut sources = read(now);
    let absent = at("IPAddressPool.metallb.io");
    sources.set_served(absent, false);
    sources.set_discovery(Err("no answer".into()), now);
    let of = |sources: &SourceStates, after| sources.states(now + after).swap_remove(absent).state;
    assert_eq!(of(&sources, Duration::ZERO), ReadState::Absent);
    sources.set_discovery(Err("no answer".into()), now + Duration::from_secs(5));
    assert_eq!(of(&sources, OUTAGE_GRACE), ReadState::Unknown);
    assert_eq!(state(&sources, now + OUTAGE_GRACE).0, ReadState::Read);
    sources.set_discovery(Ok(()), now + OUTAGE_GRACE);
    assert_eq!(of(&sources, OUTAGE_GRACE), ReadState::Absent);
}

#[test]
fn what_an_earlier_controller_read_counts_until_the_source_is_read_anew() {
    let now = Instant::now();
    let mut sources = SourceStates::new(vec![network("10.9.0.0/16")]);
    assert_eq!(prefixes(&sources), ["10.9.0.0/16"]);
    sources.set_served(at(POOLS), true);
    sources.update(at(POOLS), failed(403), now);
    assert_eq!(prefixes(&sources), ["10.9.0.0/16"]);
    sources.update(at(POOLS), SourceEvent::Synced, now);
    assert!(prefixes(&sources).is_empty());
}

#[test]
fn a_config_map_that_is_not_there_is_absent() {
    let now = Instant::now();
    let mut sources = SourceStates::new(Vec::new());
    let kubeadm = at("ConfigMap kube-system/kubeadm-config");
    sources.update(kubeadm, SourceEvent::Synced, now);
    assert_eq!(sources.states(now)[kubeadm].state, ReadState::Absent);
}

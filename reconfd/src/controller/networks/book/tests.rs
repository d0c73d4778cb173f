#![allow(clippy::unwrap_used)]

use crds::reserved::{Source, Usage};

use super::*;

fn at(kind: &str) -> usize {
    let told = |asked: &Asked| asked.told() == kind;
    ALL.iter().position(told).unwrap()
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

fn says(prefix: &str) -> Word {
    let said = Said {
        networks: vec![network(prefix)],
        ..Said::default()
    };
    Word::Object((String::new(), "p".into()), Some(said))
}

fn failed(code: u16) -> Word {
    let why = format!("{code}");
    Word::Failed { why, code }
}

fn state(book: &Book, now: Instant) -> (ReadState, String) {
    let state = book.states(now).swap_remove(at(POOLS));
    (state.state, state.message)
}

fn prefixes(book: &Book) -> Vec<String> {
    let networks = book.networks();
    networks
        .map(|(network, _)| network.prefix.to_string())
        .collect()
}

/// A kind that was found and read.
fn read(now: Instant) -> Book {
    let mut book = Book::new(Vec::new());
    book.served(at(POOLS), true);
    book.take(at(POOLS), says("10.244.0.0/16"), now);
    book.take(at(POOLS), Word::Listed, now);
    book
}

#[test]
fn what_was_not_looked_for_yet_is_unknown_and_what_is_not_there_is_absent() {
    let now = Instant::now();
    let mut book = Book::new(Vec::new());
    assert_eq!(state(&book, now).0, ReadState::Unknown);
    book.served(at(POOLS), false);
    assert_eq!(state(&book, now), (ReadState::Absent, String::new()));
    book.served(at(POOLS), true);
    assert_eq!(state(&book, now).0, ReadState::Unknown, "no list yet");
    book.take(at(POOLS), Word::Listed, now);
    assert_eq!(state(&book, now).0, ReadState::Read);
    assert!(!book.is_settled(now), "the others are not");
}

#[test]
fn what_may_no_longer_be_read_is_unknown_at_once_and_its_networks_stay() {
    let now = Instant::now();
    let mut book = read(now);
    assert!(book.take(at(POOLS), failed(403), now));
    assert_eq!(state(&book, now), (ReadState::Unknown, "403".into()));
    assert_eq!(prefixes(&book), ["10.244.0.0/16"]);
    book.take(at(POOLS), Word::Listed, now);
    assert_eq!(state(&book, now).0, ReadState::Read);
}

#[test]
fn what_fails_for_a_moment_stays_known_and_for_long_is_unknown() {
    let now = Instant::now();
    for (code, bears) in [(500, PATIENCE), (0, PATIENCE), (404, MISSED)] {
        let mut book = read(now);
        book.take(at(POOLS), failed(code), now);
        let just_before = now + bears - Duration::from_millis(1);
        assert_eq!(state(&book, just_before).0, ReadState::Read, "{code}");
        book.take(at(POOLS), failed(code), just_before);
        assert_eq!(state(&book, now + bears).0, ReadState::Unknown, "{code}");
        assert_eq!(prefixes(&book), ["10.244.0.0/16"]);
    }
}

#[test]
fn a_watch_that_failed_and_may_go_on_silently_begins_anew_once() {
    let now = Instant::now();
    let mut book = read(now);
    book.take(at(POOLS), failed(500), now);
    assert!(book.stuck(now).is_empty());
    assert_eq!(book.stuck(now + ANEW), [at(POOLS)]);
    assert!(book.stuck(now + ANEW).is_empty());
    book.take(at(POOLS), Word::Listed, now + ANEW);
    assert_eq!(state(&book, now + PATIENCE).0, ReadState::Read);
}

#[test]
fn what_went_while_nobody_could_ask_is_gone_when_the_list_is_whole_again() {
    let now = Instant::now();
    let mut book = read(now);
    book.take(at(POOLS), failed(500), now);
    book.take(at(POOLS), Word::Begun, now);
    assert_eq!(prefixes(&book), ["10.244.0.0/16"], "nobody knows yet");
    let key = |name: &str| (String::new(), name.to_owned());
    book.take(
        at(POOLS),
        Word::Object(key("other"), Some(Said::default())),
        now,
    );
    assert!(book.take(at(POOLS), Word::Listed, now));
    assert!(prefixes(&book).is_empty());
    // A list that a watch tells once more by itself takes nothing away: it says what went.
    book.take(at(POOLS), says("10.9.0.0/16"), now);
    assert!(!book.take(at(POOLS), Word::Listed, now));
    assert_eq!(prefixes(&book), ["10.9.0.0/16"]);
}

#[test]
fn a_kind_that_is_gone_takes_its_networks_with_it() {
    let now = Instant::now();
    let mut book = read(now);
    book.served(at(POOLS), false);
    assert_eq!(state(&book, now).0, ReadState::Absent);
    assert!(prefixes(&book).is_empty());
    // One that comes back is read anew.
    book.served(at(POOLS), true);
    assert_eq!(state(&book, now).0, ReadState::Unknown);
}

#[test]
fn an_object_that_nobody_understands_makes_its_source_unknown_and_no_other() {
    let now = Instant::now();
    let mut book = read(now);
    let said = Said {
        faults: vec!["IPPool/odd: spec.cidr: \"ten\" is no network".into()],
        ..Said::default()
    };
    let key: Key = (String::new(), "odd".into());
    assert!(book.take(
        at(POOLS),
        Word::Object(key.clone(), Some(said.clone())),
        now
    ));
    assert!(!book.take(at(POOLS), Word::Object(key.clone(), Some(said)), now));
    let (is, why) = state(&book, now);
    assert_eq!(is, ReadState::Unknown);
    assert!(why.contains("IPPool/odd: spec.cidr"), "{why}");
    assert_eq!(prefixes(&book), ["10.244.0.0/16"]);
    assert!(book.take(at(POOLS), Word::Object(key, None), now));
    assert_eq!(state(&book, now).0, ReadState::Read);
}

#[test]
fn an_api_server_that_does_not_tell_its_kinds_makes_those_unknown_that_are_not_read() {
    let now = Instant::now();
    let mut book = read(now);
    let absent = at("IPAddressPool.metallb.io");
    book.served(absent, false);
    book.told_kinds(Err("no answer".into()), now);
    let of = |book: &Book, after| book.states(now + after).swap_remove(absent).state;
    assert_eq!(of(&book, Duration::ZERO), ReadState::Absent);
    book.told_kinds(Err("no answer".into()), now + Duration::from_secs(5));
    assert_eq!(of(&book, PATIENCE), ReadState::Unknown);
    assert_eq!(state(&book, now + PATIENCE).0, ReadState::Read);
    book.told_kinds(Ok(()), now + PATIENCE);
    assert_eq!(of(&book, PATIENCE), ReadState::Absent);
}

#[test]
fn what_an_earlier_controller_read_counts_until_the_source_is_read_anew() {
    let now = Instant::now();
    let mut book = Book::new(vec![network("10.9.0.0/16")]);
    assert_eq!(prefixes(&book), ["10.9.0.0/16"]);
    book.served(at(POOLS), true);
    book.take(at(POOLS), failed(403), now);
    assert_eq!(prefixes(&book), ["10.9.0.0/16"]);
    book.take(at(POOLS), Word::Listed, now);
    assert!(prefixes(&book).is_empty());
}

#[test]
fn a_config_map_that_is_not_there_is_absent() {
    let now = Instant::now();
    let mut book = Book::new(Vec::new());
    let kubeadm = at("ConfigMap kube-system/kubeadm-config");
    book.take(kubeadm, Word::Listed, now);
    assert_eq!(book.states(now)[kubeadm].state, ReadState::Absent);
}

use kube::{core::Status, runtime::watcher::Event};

use super::*;
use crate::{scope::Scope, source::StoreWriter};

fn states() -> WatchStates {
    let one = || vec![KnownKeys::default()];
    WatchStates {
        updater: StoreUpdater::new(StoreWriter::of_api(), Scope::default(), "default"),
        podconfigs: one(),
        policies: one(),
        namespaces: one(),
        pods: one(),
        peer_slices: one(),
        reserved_networks: one(),
        claims: one(),
        of_node: ClaimAllocator::disabled(),
        metrics: Metrics::default(),
        failing: BTreeMap::new(),
    }
}

fn refused(code: u16) -> watcher::Error {
    let status = Status {
        code,
        message: "not for you".into(),
        ..Status::default()
    };
    watcher::Error::InitialListFailed(kube::Error::Api(Box::new(status)))
}

fn policy() -> PodConfigPolicy {
    let spec = serde_json::from_value(serde_json::json!({"namespaceSelector": {}}));
    PodConfigPolicy::new("p", spec.expect("a policy"))
}

fn good<K>(object: K) -> Guarded<K> {
    DeserializeGuard(Ok(object))
}

fn told_all(states: &mut WatchStates) {
    for event in [Event::Init, Event::InitDone] {
        states.take(WatchEvent::PodConfig(0, Ok(event)));
    }
    for event in [Event::Init, Event::InitDone] {
        states.take(WatchEvent::Policy(0, Ok(event)));
    }
    for event in [Event::Init, Event::InitDone] {
        states.take(WatchEvent::Namespace(0, Ok(event)));
    }
    for event in [Event::Init, Event::InitDone] {
        states.take(WatchEvent::Pod(0, Ok(event)));
    }
    for event in [Event::Init, Event::InitDone] {
        states.take(WatchEvent::PeerSlice(0, Ok(event)));
    }
    for event in [Event::Init, Event::InitDone] {
        states.take(WatchEvent::ReservedNetworks(0, Ok(event)));
    }
    for event in [Event::Init, Event::InitDone] {
        states.take(WatchEvent::Claim(0, Ok(event)));
    }
}

#[test]
fn nothing_is_complete_before_every_list_was_heard() {
    let mut states = states();
    let unsynced = states.unsynced().unwrap_or_default();
    assert!(
        unsynced.contains("podconfigs, podconfigpolicies"),
        "{unsynced}"
    );
    told_all(&mut states);
    assert_eq!(states.unsynced(), None);
}

#[test]
fn definitions_that_are_missing_are_told_in_words() {
    let mut states = states();
    states.take(WatchEvent::PodConfig(0, Err(refused(404))));
    let unsynced = states.unsynced().unwrap_or_default();
    let kinds_text = "podconfigs (404: the CustomResourceDefinition is not installed)";
    assert!(unsynced.contains(kinds_text), "{unsynced}");
}

#[test]
fn networks_that_can_not_be_had_hold_nothing_up() {
    let mut states = states();
    for event in [Event::Init, Event::InitDone] {
        states.take(WatchEvent::ReservedNetworks(0, Ok(event)));
    }
    let unsynced = states.unsynced().unwrap_or_default();
    assert!(!unsynced.contains("reservednetworks"), "{unsynced}");
    let mut states = self::states();
    states.take(WatchEvent::ReservedNetworks(0, Err(refused(403))));
    let unsynced = states.unsynced().unwrap_or_default();
    assert!(!unsynced.contains("reservednetworks"), "{unsynced}");
}

#[test]
fn a_list_that_is_refused_later_is_unknown_and_not_empty() {
    let mut states = states();
    told_all(&mut states);
    let change = states.take(WatchEvent::Policy(0, Ok(Event::Apply(good(policy())))));
    assert_eq!(change, [Trigger::Policy]);
    for code in [403, 404, 410, 500] {
        let changes = states.take(WatchEvent::Policy(0, Err(refused(code))));
        assert!(changes.is_empty(), "{code}");
    }
    // The watch begins anew and breaks off again in the middle of the list.
    assert!(
        states
            .take(WatchEvent::Policy(0, Ok(Event::Init)))
            .is_empty()
    );
    assert!(
        states
            .take(WatchEvent::Policy(0, Err(refused(403))))
            .is_empty()
    );
    assert_eq!(states.unsynced(), None);
    // Only a whole list that does not hold it says that it is gone.
    assert!(
        states
            .take(WatchEvent::Policy(0, Ok(Event::Init)))
            .is_empty()
    );
    let changes = states.take(WatchEvent::Policy(0, Ok(Event::InitDone)));
    assert_eq!(changes, [Trigger::Policy]);
}

#[test]
fn a_list_that_begins_anew_and_is_the_same_changes_nothing() {
    let mut states = states();
    told_all(&mut states);
    states.take(WatchEvent::Policy(0, Ok(Event::Apply(good(policy())))));
    for event in [
        Event::Init,
        Event::InitApply(good(policy())),
        Event::InitDone,
    ] {
        assert!(states.take(WatchEvent::Policy(0, Ok(event))).is_empty());
    }
}

#[test]
fn an_object_that_nobody_can_read_hides_no_other_and_loses_nothing() {
    let mut states = states();
    told_all(&mut states);
    states.take(WatchEvent::Policy(0, Ok(Event::Apply(good(policy())))));
    let odd = serde_json::json!({
        "apiVersion": "podconfig.dev/v1alpha1", "kind": "PodConfigPolicy",
        "metadata": {"name": "p"}, "spec": {"namespaceSelector": {}, "allow": "odd"},
    });
    let odd = || serde_json::from_value(odd.clone()).expect("its metadata can be read");
    assert!(
        states
            .take(WatchEvent::Policy(0, Ok(Event::Apply(odd()))))
            .is_empty()
    );
    // A list that begins anew holds it: it is not gone.
    for event in [Event::Init, Event::InitApply(odd()), Event::InitDone] {
        assert!(states.take(WatchEvent::Policy(0, Ok(event))).is_empty());
    }
    let gone = states.take(WatchEvent::Policy(0, Ok(Event::Delete(odd()))));
    assert_eq!(gone, [Trigger::Policy]);
}

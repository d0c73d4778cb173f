use address::claims::ClaimAllocator;
use crds::PodConfigPolicy;
use futures::{
    FutureExt as _, StreamExt as _,
    channel::mpsc::{UnboundedSender, unbounded},
};
use kube::{
    core::{DeserializeGuard, Status},
    runtime::watcher::{self, Event},
};
use kubeio::watch::{Watch, WatchResult};
use store::{StoreWriter, scope::Scope};

use super::{super::watches::readable, *};

const WATCHED: [ObjectKind; 8] = [
    ObjectKind::AddressClaim,
    ObjectKind::Namespace,
    ObjectKind::NetworkAttachmentDefinition,
    ObjectKind::Pod,
    ObjectKind::PodConfig,
    ObjectKind::PodConfigPolicy,
    ObjectKind::PeerSlice,
    ObjectKind::ReservedNetworks,
];

fn id(kind: ObjectKind) -> WatchId {
    WatchId {
        kind,
        namespace: None,
    }
}

fn states() -> WatchStates {
    let scope = (Scope::default(), "default");
    let claims = ClaimAllocator::disabled();
    WatchStates {
        updater: StoreUpdater::new(StoreWriter::of_api(), scope, claims),
        sync: WATCHED.into_iter().map(id).collect(),
        metrics: Metrics::default(),
    }
}

fn synced(states: &mut WatchStates, kind: ObjectKind) {
    states.take((id(kind), WatchUpdate::Synced));
}

fn failed(states: &mut WatchStates, kind: ObjectKind, code: u16) {
    let failure = WatchFailure(refused(code));
    states.take((id(kind), WatchUpdate::Failed(failure)));
}

fn refused(code: u16) -> watcher::Error {
    let status = Status {
        code,
        message: "not for you".into(),
        ..Status::default()
    };
    watcher::Error::InitialListFailed(kube::Error::Api(Box::new(status)))
}

/// The watch of policies, and its events.
struct Policies {
    states: WatchStates,
    events: UnboundedSender<WatchResult<DeserializeGuard<PodConfigPolicy>>>,
    watch: Watch<DeserializeGuard<PodConfigPolicy>>,
}

impl Policies {
    /// Everything is synced.
    fn new() -> Self {
        let (events, all) = unbounded();
        let mut states = states();
        WATCHED
            .into_iter()
            .for_each(|kind| synced(&mut states, kind));
        Self {
            states,
            events,
            watch: Watch::of_events(all),
        }
    }

    fn take(&mut self, event: WatchResult<DeserializeGuard<PodConfigPolicy>>) -> Vec<Trigger> {
        self.events.unbounded_send(event).expect("it is open");
        let mut triggers = Vec::new();
        while let Some(Some(update)) = self.watch.next().now_or_never() {
            let update = update.map(|event| -> super::super::watches::Apply {
                Box::new(move |updater| updater.store(readable::<PodConfigPolicy, _>(event)?))
            });
            let of = id(ObjectKind::PodConfigPolicy);
            triggers.extend(self.states.take((of, update)));
        }
        triggers
    }
}

fn policy_trigger() -> Trigger {
    Trigger::Object(ObjectKind::PodConfigPolicy, (String::new(), "p".into()))
}

fn policy() -> PodConfigPolicy {
    let spec = serde_json::from_value(serde_json::json!({"namespaceSelector": {}}));
    PodConfigPolicy::new("p", spec.expect("a policy"))
}

fn good<K>(object: K) -> DeserializeGuard<K> {
    DeserializeGuard(Ok(object))
}

#[test]
fn nothing_is_complete_before_every_list_is() {
    let mut states = states();
    let unsynced = states.unsynced().unwrap_or_default();
    assert!(
        unsynced.contains("podconfigs, podconfigpolicies"),
        "{unsynced}"
    );
    WATCHED
        .into_iter()
        .for_each(|kind| synced(&mut states, kind));
    assert_eq!(states.unsynced(), None);
}

#[test]
fn definitions_that_are_missing_are_named() {
    let mut states = states();
    failed(&mut states, ObjectKind::PodConfig, 404);
    let unsynced = states.unsynced().unwrap_or_default();
    let kinds_text = "podconfigs (404: the CustomResourceDefinition is not installed)";
    assert!(unsynced.contains(kinds_text), "{unsynced}");
}

#[test]
fn networks_that_cannot_be_listed_hold_nothing_up() {
    let mut states = states();
    let missing = |states: &WatchStates| states.unsynced().unwrap_or_default();
    assert!(missing(&states).contains("reservednetworks"));
    failed(&mut states, ObjectKind::ReservedNetworks, 403);
    assert!(!missing(&states).contains("reservednetworks"));
    synced(&mut states, ObjectKind::ReservedNetworks);
    assert!(!missing(&states).contains("reservednetworks"));
}

#[test]
fn definitions_of_plugins_that_cannot_be_listed_hold_nothing_up() {
    let mut states = states();
    let missing = |states: &WatchStates| states.unsynced().unwrap_or_default();
    let kind = ObjectKind::NetworkAttachmentDefinition;
    assert!(missing(&states).contains(kind.plural()));
    failed(&mut states, kind, 500);
    assert!(!missing(&states).contains(kind.plural()));
}

#[test]
fn a_list_that_is_refused_later_is_unknown_and_not_empty() {
    let mut policies = Policies::new();
    let change = policies.take(Ok(Event::Apply(good(policy()))));
    assert_eq!(change, [policy_trigger()]);
    for code in [403, 404, 410, 500] {
        assert!(policies.take(Err(refused(code))).is_empty(), "{code}");
    }
    // The watch begins anew and breaks off again in the middle of the list.
    assert!(policies.take(Ok(Event::Init)).is_empty());
    assert!(policies.take(Err(refused(403))).is_empty());
    assert_eq!(policies.states.unsynced(), None);
    // Only a whole list that does not contain it states that it is gone.
    assert!(policies.take(Ok(Event::Init)).is_empty());
    assert_eq!(policies.take(Ok(Event::InitDone)), [policy_trigger()]);
}

#[test]
fn a_list_that_begins_anew_and_is_the_same_changes_nothing() {
    let mut policies = Policies::new();
    policies.take(Ok(Event::Apply(good(policy()))));
    for event in [
        Event::Init,
        Event::InitApply(good(policy())),
        Event::InitDone,
    ] {
        assert!(policies.take(Ok(event)).is_empty());
    }
}

#[test]
fn an_object_that_cannot_be_parsed_hides_no_other_and_loses_nothing() {
    let mut policies = Policies::new();
    policies.take(Ok(Event::Apply(good(policy()))));
    let odd = serde_json::json!({
        "apiVersion": "podconfig.dev/v1alpha1", "kind": "PodConfigPolicy",
        "metadata": {"name": "p"}, "spec": {"namespaceSelector": {}, "allow": "odd"},
    });
    let odd = || serde_json::from_value(odd.clone()).expect("its metadata can be read");
    assert!(policies.take(Ok(Event::Apply(odd()))).is_empty());
    // A list that begins anew holds it: it is not gone.
    for event in [Event::Init, Event::InitApply(odd()), Event::InitDone] {
        assert!(policies.take(Ok(event)).is_empty());
    }
    let gone = policies.take(Ok(Event::Delete(odd())));
    assert_eq!(gone, [policy_trigger()]);
}

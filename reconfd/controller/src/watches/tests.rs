#![allow(clippy::unwrap_used)]

use futures::{FutureExt as _, stream};
use kube::{
    core::Status,
    runtime::watcher::{Error, Event},
};

use super::*;

fn api(code: u16, message: &str) -> kube::Error {
    kube::Error::Api(Box::new(Status {
        code,
        message: message.into(),
        ..Status::default()
    }))
}

#[test]
fn what_may_not_be_read_or_is_not_installed_is_lost_and_told_with_what_to_do() {
    let missing = WatchFailure(Error::InitialListFailed(api(404, "404 page not found")));
    assert!(missing.is_lost());
    assert_eq!(
        message_with_advice(&missing),
        "404 page not found; are the definitions of podconfig.dev installed?"
    );
    let forbidden = WatchFailure(Error::WatchStartFailed(api(403, "pods is forbidden")));
    assert!(forbidden.is_lost());
    assert!(message_with_advice(&forbidden).contains("pods is forbidden; the account needs"));
}

#[test]
fn what_is_away_or_busy_comes_back_and_what_is_known_stays_known() {
    for (code, message) in [(429, "too many requests"), (500, "etcd"), (410, "expired")] {
        let failure = WatchFailure(Error::WatchStartFailed(api(code, message)));
        assert!(!failure.is_lost(), "{code}");
        assert_eq!(message_with_advice(&failure), message);
    }
}

#[test]
fn an_object_that_cannot_be_read_is_told_with_the_others() {
    let slice = |name: &str, vni: serde_json::Value| {
        let object = serde_json::json!({"metadata": {"name": name, "namespace": "t"},
            "spec": {"vni": vni, "port": 4789}});
        serde_json::from_value::<Guarded<PeerSlice>>(object).unwrap()
    };
    let mut readable = Vec::new();
    let events = [
        Event::Init,
        Event::InitApply(slice("a", "odd".into())),
        Event::InitApply(slice("b", 7.into())),
        Event::InitDone,
    ];
    let mut watch = Watch::of_events(stream::iter(events.map(Ok)));
    while let Some(Some(update)) = watch.next().now_or_never() {
        let change = |slice: Option<Guarded<PeerSlice>>| {
            ObjectChange::PeerSlice(slice.map(|slice| read(slice).map(|slice| slice.spec)))
        };
        match update.map(|event| index_event(event, change)) {
            WatchUpdate::Object(event) => readable.push((
                event.name,
                matches!(event.change, ObjectChange::PeerSlice(Some(Ok(_)))),
            )),
            WatchUpdate::Synced => readable.push(("listed".into(), true)),
            WatchUpdate::Failed(failure) => unreachable!("{failure:?}"),
        }
    }
    let all = [
        ("a".into(), false),
        ("b".into(), true),
        ("listed".into(), true),
    ];
    assert_eq!(readable, all);
}

#[test]
fn the_watches_that_are_not_synced_are_named() {
    let id = |kind, namespace: Option<&str>| WatchId {
        kind,
        namespace: namespace.map(ToOwned::to_owned),
    };
    let policies = id(ObjectKind::PodConfigPolicy, None);
    let pods = id(ObjectKind::Pod, Some("a"));
    let mut state: SyncState<WatchId> = [policies.clone(), pods.clone()].into_iter().collect();
    state.failed(&policies, "forbidden", true);
    let missing = "no list of Pods in a yet; no list of PodConfigPolicies: forbidden";
    assert_eq!(unsynced(&state).unwrap(), missing);
    state.synced(&policies);
    state.synced(&pods);
    assert_eq!(unsynced(&state), None);
}

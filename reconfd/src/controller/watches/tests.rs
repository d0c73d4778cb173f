#![allow(clippy::unwrap_used)]

use kube::core::Status;

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
    let missing = Error::InitialListFailed(api(404, "404 page not found"));
    assert!(is_lost(&missing));
    assert_eq!(
        message_with_advice(&missing),
        "404 page not found; are the definitions of podconfig.dev installed?"
    );
    let forbidden = Error::WatchStartFailed(api(403, "pods is forbidden"));
    assert!(is_lost(&forbidden));
    assert!(message_with_advice(&forbidden).contains("pods is forbidden; the account needs"));
}

#[test]
fn what_is_away_or_busy_comes_back_and_what_is_known_stays_known() {
    for (code, message) in [(429, "too many requests"), (500, "etcd"), (410, "expired")] {
        let error = Error::WatchStartFailed(api(code, message));
        assert!(!is_lost(&error), "{code}");
        assert_eq!(message_with_advice(&error), message);
    }
}

#[test]
fn an_object_that_cannot_be_read_is_told_with_the_others() {
    let mut known = KnownKeys::default();
    let slice = |name: &str, vni: serde_json::Value| {
        let object = serde_json::json!({"metadata": {"name": name, "namespace": "t"},
            "spec": {"vni": vni, "port": 4789}});
        serde_json::from_value::<Guarded<PeerSlice>>(object).unwrap()
    };
    let mut readable = Vec::new();
    for event in [
        Event::Init,
        Event::InitApply(slice("a", "odd".into())),
        Event::InitApply(slice("b", 7.into())),
        Event::InitDone,
    ] {
        for update in take(
            &mut known,
            Ok(event),
            |slice: Option<Guarded<PeerSlice>>| {
                ObjectChange::PeerSlice(slice.map(|slice| read(slice).map(|slice| slice.spec)))
            },
        ) {
            match update {
                WatchUpdate::Object(event) => readable.push((
                    event.name,
                    matches!(event.change, ObjectChange::PeerSlice(Some(Ok(_)))),
                )),
                WatchUpdate::Synced => readable.push(("listed".into(), true)),
                WatchUpdate::Failed { why, .. } => unreachable!("{why}"),
            }
        }
    }
    let all = [
        ("a".into(), false),
        ("b".into(), true),
        ("listed".into(), true),
    ];
    assert_eq!(readable, all);
}

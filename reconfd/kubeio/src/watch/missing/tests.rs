use futures::{FutureExt as _, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt as _, core::Status};

use super::{
    super::{ObjectEvent, Watch, WatchUpdate},
    *,
};

fn api(code: u16) -> kube::Error {
    kube::Error::Api(Box::new(Status {
        code,
        ..Status::default()
    }))
}

fn list_refused(code: u16) -> WatchResult<Pod> {
    Err(Error::InitialListFailed(api(code)))
}

fn pod(name: &str) -> Pod {
    let mut pod = Pod::default();
    pod.metadata.name = Some(name.into());
    pod
}

/// What a watch of these results delivers.
fn delivered(results: Vec<WatchResult<Pod>>) -> Vec<String> {
    let mut watch = Watch::of_events(empty_if_missing(stream::iter(results)));
    let mut texts = Vec::new();
    while let Some(Some(update)) = watch.next().now_or_never() {
        texts.push(match update {
            WatchUpdate::Object(ObjectEvent::Applied(pod)) => format!("+{}", pod.name_any()),
            WatchUpdate::Object(ObjectEvent::Deleted((_, name))) => format!("-{name}"),
            WatchUpdate::Synced => "synced".to_owned(),
            WatchUpdate::Failed(failure) => failure.code().to_string(),
        });
    }
    texts
}

#[test]
fn a_missing_kind_is_synced_and_followed_once_it_is_there() {
    let results = vec![
        Ok(Event::Init),
        list_refused(404),
        Ok(Event::Init),
        list_refused(404),
        Ok(Event::Init),
        Ok(Event::InitApply(pod("a"))),
        Ok(Event::InitDone),
        Ok(Event::Apply(pod("b"))),
    ];
    let expected = ["synced", "synced", "+a", "synced", "+b"];
    assert_eq!(delivered(results), expected);
}

#[test]
fn a_kind_that_is_removed_leaves_no_object() {
    let results = vec![
        Ok(Event::Init),
        Ok(Event::InitApply(pod("a"))),
        Ok(Event::InitDone),
        // The watch alone does not say that the kind is gone.
        Err(Error::WatchStartFailed(api(404))),
        Ok(Event::Init),
        list_refused(404),
    ];
    assert_eq!(delivered(results), ["+a", "synced", "404", "-a", "synced"]);
}

#[test]
fn a_list_that_fails_otherwise_is_unknown_and_not_empty() {
    for code in [401, 403, 410, 500, 503] {
        let results = vec![
            Ok(Event::Init),
            Ok(Event::InitApply(pod("a"))),
            Ok(Event::InitDone),
            Ok(Event::Init),
            list_refused(code),
        ];
        assert_eq!(
            delivered(results),
            ["+a", "synced", &code.to_string()],
            "{code}"
        );
    }
}

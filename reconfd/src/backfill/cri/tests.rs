#![allow(clippy::unwrap_used)]

use super::*;

fn sandbox(id: &str, name: &str, created_at: i64, attempt: u32) -> PodSandbox {
    let metadata = PodSandboxMetadata {
        name: name.into(),
        uid: "6f1c2f9e-0f6f-4b0c-9e5f-1f2a3b4c5d6e".into(),
        namespace: "tenant-a".into(),
        attempt,
    };
    PodSandbox {
        id: id.into(),
        metadata: Some(metadata),
        state: 0,
        created_at,
    }
}

#[test]
fn of_several_sandboxes_of_a_pod_the_newest_is_looked_at() {
    let mut all = vec![
        sandbox("old", "a", 1, 0),
        sandbox("new", "a", 2, 0),
        sandbox("newest", "a", 2, 1),
        sandbox("other", "b", 9, 9),
    ];
    all.push(PodSandbox::default());
    let pods = BTreeSet::from([
        ("tenant-a".to_owned(), "a".to_owned()),
        ("tenant-a".to_owned(), "none".to_owned()),
        ("tenant-b".to_owned(), "b".to_owned()),
    ]);
    let newest = newest_of(&pods, &all);
    let ids: Vec<&str> = newest.iter().map(|(one, _)| one.id.as_str()).collect();
    assert_eq!(ids, ["newest"]);
}

#[test]
fn an_answer_becomes_a_hint_or_is_refused() {
    let of = |sandbox: &PodSandbox, path: &str| {
        let info = serde_json::json!({"sandboxMetadata": {"Metadata": {"NetNSPath": path}}});
        hint(
            sandbox,
            sandbox.metadata.as_ref().unwrap(),
            &info.to_string(),
        )
    };
    let well = of(
        &sandbox("c0ffee", "a", 1_000_000_000, 0),
        "/run/netns/cni-1",
    )
    .unwrap();
    assert_eq!(well.netns, PathBuf::from("/run/netns/cni-1"));
    assert_eq!(well.since, SystemTime::UNIX_EPOCH + Duration::from_secs(1));
    assert!(of(&sandbox("c0ffee", "a", -1, 0), "/run/netns/cni-1").is_ok());
    for (id, name, path) in [
        ("../x", "a", "/run/netns/cni-1"),
        ("c0ffee", "a/b", "/run/netns/cni-1"),
        ("c0ffee", "a", "/run/../proc/1/ns/net"),
        ("c0ffee", "a", "relative"),
        ("c0ffee", "a", ""),
    ] {
        assert!(
            of(&sandbox(id, name, 1, 0), path).is_err(),
            "{id} {name} {path}"
        );
    }
}

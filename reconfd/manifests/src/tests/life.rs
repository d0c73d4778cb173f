//! Objects come, change, move and go.

use super::*;

#[test]
fn a_manifest_renamed_into_the_folder_is_told_within_milliseconds() {
    let stage = Stage::new(&[]);
    let mut times = Vec::new();
    for round in 0..21 {
        let text = podconfig("t", "x", 1400 + round);
        let temporary = stage.path(".x.new");
        fs::write(&temporary, text).unwrap();
        let start = Instant::now();
        fs::rename(temporary, stage.path("x.yaml")).unwrap();
        assert_eq!(stage.next(), changed("x"));
        times.push(start.elapsed());
        assert_eq!(
            stage.mtu("t", "x"),
            Some(1400 + i32::try_from(round).unwrap())
        );
    }
    times.sort();
    println!(
        "from rename to change: median {:?}, worst {:?}",
        times[10], times[20]
    );
    // The best of them: a busy machine delays some, a debounce would delay all.
    assert!(times[0] < Duration::from_millis(5), "{times:?}");
}

#[test]
fn every_kind_tells_its_own_change() {
    let stage = Stage::new(&[]);
    stage.put("a.yaml", &pod("t", "p", "web"));
    assert_eq!(
        stage.next(),
        Trigger::Object(ObjectKind::Pod, ("t".into(), "p".into()))
    );
    stage.put(
        "b.yaml",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: t}\n",
    );
    assert_eq!(
        stage.next(),
        Trigger::Object(ObjectKind::Namespace, (String::new(), "t".into()))
    );
    let policy = "apiVersion: podconfig.dev/v1alpha1\nkind: PodConfigPolicy\nmetadata: {name: p}\nspec: {namespaceSelector: {}}\n";
    stage.put("c.yaml", policy);
    assert_eq!(
        stage.next(),
        Trigger::Object(ObjectKind::PodConfigPolicy, (String::new(), "p".into()))
    );
    stage.put("d.yaml", &slice(7, "10.77.0.1"));
    assert_eq!(stage.next(), of_tunnel(7));
}

fn slice(vni: u32, address: &str) -> String {
    format!(
        "apiVersion: podconfig.dev/v1alpha1\nkind: PeerSlice\nmetadata: {{name: s, namespace: t}}\n\
         spec: {{vni: {vni}, port: 4789, peers: [{{node: a, address: {address}}}]}}\n"
    )
}

fn of_tunnel(vni: i32) -> Trigger {
    Trigger::PeerSlice {
        namespace: "t".into(),
        vni,
        port: 4789,
    }
}

/// Whoever is on the tunnel that it spoke of must hear that it does so no more.
#[test]
fn a_slice_that_speaks_of_another_tunnel_is_news_to_both() {
    let stage = Stage::new(&[("s.yaml", &slice(7, "10.77.0.1"))]);
    let named = |namespace: &str| -> Vec<_> {
        let slices = stage.stores.peer_slices_of(namespace).into_iter();
        slices
            .map(|slice| (slice.spec.vni, slice.spec.peers[0].address.to_string()))
            .collect()
    };
    assert_eq!(named("t"), [(7, "10.77.0.1".into())]);
    assert_eq!(named("other"), []);
    stage.put("s.yaml", &slice(7, "10.77.0.2"));
    assert_eq!(stage.next(), of_tunnel(7));
    stage.silence();
    stage.put("s.yaml", &slice(8, "10.77.0.2"));
    assert_eq!([stage.next(), stage.next()], [of_tunnel(7), of_tunnel(8)]);
    stage.put("s.yaml", "{{{");
    stage.refused("s.yaml");
    assert_eq!(
        named("t"),
        [(8, "10.77.0.2".into())],
        "the last good one counts"
    );
    stage.remove("s.yaml");
    assert_eq!(stage.next(), of_tunnel(8));
    assert_eq!(named("t"), []);
}

#[test]
fn a_removed_manifest_takes_its_objects_with_it() {
    let stage = Stage::new(&[("a.yaml", &podconfig("t", "x", 1500))]);
    stage.remove("a.yaml");
    assert_eq!(stage.next(), changed("x"));
    assert!(stage.stores.podconfig("t", "x").is_none());
}

#[test]
fn an_object_taken_out_of_its_manifest_is_gone() {
    let both = [podconfig("t", "x", 1500), podconfig("t", "w", 1500)].join("---\n");
    let stage = Stage::new(&[("a.yaml", &both)]);
    stage.put("a.yaml", &podconfig("t", "x", 1500));
    assert_eq!(stage.next(), changed("w"));
    stage.silence();
}

#[test]
fn the_same_text_again_is_no_change() {
    let stage = Stage::new(&[("a.yaml", &podconfig("t", "x", 1500))]);
    stage.put(
        "a.yaml",
        &format!("# a comment\n{}", podconfig("t", "x", 1500)),
    );
    stage.silence();
}

#[test]
fn an_object_that_moves_to_another_file_is_no_change() {
    for (from, to) in [("a.yaml", "b.yaml"), ("b.yaml", "a.yaml")] {
        let stage = Stage::new(&[(from, &podconfig("t", "x", 1500))]);
        fs::rename(stage.path(from), stage.path(to)).unwrap();
        stage.silence();
        assert_eq!(stage.mtu("t", "x"), Some(1500));
        stage.nothing_refused();
        stage.remove(to);
        assert_eq!(stage.next(), changed("x"));
    }
}

#[test]
fn a_podconfig_without_a_namespace_is_in_default() {
    let text = podconfig("t", "x", 1500).replace(", namespace: t", "");
    let stage = Stage::new(&[("a.yaml", &text)]);
    assert_eq!(stage.mtu("default", "x"), Some(1500));
}

#[test]
fn a_list_is_as_good_as_its_items() {
    let item =
        r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "NAME", "namespace": "t"}}"#;
    let items = ["p", "q", "Q"]
        .map(|name| item.replace("NAME", name))
        .join(",");
    let list = format!(r#"{{"apiVersion": "v1", "kind": "List", "items": [{items}]}}"#);
    let stage = Stage::new(&[("a.json", &list)]);
    assert_eq!(stage.stores.pods().len(), 2);
    assert!(
        stage
            .refused("\"Q\" is not a valid name")
            .contains("items[2].metadata.name")
    );
}

#[test]
fn of_two_manifests_of_one_object_the_first_file_counts() {
    let stage = Stage::new(&[
        ("a.yaml", &podconfig("t", "x", 1001)),
        ("b.yaml", &podconfig("t", "x", 1002)),
    ]);
    assert_eq!(stage.mtu("t", "x"), Some(1001));
    let refusal = stage.refused("duplicate of");
    assert!(
        refusal.starts_with(
            "b.yaml, document 1, line 1: PodConfig t/x: duplicate of a.yaml, document 1"
        ),
        "{refusal}"
    );
    stage.remove("a.yaml");
    assert_eq!(stage.next(), changed("x"));
    assert_eq!(stage.mtu("t", "x"), Some(1002));
    stage.nothing_refused();
}

#[test]
fn of_two_documents_of_one_object_the_first_counts() {
    let both = [podconfig("t", "x", 1001), podconfig("t", "x", 1002)].join("---\n");
    let stage = Stage::new(&[("a.yaml", &both)]);
    assert_eq!(stage.mtu("t", "x"), Some(1001));
    stage.refused(
        "a.yaml, document 2, line 11: PodConfig t/x: duplicate of document 1 of this file",
    );
}

#[test]
fn an_invalid_version_leaves_the_last_good_one_in_force() {
    let stage = Stage::new(&[("a.yaml", &podconfig("t", "x", 1500))]);
    stage.put("a.yaml", &podconfig("t", "x", 70000));
    let refusal = stage.refused("70000");
    assert_eq!(
        refusal,
        "a.yaml, document 1, line 9: PodConfig t/x: spec.links[0].mtu: 70000 is more than 65535"
    );
    assert_eq!(stage.mtu("t", "x"), Some(1500));
    stage.silence();
    stage.put("a.yaml", &podconfig("t", "x", 1400));
    assert_eq!(stage.next(), changed("x"));
    stage.nothing_refused();
    stage.put("a.yaml", &podconfig("t", "x", 70000));
    stage.refused("70000");
    stage.remove("a.yaml");
    assert_eq!(stage.next(), changed("x"));
    assert!(stage.stores.podconfig("t", "x").is_none());
}

#[test]
fn a_file_that_cannot_be_parsed_keeps_all_it_gave() {
    let both = [podconfig("t", "x", 1500), podconfig("t", "w", 1500)].join("---\n");
    let stage = Stage::new(&[("a.yaml", &both)]);
    stage.put("a.yaml", "{{{{");
    stage.refused("is not YAML");
    stage.silence();
    assert_eq!(stage.stores.podconfigs_of("t").len(), 2);
}

#[test]
fn a_broken_document_does_not_stop_its_neighbour() {
    let both = [podconfig("t", "x", 1500), podconfig("t", "w", 1500)].join("---\n");
    let stage = Stage::new(&[("a.yaml", &both)]);
    stage.put(
        "a.yaml",
        &[podconfig("t", "x", 1400), "kind: [\n".into()].join("---\n"),
    );
    assert_eq!(stage.next(), changed("x"));
    assert_eq!(
        (stage.mtu("t", "x"), stage.mtu("t", "w")),
        (Some(1400), Some(1500))
    );
    stage.silence();
}

#[test]
fn two_thousand_changes_lose_nothing() {
    let stage = Stage::new(&[]);
    for round in 0..20 {
        for index in 0..100 {
            stage.put(
                &format!("{index}.yaml"),
                &podconfig("t", &format!("x{index}"), 1000 + round),
            );
        }
    }
    let complete = || (0..100).all(|index| stage.mtu("t", &format!("x{index}")) == Some(1019));
    until(|| complete().then_some(()), || "an event was lost".into());
}

#[test]
fn a_folder_that_goes_keeps_its_objects_and_is_read_anew_when_it_comes_back() {
    let stage = Stage::new(&[
        ("a.yaml", &podconfig("t", "x", 1500)),
        ("b.yaml", &podconfig("t", "w", 1500)),
    ]);
    let folder = stage.path("");
    let aside = stage.records().with_file_name("aside");
    fs::rename(&folder, &aside).unwrap();
    stage.refused("cannot read the manifest folder");
    stage.silence();
    fs::remove_file(aside.join("b.yaml")).unwrap();
    fs::rename(&aside, &folder).unwrap();
    assert_eq!(stage.next(), changed("w"));
    stage.nothing_refused();
    stage.put("a.yaml", &podconfig("t", "x", 1400));
    assert_eq!(stage.next(), changed("x"));
}

#[test]
fn a_folder_removed_with_all_in_it_takes_the_objects() {
    let stage = Stage::new(&[("a.yaml", &podconfig("t", "x", 1500))]);
    fs::remove_dir_all(stage.path("")).unwrap();
    assert_eq!(stage.next(), changed("x"));
    assert!(stage.stores.podconfig("t", "x").is_none());
}

#[test]
fn records_are_told_and_their_folder_may_come_late_and_twice() {
    let stage = Stage::new(&[]);
    for _ in 0..2 {
        fs::create_dir(stage.records()).unwrap();
        assert_eq!(stage.next(), Trigger::Records(None));
        fs::write(stage.records().join(".tmp"), "").unwrap();
        fs::rename(stage.records().join(".tmp"), stage.records().join("r1")).unwrap();
        assert_eq!(stage.next(), Trigger::Records(Some("r1".into())));
        fs::remove_file(stage.records().join("r1")).unwrap();
        assert_eq!(stage.next(), Trigger::Records(Some("r1".into())));
        fs::remove_dir(stage.records()).unwrap();
    }
}

#[test]
fn a_burst_that_overflows_the_kernels_queue_loses_nothing() {
    let root = TempDir::new().unwrap();
    fs::create_dir(root.path().join("manifests")).unwrap();
    let (tell, told) = channel();
    let (go, gate) = channel::<()>();
    let notify = move |trigger| {
        let _ = tell.send(trigger);
        let _ = gate.recv_timeout(SOON);
    };
    let (stores, _sink, source) =
        Directory::start(&options(&root), Box::new(admit), notify).unwrap();
    let path = |name: &str| root.path().join("manifests").join(name);
    fs::write(path("a.yaml"), podconfig("t", "a", 1500)).unwrap();
    told.recv_timeout(SOON).unwrap();
    // The source waits in its callback; the queue of the kernel holds 16384 events.
    let queue: usize = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events")
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    for index in 0..=queue {
        let (from, to) = if index % 2 == 0 {
            (".x", ".y")
        } else {
            (".y", ".x")
        };
        if index == 0 {
            fs::write(path(".x"), "").unwrap();
        }
        fs::rename(path(from), path(to)).unwrap();
    }
    fs::write(path("b.yaml"), podconfig("t", "b", 1500)).unwrap();
    fs::remove_file(path("a.yaml")).unwrap();
    drop(go);
    let all_read = || stores.podconfig("t", "b").is_some() && stores.podconfig("t", "a").is_none();
    until(
        || all_read().then_some(()),
        || "the overflow went unnoticed".into(),
    );
    let changes: Vec<Trigger> = std::iter::from_fn(|| told.recv_timeout(QUIET).ok()).collect();
    assert!(changes.contains(&Trigger::Records(None)), "{changes:?}");
    drop(source);
}

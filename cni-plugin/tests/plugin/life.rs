//! CHECK, DEL, GC and STATUS: the rest of a sandbox's life.

use std::fs;

use crate::harness::{Node, VERSIONS};

const KEY: &str = "cni.dev/valid-attachments";

#[test]
fn nothing_after_add_ever_fails_in_any_version() {
    for version in VERSIONS.into_iter().chain(["0.1.0", "9.9.9"]) {
        let node = Node::with_record();
        for command in ["CHECK", "STATUS", "GC", "DEL", "DEL"] {
            node.call(command).version(version).run().prints_nothing();
        }
        assert_eq!(node.files(), 0, "{version}");
    }
}

#[test]
fn check_leaves_a_good_record_alone() {
    let node = Node::with_record();
    let before = node.record();
    node.call("CHECK").run().prints_nothing().quietly();
    assert_eq!(node.record(), before);
}

#[test]
fn check_writes_a_lost_or_broken_record_again() {
    let node = Node::with_record();
    let file = node.path("records/c0ffee.eth0.json");
    let before = node.record().unwrap();
    let spoils: [&dyn Fn(); 4] = [
        &|| fs::remove_file(&file).unwrap(),
        &|| fs::write(&file, "{").unwrap(),
        &|| fs::remove_dir_all(node.path("records")).unwrap(),
        &|| {
            fs::remove_file(&file).unwrap();
            std::os::unix::fs::symlink("/etc/passwd", &file).unwrap();
        },
    ];
    for spoil in spoils {
        spoil();
        node.call("CHECK").run().prints_nothing();
        let after = node.record().unwrap();
        assert_eq!(
            (after.cookie, after.addresses),
            (before.cookie, before.addresses.clone())
        );
    }
}

#[test]
fn check_notices_another_namespace_at_the_same_path() {
    let node = Node::with_record();
    let before = node.record().unwrap();
    node.end_netns("pod");
    node.call("CHECK").run().prints_nothing();
    assert_ne!(node.record().unwrap().cookie, before.cookie);
}

#[test]
fn check_that_can_repair_nothing_says_so_and_passes() {
    let node = Node::new();
    node.call("CHECK")
        .env("CNI_NETNS", "")
        .run()
        .prints_nothing()
        .says("CNI_NETNS");
    node.call("CHECK")
        .env("CNI_NETNS", "/gone")
        .run()
        .prints_nothing()
        .says("/gone");
    node.call("CHECK")
        .env("CNI_ARGS", "")
        .run()
        .prints_nothing()
        .says("CNI_ARGS");
    node.call("CHECK")
        .stdin("no json")
        .run()
        .prints_nothing()
        .says("stdin");
    node.call("CHECK")
        .without("prevResult")
        .run()
        .prints_nothing();
    assert!(node.record().unwrap().addresses.is_empty());
}

#[test]
fn del_takes_away_its_own_record_only() {
    let node = Node::with_record();
    node.call("ADD")
        .env("CNI_IFNAME", "net1")
        .run()
        .passes_through();
    node.call("ADD")
        .env("CNI_CONTAINERID", "beef")
        .run()
        .passes_through();
    node.call("DEL").run().prints_nothing().quietly();
    let left: Vec<_> = node
        .folder()
        .list()
        .unwrap()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(left, ["beef.eth0.json", "c0ffee.net1.json"]);
}

#[test]
fn del_needs_neither_the_namespace_nor_the_pod() {
    let node = Node::with_record();
    node.end_netns("pod");
    let call = node
        .call("DEL")
        .env("CNI_NETNS", "")
        .env("CNI_ARGS", "")
        .env("CNI_PATH", "");
    call.without("prevResult").run().prints_nothing().quietly();
    assert_eq!(node.files(), 0);
}

#[test]
fn delete_is_forgiven_when_the_record_is_gone() {
    let node = Node::new();
    for _ in 0..3 {
        node.call("DEL").run().prints_nothing().quietly();
    }
}

#[test]
fn delete_is_forgiven_whatever_it_is_given() {
    let node = Node::with_record();
    for id in ["", "../c0ffee", "a/b", ".", "-x", "a\nb"] {
        node.call("DEL")
            .env("CNI_CONTAINERID", id)
            .run()
            .prints_nothing()
            .keeps_to_its_lines();
    }
    for stdin in [
        "",
        "{",
        "null",
        "[]",
        "no json",
        "{\"recordsDir\":7}",
        "{\"recordsDir\":\"relative\"}",
    ] {
        node.call("DEL")
            .stdin(stdin)
            .env("CNI_CONTAINERID", "nobody")
            .run()
            .prints_nothing();
    }
    assert!(node.record().is_some());
}

/// A record whose namespace is gone.
fn orphan() -> Node {
    let node = Node::with_record();
    node.end_netns("pod");
    node
}

#[test]
fn gc_takes_away_what_is_unknown_and_gone() {
    for valid in [
        "null",
        "[]",
        r#"[{"containerID":"other","ifname":"eth0"},{"containerID":"c0ffee","ifname":"net1"}]"#,
    ] {
        let node = orphan();
        let call = node.call("GC");
        node.end_netns("pod");
        call.config(KEY, valid).run().prints_nothing();
        assert_eq!(node.files(), 0, "{valid}");
    }
}

#[test]
fn gc_without_a_list_takes_nothing() {
    let node = orphan();
    let call = node.call("GC");
    node.end_netns("pod");
    call.run().prints_nothing();
    assert_eq!(node.files(), 1);
}

#[test]
fn gc_with_a_broken_list_takes_nothing() {
    for valid in [
        "7",
        "{}",
        "\"x\"",
        "[7]",
        "[{}]",
        "[null]",
        r#"[{"containerID":"a"}]"#,
        r#"[{"containerID":["a"],"ifname":"b"}]"#,
    ] {
        let node = orphan();
        let call = node.call("GC");
        node.end_netns("pod");
        call.config(KEY, valid)
            .run()
            .prints_nothing()
            .says("valid-attachments");
        assert_eq!(node.files(), 1, "{valid}");
    }
}

#[test]
fn gc_never_takes_the_record_of_a_living_namespace() {
    let node = Node::with_record();
    node.call("GC")
        .config(KEY, "null")
        .run()
        .prints_nothing()
        .says("its namespace still exists");
    assert!(node.record().is_some());
}

#[test]
fn gc_knows_a_recycled_path_by_the_cookie() {
    let node = orphan();
    node.netns("pod");
    node.call("GC").config(KEY, "[]").run().prints_nothing();
    assert_eq!(node.files(), 0);
}

#[test]
fn gc_keeps_what_the_runtime_knows() {
    let node = orphan();
    let call = node.call("GC");
    node.end_netns("pod");
    call.config(KEY, r#"[{"containerID":"c0ffee","ifname":"eth0"}]"#)
        .run()
        .prints_nothing();
    assert_eq!(node.files(), 1);
}

#[test]
fn gc_of_one_network_leaves_the_others() {
    let node = orphan();
    let call = node.call("GC");
    node.end_netns("pod");
    call.config(KEY, "[]")
        .config("name", "\"another\"")
        .run()
        .prints_nothing();
    assert_eq!(node.files(), 1);
}

#[test]
fn gc_goes_on_past_a_broken_record() {
    let node = orphan();
    let call = node.call("GC");
    node.end_netns("pod");
    fs::write(node.path("records/a.eth0.json"), "{").unwrap();
    call.config(KEY, "[]")
        .run()
        .prints_nothing()
        .says("a.eth0.json")
        .keeps_to_its_lines();
    assert_eq!(node.files(), 1);
}

#[test]
fn status_says_ready_even_when_nothing_is() {
    let node = Node::new();
    node.call("STATUS")
        .config("recordsDir", "\"/proc/nowhere\"")
        .run()
        .prints_nothing();
    node.call("STATUS").stdin("").run().prints_nothing();
}

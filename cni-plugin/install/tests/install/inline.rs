//! Mode `inline`: the entry in the file that the runtime reads.

use super::*;

#[test]
fn the_entry_is_appended_and_every_other_byte_stays() {
    let node = Node::with("10-flannel.conflist", FLANNEL);
    node.installed(&["--records", "/run/x"]);
    let text = node.read("10-flannel.conflist");
    let end = FLANNEL.rfind('}').unwrap();
    let last = FLANNEL[..end].rfind('}').unwrap() + 1;
    assert!(
        text.starts_with(&FLANNEL[..last]) && text.ends_with(&FLANNEL[last..]),
        "{text}"
    );
    let list = node.json("10-flannel.conflist");
    assert_eq!(types(&list), ["flannel", "portmap", "podconfig-cni"]);
    assert_eq!(
        list["plugins"][2],
        serde_json::json!({
            "type": "podconfig-cni",
            "recordsDir": "/run/x",
            "capabilities": {"io.kubernetes.cri.pod-annotations": true}
        })
    );
    assert_eq!(node.names(), ["10-flannel.conflist"]);
}

#[test]
fn the_entry_is_the_one_that_the_sample_shows() {
    let node = Node::with("10-flannel.conflist", FLANNEL);
    node.installed(&[]);
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../../conf/chain-entry.json");
    let sample: Value = serde_json::from_str(&fs::read_to_string(sample).unwrap()).unwrap();
    assert_eq!(node.json("10-flannel.conflist")["plugins"][2], sample);
}

#[test]
fn many_installers_at_once_leave_one_entry() {
    let node = Node::with("10-flannel.conflist", FLANNEL);
    let start = |_| {
        node.command("install", &[])
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    };
    let running: Vec<Child> = (0..8).map(start).collect();
    for mut installer in running {
        assert!(installer.wait().unwrap().success());
    }
    let list = node.json("10-flannel.conflist");
    assert_eq!(types(&list), ["flannel", "portmap", "podconfig-cni"]);
    assert_eq!(node.names(), ["10-flannel.conflist"]);
    assert_eq!(names(&node.path("bin")), ["podconfig-cni"]);
}

#[test]
fn an_older_binary_is_replaced_while_it_may_be_running() {
    let node = Node::with("10-flannel.conflist", FLANNEL);
    fs::copy("/bin/sleep", node.binary()).unwrap();
    let mut running = Command::new(node.binary()).arg("60").spawn().unwrap();
    let output = node.install(&[]);
    running.kill().unwrap();
    running.wait().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(fs::read_to_string(node.binary()).unwrap(), PLUGIN);
}

#[test]
fn a_second_run_writes_nothing_in_any_mode() {
    for mode in ["inline", "owned", "drop-in"] {
        let node = Node::with("10-flannel.conflist", FLANNEL);
        node.installed(&["--mode", mode]);
        let before = node.state();
        node.installed(&["--mode", mode]);
        assert_eq!(node.state(), before, "{mode}");
    }
}

#[test]
fn an_entry_that_says_something_else_is_replaced_where_it_stands() {
    let node = Node::with("10-flannel.conflist", FLANNEL);
    node.installed(&["--records", "/run/old"]);
    let old = node.read("10-flannel.conflist");
    node.installed(&["--records", "/run/new"]);
    assert_eq!(
        node.read("10-flannel.conflist"),
        old.replace("/run/old", "/run/new")
    );
}

#[test]
fn an_entry_written_otherwise_but_saying_the_same_is_left_alone() {
    let entry = r#"{"capabilities":{"io.kubernetes.cri.pod-annotations":true},"recordsDir":"\u002frun/x", "type":"podconfig-cni"}"#;
    let node = Node::with(
        "1.conflist",
        &format!(
            r#"{{"cniVersion":"1.0.0","name":"a","plugins":[{{"type":"b"}},{entry},{{"type":"c"}}]}}"#
        ),
    );
    let before = fs::metadata(node.conf("1.conflist")).unwrap().ino();
    node.installed(&["--records", "/run/x"]);
    assert_eq!(fs::metadata(node.conf("1.conflist")).unwrap().ino(), before);
}

#[test]
fn doubled_and_leading_entries_become_one_at_the_end() {
    let ours = r#"{"type":"podconfig-cni"}"#;
    for plugins in [
        format!(r#"[{ours},{{"type":"a"}},{{"type":"b"}}]"#),
        format!(r#"[{ours} , {ours},{{"type":"a"}},{ours},{{"type":"b"}}, {ours}]"#),
        format!(r#"[{{"type":"a"}},{ours},{ours},{{"type":"b"}}]"#),
    ] {
        let node = Node::with(
            "1.conflist",
            &format!(r#"{{"cniVersion":"1.0.0","name":"n","plugins":{plugins}}}"#),
        );
        node.installed(&[]);
        assert_eq!(
            types(&node.json("1.conflist")),
            ["a", "b", "podconfig-cni"],
            "{plugins}"
        );
        node.uninstalled();
        assert_eq!(types(&node.json("1.conflist")), ["a", "b"], "{plugins}");
    }
}

#[test]
fn the_first_file_in_byte_order_is_the_chain_and_the_others_stay_untouched() {
    let node = Node::with("10-b.conflist", FLANNEL);
    node.write("10-B.conflist", &FLANNEL.replace("cbr0", "upper"));
    node.write("2-late.conflist", FLANNEL);
    node.write("05-readme.txt", "not a chain");
    node.write("05-x.conflist.bak", "not a chain");
    fs::create_dir(node.conf("00-folder.conflist")).unwrap();
    node.installed(&[]);
    assert!(node.read("10-B.conflist").contains("podconfig-cni"));
    assert_eq!(node.read("10-b.conflist"), FLANNEL);
    assert_eq!(node.read("2-late.conflist"), FLANNEL);
    assert_eq!(names(&node.conf("00-folder.conflist")), [""; 0]);
}

#[test]
fn a_hidden_file_is_loaded_by_runtimes_and_so_it_is_the_chain() {
    let node = Node::with(".hidden.conflist", FLANNEL);
    node.write("10-b.conflist", FLANNEL);
    node.installed(&[]);
    assert!(node.read(".hidden.conflist").contains("podconfig-cni"));
}

#[test]
fn modes_and_owner_of_the_edited_file_are_kept() {
    for mode in [0o600, 0o644, 0o640, 0o664] {
        for name in ["10-flannel.conflist", "10-bridge.conf"] {
            let node = Node::with(
                name,
                if name.ends_with("list") {
                    FLANNEL
                } else {
                    BRIDGE_CONF
                },
            );
            fs::set_permissions(node.conf(name), Permissions::from_mode(mode)).unwrap();
            // Only root may give files away; for others the owner cannot but stay.
            let _ = std::os::unix::fs::chown(node.conf(name), Some(1234), Some(4321));
            let of = |path: PathBuf| {
                let metadata = path.metadata().unwrap();
                (metadata.mode() & 0o7777, metadata.uid(), metadata.gid())
            };
            let before = of(node.conf(name));
            node.installed(&[]);
            let holder = name.replace(".conf", "-podconfig.conflist");
            let holder = if name.ends_with("list") {
                name
            } else {
                &holder
            };
            assert_eq!(of(node.conf(holder)), before);
            node.uninstalled();
            assert_eq!(of(node.conf(name)), before);
        }
    }
}

/// The name of the copy beside `10-bridge.conf` and `10-bridge.json`.
const COPY: &str = "10-bridge-podconfig.conflist";

#[test]
fn the_file_of_a_single_plugin_keeps_name_and_bytes_and_its_copy_comes_first() {
    for name in ["10-bridge.conf", "10-bridge.json"] {
        let node = Node::with(name, BRIDGE_CONF);
        let state = |node: &Node| {
            let metadata = node.conf(name).metadata().unwrap();
            (metadata.ino(), metadata.mtime_nsec(), node.read(name))
        };
        let before = state(&node);
        node.installed(&[]);
        // A runtime takes the first.
        assert_eq!(node.names(), [COPY, name]);
        assert_eq!(state(&node), before);
        let list = node.json(COPY);
        assert_eq!(
            (&list["name"], &list["cniVersion"]),
            (&"pods".into(), &"0.4.0".into())
        );
        assert_eq!(types(&list), ["bridge", "podconfig-cni"]);
        assert!(
            node.read(COPY)
                .contains(r#""ipam": {"type": "host-local", "n": 1.0}"#)
        );
        assert_eq!(list["plugins"][0].get("name"), None);
        node.installed(&["--records", "/run/other"]);
        assert!(node.read(COPY).contains("/run/other"));
        node.uninstalled();
        assert_eq!(node.names(), [name]);
        assert_eq!(state(&node), before);
    }
}

#[test]
fn the_copy_of_a_single_plugin_follows_it_and_goes_with_it() {
    let node = Node::with("10-bridge.conf", BRIDGE_CONF);
    node.installed(&[]);
    node.write("10-bridge.conf", &BRIDGE_CONF.replace("1.0", "2.0"));
    node.installed(&[]);
    assert!(node.read(COPY).contains("\"n\": 2.0"));
    // Not understood: the copy must not keep alive what its owner has replaced.
    node.write("10-bridge.conf", &BRIDGE_CONF.replace("0.4.0", "9.0.0"));
    assert_eq!(node.install(&[]).status.code(), Some(1));
    assert_eq!(node.names(), ["10-bridge.conf"]);
    node.write("10-bridge.conf", BRIDGE_CONF);
    node.installed(&[]);
    fs::remove_file(node.conf("10-bridge.conf")).unwrap();
    assert_eq!(node.install(&[]).status.code(), Some(3));
    assert_eq!(node.names(), [""; 0]);
}

#[test]
fn another_primary_before_it_takes_the_copy_away() {
    let node = Node::with("10-bridge.conf", BRIDGE_CONF);
    node.installed(&[]);
    node.write("05-flannel.conflist", FLANNEL);
    node.installed(&[]);
    assert_eq!(node.names(), ["05-flannel.conflist", "10-bridge.conf"]);
    assert!(node.read("05-flannel.conflist").contains("podconfig-cni"));
    assert_eq!(node.read("10-bridge.conf"), BRIDGE_CONF);
}

#[test]
fn a_linked_single_plugin_is_copied_through_the_link() {
    let node = Node::new();
    fs::write(node.path("real"), BRIDGE_CONF).unwrap();
    symlink("../real", node.conf("10-bridge.conf")).unwrap();
    node.installed(&[]);
    assert_eq!(types(&node.json(COPY)), ["bridge", "podconfig-cni"]);
    node.uninstalled();
    assert!(node.conf("10-bridge.conf").is_symlink());
    assert_eq!(node.names(), ["10-bridge.conf"]);
}

/// As versions before left it: the file set aside, and a list in its place.
fn converted() -> Node {
    let node = Node::with("10-bridge.conf", BRIDGE_CONF);
    node.installed(&[]);
    fs::rename(node.conf(COPY), node.conf("10-bridge.conflist")).unwrap();
    fs::rename(
        node.conf("10-bridge.conf"),
        node.conf("10-bridge.conf.podconfig-saved"),
    )
    .unwrap();
    node
}

#[test]
fn a_file_that_an_earlier_version_set_aside_gets_its_name_back() {
    let node = converted();
    node.installed(&[]);
    assert_eq!(node.names(), [COPY, "10-bridge.conf"]);
    assert_eq!(node.read("10-bridge.conf"), BRIDGE_CONF);
    let node = converted();
    node.uninstalled();
    assert_eq!(node.names(), ["10-bridge.conf"]);
    assert_eq!(node.read("10-bridge.conf"), BRIDGE_CONF);
}

#[test]
fn a_conversion_of_an_earlier_version_that_was_cut_short_is_taken_back() {
    for install in [true, false] {
        let node = converted();
        // As if the power had gone between the list's rename and the original's.
        fs::rename(
            node.conf("10-bridge.conf.podconfig-saved"),
            node.conf("10-bridge.conf"),
        )
        .unwrap();
        if install {
            node.installed(&[]);
            let list = node.json(&node.names()[0]);
            assert_eq!(types(&list), ["bridge", "podconfig-cni"]);
        }
        node.uninstalled();
        assert_eq!(node.names(), ["10-bridge.conf"]);
        assert_eq!(node.read("10-bridge.conf"), BRIDGE_CONF);
    }
}

#[test]
fn a_conf_written_anew_and_one_set_aside_are_both_there_after_uninstall() {
    let node = converted();
    node.write("10-bridge.conf", &BRIDGE_CONF.replace("1.0", "2.0"));
    node.uninstalled();
    assert_eq!(
        node.names(),
        ["10-bridge.conf", "10-bridge.conf.podconfig-saved"]
    );
    assert!(node.read("10-bridge.conf").contains("2.0"));
}

#[test]
fn what_others_added_to_a_converted_list_is_not_lost_by_uninstall() {
    let node = converted();
    let list = node.read("10-bridge.conflist");
    let end = list.rfind("\n  ]").unwrap();
    node.write(
        "10-bridge.conflist",
        &format!("{},{{\"type\":\"mesh\"}}{}", &list[..end], &list[end..]),
    );
    node.uninstalled();
    assert_eq!(types(&node.json("10-bridge.conflist")), ["bridge", "mesh"]);
    assert_eq!(node.read("10-bridge.conf.podconfig-saved"), BRIDGE_CONF);
    assert!(!node.conf("10-bridge.conf").exists());
}

#[test]
fn leftovers_of_a_crash_are_swept_and_the_files_of_others_are_not() {
    let node = Node::with("10-flannel.conflist", FLANNEL);
    node.write(".podconfig-cni.77.0.tmp", "{ half");
    fs::write(node.path("bin/.podconfig-cni.1.3.tmp"), "half").unwrap();
    node.write(".other.tmp", "theirs");
    fs::write(node.path("bin/bridge"), "theirs").unwrap();
    node.installed(&[]);
    assert_eq!(node.names(), [".other.tmp", "10-flannel.conflist"]);
    assert_eq!(names(&node.path("bin")), ["bridge", "podconfig-cni"]);
    node.write(".podconfig-cni.78.0.tmp", "{ half");
    fs::write(node.path("bin/.podconfig-cni.1.4.tmp"), "half").unwrap();
    node.uninstalled();
    assert_eq!(node.names(), [".other.tmp", "10-flannel.conflist"]);
    assert_eq!(names(&node.path("bin")), ["bridge"]);
}

#[test]
fn half_a_character_in_a_string_of_others_is_kept() {
    let text = FLANNEL.replace("caf", "\\ud800 caf");
    let node = Node::with("10-flannel.conflist", &text);
    node.installed(&[]);
    assert!(node.read("10-flannel.conflist").contains("\\ud800 caf"));
    node.uninstalled();
    assert_eq!(node.read("10-flannel.conflist"), text);
}

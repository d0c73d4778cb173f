//! `podconfig-install install --watch` beside a primary CNI that writes its own files.

use super::watcher::Watcher;
use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn has_entry(node: &Node, name: &str) -> bool {
    fs::read_to_string(node.conf(name)).is_ok_and(|text| text.contains("podconfig-cni"))
}

/// Writes as some primaries do: a temporary file, renamed.
fn renamed_into(node: &Node, name: &str, text: &str) {
    node.write("tmp", text);
    fs::rename(node.conf("tmp"), node.conf(name)).unwrap();
}

#[test]
fn the_entry_is_back_within_a_second_however_the_primary_writes() {
    let node = Node::with("10-flannel.conflist", FLANNEL);
    let mut watcher = Watcher::start(&node, &[]);
    watcher.until("the entry", || has_entry(&node, "10-flannel.conflist"));
    node.write("10-flannel.conflist", FLANNEL);
    let took = watcher.until("the first repair", || {
        has_entry(&node, "10-flannel.conflist")
    });
    assert!(took < SECOND, "{took:?}");
    renamed_into(&node, "10-flannel.conflist", FLANNEL);
    let took = watcher.until("the second repair", || {
        has_entry(&node, "10-flannel.conflist")
    });
    assert!(took < SECOND, "{took:?}");
    fs::remove_file(node.conf("10-flannel.conflist")).unwrap();
    std::thread::sleep(Duration::from_millis(700));
    node.write("10-flannel.conflist", FLANNEL);
    let took = watcher.until("the third repair", || {
        has_entry(&node, "10-flannel.conflist")
    });
    assert!(took < SECOND, "{took:?}");
    assert_eq!(watcher.end().0, Some(0));
}

#[test]
fn told_to_end_it_ends_at_once_and_takes_nothing_out() {
    let node = Node::with("10-flannel.conflist", FLANNEL);
    let mut watcher = Watcher::start(&node, &[]);
    watcher.until("the entry", || has_entry(&node, "10-flannel.conflist"));
    let before = node.state();
    let (code, took) = watcher.end();
    assert_eq!(code, Some(0));
    assert!(took < SECOND, "{took:?}");
    assert_eq!(node.state(), before);
    assert!(has_entry(&node, "10-flannel.conflist") && node.binary().exists());
}

#[test]
fn after_three_undone_repairs_it_stops_and_names_who_and_the_remedy() {
    let cilium = FLANNEL.replace("flannel", "cilium-cni");
    for (name, text, remedy) in [
        ("05-cilium.conflist", cilium.as_str(), "cni.exclusive=false"),
        ("10-flannel.conflist", FLANNEL, "exclusive"),
    ] {
        let node = Node::with(name, text);
        let mut watcher = Watcher::start(&node, &[]);
        for round in 0..4 {
            watcher.until(&format!("round {round}"), || has_entry(&node, name));
            node.write(name, text);
        }
        let (code, said) = watcher.ended();
        assert_eq!(code, Some(4), "{said}");
        let kind = if name.contains("cilium") {
            "\"cilium-cni\""
        } else {
            "\"flannel\""
        };
        assert!(
            said.contains(name) && said.contains(kind) && said.contains(remedy),
            "{said}"
        );
    }
}

#[test]
fn a_copy_renamed_away_again_and_again_is_given_up_too() {
    let node = Node::with(
        "05-cilium.conflist",
        &FLANNEL.replace("flannel", "cilium-cni"),
    );
    let mut watcher = Watcher::start(&node, &["--mode", "owned"]);
    let copy = node.conf("00-podconfig.conflist");
    for round in 0..4 {
        watcher.until(&format!("round {round}"), || copy.exists());
        fs::rename(&copy, node.conf("00-podconfig.conflist.cilium_bak")).unwrap();
    }
    let (code, said) = watcher.ended();
    assert_eq!(code, Some(4), "{said}");
    assert!(
        said.contains("05-cilium.conflist") && said.contains("cni.exclusive=false"),
        "{said}"
    );
}

#[test]
fn a_copy_follows_as_many_changes_as_the_primary_likes() {
    let node = Node::with("10-flannel.conflist", FLANNEL);
    let mut watcher = Watcher::start(&node, &["--mode", "owned"]);
    for mtu in ["1.450e3", "1400", "1401", "1402", "1403", "1404", "1405"] {
        node.write("10-flannel.conflist", &FLANNEL.replace("1.450e3", mtu));
        let took = watcher.until(mtu, || {
            fs::read_to_string(node.conf("00-podconfig.conflist"))
                .is_ok_and(|text| text.contains(mtu))
        });
        assert!(took < SECOND, "{took:?}");
    }
    fs::remove_file(node.conf("10-flannel.conflist")).unwrap();
    watcher.until("the end of the copy", || node.names().is_empty());
    assert_eq!(watcher.end().0, Some(0));
}

#[test]
fn a_copy_follows_a_primary_behind_a_link() {
    let node = Node::new();
    fs::create_dir(node.path("elsewhere")).unwrap();
    fs::write(node.path("elsewhere/real"), FLANNEL).unwrap();
    symlink("../elsewhere/real", node.conf("10-flannel.conflist")).unwrap();
    let mut watcher = Watcher::start(&node, &["--mode", "owned"]);
    watcher.until("the copy", || has_entry(&node, "00-podconfig.conflist"));
    std::thread::sleep(SECOND);
    fs::write(
        node.path("elsewhere/real"),
        FLANNEL.replace("1.450e3", "1401"),
    )
    .unwrap();
    let took = watcher.until("the change", || {
        node.read("00-podconfig.conflist").contains("1401")
    });
    assert!(took < SECOND, "{took:?}");
}

#[test]
fn it_waits_for_a_chain_that_is_still_to_come_and_for_one_that_is_half_written() {
    let node = Node::new();
    fs::remove_dir(node.path("net.d")).unwrap();
    let mut watcher = Watcher::start(&node, &[]);
    std::thread::sleep(Duration::from_millis(400));
    fs::create_dir(node.path("net.d")).unwrap();
    std::thread::sleep(Duration::from_millis(400));
    node.write("10-flannel.conflist", &FLANNEL[..50]);
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(node.read("10-flannel.conflist"), FLANNEL[..50]);
    node.write("10-flannel.conflist", FLANNEL);
    let took = watcher.until("the entry", || has_entry(&node, "10-flannel.conflist"));
    assert!(took < SECOND, "{took:?}");
    assert_eq!(watcher.end().0, Some(0));
    assert!(watcher.said().contains("half-written"));
}

#[test]
fn a_folder_made_anew_is_watched_anew() {
    for renamed in [true, false] {
        let node = Node::with("10-flannel.conflist", FLANNEL);
        let mut watcher = Watcher::start(&node, &[]);
        watcher.until("the entry", || has_entry(&node, "10-flannel.conflist"));
        if renamed {
            fs::rename(node.path("net.d"), node.path("old.d")).unwrap();
        } else {
            fs::remove_dir_all(node.path("net.d")).unwrap();
        }
        fs::create_dir(node.path("net.d")).unwrap();
        node.write("10-flannel.conflist", FLANNEL);
        let took = watcher.until("the entry anew", || has_entry(&node, "10-flannel.conflist"));
        assert!(took < SECOND, "{took:?}");
        std::thread::sleep(Duration::from_millis(500));
        node.write("10-flannel.conflist", FLANNEL);
        let took = watcher.until("a repair there", || has_entry(&node, "10-flannel.conflist"));
        assert!(took < SECOND, "{took:?}");
    }
}

#[test]
fn a_drop_in_and_the_binary_come_back_when_they_are_removed() {
    let node = Node::with("10-flannel.conflist", FLANNEL);
    let mut watcher = Watcher::start(&node, &["--mode", "drop-in"]);
    let drop_in = node.conf("cbr0/99-podconfig.conf");
    watcher.until("the drop-in", || drop_in.exists() && node.binary().exists());
    std::thread::sleep(Duration::from_millis(500));
    fs::remove_file(&drop_in).unwrap();
    let took = watcher.until("the drop-in anew", || drop_in.exists());
    assert!(took < SECOND, "{took:?}");
    fs::remove_file(node.binary()).unwrap();
    let took = watcher.until("the binary anew", || node.binary().exists());
    assert!(took < SECOND, "{took:?}");
}

#[test]
fn a_watcher_leaves_a_later_installers_binary_alone() {
    let node = Node::with("10-flannel.conflist", FLANNEL);
    let mut watcher = Watcher::start(&node, &[]);
    watcher.until("the entry", || has_entry(&node, "10-flannel.conflist"));
    fs::copy("/bin/true", node.path("bin/new")).unwrap();
    fs::rename(node.path("bin/new"), node.binary()).unwrap();
    node.write("10-flannel.conflist", FLANNEL);
    watcher.until("a repair", || has_entry(&node, "10-flannel.conflist"));
    assert_eq!(
        fs::read(node.binary()).unwrap(),
        fs::read("/bin/true").unwrap()
    );
}

#[test]
fn what_is_not_understood_ends_the_watch_with_a_reason() {
    let node = Node::with("10-flannel.conflist", FLANNEL);
    let mut watcher = Watcher::start(&node, &[]);
    watcher.until("the entry", || has_entry(&node, "10-flannel.conflist"));
    node.write("10-flannel.conflist", &FLANNEL.replace("0.3.1", "9.0.0"));
    let (code, said) = watcher.ended();
    assert_eq!(code, Some(1));
    assert!(said.contains("9.0.0"), "{said}");
}

#[test]
fn a_machine_without_a_free_inotify_is_watched_all_the_same() {
    let node = Node::with("10-flannel.conflist", FLANNEL);
    let mut command = Command::new("unshare");
    let none_left = "echo 0 > /proc/sys/user/max_inotify_instances && exec \"$0\" \"$@\"";
    command.args([
        "--user",
        "--map-root-user",
        "sh",
        "-c",
        none_left,
        INSTALLER,
    ]);
    command.args(node.command("install", &[]).get_args());
    let mut watcher = Watcher::spawn(command);
    watcher.until("the entry", || has_entry(&node, "10-flannel.conflist"));
    node.write("10-flannel.conflist", FLANNEL);
    let took = watcher.until("the repair", || has_entry(&node, "10-flannel.conflist"));
    assert!(took < SECOND, "{took:?}");
    assert_eq!(watcher.end().0, Some(0));
}

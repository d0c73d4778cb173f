//! `podconfig-install uninstall`: the entry first, the binary only when nobody may call it any more.

use super::*;

/// `{"plugins":[{"type":"podconfig-cni"}]}` and `{"plugins":[{"type":"bridge"}]}`, as libcni caches them.
pub const OURS: &str = r#"{"kind":"cniCacheV1","containerId":"c1","config":"eyJwbHVnaW5zIjpbeyJ0eXBlIjoicG9kY29uZmlnLWNuaSJ9XX0=","ifName":"eth0"}"#;
const THEIRS: &str = r#"{"kind":"cniCacheV1","containerId":"c2","config":"eyJwbHVnaW5zIjpbeyJ0eXBlIjoiYnJpZGdlIn1dfQ==","ifName":"eth0"}"#;

fn cache(node: &Node, name: &str, text: impl AsRef<[u8]>) {
    fs::create_dir_all(node.path("results")).unwrap();
    fs::write(node.path("results").join(name), text).unwrap();
}

#[test]
fn nothing_is_left_and_a_second_run_has_nothing_to_change() {
    let node = Node::with("10-flannel.conflist", FLANNEL);
    fs::create_dir(node.path("records")).unwrap();
    fs::write(node.path("records/c1.json"), "{}").unwrap();
    let before: Vec<_> = node
        .state()
        .into_iter()
        .map(|(path, _, mode, text)| (path, mode, text))
        .collect();
    node.installed(&["--records", node.path("records").to_str().unwrap()]);
    node.uninstalled();
    let after: Vec<_> = node
        .state()
        .into_iter()
        .map(|(path, _, mode, text)| (path, mode, text))
        .collect();
    assert_eq!(after, before);
    let state = node.state();
    assert!(node.uninstalled().contains("no entry"));
    assert_eq!(node.state(), state);
}

#[test]
fn the_binary_outlives_every_cached_result_that_names_it() {
    let node = Node::with("10-flannel.conflist", FLANNEL);
    node.installed(&[]);
    node.runs_a_pod();
    cache(&node, "cbr0-c2-eth0", THEIRS);
    let said = node.uninstalled();
    assert!(
        said.contains("leaving")
            && said.contains("cbr0-c1-eth0")
            && said.contains("run this again"),
        "{said}"
    );
    assert_eq!(node.read("10-flannel.conflist"), FLANNEL);
    assert!(node.binary().exists());
    fs::remove_file(node.path("results/cbr0-c1-eth0")).unwrap();
    node.uninstalled();
    assert!(!node.binary().exists());
}

#[test]
fn a_result_too_large_to_read_may_name_the_binary() {
    let node = Node::with("10-flannel.conflist", FLANNEL);
    node.installed(&[]);
    cache(&node, "big", vec![b' '; (1 << 20) + 1]);
    assert!(node.uninstalled().contains("leaving"));
    assert!(node.binary().exists());
}

#[test]
fn rubbish_among_the_results_keeps_nothing_and_blocks_nothing() {
    let node = Node::with("10-flannel.conflist", FLANNEL);
    node.installed(&[]);
    cache(&node, "empty", "");
    cache(&node, "noise", b"\xff\xfe{");
    cache(&node, "odd", r#"{"config": 7}"#);
    fs::create_dir(node.path("results/folder")).unwrap();
    symlink("/dev/zero", node.path("results/zero")).unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(node.path("results/pipe"))
            .status()
            .unwrap()
            .success()
    );
    node.uninstalled();
    assert!(!node.binary().exists());
}

#[test]
fn the_entry_is_found_in_every_file_and_not_in_the_first_alone() {
    let node = Node::with("10-flannel.conflist", FLANNEL);
    node.installed(&[]);
    node.write("05-new.conflist", FLANNEL);
    node.installed(&[]);
    node.uninstalled();
    assert_eq!(node.read("05-new.conflist"), FLANNEL);
    assert_eq!(node.read("10-flannel.conflist"), FLANNEL);
}

#[test]
fn the_binary_stays_while_a_file_that_is_not_understood_names_it() {
    let node = Node::with("10-flannel.conflist", FLANNEL);
    node.installed(&[]);
    let text = node
        .read("10-flannel.conflist")
        .replace("\"0.3.1\"", "\"0.3.1\",,");
    node.write("10-flannel.conflist", &text);
    let output = node.command("uninstall", &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("by hand"),
        "{output:?}"
    );
    assert!(node.binary().exists());
    assert_eq!(node.read("10-flannel.conflist"), text);
}

#[test]
fn the_entry_comes_out_of_a_chain_that_it_could_not_join_any_more() {
    let odd = |text: &str| text.replace("\"0.3.1\"", "\"9.9.9\"").replace("cbr0", "..");
    let node = Node::with("10-flannel.conflist", FLANNEL);
    node.installed(&[]);
    node.write(
        "10-flannel.conflist",
        &odd(&node.read("10-flannel.conflist")),
    );
    node.uninstalled();
    assert_eq!(node.read("10-flannel.conflist"), odd(FLANNEL));
    assert!(!node.binary().exists());
}

#[test]
fn the_binary_stays_while_a_file_that_cannot_be_read_whole_may_name_it() {
    let node = Node::with("10-flannel.conflist", FLANNEL);
    node.installed(&[]);
    let text = node.read("10-flannel.conflist");
    for odd in [
        [text.as_bytes(), &[b' '; 1 << 20]].concat(),
        [text.as_bytes(), &[0xff]].concat(),
    ] {
        fs::write(node.conf("10-flannel.conflist"), odd).unwrap();
        let output = node.command("uninstall", &[]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(node.binary().exists());
    }
}

#[test]
fn files_that_have_nothing_of_ours_may_be_as_odd_as_they_like() {
    let node = Node::with("10-flannel.conflist", FLANNEL);
    node.installed(&[]);
    node.write("20-broken.conflist", "{");
    symlink("/nowhere", node.conf("30-link.conf")).unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(node.conf("40-pipe.conf"))
            .status()
            .unwrap()
            .success()
    );
    node.uninstalled();
    assert!(!node.binary().exists());
    assert_eq!(node.read("20-broken.conflist"), "{");
}

#[test]
fn a_node_without_folders_has_nothing_to_take_out() {
    let node = Node::new();
    fs::remove_dir(node.path("net.d")).unwrap();
    fs::remove_dir(node.path("bin")).unwrap();
    node.uninstalled();
    assert_eq!(names(node.0.path()), ["plugin"]);
}

#[test]
fn a_watcher_that_puts_the_entry_back_keeps_its_binary() {
    let node = Node::with("10-flannel.conflist", FLANNEL);
    let mut watcher = watcher::Watcher::start(&node, &[]);
    watcher.until("entry", || {
        node.read("10-flannel.conflist").contains("podconfig-cni")
    });
    let output = node.command("uninstall", &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("Stop podconfig-install install --watch"),
        "{output:?}"
    );
    assert!(node.binary().exists());
    assert_eq!(watcher.end().0, Some(0));
}

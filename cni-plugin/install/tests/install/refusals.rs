//! What the installer does not understand it leaves alone, byte by byte, and says so.

use super::*;

fn list(change: &[(&str, &str)]) -> String {
    let mut text =
        r#"{"cniVersion":"1.0.0","name":"net","plugins":[{"type":"bridge"}]}"#.to_owned();
    for (from, to) in change {
        assert!(text.contains(from));
        text = text.replace(from, to);
    }
    text
}

#[test]
fn odd_lists_are_refused_in_every_mode_and_stay_as_they_are() {
    let cases = [
        (String::new(), "half-written"),
        (FLANNEL[..60].to_owned(), "half-written"),
        ("\0\0\0\0".to_owned(), "half-written"),
        ("\u{feff}".to_owned() + FLANNEL, "half-written"),
        (format!("{FLANNEL}{FLANNEL}"), "half-written"),
        ("[]".to_owned(), "not what a runtime expects"),
        ("null".to_owned(), "not what a runtime expects"),
        (list(&[("1.0.0", "1.2.0")]), "is not supported by"),
        (list(&[("1.0.0", "0.2.0")]), "is not supported by"),
        (list(&[("1.0.0", "1.0.00")]), "is not supported by"),
        (list(&[("\"1.0.0\"", "1.0")]), "cniVersion is not a string"),
        (list(&[("\"cniVersion\":\"1.0.0\",", "")]), "no cniVersion"),
        (
            list(&[("\"name\"", "\"cniVersions\":[\"1.0.0\",\"1.2.0\"],\"name\"")]),
            "is not supported by",
        ),
        (
            list(&[("\"name\"", "\"cniVersions\":\"1.0.0\",\"name\"")]),
            "cniVersions is not a list",
        ),
        (list(&[("\"name\":\"net\",", "")]), "no name"),
        (list(&[("\"net\"", "7")]), "name is not a string"),
        (
            list(&[("\"net\"", "\"../../x\"")]),
            "not one that CNI allows",
        ),
        (list(&[("\"net\"", "\"\"")]), "not one that CNI allows"),
        (list(&[("\"name\"", "\"name\":\"a\",\"name\"")]), "twice"),
        (list(&[("\"name\"", "\"plugins\":[],\"name\"")]), "twice"),
        (list(&[("[{\"type\":\"bridge\"}]", "[]")]), "empty"),
        (list(&[("[{\"type\":\"bridge\"}]", "{}")]), "not a list"),
        (
            list(&[(",\"plugins\":[{\"type\":\"bridge\"}]", "")]),
            "no plugins",
        ),
        (
            list(&[("{\"type\":\"bridge\"}", "\"bridge\"")]),
            "plugin 0 is odd",
        ),
        (list(&[("\"type\":\"bridge\"", "")]), "no type"),
        (list(&[("\"bridge\"", "[]")]), "type is not a string"),
        (list(&[("bridge", "podconfig-cni")]), "none to follow"),
    ];
    for (text, said) in cases {
        for mode in ["inline", "owned", "drop-in"] {
            let node = Node::with("10-a.conflist", &text);
            node.write("20-b.conflist", FLANNEL);
            node.refuses(&["--mode", mode], 1, said);
        }
    }
}

#[test]
fn odd_single_plugins_are_refused() {
    for (text, said) in [
        (FLANNEL, "belongs into a .conflist"),
        (r#"{"cniVersion":"1.0.0","type":"bridge"}"#, "name"),
        (r#"{"cniVersion":"1.0.0","name":"a"}"#, "no type"),
        (r#"{"name":"a","type":"bridge"}"#, "no cniVersion"),
        (
            r#"{"cniVersion":"1.0.0","name":"a","type":"podconfig-cni"}"#,
            "none to follow",
        ),
        ("{", "half-written"),
    ] {
        Node::with("10-a.conf", text).refuses(&[], 1, said);
    }
}

#[test]
fn a_conf_whose_copys_name_is_taken_is_refused() {
    let node = Node::with("10-a.conf", BRIDGE_CONF);
    node.write("10-a-podconfig.conflist", FLANNEL);
    // That one is the chain, as it comes first.
    node.installed(&[]);
    assert_eq!(node.read("10-a.conf"), BRIDGE_CONF);
    let node = Node::with("10-a.conf", BRIDGE_CONF);
    node.write("10-a-podconfig.conflist", FLANNEL);
    node.refuses(
        &["--conf-file", "10-a.conf"],
        1,
        "exists already and is not ours",
    );
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let node = Node::new();
    fs::write(node.conf("1.conflist"), b"{\"name\":\"\xff\"}").unwrap();
    node.refuses(&[], 1, "not UTF-8");
}

#[test]
fn a_file_over_one_mebibyte_is_refused() {
    let node = Node::with("1.conflist", &format!("{FLANNEL}{}", " ".repeat(1 << 20)));
    node.refuses(&[], 1, "larger than 1 MiB");
}

#[test]
fn a_pipe_is_refused_and_never_waited_for() {
    let node = Node::with("20-b.conflist", FLANNEL);
    let made = Command::new("mkfifo")
        .arg(node.conf("1.conflist"))
        .status()
        .unwrap();
    assert!(made.success());
    node.refuses(&[], 1, "not a regular file");
}

#[test]
fn a_refused_change_of_mode_keeps_what_is_there() {
    let node = Node::new();
    fs::write(node.path("real"), FLANNEL).unwrap();
    symlink("../real", node.conf("10-a.conflist")).unwrap();
    node.installed(&["--mode", "owned"]);
    node.refuses(&["--mode", "inline"], 1, "symbolic link");
    assert!(node.conf("00-podconfig.conflist").exists());
}

#[test]
fn links_are_never_replaced_by_files() {
    let node = Node::new();
    fs::write(node.path("real"), FLANNEL).unwrap();
    symlink("../real", node.conf("1.conflist")).unwrap();
    node.refuses(&[], 1, "symbolic link");
    assert!(node.conf("1.conflist").is_symlink());
}

#[test]
fn a_link_to_nowhere_or_to_a_folder_or_a_device_is_refused() {
    for (target, code, said) in [
        ("/nowhere", 3, "gone"),
        ("/tmp", 1, "not a regular file"),
        ("/dev/zero", 1, "not a regular file"),
    ] {
        let node = Node::new();
        symlink(target, node.conf("1.conflist")).unwrap();
        node.refuses(&[], code, said);
    }
}

#[test]
fn a_folder_without_a_chain_says_what_to_install_first() {
    Node::new().refuses(&[], 3, "Install the cluster's network plugin first");
    Node::with("readme.txt", "x").refuses(&[], 3, "--conf-dir");
}

#[test]
fn missing_folders_are_named_with_their_flag() {
    let node = Node::new();
    fs::remove_dir(node.path("net.d")).unwrap();
    node.refuses(&[], 3, "--conf-dir");
    let node = Node::with("1.conflist", FLANNEL);
    fs::remove_dir(node.path("bin")).unwrap();
    for mode in ["inline", "owned", "drop-in"] {
        node.refuses(&["--mode", mode], 1, "--bin-dir");
    }
}

#[test]
fn drop_ins_are_refused_where_no_runtime_would_read_them() {
    let inlined = FLANNEL.replacen('{', "{\"loadOnlyInlinedPlugins\": true,", 1);
    Node::with("1.conflist", &inlined).refuses(&["--mode", "drop-in"], 1, "loadOnlyInlinedPlugins");
    let as_text = inlined.replace(": true,", ": \"true\",");
    Node::with("1.conflist", &as_text).refuses(&["--mode", "drop-in"], 1, "loadOnlyInlinedPlugins");
    Node::with("1.conf", BRIDGE_CONF).refuses(&["--mode", "drop-in"], 1, ".conflist only");
}

#[test]
fn a_drop_in_of_the_same_name_that_is_not_ours_is_left_alone() {
    let node = Node::with("1.conflist", FLANNEL);
    fs::create_dir(node.conf("cbr0")).unwrap();
    node.write("cbr0/99-podconfig.conf", r#"{"type":"tuning"}"#);
    node.refuses(&["--mode", "drop-in"], 1, "not ours");
    let node = Node::with("1.conflist", FLANNEL);
    node.write("cbr0", "a file");
    node.refuses(&["--mode", "drop-in"], 1, "not a folder");
}

#[test]
fn multus_gets_no_copy_that_would_make_it_call_itself() {
    let thick = BRIDGE_CONF.replace("bridge", "multus-shim");
    let thin = BRIDGE_CONF.replace("bridge", "multus");
    for mode in ["owned", "inline"] {
        Node::with("05-meta.conf", &thick).refuses(&["--mode", mode], 1, "multus");
        Node::with("00-multus.conf", &thin).refuses(&["--mode", mode], 1, "--conf-file");
        // Its daemon passes over every name that begins so.
        let node = Node::with("00-multus.conf", &thick);
        node.write("10-flannel.conflist", FLANNEL);
        node.installed(&["--mode", mode]);
        assert_eq!(
            node.names(),
            [
                "00-multus-podconfig.conflist",
                "00-multus.conf",
                "10-flannel.conflist"
            ]
        );
        let list = node.json("00-multus-podconfig.conflist");
        assert_eq!(types(&list), ["multus-shim", "podconfig-cni"]);
    }
    let node = Node::with("00-multus.conf", &thin);
    node.write("10-flannel.conflist", FLANNEL);
    node.installed(&["--conf-file", "10-flannel.conflist"]);
    assert!(node.read("10-flannel.conflist").contains("podconfig-cni"));
    assert_eq!(node.read("00-multus.conf"), thin);
}

/// Runs an installer that has no rights on what root has written.
fn unprivileged(node: &Node, verb: &str) -> Output {
    let program = node.path("installer");
    if !program.exists() {
        fs::copy(INSTALLER, &program).unwrap();
    }
    fs::set_permissions(node.0.path(), Permissions::from_mode(0o755)).unwrap();
    let mut command = node.command(verb, &[]);
    let args: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    command = Command::new(program);
    command.args(args);
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        command.uid(65534).gid(65534);
    }
    command.output().unwrap()
}

#[test]
fn a_conf_folder_that_must_not_be_written_leaves_even_the_binary_out() {
    let node = Node::with("1.conflist", FLANNEL);
    fs::set_permissions(node.path("net.d"), Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(node.path("bin"), Permissions::from_mode(0o777)).unwrap();
    let output = unprivileged(&node, "install");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text.contains("1.conflist: Permission denied"), "{text}");
    assert_eq!(node.names(), ["1.conflist"]);
    assert_eq!(node.read("1.conflist"), FLANNEL);
    assert_eq!(names(&node.path("bin")), [""; 0]);
    fs::set_permissions(node.path("net.d"), Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_bin_folder_that_must_not_be_written_leaves_the_chain_alone() {
    let node = Node::with("1.conflist", FLANNEL);
    fs::set_permissions(node.path("net.d"), Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(node.path("bin"), Permissions::from_mode(0o555)).unwrap();
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        std::os::unix::fs::chown(node.conf("1.conflist"), Some(65534), Some(65534)).unwrap();
    }
    let output = unprivileged(&node, "install");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("bin/podconfig-cni: Permission denied"),
        "{output:?}"
    );
    assert_eq!(node.names(), ["1.conflist"]);
    assert_eq!(node.read("1.conflist"), FLANNEL);
    fs::set_permissions(node.path("bin"), Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn wrong_flags_are_told_with_a_code_of_their_own_and_help_is_given() {
    for args in [
        &["install", "--mod", "x"][..],
        &["uninstall", "--watch"],
        &["install", "--records", "relative"],
    ] {
        let output = Command::new(INSTALLER).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
        assert!(
            String::from_utf8_lossy(&output.stderr).contains("--help"),
            "{output:?}"
        );
    }
    let output = Command::new(INSTALLER)
        .args(["install", "--help"])
        .output()
        .unwrap();
    assert!(
        output.status.success() && String::from_utf8_lossy(&output.stdout).contains("libcni 1.3"),
        "{output:?}"
    );
}

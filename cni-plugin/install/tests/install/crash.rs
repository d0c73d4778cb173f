//! Killed at any moment, the installer leaves a node whose chain loads and whose plugins are there.

use super::*;

/// What a runtime finds at that moment.
fn must_load(node: &Node, when: &str) {
    let loaded = |name: &String| {
        let end = name.rsplit_once('.').map(|(_, end)| end);
        matches!(end, Some("conf" | "conflist" | "json"))
    };
    let names: Vec<String> = node.names().into_iter().filter(loaded).collect();
    assert!(!names.is_empty(), "{when}: no chain is left");
    for name in names {
        let text = node.read(&name);
        let chain: Result<Value, _> = serde_json::from_str(&text);
        assert!(chain.is_ok(), "{when}: {name} does not load: {text}");
        if text.contains("podconfig-cni") {
            assert!(
                node.binary().exists(),
                "{when}: {name} names a binary that is gone"
            );
        }
    }
}

/// Starts the installer and kills it after a while.
fn cut_short(node: &Node, verb: &str, more: &[&str], after: Duration) {
    let mut command = node.command(verb, more);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn killed_at_any_moment_it_leaves_a_chain_that_loads_and_a_way_back() {
    for (name, text) in [("10-a.conflist", FLANNEL), ("10-a.conf", BRIDGE_CONF)] {
        let node = Node::with(name, text);
        for round in 0..60_u64 {
            let mode = ["inline", "owned"][round as usize % 2];
            let after = Duration::from_micros(300 * (round / 2));
            cut_short(&node, "install", &["--mode", mode], after);
            must_load(
                &node,
                &format!("install --mode {mode} killed after {after:?}"),
            );
            if round % 5 == 4 {
                node.installed(&["--mode", mode]);
                cut_short(&node, "uninstall", &[], after);
                must_load(&node, &format!("uninstall killed after {after:?}"));
            }
        }
        node.uninstalled();
        assert_eq!(node.names(), [name]);
        assert_eq!(node.read(name), text);
        assert_eq!(names(&node.path("bin")), [""; 0]);
    }
}

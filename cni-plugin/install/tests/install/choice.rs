//! Which file is the chain, where it is not the first one.

use super::*;

const BROKEN: &str = "{ \"cniVersion\": ";

fn entries(node: &Node) -> Vec<String> {
    let has_entry =
        |name: &String| node.conf(name).is_file() && node.read(name).contains("podconfig-cni");
    node.names().into_iter().filter(has_entry).collect()
}

#[test]
fn a_broken_first_file_is_waited_for_and_the_flag_that_passes_over_it_is_named() {
    let node = Node::with("05-broken.conflist", BROKEN);
    node.write("10-flannel.conflist", FLANNEL);
    node.refuses(&[], 1, "CRI-O goes on to 10-flannel.conflist");
    node.refuses(&[], 1, "--skip-invalid");
}

#[test]
fn as_cri_o_it_goes_on_to_the_first_file_that_loads() {
    for broken in [
        BROKEN,
        "",
        "[]",
        r#"{"cniVersion":"1.0.0","name":"a"}"#,
        r#"{"cniVersion":"1.0.0","name":"a","plugins":[]}"#,
        r#"{"cniVersion":"1.0.0","name":"a","plugins":[{}]}"#,
    ] {
        for mode in ["inline", "owned"] {
            let node = Node::with("05-broken.conflist", broken);
            node.write("10-list-in-a.conf", FLANNEL);
            node.write("20-flannel.conflist", FLANNEL);
            node.installed(&["--skip-invalid", "--mode", mode]);
            let holder =
                ["20-flannel.conflist", "00-podconfig.conflist"][usize::from(mode == "owned")];
            assert_eq!(entries(&node), [holder], "{broken}");
            assert_eq!(node.read("05-broken.conflist"), broken);
        }
    }
    let node = Node::with("05-broken.conflist", BROKEN);
    node.refuses(&["--skip-invalid"], 3, "that loads");
}

#[test]
fn what_a_runtime_would_load_is_never_passed_over() {
    // Loaded by runtimes, and not understood here: there the entry belongs, and not into the next file.
    let odd = FLANNEL.replace("0.3.1", "9.0.0");
    let node = Node::with("05-odd.conflist", &odd);
    node.write("10-flannel.conflist", FLANNEL);
    node.refuses(&["--skip-invalid"], 1, "9.0.0");
}

#[test]
fn the_chain_may_be_named_by_its_network_or_by_its_file() {
    for flag in [["--network", "pods"], ["--conf-file", "20-bridge.conf"]] {
        let node = Node::with("05-broken.conflist", BROKEN);
        node.write("10-flannel.conflist", FLANNEL);
        node.write("20-bridge.conf", BRIDGE_CONF);
        node.installed(&flag);
        assert_eq!(entries(&node), ["20-bridge-podconfig.conflist"]);
        assert_eq!(node.read("10-flannel.conflist"), FLANNEL);
        fs::remove_file(node.conf("20-bridge.conf")).unwrap();
        assert_eq!(node.install(&flag).status.code(), Some(3));
        assert_eq!(entries(&node), [""; 0]);
    }
    let node = Node::with("10-flannel.conflist", FLANNEL);
    node.refuses(&["--network", "pods"], 3, "--network");
    node.refuses(&["--conf-file", "20-bridge.conf"], 3, "20-bridge.conf");
}

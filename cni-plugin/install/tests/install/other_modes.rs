//! Modes `owned` and `drop-in`, and the way from one mode to another.

use super::*;

#[test]
fn an_owned_copy_sorts_first_and_differs_by_the_entry_alone() {
    let node = Node::with("10-flannel.conflist", FLANNEL);
    fs::set_permissions(
        node.conf("10-flannel.conflist"),
        Permissions::from_mode(0o600),
    )
    .unwrap();
    node.installed(&["--mode", "owned"]);
    assert_eq!(
        node.names(),
        ["00-podconfig.conflist", "10-flannel.conflist"]
    );
    assert_eq!(node.read("10-flannel.conflist"), FLANNEL);
    assert_eq!(
        node.conf("00-podconfig.conflist")
            .metadata()
            .unwrap()
            .mode()
            & 0o7777,
        0o600
    );
    let mut copy = node.json("00-podconfig.conflist");
    let ours = copy["plugins"].as_array_mut().unwrap().pop().unwrap();
    assert_eq!(copy, node.json("10-flannel.conflist"));
    assert_eq!(ours["copyOf"], "10-flannel.conflist");
}

#[test]
fn an_owned_copy_of_a_conf_is_a_list_and_the_conf_stays() {
    let node = Node::with("10-bridge.conf", BRIDGE_CONF);
    node.installed(&["--mode", "owned"]);
    assert_eq!(
        types(&node.json("00-podconfig.conflist")),
        ["bridge", "podconfig-cni"]
    );
    assert_eq!(node.read("10-bridge.conf"), BRIDGE_CONF);
}

#[test]
fn a_copy_follows_the_primary_and_goes_with_it() {
    let node = Node::with("10-flannel.conflist", FLANNEL);
    node.installed(&["--mode", "owned"]);
    node.write("10-flannel.conflist", &FLANNEL.replace("1.450e3", "9000"));
    node.installed(&["--mode", "owned"]);
    assert!(node.read("00-podconfig.conflist").contains("9000"));
    node.write("05-calico.conflist", &FLANNEL.replace("flannel", "calico"));
    node.installed(&["--mode", "owned"]);
    assert_eq!(
        types(&node.json("00-podconfig.conflist")),
        ["calico", "portmap", "podconfig-cni"]
    );
    fs::remove_file(node.conf("05-calico.conflist")).unwrap();
    fs::remove_file(node.conf("10-flannel.conflist")).unwrap();
    let output = node.install(&["--mode", "owned"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert_eq!(node.names(), [""; 0]);
}

#[test]
fn a_copy_stays_while_its_primary_is_half_written_and_goes_when_it_cannot_follow() {
    let node = Node::with("10-flannel.conflist", FLANNEL);
    node.installed(&["--mode", "owned"]);
    node.write("10-flannel.conflist", &FLANNEL[..40]);
    node.refuses(&["--mode", "owned"], 1, "half-written");
    node.write("10-flannel.conflist", &FLANNEL.replace("0.3.1", "2.0.0"));
    assert_eq!(node.install(&["--mode", "owned"]).status.code(), Some(1));
    assert_eq!(node.names(), ["10-flannel.conflist"]);
}

#[test]
fn a_copy_finds_a_name_before_an_early_primary() {
    let node = Node::with("00-early.conflist", FLANNEL);
    node.installed(&["--mode", "owned"]);
    assert_eq!(node.names(), ["0-podconfig.conflist", "00-early.conflist"]);
    fs::rename(
        node.conf("00-early.conflist"),
        node.conf("10-late.conflist"),
    )
    .unwrap();
    node.installed(&["--mode", "owned"]);
    assert_eq!(node.names(), ["00-podconfig.conflist", "10-late.conflist"]);
    node.uninstalled();
    assert_eq!(node.names(), ["10-late.conflist"]);
}

#[test]
fn a_file_with_the_name_of_our_copy_that_is_not_ours_is_the_primary() {
    let node = Node::with("00-podconfig.conflist", FLANNEL);
    node.installed(&["--mode", "owned"]);
    assert_eq!(
        node.names(),
        ["0-podconfig.conflist", "00-podconfig.conflist"]
    );
    node.uninstalled();
    assert_eq!(node.read("00-podconfig.conflist"), FLANNEL);
}

#[test]
fn a_linked_primary_is_copied_through_the_link() {
    let node = Node::new();
    fs::write(node.path("real"), FLANNEL).unwrap();
    symlink(node.path("real"), node.conf("10-flannel.conflist")).unwrap();
    node.installed(&["--mode", "owned"]);
    assert!(node.conf("10-flannel.conflist").is_symlink());
    assert_eq!(fs::read_to_string(node.path("real")).unwrap(), FLANNEL);
    assert_eq!(
        types(&node.json("00-podconfig.conflist")),
        ["flannel", "portmap", "podconfig-cni"]
    );
}

#[test]
fn a_drop_in_lies_in_the_folder_of_its_network() {
    let node = Node::with("10-flannel.conflist", FLANNEL);
    node.installed(&["--mode", "drop-in"]);
    assert_eq!(node.names(), ["10-flannel.conflist", "cbr0"]);
    assert_eq!(names(&node.conf("cbr0")), ["99-podconfig.conf"]);
    assert_eq!(node.json("cbr0/99-podconfig.conf")["type"], "podconfig-cni");
    assert_eq!(node.read("10-flannel.conflist"), FLANNEL);
    node.uninstalled();
    assert_eq!(node.names(), ["10-flannel.conflist"]);
}

#[test]
fn the_drop_ins_of_others_stay_with_their_folder() {
    let node = Node::with("10-flannel.conflist", FLANNEL);
    fs::create_dir(node.conf("cbr0")).unwrap();
    node.write("cbr0/50-tuning.conf", r#"{"type":"tuning"}"#);
    node.installed(&["--mode", "drop-in"]);
    node.uninstalled();
    assert_eq!(names(&node.conf("cbr0")), ["50-tuning.conf"]);
}

#[test]
fn a_drop_in_moves_with_the_name_of_the_network() {
    let node = Node::with("10-flannel.conflist", FLANNEL);
    node.installed(&["--mode", "drop-in"]);
    node.write("10-flannel.conflist", &FLANNEL.replace("cbr0", "cbr1"));
    node.installed(&["--mode", "drop-in"]);
    assert_eq!(node.names(), ["10-flannel.conflist", "cbr1"]);
}

#[test]
fn every_way_from_mode_to_mode_leaves_one_entry_and_every_way_home_is_whole() {
    for (name, text) in [("10-a.conflist", FLANNEL), ("10-a.conf", BRIDGE_CONF)] {
        for from in ["inline", "owned", "drop-in"] {
            for to in ["inline", "owned", "drop-in"] {
                let node = Node::with(name, text);
                node.runs_a_pod();
                node.install(&["--mode", from]);
                let output = node.install(&["--mode", to]);
                if to == "drop-in" && name == "10-a.conf" {
                    assert_eq!(output.status.code(), Some(1), "{output:?}");
                } else {
                    let entries = node
                        .state()
                        .iter()
                        .filter(|(path, _, _, text)| {
                            path.starts_with(node.path("net.d"))
                                && String::from_utf8_lossy(text).contains("podconfig-cni")
                        })
                        .count();
                    assert_eq!(entries, 1, "{name} from {from} to {to}: {:?}", node.names());
                }
                node.uninstalled();
                assert_eq!(node.names(), [name], "from {from} to {to}");
                assert_eq!(node.read(name), text, "from {from} to {to}");
            }
        }
    }
}

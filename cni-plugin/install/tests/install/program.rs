//! Which program is installed: the one that `--plugin` names, or the plugin beside the installer.

use super::*;

/// A folder with a copy of the installer, and its path.
fn installer_in(node: &Node, folder: &str) -> PathBuf {
    fs::create_dir(node.path(folder)).unwrap();
    let installer = node.path(folder).join("podconfig-install");
    fs::copy(INSTALLER, &installer).unwrap();
    installer
}

#[test]
fn the_named_program_is_installed_and_may_be_run_by_all() {
    let node = Node::with("10-flannel.conflist", FLANNEL);
    fs::set_permissions(node.plugin(), Permissions::from_mode(0o500)).unwrap();
    node.installed(&[]);
    assert_eq!(fs::read_to_string(node.binary()).unwrap(), PLUGIN);
    assert_eq!(node.binary().metadata().unwrap().mode() & 0o7777, 0o755);
    assert_eq!(names(&node.path("bin")), ["podconfig-cni"]);
}

#[test]
fn without_a_name_it_is_the_plugin_beside_the_installer() {
    let node = Node::with("10-flannel.conflist", FLANNEL);
    let installer = installer_in(&node, "image");
    executable(&node.path("image/podconfig-cni"), "#!/bin/true\n");
    let output = node.bare_command(&installer, "install", &[]).output();
    assert!(output.as_ref().unwrap().status.success(), "{output:?}");
    assert_eq!(fs::read_to_string(node.binary()).unwrap(), "#!/bin/true\n");
}

#[test]
fn without_a_plugin_beside_it_nothing_is_changed_and_the_path_is_named() {
    let node = Node::with("10-flannel.conflist", FLANNEL);
    let installer = installer_in(&node, "image");
    let before = node.state();
    for more in [&[][..], &["--watch"]] {
        let output = node.bare_command(&installer, "install", more).output();
        let output = output.unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        for part in ["image/podconfig-cni: No such file", "--plugin"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
    assert_eq!(node.state(), before);
}

#[test]
fn a_file_that_cannot_be_the_plugin_is_refused() {
    let node = Node::with("10-flannel.conflist", FLANNEL);
    fs::write(node.path("plain"), "x").unwrap();
    executable(&node.path("empty"), "");
    let installer = installer_in(&node, "image");
    for (name, why) in [
        ("net.d", "not a file"),
        ("plain", "not executable"),
        ("empty", "empty"),
        ("image/podconfig-install", "the installer itself"),
        ("nowhere", "No such file"),
    ] {
        let plugin = node.path(name);
        let before = node.state();
        let mut command = node.bare_command(&installer, "install", &["--plugin"]);
        let output = command.arg(&plugin).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{name}: {output:?}");
        assert!(text.contains(why) && text.contains(name), "{name}: {text}");
        assert_eq!(node.state(), before, "{name}");
    }
}

#[test]
fn an_uninstallation_needs_no_plugin() {
    let node = Node::with("10-flannel.conflist", FLANNEL);
    node.installed(&[]);
    fs::remove_file(node.plugin()).unwrap();
    node.uninstalled();
    assert_eq!(node.read("10-flannel.conflist"), FLANNEL);
    assert!(!node.binary().exists());
}

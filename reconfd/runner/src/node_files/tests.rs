use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
};

use serde_json::json;

use super::*;

struct Node {
    root: tempfile::TempDir,
    files: NodeFiles,
}

impl Node {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("var/lib/cni/multus/results")).unwrap();
        let files = NodeFiles {
            root: root.path().to_owned(),
            multus_cni_dir: "/var/lib/cni/multus".into(),
            multus_conf_dir: "/etc/cni/multus/net.d".into(),
            conf_dir: "/etc/cni/net.d".into(),
        };
        Self { root, files }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root
            .path()
            .join("var/lib/cni/multus/results")
            .join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn find(&self, container_id: &str, ifname: &str) -> FileResponse {
        self.files.answer(&FileRequest::MultusAttachment {
            container_id: container_id.into(),
            ifname: ifname.into(),
        })
    }

    fn remove(&self, network: &str, ifname: &str) -> FileResponse {
        self.files.answer(&FileRequest::RemoveMultusAttachment {
            network: network.into(),
            container_id: "c1".into(),
            ifname: ifname.into(),
        })
    }
}

fn cached(network: &str, container_id: &str, ifname: &str) -> String {
    json!({"kind": "cniCacheV1", "networkName": network, "containerId": container_id, "ifName": ifname}).to_string()
}

#[test]
fn a_file_is_found_by_container_and_interface_alone() {
    let node = Node::new();
    let text = cached("fast", "c1", "net1");
    node.write("fast-c1-net1", &text);
    node.write("fast-c1-net11", "{}");
    node.write("fast-c2-net1", "{}");
    node.write("-c1-net1", "{}");
    let name = "fast-c1-net1".into();
    assert_eq!(node.find("c1", "net1"), FileResponse::Found { name, text });
    assert_eq!(node.find("c3", "net1"), FileResponse::Missing);
    assert_eq!(node.find("1", "net1"), FileResponse::Missing);
    node.write("slow-c1-net1", "{}");
    assert!(matches!(node.find("c1", "net1"), FileResponse::Refused(_)));
}

#[test]
fn neither_a_path_nor_the_pods_own_interface_is_looked_for() {
    let node = Node::new();
    for (container_id, ifname) in [
        ("../c1", "net1"),
        ("c1", "../net1"),
        ("c1", "eth0"),
        ("c1", ""),
        ("", "net1"),
    ] {
        let answer = node.find(container_id, ifname);
        assert!(
            matches!(answer, FileResponse::Refused(_)),
            "{container_id} {ifname}"
        );
    }
    assert!(matches!(
        node.remove("../../fast", "net1"),
        FileResponse::Refused(_)
    ));
    assert!(matches!(
        node.remove("fast", "eth0"),
        FileResponse::Refused(_)
    ));
}

#[test]
fn only_a_file_of_the_attachment_is_removed() {
    let node = Node::new();
    node.write("fast-c1-net1", &cached("fast", "c1", "net1"));
    node.write("fast-c1-net2", &cached("fast", "c1", "other"));
    node.write("fast-c1-net3", "{\"kind\":");
    assert_eq!(node.remove("fast", "net1"), FileResponse::Missing);
    assert!(!node.path("fast-c1-net1").exists());
    assert_eq!(node.remove("fast", "net1"), FileResponse::Missing);
    for ifname in ["net2", "net3"] {
        assert!(matches!(
            node.remove("fast", ifname),
            FileResponse::Refused(_)
        ));
        assert!(node.path(&format!("fast-c1-{ifname}")).exists());
    }
}

#[test]
fn a_link_a_pipe_and_a_file_of_others_are_not_read() {
    let node = Node::new();
    fs::write(node.root.path().join("secret"), "{}").unwrap();
    symlink(node.root.path().join("secret"), node.path("fast-c1-net1")).unwrap();
    nix::unistd::mkfifo(&node.path("fast-c1-net2"), Mode::S_IRUSR).unwrap();
    node.write("fast-c1-net3", "{}");
    fs::set_permissions(node.path("fast-c1-net3"), fs::Permissions::from_mode(0o666)).unwrap();
    node.write("fast-c1-net4", &" ".repeat(3 << 20));
    for ifname in ["net1", "net2", "net3", "net4"] {
        assert!(
            matches!(node.find("c1", ifname), FileResponse::Refused(_)),
            "{ifname}"
        );
    }
}

/// A missing folder says nothing about what is attached: the flag may name another one than Multus uses.
#[test]
fn a_missing_folder_is_no_missing_file() {
    let node = Node::new();
    let files = NodeFiles {
        multus_cni_dir: "/var/lib/cni/other".into(),
        ..node.files.clone()
    };
    let request = FileRequest::MultusAttachment {
        container_id: "c1".into(),
        ifname: "net1".into(),
    };
    let FileResponse::Refused(why) = files.answer(&request) else {
        unreachable!("it was answered");
    };
    assert!(why.contains("/var/lib/cni/other/results"), "{why}");
}

/// On a node such a folder may be elsewhere; a link means the node's path, not the runner's.
#[test]
fn a_link_to_a_folder_is_the_nodes() {
    let node = Node::new();
    node.write("fast-c1-net1", "{}");
    symlink("/var/lib/cni", node.root.path().join("cni")).unwrap();
    let files = NodeFiles {
        multus_cni_dir: "/cni/multus".into(),
        ..node.files.clone()
    };
    let request = FileRequest::MultusAttachment {
        container_id: "c1".into(),
        ifname: "net1".into(),
    };
    assert!(matches!(files.answer(&request), FileResponse::Found { .. }));
}

#[test]
fn the_plugins_of_the_nodes_own_chains_are_found_and_their_ipam_is_not() {
    let node = Node::new();
    let none = FileResponse::NodeNetworks(Default::default());
    assert_eq!(node.files.answer(&FileRequest::NodeNetworks), none);
    let folder = node.root.path().join("etc/cni/net.d");
    fs::create_dir_all(&folder).unwrap();
    let list = json!({"name": "cbr0", "plugins": [
        {"type": "flannel", "delegate": {"type": "bridge", "ipam": {"type": "host-local"}}}, {"type": "portmap"}]});
    let multus = json!({"name": "multus", "type": "multus", "delegates": [{"name": "cni0", "plugins": [{"type": "ptp"}]}]});
    fs::write(folder.join("10-flannel.conflist"), list.to_string()).unwrap();
    fs::write(folder.join("00-multus.conf"), multus.to_string()).unwrap();
    fs::write(folder.join("99-torn.conf"), "{").unwrap();
    fs::write(
        folder.join("99-old.conf.bak"),
        json!({"type": "calico"}).to_string(),
    )
    .unwrap();
    symlink("/etc/cni/other", folder.join("50-link.conf")).unwrap();
    fs::write(
        node.root.path().join("etc/cni/other"),
        json!({"type": "linked"}).to_string(),
    )
    .unwrap();
    let FileResponse::NodeNetworks(found) = node.files.answer(&FileRequest::NodeNetworks) else {
        unreachable!("it was refused");
    };
    let types: Vec<_> = found.types.iter().map(String::as_str).collect();
    assert_eq!(
        types,
        ["bridge", "flannel", "linked", "multus", "portmap", "ptp"]
    );
    let networks: Vec<_> = found.networks.iter().map(String::as_str).collect();
    assert_eq!(networks, ["cbr0", "cni0", "multus"]);
}

impl Node {
    /// A file of Multus' confDir.
    fn configure(&self, name: &str, text: &str) {
        let folder = self.root.path().join("etc/cni/multus/net.d");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), text).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o644)).unwrap();
    }

    /// The name of the file that has the network's configuration, or why none does.
    fn configuration_of(&self, network: &str) -> Result<String, String> {
        let network = network.into();
        let request = FileRequest::NodeConfiguration { network };
        match self.files.answer(&request) {
            FileResponse::Found { name, .. } => Ok(name),
            FileResponse::Missing => Ok(String::new()),
            other => Err(format!("{other:?}")),
        }
    }
}

#[test]
fn the_first_file_of_a_network_has_its_configuration() {
    let node = Node::new();
    assert_eq!(node.configuration_of("fast"), Ok(String::new()));
    node.configure("20-b.conf", r#"{"name": "fast", "type": "ptp"}"#);
    node.configure("10-a.conflist", r#"{"name": "fast", "plugins": []}"#);
    node.configure("30-c.json", r#"{"name": "slow", "type": "ptp"}"#);
    node.configure("00-a.conf.bak", "{");
    assert_eq!(node.configuration_of("fast"), Ok("10-a.conflist".into()));
    assert_eq!(node.configuration_of("slow"), Ok("30-c.json".into()));
    assert_eq!(node.configuration_of("none"), Ok(String::new()));
}

#[test]
fn a_file_that_cannot_be_used_ends_the_search() {
    let node = Node::new();
    node.configure("20.conf", r#"{"name": "fast", "type": "ptp"}"#);
    for (text, why) in [
        ("{", "it is no network configuration"),
        (r#"{"name": 5}"#, "it is no network configuration"),
        (r#"{"name": "fast", "plugins": []}"#, "it has no type"),
    ] {
        node.configure("10.conf", text);
        let said = node.configuration_of("fast").unwrap_err();
        assert!(
            said.contains("/etc/cni/multus/net.d/10.conf (--multus-conf-dir)"),
            "{said}"
        );
        assert!(said.contains(why), "{said}");
    }
    node.configure("10.conf", r#"{"name": "other", "type": "ptp"}"#);
    assert_eq!(node.configuration_of("fast"), Ok("20.conf".into()));
    let folder = node.root.path().join("etc/cni/multus/net.d");
    fs::set_permissions(folder.join("10.conf"), fs::Permissions::from_mode(0o666)).unwrap();
    let said = node.configuration_of("fast").unwrap_err();
    assert!(said.contains("not root alone may write it"), "{said}");
    fs::remove_file(folder.join("10.conf")).unwrap();
    nix::unistd::mkfifo(&folder.join("10.conf"), Mode::S_IRUSR).unwrap();
    let said = node.configuration_of("fast").unwrap_err();
    assert!(said.contains("not a plain file"), "{said}");
}

#[test]
fn no_path_is_the_name_of_a_network() {
    let node = Node::new();
    node.configure("10.conf", r#"{"name": "../fast", "type": "ptp"}"#);
    for name in ["../fast", "", "/etc/passwd"] {
        assert!(node.configuration_of(name).is_err(), "{name}");
    }
}

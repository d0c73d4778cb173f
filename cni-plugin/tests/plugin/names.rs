//! Names and namespaces that nobody should send: the pod starts, and nothing is written that is not proved.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::OsStringExt;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::harness::Node;
use crate::outcome::starts_without_record;

#[test]
fn what_is_no_network_namespace_gets_no_record() {
    let node = Node::new();
    File::create(node.path("file")).unwrap();
    mkfifo(&node.path("fifo"), Mode::S_IRWXU).unwrap();
    let cases = [
        (node.path("file"), "is not a namespace"),
        (node.path("fifo"), "is not a namespace"),
        (node.path("netns"), "is not a namespace"),
        (node.path("absent"), "No such file"),
        ("/dev/zero".into(), "is not a namespace"),
        ("/proc/self/ns/uts".into(), "another type"),
        ("/proc/self/ns/net".into(), "the caller's own namespace"),
        ("netns/pod".into(), "not an absolute path"),
        (node.path("netns/../netns/pod"), "not an absolute path"),
        (node.path("a\npodconfig-cni: all is well"), "No such file"),
        (
            OsString::from_vec(b"/run/\xff".to_vec()).into(),
            "not an absolute path",
        ),
    ];
    for (path, why) in cases {
        starts_without_record(&node, &node.call("ADD").env("CNI_NETNS", path), why);
    }
}

#[test]
fn a_container_id_that_leaves_the_folder_gets_no_record() {
    let node = Node::new();
    for id in [
        "..",
        "../../etc/cron.d/x",
        "a/b",
        "/a",
        ".hidden",
        "-rf",
        "a b",
        "a\nb",
        "a\u{1b}[2J",
        "é",
        &"a".repeat(300),
    ] {
        starts_without_record(
            &node,
            &node.call("ADD").env("CNI_CONTAINERID", id),
            "containerId",
        );
    }
    let bytes = OsString::from_vec(b"a\xff".to_vec());
    starts_without_record(
        &node,
        &node.call("ADD").env("CNI_CONTAINERID", bytes),
        "containerId",
    );
}

#[test]
fn an_interface_name_that_is_none_gets_no_record() {
    let node = Node::new();
    for name in [
        "..",
        ".",
        "a/b",
        "../x",
        "eth%d",
        "sixteen-bytes-16",
        "eth0\n",
        "eth 0",
        "eth:0",
        "é",
    ] {
        starts_without_record(&node, &node.call("ADD").env("CNI_IFNAME", name), "ifname");
    }
}

#[test]
fn arguments_that_name_no_pod_get_no_record() {
    let node = Node::new();
    for args in [
        "",
        "IgnoreUnknown=1",
        "K8S_POD_NAME=b",
        ";;;=;=",
        "K8S_POD_NAMESPACE=a;K8S_POD_NAME=",
    ] {
        starts_without_record(
            &node,
            &node.call("ADD").env("CNI_ARGS", args),
            "CNI_ARGS has no",
        );
    }
}

/// Attack 21: CNI_ARGS that lead elsewhere. Whoever may call the plugin is root already.
#[test]
fn pod_names_that_kubernetes_never_gives_get_no_record() {
    let node = Node::new();
    for name in [
        "../x",
        "a/b",
        "A",
        "a\nb",
        "%d",
        "a b",
        "\u{202e}a",
        &"a".repeat(254),
    ] {
        let args = format!("K8S_POD_NAMESPACE=a;K8S_POD_NAME={name}");
        starts_without_record(&node, &node.call("ADD").env("CNI_ARGS", args), "podName");
        let args = format!("K8S_POD_NAMESPACE={name};K8S_POD_NAME=a");
        starts_without_record(
            &node,
            &node.call("ADD").env("CNI_ARGS", args),
            "podNamespace",
        );
    }
}

#[test]
fn an_odd_uid_is_left_out() {
    let node = Node::new();
    let args = "K8S_POD_NAMESPACE=a;K8S_POD_NAME=b;K8S_POD_UID=../../x\ny";
    let outcome = node
        .call("ADD")
        .env("CNI_ARGS", args)
        .run()
        .passes_through();
    outcome.says("K8S_POD_UID").keeps_to_its_lines();
    assert_eq!(node.record().unwrap().pod_uid, None);
}

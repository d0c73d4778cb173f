//! ADD and VERSION as they should go.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use serde_json::{Value, json};

use crate::harness::{Node, RESULT, VERSIONS};
use crate::outcome::starts_without_record;

#[test]
fn add_passes_the_result_on_byte_for_byte_in_every_version() {
    for version in VERSIONS {
        let node = Node::new();
        let outcome = node.call("ADD").version(version).run();
        outcome.prints(&RESULT.replace("1.1.0", version)).quietly();
        assert_eq!(node.record().unwrap().network, "cluster");
        assert_eq!(node.files(), 1);
    }
}

#[test]
fn the_record_says_where_the_pod_is() {
    let node = Node::new();
    let capability =
        r#"{"io.kubernetes.cri.pod-annotations":{"a/b":"c\nd","e":""},"portMappings":[]}"#;
    node.call("ADD")
        .config("runtimeConfig", capability)
        .run()
        .passes_through()
        .quietly();
    let record = node.record().unwrap();
    let file = std::fs::metadata(node.netns_path("pod")).unwrap();
    assert_eq!((record.device, record.inode), (file.dev(), file.ino()));
    assert_eq!(record.netns, node.netns_path("pod"));
    assert_eq!(
        (record.pod_namespace.as_str(), record.pod_name.as_str()),
        ("tenant-a", "web-0")
    );
    assert_eq!(record.pod_uid.as_deref(), Some("11-22"));
    assert_eq!(record.addresses, ["10.1.2.3/24", "fd00::3/64"]);
    assert_eq!(json!(record.annotations), json!({"a/b": "c\nd", "e": ""}));
    assert_eq!(record.boot_id, sandbox_record::boot_id().unwrap());
    let (written, now) = (record.since_boot, sandbox_record::since_boot());
    assert!(written.is_some() && written <= now, "{written:?} {now:?}");
    let netns = sandbox_record::netns::NetnsFolders::new(&[node.path("netns")]);
    assert_eq!(
        netns.open(&record.netns).unwrap().identity(),
        record.identity()
    );
}

#[test]
fn only_root_reads_the_record() {
    let node = Node::with_record();
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(node.path("records")), 0o700);
    assert_eq!(mode(node.path("records/c0ffee.eth0.json")), 0o600);
}

#[test]
fn a_pod_without_a_uid_has_a_record() {
    let node = Node::new();
    let call = node
        .call("ADD")
        .env("CNI_ARGS", "K8S_POD_NAME=b;K8S_POD_NAMESPACE=a");
    call.run().passes_through().quietly();
    assert_eq!(node.record().unwrap().pod_uid, None);
}

#[test]
fn an_add_that_is_repeated_replaces_the_record() {
    let node = Node::with_record();
    let before = node.record().unwrap();
    node.end_netns("pod");
    node.call("ADD").run().passes_through();
    let after = node.record().unwrap();
    assert_ne!(before.cookie, after.cookie);
    assert!(before.time < after.time);
    assert_eq!(node.files(), 1);
}

#[test]
fn add_without_a_usable_result_is_a_broken_chain() {
    let node = Node::new();
    node.call("ADD").without("prevResult").run().fails_with(7);
    for result in ["null", "[]", "\"x\"", "7", "true"] {
        node.call("ADD")
            .config("prevResult", result)
            .run()
            .fails_with(7);
    }
    assert_eq!(node.files(), 0);
}

#[test]
fn a_result_in_another_version_than_the_chain_is_passed_on_and_recorded() {
    let ips = r#"[{"address":"10.0.0.5/24"}]"#;
    let old = r#"{"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.5/24"},"dns":{}}"#.to_owned();
    let in_version = |version: &str| format!(r#"{{"cniVersion":{version},"ips":{ips}}}"#);
    for (chain, result) in [
        ("0.4.0", in_version("\"1.1.0\"")),
        ("0.3.1", in_version("\"1.0.0\"")),
        ("1.0.0", in_version("\"0.3.1\"")),
        ("1.0.0", in_version("\"7.0.0\"")),
        ("1.0.0", in_version("7")),
        ("0.3.1", old),
    ] {
        let node = Node::new();
        let call = node.call("ADD").version(chain);
        let outcome = call.config("prevResult", &result).run().prints(&result);
        outcome.says("passed on as it came").keeps_to_its_lines();
        assert_eq!(node.record().unwrap().addresses, ["10.0.0.5/24"]);
    }
}

#[test]
fn a_chain_in_a_version_that_is_not_known_starts_its_pods() {
    for version in [
        "\"0.1.0\"",
        "\"0.2.0\"",
        "\"1.2.0\"",
        "\"2.0.0\"",
        "\"\"",
        "\"1.1.0\\n\"",
        "null",
        "7",
    ] {
        let node = Node::new();
        let call = node.call("ADD").config("cniVersion", version);
        call.run().passes_through().says("cniVersion");
        assert!(node.record().is_some(), "{version}");
        let call = node.call("ADD").config("cniVersion", version);
        let code = if version == "7" { 6 } else { 1 };
        call.without("prevResult").run().fails_with(code);
    }
    let node = Node::new();
    let outcome = node.call("ADD").without("cniVersion").run();
    outcome.passes_through().says("0.1.0");
}

#[test]
fn a_pod_starts_though_a_required_variable_is_missing() {
    let node = Node::new();
    for name in ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"] {
        starts_without_record(&node, &node.call("ADD").env(name, ""), name);
    }
    node.call("ADD").env("CNI_PATH", "").run().passes_through();
}

#[test]
fn a_command_that_nobody_knows_is_refused() {
    for command in ["add", "ADD ", "LIST", "ADD\n", "\u{1f980}"] {
        Node::new().call(command).run().fails_with(4);
    }
}

#[test]
fn version_answers_whoever_asks() {
    let node = Node::new();
    let supported = json!(VERSIONS);
    let asks = [
        (r#"{"cniVersion":"1.0.0"}"#, "1.0.0"),
        (r#"{"cniVersion":"0.4.0"}"#, "0.4.0"),
        (r#"{"cniVersion":"9.9.9"}"#, "9.9.9"),
        (r#"{"cniVersion":7}"#, "1.1.0"),
        (r#"{"cniVersion":"x\n"}"#, "1.1.0"),
        ("", "1.1.0"),
        ("no json", "1.1.0"),
    ];
    for (stdin, version) in asks {
        let outcome = node.call("VERSION").stdin(stdin).run();
        assert_eq!(outcome.code, Some(0));
        let answer: Value = serde_json::from_str(&outcome.stdout).unwrap();
        let stated = if stdin.is_empty() || stdin == "no json" {
            "1.1.0"
        } else {
            version
        };
        assert_eq!(
            answer,
            json!({"cniVersion": stated, "supportedVersions": supported})
        );
    }
}

#[test]
fn a_person_without_a_runtime_is_told_what_this_is() {
    let run = |args: &[&str]| {
        let mut command = std::process::Command::new(crate::harness::PLUGIN);
        command
            .args(args)
            .env_remove("CNI_COMMAND")
            .output()
            .unwrap()
    };
    let help = run(&["--help"]);
    assert!(help.status.success() && String::from_utf8_lossy(&help.stdout).contains("install"));
    let version = run(&["--version"]);
    assert!(String::from_utf8_lossy(&version.stdout).contains(env!("CARGO_PKG_VERSION")));
    let moved = run(&["install", "--mode", "owned"]);
    assert_eq!(moved.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&moved.stderr).contains("podconfig-install install"));
    let bare = run(&[]);
    assert_eq!(bare.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&bare.stderr).contains("CNI chain"));
    let error: Value = serde_json::from_slice(&bare.stdout).unwrap();
    assert_eq!(error["code"], 4);
}

#[test]
fn the_sample_chain_entry_is_what_the_plugin_reads() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../conf/chain-entry.json");
    let entry: Value = serde_json::from_str(&std::fs::read_to_string(sample).unwrap()).unwrap();
    assert_eq!(entry["type"], cni_plugin::PLUGIN_TYPE);
    assert_eq!(entry["recordsDir"], sandbox_record::DEFAULT_RECORDS_DIR);
    assert_eq!(
        entry["capabilities"],
        json!({"io.kubernetes.cri.pod-annotations": true})
    );
}

use super::*;
use crate::frozen::tests::{chain, object};

const INPUT: PluginInput<'static> = PluginInput {
    prev_result: None,
    has_netns: true,
    cni_path: "/opt/cni/bin",
    valid_attachments: &[],
};

fn stdin(request: &PluginRequest) -> Map<String, Value> {
    object(serde_json::from_slice(&request.stdin).unwrap())
}

fn variable<'a>(request: &'a PluginRequest, name: &str) -> &'a str {
    let found = request.environment.iter().find(|(key, _)| *key == name);
    &found.unwrap().1
}

fn result() -> CniResult {
    let text = r#"{"cniVersion":"1.0.0","interfaces":[{"name":"net1","sandbox":"/n"}]}"#;
    CniResult::parse(text.as_bytes(), Version::V1_0_0).unwrap()
}

fn bridge() -> Value {
    json!({"type": "bridge", "capabilities": {"ips": true, "mac": false, "portMappings": true}})
}

#[test]
fn add_gets_the_object_the_name_and_the_declared_capabilities() {
    let request = chain(Version::V0_3_1, &[bridge()])
        .request(0, Command::Add, INPUT)
        .unwrap();
    let expected = json!({
        "type": "bridge", "name": "fast", "cniVersion": "0.3.1",
        "capabilities": {"ips": true, "mac": false, "portMappings": true},
        "runtimeConfig": {"ips": ["10.0.0.5/24"]},
    });
    assert_eq!(Value::Object(stdin(&request)), expected);
}

#[test]
fn the_environment_is_cni_and_path_alone() {
    let request = chain(Version::V0_3_1, &[bridge()])
        .request(0, Command::Add, INPUT)
        .unwrap();
    let expected = [
        ("CNI_COMMAND", "ADD"),
        ("CNI_CONTAINERID", "abc"),
        ("CNI_NETNS", "/run/netns/abc"),
        ("CNI_IFNAME", "net1"),
        ("CNI_ARGS", "IgnoreUnknown=true;K8S_POD_NAMESPACE=team"),
        ("CNI_PATH", "/opt/cni/bin"),
        ("PATH", PATH),
    ];
    assert_eq!(
        request.environment,
        expected.map(|(key, value)| (key, value.to_owned()))
    );
}

#[test]
fn attack_10_a_forged_result_or_runtime_config_reaches_no_plugin() {
    let forged = json!({
        "type": "portmap", "prevResult": {"x": 1}, "RuntimeConfig": {"portMappings": []}, "CNIVERSION": "0.1.0",
        "Name": "cbr0", "cni.dev/valid-attachments": [], "CNI.DEV/attachments": [], "snat": true,
    });
    let chain = chain(Version::V1_1_0, &[forged]);
    for command in [Command::Add, Command::Del, Command::Check, Command::Status] {
        let request = chain.request(0, command, INPUT).unwrap();
        let expected =
            json!({"type": "portmap", "name": "fast", "cniVersion": "1.1.0", "snat": true});
        assert_eq!(Value::Object(stdin(&request)), expected, "{command}");
    }
}

#[test]
fn the_result_before_is_rendered_in_the_version_of_the_chain() {
    let result = result();
    let input = PluginInput {
        prev_result: Some(&result),
        ..INPUT
    };
    let request = chain(Version::V0_4_0, &[bridge()])
        .request(0, Command::Check, input)
        .unwrap();
    assert_eq!(stdin(&request)["prevResult"]["cniVersion"], "0.4.0");
    assert_eq!(
        stdin(&request)["prevResult"]["interfaces"][0]["name"],
        "net1"
    );
}

#[test]
fn del_gets_the_result_from_0_4_0_on() {
    let result = result();
    let input = PluginInput {
        prev_result: Some(&result),
        ..INPUT
    };
    for version in Version::ALL {
        let request = chain(version, &[bridge()])
            .request(0, Command::Del, input)
            .unwrap();
        assert_eq!(
            stdin(&request).contains_key("prevResult"),
            version >= Version::V0_4_0,
            "{version}"
        );
    }
}

#[test]
fn del_without_a_namespace_has_an_empty_netns() {
    let input = PluginInput {
        has_netns: false,
        ..INPUT
    };
    let request = chain(Version::V1_0_0, &[bridge()])
        .request(0, Command::Del, input)
        .unwrap();
    assert_eq!(variable(&request, "CNI_NETNS"), "");
    assert_eq!(variable(&request, "CNI_IFNAME"), "net1");
}

#[test]
fn commands_that_a_version_does_not_have_are_refused() {
    for (command, version) in [
        (Command::Check, Version::V0_3_1),
        (Command::Status, Version::V1_0_0),
        (Command::Gc, Version::V1_0_0),
    ] {
        let refused = chain(version, &[bridge()]).request(0, command, INPUT);
        assert_eq!(refused, Err(RequestError::NotInVersion(command, version)));
    }
}

#[test]
fn gc_and_status_are_about_no_attachment() {
    let valid = [ValidAttachment {
        container_id: "abc".into(),
        ifname: "net1".into(),
    }];
    let result = result();
    let input = PluginInput {
        valid_attachments: &valid,
        prev_result: Some(&result),
        ..INPUT
    };
    let chain = chain(Version::V1_1_0, &[bridge()]);
    let gc = chain.request(0, Command::Gc, input).unwrap();
    let listed = json!([{"containerID": "abc", "ifname": "net1"}]);
    assert_eq!(stdin(&gc)["cni.dev/valid-attachments"], listed);
    let status = chain.request(0, Command::Status, input).unwrap();
    assert!(!stdin(&status).contains_key("cni.dev/valid-attachments"));
    for request in [&gc, &status] {
        assert!(!stdin(request).contains_key("runtimeConfig"));
        assert!(!stdin(request).contains_key("prevResult"));
        for name in ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS"] {
            assert_eq!(variable(request, name), "");
        }
    }
}

#[test]
fn version_needs_no_chain() {
    let request = version_request("/opt/cni/bin");
    assert_eq!(
        Value::Object(stdin(&request)),
        json!({"cniVersion": "1.1.0"})
    );
    assert_eq!(variable(&request, "CNI_COMMAND"), "VERSION");
    let chain = chain(Version::V1_1_0, &[bridge()]);
    assert_eq!(
        chain.request(0, Command::Version, INPUT),
        Err(RequestError::NotOfChain)
    );
    assert_eq!(
        chain.request(1, Command::Add, INPUT),
        Err(RequestError::NoPlugin(1))
    );
}

#[test]
fn a_chain_that_was_changed_in_its_file_is_not_run() {
    let mut chain = chain(Version::V1_1_0, &[bridge()]);
    chain.ifname = "a;b c".into();
    assert!(matches!(
        chain.request(0, Command::Add, INPUT),
        Err(RequestError::Chain(_))
    ));
}

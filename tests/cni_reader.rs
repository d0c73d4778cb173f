//! Plugins read what podconfig judged: Go's own decoder is the witness. It needs Go.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    thread,
};

use cni::{AttachmentInput, NetworkConfig, PluginInput, Trust, plugin_types};
use serde_json::{Map, Value, json};

use self::random::Written;

mod random;
/// Results in other versions.
mod results;

const CONFIGURATIONS: usize = 4000;
/// Members that a reading and the configuration are compared by.
const MEMBERS: [(&str, &[&str]); 5] = [
    (
        "macvlan",
        &["master", "mode", "mtu", "mac", "linkInContainer"],
    ),
    (
        "bridge",
        &["bridge", "isGateway", "forceAddress", "ipMasq", "vlan"],
    ),
    (
        "hostDevice",
        &["device", "hwaddr", "kernelpath", "pciBusID"],
    ),
    ("tuning", &["dataDir", "sysctl"]),
    ("portmap", &["snat", "conditionsV4", "externalSetMarkChain"]),
];
const OF_IPAM: [&str; 4] = ["type", "dataDir", "resolvConf", "subnet"];

/// How Go reads each configuration.
fn readings(test: &str, texts: &[String]) -> Vec<Value> {
    answers(test, &[], texts)
}

/// What the program prints for each text.
fn answers(test: &str, arguments: &[&str], texts: &[String]) -> Vec<Value> {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    let built = Command::new("go")
        .args(["build", "-trimpath", "-o"])
        .arg(&program)
        .arg(".")
        .env("CGO_ENABLED", "0")
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/cni_reader/program"))
        .status()
        .expect("there is no go: install Go from https://go.dev/dl");
    assert!(built.success());
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let read = thread::scope(|scope| {
        scope.spawn(move || {
            for text in texts {
                writeln!(stdin, "{}", json!(text)).unwrap();
            }
        });
        BufReader::new(stdout)
            .lines()
            .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
            .collect::<Vec<Value>>()
    });
    assert!(child.wait().unwrap().success());
    assert_eq!(read.len(), texts.len());
    read
}

/// What each plugin of a configuration gets, if it is accepted.
fn inputs(text: &str) -> Option<Vec<String>> {
    let config = NetworkConfig::parse(text, "net", Trust::Trusted).ok()?;
    let chain = config
        .freeze(AttachmentInput {
            container_id: "abc".into(),
            ifname: "net1".into(),
            netns: "/run/netns/abc".into(),
            ..AttachmentInput::default()
        })
        .unwrap();
    let input = PluginInput {
        prev_result: None,
        has_netns: true,
        cni_path: "/opt/cni/bin",
        valid_attachments: &[],
    };
    let request = |index| chain.request(index, cni::Command::Add, input).unwrap();
    let stdin = |index| String::from_utf8(request(index).stdin).unwrap();
    Some((0..chain.plugins.len()).map(stdin).collect())
}

/// Null, empty and zero are the same to a plugin.
fn normal(value: Option<&Value>) -> Value {
    match value {
        Some(Value::Array(items)) if !items.is_empty() => {
            items.iter().map(|item| normal(Some(item))).collect()
        }
        Some(Value::Object(members)) if !members.is_empty() => members
            .iter()
            .map(|(key, value)| (key.clone(), normal(Some(value))))
            .collect::<Map<_, _>>()
            .into(),
        Some(Value::String(text)) if text.is_empty() => Value::Null,
        Some(value) if *value == json!(0) || *value == json!(false) => Value::Null,
        Some(Value::Array(_) | Value::Object(_)) | None => Value::Null,
        Some(value) => value.clone(),
    }
}

/// What a plugin reads of its input is the one member that `cni` finds there.
fn check_members(input: &Value, reading: &Value) {
    for (plugin, keys) in MEMBERS {
        for key in keys.iter().filter(|_| !reading[plugin].is_null()) {
            let (read, written) = (reading[plugin].get(key), member(input, key));
            assert_eq!(normal(read), normal(written), "{plugin} {key} of {input}");
        }
    }
    for key in OF_IPAM.iter().filter(|_| !reading["addresses"].is_null()) {
        let (read, written) = (
            reading["addresses"]["ipam"].get(key),
            member(&input["ipam"], key),
        );
        assert_eq!(normal(read), normal(written), "ipam {key} of {input}");
    }
}

fn member<'a>(object: &'a Value, key: &str) -> Option<&'a Value> {
    cni::json::member(object.as_object()?, key)
}

fn check_types(input: &Value, reading: &Value) {
    let types = plugin_types::of_plugin(input.as_object().unwrap()).unwrap();
    let names: Vec<_> = types.into_iter().map(|found| found.name).collect();
    assert_eq!(reading["types"], json!(names), "{input}");
    assert_eq!(
        reading["runtime"],
        json!({"prevResult": null, "runtimeConfig": null, "cni.dev/valid-attachments": null})
    );
}

/// A plugin reads its input as it would have read the tenant's own text.
fn check_original(original: &Value, reading: &Value) {
    for (plugin, _) in MEMBERS {
        assert_eq!(original[plugin], reading[plugin]);
    }
    for member in ["addresses", "types"] {
        assert_eq!(original[member], reading[member]);
    }
}

#[test]
fn go_reads_what_is_accepted_as_it_was_judged() {
    let written: Vec<Written> = random::configurations(CONFIGURATIONS);
    let accepted: Vec<_> = written
        .iter()
        .filter_map(|written| Some((written.plugins(), inputs(&written.text())?)))
        .collect();
    let texts: Vec<_> = accepted
        .iter()
        .flat_map(|(originals, inputs)| {
            assert_eq!(originals.len(), inputs.len());
            originals
                .iter()
                .zip(inputs)
                .flat_map(|(original, input)| [original.clone(), input.clone()])
        })
        .collect();
    for (texts, readings) in texts.chunks(2).zip(readings("accepted", &texts).chunks(2)) {
        let ([_, input], [original, reading]) = (texts, readings) else {
            panic!("not a pair");
        };
        let input: Value = serde_json::from_str(input).unwrap();
        assert_eq!(reading["any"], input);
        check_members(&input, reading);
        check_types(&input, reading);
        check_original(original, reading);
    }
    let share = accepted.len() * 100 / written.len();
    println!(
        "{} of {} configurations were accepted, with {} plugins",
        accepted.len(),
        written.len(),
        texts.len() / 2
    );
    assert!(
        (5..95).contains(&share),
        "{share} % of the configurations were accepted"
    );
}

/// Each of these runs another plugin, or on another device, than one who compares keys exactly sees.
#[test]
fn what_go_reads_otherwise_is_refused() {
    let attacks = [
        (
            r#"{"type":"macvlan","master":"up0","MASTER":"up1"}"#,
            "macvlan",
            "master",
            "up1",
        ),
        (
            r#"{"type":"macvlan","master":"up0","master":"up1"}"#,
            "macvlan",
            "master",
            "up1",
        ),
        (
            r#"{"type":"macvlan","master":"up0","maſter":"up1"}"#,
            "macvlan",
            "master",
            "up1",
        ),
        (
            r#"{"type":"macvlan","master":"up0","\u006d\u0061ster":"up1"}"#,
            "macvlan",
            "master",
            "up1",
        ),
        (
            r#"{"type":"x","hwaddr":"a","HwAddr":"b"}"#,
            "hostDevice",
            "hwaddr",
            "b",
        ),
        (
            "{\"type\":\"x\",\"\u{212a}ernelpath\":\"/sys\"}",
            "hostDevice",
            "kernelpath",
            "/sys",
        ),
        (
            r#"{"type":"x","DataDir":"/etc","datadir":"/etc"}"#,
            "tuning",
            "dataDir",
            "/etc",
        ),
    ];
    let texts: Vec<_> = attacks
        .iter()
        .map(|(text, ..)| (*text).to_owned())
        .collect();
    for ((text, plugin, key, read), reading) in attacks.iter().zip(readings("refused", &texts)) {
        assert_eq!(reading[plugin][key], **read, "{text}");
        assert_eq!(inputs(&with_version(text)), None, "{text}");
    }
}

#[test]
fn types_that_only_go_sees_are_refused() {
    let attacks = [
        (
            r#"{"type":"ptp","ipam":{"type":"static","Type":"host-local"}}"#,
            json!(["ptp", "host-local"]),
        ),
        (r#"{"type":"ptp","TYPE":"multus"}"#, json!(["multus"])),
        (r#"{"Type":"multus"}"#, json!(["multus"])),
        (r#"{"type":"ptp","IPAM":{"type":"x"}}"#, json!(["ptp", "x"])),
        (
            r#"{"type":"ptp","Delegate":{"type":"x"}}"#,
            json!(["ptp", "x"]),
        ),
        (
            r#"{"type":"ptp","delegateſ":[{"type":"x"}]}"#,
            json!(["ptp", "x"]),
        ),
        (
            r#"{"type":"ptp","ipam":{"type":"a"},"ipam":{"type":"b"}}"#,
            json!(["ptp", "b"]),
        ),
    ];
    let texts: Vec<_> = attacks.iter().map(|(text, _)| (*text).to_owned()).collect();
    for ((text, types), reading) in attacks.iter().zip(readings("types", &texts)) {
        assert_eq!(reading["types"], *types, "{text}");
        assert_eq!(inputs(&with_version(text)), None, "{text}");
    }
}

/// The same plugin with a version that is supported.
fn with_version(text: &str) -> String {
    text.replacen('{', r#"{"cniVersion":"1.0.0","#, 1)
}

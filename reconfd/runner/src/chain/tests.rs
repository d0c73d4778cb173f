use std::collections::BTreeMap;

use serde_json::json;

use super::*;

fn chain(types: &[&str], version: &str) -> FrozenChain {
    let plugins = types.iter().map(|plugin_type| {
        let object = json!({"type": plugin_type});
        cni::FrozenPlugin::of(object.as_object().unwrap().clone()).unwrap()
    });
    FrozenChain {
        network: "net".into(),
        cni_version: version.parse().unwrap(),
        plugins: plugins.collect(),
        disable_check: false,
        disable_gc: false,
        runtime_config: serde_json::Map::new(),
        args: vec![],
        container_id: "c".into(),
        ifname: "net1".into(),
        netns: "/run/netns/c".into(),
        digests: BTreeMap::new(),
    }
}

/// Executes with a plugin for each type: what was executed, in order, with the input of each.
fn run(
    chain: &FrozenChain,
    operation: &Operation,
    failing: &str,
) -> (Executed, Vec<(String, Value)>) {
    run_in(chain, operation, failing, true)
}

fn run_in(
    chain: &FrozenChain,
    operation: &Operation,
    failing: &str,
    has_netns: bool,
) -> (Executed, Vec<(String, Value)>) {
    let mut seen = Vec::new();
    let mut execute = |request: &PluginRequest, plugin_type: &str| {
        let command = &request.environment[0].1;
        let stdin: Value = serde_json::from_slice(&request.stdin).unwrap();
        seen.push((format!("{command} {plugin_type}"), stdin));
        let printed = match (plugin_type == failing, command.as_str()) {
            (true, _) => Err(Fault::TimedOut(1)),
            (false, "VERSION") => {
                Ok(br#"{"cniVersion":"1.1.0","supportedVersions":["1.0.0","1.1.0"]}"#.to_vec())
            }
            (false, _) => Ok(format!(
                r#"{{"cniVersion":"1.0.0","interfaces":[{{"name":"by-{plugin_type}"}}]}}"#
            )
            .into_bytes()),
        };
        Execution {
            took: Duration::from_micros(7),
            printed,
        }
    };
    let chain = Chain {
        chain,
        cni_path: "/opt/cni/bin",
        has_netns,
        known: &KnownVersions::new(),
    };
    let executed = chain.run(operation, &mut execute);
    (executed, seen)
}

fn names(seen: &[(String, Value)]) -> Vec<&str> {
    seen.iter().map(|(name, _)| name.as_str()).collect()
}

fn del(which: Option<&[usize]>, all: bool) -> Operation {
    Operation::Del {
        prev_result: Some(json!({"cniVersion": "1.0.0", "interfaces": [{"name": "final"}]})),
        which: which.map(|which| which.iter().copied().collect()),
        all,
    }
}

#[test]
fn add_goes_forward_and_each_plugin_gets_the_result_before() {
    let (executed, seen) = run(&chain(&["a", "b"], "1.0.0"), &Operation::Add, "");
    assert_eq!(names(&seen), ["ADD a", "ADD b"]);
    assert_eq!(seen[0].1.get("prevResult"), None);
    assert_eq!(seen[1].1["prevResult"]["interfaces"][0]["name"], "by-a");
    assert_eq!(executed.result.unwrap()["interfaces"][0]["name"], "by-b");
}

#[test]
fn add_ends_at_the_first_error_and_has_no_result() {
    let (executed, seen) = run(&chain(&["a", "b", "c"], "1.0.0"), &Operation::Add, "b");
    assert_eq!(names(&seen), ["ADD a", "ADD b"]);
    assert_eq!(executed.first_fault().unwrap().0.index, 1);
    assert_eq!(executed.result, None);
    // What DEL must know of what was made.
    assert_eq!(executed.partial.unwrap()["interfaces"][0]["name"], "by-a");
}

#[test]
fn del_goes_backward_with_the_final_result_and_halts_at_an_error() {
    let chain = chain(&["a", "b", "c"], "1.0.0");
    let (_, seen) = run(&chain, &del(None, false), "");
    assert_eq!(names(&seen), ["DEL c", "DEL b", "DEL a"]);
    assert!(
        seen.iter()
            .all(|(_, stdin)| stdin["prevResult"]["interfaces"][0]["name"] == "final")
    );
    let (_, seen) = run(&chain, &del(None, false), "b");
    assert_eq!(names(&seen), ["DEL c", "DEL b"]);
}

#[test]
fn del_of_a_later_try_goes_on_and_repeats_what_remains() {
    let chain = chain(&["a", "b", "c"], "1.0.0");
    let (executed, seen) = run(&chain, &del(None, true), "b");
    assert_eq!(names(&seen), ["DEL c", "DEL b", "DEL a"]);
    assert_eq!(executed.first_fault().unwrap().0.index, 1);
    let (_, seen) = run(&chain, &del(Some(&[1]), true), "");
    assert_eq!(names(&seen), ["DEL b"]);
}

/// host-device answers success and keeps the address, and sbr fails.
#[test]
fn del_without_the_namespace_frees_addresses_and_skips_what_was_inside() {
    let mut chain = chain(&["a", "b", "sbr"], "1.0.0");
    let with_ipam = json!({"type": "a", "ipam": {"type": "ipam"}});
    chain.plugins[0] = cni::FrozenPlugin::of(with_ipam.as_object().unwrap().clone()).unwrap();
    let (executed, seen) = run_in(&chain, &del(None, false), "sbr", false);
    assert_eq!(names(&seen), ["DEL b", "DEL a", "DEL ipam"]);
    assert_eq!(executed.steps.len(), 3);
    assert_eq!(executed.first_fault(), None);
    let (executed, _) = run_in(&chain, &del(None, false), "ipam", false);
    assert_eq!(executed.first_fault().unwrap().0.index, 0);
    let (executed, seen) = run(&chain, &del(None, true), "sbr");
    assert_eq!(names(&seen), ["DEL sbr", "DEL b", "DEL a"]);
    assert_eq!(executed.first_fault().unwrap().0.index, 2);
}

/// Attack: a prevResult that is forged in the configuration reaches the first plugin of libcni.
#[test]
fn before_0_4_0_del_gets_no_result() {
    let (_, seen) = run(&chain(&["a"], "0.3.1"), &del(None, false), "");
    assert_eq!(seen[0].1.get("prevResult"), None);
}

#[test]
fn every_plugin_is_checked_also_after_one_that_failed() {
    let check = Operation::Check {
        prev_result: json!({"cniVersion": "1.0.0"}),
        which: None,
    };
    let (executed, seen) = run(&chain(&["a", "b"], "1.0.0"), &check, "a");
    assert_eq!(names(&seen), ["CHECK a", "CHECK b"]);
    assert_eq!(
        executed
            .steps
            .iter()
            .filter(|step| step.fault.is_some())
            .count(),
        1
    );
}

#[test]
fn a_preflight_asks_for_versions_and_for_status_where_it_exists() {
    let (_, seen) = run(&chain(&["a"], "1.0.0"), &Operation::Preflight, "");
    assert_eq!(names(&seen), ["VERSION a"]);
    let (_, seen) = run(&chain(&["a"], "1.1.0"), &Operation::Preflight, "");
    assert_eq!(names(&seen), ["VERSION a", "STATUS a"]);
    let (executed, _) = run(&chain(&["a"], "0.4.0"), &Operation::Preflight, "");
    assert!(matches!(
        executed.first_fault().unwrap().1,
        Fault::Result(_)
    ));
}

#[test]
fn what_is_known_is_not_asked_again() {
    let frozen = chain(&["a", "b"], "1.0.0");
    let (executed, _) = run(&frozen, &Operation::Preflight, "");
    let known = executed.versions;
    assert_eq!(known.keys().collect::<Vec<_>>(), ["a", "b"]);
    let settled = known_preflight(&frozen, &known).unwrap();
    assert_eq!(settled, Executed::default());
    let refused = known_preflight(&chain(&["a"], "0.4.0"), &known).unwrap();
    let (step, fault) = refused.first_fault().unwrap();
    assert_eq!((step.index, step.command), (0, Command::Version));
    assert_eq!(
        *fault,
        Fault::Result("it does not support version 0.4.0".to_owned())
    );
    let other = known_preflight(&chain(&["a", "c"], "1.0.0"), &known);
    assert_eq!(other, None, "c was never asked");
    let with_status = known_preflight(&chain(&["a"], "1.1.0"), &known);
    assert_eq!(with_status, None, "STATUS is asked each time");
}

//! What people find in the folder of reports, and what a restarted daemon knows from it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::*;

const PAGE: &str = "t/podconfig-x.yaml";

/// What the controller does: tells what it has got.
fn tell(stage: &Stage, name: &str) {
    let podconfig = stage.stores.podconfig("t", name).unwrap();
    let status = serde_json::from_value(serde_json::json!({"selected": 3})).unwrap();
    stage.sink.write_podconfig(podconfig, status);
}

fn conditions(stage: &Stage) -> Vec<(String, String, String)> {
    let page = fs::read_to_string(stage.report(PAGE)).unwrap_or_default();
    let page: Value = serde_saphyr::from_str(&page).unwrap_or_default();
    let conditions: Vec<Condition> =
        serde_json::from_value(page["status"]["conditions"].clone()).unwrap_or_default();
    conditions
        .into_iter()
        .map(|c| (c.type_, c.status, c.reason))
        .collect()
}

fn wait_for(stage: &Stage, wanted: &[(&str, &str, &str)]) {
    let read = || conditions(stage);
    let wanted: Vec<_> = wanted
        .iter()
        .map(|(a, b, c)| ((*a).into(), (*b).into(), (*c).into()))
        .collect();
    until(
        || (read() == wanted).then_some(()),
        || format!("{:?}", read()),
    );
}

#[test]
fn the_status_of_a_podconfig_shows_the_fault_beside_the_last_good_facts() {
    let stage = Stage::new(&[("a.yaml", &podconfig("t", "x", 1500))]);
    tell(&stage, "x");
    stage.put("a.yaml", &podconfig("t", "x", 70000));
    wait_for(&stage, &[("Degraded", "True", "Invalid")]);
    let page = stage.yaml(PAGE);
    assert_eq!(page["status"]["selected"], 3);
    assert_eq!(page["spec"]["links"][0]["mtu"], 1500);
    let message = page["status"]["conditions"][0]["message"].as_str().unwrap();
    assert_eq!(
        message,
        "a.yaml, document 1, line 9: spec.links[0].mtu: 70000 is more than 65535"
    );
    tell(&stage, "x");
    wait_for(&stage, &[("Degraded", "True", "Invalid")]);
    stage.put("a.yaml", &podconfig("t", "x", 1500));
    wait_for(&stage, &[]);
}

#[test]
fn an_unparsable_file_degrades_every_podconfig_that_it_gave() {
    let stage = Stage::new(&[("a.yaml", &podconfig("t", "x", 1500))]);
    tell(&stage, "x");
    stage.put("a.yaml", "{{{");
    wait_for(&stage, &[("Degraded", "True", "Invalid")]);
}

#[test]
fn a_podconfig_that_was_never_good_is_not_ready() {
    let stage = Stage::new(&[("a.yaml", &podconfig("t", "x", 70000))]);
    wait_for(
        &stage,
        &[
            ("Ready", "False", "Invalid"),
            ("Degraded", "True", "Invalid"),
        ],
    );
    stage.sink.keep_only([], []);
    assert!(stage.report(PAGE).exists(), "nobody else speaks of it");
    stage.remove("a.yaml");
    until(
        || (!stage.report(PAGE).exists()).then_some(()),
        || "its status stays".into(),
    );
    until(
        || (!stage.report("t").exists()).then_some(()),
        || "an empty folder stays".into(),
    );
}

#[test]
fn refusals_are_a_file_as_long_as_there_are_any() {
    let stage = Stage::new(&[("a.yaml", &podconfig("t", "x", 70000))]);
    let refusal = &stage.yaml("refused.yaml")["refused"][0];
    assert_eq!(refusal["file"], "a.yaml");
    assert_eq!(
        (refusal["document"].as_i64(), refusal["line"].as_i64()),
        (Some(1), Some(9))
    );
    assert_eq!(refusal["object"], "PodConfig t/x");
    assert_eq!(refusal["field"], "spec.links[0].mtu");
    let stage = stage.restart(|stage| stage.write("a.yaml", &podconfig("t", "x", 1500)));
    assert!(!stage.report("refused.yaml").exists());
}

#[test]
fn a_restart_keeps_who_is_older_and_counts_on() {
    let stage = Stage::new(&[("a.yaml", &podconfig("t", "x", 1500))]);
    tell(&stage, "x");
    let before = stage.stores.podconfig("t", "x").unwrap().metadata.clone();
    assert_eq!(before.generation, Some(1));
    std::thread::sleep(Duration::from_millis(1100));
    let stage = stage.restart(|stage| stage.write("a.yaml", &podconfig("t", "x", 1500)));
    let after = stage.stores.podconfig("t", "x").unwrap().metadata.clone();
    assert_eq!(
        (&before.uid, &before.creation_timestamp),
        (&after.uid, &after.creation_timestamp)
    );
    assert_eq!(after.generation, Some(1));
    let stage = stage.restart(|stage| stage.write("a.yaml", &podconfig("t", "x", 1400)));
    let after = stage.stores.podconfig("t", "x").unwrap().metadata.clone();
    assert_eq!(
        (after.generation, before.creation_timestamp),
        (Some(2), after.creation_timestamp)
    );
}

#[test]
fn files_found_at_the_start_are_as_old_as_they_say() {
    let stage = Stage::new(&[]).restart(|stage| {
        for (name, age) in [("a", 100), ("b", 300), ("c", 200)] {
            stage.write(&format!("{name}.yaml"), &podconfig("t", name, 1500));
            let file = fs::File::open(stage.path(&format!("{name}.yaml"))).unwrap();
            file.set_modified(std::time::SystemTime::now() - Duration::from_secs(age))
                .unwrap();
        }
    });
    let mut all = stage.stores.podconfigs();
    all.sort_by_key(|podconfig| podconfig.metadata.creation_timestamp.clone());
    let names: Vec<_> = all
        .iter()
        .filter_map(|podconfig| podconfig.metadata.name.clone())
        .collect();
    assert_eq!(names, ["b", "c", "a"]);
}

#[test]
fn the_last_good_version_outlives_the_daemon() {
    for broken in [podconfig("t", "x", 70000), "{{{".into()] {
        let stage = Stage::new(&[("a.yaml", &podconfig("t", "x", 1500))]);
        tell(&stage, "x");
        let before = stage.stores.podconfig("t", "x").unwrap();
        let stage = stage.restart(|stage| stage.write("a.yaml", &broken));
        let after = stage.stores.podconfig("t", "x").unwrap();
        assert_eq!(
            (&before.spec, &before.metadata),
            (&after.spec, &after.metadata)
        );
        tell(&stage, "x");
        wait_for(&stage, &[("Degraded", "True", "Invalid")]);
        let stage = stage.restart(|stage| stage.remove("a.yaml"));
        assert!(stage.stores.podconfig("t", "x").is_none());
    }
}

#[test]
fn a_forged_or_broken_status_file_gives_nothing() {
    let stage = Stage::new(&[("a.yaml", &podconfig("t", "x", 1500))]);
    tell(&stage, "x");
    let stage = stage.restart(|stage| {
        fs::write(stage.report(PAGE), "{{{ [").unwrap();
        let page = "t/podconfig-y.yaml";
        fs::write(stage.report(page), podconfig("t", "../../y", 1500)).unwrap();
        nix::unistd::mkfifo(
            &stage.report("t/podconfig-z.yaml"),
            nix::sys::stat::Mode::S_IRWXU,
        )
        .unwrap();
    });
    assert_eq!(stage.mtu("t", "x"), Some(1500));
    assert_eq!(stage.stores.podconfigs().len(), 1);
}

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::*;

fn ready(space: &Space) -> Value {
    let status = space.get("podconfig", "data")["status"].clone();
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let mut conditions = conditions.into_iter();
    conditions
        .find(|condition| condition["type"] == "Ready")
        .unwrap_or_default()
}

fn says(space: &Space, status: &str, reason: &str) {
    eventually(&format!("it is {status} because of {reason}"), || {
        let ready = ready(space);
        seen(
            (&ready["status"], &ready["reason"]) == (&status.into(), &reason.into()),
            &ready,
        )
    });
}

fn counts(space: &Space, selected: u64, configured: u64) {
    eventually(&format!("{configured} of {selected}"), || {
        let status = space.get("podconfig", "data")["status"].clone();
        let got = (&status["selected"], &status["configured"]);
        seen(*got.0 == selected && *got.1 == configured, &status)
    });
}

#[test]
fn it_is_ready_when_the_nodes_of_all_pods_say_so_and_nobody_else() {
    let space = Space::new("ctl-status", &bridges());
    space.config(&on_bridge("blue"));
    says(&space, "Unknown", "NoPodsSelected");

    let uids = ["a", "b"].map(|name| space.pod(name, "status-0"));
    says(&space, "False", "Reconciling");
    assert!(
        ready(&space)["message"]
            .as_str()
            .is_some_and(|message| message.contains("no report from node status-0 yet"))
    );
    space.report("a", &uids[0], "status-0", &nothing());
    counts(&space, 2, 1);
    space.report("b", &uids[1], "status-1", &nothing());
    counts(&space, 2, 1);
    space.report("b", &uids[1], "status-0", &nothing());
    let wait = "--for=condition=Ready";
    kubectl(&[
        "-n",
        space.0,
        "wait",
        wait,
        "podconfig/data",
        "--timeout=60s",
    ]);
    says(&space, "True", "AllPodsConfigured");

    // What was said before the edit does not count behind it.
    space.config(&on_bridge("green"));
    says(&space, "False", "Reconciling");
    counts(&space, 2, 0);
    space.report("a", &uids[0], "status-0", &nothing());
    space.report("b", &uids[1], "status-0", &nothing());
    says(&space, "True", "AllPodsConfigured");
    assert_eq!(ready(&space)["observedGeneration"], 2);
}

#[test]
fn a_pod_that_is_gone_is_not_waited_for() {
    let space = Space::new("ctl-gone", &bridges());
    space.config(&on_bridge("blue"));
    space.pod("a", "gone-0");
    says(&space, "False", "Reconciling");
    kubectl(&["-n", space.0, "delete", "pod", "a", "--force"]);
    says(&space, "Unknown", "NoPodsSelected");
}

#[test]
fn a_status_is_written_once_in_a_second_and_not_at_all_when_nothing_changes() {
    let space = Space::new("ctl-pace", &bridges());
    space.config(&on_bridge("blue"));
    let uid = space.pod("a", "pace-0");
    space.report("a", &uid, "pace-0", &nothing());
    says(&space, "True", "AllPodsConfigured");

    let mut watch = Command::new("kubectl")
        .args(["-n", space.0, "get", "podconfig", "data", "--watch"])
        .arg("-o=jsonpath={.metadata.resourceVersion}{\"\\n\"}")
        .stdout(Stdio::piped())
        .spawn()
        .expect("kubectl is in PATH");
    // Its first line says what there is: from now on it misses no write, however slowly it started.
    let mut lines = BufReader::new(watch.stdout.take().expect("stdout is piped")).lines();
    lines.next().expect("kubectl lists").expect("text");
    let (begun, config) = (Instant::now(), space.get("podconfig", "data"));
    let mut n = 0;
    while begun.elapsed() < Duration::from_secs(5) {
        // Several at once: there must be more reports than seconds, however busy the machine is.
        let said = (n..n + 8).map(|n| {
            let why =
                json!({"state": "Failed", "reason": "KernelRefused", "message": n.to_string()});
            let report = report_of(&config, &uid, "pace-0", &why);
            object_of(API, "PodReport", "a", &report)
        });
        let said: Vec<String> = said.collect();
        space.apply_all("every report", &said.join("\n---\n"));
        n += 8;
    }
    space.report("a", &uid, "pace-0", &nothing());
    says(&space, "True", "AllPodsConfigured");
    let span = begun.elapsed();
    // Nothing happens now, and nothing is written.
    std::thread::sleep(Duration::from_secs(2));
    let _ = watch.kill();
    let _ = watch.wait();
    let writes = lines.count() as u64;
    assert!(n > span.as_secs() + 2, "{n} reports in {span:?}");
    assert!(
        (2..=span.as_secs() + 2).contains(&writes),
        "{writes} writes in {span:?} for {n} reports"
    );
}

#[test]
fn what_pods_have_on_a_node_that_does_not_answer_is_unknown() {
    let space = Space::new("ctl-unreachable", &bridges());
    apply(&object_of("v1", "Node", "unreachable-0", &json!({})));
    space.config(&on_bridge("blue"));
    let uid = space.pod("a", "unreachable-0");
    space.report("a", &uid, "unreachable-0", &nothing());
    // No kubelet speaks for it: the node controller says so, if this story does not.
    let lost = json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown",
        "lastTransitionTime": "2026-01-01T00:00:00Z", "lastHeartbeatTime": "2026-01-01T00:00:00Z",
        "reason": "NodeStatusUnknown", "message": ""}]}});
    let patch = lost.to_string();
    let node = ["patch", "node", "unreachable-0", "--subresource=status"];
    kubectl(&[&node[..], &["--type=merge", "-p", &patch]].concat());
    says(&space, "Unknown", "NodeUnreachable");
    kubectl(&["delete", "node", "unreachable-0", "--wait=false"]);
}

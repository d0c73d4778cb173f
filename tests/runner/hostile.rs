use std::time::{Duration, Instant};

use runner::protocol::{Executed, Fault, Operation};
use serde_json::json;

use crate::support::{
    node::TestNode,
    pod::TestPod,
    runner::{TestRunner, chain_of},
    wait::{eventually, seen},
};

pub const RESULT: &str = r#"{"cniVersion":"1.0.0","interfaces":[],"ips":[]}"#;

struct Opened {
    runner: TestRunner,
    node: TestNode,
}

fn opened() -> Opened {
    let node = TestNode::new();
    let runner = node.runner(
        &["bad", "good"],
        &["--plugin-timeout", "1", "--chain-timeout", "5"],
    );
    Opened { runner, node }
}

impl Opened {
    /// ADD of a plugin that is this script.
    fn add(&self, script: &str) -> Executed {
        let pod = self
            .node
            .bare_pod("tenant-a", &format!("web-{}", self.node.next_number()));
        self.add_to(&pod, script)
    }

    fn add_to(&self, pod: &TestPod<'_>, script: &str) -> Executed {
        self.runner.fake("bad", script);
        let chain = chain_of(pod, "1.0.0", &[json!({"type": "bad"})]);
        self.runner.ask(Some(pod), &chain, Operation::Add).unwrap()
    }

    fn fault(&self, script: &str) -> Fault {
        let executed = self.add(script);
        assert_eq!(executed.result, None);
        executed.first_fault().unwrap().1.clone()
    }

    /// No process is left, and the runner goes on.
    fn is_clean(&self) {
        no_process_is_left(&self.node);
        self.runner
            .fake("good", &format!("cat >/dev/null; echo '{RESULT}'"));
        let pod = self
            .node
            .bare_pod("tenant-a", &format!("good-{}", self.node.next_number()));
        self.runner
            .add(&pod, &chain_of(&pod, "1.0.0", &[json!({"type": "good"})]));
    }
}

/// No process of a plugin, and no jail beside their fork server.
pub fn no_process_is_left(node: &TestNode) {
    eventually("no process is left", || {
        let left = node.run(&[
            "sh",
            "-c",
            "pgrep -fa fake-mark | grep -v pgrep || pgrep -fa run-jail | grep -v pgrep | tail -n +2",
        ]);
        seen(left.is_empty(), left)
    });
}

fn message(fault: &Fault) -> &str {
    match fault {
        Fault::Plugin(error) => &error.msg,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_plugin_that_hangs_and_ignores_sigterm_is_ended() {
    let opened = opened();
    let started = Instant::now();
    let fault = opened.fault("trap '' TERM; while :; do sleep 1 # fake-mark\ndone");
    assert_eq!(fault, Fault::TimedOut(1));
    assert!(started.elapsed() >= Duration::from_secs(1));
    opened.is_clean();
}

#[test]
fn a_child_that_keeps_the_output_open_delays_nothing() {
    let opened = opened();
    let executed = opened.add(&format!(
        "cat >/dev/null; (exec -a fake-mark sleep 600) & echo '{RESULT}'"
    ));
    assert_eq!(executed.first_fault(), None);
    opened.is_clean();
}

#[test]
fn a_daemon_that_a_plugin_leaves_is_ended() {
    let opened = opened();
    let executed = opened.add(&format!(
        "cat >/dev/null; setsid sh -c 'exec >/dev/null 2>&1 </dev/null; sleep 600; : fake-mark' & echo '{RESULT}'"
    ));
    assert_eq!(executed.first_fault(), None);
    opened.is_clean();
}

#[test]
fn output_without_end_is_cut_off() {
    let opened = opened();
    let fault = opened.fault("head -c 1G /dev/zero # fake-mark");
    assert_eq!(fault, Fault::TooMuchOutput(256 << 10));
    opened.is_clean();
}

#[test]
fn a_gibibyte_on_stderr_is_read_and_dropped() {
    let opened = opened();
    let executed = opened.add(&format!(
        "cat >/dev/null; head -c 256M /dev/zero >&2; echo '{RESULT}'"
    ));
    if let Some((_, fault)) = executed.first_fault() {
        // On a slow machine it takes too long, and is ended for that.
        assert_eq!(*fault, Fault::TimedOut(1));
    }
    opened.is_clean();
}

#[test]
fn a_plugin_that_never_reads_its_input_succeeds() {
    let opened = opened();
    let executed = opened.add(&format!("echo '{RESULT}'"));
    assert_eq!(executed.first_fault(), None);
    opened.is_clean();
}

#[test]
fn exit_0_with_nothing_or_garbage_is_an_invalid_result() {
    let opened = opened();
    for script in [
        "true",
        "echo garbage",
        "echo '[]'",
        "echo '{\"cniVersion\":\"9.9.9\"}'",
    ] {
        let fault = opened.fault(&format!("cat >/dev/null; {script}"));
        assert!(matches!(fault, Fault::Result(_)), "{script}: {fault:?}");
    }
    opened.is_clean();
}

#[test]
fn exit_0_with_null_is_an_empty_result() {
    let opened = opened();
    let executed = opened.add("cat >/dev/null; echo null");
    assert_eq!(executed.first_fault(), None);
    assert!(executed.result.is_some());
}

#[test]
fn exit_1_with_nothing_says_how_it_ended() {
    let opened = opened();
    let fault = opened.fault("cat >/dev/null; exit 1");
    assert!(message(&fault).contains("exit status 1"), "{fault:?}");
}

#[test]
fn exit_1_with_a_mebibyte_or_escapes_is_bounded() {
    let opened = opened();
    let fault = opened.fault(
        r#"cat >/dev/null; printf '{"code": 7, "msg": "'; head -c 200000 /dev/zero | tr '\0' x; printf '\\u001b[31m"}'; exit 1"#,
    );
    assert!(message(&fault).len() <= 4 << 10);
    let Fault::Plugin(error) = fault else {
        unreachable!()
    };
    assert_eq!(error.code, 7);
    assert!(
        error
            .message(cni::Command::Add, "bad", &cni::Secrets::default())
            .len()
            <= 1 << 10
    );
}

#[test]
fn a_plugin_that_kills_everything_kills_only_itself() {
    let opened = opened();
    let mut bystander = opened.node.command("sleep").arg("600").spawn().unwrap();
    let executed = opened.add("cat >/dev/null; kill -9 1; kill -9 -1; sleep 0.1; kill -9 $$");
    assert!(executed.first_fault().is_some());
    opened.is_clean();
    assert!(
        bystander.try_wait().unwrap().is_none(),
        "a process of the node was killed"
    );
    opened.node.keep(bystander);
}

#[test]
fn a_plugin_that_is_replaced_after_it_was_judged_is_not_executed() {
    let opened = opened();
    let pod = opened.node.bare_pod("tenant-a", "web");
    opened.runner.fake("bad", &format!("echo '{RESULT}'"));
    let mut chain = chain_of(&pod, "1.0.0", &[json!({"type": "bad"})]);
    chain.digests = opened
        .runner
        .ask(None, &chain, Operation::Preflight)
        .unwrap()
        .digests;
    opened.runner.fake("bad", "echo other");
    let refusal = opened
        .runner
        .ask(Some(&pod), &chain, Operation::Add)
        .unwrap_err();
    assert!(refusal.message.contains("replaced"), "{}", refusal.message);
}

/// The other pods of the node are served meanwhile.
#[test]
fn a_chain_that_hangs_delays_no_other_container() {
    let opened = opened();
    let hanging = opened.node.bare_pod("tenant-a", "hanging");
    opened.runner.fake("bad", "sleep 30 # fake-mark");
    let slow = chain_of(&hanging, "1.0.0", &[json!({"type": "bad"})]);
    std::thread::scope(|scope| {
        let netns = std::fs::File::open(opened.node.path(&hanging.attachment.netns)).unwrap();
        let runner = &opened.runner;
        let thread = scope.spawn(move || runner.add_in(&netns, &slow));
        opened
            .runner
            .fake("good", &format!("cat >/dev/null; echo '{RESULT}'"));
        let pod = opened.node.bare_pod("tenant-a", "web");
        let chain = chain_of(&pod, "1.0.0", &[json!({"type": "good"})]);
        opened.runner.add(&pod, &chain);
        assert!(
            !thread.is_finished(),
            "the chain that hangs has ended first"
        );
        assert!(thread.join().unwrap().unwrap().first_fault().is_some());
    });
}

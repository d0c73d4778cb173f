//! Plugins that take too much memory or too many processes.

use std::path::Path;

use runner::protocol::{Executed, Fault, Operation};
use serde_json::json;

use super::hostile::{RESULT, no_process_is_left};
use crate::support::{
    node::TestNode,
    pod::TestPod,
    runner::{TestRunner, chain_of},
    wait::{eventually, seen},
};

const MEMORY: u64 = 48;
const PROCESSES: u64 = 40;
/// Each makes two. One that gets no number for them ends, and those that did get them stay.
const BOMB: &str = "bomb() { bomb & bomb & exec sleep 20; }; bomb";

struct Opened {
    runner: TestRunner,
    node: TestNode,
}

fn opened() -> Opened {
    let node = TestNode::new();
    let (memory, processes) = (MEMORY.to_string(), PROCESSES.to_string());
    let flags = [
        ["--chain-memory", &memory],
        ["--chain-processes", &processes],
        ["--plugin-timeout", "20"],
    ];
    let runner = node.runner(&["bad", "good", "slow"], flags.as_flattened());
    Opened { runner, node }
}

impl Opened {
    fn pod(&self) -> TestPod<'_> {
        let number = self.node.next_number();
        self.node.bare_pod("tenant-a", &format!("web-{number}"))
    }

    fn run(&self, operation: Operation, script: &str) -> Executed {
        self.runner
            .fake("bad", &format!("cat >/dev/null\n{script}"));
        let pod = self.pod();
        let chain = chain_of(&pod, "1.0.0", &[json!({"type": "bad"})]);
        self.runner.ask(Some(&pod), &chain, operation).unwrap()
    }

    /// ADD of a plugin that is this script, which is ended.
    fn fault(&self, script: &str) -> Fault {
        let executed = self.run(Operation::Add, script);
        assert_eq!(executed.result, None);
        executed.first_fault().unwrap().1.clone()
    }

    fn succeeds(&self, script: &str) {
        let executed = self.run(Operation::Add, &format!("{script}\necho '{RESULT}'"));
        assert_eq!(executed.first_fault(), None);
    }

    fn is_clean(&self) {
        no_process_is_left(&self.node);
        self.succeeds("true");
    }
}

/// A process that has so many MiB.
fn holds(mebibytes: u64) -> String {
    format!("dd if=/dev/zero of=/dev/null bs={mebibytes}M count=1000000 status=none")
}

#[test]
fn a_plugin_that_allocates_without_end_is_ended() {
    let opened = opened();
    let fault = opened.fault("tail /dev/zero # fake-mark");
    assert_eq!(fault, Fault::TooMuchMemory(MEMORY));
    opened.is_clean();
}

/// None of them has too much by itself.
#[test]
fn memory_that_children_have_counts() {
    let opened = opened();
    let child = holds(MEMORY / 3);
    let fault = opened.fault(&format!("{child} & {child} & {child} & {child} & wait"));
    assert_eq!(fault, Fault::TooMuchMemory(MEMORY));
    opened.is_clean();
}

/// Its parent has ended, and it is in no group and session of the plugin.
#[test]
fn memory_that_a_daemon_of_a_plugin_has_counts() {
    let opened = opened();
    let daemon = holds(MEMORY + 10);
    let fault = opened.fault(&format!("setsid sh -c '{daemon} & exit 0'\nsleep 15"));
    assert_eq!(fault, Fault::TooMuchMemory(MEMORY));
    opened.is_clean();
}

#[test]
fn a_chain_just_below_its_limits_succeeds() {
    let opened = opened();
    let below = holds(MEMORY - 10);
    opened.succeeds(&format!("timeout 0.5 {below}"));
    // The shell is one of them.
    let sleepers = PROCESSES - 2;
    opened.succeeds(&format!(
        "for n in $(seq {sleepers}); do sleep 0.5 & done; wait"
    ));
    opened.is_clean();
}

/// A process that has ended counts until its parent knows, and process 1 is the parent of what nobody waits for.
#[test]
fn processes_that_have_ended_do_not_count() {
    let opened = opened();
    let many = PROCESSES * 3;
    opened.succeeds(&format!(
        "for n in $(seq {many}); do (sleep 0.01 & exit 0); sleep 0.01; done"
    ));
    opened.is_clean();
}

#[test]
fn more_processes_than_the_limit_are_ended() {
    let opened = opened();
    let sleepers = PROCESSES + 5;
    let fault = opened.fault(&format!(
        "for n in $(seq {sleepers}); do sleep 20 & done; wait # fake-mark"
    ));
    assert_eq!(fault, Fault::TooManyProcesses(PROCESSES));
    opened.is_clean();
}

/// The second one is in a pid namespace of its own.
#[test]
fn a_fork_bomb_is_ended() {
    let opened = opened();
    let before = opened.node.run(&["cat", "/proc/sys/kernel/pid_max"]);
    for inside in ["", "unshare --pid --fork "] {
        let script = format!("{inside}sh -c '{BOMB} # fake-mark'");
        assert_eq!(opened.fault(&script), Fault::TooManyProcesses(PROCESSES));
        opened.is_clean();
    }
    let after = opened.node.run(&["cat", "/proc/sys/kernel/pid_max"]);
    assert_eq!(after, before, "the node's own bound has changed");
}

/// It starts so many between two looks that it is stopped to be counted, and goes on.
#[test]
fn many_processes_one_after_another_are_no_fork_bomb() {
    let opened = opened();
    let many = PROCESSES * 10;
    opened.succeeds(&format!(
        "for n in $(seq {many}); do (:); done; [ $( (sleep 0.1; echo went-on) ) = went-on ] || exit 1"
    ));
    opened.is_clean();
}

/// At the kernel's bound all of it may end before process 1 has looked: then the plugin's own error is the outcome.
#[test]
fn a_fork_bomb_that_ends_by_itself_harms_nobody() {
    let opened = opened();
    let fault = opened.fault("bomb() { bomb & bomb & wait; sleep 20; }; bomb # fake-mark");
    assert!(
        matches!(fault, Fault::TooManyProcesses(PROCESSES) | Fault::Plugin(_)),
        "{fault:?}"
    );
    opened.is_clean();
}

/// The kernel's own bound, for what happens between two looks. Before Linux 6.14 it is the node's, which stays as it is.
#[test]
fn the_kernel_gives_no_more_numbers_to_a_jail() {
    let opened = opened();
    let release = opened.node.run(&["uname", "-r"]);
    let mut numbers = release.split('.').map(|word| word.parse().unwrap_or(0));
    let version: (u32, u32) = (numbers.next().unwrap(), numbers.next().unwrap());
    let executed = opened.run(
        Operation::Add,
        r#"printf '{"code": 100, "msg": "%s"}' $(cat /proc/sys/kernel/pid_max); exit 1"#,
    );
    let Some((_, Fault::Plugin(error))) = executed.first_fault() else {
        panic!("{executed:?}");
    };
    let most: u64 = error.msg.parse().unwrap();
    let of_node = opened.node.run(&["cat", "/proc/sys/kernel/pid_max"]);
    if version < (6, 14) {
        assert_eq!(most.to_string(), of_node.trim());
        return;
    }
    let processors = std::thread::available_parallelism().unwrap().get() as u64;
    assert!(most >= 300 + 2 * PROCESSES, "{most}");
    assert!(
        most <= 4 * (300 + 2 * PROCESSES).max(8 * processors),
        "{most}"
    );
}

/// The kernel, where it has no memory left, ends a plugin, and neither the runner nor a process of the node.
#[test]
fn a_plugin_is_the_first_that_the_kernel_ends() {
    let opened = opened();
    let waits = "for n in $(seq 100); do read score </proc/self/oom_score_adj; [ $score != 1000 ] || break; sleep 0.05; done; [ $score = 1000 ]";
    opened.succeeds(&format!("{waits} || exit 1"));
}

/// DEL goes on with the other plugins after one was ended: they do not answer for it.
#[test]
fn the_next_plugin_does_not_answer_for_the_one_before() {
    let opened = opened();
    opened.runner.fake("good", "cat >/dev/null; sleep 0.3");
    opened.runner.fake("bad", "cat >/dev/null; tail /dev/zero");
    let pod = opened.pod();
    let plugins = [json!({"type": "good"}), json!({"type": "bad"})];
    let chain = chain_of(&pod, "1.0.0", &plugins);
    let operation = Operation::Del {
        prev_result: None,
        which: None,
        all: true,
    };
    let executed = opened.runner.ask(Some(&pod), &chain, operation).unwrap();
    let faults: Vec<_> = executed.steps.iter().map(|step| &step.fault).collect();
    assert_eq!(faults, [&Some(Fault::TooMuchMemory(MEMORY)), &None]);
}

#[test]
fn a_chain_that_is_ended_ends_no_other() {
    let opened = opened();
    let go = Path::new("/var/lib/cni/go");
    opened.runner.fake(
        "slow",
        &format!(
            "cat >/dev/null; touch /var/lib/cni/runs; until [ -e {} ]; do sleep 0.05; done; echo '{RESULT}'",
            go.display()
        ),
    );
    let beside = opened.pod();
    let chain = chain_of(&beside, "1.0.0", &[json!({"type": "slow"})]);
    let netns = std::fs::File::open(opened.node.path(&beside.attachment.netns)).unwrap();
    std::thread::scope(|scope| {
        let runner = &opened.runner;
        let thread = scope.spawn(move || runner.add_in(&netns, &chain));
        eventually("the other chain runs", || {
            let found = opened.node.shell("ls /var/lib/cni");
            seen(found.contains("runs"), found)
        });
        let fault = opened.fault("tail /dev/zero");
        assert_eq!(fault, Fault::TooMuchMemory(MEMORY));
        let fault = opened.fault(BOMB);
        assert_eq!(fault, Fault::TooManyProcesses(PROCESSES));
        assert!(!thread.is_finished(), "the other chain has ended");
        opened.node.shell(&format!("touch {}", go.display()));
        assert_eq!(thread.join().unwrap().unwrap().first_fault(), None);
    });
    opened.is_clean();
}

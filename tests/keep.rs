//! The keeper: the switch stays pinned and the plugin in the chain, whatever others do, and for a daemon that
//! may not mount.

use std::time::Duration;

use crate::support::{
    daemon::Options,
    keeper::NOTES,
    look::index,
    node::TestNode,
    wait::{eventually, seen, stays, within},
};

/// As on a cluster.
const ADOPT: Options<'_> = Options {
    port: None,
    more: &["--switch", "adopt"],
    objects: None,
    reports: None,
};

fn switch_number(node: &TestNode) -> String {
    let output = node.try_run(&["ls", "-Li", "/run/netns/podconfig"]);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_daemon_takes_the_switch_that_the_keeper_made() {
    let node = TestNode::new();
    node.add_chain();
    node.allow_own_bridges();
    let keeper = node.keeper(&[]);
    let before = switch_number(&node);
    let _daemon = node.daemon_with(&ADOPT);
    let (a, _b) = node.wired_neighbours();
    a.ping("10.1.0.2");
    assert_eq!(switch_number(&node), before, "{}", keeper.log());
}

#[test]
fn a_daemon_that_may_not_mount_waits_for_the_switch_and_makes_none() {
    let node = TestNode::new();
    node.add_chain();
    let daemon = node.daemon_unawaited(&ADOPT);
    let _keeper = node.keeper(&[]);
    daemon.wait_ready();
    assert!(
        !daemon.log().contains("made the switch"),
        "{}",
        daemon.log()
    );
}

#[test]
fn without_a_keeper_the_daemon_ends_and_says_who_is_missing() {
    let node = TestNode::new();
    let daemon = node.daemon_unawaited(&ADOPT);
    let log =
        crate::support::wait::within(
            Duration::from_secs(20),
            "the daemon gives up",
            || match daemon.is_alive() {
                true => Err(daemon.log()),
                false => Ok(daemon.log()),
            },
        );
    assert!(log.contains("reconfd keep"), "{log}");
    assert!(!node.has_switch());
}

#[test]
fn the_very_same_switch_is_pinned_again_and_no_ping_is_lost() {
    let node = TestNode::new();
    node.add_chain();
    node.allow_own_bridges();
    let keeper = node.keeper(&[]);
    let daemon = node.daemon_with(&ADOPT);
    let (a, _b) = node.wired_neighbours();
    let before = (index(&a.link("data0")), switch_number(&node));
    let stream = a.ping_on("10.1.0.2");
    node.run(&["umount", "--lazy", "/run/netns/podconfig"]);
    eventually("the same namespace is pinned again", || {
        let now = switch_number(&node);
        seen(now == before.1, format!("{now}\n{}", keeper.log()))
    });
    stream.lost_nothing();
    daemon.wait_ready();
    assert_eq!(index(&a.link("data0")), before.0);
}

#[test]
fn while_the_switch_is_unpinned_the_daemon_says_so_and_makes_no_second_one() {
    let node = TestNode::new();
    node.add_chain();
    node.allow_own_bridges();
    let keeper = node.keeper(&[]);
    let daemon = node.daemon_with(&ADOPT);
    let (a, _b) = node.wired_neighbours();
    keeper.kill();
    node.run(&["umount", "--lazy", "/run/netns/podconfig"]);
    eventually("the daemon is not ready", || {
        match daemon.get("/readyz")? {
            (503, body) => seen(body.contains("switch"), body),
            (code, body) => Err(format!("{code}: {body}")),
        }
    });
    assert_eq!(
        daemon.log().matches("SwitchUnpinned").count(),
        1,
        "it is told once"
    );
    // A new keeper would make another one beside it.
    let refused = node.keep_once(&[]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("restart the daemon"),
        "{said}"
    );
    a.ping("10.1.0.2");
    daemon.kill();
    assert!(node.keep_once(&[]).status.success());
    let _daemon = node.daemon_with(&ADOPT);
    a.ready("data0");
    a.ping("10.1.0.2");
}

#[test]
fn what_the_switch_must_not_do_is_set_again() {
    let node = TestNode::new();
    node.add_chain();
    let _keeper = node.keeper(&[]);
    let forward = ["ip", "netns", "exec", "podconfig", "sh", "-c"];
    let write = "echo 1 >/proc/sys/net/ipv4/ip_forward";
    node.run(&[&forward[..], &[write]].concat());
    crate::support::wait::within(Duration::from_secs(15), "it forwards nothing again", || {
        let read = node.run(&[&forward[..], &["cat /proc/sys/net/ipv4/ip_forward"]].concat());
        seen(read.trim() == "0", read)
    });
}

#[test]
fn an_entry_that_is_written_over_comes_back() {
    let node = TestNode::new();
    node.add_chain();
    let keeper = node.keeper(&[]);
    assert!(node.is_in_chain() && node.has_plugin());
    node.write_chain();
    eventually("the entry is back", || {
        seen(node.is_in_chain(), keeper.log())
    });
}

#[test]
fn a_keeper_that_begins_before_there_is_a_chain_joins_it_when_it_comes() {
    let node = TestNode::new();
    node.run(&["mkdir", "-p", "/run/cni/net.d", "/run/cni/bin"]);
    let once = node.keep_once(&[]);
    let said = String::from_utf8_lossy(&once.stderr).into_owned();
    assert!(once.status.success() && said.contains("no chain"), "{said}");
    assert!(node.has_switch(), "the daemon needs no chain");
    let keeper = node.keeper_unawaited(&[]);
    eventually("the keeper finds no chain", || {
        let log = keeper.log();
        seen(log.contains("there is no .conflist"), log)
    });
    node.add_chain();
    eventually("it joins the chain", || {
        seen(node.is_in_chain(), keeper.log())
    });
}

#[test]
fn told_to_end_it_leaves_entry_switch_links_and_note() {
    let node = TestNode::new();
    node.add_chain();
    node.allow_own_bridges();
    let keeper = node.keeper(&[]);
    let daemon = node.daemon_with(&ADOPT);
    let (a, _b) = node.wired_neighbours();
    let before = (index(&a.link("data0")), switch_number(&node));
    let stream = a.ping_on("10.1.0.2");
    daemon.terminate();
    assert!(keeper.terminate().success());
    assert!(node.is_in_chain() && node.has_plugin());
    assert!(node.path(NOTES).join("default").exists());
    // The next version comes.
    assert!(node.keep_once(&[]).status.success());
    let keeper = node.keeper(&[]);
    let _daemon = node.daemon_with(&ADOPT);
    assert_eq!(switch_number(&node), before.1, "{}", keeper.log());
    assert_eq!(index(&a.link("data0")), before.0);
    stream.lost_nothing();
}

#[test]
fn a_killed_keeper_leaves_no_watcher_to_the_next() {
    let node = TestNode::new();
    node.add_chain();
    node.keeper(&[]).kill();
    let next = node.keeper(&[]);
    eventually("one watcher runs", || {
        let watchers = next.watchers();
        seen(watchers == 1, format!("{watchers} watchers"))
    });
}

#[test]
fn whoever_keeps_taking_the_entry_out_is_not_fought_and_the_pin_still_holds() {
    let node = TestNode::new();
    node.add_chain();
    let keeper = node.keeper(&[]);
    let check = || {
        let output = node.keep_check();
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    within(Duration::from_secs(20), "the keeper says who wins", || {
        if node.is_in_chain() {
            node.write_chain();
        }
        let said = check();
        seen(
            said.contains("again and again"),
            format!("{said}\n{}", keeper.log()),
        )
    });
    assert!(!node.is_in_chain());
    node.run(&["umount", "--lazy", "/run/netns/podconfig"]);
    eventually("the switch is pinned again", || {
        seen(node.has_switch(), keeper.log())
    });
}

#[test]
fn where_the_chain_is_to_be_left_alone_only_the_switch_is_kept() {
    let node = TestNode::new();
    node.add_chain();
    let before = node.chain();
    let _keeper = node.keeper(&["--mode", "none"]);
    stays(
        "the chain is as it was",
        Duration::from_millis(1500),
        || seen(node.chain() == before && !node.has_plugin(), node.chain()),
    );
    assert!(node.has_switch());
}

//! What a tenant tries from inside of its pod, with names and with many attachments: rows that need plugins that run.

use std::time::{Duration, Instant};

use super::*;
use crate::support::{pod::TestPod, wait::within};

const PATIENT: Duration = Duration::from_secs(60);

fn attached<'a>(node: &'a TestNode) -> (Opened, TestPod<'a>) {
    let opened = open(node);
    define(node, "fast", &macvlan("10.77.0.0/24"));
    let pod = node.bare_pod("tenant-a", "web");
    node.apply("web", &config("tenant-a", "web", "web", LINK));
    is_reported(&pod, "net1", "LinkReady");
    (opened, pod)
}

fn is_reported(pod: &TestPod<'_>, link: &str, reason: &str) -> Value {
    within(PATIENT, &format!("{link} is reported {reason}"), || {
        let report = pod.reported(link).unwrap_or_default();
        seen(report["reason"] == reason, &report)?;
        Ok(report)
    })
}

fn is_gone(node: &TestNode) {
    within(PATIENT, "nothing is left", || {
        let left = reservations(node) + &stored(node);
        seen(left.is_empty(), left)
    });
}

/// Row 18: what a configuration of the tenant's gives out.
#[test]
fn a_route_that_no_rule_lists_is_undone() {
    let node = TestNode::new();
    let _opened = open(&node);
    let rule = "{cni: {inline: Allowed, plugins: [{type: macvlan, keys: {master: [up0]}}, {type: static}]}, \
        addresses: [10.77.0.0/16], routes: [10.78.0.0/16]}";
    node.apply("policy", &policy("tenant", "{}", &format!("[{rule}]")));
    let pod = node.bare_pod("tenant-a", "web");
    for to in ["0.0.0.0/0", "10.96.0.0/12"] {
        let configuration = format!(
            r#"{{"cniVersion": "1.0.0", "type": "macvlan", "master": "up0", "ipam": {{"type": "static", "addresses": [{{"address": "10.77.0.9/24"}}], "routes": [{{"dst": "{to}", "gw": "10.77.0.1"}}]}}}}"#
        );
        let link = format!("[{{name: net1, cni: {{config: '{configuration}'}}}}]");
        node.apply("web", &config("tenant-a", "web", "web", &link));
        within(PATIENT, "the route is refused", || {
            let report = pod.reported("net1").unwrap_or_default();
            let message = report["message"].as_str().unwrap_or_default();
            let words = format!("route to {to} of the result is not in the rule's routes");
            seen(
                report["reason"] == "NotAllowed" && message.contains(&words),
                &report,
            )
        });
        node.withdraw("web");
        pod.lacks("net1");
        is_gone(&node);
    }
}

/// Row 23.
#[test]
fn names_of_the_pods_own_interfaces_are_refused() {
    let node = TestNode::new();
    let _opened = open(&node);
    define(&node, "fast", &macvlan("10.77.0.0/24"));
    let pod = node.pod("tenant-a", "web");
    let before = pod.ip(&["address", "show"]);
    for name in ["eth0", "lo"] {
        let links = LINK.replace("net1", name);
        node.apply("web", &config("tenant-a", "web", "web", &links));
        within(PATIENT, "the name is refused", || {
            let report = pod.reported(name).unwrap_or_default();
            let refused = node.refused();
            let is_refused = report["reason"] == "ForeignLink" || refused.contains(name);
            seen(is_refused, format!("{report} {refused}"))
        });
        assert_eq!(pod.ip(&["address", "show"]), before);
        is_gone(&node);
        node.withdraw("web");
    }
}

/// Row 23: taken after it was free. The tenant's own link of that name is lost, and the attachment comes.
#[test]
fn a_name_that_is_taken_during_add_is_the_tenants_loss_alone() {
    let node = TestNode::new();
    let opened = open(&node);
    opened.runner.fake(
        "bad",
        "cat >/dev/null; [ $CNI_COMMAND = ADD ] || exit 0
touch /var/lib/cni/waits; until [ -e /var/lib/cni/goes ]; do sleep 0.02; done
echo '{\"cniVersion\":\"1.0.0\"}'",
    );
    let chain = r#"{"cniVersion": "1.0.0", "plugins": [{"type": "bad"}, {"type": "macvlan", "master": "up0", "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.77.0.0/24"}]]}}]}"#;
    define(&node, "fast", chain);
    let pod = node.bare_pod("tenant-a", "web");
    pod.run(&["ip", "link", "add", "other0", "type", "bridge"]);
    node.apply("web", &config("tenant-a", "web", "web", LINK));
    within(PATIENT, "the first plugin runs", || {
        seen(node.path("/var/lib/cni/waits").exists(), "it does not run")
    });
    pod.run(&["ip", "link", "add", "net1", "type", "bridge"]);
    node.shell("touch /var/lib/cni/goes");
    is_reported(&pod, "net1", "LinkReady");
    assert_eq!(pod.link("net1")["linkinfo"]["info_kind"], "macvlan");
    assert!(pod.find("other0").is_some());
    node.withdraw("web");
    pod.lacks("net1");
    is_gone(&node);
}

/// Row 24: DEL by name deletes the decoy.
#[test]
fn a_decoy_with_the_name_of_a_renamed_link_saves_it_not() {
    let node = TestNode::new();
    let (_opened, pod) = attached(&node);
    pod.shell(
        "ip link set net1 down; ip link set net1 name mine; ip link set mine up
        ip link add net1 type bridge",
    );
    node.withdraw("web");
    pod.lacks("mine");
    is_gone(&node);
}

/// Row 24.
#[test]
fn a_link_that_the_tenant_has_deleted_leaves_no_reservation() {
    let node = TestNode::new();
    let (_opened, pod) = attached(&node);
    pod.run(&["ip", "link", "delete", "net1"]);
    node.withdraw("web");
    is_gone(&node);
    pod.lacks("net1");
}

/// Row 25: DEL is that of what was made.
#[test]
fn an_edited_definition_undoes_what_was_made_and_nothing_else() {
    let node = TestNode::new();
    let opened = open(&node);
    let logged = format!("cat >>/var/lib/cni/$CNI_COMMAND\n{MAKES_A_LINK}");
    opened.runner.fake("bad", &logged);
    let of =
        |which: &str| format!(r#"{{"cniVersion": "1.0.0", "type": "bad", "marked": "{which}"}}"#);
    let got = |command: &str, which: &str| {
        let log = node.shell(&format!("cat /var/lib/cni/{command} 2>/dev/null || true"));
        log.matches(&format!("\"marked\":\"{which}\"")).count()
    };
    define(&node, "fast", &of("first"));
    let pod = node.bare_pod("tenant-a", "web");
    node.apply("web", &config("tenant-a", "web", "web", LINK));
    is_reported(&pod, "net1", "LinkReady");
    define(&node, "fast", &of("second"));
    within(PATIENT, "the second one is attached", || {
        let report = pod.reported("net1").unwrap_or_default();
        let is_ready = report["reason"] == "LinkReady" && got("ADD", "second") == 1;
        seen(is_ready, &report)
    });
    assert_eq!((got("DEL", "first"), got("DEL", "second")), (1, 0));
    node.withdraw("definition-fast");
    is_reported(&pod, "net1", "DefinitionNotFound");
    node.withdraw("web");
    pod.lacks("net1");
    is_gone(&node);
    assert_eq!((got("DEL", "first"), got("DEL", "second")), (1, 1));
}

/// Row 28: the plugin repeats what it read, in its message, its details and its log.
#[test]
fn secrets_of_an_administrators_definition_reach_no_report() {
    let node = TestNode::new();
    let opened = open(&node);
    opened.runner.fake(
        "bad",
        r#"said=$(tr -d '"\n{}'); echo "$said" >&2; [ $CNI_COMMAND = ADD ] || exit 0
long=$(head -c 200000 /dev/zero | tr '\0' x)
printf '{"code": 7, "msg": "\\u001b[31mrefused\\nwith %s %s", "details": "%s"}' "$said" "$long" "$said"; exit 1"#,
    );
    let definition = r#"{"cniVersion": "1.0.0", "type": "bad", "etcd": {"password": "hunter2-hunter2"}, "token": "s3cr3t-t0ken"}"#;
    define(&node, "fast", definition);
    let pod = node.bare_pod("tenant-a", "web");
    node.apply("web", &config("tenant-a", "web", "web", LINK));
    is_reported(&pod, "net1", "PluginFailed");
    let report = pod.report().unwrap();
    let message = pod.reported("net1").unwrap()["message"].to_string();
    assert!(message.contains("refused"), "{message}");
    assert!(message.len() < 1300, "{message}");
    assert!(!message.chars().any(char::is_control), "{message}");
    let configs = node.status("tenant-a", "web").unwrap_or_default();
    for shown in [report.to_string(), configs.to_string()] {
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(!shown.contains("s3cr3t"), "{shown}");
    }
}

/// Row 29: the runtime lost the end of the first sandbox, and both namespaces are there.
#[test]
fn of_two_sandboxes_of_a_pod_the_newer_one_has_the_attachment() {
    let node = TestNode::new();
    let (_opened, mut pod) = attached(&node);
    let first = pod.netns();
    pod.lose_end_of_sandbox();
    is_reported(&pod, "net1", "LinkReady");
    within(PATIENT, "the link is in the second sandbox", || {
        seen(pod.find("net1").is_some(), "no link")
    });
    within(PATIENT, "the first sandbox has no link", || {
        let mut command = node.command_in(&first.to_string_lossy(), "ip");
        let links = command.args(["link", "show", "net1"]).output().unwrap();
        seen(!links.status.success(), "it is there")
    });
    within(PATIENT, "one address is reserved", || {
        let reserved = reservations(&node);
        seen(reserved.lines().count() == 1, reserved)
    });
    node.withdraw("web");
    pod.lacks("net1");
    is_gone(&node);
}

/// Row 30: the link is reported, and DEL runs when its plugin is there again.
#[test]
fn a_link_whose_plugin_was_removed_is_reported_until_it_is_undone() {
    let node = TestNode::new();
    let opened = open(&node);
    let binary = opened
        .runner
        .fake("bad", &format!("cat >/dev/null\n{MAKES_A_LINK}"));
    define(&node, "fast", r#"{"cniVersion": "1.0.0", "type": "bad"}"#);
    let pod = node.bare_pod("tenant-a", "web");
    node.apply("web", &config("tenant-a", "web", "web", LINK));
    is_reported(&pod, "net1", "LinkReady");
    std::fs::remove_file(binary).unwrap();
    node.withdraw("policy");
    within(PATIENT, "DEL has failed", || {
        let listed = node
            .shell("cat /run/podconfig/state/default/attachments/results/* 2>/dev/null || true");
        seen(listed.contains("the node has no plugin bad"), listed)
    });
    opened
        .runner
        .fake("bad", &format!("cat >/dev/null\n{MAKES_A_LINK}"));
    within(PATIENT, "the link is gone", || {
        seen(pod.find("net1").is_none(), "it is there")
    });
    is_gone(&node);
}

/// Requests 40 links for each pod of tenant-a, half of them in each of two objects, or withdraws them.
fn flap(node: &TestNode, request: bool) {
    let links: Vec<String> = (0..40)
        .map(|number| {
            format!("{{name: net{number}, cni: {{networkAttachmentDefinition: networks/fast}}}}")
        })
        .collect();
    let (first, second) = links.split_at(20);
    for (name, links) in [("flap-a", first), ("flap-b", second)] {
        let links = format!("[{}]", links.join(", "));
        let object = crate::support::manifests::config_for("tenant-a", name, "{}", &links);
        match request {
            true => node.apply(name, &object),
            false => node.withdraw(name),
        }
    }
}

/// Row 27: thirty pods request and withdraw 32 attachments each. What runs is bounded, and another pod's link comes in
/// its usual time.
#[test]
fn attachments_that_flap_delay_no_other_pod() {
    const PODS: usize = 30;
    let node = TestNode::new();
    let opened = open(&node);
    node.apply(
        "native",
        &policy(
            "native",
            "{}",
            "[{veth: {bridges: Own}, addresses: [10.99.0.0/16]}]",
        ),
    );
    let logged = format!("cat >/dev/null; echo x >>/var/lib/cni/$CNI_COMMAND\n{MAKES_A_LINK}");
    opened.runner.fake("bad", &logged);
    define(&node, "fast", r#"{"cniVersion": "1.0.0", "type": "bad"}"#);
    let pods: Vec<_> = (0..PODS)
        .map(|number| node.bare_pod("tenant-a", &format!("flap-{number}")))
        .collect();
    let started = Instant::now();
    let runs = |command: &str| -> usize {
        let count = node.shell(&format!(
            "wc -l </var/lib/cni/{command} 2>/dev/null || echo 0"
        ));
        count.trim().parse().unwrap()
    };
    for round in 0..3 {
        flap(&node, true);
        let so_far = runs("ADD");
        within(PATIENT, "some are attached", || {
            seen(runs("ADD") > so_far, "none")
        });
        let other = format!("other-{round}");
        let pod = node.bare_pod("tenant-b", &other);
        let asked = Instant::now();
        node.connect(
            "tenant-b",
            &other,
            "data0",
            &format!("10.99.0.{}/24", round + 10),
        );
        is_reported(&pod, "data0", "LinkReady");
        assert!(
            asked.elapsed() < Duration::from_secs(10),
            "{:?}",
            asked.elapsed()
        );
        flap(&node, false);
    }
    // 64 at once, then two a second.
    let most = 64 + 2 * usize::try_from(started.elapsed().as_secs() + 1).unwrap();
    assert!(runs("ADD") <= most, "{} are more than {most}", runs("ADD"));
    // Of 40 links of a pod 32 are followed.
    assert!(stored(&node).lines().count() <= 32 * PODS);
    drop(pods);
    is_gone(&node);
}

//! Killed in the middle of anything: what is half made is finished or removed.

use std::{
    thread::sleep,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;

use crate::support::{
    daemon::Options,
    look::{OUR_GROUP, addresses, is_in_our_group, names},
    manifests::config,
    node::TestNode,
    pod::TestPod,
    wait::{eventually, seen, stays},
};

/// Links of CNI plugins.
mod attachments;
/// Claims and tunnels, with pods that come and go as well.
mod claims;

/// Random, but told: a failure can be repeated with the seed that it prints.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let seed = std::env::var("PODCONFIG_TEST_SEED")
            .ok()
            .and_then(|text| text.parse().ok());
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("it is after 1970");
        let seed = seed.unwrap_or(u64::from(now.subsec_nanos()) | 1);
        eprintln!("PODCONFIG_TEST_SEED={seed}");
        Self(seed)
    }

    /// A number below `bound`, by xorshift.
    fn throw(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// One of a few wishes for three pods: links come, go, move and change from one to the next.
fn wish(node: &TestNode, dice: &mut Dice) {
    for pod in ["p0", "p1", "p2"] {
        let host = pod.trim_start_matches('p');
        let links = match dice.throw(6) {
            0 => None,
            1 => Some(format!(
                "[{{name: data0, veth: {{bridge: blue}}, addresses: [10.1.0.{host}/24]}}]"
            )),
            2 => Some(format!(
                "[{{name: data0, veth: {{bridge: red}}, mtu: 4000, addresses: [10.1.0.1{host}/24]}}]"
            )),
            3 => Some(format!(
                "[{{name: data0, veth: {{routed: {{}}}}, addresses: [172.31.0.{host}/32]}}, \
                  {{name: data1, veth: {{bridge: blue}}, routes: [{{to: 10.7.0.0/16, via: 10.1.0.99}}], \
                  addresses: [10.1.0.2{host}/24]}}]"
            )),
            4 => Some(
                "[{name: data1, veth: {hostBridge: br-lan}}, {name: data2, veth: {bridge: red}}]"
                    .into(),
            ),
            _ => {
                Some("[{name: data0, veth: {bridge: a}}, {name: data1, veth: {bridge: b}}]".into())
            }
        };
        let file = node
            .path("/run/podconfig/objects")
            .join(format!("wish-{pod}.yaml"));
        match links {
            Some(links) => node.apply(
                &format!("wish-{pod}"),
                &config("tenant-a", pod, pod, &links),
            ),
            None if file.exists() => node.withdraw(&format!("wish-{pod}")),
            None => {}
        }
    }
}

/// What must hold whenever the daemon had its time: every link of ours is whole and has its use.
fn nothing_half_made(node: &TestNode) -> Result<(), String> {
    let (outside, inside) = (
        node.ip(&["link", "show"]),
        node.switch_ip(&["link", "show"]),
    );
    for link in outside.as_array().into_iter().flatten() {
        if is_in_our_group(link) && link["ifalias"].is_null() {
            return Err(format!("on the node, without a mark: {link}"));
        }
    }
    let all: Vec<&Value> = inside
        .as_array()
        .into_iter()
        .flatten()
        .filter(|link| link["ifname"] != "lo")
        .collect();
    for link in &all {
        let is_bridge = link["linkinfo"]["info_kind"] == "bridge";
        let used = !is_bridge || all.iter().any(|other| other["master"] == link["ifname"]);
        if link["ifalias"].is_null() && !is_bridge
            || !used
            || (!is_bridge && link["master"].is_null())
        {
            return Err(format!("in the switch, half made or of no use: {link}"));
        }
    }
    Ok(())
}

/// Attack 16: a panic ends the daemon, wherever it is; SIGKILL is no gentler.
#[test]
fn a_daemon_killed_in_the_middle_of_anything_leaves_nothing_half_made() {
    let node = TestNode::new();
    node.add_bridge("br-lan", "192.168.7.1/24");
    node.allow_everything();
    let pods: Vec<TestPod<'_>> = (0..3)
        .map(|n| node.bare_pod("tenant-a", &format!("p{n}")))
        .collect();
    let mut dice = Dice::new();
    for _ in 0..25 {
        let daemon = node.daemon_unawaited(&Options::default());
        sleep(Duration::from_micros(dice.throw(40_000)));
        wish(&node, &mut dice);
        sleep(Duration::from_micros(dice.throw(25_000)));
        daemon.kill();
    }
    let last = "[{name: data0, veth: {bridge: last}, mtu: 1400, addresses: [10.6.0.1/24]}]";
    for pod in &pods {
        let name = &pod.attachment.name;
        let address = last.replace(
            "10.6.0.1",
            &format!(
                "10.6.0.{}",
                10 + name.len() + usize::from(name.as_bytes()[1])
            ),
        );
        node.apply(
            &format!("wish-{name}"),
            &config("tenant-a", name, name, &address),
        );
    }
    let _daemon = node.daemon();
    for pod in &pods {
        eventually("exactly the last wish is there", || {
            let links = names(&pod.ip(&["link", "show"]));
            let link = pod.find("data0").ok_or("no link")?;
            seen(
                links.len() == 2 && link["mtu"] == 1400 && addresses(&link).len() == 1,
                format!("{links:?} {link}"),
            )
        });
        pod.ready("data0");
    }
    eventually("nothing half made is left", || nothing_half_made(&node));
    assert_eq!(
        (
            node.host_ends().len(),
            node.bridges().len(),
            node.ours_on_node().len()
        ),
        (3, 1, 0)
    );
}

#[test]
fn half_made_work_of_our_form_is_removed_and_what_only_looks_like_it_stays() {
    let node = TestNode::builder().any_veth().start();
    // Ours by group, name and kind, without an alias: what a crash between two messages leaves.
    node.shell(&format!(
        "ip link add pcaaaaaaaaaaaaa type veth peer name halfpeer; ip link set pcaaaaaaaaaaaaa group {OUR_GROUP}
         ip link add stranger type veth peer name s1; ip link set stranger group {OUR_GROUP}
         ip link add pcbbbbbbbbbbbbb type veth peer name s2
         ip link add pcccccccccccccc type bridge; ip link set pcccccccccccccc group {OUR_GROUP}
         ip link add other type veth peer name s3
         ip link set other group {OUR_GROUP} alias podconfig:v1:elsewhere:uid:uid:data0:0"
    ));
    let _daemon = node.daemon();
    eventually("the half-made link is gone", || {
        let all = names(&node.ip(&["link", "show"]));
        seen(
            !all.contains(&"pcaaaaaaaaaaaaa".to_owned()),
            format!("{all:?}"),
        )
    });
    stays("the others stay", Duration::from_millis(150), || {
        let all = names(&node.ip(&["link", "show"]));
        let kept = ["stranger", "pcbbbbbbbbbbbbb", "pcccccccccccccc", "other"];
        seen(
            kept.iter().all(|name| all.iter().any(|one| one == name)),
            format!("{all:?}"),
        )
    });
}

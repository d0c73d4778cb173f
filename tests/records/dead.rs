//! Records of sandboxes that ended without the plugin's DEL, as after a crash of the runtime, or always
//! where it calls none (CRI-O, for a plugin of a drop-in folder).

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{content, file_name};
use crate::support::{
    daemon::Daemon,
    look::index,
    manifests::{OWN_BRIDGES, POLICY, config_for},
    node::TestNode,
    pod::TestPod,
    wait::{eventually, seen, stays, within},
};

/// Ten seconds gone, and two looks.
const SWEPT: Duration = Duration::from_secs(40);

/// For every pod.
const LINKS: &str = "[{name: data0, veth: {bridge: blue}}]";

/// The records of these containers.
fn recorded(node: &TestNode, containers: &[String]) -> Vec<String> {
    let names = node.records().into_iter();
    let names = names.map(|path| path.file_name().unwrap().to_string_lossy().into_owned());
    let is_asked = |name: &String| containers.iter().any(|c| name.starts_with(c.as_str()));
    names.filter(is_asked).collect()
}

/// Plants copies of a record with other containers, of pods that no manifest speaks of.
fn plant(
    node: &TestNode,
    pod: &TestPod<'_>,
    count: usize,
    change: impl Fn(&mut Value),
) -> Vec<String> {
    let (template, first) = (content(pod), node.records().len());
    let plant = |number: usize| {
        let container = format!("dead{:060}", first + number);
        let mut record = template.clone();
        record["podName"] = format!("dead-{}", first + number).into();
        record["podUid"] = format!("00000000-0000-4000-9000-{:012}", first + number).into();
        record["containerId"] = container.as_str().into();
        record["netns"] = format!("/run/netns/dead-{}", first + number).into();
        record["cookie"] = (u64::MAX / 2 + (first + number) as u64).into();
        change(&mut record);
        let name = file_name(pod, &container);
        node.plant_record(&name, record.to_string().as_bytes());
        container
    };
    (0..count).map(plant).collect()
}

fn reconciles(daemon: &Daemon) -> f64 {
    daemon.metric("reconfd_reconciles_total")
}

#[test]
fn records_of_dead_sandboxes_go_and_those_of_living_ones_stay() {
    let node = TestNode::builder().own_bridges().start();
    let mut crashed = node.bare_pod("tenant-a", "crashed");
    let (over, alive) = (
        node.bare_pod("tenant-a", "over"),
        node.bare_pod("tenant-a", "alive"),
    );
    let hidden = node.pod("tenant-a", "hidden");
    node.apply("all", &config_for("tenant-a", "all", "{}", LINKS));
    let daemon = node.daemon();
    crashed.ready("data0");
    let link = index(&hidden.ready("data0"));
    let many = plant(&node, &alive, 300, |_| ());
    // The runtime was killed between unmounting the namespace and removing its file.
    node.shell("touch /run/netns/left");
    let left = plant(&node, &alive, 1, |record| {
        record["netns"] = "/run/netns/left".into()
    });
    let mut dead = [many, left, vec![crashed.attachment.container.clone()]].concat();
    crashed.lose_sandbox();
    crashed.link("data0");
    dead.push(over.attachment.container.clone());
    over.vanish();
    for pod in ["over", "alive", "hidden"] {
        node.withdraw(&format!("pod-tenant-a-{pod}"));
    }
    // Its path is gone from the daemon's sight, as behind a mount that is being changed, and it lives.
    node.run(&["umount", "-l", &hidden.attachment.netns]);
    within(SWEPT, "the records of dead sandboxes are gone", || {
        let left = recorded(&node, &dead);
        seen(
            left.is_empty(),
            format!("{} of {}: {left:?}", left.len(), dead.len()),
        )
    });
    let living = [&crashed, &alive].map(|pod| pod.attachment.container.clone());
    assert_eq!(recorded(&node, &living).len(), living.len());
    let own = [hidden.attachment.container.clone()];
    assert_eq!(recorded(&node, &own).len(), 1, "a link of it is there");
    let ends = node.host_ends();
    assert!(ends.iter().any(|end| end["link_index"] == link), "{ends:?}");
    assert!(daemon.is_alive());
}

#[test]
fn records_of_an_earlier_boot_are_gone_when_the_daemon_is_ready() {
    let node = TestNode::builder().own_bridges().start();
    let pod = node.connected("tenant-a", "alive", "10.1.0.1/24");
    let cookie = content(&pod)["cookie"].clone();
    // Cookies begin anew with each boot: one of them is that of a namespace that is there.
    let dead = plant(&node, &pod, 50, |record| {
        record["bootId"] = "0d1e2f3a-0000-4000-8000-000000000000".into();
        record["cookie"] = cookie.clone();
    });
    let _daemon = node.daemon();
    assert_eq!(recorded(&node, &dead), Vec::<String>::new());
    pod.ready("data0");
}

/// The price of one more pod is its own, however many there are, dead or alive.
#[test]
fn a_pod_that_comes_is_looked_at_and_no_other_is() {
    let node = TestNode::new();
    let limited = format!(
        "{POLICY}metadata: {{name: limited}}\n\
         spec: {{namespaceSelector: {{}}, allow: [{OWN_BRIDGES}], limits: {{podsPerNamespace: 1000}}}}\n"
    );
    node.apply("policy", &limited);
    let daemon = node.daemon();
    let pods: Vec<TestPod<'_>> = (0..30)
        .map(|number| node.bare_pod("tenant-a", &format!("web-{number}")))
        .collect();
    node.apply("all", &config_for("tenant-a", "all", "{}", LINKS));
    pods.iter().for_each(|pod| drop(pod.ready("data0")));
    plant(&node, &pods[0], 200, |_| ());
    eventually("the planted records are known", || {
        let known = daemon.metric("reconfd_pods_recorded");
        seen(known > 229.5, known)
    });
    stays("the node is at peace", Duration::from_millis(1200), || {
        Ok(())
    });
    let (before, start) = (reconciles(&daemon), Instant::now());
    node.bare_pod("tenant-a", "late").ready("data0");
    let looks = reconciles(&daemon) - before;
    // Its record, its manifest, the echo of its link, and one pod a second for what no event tells.
    let rounds = start.elapsed().as_secs_f64() + 1.0;
    assert!(looks < 10.0 + rounds, "{looks} looks in {rounds} s");
}

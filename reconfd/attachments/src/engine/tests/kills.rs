//! A process that attaches and detaches is killed again and again.

use std::{collections::BTreeMap, path::Path, process::Command};

use super::*;

const DIR: &str = "PODCONFIG_TEST_ENGINE";
const PODS: u32 = 6;

/// Not a test of its own: the process that the next one kills. Each pod has another set of links in each round.
#[test]
fn a_process_that_attaches_until_it_is_killed() {
    let Some(dir) = std::env::var_os(DIR) else {
        return;
    };
    let (parts, _events) = parts(Path::new(&dir), fast());
    let (engine, unreadable) = Engine::start(parts).unwrap();
    assert_eq!(unreadable, []);
    for round in 0.. {
        for pod in 0..PODS {
            let names: &[&str] = match (round + pod) % 4 {
                0 => &[],
                1 => &["net1"],
                2 => &["net1", "net2"],
                _ => &["net2"],
            };
            engine.request(request("a", &format!("u{pod}"), names));
        }
        thread::sleep(Duration::from_millis(7));
    }
}

fn fast() -> Limits {
    let rate = crate::limits::Rate::new(1_000_000, Duration::from_micros(1));
    Limits {
        node: rate,
        namespace: rate,
        ..Limits::default()
    }
}

#[test]
fn a_daemon_that_is_killed_at_any_moment_leaves_one_truth() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("slow"), "1").unwrap();
    // The process may be killed before it makes the folder of the effects.
    fs::create_dir(dir.path().join("effects")).unwrap();
    let mut interrupted = BTreeMap::new();
    for round in 0..40_u64 {
        let mut daemon = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "engine::tests::kills::a_process_that_attaches_until_it_is_killed",
            ])
            .env(DIR, dir.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_millis(20 + round * 7 % 50));
        daemon.kill().unwrap();
        daemon.wait().unwrap();
        let listing = Folder::new(dir.path().join("attachments")).list().unwrap();
        assert_eq!(listing.unreadable, []);
        for entry in listing.entries {
            *interrupted.entry(entry.phase.to_string()).or_insert(0) += 1;
        }
        // What is there is stored.
        let stored = Folder::new(dir.path().join("attachments")).list().unwrap();
        let stored: BTreeSet<String> = stored
            .entries
            .iter()
            .map(|entry| format!("{} {}", entry.chain.container_id, entry.chain.ifname))
            .collect();
        for effect in plugins::effects(dir.path()) {
            let slot = effect.rsplit_once(' ').unwrap().0;
            assert!(stored.contains(slot), "{effect} is a leak");
        }
    }
    let phases: Vec<&str> = interrupted.keys().map(String::as_str).collect();
    assert!(
        phases.contains(&"Adding") && phases.contains(&"Deleting"),
        "{interrupted:?}"
    );
    let node = Node::on(dir, fast());
    let wanted = ["net1", "net2"];
    for pod in 0..PODS {
        node.engine
            .request(request("a", &format!("u{pod}"), &wanted));
    }
    node.wait_until("all are attached", |node| {
        node.engine.counts().attached == 12
    });
    assert_eq!(node.effects().len(), 24);
    node.engine.drain();
    node.wait_until("all are detached", |node| node.engine.is_empty());
    assert!(node.effects().is_empty());
    let log = plugins::log(node.dir.path());
    let doubles = log.iter().filter(|line| line.starts_with("DOUBLE"));
    assert_eq!(doubles.count(), 0);
}

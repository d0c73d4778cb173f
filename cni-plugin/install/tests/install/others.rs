//! Beside agents that install themselves into the first chain of the folder, as those of meshes do, and beside
//! Cilium where it is exclusive.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use super::watcher::Watcher;
use super::*;

const COPY: &str = "00-podconfig.conflist";

/// Puts its entry at the end of the first list whenever it is not there, written anew as Go writes JSON.
struct Mesh {
    over: Arc<AtomicBool>,
    installs: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Mesh {
    fn start(node: &Node) -> Mesh {
        let (over, installs) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let (folder, seen, count) = (node.path("net.d"), over.clone(), installs.clone());
        let thread = std::thread::spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                count.fetch_add(usize::from(join(&folder)), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Mesh {
            over,
            installs,
            thread: Some(thread),
        }
    }

    fn installs(&self) -> usize {
        self.installs.load(Ordering::Relaxed)
    }

    fn end(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// Whether the entry had to be put in.
fn join(folder: &Path) -> bool {
    let lists = names(folder)
        .into_iter()
        .filter(|name| name.ends_with(".conflist"));
    for name in lists {
        let path = folder.join(name);
        let text = fs::read_to_string(&path).unwrap_or_default();
        let Ok(mut list) = serde_json::from_str::<Value>(&text) else {
            continue;
        };
        if types(&list).contains(&"istio-cni") {
            return false;
        }
        let plugins = list["plugins"].as_array_mut().unwrap();
        plugins.push(serde_json::json!({"type": "istio-cni", "log_level": "info"}));
        fs::write(
            folder.join("mesh.tmp"),
            serde_json::to_vec_pretty(&list).unwrap(),
        )
        .unwrap();
        fs::rename(folder.join("mesh.tmp"), path).unwrap();
        return true;
    }
    false
}

fn chain(node: &Node, name: &str) -> Vec<String> {
    let list: Result<Value, _> =
        serde_json::from_str(&fs::read_to_string(node.conf(name)).unwrap_or_default());
    list.map_or_else(
        |_| Vec::new(),
        |list| types(&list).into_iter().map(str::to_owned).collect(),
    )
}

fn has_all(node: &Node, name: &str) -> bool {
    let chain = chain(node, name);
    ["podconfig-cni", "istio-cni"]
        .iter()
        .all(|kind| chain.iter().any(|found| found == kind))
}

#[test]
fn a_mesh_in_our_copy_stays_there_while_the_copy_follows_the_primary() {
    for (mode, name, text, copy) in [
        ("owned", "10-flannel.conflist", FLANNEL, COPY),
        (
            "inline",
            "10-bridge.conf",
            BRIDGE_CONF,
            "10-bridge-podconfig.conflist",
        ),
    ] {
        let node = Node::with(name, text);
        let mut watcher = Watcher::start(&node, &["--mode", mode]);
        watcher.until("the copy", || node.conf(copy).exists());
        let mut mesh = Mesh::start(&node);
        watcher.until("both entries", || has_all(&node, copy));
        std::thread::sleep(Duration::from_secs(2));
        assert!(has_all(&node, copy), "{mode}: {:?}", chain(&node, copy));
        assert_eq!(mesh.installs(), 1, "{mode}");
        mesh.end();
        for number in ["9000", "9001", "9002", "9003", "9004"] {
            let newer = text
                .replace("1.450e3", number)
                .replace("1.0}", &format!("{number}}}"));
            node.write(name, &newer);
            watcher.until(number, || {
                has_all(&node, copy) && node.read(copy).contains(number)
            });
            assert_eq!(node.read(name), newer);
        }
        assert_eq!(watcher.end().0, Some(0));
    }
}

#[test]
fn after_an_uninstallation_the_mesh_is_in_the_chain_that_is_left() {
    let node = Node::with("10-flannel.conflist", FLANNEL);
    node.installed(&["--mode", "owned"]);
    assert!(join(&node.path("net.d")));
    node.uninstalled();
    assert_eq!(node.names(), ["10-flannel.conflist"]);
    assert_eq!(
        chain(&node, "10-flannel.conflist"),
        ["flannel", "portmap", "istio-cni"]
    );
    // The same on the way to another mode.
    for mode in ["inline", "drop-in"] {
        let node = Node::with("10-flannel.conflist", FLANNEL);
        node.installed(&["--mode", "owned"]);
        assert!(join(&node.path("net.d")));
        node.installed(&["--mode", mode]);
        assert!(!node.conf(COPY).exists());
        assert!(chain(&node, "10-flannel.conflist").contains(&"istio-cni".to_owned()));
        node.uninstalled();
        assert_eq!(
            chain(&node, "10-flannel.conflist"),
            ["flannel", "portmap", "istio-cni"]
        );
    }
}

#[test]
fn a_single_plugins_file_holds_no_entry_of_others_and_they_are_named() {
    let node = Node::with("10-bridge.conf", BRIDGE_CONF);
    node.installed(&[]);
    assert!(join(&node.path("net.d")));
    let output = node.command("uninstall", &[]).output().unwrap();
    assert!(output.status.success());
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("istio-cni"),
        "{output:?}"
    );
    assert_eq!(node.names(), ["10-bridge.conf"]);
    assert_eq!(node.read("10-bridge.conf"), BRIDGE_CONF);
}

#[test]
fn files_that_cilium_set_aside_keep_nothing_of_ours() {
    let node = Node::with("10-flannel.conflist", FLANNEL);
    node.installed(&["--mode", "owned"]);
    fs::rename(node.conf(COPY), node.conf(&format!("{COPY}.cilium_bak"))).unwrap();
    node.installed(&["--mode", "inline"]);
    fs::copy(
        node.conf("10-flannel.conflist"),
        node.conf("10-flannel.conflist.cilium_bak"),
    )
    .unwrap();
    node.write("90-theirs.conflist.cilium_bak", FLANNEL);
    node.uninstalled();
    assert_eq!(
        node.names(),
        [
            "10-flannel.conflist",
            "10-flannel.conflist.cilium_bak",
            "90-theirs.conflist.cilium_bak"
        ]
    );
    for name in node.names() {
        assert_eq!(node.read(&name), FLANNEL, "{name}");
    }
}

#[test]
fn who_takes_a_copy_away_again_and_again_is_not_taken_for_the_primary() {
    let node = Node::with("10-flannel.conflist", FLANNEL);
    let mut watcher = Watcher::start(&node, &["--mode", "owned"]);
    for round in 0..4 {
        watcher.until(&format!("round {round}"), || node.conf(COPY).exists());
        fs::remove_file(node.conf(COPY)).unwrap();
    }
    let (code, said) = watcher.ended();
    assert_eq!(code, Some(4), "{said}");
    assert!(
        said.contains("not the owner of") && said.contains(COPY),
        "{said}"
    );
}

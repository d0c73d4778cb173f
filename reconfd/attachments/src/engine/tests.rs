use std::{
    collections::BTreeSet,
    fs,
    io::{PipeReader, Read as _, pipe},
    os::fd::OwnedFd,
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};
use tempfile::TempDir;

use super::*;
use crate::{
    entry::{NetnsId, Phase, PodRef, Requester, samples},
    state::{CheckMode, LinkRequest, Sandbox, Target, Wanted},
    status::{Change, FailureReason, LinkState},
};
use plugins::{Host, Plugins};

/// A daemon that is killed.
mod kills;
/// Plugins and pods as files.
mod plugins;

const BOOT: &str = "0d1e2f3a-0000-4000-8000-000000000000";
const SOON: Duration = Duration::from_secs(20);

struct Node {
    dir: TempDir,
    engine: Engine,
    events: Receiver<Event>,
    unreadable: Vec<Unreadable>,
}

fn parts(dir: &std::path::Path, limits: Limits) -> (Parts, Receiver<Event>) {
    let (sender, events) = channel();
    let sender = Mutex::new(sender);
    let parts = Parts {
        folder: Folder::new(dir.join("attachments")),
        runner: Box::new(Plugins::new(dir)),
        host: Box::new(Host::new(dir)),
        on_event: Box::new(move |event| {
            let _ = sender.lock().unwrap().send(event);
        }),
        limits,
        boot_id: BOOT.into(),
    };
    (parts, events)
}

impl Node {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        Self::on(tempfile::tempdir().unwrap(), limits)
    }

    fn on(dir: TempDir, limits: Limits) -> Self {
        let (parts, events) = parts(dir.path(), limits);
        let (engine, unreadable) = Engine::start(parts).unwrap();
        Self {
            dir,
            engine,
            events,
            unreadable,
        }
    }

    fn restart(self) -> Self {
        let Self { dir, engine, .. } = self;
        drop(engine);
        Self::on(dir, Limits::default())
    }

    /// Waits for an event of this kind.
    fn event(&self, is_it: impl Fn(&Change) -> bool) -> Event {
        let deadline = Instant::now() + SOON;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = self.events.recv_timeout(left).unwrap();
            if is_it(&event.change) {
                return event;
            }
        }
    }

    fn wait_until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + SOON;
        while !is_so(self) {
            assert!(Instant::now() < deadline, "{what}");
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn effects(&self) -> Vec<String> {
        plugins::effects(self.dir.path())
    }

    fn set(&self, file: &str, content: &str) {
        fs::write(self.dir.path().join(file), content).unwrap();
    }

    fn unset(&self, file: &str) {
        fs::remove_file(self.dir.path().join(file)).unwrap();
    }
}

fn request(namespace: &str, uid: &str, names: &[&str]) -> PodRequest {
    let links = names.iter().map(|ifname| {
        let mut chain = samples::chain();
        chain.container_id = format!("c-{uid}");
        chain.ifname = (*ifname).into();
        let wanted = Wanted {
            chain,
            requester: Requester::Annotation {
                definition: "ns/fast".into(),
                element: "1".into(),
            },
            spec_hash: "1".into(),
            gateways: Vec::new(),
            after: vec![],
            check: CheckMode::Never,
        };
        LinkRequest {
            ifname: (*ifname).into(),
            target: Target::Attach(Box::new(wanted)),
        }
    });
    PodRequest {
        pod: PodRef {
            namespace: namespace.into(),
            name: uid.into(),
            uid: uid.into(),
        },
        sandbox: Some(Sandbox {
            container_id: format!("c-{uid}"),
            netns: NetnsId {
                boot_id: BOOT.into(),
                cookie: 1,
            },
        }),
        links: links.collect(),
    }
}

fn is_attached(change: &Change) -> bool {
    matches!(change, Change::Attached(_))
}

fn is_detached(change: &Change) -> bool {
    matches!(change, Change::Detached(_))
}

#[test]
fn a_link_is_attached_stored_and_detached() {
    let node = Node::new();
    node.engine.request(request("a", "u1", &["net1"]));
    let event = node.event(is_attached);
    assert_eq!(
        (event.ifname.as_str(), event.network.as_str()),
        ("net1", "fast")
    );
    assert_eq!(node.effects(), ["c-u1 net1 0", "c-u1 net1 1"]);
    let stored = Folder::new(node.dir.path().join("attachments"))
        .list()
        .unwrap();
    assert_eq!(stored.entries, node.engine.entries());
    assert_eq!(stored.entries[0].phase, Phase::Attached);
    assert_eq!(stored.entries[0].result.as_ref().unwrap()["plugins"], 2);
    assert!(matches!(
        node.engine.outcome("u1").links[0],
        LinkState::Attached { .. }
    ));
    assert_eq!(node.engine.counts().attached, 1);
    node.engine.request(request("a", "u1", &[]));
    node.event(is_detached);
    assert!(node.effects().is_empty() && node.engine.is_empty());
}

#[test]
fn a_chain_that_hangs_keeps_neither_callers_nor_other_pods_waiting() {
    let node = Node::new();
    node.set("hang u-bad", "");
    node.engine.request(request("bad", "u-bad", &["net1"]));
    node.wait_until("it hangs", |node| {
        node.engine.outcome("u-bad").links[0] == LinkState::Attaching
    });
    let start = Instant::now();
    for number in 0..20 {
        node.engine
            .request(request("good", &format!("u{number}"), &["net1"]));
    }
    node.engine.retry("u-bad");
    node.engine.counts();
    node.engine.outcome("u-bad");
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    for _ in 0..20 {
        node.event(is_attached);
    }
    assert_eq!(node.engine.outcome("u-bad").links[0], LinkState::Attaching);
    assert_eq!(node.effects().len(), 40);
    node.unset("hang u-bad");
    assert_eq!(node.event(is_attached).pod.uid, "u-bad");
}

/// A namespace that stays open until the returned end says that it is closed.
fn namespace() -> (OwnedFd, PipeReader) {
    let (reader, writer) = pipe().unwrap();
    (writer.into(), reader)
}

#[test]
fn the_namespace_of_an_ended_sandbox_is_held_for_del_and_closed_after_it() {
    let node = Node::new();
    node.engine.request(request("a", "u1", &["net1"]));
    node.event(is_attached);
    node.set("gone c-u1", "");
    let (netns, mut closed) = namespace();
    node.engine.sandbox_ended("c-u1", Some(netns));
    node.event(is_detached);
    let log = plugins::log(node.dir.path());
    assert_eq!(log.last().unwrap(), "DEL c-u1 net1 with namespace");
    assert_eq!(
        closed.read(&mut [0]).unwrap(),
        0,
        "closed, or this waits for ever"
    );
}

#[test]
fn a_namespace_is_not_held_for_longer_than_its_time() {
    let limits = Limits {
        hold: Duration::from_millis(300),
        ..Limits::default()
    };
    let node = Node::with(limits);
    node.engine.request(request("a", "u1", &["net1"]));
    node.event(is_attached);
    node.set("gone c-u1", "");
    node.set("fail DEL u1", "");
    let (netns, mut closed) = namespace();
    let start = Instant::now();
    node.engine.sandbox_ended("c-u1", Some(netns));
    assert_eq!(closed.read(&mut [0]).unwrap(), 0);
    let held = start.elapsed();
    assert!(
        held > Duration::from_millis(290) && held < Duration::from_secs(5),
        "{held:?}"
    );
    node.unset("fail DEL u1");
    node.event(is_detached);
    let log = plugins::log(node.dir.path());
    assert!(
        log.contains(&"DEL c-u1 net1 with namespace".into()),
        "{log:?}"
    );
    assert_eq!(log.last().unwrap(), "DEL c-u1 net1 without namespace");
}

#[test]
fn a_namespace_of_a_sandbox_without_attachments_is_not_held() {
    let node = Node::new();
    let (netns, mut closed) = namespace();
    node.engine.sandbox_ended("unknown", Some(netns));
    assert_eq!(closed.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_namespace_that_cannot_be_opened_changes_nothing() {
    let node = Node::new();
    node.engine.request(request("a", "u1", &["net1"]));
    node.event(is_attached);
    node.set("unknown c-u1", "");
    node.engine.request(request("a", "u1", &[]));
    let failed = node.event(|change| matches!(change, Change::DetachFailed(_)));
    assert!(
        matches!(failed.change, Change::DetachFailed(failure) if failure.reason == FailureReason::SandboxUnknown)
    );
    assert_eq!(node.effects().len(), 2);
    assert_eq!(node.engine.entries()[0].phase, Phase::Attached);
    node.unset("unknown c-u1");
    node.engine.retry("u1");
    node.event(is_detached);
}

#[test]
fn an_engine_that_is_dropped_during_add_is_continued_by_the_next() {
    let node = Node::new();
    node.set("hang u1", "");
    node.engine.request(request("a", "u1", &["net1"]));
    node.wait_until("it hangs", |node| {
        plugins::log(node.dir.path())
            .iter()
            .any(|line| line.starts_with("ADD"))
    });
    let Node { dir, engine, .. } = node;
    drop(engine);
    // The runner ends a chain of a daemon that has ended before it begins another one of the container.
    fs::remove_file(dir.path().join("hang u1")).unwrap();
    let deadline = Instant::now() + SOON;
    while plugins::effects(dir.path()).len() < 2 {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(2));
    }
    let node = Node::on(dir, Limits::default());
    node.event(|change| *change == Change::Detached(crate::entry::Why::CutOff));
    assert!(node.effects().is_empty());
    node.engine.request(request("a", "u1", &["net1"]));
    node.event(is_attached);
    assert_eq!(node.effects().len(), 2);
}

#[test]
fn a_restart_keeps_what_is_attached_and_detaches_pods_that_are_gone() {
    let node = Node::new();
    for uid in ["u1", "u2"] {
        node.engine.request(request("a", uid, &["net1", "net2"]));
    }
    for _ in 0..4 {
        node.event(is_attached);
    }
    let node = node.restart();
    node.engine.synced(&BTreeSet::from(["u1".to_owned()]));
    for _ in 0..2 {
        assert_eq!(node.event(is_detached).pod.uid, "u2");
    }
    node.engine.request(request("a", "u1", &["net1", "net2"]));
    assert_eq!(node.effects().len(), 4);
    node.engine.drain();
    node.wait_until("all is detached", |node| node.engine.is_empty());
    assert!(node.effects().is_empty());
}

#[test]
fn files_that_cannot_be_read_are_returned_and_keep_their_name() {
    let node = Node::new();
    node.engine.request(request("a", "u1", &["net1"]));
    node.event(is_attached);
    let path = node.dir.path().join("attachments/results/fast-c-u2-net1");
    fs::write(&path, "{").unwrap();
    let node = node.restart();
    assert_eq!(node.unreadable[0].file, "fast-c-u2-net1");
    assert_eq!(node.engine.counts().unreadable, 1);
    node.engine.request(request("a", "u2", &["net1"]));
    let failed = node.event(|change| matches!(change, Change::AttachFailed(_)));
    assert!(
        matches!(failed.change, Change::AttachFailed(failure) if failure.reason == FailureReason::StoreFailed)
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "{");
    fs::remove_file(&path).unwrap();
    assert_eq!(node.event(is_attached).pod.uid, "u2", "without a restart");
}

#[test]
fn an_attachment_that_is_lost_is_counted_until_it_is_forgotten() {
    let limits = Limits {
        lost_after: Duration::ZERO,
        ..Limits::default()
    };
    let node = Node::with(limits);
    node.engine.request(request("a", "u1", &["net1"]));
    node.event(is_attached);
    node.set("gone c-u1", "");
    node.set("fail DEL u1", "");
    node.engine.sandbox_ended("c-u1", None);
    node.event(|change| matches!(change, Change::Lost(_)));
    assert_eq!(
        (node.engine.counts().lost, node.engine.counts().deleting),
        (1, 0)
    );
    let node = node.restart();
    assert_eq!(node.engine.counts().lost, 1);
    let log = plugins::log(node.dir.path()).len();
    node.engine.synced(&BTreeSet::new());
    Folder::new(node.dir.path().join("attachments"))
        .forget("fast-c-u1-net1")
        .unwrap();
    assert_eq!(node.engine.count_lost().unwrap(), 0);
    assert_eq!(node.engine.counts(), Counts::default());
    assert_eq!(
        plugins::log(node.dir.path()).len(),
        log,
        "nothing is tried again"
    );
}

/// Mounts a file system of a few pages for the store, in a mount namespace of the calling thread and those it starts.
fn on_tiny_store(test: impl FnOnce(Node) + Send + 'static) {
    let in_thread = move || {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("attachments");
        fs::create_dir(&store).unwrap();
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
        let options = Some("size=64k,mode=700");
        mount(
            Some("tmpfs"),
            &store,
            Some("tmpfs"),
            MsFlags::empty(),
            options,
        )
        .unwrap();
        test(Node::on(dir, Limits::default()));
    };
    thread::spawn(in_thread).join().unwrap();
}

#[test]
fn a_full_disk_begins_nothing_that_it_cannot_undo_and_ends_pods_all_the_same() {
    on_tiny_store(|node| {
        for uid in ["u1", "u2"] {
            node.engine.request(request("a", uid, &["net1"]));
            node.event(is_attached);
        }
        let filler = node.dir.path().join("attachments/filler");
        let mut full = fs::File::create(&filler).unwrap();
        assert!(std::io::copy(&mut std::io::repeat(1), &mut full).is_err());
        node.engine.request(request("a", "u3", &["net1"]));
        let failed = node.event(|change| matches!(change, Change::AttachFailed(_)));
        let Change::AttachFailed(failure) = failed.change else {
            unreachable!();
        };
        assert_eq!(failure.reason, FailureReason::StoreFailed);
        assert!(
            failure.message.ends_with("No space left on device"),
            "{failure:?}"
        );
        // A living pod keeps its link until its DEL can be announced; an ended one does not.
        node.engine.request(request("a", "u1", &[]));
        node.event(|change| matches!(change, Change::DetachFailed(_)));
        node.engine.pod_ended("u2");
        assert_eq!(node.event(is_detached).pod.uid, "u2");
        assert_eq!(node.effects(), ["c-u1 net1 0", "c-u1 net1 1"]);
        drop(full);
        fs::remove_file(filler).unwrap();
        node.engine.retry("u1");
        node.engine.retry("u3");
        node.wait_until("it goes on", |node| {
            node.effects() == ["c-u3 net1 0", "c-u3 net1 1"] && node.engine.counts().attached == 1
        });
    });
}

#[test]
fn a_store_that_is_not_trusted_is_no_start() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let results = dir.path().join("attachments/results");
    fs::create_dir_all(&results).unwrap();
    fs::set_permissions(&results, fs::Permissions::from_mode(0o777)).unwrap();
    let (parts, _events) = parts(dir.path(), Limits::default());
    assert!(Engine::start(parts).is_err());
}

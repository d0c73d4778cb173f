use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, sync::mpsc};

use tempfile::TempDir;

use super::*;
use crate::WatchThread;

const SOON: Duration = Duration::from_secs(5);

fn watch(path: &Path) -> DirWatch {
    DirWatch::new(vec![Folder::new(path)]).unwrap()
}

/// Collects events of the first folder until the condition holds, for a few seconds.
fn collect(watch: &mut DirWatch, until: impl Fn(&FolderEvents) -> bool) -> FolderEvents {
    let mut all = FolderEvents::default();
    let end = Instant::now() + SOON;
    while Instant::now() < end && !until(&all) {
        let events = watch.wait(None).unwrap().folders.remove(0);
        all.names.extend(events.names);
        all.all |= events.all;
        all.lost |= events.lost;
        all.is_watched = events.is_watched;
    }
    all
}

#[test]
fn files_that_are_written_renamed_and_removed_are_reported() {
    let root = TempDir::new().unwrap();
    let path = |name: &str| root.path().join(name);
    let mut watch = watch(root.path());
    fs::write(path("a"), "x").unwrap();
    fs::rename(path("a"), path("b")).unwrap();
    fs::write(path(".hidden"), "x").unwrap();
    fs::write(path("c"), "x").unwrap();
    fs::remove_file(path("c")).unwrap();
    let is_removed = |events: &FolderEvents| {
        events.names.get("c".as_ref() as &std::ffi::OsStr) == Some(&FileEvent::Vanished)
    };
    let events = collect(&mut watch, is_removed);
    assert_eq!(events.visible().collect::<Vec<_>>(), ["a", "b", "c"]);
    let expected = [
        (".hidden", FileEvent::Written),
        ("a", FileEvent::RenamedTo("b".into())),
        ("b", FileEvent::Written),
        ("c", FileEvent::Vanished),
    ];
    let expected = expected.map(|(name, event)| (name.into(), event));
    assert_eq!(events.names, BTreeMap::from(expected));
    assert!(events.is_watched && !events.all && !events.lost);
}

#[test]
fn new_and_touched_files_are_reported_only_where_they_are_of_interest() {
    let (plain, with_all) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let of_all = Folder::new(with_all.path()).with_created().with_touched();
    let mut watch = DirWatch::new(vec![of_all, Folder::new(plain.path())]).unwrap();
    // A check of the paths ends a wait, too.
    let mut next = || {
        let batches = std::iter::from_fn(|| Some(watch.wait(None).unwrap().folders));
        let mut batches = batches.take(20);
        batches
            .find(|folders| !folders[0].names.is_empty())
            .unwrap()
    };
    let open = |root: &TempDir| fs::File::create(root.path().join("a")).unwrap();
    let read_only = fs::Permissions::from_mode(0o400);
    let touch = |file: &fs::File| file.set_permissions(read_only.clone()).unwrap();
    let files = [open(&plain), open(&with_all)];
    let folders = next();
    let is = |event| BTreeMap::from([("a".into(), event)]);
    assert_eq!(folders[0].names, is(FileEvent::Created));
    assert!(folders[1].names.is_empty());
    files.iter().rev().for_each(touch);
    assert_eq!(next()[0].names, is(FileEvent::Touched));
}

#[test]
fn a_folder_may_come_later_and_go_and_come_back() {
    let root = TempDir::new().unwrap();
    let folder = root.path().join("results");
    let mut watch = watch(&folder);
    for _ in 0..2 {
        fs::create_dir(&folder).unwrap();
        let events = collect(&mut watch, |events| events.all);
        assert!(events.all && events.is_watched);
        fs::write(folder.join("a"), "x").unwrap();
        let events = collect(&mut watch, |events| !events.names.is_empty());
        assert_eq!(events.visible().collect::<Vec<_>>(), ["a"]);
        fs::remove_dir_all(&folder).unwrap();
        let events = collect(&mut watch, |events| events.lost);
        assert!(events.lost && !events.is_watched);
    }
}

#[test]
fn a_folder_whose_parent_moves_away_is_lost_without_an_event() {
    let root = TempDir::new().unwrap();
    let folder = root.path().join("parent/results");
    fs::create_dir_all(&folder).unwrap();
    let mut watch = watch(&folder);
    fs::rename(root.path().join("parent"), root.path().join("elsewhere")).unwrap();
    let events = collect(&mut watch, |events| events.lost);
    assert!(events.lost && !events.is_watched && !events.all);
}

#[test]
fn a_thread_hands_events_on_and_ends_when_it_is_dropped() {
    let root = TempDir::new().unwrap();
    let (sender, receiver) = mpsc::channel();
    let handle = move |events: Events| {
        let names = events.folders[0].visible().map(str::to_owned);
        names.for_each(|name| sender.send(name).unwrap());
        None
    };
    let thread = WatchThread::spawn("test", watch(root.path()), handle).unwrap();
    fs::write(root.path().join("a"), "x").unwrap();
    assert_eq!(receiver.recv_timeout(SOON), Ok("a".into()));
    drop(thread);
    assert!(receiver.recv().is_err());
}

#[test]
fn a_thread_calls_at_the_time_that_it_was_given() {
    let root = TempDir::new().unwrap();
    let (sender, receiver) = mpsc::channel();
    let mut deadline = None;
    let handle = move |events: Events| {
        let now = Instant::now();
        if !events.folders[0].names.is_empty() {
            deadline = Some(now + Duration::from_millis(50));
        } else if deadline.is_some_and(|deadline| deadline <= now) {
            deadline = None;
            sender.send(()).unwrap();
        }
        deadline
    };
    let _thread = WatchThread::spawn("test", watch(root.path()), handle).unwrap();
    fs::write(root.path().join("a"), "x").unwrap();
    let start = Instant::now();
    assert_eq!(receiver.recv_timeout(SOON), Ok(()));
    assert!(start.elapsed() < WATCHED, "{:?}", start.elapsed());
}

#[test]
fn a_wait_ends_on_stop() {
    let root = TempDir::new().unwrap();
    let mut watch = watch(root.path());
    watch.stop().write(1).unwrap();
    assert!(watch.wait(None).unwrap().stop);
}

#![allow(clippy::unwrap_used)]

use std::{fs, os::unix::fs::PermissionsExt, thread};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};
use tempfile::TempDir;

use super::*;

fn report(namespace: &str, name: &str, sandbox: &str) -> PodReport {
    let object = json!({
        "apiVersion": "podconfig.dev/v1alpha1", "kind": "PodReport",
        "metadata": {"namespace": namespace, "name": name}, "spec": {},
    });
    let mut report: PodReport = serde_json::from_value(object).unwrap();
    report.metadata.annotations = Some([("sandbox".into(), sandbox.into())].into());
    report
}

fn sandbox(page: &Path) -> Option<String> {
    let value: Value = serde_saphyr::from_str(&fs::read_to_string(page).ok()?).ok()?;
    value["metadata"]["annotations"]["sandbox"]
        .as_str()
        .map(str::to_owned)
}

fn folder() -> (TempDir, FileSink, PathBuf) {
    let root = TempDir::new().unwrap();
    let reports = root.path().join("reports");
    (root, FileSink::new(&reports), reports)
}

#[test]
fn a_report_is_a_file_that_everybody_may_read() {
    let (_root, sink, reports) = folder();
    sink.write_pod_report(&report("t", "p", "s1"));
    let page = reports.join("t/podreport-p.yaml");
    assert_eq!(sandbox(&page).unwrap(), "s1");
    assert_eq!(
        fs::metadata(&page).unwrap().permissions().mode() & 0o777,
        0o644
    );
    assert_eq!(
        fs::metadata(reports.join("t"))
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o755
    );
    sink.remove_pod_report("t", "p");
    assert!(!reports.join("t").exists());
}

#[test]
fn what_must_be_quoted_comes_back_as_it_was() {
    let (_root, sink, reports) = folder();
    let odd = [
        "yes",
        "1e3",
        "0a:58:0a:63:00:0a",
        "10:20",
        "0755",
        "null",
        "~",
        "",
        "- a",
        "a: b",
        "#c",
        " a",
        "x\ny",
        "\u{0}",
        "é",
        "{",
        "y",
    ];
    for text in odd.iter().chain([&"a very long line ".repeat(20).as_str()]) {
        sink.write_pod_report(&report("t", "p", text));
        assert_eq!(sandbox(&reports.join("t/podreport-p.yaml")).unwrap(), *text);
    }
}

#[test]
fn the_same_report_again_is_not_written_even_after_a_restart() {
    let (_root, sink, reports) = folder();
    let page = reports.join("t/podreport-p.yaml");
    sink.write_pod_report(&report("t", "p", "s1"));
    let inode = || std::os::unix::fs::MetadataExt::ino(&fs::metadata(&page).unwrap());
    // Held open, so that its inode number cannot come back.
    let _held = fs::File::open(&page).unwrap();
    let first = inode();
    sink.write_pod_report(&report("t", "p", "s1"));
    FileSink::new(&reports).write_pod_report(&report("t", "p", "s1"));
    assert_eq!(inode(), first);
    FileSink::new(&reports).write_pod_report(&report("t", "p", "s2"));
    assert_ne!(inode(), first);
}

#[test]
fn names_that_lead_elsewhere_are_not_written() {
    let (root, sink, reports) = folder();
    for (namespace, name) in [
        ("..", "p"),
        ("t", "../p"),
        ("t/u", "p"),
        ("", "p"),
        ("t", ""),
        ("t", "a\nb"),
        ("t", "A"),
    ] {
        sink.write_pod_report(&report(namespace, name, "s"));
        sink.remove_pod_report(namespace, name);
    }
    assert!(!reports.exists());
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
}

#[test]
fn two_pods_with_the_longest_names_have_a_file_each() {
    let (_root, sink, reports) = folder();
    let long = format!("{}a", "x.".repeat(126));
    for end in ["a", "b"] {
        sink.write_pod_report(&report("t", &format!("{}{end}", &long[..252]), "s"));
    }
    assert_eq!(fs::read_dir(reports.join("t")).unwrap().count(), 2);
}

#[test]
fn reports_of_pods_that_are_gone_are_removed_and_nothing_else() {
    let (_root, sink, reports) = folder();
    for name in ["a", "b"] {
        sink.write_pod_report(&report("t", name, "s"));
    }
    sink.write_pod_report(&report("gone", "a", "s"));
    fs::write(reports.join("t/notes.txt"), "mine").unwrap();
    fs::write(reports.join("t/podconfig-old.yaml"), "{}").unwrap();
    FileSink::new(&reports).keep_only([("t", "a")], []);
    let mut left: Vec<_> = AtomicFiles::new(reports.clone()).present();
    left.sort();
    assert_eq!(
        left,
        [Path::new("t/notes.txt"), Path::new("t/podreport-a.yaml")]
    );
    assert!(!reports.join("gone").exists());
}

#[test]
fn what_a_killed_daemon_left_half_written_is_replaced() {
    let (_root, sink, reports) = folder();
    fs::create_dir_all(reports.join("t")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", reports.join("t/.unfinished")).unwrap();
    let before = fs::read("/etc/hostname").ok();
    sink.write_pod_report(&report("t", "p", "s"));
    assert_eq!(sandbox(&reports.join("t/podreport-p.yaml")).unwrap(), "s");
    assert_eq!(fs::read("/etc/hostname").ok(), before);
    assert!(!reports.join("t/.unfinished").exists());
}

#[test]
fn a_fifo_in_the_place_of_a_report_is_replaced() {
    let (_root, sink, reports) = folder();
    fs::create_dir_all(reports.join("t")).unwrap();
    let page = reports.join("t/podreport-p.yaml");
    nix::unistd::mkfifo(&page, nix::sys::stat::Mode::S_IRWXU).unwrap();
    sink.write_pod_report(&report("t", "p", "s"));
    assert_eq!(sandbox(&page).unwrap(), "s");
}

/// Runs with a small file system of its own in that place, which goes with the thread.
fn on_a_small_disk(story: impl FnOnce(&Path, &Path) + Send + 'static) {
    let own = move || {
        let root = TempDir::new().unwrap();
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let private = MsFlags::MS_PRIVATE | MsFlags::MS_REC;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
        let disk = root.path();
        mount(
            Some("tmpfs"),
            disk,
            Some("tmpfs"),
            MsFlags::empty(),
            Some("size=64k"),
        )
        .unwrap();
        story(disk, &disk.join("reports"));
        nix::mount::umount(disk).unwrap();
    };
    thread::spawn(own).join().unwrap();
}

#[test]
fn a_full_disk_fails_nobody_and_gets_the_newest_text_later() {
    on_a_small_disk(|disk, reports| {
        let sink = FileSink::new(reports);
        sink.write_pod_report(&report("t", "p", "old"));
        let filler = disk.join("filler");
        assert!(fs::write(&filler, vec![0; 1 << 20]).is_err());
        sink.write_pod_report(&report("t", "p", "new"));
        sink.write_pod_report(&report("t", "p", "newest"));
        sink.remove_pod_report("t", "q");
        let page = reports.join("t/podreport-p.yaml");
        assert_eq!(sandbox(&page).unwrap(), "old", "the old text is whole");
        assert!(!sink.retry());
        fs::remove_file(filler).unwrap();
        assert!(sink.retry());
        assert_eq!(sandbox(&page).unwrap(), "newest");
    });
}

#[test]
fn a_page_that_can_not_be_written_keeps_no_other_waiting() {
    let (_root, sink, reports) = folder();
    fs::create_dir_all(&reports).unwrap();
    for namespace in ["t", "u"] {
        fs::write(reports.join(namespace), "in the way").unwrap();
        sink.write_pod_report(&report(namespace, "p", "s"));
    }
    fs::remove_file(reports.join("u")).unwrap();
    assert!(!sink.retry());
    assert_eq!(sandbox(&reports.join("u/podreport-p.yaml")).unwrap(), "s");
    fs::remove_file(reports.join("t")).unwrap();
    assert!(sink.retry());
    assert_eq!(sandbox(&reports.join("t/podreport-p.yaml")).unwrap(), "s");
}

#[test]
fn a_read_only_disk_fails_nobody_and_is_tried_again() {
    on_a_small_disk(|disk, reports| {
        let sink = FileSink::new(reports);
        sink.write_pod_report(&report("t", "p", "old"));
        let again = |flags| {
            mount(
                None::<&str>,
                disk,
                None::<&str>,
                MsFlags::MS_REMOUNT | flags,
                None::<&str>,
            )
        };
        again(MsFlags::MS_RDONLY).unwrap();
        sink.remove_pod_report("t", "p");
        sink.write_pod_report(&report("u", "p", "new"));
        assert!(!sink.retry());
        again(MsFlags::empty()).unwrap();
        assert!(sink.retry());
        assert!(!reports.join("t").exists());
        assert_eq!(sandbox(&reports.join("u/podreport-p.yaml")).unwrap(), "new");
    });
}

use std::{
    fs::{self, File, Permissions},
    io::{BufRead as _, BufReader},
    os::unix::fs::{PermissionsExt as _, chown, symlink},
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::stat::Mode,
    unistd::mkfifo,
};
use tempfile::TempDir;

use super::*;
use crate::entry::{Facts, Phase, samples::entry};

const ID: &str = "fast-c0ffee-net1";

fn folder() -> (TempDir, Folder) {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::new(dir.path().join("default/attachments"));
    (dir, folder)
}

fn results(folder: &Folder) -> PathBuf {
    folder.path().join("results")
}

fn names(folder: &Folder) -> Vec<String> {
    let entries = fs::read_dir(results(folder)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

fn adding() -> Entry {
    Entry {
        phase: Phase::Adding,
        ..entry()
    }
}

#[test]
fn a_missing_folder_has_no_entries() {
    let (_dir, folder) = folder();
    let listing = folder.list().unwrap();
    assert!(listing.entries.is_empty() && listing.unreadable.is_empty());
    assert!(folder.lost().unwrap().entries.is_empty());
    assert_eq!(folder.sweep().unwrap(), 0);
    folder.remove(ID).unwrap();
}

#[test]
fn an_entry_is_created_replaced_and_removed() {
    let (_dir, folder) = folder();
    folder.create(&adding()).unwrap();
    assert_eq!(folder.list().unwrap().entries, [adding()]);
    folder.replace(&entry()).unwrap();
    assert_eq!(folder.list().unwrap().entries, [entry()]);
    assert_eq!(names(&folder), [ID], "no temporary file stays");
    folder.remove(ID).unwrap();
    folder.remove(ID).unwrap();
    assert!(folder.list().unwrap().entries.is_empty());
}

#[test]
fn only_its_owner_may_read_it() {
    let (_dir, folder) = folder();
    folder.create(&entry()).unwrap();
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(results(&folder)), 0o700);
    assert_eq!(mode(folder.path().to_owned()), 0o700);
    assert_eq!(mode(results(&folder).join(ID)), 0o600);
    assert_eq!(mode(folder.path().parent().unwrap().to_owned()), 0o755);
}

#[test]
fn a_file_that_exists_is_not_created_over() {
    let (_dir, folder) = folder();
    folder.create(&entry()).unwrap();
    let torn = &fs::read(results(&folder).join(ID)).unwrap()[..100];
    fs::write(results(&folder).join(ID), torn).unwrap();
    let error = folder.create(&entry()).unwrap_err();
    assert!(matches!(error.problem, FolderProblem::Exists), "{error}");
    assert_eq!(fs::read(results(&folder).join(ID)).unwrap(), torn);
    assert_eq!(names(&folder), [ID]);
}

#[test]
fn torn_foreign_and_newer_files_are_reported_and_left_alone() {
    let (_dir, folder) = folder();
    folder.create(&entry()).unwrap();
    let text = fs::read_to_string(results(&folder).join(ID)).unwrap();
    let newer = text.replace("\"version\":1", "\"version\":2");
    assert_ne!(newer, text);
    let foreign = r#"{"kind":"cniCacheV1","containerId":"x","config":"e30=","ifName":"eth0","networkName":"n"}"#;
    for (name, content) in [
        ("newer", newer.as_str()),
        ("foreign", foreign),
        ("torn", &text[..50]),
        ("empty", ""),
    ] {
        fs::write(results(&folder).join(name), content).unwrap();
        fs::set_permissions(results(&folder).join(name), Permissions::from_mode(0o600)).unwrap();
    }
    let listing = folder.list().unwrap();
    assert_eq!(listing.entries, [entry()]);
    let problems: Vec<String> = listing
        .unreadable
        .iter()
        .map(|unreadable| format!("{} {}", unreadable.file, unreadable.problem))
        .collect();
    assert!(problems[0].starts_with("empty is torn"), "{problems:?}");
    assert!(
        problems[1].starts_with("foreign was not written by podconfig"),
        "{problems:?}"
    );
    assert!(
        problems[2].starts_with("newer has version 2"),
        "{problems:?}"
    );
    assert!(problems[3].starts_with("torn is torn"), "{problems:?}");
    assert_eq!(folder.sweep().unwrap(), 0);
    assert_eq!(names(&folder).len(), 5);
}

#[test]
fn files_that_others_could_write_are_not_trusted() {
    let (_dir, folder) = folder();
    folder.create(&entry()).unwrap();
    let path = results(&folder).join(ID);
    let text = fs::read(&path).unwrap();
    let problem = || {
        let listing = folder.list().unwrap();
        assert!(listing.entries.is_empty());
        listing.unreadable[0].problem.clone()
    };
    fs::set_permissions(&path, Permissions::from_mode(0o660)).unwrap();
    assert_eq!(problem(), "others may write it (mode 0660)");
    fs::remove_file(&path).unwrap();
    fs::write(results(&folder).join(".hidden"), &text).unwrap();
    symlink(".hidden", &path).unwrap();
    assert_eq!(problem(), "it is a symbolic link");
    fs::remove_file(&path).unwrap();
    // Opening it to read would wait for a writer.
    mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    assert_eq!(problem(), "it is not a plain file");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(problem(), "it is not a plain file");
}

#[test]
fn a_file_of_another_user_is_not_trusted() {
    let (_dir, folder) = folder();
    folder.create(&entry()).unwrap();
    chown(results(&folder).join(ID), Some(65534), None).unwrap();
    let listing = folder.list().unwrap();
    assert_eq!(
        listing.unreadable[0].problem,
        "it belongs to user 65534, not to 0"
    );
}

#[test]
fn a_folder_that_others_could_write_is_neither_read_nor_written() {
    let (_dir, folder) = folder();
    folder.create(&entry()).unwrap();
    fs::set_permissions(results(&folder), Permissions::from_mode(0o777)).unwrap();
    let refused = [
        folder.list().unwrap_err(),
        folder.replace(&entry()).unwrap_err(),
        folder.remove(ID).unwrap_err(),
    ];
    for error in refused {
        assert!(
            error
                .to_string()
                .ends_with("others may write it (mode 0777)"),
            "{error}"
        );
    }
}

#[test]
fn a_folder_that_is_a_symbolic_link_is_not_followed() {
    let (dir, folder) = folder();
    fs::create_dir_all(folder.path()).unwrap();
    let elsewhere = dir.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, results(&folder)).unwrap();
    assert!(folder.create(&entry()).is_err());
    assert_eq!(fs::read_dir(elsewhere).unwrap().count(), 0);
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let (_dir, folder) = folder();
    folder.create(&entry()).unwrap();
    for odd in ["../x", "a/b", ".new.x", "", "."] {
        assert!(folder.remove(odd).is_err(), "{odd}");
        assert!(folder.forget(odd).is_err(), "{odd}");
    }
    let mut long = entry();
    long.chain.network = "n".repeat(300);
    let error = folder.create(&long).unwrap_err();
    assert!(error.to_string().ends_with("File name too long"), "{error}");
}

#[test]
fn an_entry_that_could_not_be_read_is_not_written() {
    let (_dir, folder) = folder();
    let mut large = entry();
    large.result = Some("x".repeat(3 << 20).into());
    let error = folder.create(&large).unwrap_err();
    assert!(
        matches!(error.problem, FolderProblem::TooLarge(_)),
        "{error}"
    );
    assert!(!results(&folder).exists());
}

#[test]
fn a_temporary_file_of_a_dead_daemon_is_swept_and_in_no_way() {
    let (_dir, folder) = folder();
    folder.create(&adding()).unwrap();
    let rest = results(&folder).join(format!(".new.{ID}"));
    fs::write(&rest, "{").unwrap();
    assert_eq!(folder.list().unwrap().entries, [adding()]);
    folder.replace(&entry()).unwrap();
    assert_eq!(names(&folder), [ID]);
    fs::write(&rest, "{").unwrap();
    assert_eq!(folder.sweep().unwrap(), 1);
    assert_eq!(names(&folder), [ID]);
}

#[test]
fn a_lost_entry_is_listed_and_forgotten() {
    let (_dir, folder) = folder();
    folder.create(&entry()).unwrap();
    let early = folder.forget(ID).unwrap_err();
    assert!(matches!(early.problem, FolderProblem::Missing), "{early}");
    assert_eq!(folder.list().unwrap().entries.len(), 1);
    folder.lose(ID).unwrap();
    assert!(folder.list().unwrap().entries.is_empty());
    assert_eq!(folder.lost().unwrap().entries, [entry()]);
    folder.forget(ID).unwrap();
    assert!(folder.lost().unwrap().entries.is_empty());
    assert!(folder.forget(ID).is_err());
}

/// Mounts a file system of a few pages in a mount namespace of the calling thread.
fn tiny() -> (TempDir, Folder) {
    let (dir, folder) = folder();
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
    let options = Some("size=32k,mode=755");
    mount(
        Some("tmpfs"),
        dir.path(),
        Some("tmpfs"),
        MsFlags::empty(),
        options,
    )
    .unwrap();
    (dir, folder)
}

fn fill(folder: &Folder) -> PathBuf {
    let path = folder.path().parent().unwrap().join("filler");
    let mut filler = File::create(&path).unwrap();
    let _ = io::copy(&mut io::repeat(1), &mut filler);
    path
}

#[test]
fn a_full_disk_leaves_the_old_content_and_no_rest() {
    let on_tiny = || {
        let (_dir, folder) = tiny();
        folder.create(&adding()).unwrap();
        let filler = fill(&folder);
        let mut other = entry();
        other.chain.ifname = "net2".into();
        for error in [
            folder.replace(&entry()).unwrap_err(),
            folder.create(&other).unwrap_err(),
        ] {
            assert!(
                error.to_string().ends_with("No space left on device"),
                "{error}"
            );
        }
        assert_eq!(folder.list().unwrap().entries, [adding()]);
        assert_eq!(names(&folder), [ID]);
        // What needs no space works: a full disk keeps nothing from being removed or lost.
        folder.lose(ID).unwrap();
        assert_eq!(folder.lost().unwrap().entries, [adding()]);
        fs::remove_file(filler).unwrap();
        folder.create(&entry()).unwrap();
        fill(&folder);
        folder.remove(ID).unwrap();
        assert!(folder.list().unwrap().entries.is_empty());
    };
    thread::spawn(on_tiny).join().unwrap();
}

#[test]
fn a_read_only_disk_is_an_error_with_the_kernels_text() {
    let on_tiny = || {
        let (dir, folder) = tiny();
        folder.create(&adding()).unwrap();
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount(None::<&str>, dir.path(), None::<&str>, flags, None::<&str>).unwrap();
        let error = folder.replace(&entry()).unwrap_err().to_string();
        assert!(
            error.starts_with("cannot write ") && error.contains(ID),
            "{error}"
        );
        assert!(error.ends_with("Read-only file system"), "{error}");
        assert_eq!(folder.list().unwrap().entries, [adding()]);
    };
    thread::spawn(on_tiny).join().unwrap();
}

const WRITER: &str = "PODCONFIG_TEST_WRITER";

/// Not a test of its own: the process that the next one kills.
#[test]
fn a_process_that_writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(WRITER) else {
        return;
    };
    let folder = Folder::new(path);
    println!("\nwriting");
    for number in 0..u32::MAX {
        let mut next = entry();
        next.facts = Facts {
            ifindex: Some(number),
            ..Facts::default()
        };
        next.result = Some("x".repeat(number as usize % 50_000).into());
        folder.replace(&next).unwrap();
        if number % 7 == 0 {
            folder.remove(ID).unwrap();
            folder.create(&next).unwrap();
        }
    }
}

#[test]
fn a_writer_that_is_killed_at_any_moment_leaves_one_whole_entry_or_none() {
    let (_dir, folder) = folder();
    folder.create(&entry()).unwrap();
    let mut swept = 0;
    for round in 0..40 {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "--nocapture",
                "folder::tests::a_process_that_writes_until_it_is_killed",
            ])
            .env(WRITER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        assert!(lines.map_while(Result::ok).any(|line| line == "writing"));
        thread::sleep(Duration::from_micros(500 + 370 * round));
        writer.kill().unwrap();
        writer.wait().unwrap();
        swept += folder.sweep().unwrap();
        let listing = folder.list().unwrap();
        assert_eq!(listing.unreadable, []);
        assert!(listing.entries.len() <= 1);
        if listing.entries.is_empty() {
            folder.create(&entry()).unwrap();
        }
    }
    // Some were killed while they wrote; otherwise this test shows nothing.
    assert!(swept > 0, "no writer was killed in the middle");
    assert_eq!(names(&folder), [ID]);
}

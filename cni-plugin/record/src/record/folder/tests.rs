#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use nix::unistd::mkfifo;

use super::super::tests::sample;
use super::*;

struct Place {
    folder: RecordFolder,
    _home: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let folder = RecordFolder::new(home.path().join("run/records"));
        Self {
            folder,
            _home: home,
        }
    }

    /// With one good record, so that the folder is there.
    fn with_record() -> Self {
        let place = Self::new();
        place.folder.write(&sample()).unwrap();
        place
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn refusal(&self, name: &str) -> Kind {
        let error = self.folder.read(name).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        error.kind
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_record_is_roots_alone_and_comes_back_whole() {
    let place = Place::with_record();
    assert_eq!(mode(place.folder.path()), 0o700);
    assert_eq!(mode(&place.file("c0ffee.eth0.json")), 0o600);
    let read = place.folder.read("c0ffee.eth0.json").unwrap();
    assert_eq!(
        Record {
            time: read.time.clone(),
            since_boot: read.since_boot,
            ..sample()
        },
        read
    );
    assert_eq!(fs::read_dir(place.folder.path()).unwrap().count(), 1);
}

#[test]
fn a_second_write_replaces_the_first() {
    let place = Place::with_record();
    place
        .folder
        .write(&Record {
            cookie: 78,
            ..sample()
        })
        .unwrap();
    assert_eq!(place.folder.read("c0ffee.eth0.json").unwrap().cookie, 78);
    assert_eq!(place.folder.list().unwrap().len(), 1);
}

#[test]
fn removing_twice_is_as_good_as_once() {
    let place = Place::with_record();
    place.folder.remove("c0ffee", "eth0").unwrap();
    place.folder.remove("c0ffee", "eth0").unwrap();
    Place::new().folder.remove("c0ffee", "eth0").unwrap();
    assert_eq!(place.refusal("c0ffee.eth0.json"), Kind::Missing);
}

#[test]
fn names_that_leave_the_folder_are_refused() {
    let place = Place::with_record();
    for (id, ifname) in [
        ("..", "eth0"),
        ("a/b", "eth0"),
        ("a", "../x"),
        ("", "eth0"),
        ("a", ""),
    ] {
        assert_eq!(
            place.folder.file_name(id, ifname).unwrap_err().kind,
            Kind::BadName
        );
        assert_eq!(
            place.folder.remove(id, ifname).unwrap_err().kind,
            Kind::BadName
        );
        let record = Record {
            container_id: id.into(),
            ifname: ifname.into(),
            ..sample()
        };
        assert_eq!(place.folder.write(&record).unwrap_err().kind, Kind::BadName);
    }
    for name in [
        "../run/records/c0ffee.eth0.json",
        "/etc/passwd",
        "..",
        ".new.1.2",
        "x",
    ] {
        assert_eq!(place.folder.read(name).unwrap_err().kind, Kind::BadName);
    }
}

#[test]
fn a_record_that_no_reader_takes_is_not_written() {
    let place = Place::new();
    let error = place
        .folder
        .write(&Record {
            cookie: 0,
            ..sample()
        })
        .unwrap_err();
    assert_eq!(
        (error.kind, error.field.as_deref()),
        (Kind::Malformed, Some("cookie"))
    );
    let mut large = sample();
    large
        .annotations
        .insert("a".into(), "x".repeat(MAX_RECORD_BYTES));
    assert_eq!(place.folder.write(&large).unwrap_err().kind, Kind::TooLarge);
    assert!(!place.folder.path().exists());
}

#[test]
fn links_fifos_and_folders_are_no_records_and_do_not_block() {
    let place = Place::with_record();
    symlink("c0ffee.eth0.json", place.file("link.eth0.json")).unwrap();
    symlink("/proc/kcore", place.file("far.eth0.json")).unwrap();
    mkfifo(&place.file("fifo.eth0.json"), Mode::S_IRWXU).unwrap();
    fs::create_dir(place.file("folder.eth0.json")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(place.file("socket.eth0.json")).unwrap();
    let node = Command::new("mknod")
        .arg(place.file("zero.eth0.json"))
        .args(["c", "1", "5"])
        .status();
    assert!(node.unwrap().success());
    for name in ["link", "far", "fifo", "folder", "socket", "zero"] {
        assert_eq!(
            place.refusal(&format!("{name}.eth0.json")),
            Kind::Untrusted,
            "{name}"
        );
    }
    assert_eq!(place.folder.list().unwrap().len(), 7);
}

#[test]
fn what_others_could_have_written_is_not_believed() {
    let place = Place::with_record();
    let file = place.file("c0ffee.eth0.json");
    for bits in [0o620, 0o602, 0o666] {
        set_mode(&file, bits);
        assert_eq!(place.refusal("c0ffee.eth0.json"), Kind::Untrusted);
    }
    set_mode(&file, 0o600);
    nix::unistd::chown(&file, Some(65534.into()), None).unwrap();
    assert_eq!(place.refusal("c0ffee.eth0.json"), Kind::Untrusted);
}

#[test]
fn a_folder_that_others_can_write_is_not_used() {
    let place = Place::with_record();
    set_mode(place.folder.path(), 0o777);
    assert_eq!(
        place.folder.write(&sample()).unwrap_err().kind,
        Kind::Untrusted
    );
    assert_eq!(
        place.folder.list().unwrap_err().kind(),
        io::ErrorKind::PermissionDenied
    );
    // What a kubelet makes on demand is good enough: records are 0600 themselves.
    set_mode(place.folder.path(), 0o755);
    place.folder.write(&sample()).unwrap();
}

#[test]
fn a_link_or_a_file_in_the_folders_place_is_refused() {
    let place = Place::with_record();
    let link = place.folder.path().with_file_name("link");
    symlink(place.folder.path(), &link).unwrap();
    assert_eq!(
        RecordFolder::new(&link).write(&sample()).unwrap_err().kind,
        Kind::Untrusted
    );
    let file = RecordFolder::new(place.file("c0ffee.eth0.json"));
    assert_eq!(file.write(&sample()).unwrap_err().kind, Kind::Untrusted);
}

#[test]
fn a_huge_file_is_refused_without_reading_it_all() {
    let place = Place::with_record();
    let huge = File::create(place.file("huge.eth0.json")).unwrap();
    huge.set_len(1 << 40).unwrap();
    assert_eq!(place.refusal("huge.eth0.json"), Kind::TooLarge);
}

#[test]
fn one_broken_record_hides_no_other() {
    let place = Place::with_record();
    fs::write(place.file("a.eth0.json"), "{").unwrap();
    fs::write(place.file("b.eth0.json"), "").unwrap();
    fs::write(place.file("README"), "no record").unwrap();
    fs::write(place.file(".new.9.9"), "half of a reco").unwrap();
    let odd = std::ffi::OsStr::from_bytes(b"\xff.eth0.json");
    fs::write(place.folder.path().join(odd), "{}").unwrap();
    let list = place.folder.list().unwrap();
    let seen: Vec<_> = list
        .iter()
        .map(|(name, entry)| (name.as_str(), entry.as_ref().map_err(|e| e.kind).err()))
        .collect();
    let expected = [
        ("a.eth0.json", Some(Kind::Malformed)),
        ("b.eth0.json", Some(Kind::Malformed)),
        ("c0ffee.eth0.json", None),
        ("\u{fffd}.eth0.json", Some(Kind::BadName)),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn only_stale_temporary_files_are_swept() {
    let place = Place::with_record();
    for name in [".new.1.1", ".new.2.2", "old.eth0.json"] {
        fs::write(place.file(name), "x").unwrap();
    }
    let mut aged = Command::new("touch");
    aged.args(["-d", "2 minutes ago", "--"])
        .arg(place.file(".new.1.1"))
        .arg(place.file("old.eth0.json"));
    assert!(aged.status().unwrap().success());
    assert_eq!(place.folder.sweep().unwrap(), 1);
    assert!(!place.file(".new.1.1").exists());
    assert!(place.file(".new.2.2").exists() && place.file("old.eth0.json").exists());
}

#[test]
fn a_missing_folder_is_not_an_empty_one() {
    let error = Place::new().folder.list().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

#[test]
fn a_record_that_was_judged_goes_and_one_that_was_written_since_stays() {
    let (place, judged) = (Place::new(), sample());
    let newer = Record {
        cookie: judged.cookie + 1,
        ..judged.clone()
    };
    place.folder.write(&newer).unwrap();
    assert!(!place.folder.remove_unchanged(&judged).unwrap());
    assert_eq!(place.folder.read("c0ffee.eth0.json").unwrap(), newer);
    assert!(place.folder.remove_unchanged(&newer).unwrap());
    assert!(!place.folder.remove_unchanged(&newer).unwrap());
    assert_eq!(fs::read_dir(place.folder.path()).unwrap().count(), 0);
}

#[test]
fn without_a_folder_there_is_nothing_to_remove_or_to_put_back() {
    let place = Place::new();
    assert!(!place.folder.remove_unchanged(&sample()).unwrap());
    assert_eq!(place.folder.restore().unwrap(), 0);
}

/// Writer and remover at once: whatever the writer wrote last is there in the end.
#[test]
fn what_is_written_while_it_is_removed_is_never_lost() {
    let (place, base) = (Place::new(), sample());
    let of = |cookie: u64| Record {
        cookie,
        ..base.clone()
    };
    place.folder.write(&of(1)).unwrap();
    std::thread::scope(|scope| {
        let folder = &place.folder;
        let remover = scope.spawn(|| {
            for _ in 0..20 {
                for cookie in 1..=40 {
                    folder.remove_unchanged(&of(2 * cookie)).unwrap();
                }
            }
        });
        for round in 1..=40 {
            // The even ones may be judged dead, the odd ones live.
            folder.write(&of(2 * round)).unwrap();
            folder.write(&of(2 * round + 1)).unwrap();
            std::thread::sleep(std::time::Duration::from_micros(300));
            // Between its two names it is read under neither, for a moment.
            let live = (0..1000).find_map(|_| folder.read("c0ffee.eth0.json").ok());
            assert_eq!(live, Some(of(2 * round + 1)));
        }
        remover.join().unwrap();
    });
    assert_eq!(place.folder.read("c0ffee.eth0.json").unwrap(), of(81));
    assert_eq!(fs::read_dir(place.folder.path()).unwrap().count(), 1);
}

#[test]
fn what_was_moved_aside_by_one_who_died_comes_back_unless_there_is_a_newer_one() {
    let (place, base) = (Place::new(), sample());
    place.folder.write(&base).unwrap();
    let (record, aside) = (
        place.file("c0ffee.eth0.json"),
        place.file(".old.1.2.c0ffee.eth0.json"),
    );
    fs::rename(&record, &aside).unwrap();
    assert_eq!(place.folder.list().unwrap().len(), 0);
    assert_eq!(place.folder.restore().unwrap(), 1);
    assert_eq!(place.folder.read("c0ffee.eth0.json").unwrap(), base);
    assert!(!aside.exists());
    fs::write(&aside, "an older one").unwrap();
    assert_eq!(place.folder.restore().unwrap(), 1);
    assert_eq!(place.folder.read("c0ffee.eth0.json").unwrap(), base);
    assert!(!aside.exists());
    for name in [
        ".old.",
        ".old.x",
        ".old.1.2.notes.txt",
        ".old.1.2..new.json",
    ] {
        fs::write(place.file(name), "").unwrap();
    }
    assert_eq!(place.folder.restore().unwrap(), 0);
}

//! Files that are none, that are too much, or that lead elsewhere: named, never waited for, never followed.

use std::os::unix::fs::{PermissionsExt, symlink};

use nix::sys::stat::{Mode, SFlag};

use super::{
    hostile::{stage, unharmed},
    *,
};

#[test]
fn bytes_that_are_not_utf8_are_refused() {
    let stage = stage();
    fs::write(stage.path("a.yaml"), b"kind: \xff\xfe\n").unwrap();
    stage.refused("a.yaml: is not UTF-8 text (byte 7");
    unharmed(&stage);
}

fn replaced(make: impl FnOnce(&std::path::Path), words: &str) {
    let stage = stage();
    let odd = stage.path("odd");
    make(&odd);
    fs::rename(&odd, stage.path("a.yaml")).unwrap();
    stage.refused(words);
    unharmed(&stage);
}

#[test]
fn a_fifo_never_blocks() {
    replaced(
        |path| nix::unistd::mkfifo(path, Mode::S_IRWXU).unwrap(),
        "a.yaml: is a FIFO",
    );
}

#[test]
fn a_socket_is_refused() {
    replaced(
        |path| drop(std::os::unix::net::UnixListener::bind(path).unwrap()),
        "a.yaml: is a socket",
    );
}

#[test]
fn a_device_is_refused_and_not_opened() {
    let device = |path: &std::path::Path| {
        nix::sys::stat::mknod(
            path,
            SFlag::S_IFCHR,
            Mode::S_IRWXU,
            nix::sys::stat::makedev(1, 5),
        )
        .unwrap();
    };
    replaced(device, "a.yaml: is a device");
}

#[test]
fn a_dangling_symlink_is_refused() {
    replaced(
        |path| symlink("nowhere", path).unwrap(),
        "is a dangling symlink",
    );
}

#[test]
fn a_symlink_to_itself_is_refused() {
    replaced(|path| symlink("a.yaml", path).unwrap(), "is a symlink loop");
}

#[test]
fn a_symlink_out_of_the_folder_is_refused_and_nothing_of_its_target_is_told() {
    for target in [
        "/etc/passwd",
        "../../../../../../etc/passwd",
        "/proc/self/environ",
    ] {
        let stage = stage();
        symlink(target, stage.path("odd")).unwrap();
        fs::rename(stage.path("odd"), stage.path("a.yaml")).unwrap();
        stage.refused("out of the folder");
        assert!(
            stage
                .refusals()
                .iter()
                .all(|refusal| !refusal.contains("root"))
        );
        unharmed(&stage);
    }
}

#[test]
fn a_folder_named_like_a_manifest_is_refused_and_not_followed() {
    let stage = Stage::new(&[]);
    fs::create_dir(stage.path("b.yaml")).unwrap();
    fs::write(stage.path("b.yaml/c.yaml"), podconfig("t", "x", 1500)).unwrap();
    stage.refused("b.yaml: is a folder");
    assert!(stage.stores.podconfig("t", "x").is_none());
}

#[test]
fn a_sparse_file_of_a_terabyte_is_not_read() {
    let stage = stage();
    let file = fs::File::create(stage.path("odd")).unwrap();
    file.set_len(1 << 40).unwrap();
    fs::rename(stage.path("odd"), stage.path("a.yaml")).unwrap();
    stage.refused("larger than");
    unharmed(&stage);
}

#[test]
fn a_file_name_that_is_not_text_disturbs_nothing() {
    use std::os::unix::ffi::OsStrExt;
    let stage = stage();
    let name = std::ffi::OsStr::from_bytes(b"\xff.yaml");
    fs::write(stage.path("").join(name), podconfig("t", "w", 1500)).unwrap();
    stage.refused("file name is not UTF-8");
    unharmed(&stage);
}

#[test]
fn a_file_name_with_a_line_end_cannot_forge_a_line_of_the_report() {
    let stage = Stage::new(&[]);
    stage.write("a\nrefused: []\n.yaml", "{{{");
    stage.refused("is not YAML");
    until(
        || stage.report("refused.yaml").exists().then_some(()),
        || "no report".into(),
    );
    let page = stage.yaml("refused.yaml");
    assert_eq!(page["refused"][0]["file"], "a\nrefused: []\n.yaml");
}

#[test]
fn what_nobody_may_read_is_refused_and_read_once_it_may() {
    // Root reads everything: the thread gives up its file-system identity for this.
    let root = TempDir::new().unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let file = root.path().join("a.yaml");
    fs::write(&file, "a: 1").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let path = root.path().to_owned();
    let read = move || {
        nix::unistd::setfsuid(nix::unistd::Uid::from_raw(65534));
        let folder = crate::open::folder(&path).unwrap();
        use std::os::fd::AsFd;
        format!("{:?}", crate::open::read(folder.as_fd(), "a.yaml"))
    };
    let opened = std::thread::spawn(read.clone()).join().unwrap();
    assert!(
        opened.contains("Refused(\"cannot be read: Permission denied"),
        "{opened}"
    );
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(std::thread::spawn(read).join().unwrap().contains("a: 1"));
}

//! A node that is not as it should be: folders, disks, limits, rights. The pod starts and ends all the same.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::harness::{Call, Node, PLUGIN};
use crate::outcome::Outcome;

#[test]
fn a_link_in_the_records_place_is_replaced_and_not_followed() {
    let node = Node::with_record();
    let (file, victim) = (node.path("records/c0ffee.eth0.json"), node.path("victim"));
    fs::write(&victim, "precious").unwrap();
    fs::remove_file(&file).unwrap();
    symlink(&victim, &file).unwrap();
    node.call("ADD").run().passes_through().quietly();
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    assert!(fs::symlink_metadata(&file).unwrap().is_file());
    fs::remove_file(&file).unwrap();
    symlink(&victim, &file).unwrap();
    node.call("DEL").run().prints_nothing();
    assert!(victim.exists() && !file.exists());
}

#[test]
fn a_fifo_in_the_records_place_is_replaced() {
    let node = Node::with_record();
    let file = node.path("records/c0ffee.eth0.json");
    fs::remove_file(&file).unwrap();
    mkfifo(&file, Mode::S_IRWXU).unwrap();
    node.call("CHECK").run().prints_nothing();
    assert!(node.record().is_some());
}

#[test]
fn a_folder_in_the_records_place_stops_nothing() {
    let node = Node::with_record();
    let file = node.path("records/c0ffee.eth0.json");
    fs::remove_file(&file).unwrap();
    fs::create_dir_all(file.join("full")).unwrap();
    for command in ["ADD", "CHECK", "GC", "DEL"] {
        let outcome = node.call(command).run();
        assert_eq!(outcome.code, Some(0));
    }
    assert_eq!(node.files(), 1, "a temporary file stayed");
}

#[test]
fn a_records_folder_of_another_kind_is_not_used() {
    type Spoil = fn(&Path);
    let spoils: [(&str, Spoil); 4] = [
        ("not a folder", |path| drop(File::create(path).unwrap())),
        ("not a folder", |path| mkfifo(path, Mode::S_IRWXU).unwrap()),
        ("symbolic link", |path| symlink("/tmp", path).unwrap()),
        ("others may write it", |path| {
            fs::create_dir(path).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o1777)).unwrap();
        }),
    ];
    for (why, spoil) in spoils {
        let node = Node::new();
        spoil(&node.path("records"));
        for command in ["CHECK", "GC", "DEL", "STATUS"] {
            node.call(command).run().prints_nothing();
        }
        node.call("ADD").run().passes_through().says(why);
    }
}

/// Runs a call inside of a mount namespace of its own, after a shell script.
fn after(script: &str, call: &Call) -> Outcome {
    let mut shell = Command::new("unshare");
    shell.args([
        "--mount",
        "sh",
        "-ec",
        &format!("{script}; exec \"$0\""),
        PLUGIN,
    ]);
    call.run_in(call.around(shell))
}

#[test]
fn a_full_disk_stops_no_pod() {
    let node = Node::new();
    let call = node.call("ADD");
    let records = node.path("records");
    fs::create_dir(&records).unwrap();
    let mount = format!(
        "mount -t tmpfs -o size=64k,mode=700 none {}",
        records.display()
    );
    let fill = format!(
        "{mount}; dd if=/dev/zero of={}/fill bs=4k count=99 2>/dev/null || true",
        records.display()
    );
    after(&fill, &call).passes_through().says("No space left");
    let no_inodes = mount.replace("size=64k", "nr_inodes=1");
    after(&no_inodes, &call)
        .passes_through()
        .says("No space left");
    after(&mount, &call).passes_through().quietly();
}

#[test]
fn a_full_disk_is_swept_of_what_dead_writers_left() {
    let node = Node::new();
    let call = node.call("ADD");
    let records = node.path("records");
    fs::create_dir(&records).unwrap();
    let at = records.display();
    let script = format!(
        "mount -t tmpfs -o size=64k,mode=700 none {at}; dd if=/dev/zero of={at}/.new.1.1 bs=4k count=99 2>/dev/null || true; \
         touch -d '5 minutes ago' {at}/.new.1.1"
    );
    after(&script, &call).passes_through().quietly();
}

#[test]
fn a_read_only_disk_stops_no_pod_and_no_end() {
    let node = Node::with_record();
    let at = node.path("records");
    let script = format!(
        "mount --bind {0} {0}; mount -o remount,ro,bind {0}",
        at.display()
    );
    after(&script, &node.call("ADD"))
        .passes_through()
        .says("Read-only file system");
    fs::write(node.path("records/c0ffee.eth0.json"), "{").unwrap();
    for command in ["CHECK", "DEL", "GC"] {
        after(&script, &node.call(command)).prints_nothing();
    }
}

#[test]
fn a_node_without_proc_stops_no_pod() {
    let node = Node::new();
    let outcome = after("mount -t tmpfs none /proc", &node.call("ADD"));
    outcome.passes_through().says("without a record");
    assert_eq!(node.files(), 0);
}

#[test]
fn a_caller_without_rights_stops_no_pod() {
    let node = Node::new();
    let copy = node.path("plugin");
    fs::copy(PLUGIN, &copy).unwrap();
    fs::set_permissions(node.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(node.path("records")).unwrap();
    let mut setpriv = Command::new("setpriv");
    setpriv
        .args(["--reuid=65532", "--regid=65532", "--clear-groups"])
        .arg(copy);
    let call = node.call("ADD");
    call.run_in(call.around(setpriv))
        .passes_through()
        .says("belongs to user 0");
}

#[test]
fn a_loose_umask_makes_no_loose_record() {
    let node = Node::new();
    after("umask 0", &node.call("ADD")).passes_through();
    let mode = |name| fs::metadata(node.path(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(
        (mode("records"), mode("records/c0ffee.eth0.json")),
        (0o700, 0o600)
    );
}

#[test]
fn no_more_files_stops_no_pod() {
    let node = Node::new();
    // Three streams, and one more that a dynamic linker would need.
    after("ulimit -n 4", &node.call("ADD"))
        .passes_through()
        .says("open files");
}

#[test]
fn closed_streams_stop_no_pod() {
    let node = Node::new();
    let call = node.call("ADD").env("CNI_ARGS", "");
    after("exec 2>&-", &call).passes_through();
    after("exec 0<&-", &node.call("ADD")).fails_with(6);
}

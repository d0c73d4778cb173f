#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::process::Command;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::*;

/// A folder of namespaces, taken down whatever happens.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn namespace(&self, kind: &str, name: &str) -> std::path::PathBuf {
        let path = self.path(name);
        File::create(&path).unwrap();
        let made = Command::new("unshare")
            .arg(format!("--{kind}={}", path.display()))
            .arg("true")
            .status();
        assert!(
            made.unwrap().success(),
            "these tests need root and unshare(1)"
        );
        path
    }

    fn folders(&self) -> NetnsFolders {
        NetnsFolders::new(&[self.0.path().to_owned()])
    }

    fn refusal(&self, name: &str) -> NetnsErrorKind {
        self.folders().open(&self.path(name)).unwrap_err().kind
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for entry in fs::read_dir(self.0.path()).unwrap().flatten() {
            let _ = Command::new("umount")
                .args(["-l", "-q"])
                .arg(entry.path())
                .status();
        }
    }
}

fn own_link() -> std::path::PathBuf {
    fs::read_link("/proc/thread-self/ns/net").unwrap()
}

#[test]
fn a_namespace_opens_and_says_who_it_is() {
    let place = Place::new();
    let path = place.namespace("net", "a");
    let netns = place.folders().open(&path).unwrap();
    assert_eq!(
        netns.identity(),
        Netns::at_runtime_path(&path).unwrap().identity()
    );
    assert_ne!(
        netns.identity().cookie,
        Netns::own().unwrap().identity().cookie
    );
}

#[test]
fn both_ways_to_the_cookie_give_one_number() {
    let place = Place::new();
    let netns = place.folders().open(&place.namespace("net", "a")).unwrap();
    let inside = identity::cookie_by_entering(netns.as_fd()).unwrap();
    assert_eq!(inside, netns.identity().cookie);
    assert_eq!(
        identity::cookie_by_socket().unwrap(),
        Netns::own().unwrap().identity().cookie
    );
    match identity::cookie_by_ioctl(netns.as_fd()) {
        Ok(cookie) => assert_eq!(cookie, inside),
        // Before Linux 6.18 there is only the socket.
        Err(errno) => assert_eq!(errno, nix::errno::Errno::ENOTTY),
    }
}

#[test]
fn both_ways_to_ones_own_namespace_lead_to_one() {
    let by_proc = File::open("/proc/thread-self/ns/net").unwrap();
    let by_socket = identity::own_by_socket().unwrap();
    let by_proc = Identity::of_own(by_proc.as_fd()).unwrap();
    assert_eq!(by_proc, Identity::of_own(by_socket.as_fd()).unwrap());
    assert_eq!(by_proc, Netns::own().unwrap().identity());
}

#[test]
fn a_recycled_inode_is_another_namespace() {
    let place = Place::new();
    let mut inodes = std::collections::HashSet::new();
    let mut cookies = std::collections::HashSet::new();
    for _ in 0..60 {
        let path = place.namespace("net", "again");
        let identity = place.folders().open(&path).unwrap().identity();
        inodes.insert(identity.inode);
        assert!(cookies.insert(identity.cookie), "a cookie came back");
        assert!(
            Command::new("umount")
                .arg(&path)
                .status()
                .unwrap()
                .success()
        );
    }
    assert!(
        inodes.len() < 60,
        "no inode came back: this test shows nothing here"
    );
}

#[test]
fn links_are_never_followed() {
    let place = Place::new();
    let path = place.namespace("net", "a");
    std::os::unix::fs::symlink(&path, place.path("link")).unwrap();
    std::os::unix::fs::symlink("/proc/self/ns/net", place.path("magic")).unwrap();
    assert_eq!(place.refusal("link"), NetnsErrorKind::Open(Errno::ELOOP));
    assert_eq!(place.refusal("magic"), NetnsErrorKind::Open(Errno::ELOOP));
}

#[test]
fn a_fifo_does_not_block_and_is_no_namespace() {
    let place = Place::new();
    mkfifo(&place.path("fifo"), Mode::S_IRWXU).unwrap();
    assert_eq!(place.refusal("fifo"), NetnsErrorKind::NotANamespace);
}

#[test]
fn a_plain_file_a_folder_and_a_socket_are_no_namespaces() {
    let place = Place::new();
    File::create(place.path("file")).unwrap();
    fs::create_dir(place.path("folder")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(place.path("socket")).unwrap();
    assert_eq!(place.refusal("file"), NetnsErrorKind::NotANamespace);
    assert_eq!(place.refusal("folder"), NetnsErrorKind::NotANamespace);
    assert_eq!(place.refusal("socket"), NetnsErrorKind::Open(Errno::ENXIO));
}

#[test]
fn a_namespace_of_another_type_is_refused() {
    let place = Place::new();
    place.namespace("uts", "uts");
    assert_eq!(place.refusal("uts"), NetnsErrorKind::OtherType);
}

#[test]
fn the_callers_own_namespace_is_refused_by_any_path() {
    let place = Place::new();
    File::create(place.path("host")).unwrap();
    let mut bind = Command::new("mount");
    bind.args(["--bind", "/proc/self/ns/net"])
        .arg(place.path("host"));
    assert!(bind.status().unwrap().success());
    assert_eq!(place.refusal("host"), NetnsErrorKind::Own);
    let fd = OwnedFd::from(File::open("/proc/thread-self/ns/net").unwrap());
    assert_eq!(Netns::from_fd(fd).unwrap_err().kind, NetnsErrorKind::Own);
    let told = Netns::at_runtime_path(Path::new("/proc/thread-self/ns/net"));
    assert_eq!(told.unwrap_err().kind, NetnsErrorKind::Own);
}

#[test]
fn gone_is_told_apart_from_unknown() {
    let place = Place::new();
    assert!(
        place
            .folders()
            .open(&place.path("absent"))
            .unwrap_err()
            .is_gone()
    );
    File::create(place.path("unmounted")).unwrap();
    assert!(
        place
            .folders()
            .open(&place.path("unmounted"))
            .unwrap_err()
            .is_gone()
    );
    let nowhere = NetnsFolders::new(&["/nowhere/netns".into()]);
    assert!(
        !nowhere
            .open(Path::new("/nowhere/netns/a"))
            .unwrap_err()
            .is_gone()
    );
    assert!(
        !place
            .folders()
            .open(Path::new("/etc/passwd"))
            .unwrap_err()
            .is_gone()
    );
}

#[test]
fn no_thread_comes_back_from_inside() {
    let place = Place::new();
    let netns = place.folders().open(&place.namespace("net", "a")).unwrap();
    let before = own_link();
    let (inside, thread) = netns
        .enter(|| (own_link(), std::thread::current().id()))
        .unwrap();
    assert_ne!(inside, before);
    assert_ne!(thread, std::thread::current().id());
    assert_eq!(own_link(), before);
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    for task in tasks {
        // Other tests' threads come and go, and may be inside of their own namespaces, never in this one.
        let link = fs::read_link(task.path().join("ns/net"));
        assert!(link.map_or(true, |link| link != inside));
    }
}

#[test]
fn a_panic_inside_is_an_error_outside() {
    let place = Place::new();
    let netns = place.folders().open(&place.namespace("net", "a")).unwrap();
    let before = own_link();
    let error = netns.enter(|| -> () { panic!("inside") }).unwrap_err();
    assert_eq!(error.kind, NetnsErrorKind::Panicked("inside".into()));
    assert_eq!(own_link(), before);
}

#[test]
fn what_runs_inside_may_borrow_and_return() {
    let place = Place::new();
    let netns = place.folders().open(&place.namespace("net", "a")).unwrap();
    let mut text = String::from("still ");
    let length = netns
        .enter(|| {
            text.push_str("mine");
            text.len()
        })
        .unwrap();
    assert_eq!((length, text.as_str()), (10, "still mine"));
}

#[test]
fn a_closed_door_holds_no_namespace() {
    let place = Place::new();
    let path = place.namespace("net", "a");
    let open_before = fs::read_dir("/proc/self/fd").unwrap().count();
    for _ in 0..100 {
        drop(place.folders().open(&path).unwrap());
        drop(place.folders().open(&place.path("absent")).unwrap_err());
    }
    // Other tests open and close at the same time; a hundred that leak would be seen.
    assert!(fs::read_dir("/proc/self/fd").unwrap().count() < open_before + 60);
}

#[test]
fn a_namespace_says_whether_its_user_namespace_is_the_callers() {
    let place = Place::new();
    let plain = place
        .folders()
        .open(&place.namespace("net", "plain"))
        .unwrap();
    assert!(plain.is_of_own_user_namespace().unwrap());
    let path = place.path("contained");
    File::create(&path).unwrap();
    let script = "unshare --user --map-root-user --net sleep infinity & pid=$!
        until [ \"$(readlink /proc/$pid/ns/net)\" != \"$(readlink /proc/self/ns/net)\" ]; do sleep 0.02; done
        mount --bind /proc/$pid/ns/net \"$0\"; kill $pid";
    let made = Command::new("sh").args(["-ec", script]).arg(&path).status();
    assert!(made.unwrap().success());
    let contained = place.folders().open(&path).unwrap();
    assert!(!contained.is_of_own_user_namespace().unwrap());
}

use std::{
    panic::resume_unwind,
    process::Command,
    sync::mpsc::{Sender, channel},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sched::{CloneFlags, unshare},
    unistd::gettid,
};

/// Runs a story in a network namespace of its own, which goes with it.
pub fn on_a_node<T: Send + 'static>(story: impl FnOnce() -> T + Send + 'static) -> T {
    let node = thread::spawn(|| {
        enter_new();
        story()
    });
    node.join().unwrap_or_else(|panic| resume_unwind(panic))
}

fn enter_new() {
    unshare(CloneFlags::CLONE_NEWNET).expect("these tests need root");
    run("ip link set lo up");
    // The filter is to be the only one that looks at addresses.
    for name in ["all", "default"] {
        std::fs::write(format!("/proc/sys/net/ipv4/conf/{name}/rp_filter"), "0").unwrap();
    }
    std::fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0").unwrap();
}

/// Runs a program in the calling thread's namespace; what it printed.
pub fn run(command: &str) -> String {
    let output = Command::new("sh").args(["-ec", command]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

pub fn index(link: &str) -> u32 {
    let found = run(&format!("ip -o link show dev {link}"));
    found.split(':').next().unwrap().trim().parse().unwrap()
}

pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < Duration::from_secs(10), "never: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

type Deed = Box<dyn FnOnce() + Send>;

/// Somebody in a network namespace beside the node's.
pub struct Neighbour {
    deeds: Sender<Deed>,
    thread: i32,
}

impl Neighbour {
    pub fn new() -> Self {
        let (deeds, inbox) = channel::<Deed>();
        let (born, number) = channel();
        thread::spawn(move || {
            enter_new();
            born.send(gettid().as_raw()).unwrap();
            inbox.into_iter().for_each(|deed| deed());
        });
        Self {
            deeds,
            thread: number.recv().unwrap(),
        }
    }

    /// What `ip` may call the namespace.
    pub fn path(&self) -> String {
        let process = std::process::id();
        format!("/proc/{process}/task/{}/ns/net", self.thread)
    }

    pub fn does<T: Send + 'static>(&self, deed: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = channel();
        let deed: Deed = Box::new(move || drop(done.send(deed())));
        self.deeds.send(deed).unwrap();
        result.recv().expect("the neighbour panicked")
    }
}

//! What the kernel says while a story goes on, written down by `ip monitor`.

use std::{
    fs,
    process::{Child, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use tempfile::NamedTempFile;

use super::{
    node::TestNode,
    wait::{eventually, seen, within},
};

pub struct Monitor {
    door: Child,
    log: NamedTempFile,
}

/// The kernel puts events of links off for up to a second.
const SILENCE: Duration = Duration::from_millis(1500);

impl TestNode {
    /// Listens in a namespace of the node, by its name in `/run/netns`.
    pub fn monitor(&self, netns: &str) -> Monitor {
        let log = NamedTempFile::new().expect("a temporary file can be made");
        let mut command = self.command("ip");
        // `-o` keeps one event on one line; the file is unbuffered because ip flushes each event.
        command.args(["-n", netns, "-o", "monitor", "link", "address", "route"]);
        let out = log.reopen().expect("the log can be opened again");
        let door = command
            .stdin(Stdio::null())
            .stdout(out)
            .spawn()
            .expect("nsenter runs");
        let monitor = Monitor { door, log };
        let mut queue = 1000;
        eventually("the monitor hears", || {
            queue += 1;
            self.run(&[
                "ip",
                "-n",
                netns,
                "link",
                "set",
                "lo",
                "txqueuelen",
                &queue.to_string(),
            ]);
            seen(!monitor.text().is_empty(), "nothing")
        });
        monitor
    }
}

impl TestNode {
    /// Waits until the kernel has reported no link of that namespace for longer than it puts such events off.
    pub fn falls_silent(&self, netns: &str) {
        let monitor = self.monitor(netns);
        let (mut lines, mut since) = (0, Instant::now());
        within(Duration::from_secs(30), "the kernel is silent", || {
            let now = monitor.text().lines().count();
            if now != lines {
                (lines, since) = (now, Instant::now());
            }
            seen(since.elapsed() > SILENCE, format!("{lines} events"))
        });
    }
}

impl Monitor {
    fn text(&self) -> String {
        fs::read_to_string(self.log.path()).expect("the log is readable")
    }

    /// Everything that was said about other links than `lo`, so far.
    pub fn lines(&self) -> Vec<String> {
        sleep(Duration::from_millis(30));
        // An fe80 address becomes valid a second after its link, whatever else happens.
        let noise = [": lo:", " fe80:", " ff00:"];
        let text = self.text();
        let lines = text
            .lines()
            .filter(|line| !noise.iter().any(|word| line.contains(word)) && !is_of_timer(line));
        lines.map(str::to_owned).collect()
    }

    /// Whether the link was ever said to be down or deleted.
    pub fn saw_down(&self, link: &str) -> Vec<String> {
        let about = |line: &String| {
            line.contains(&format!(" {link}@")) || line.contains(&format!(" {link}:"))
        };
        let down = |line: &String| {
            line.starts_with("Deleted") && line.contains("link/")
                || line.contains("state DOWN")
                || line.contains("LOWERLAYERDOWN")
        };
        self.lines()
            .into_iter()
            .filter(|line| about(line) && down(line))
            .collect()
    }
}

/// 15 seconds after a port came, when the bridge's forward delay is over, the bridge reports it once more, though
/// nothing has changed: a message of the bridge itself, which has no qdisc.
fn is_of_timer(line: &str) -> bool {
    line.contains(" master ") && !line.contains(" qdisc ") && !line.starts_with("Deleted")
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.door.kill();
        let _ = self.door.wait();
    }
}

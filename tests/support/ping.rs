//! Pings between pods: single ones, and a stream whose losses are counted.

use std::{
    io::Read,
    process::{Child, Stdio},
    thread::sleep,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{
    node::TestNode,
    pod::TestPod,
    wait::{eventually, seen},
};

/// A ping every five milliseconds until it is counted.
pub struct Stream {
    door: Child,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Count {
    pub sent: u32,
    pub received: u32,
}

impl TestNode {
    /// Waits for an answer to the node itself.
    pub fn ping(&self, address: &str) {
        eventually(&format!("the node reaches {address}"), || {
            let output = self.try_run(&["ping", "-n", "-c", "1", "-W", "1", address]);
            seen(
                output.status.success(),
                String::from_utf8_lossy(&output.stdout),
            )
        });
    }
}

impl TestPod<'_> {
    /// Whether one of a few pings is answered.
    pub fn reaches(&self, address: &str) -> bool {
        self.try_run(&[
            "ping", "-q", "-n", "-i", "0.05", "-c", "4", "-w", "1", address,
        ])
        .status
        .success()
    }

    /// Waits for an answer.
    pub fn ping(&self, address: &str) {
        eventually(
            &format!("{} reaches {address}", self.attachment.name),
            || {
                let output = self.try_run(&["ping", "-n", "-c", "1", "-W", "1", address]);
                seen(
                    output.status.success(),
                    String::from_utf8_lossy(&output.stdout),
                )
            },
        );
    }

    /// Starts a stream once the address answers.
    pub fn ping_on(&self, address: &str) -> Stream {
        self.ping(address);
        let mut command = self.command("ping");
        command.args(["-q", "-n", "-i", "0.005", "-w", "60", address]);
        let door = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("nsenter runs");
        sleep(Duration::from_millis(50));
        Stream { door }
    }
}

impl Stream {
    /// Ends the stream after the last answers had time to come.
    pub fn count(mut self) -> Count {
        sleep(Duration::from_millis(100));
        let id = self.door.id();
        let children =
            std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        for child in children.split_whitespace() {
            let pid = child.parse().expect("a pid is a number");
            kill(Pid::from_raw(pid), Signal::SIGINT).expect("ping still runs");
        }
        let mut text = String::new();
        self.door
            .stdout
            .take()
            .expect("stdout is piped")
            .read_to_string(&mut text)
            .expect("ping prints text");
        self.door.wait().expect("ping ends");
        let line = text
            .lines()
            .find(|line| line.contains("packets transmitted"));
        let numbers: Vec<u32> = line
            .unwrap_or_else(|| panic!("ping said: {text}"))
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|word| word.parse().ok())
            .collect();
        Count {
            sent: numbers[0],
            received: numbers[1],
        }
    }

    /// None lost, and enough sent for that to mean something.
    pub fn lost_nothing(self) {
        let Count { sent, received } = self.count();
        assert!(sent >= 20, "only {sent} pings were sent");
        // The last one may still be on its way when the stream is cut.
        assert!(
            received + 1 >= sent,
            "{} of {sent} pings were lost",
            sent - received
        );
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = self.door.kill();
        let _ = self.door.wait();
    }
}

//! Pings between pods: single ones, and a stream whose losses are counted.

use std::{
    fs::read_to_string,
    io::Read,
    process::{Child, Stdio},
    thread::sleep,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid as Process,
};

use super::{eventually, pod::Pod};
use crate::wait::seen;

/// Between two pings of a stream.
const PAUSE: &str = "0.01";

/// Pings until it is counted.
pub struct Stream {
    ping: Child,
}

impl Pod {
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
        eventually(&format!("{} reaches {address}", self.name), || {
            let output = self.try_run(&["ping", "-n", "-c", "1", "-W", "1", address]);
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            seen(
                output.status.success(),
                said + &String::from_utf8_lossy(&output.stderr),
            )
        });
    }

    /// Starts a stream once the address answers.
    pub fn ping_on(&self, address: &str) -> Stream {
        self.ping(address);
        let mut command = self.command("ping");
        command.args(["-q", "-n", "-i", PAUSE, address]);
        // nsenter becomes ping: the child is the program itself.
        let ping = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("nsenter runs");
        Stream { ping }
    }
}

impl Stream {
    /// None lost, and enough sent for that to mean something.
    pub fn lost_nothing(mut self) {
        sleep(Duration::from_millis(200));
        kill(
            Process::from_raw(self.ping.id().cast_signed()),
            Signal::SIGINT,
        )
        .expect("ping still runs");
        let mut text = String::new();
        let mut pipe = self.ping.stdout.take().expect("stdout is piped");
        pipe.read_to_string(&mut text).expect("ping prints text");
        self.ping.wait().expect("ping ends");
        let (sent, received) = counts(&text);
        assert!(sent >= 20, "only {sent} pings were sent");
        // The last one may still be on its way when the stream is cut.
        assert!(
            received + 1 >= sent,
            "{} of {sent} pings were lost; load {}",
            sent - received,
            read_to_string("/proc/loadavg").unwrap_or_default()
        );
    }
}

fn counts(text: &str) -> (u32, u32) {
    let line = text
        .lines()
        .find(|line| line.contains("packets transmitted"));
    let numbers: Vec<u32> = line
        .unwrap_or_else(|| panic!("ping said: {text}"))
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|word| word.parse().ok())
        .collect();
    (numbers[0], numbers[1])
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = self.ping.kill();
        let _ = self.ping.wait();
    }
}

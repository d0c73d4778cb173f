//! Pings between pods.

use super::{eventually, pod::Pod};
use crate::{ping_stream::Stream, wait::seen};

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
        Stream::start(self.command("ping"), "0.01", address)
    }
}

//! Pings between pods.

use super::{
    node::TestNode,
    ping_stream::Stream,
    pod::TestPod,
    wait::{eventually, seen},
};

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

    /// Starts a stream of a ping every five milliseconds once the address answers.
    pub fn ping_on(&self, address: &str) -> Stream {
        self.ping(address);
        Stream::start(self.command("ping"), "0.005", address)
    }
}

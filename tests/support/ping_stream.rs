//! A stream of pings whose losses are counted. It waits for answers, never for time: on a busy machine pings are late,
//! and a late ping is not a lost one.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::wait::{seen, within};

/// So many answers after the last event show that the stream flows.
const MORE: usize = 20;
const PATIENCE: Duration = Duration::from_secs(10);

/// `ping`, until it is counted.
pub struct Stream {
    ping: Child,
    answers: Arc<Mutex<BTreeSet<u32>>>,
    reader: Option<JoinHandle<Option<u32>>>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Count {
    pub sent: u32,
    pub received: u32,
}

impl Stream {
    /// Starts it, and waits for its first answer. The command is `ping`, or a program that runs it as its child.
    pub fn start(mut command: Command, interval: &str, address: &str) -> Self {
        let mut ping = command
            .args(["-n", "-i", interval, address])
            .stdout(Stdio::piped())
            .spawn()
            .expect("ping runs");
        let lines = BufReader::new(ping.stdout.take().expect("stdout is piped"));
        let answers = Arc::<Mutex<BTreeSet<u32>>>::default();
        let noted = Arc::clone(&answers);
        let reader = thread::spawn(move || {
            let lines = lines.lines().map_while(Result::ok);
            lines.fold(None, |sent, line| {
                if let Some(number) = answered(&line) {
                    noted
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .insert(number);
                }
                sent.or_else(|| transmitted(&line))
            })
        });
        let stream = Self {
            ping,
            answers,
            reader: Some(reader),
        };
        stream.flows(1);
        stream
    }

    fn answers(&self) -> BTreeSet<u32> {
        self.answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits for so many answers more.
    fn flows(&self, more: usize) {
        let before = self.answers().len();
        within(PATIENCE, "pings are answered", || {
            let now = self.answers().len();
            seen(
                now >= before + more,
                format!("{} answers, {before} before", now),
            )
        });
    }

    /// Ends the stream.
    pub fn count(mut self) -> Count {
        self.interrupt().expect("ping still runs");
        let reader = self.reader.take().expect("the stream is counted once");
        let sent = reader.join().expect("the reader ends");
        Count {
            sent: sent.expect("ping says what it sent"),
            received: u32::try_from(self.answers().len()).expect("few pings"),
        }
    }

    fn interrupt(&self) -> nix::Result<()> {
        let id = self.ping.id();
        let path = format!("/proc/{id}/task/{id}/children");
        let children = fs::read_to_string(path).unwrap_or_default();
        let own = id.to_string();
        let pid = children.split_whitespace().next().unwrap_or(&own);
        let pid = pid.parse().expect("a pid is a number");
        kill(Pid::from_raw(pid), Signal::SIGINT)
    }

    /// Every ping up to now was answered, and more are. One may meet the moment in which an address is replaced.
    pub fn lost_nothing(self) {
        self.flows(MORE);
        let answers = self.answers();
        let last = answers.last().copied().unwrap_or_default();
        let lost: Vec<u32> = (1..=last).filter(|n| !answers.contains(n)).collect();
        assert!(lost.len() <= 1, "of {last} pings these were lost: {lost:?}");
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.reader.is_some() {
            let _ = self.interrupt();
        }
        let _ = self.ping.kill();
        let _ = self.ping.wait();
    }
}

/// `64 bytes from 10.1.0.2: icmp_seq=7 ttl=64 time=0.05 ms`
fn answered(line: &str) -> Option<u32> {
    let (_, rest) = line.split_once("bytes from ")?.1.split_once("icmp_seq=")?;
    rest.split(' ').next()?.parse().ok()
}

/// `30 packets transmitted, 30 received, …`
fn transmitted(line: &str) -> Option<u32> {
    line.split_once(" packets transmitted")?.0.parse().ok()
}

//! A node of its own: this program once more, in a process with namespaces, a daemon and one pod. It
//! lives until its stdin ends.

use std::{
    env,
    io::{BufRead, BufReader, Read, Write},
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::{Programs, daemon::Daemon, ears::Ears, manifest, node, tunnel, wish::LINK};

/// The word that makes the program such a node; its number follows.
pub const FAR: &str = "far";
const VNI: u32 = 10044;

pub struct Far {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Far {
    /// Starts it; it is there, and is on no network yet.
    pub fn start(number: u8) -> Result<Self> {
        let mut child = Command::new(env::current_exe()?)
            .args([FAR, &number.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take().context("stdin is piped")?;
        let stdout = BufReader::new(child.stdout.take().context("stdout is piped")?);
        let mut far = Self {
            child,
            stdin,
            stdout,
        };
        far.wait_for("there")?;
        Ok(far)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its pod, as this process sees it.
    pub fn pod(&self) -> PathBuf {
        let root = Path::new("/proc").join(self.pid().to_string()).join("root");
        root.join(
            node::namespace_path("far-0")
                .strip_prefix("/")
                .unwrap_or(Path::new("")),
        )
    }

    /// Its `eth1` is there; returns when its pod has its link.
    pub fn join(&mut self) -> Result<()> {
        self.stdin.write_all(b"join\n")?;
        self.wait_for("joined")
    }

    fn wait_for(&mut self, word: &str) -> Result<()> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        ensure!(
            line.trim() == word,
            "another node says {line:?} instead of {word:?}"
        );
        Ok(())
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The node's own side of it, in a process that has entered its namespaces.
pub fn be(number: &str, programs: &Programs) -> Result<()> {
    let number: u8 = number.parse().context("the number of a node")?;
    let mut input = BufReader::new(std::io::stdin());
    println!("there");
    input.read_line(&mut String::new())?;
    node::ip(&format!("address add 10.9.0.{number}/24 dev eth1"))?;
    node::ip("link set eth1 up")?;
    let _daemon = serve(number, programs)?;
    println!("joined");
    input.read_to_end(&mut Vec::new())?;
    Ok(())
}

fn serve(number: u8, programs: &Programs) -> Result<Daemon> {
    let pods = node::make_pods("far", 1)?;
    let mut ears = node::within(&pods[0].name, Ears::here)?;
    node::record("far", &[&pods[0]])?;
    node::apply("policy", manifest::POLICY)?;
    let (daemon, _) = Daemon::start(&programs.daemon)?;
    let peers = [1, 2].map(|node| Ipv4Addr::new(10, 9, 0, node));
    let address = Ipv4Addr::new(10, 81, 0, number);
    node::apply("far-0", &tunnel::manifest("far-0", VNI, &peers, address))?;
    ears.until("the link of the far pod", |ears| {
        ears.count(|link| link.name == LINK) == 1
    })?;
    Ok(daemon)
}

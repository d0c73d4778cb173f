//! From one pod to another: a stream over TCP, and round trips over UDP.

use std::{
    fs::File,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use nix::sched::{CloneFlags, setns};

use super::breathe;
use crate::cost::{Cost, Whose, median, micros};

const PORT: u16 = 7000;
/// For so long one stream is sent.
const STREAM: Duration = Duration::from_millis(150);
const CHUNK: usize = 1 << 16;
const TRIPS: usize = 500;
const PATIENCE: Duration = Duration::from_secs(5);

/// Two namespaces, and the address in the second.
pub struct Road {
    from: File,
    to: File,
    target: SocketAddrV4,
}

impl Road {
    pub fn new(from: &Path, to: &Path, target: Ipv4Addr) -> Result<Self> {
        let open = |path: &Path| File::open(path).with_context(|| path.display().to_string());
        Ok(Self {
            from: open(from)?,
            to: open(to)?,
            target: SocketAddrV4::new(target, PORT),
        })
    }

    /// Until something comes back: neighbours are found, and every device has learned.
    pub fn wait_open(&self) -> Result<()> {
        let start = Instant::now();
        while self.round_trip().is_err() {
            anyhow::ensure!(
                start.elapsed() < PATIENCE,
                "nothing comes back over the vxlan"
            );
            breathe();
        }
        Ok(())
    }

    /// What one megabyte costs, sender and receiver together.
    pub fn stream(&self) -> Result<Cost> {
        let listener = at(&self.to, || Ok(TcpListener::bind(self.target)?))?;
        let (sent, received) = self.both(
            || {
                let mut stream = TcpStream::connect(self.target)?;
                send_for_a_while(&mut stream)
            },
            || receive_all(&listener.accept()?.0),
        )?;
        let (cost, bytes) = received;
        let megabytes = bytes as f64 / 1e6;
        Ok(Cost {
            cpu: (sent + cost.cpu) / megabytes,
            wall: cost.wall / megabytes,
        })
    }

    /// The median of many; CPU of both ends.
    pub fn round_trip(&self) -> Result<Cost> {
        let server = at(&self.to, || Ok(UdpSocket::bind(self.target)?))?;
        let client = at(&self.from, || {
            Ok(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?)
        })?;
        for socket in [&server, &client] {
            socket.set_read_timeout(Some(Duration::from_millis(500)))?;
        }
        client.connect(self.target)?;
        let (asked, answered) = self.both(|| ask(&client), || answer(&server))?;
        Ok(Cost {
            cpu: (asked.cpu + answered) / TRIPS as f64,
            wall: asked.wall,
        })
    }

    /// Two deeds at once, each in its namespace.
    fn both<A: Send, B: Send>(
        &self,
        here: impl FnOnce() -> Result<A> + Send,
        there: impl FnOnce() -> Result<B> + Send,
    ) -> Result<(A, B)> {
        thread::scope(|scope| {
            let there = scope.spawn(|| at(&self.to, there));
            let here = at(&self.from, here)?;
            let there = there
                .join()
                .unwrap_or_else(|_| Err(anyhow!("the thread panicked")))?;
            Ok((here, there))
        })
    }
}

fn at<T: Send>(namespace: &File, deed: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let inside = || {
        setns(namespace, CloneFlags::CLONE_NEWNET)?;
        deed()
    };
    thread::scope(|scope| scope.spawn(inside).join())
        .unwrap_or_else(|_| Err(anyhow!("the thread panicked")))
}

/// The CPU time that it took.
fn send_for_a_while(stream: &mut TcpStream) -> Result<f64> {
    let chunk = vec![0; CHUNK];
    let start = Instant::now();
    let (cost, ()) = Whose::Thread.cost(|| {
        while start.elapsed() < STREAM {
            stream.write_all(&chunk)?;
        }
        Ok(())
    })?;
    Ok(cost.cpu)
}

fn receive_all(mut stream: &TcpStream) -> Result<(Cost, u64)> {
    let mut chunk = vec![0; CHUNK];
    Whose::Thread.cost(|| {
        let mut bytes = 0;
        loop {
            match stream.read(&mut chunk)? {
                0 => return Ok(bytes),
                length => bytes += length as u64,
            }
        }
    })
}

fn ask(client: &UdpSocket) -> Result<Cost> {
    let mut packet = [0; 64];
    let mut trips = Vec::with_capacity(TRIPS);
    let (cost, ()) = Whose::Thread.cost(|| {
        for _ in 0..TRIPS {
            let start = Instant::now();
            client.send(&packet)?;
            client.recv(&mut packet)?;
            trips.push(micros(start.elapsed()));
        }
        Ok(())
    })?;
    let wall = median(trips.into_iter());
    Ok(Cost { wall, ..cost })
}

fn answer(server: &UdpSocket) -> Result<f64> {
    let mut packet = [0; 64];
    let (cost, ()) = Whose::Thread.cost(|| {
        for _ in 0..TRIPS {
            match server.recv_from(&mut packet) {
                Ok((length, from)) => drop(server.send_to(&packet[..length], from)?),
                Err(error) => bail!("wait for a packet: {error}"),
            }
        }
        Ok(())
    })?;
    Ok(cost.cpu)
}

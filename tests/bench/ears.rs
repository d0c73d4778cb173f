//! What happens in pods, heard from the kernel's events and from nobody else.

use std::{
    collections::HashMap,
    os::fd::AsFd,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{SockFlag, SockProtocol},
};

use crate::wire::{Socket, attributes, number};

const LINKS_AND_ADDRESSES: u32 = 0x1 | 0x10;
const NEWLINK: u16 = 16;
const DELLINK: u16 = 17;
const NEWADDR: u16 = 20;
const DELADDR: u16 = 21;
const UP: u32 = 1;
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at many pods: their messages are not worth a wake-up each.
const BREATH: Duration = Duration::from_millis(1);

/// A link, as far as events told.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    pub name: String,
    pub up: bool,
    pub mtu: u32,
    pub addresses: Vec<[u8; 4]>,
}

pub struct Ears {
    socket: Socket,
    place: Place,
    /// By namespace and number.
    pub links: HashMap<(i32, u32), Heard>,
    /// Links that went.
    pub gone: usize,
    buffer: Vec<u8>,
}

/// Where it is listened.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the socket's own namespace.
    Here,
    /// In every namespace that has a number in the socket's own, and not there.
    Elsewhere,
}

impl Ears {
    /// For the calling thread's namespace.
    pub fn here() -> Result<Self> {
        Self::open(Place::Here)
    }

    /// For all namespaces that have links to that of the calling thread.
    pub fn elsewhere() -> Result<Self> {
        let ears = Self::open(Place::Elsewhere)?;
        ears.socket.listen_everywhere()?;
        Ok(ears)
    }

    fn open(place: Place) -> Result<Self> {
        let socket = Socket::open(
            SockProtocol::NetlinkRoute,
            LINKS_AND_ADDRESSES,
            SockFlag::SOCK_NONBLOCK,
        )?;
        Ok(Self {
            socket,
            place,
            links: HashMap::new(),
            gone: 0,
            buffer: vec![0; 32768],
        })
    }

    /// Takes in all that was said.
    pub fn hear(&mut self) -> Result<bool> {
        let (mut any, links, gone) = (false, &mut self.links, &mut self.gone);
        let is_wanted = |from: Option<i32>| from.is_some() == (self.place == Place::Elsewhere);
        let mut each = |from: Option<i32>, kind: u16, body: &[u8]| {
            if is_wanted(from) {
                note(links, gone, from.unwrap_or_default(), kind, body);
            }
        };
        while self.socket.hear(&mut self.buffer, &mut each)? {
            any = true;
        }
        Ok(any)
    }

    /// Until what was heard is what is waited for; the moment when it was.
    pub fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) -> Result<Instant> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if self.hear()? && holds(self) {
                return Ok(Instant::now());
            }
            match self.place {
                Place::Here => drop(poll(
                    &mut [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)],
                    PollTimeout::from(100_u8),
                )?),
                Place::Elsewhere => sleep(BREATH),
            }
        }
        bail!(
            "waited {PATIENCE:?} for {what}; {} links are there, {} went; the daemon's log:\n{}",
            self.links.len(),
            self.gone,
            crate::daemon::log_tail()
        )
    }

    /// How many links are up, have an address, and are as `also` says.
    pub fn count(&self, also: impl Fn(&Heard) -> bool) -> usize {
        self.links
            .values()
            .filter(|link| link.up && !link.addresses.is_empty() && also(link))
            .count()
    }
}

fn note(
    links: &mut HashMap<(i32, u32), Heard>,
    gone: &mut usize,
    pod: i32,
    kind: u16,
    body: &[u8],
) {
    let key = (pod, number(body, 4));
    match kind {
        NEWLINK => {
            let link = links.entry(key).or_default();
            link.up = number(body, 8) & UP != 0;
            attributes(
                body.get(16..).unwrap_or_default(),
                |kind, value| match kind {
                    3 => {
                        link.name = String::from_utf8_lossy(value)
                            .trim_end_matches('\0')
                            .to_owned()
                    }
                    4 => link.mtu = number(value, 0),
                    _ => (),
                },
            );
        }
        DELLINK => *gone += usize::from(links.remove(&key).is_some()),
        NEWADDR | DELADDR => {
            let Some(link) = links.get_mut(&key) else {
                return;
            };
            attributes(body.get(8..).unwrap_or_default(), |attribute, value| {
                if let (2, Ok(address)) = (attribute, <[u8; 4]>::try_from(value)) {
                    link.addresses.retain(|known| *known != address);
                    link.addresses.extend((kind == NEWADDR).then_some(address));
                }
            });
        }
        _ => (),
    }
}

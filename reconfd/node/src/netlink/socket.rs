//! A blocking rtnetlink socket: batches of changes in one send, and dumps.
//!
//! The kernel processes a request inside `send`, so there is nothing to await; the socket is used on the
//! reconciler's own thread, or on a short-lived thread.

use std::{
    io,
    sync::atomic::Ordering,
    thread::sleep,
    time::{Duration, Instant},
};

use sandbox_record::netns::{is_transient, retry};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST,
    NLMSG_DONE, NLMSG_ERROR, NlasIterator,
};
use netlink_sys::{SocketAddr, protocols::NETLINK_ROUTE};
use nix::{
    errno::Errno,
    sys::{
        socket::{setsockopt, sockopt::ReceiveTimeout},
        time::{TimeVal, TimeValLike},
    },
};

use crate::event_socket::borrow;

/// Batches of which the kernel takes all or nothing.
mod transaction;

use super::{Body, Changes, Error, NLMSG_HDR, Request, messages};

const NLMSGERR_ATTR_MSG: u16 = 1;
/// The kernel sends dumps in parts of at most 32 KiB.
const BUFFER: usize = 32 * 1024;
/// The errors of this many requests fit into the receive queue.
const MOST_AT_ONCE: usize = 64;
/// The kernel responds before `send` returns: a response that is missing then was lost.
const PATIENCE: i64 = 5;
/// Retries of a dump with NLM_F_DUMP_INTR.
const DUMP_RETRIES: usize = 5;
const PAUSE: Duration = Duration::from_millis(2);
/// Distinguishes EAGAIN of the call itself from the receive timeout.
const EARLY: Duration = Duration::from_secs(1);

/// A socket in the network namespace of the thread that opened it, also if another thread uses it.
pub struct Socket {
    socket: netlink_sys::Socket,
    sequence: u32,
    changes: Changes,
    buffer: Vec<u8>,
}

impl Socket {
    pub fn open(changes: &Changes) -> io::Result<Self> {
        Self::open_for(NETLINK_ROUTE, changes)
    }

    /// A socket of another protocol than rtnetlink's.
    pub fn open_for(protocol: isize, changes: &Changes) -> io::Result<Self> {
        let mut socket = netlink_sys::Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        setsockopt(
            &borrow(&socket),
            ReceiveTimeout,
            &TimeVal::seconds(PATIENCE),
        )?;
        socket.set_ext_ack(true)?;
        socket.set_cap_ack(true)?;
        socket.set_netlink_get_strict_chk(true)?;
        Ok(Self {
            socket,
            sequence: 0,
            changes: changes.clone(),
            buffer: Vec::new(),
        })
    }

    /// Sends all requests in as few system calls as possible; the kernel processes them in order, and a
    /// failed one does not stop the others. Returns one result per request, in order.
    pub fn batch(&mut self, requests: &[Request]) -> Vec<Result<(), Error>> {
        self.changes
            .fetch_add(requests.len() as u64, Ordering::Relaxed);
        self.prompt(requests)
    }

    /// As `batch`, for requests that change no state but have an effect, such as announcements. Not counted.
    pub fn prompt(&mut self, requests: &[Request]) -> Vec<Result<(), Error>> {
        let parts = requests.chunks(MOST_AT_ONCE);
        parts.flat_map(|part| self.send(part)).collect()
    }

    fn send(&mut self, requests: &[Request]) -> Vec<Result<(), Error>> {
        let mut answers: Vec<Result<(), Error>> = requests.iter().map(|_| Ok(())).collect();
        let Some(last) = requests.len().checked_sub(1) else {
            return answers;
        };
        let first = self.sequence.wrapping_add(1);
        let mut out = Vec::with_capacity(256 * requests.len());
        for (place, request) in requests.iter().enumerate() {
            // Errors are always sent: only the last request needs an ack.
            let ack = if place == last { NLM_F_ACK } else { 0 };
            self.sequence = self.sequence.wrapping_add(1);
            request
                .body
                .append(NLM_F_REQUEST | ack | request.flags, self.sequence, &mut out);
        }
        if let Err(error) = self.send_bytes(&out) {
            return requests
                .iter()
                .map(|r| Err(Error::io(&*r.op, &error)))
                .collect();
        }
        if let Err(error) = self.collect(first, &mut answers, requests) {
            // It is unknown which of them failed: all are treated as failed.
            let unknown = answers.iter_mut().zip(requests);
            unknown
                .filter(|(answer, _)| answer.is_ok())
                .for_each(|(answer, request)| *answer = Err(Error::io(&*request.op, &error)));
        }
        answers
    }

    /// Sends one request and waits for its result.
    pub fn change(&mut self, request: Request) -> Result<(), Error> {
        self.batch(&[request]).pop().unwrap_or(Ok(()))
    }

    fn collect(
        &mut self,
        first: u32,
        answers: &mut [Result<(), Error>],
        requests: &[Request],
    ) -> io::Result<()> {
        loop {
            let mut done = false;
            self.receive(|kind, flags, sequence, body| {
                let place = sequence.wrapping_sub(first) as usize;
                if kind != NLMSG_ERROR || place >= answers.len() {
                    return;
                }
                done |= place + 1 == answers.len();
                if let Some((errno, text)) = refusal(kind, flags, body) {
                    answers[place] = requests[place].answered(errno, text);
                }
            })?;
            if done {
                return Ok(());
            }
        }
    }

    /// Dumps all objects of a kind; `each` gets the type and payload of every message. An interrupted dump is
    /// repeated from the start.
    pub fn dump<T: Default>(
        &mut self,
        op: &str,
        body: &Body,
        mut each: impl FnMut(&mut T, u16, &[u8]),
    ) -> Result<T, Error> {
        for attempt in 1..=DUMP_RETRIES {
            let mut found = T::default();
            match self.dump_once(op, body, |kind, bytes| each(&mut found, kind, bytes)) {
                Ok(true) => return Ok(found),
                Ok(false) => (),
                // EBUSY: the rest of an earlier interrupted dump had to be read first.
                Err(error)
                    if attempt < DUMP_RETRIES
                        && (is_transient(error.errno) || error.errno == Errno::EBUSY) =>
                {
                    sleep(PAUSE);
                }
                Err(error) => return Err(error),
            }
        }
        let text = "dump was interrupted by concurrent changes too often";
        Err(Error::new(op, Errno::EINTR, text))
    }

    fn dump_once(
        &mut self,
        op: &str,
        body: &Body,
        mut each: impl FnMut(u16, &[u8]),
    ) -> Result<bool, Error> {
        let failed = |error: io::Error| Error::io(op, &error);
        let wanted = self.ask(body, NLM_F_DUMP).map_err(failed)?;
        let (mut done, mut whole, mut refused) = (false, true, None);
        while !done {
            self.receive(|kind, flags, sequence, body| {
                if sequence != wanted {
                    return;
                }
                whole &= flags & NLM_F_DUMP_INTR == 0;
                match kind {
                    // Strict checking reports a refused dump inside of DONE.
                    NLMSG_DONE | NLMSG_ERROR => {
                        done = true;
                        refused = refusal(kind, flags, body);
                    }
                    kind => each(kind, body),
                }
            })
            .map_err(failed)?;
        }
        match refused {
            Some((errno, text)) => Err(Error::new(op, errno, text)),
            None => Ok(whole),
        }
    }

    /// Requests one object; `None` if it does not exist.
    pub fn get<T>(
        &mut self,
        op: &str,
        body: &Body,
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let failed = |error: io::Error| Error::io(op, &error);
        let wanted = self.ask(body, 0).map_err(failed)?;
        let mut answer = None;
        while answer.is_none() {
            self.receive(|kind, flags, sequence, body| {
                if sequence != wanted {
                    return;
                }
                answer = Some(match kind {
                    NLMSG_ERROR => refusal(kind, flags, body).map_or(Ok(None), Err),
                    _ => Ok(read(body)),
                });
            })
            .map_err(failed)?;
        }
        match answer {
            Some(Err((Errno::ENODEV | Errno::ENOENT, _))) | None => Ok(None),
            Some(Err((errno, text))) => Err(Error::new(op, errno, text)),
            Some(Ok(found)) => Ok(found),
        }
    }

    /// Sends one request, and returns the sequence number of its answers.
    fn ask(&mut self, body: &Body, flags: u16) -> io::Result<u32> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut out = Vec::with_capacity(64);
        body.append(NLM_F_REQUEST | flags, self.sequence, &mut out);
        self.send_bytes(&out)?;
        Ok(self.sequence)
    }

    /// If the send itself fails the kernel has seen nothing, so it may be repeated.
    fn send_bytes(&self, bytes: &[u8]) -> io::Result<usize> {
        retry(|| self.socket.send(bytes, 0), errno_of)
    }

    /// Frees the receive buffer; hundreds of sockets may be idle.
    pub fn rest(&mut self) {
        self.buffer = Vec::new();
    }

    /// Reads one datagram and passes its messages to `each`: type, flags, sequence, body.
    fn receive(&mut self, each: impl FnMut(u16, u16, u32, &[u8])) -> io::Result<()> {
        self.buffer.clear();
        self.buffer.reserve(BUFFER);
        let (socket, buffer) = (&self.socket, &mut self.buffer);
        let started = Instant::now();
        // The receive timeout ends with EAGAIN as well, but later.
        let passes = |error: &io::Error| errno_of(error).filter(|_| started.elapsed() < EARLY);
        retry(|| socket.recv(buffer, 0), passes)?;
        messages(&self.buffer, each);
        Ok(())
    }
}

fn errno_of(error: &io::Error) -> Option<Errno> {
    error.raw_os_error().map(Errno::from_raw)
}

/// The error in the body of NLMSG_ERROR or NLMSG_DONE, with the extended-ack text.
fn refusal(kind: u16, flags: u16, body: &[u8]) -> Option<(Errno, String)> {
    let code = i32::from_ne_bytes(*body.first_chunk::<4>()?);
    if code >= 0 {
        return None;
    }
    let mut text = String::new();
    if flags & NLM_F_ACK_TLVS != 0 {
        // An error quotes the request, or only its header; the end of a dump quotes nothing.
        let quoted = match (kind, flags & NLM_F_CAPPED) {
            (NLMSG_DONE, _) => 0,
            (_, 0) => body
                .get(4..8)
                .map_or(0, |b| u32::from_ne_bytes([b[0], b[1], b[2], b[3]]) as usize),
            _ => NLMSG_HDR,
        };
        let attributes = body
            .get(4 + quoted.next_multiple_of(4)..)
            .unwrap_or_default();
        for attribute in NlasIterator::new(attributes).flatten() {
            if attribute.kind() == NLMSGERR_ATTR_MSG {
                text = String::from_utf8_lossy(attribute.value())
                    .trim_end_matches('\0')
                    .to_owned();
            }
        }
    }
    Some((Errno::from_raw(-code), text))
}

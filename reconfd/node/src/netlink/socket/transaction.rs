//! Transactional batches (nfnetlink).

use std::{io, sync::atomic::Ordering};

use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST, NLMSG_ERROR};
use nix::{
    errno::Errno,
    sys::socket::{
        setsockopt,
        sockopt::{RcvBufForce, SndBufForce},
    },
};

use crate::{
    event_socket::borrow,
    netlink::{Body, Error, Request},
};

use super::{Socket, refusal};

const NFNL_MSG_BATCH_BEGIN: u16 = 0x10;
const NFNL_MSG_BATCH_END: u16 = 0x11;
/// The receive queue space of one error, with reserve.
const REFUSAL: usize = 2048;

impl Socket {
    /// Sends all requests in one transaction of a netfilter subsystem: all take effect atomically, or none.
    /// Returns the first error.
    pub fn transaction(
        &mut self,
        op: &str,
        subsystem: u8,
        requests: &[Request],
    ) -> Result<(), Error> {
        self.changes
            .fetch_add(requests.len() as u64, Ordering::Relaxed);
        self.transact(op, subsystem, requests, true)
    }

    /// Checks whether the kernel would accept the requests, without effect.
    pub fn dry_run(&mut self, op: &str, subsystem: u8, requests: &[Request]) -> Result<(), Error> {
        self.transact(op, subsystem, requests, false)
    }

    fn transact(
        &mut self,
        op: &str,
        subsystem: u8,
        requests: &[Request],
        finished: bool,
    ) -> Result<(), Error> {
        let first = self.sequence.wrapping_add(1);
        let out = self.written(subsystem, requests, finished);
        self.make_room(out.len(), requests.len());
        self.send_bytes(&out)
            .map_err(|error| Error::io(op, &error))?;
        self.verdict(op, first, requests)
    }

    /// The encoded batch. Without its end message the kernel validates all of it and rolls back.
    fn written(&mut self, subsystem: u8, requests: &[Request], finished: bool) -> Vec<u8> {
        let mut out = Vec::new();
        let mut append = |body: &Body, flags| {
            self.sequence = self.sequence.wrapping_add(1);
            body.append(NLM_F_REQUEST | flags, self.sequence, &mut out);
        };
        append(&boundary(NFNL_MSG_BATCH_BEGIN, subsystem), 0);
        for (place, request) in requests.iter().enumerate() {
            // Errors are always sent: only the last request needs an ack.
            let ack = if place + 1 == requests.len() {
                NLM_F_ACK
            } else {
                0
            };
            append(&request.body, ack | request.flags);
        }
        if finished {
            append(&boundary(NFNL_MSG_BATCH_END, subsystem), 0);
        }
        out
    }

    /// A batch must fit into one datagram, and an error for each message into the queue. Without the
    /// privilege, the system's limits apply.
    fn make_room(&self, length: usize, requests: usize) {
        const USUAL: usize = 208 << 10;
        let socket = borrow(&self.socket);
        let _ = setsockopt(&socket, SndBufForce, &USUAL.max(length));
        let _ = setsockopt(&socket, RcvBufForce, &USUAL.max(requests * REFUSAL));
    }

    /// Waits for the first error or for the last message's ack. Later responses have sequence numbers that
    /// are ignored.
    fn verdict(&mut self, op: &str, first: u32, requests: &[Request]) -> Result<(), Error> {
        let mut answer = None;
        while answer.is_none() {
            let received = self.receive(|kind, flags, sequence, body| {
                let place = sequence.wrapping_sub(first) as usize;
                if kind != NLMSG_ERROR || place > requests.len() || answer.is_some() {
                    return;
                }
                // An error of the begin message applies to the whole batch.
                let refused = place.checked_sub(1).map_or(op, |at| &requests[at].op);
                match refusal(kind, flags, body) {
                    Some((errno, text)) => {
                        answer = Some(Err(Error::new(refused, errno, text)));
                    }
                    None if place == requests.len() => answer = Some(Ok(())),
                    None => (),
                }
            });
            match received {
                // Responses were lost, but never the first ones.
                Err(error) if is_overrun(&error) => (),
                received => received.map_err(|error| Error::io(op, &error))?,
            }
        }
        answer.unwrap_or(Ok(()))
    }
}

fn is_overrun(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::ENOBUFS as i32)
}

/// `struct nfgenmsg`: no family, version 0, the subsystem in network order.
fn boundary(kind: u16, subsystem: u8) -> Body {
    Body::Raw(kind, vec![0, 0, 0, subsystem])
}

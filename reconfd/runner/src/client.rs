//! The daemon's side: one connection for each request.

use std::{
    io,
    os::{
        fd::{AsRawFd as _, BorrowedFd},
        unix::net::UnixStream,
    },
    path::PathBuf,
    time::Duration,
};

use serde::de::DeserializeOwned;

use crate::{
    protocol::{Outgoing, Request, Response},
    wire,
};

/// Files of the node.
mod files;
pub use files::FileError;

/// Longer than a chain may take, after others have.
const TO_RESPOND: Duration = Duration::from_secs(600);

/// Where the runner listens.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    pub fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Sends a request and waits for its response. An error says whether plugins may have run.
    pub fn ask(
        &self,
        request: &Request,
        netns: Option<BorrowedFd<'_>>,
    ) -> Result<Response, Unanswered> {
        self.exchange(&Outgoing::Chain(request), netns)
    }

    fn exchange<T: DeserializeOwned>(
        &self,
        request: &Outgoing<'_>,
        netns: Option<BorrowedFd<'_>>,
    ) -> Result<T, Unanswered> {
        let connection = UnixStream::connect(&self.socket).map_err(Unanswered::NotSent)?;
        connection
            .set_read_timeout(Some(TO_RESPOND))
            .map_err(Unanswered::NotSent)?;
        wire::send(&connection, request, netns.map(|fd| fd.as_raw_fd()))
            .map_err(Unanswered::Broken)?;
        match wire::receive::<T>(&connection) {
            Ok(Some((response, _))) => Ok(response),
            Ok(None) => Err(Unanswered::Broken(io::ErrorKind::UnexpectedEof.into())),
            Err(error) => Err(Unanswered::Broken(error)),
        }
    }
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// Nothing has run.
    #[error("the runner cannot be reached: {0}")]
    NotSent(io::Error),
    /// Plugins may have run.
    #[error("the connection to the runner broke: {0}")]
    Broken(io::Error),
}

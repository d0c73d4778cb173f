//! The server: takes requests of root alone, checks them against the node's list, and gives each a jail.

use std::{
    collections::HashSet,
    fs, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{
            fs::PermissionsExt as _,
            net::{UnixListener, UnixStream},
        },
    },
    path::Path,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};

use cni::FrozenChain;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use sandbox_record::netns::Netns;

use self::process::{Jail, NotExecuted};
use crate::{
    binaries::{Binaries, Chosen},
    chain::{KnownVersions, known_preflight},
    config::RunConfig,
    jail::{ForkServer, Layout, Limits, Order},
    node_files::NodeFiles,
    protocol::{
        Executed, FileRequest, FileResponse, Incoming, Operation, Refusal, RefusalKind, Request,
        Response,
    },
    wire,
};

/// The process of a jail, seen from outside.
mod process;

/// Threads read a request and wait for a jail.
const STACK: usize = 512 << 10;
/// Between two tries to accept a connection.
const TO_ACCEPT: Duration = Duration::from_millis(100);
/// A request is sent at once, and a response is read at once, or the connection is closed.
const TO_SEND: Duration = Duration::from_secs(5);
/// Connections at the same time: the daemon has as many as chains run, and a few more.
const MOST_CONNECTIONS: usize = 256;

struct Server {
    binaries: Binaries,
    files: NodeFiles,
    layout: Layout,
    limits: Limits,
    fork_server: ForkServer,
    places: Places,
}

/// What is kept until the daemon has its response: the place of a chain is free when nothing of its jail runs.
struct Answer<'a> {
    executed: Executed,
    /// In this order.
    held: Option<(Jail, Place<'a>)>,
}

/// Runs until the process ends.
pub fn run(config: &RunConfig) -> io::Result<()> {
    let listener = listen(&config.socket)?;
    let server = Arc::new(Server {
        binaries: Binaries::new(
            config.root.clone(),
            config.folders.clone(),
            config.plugins.clone(),
        ),
        files: config.files(),
        layout: config.layout(),
        limits: config.limits(),
        fork_server: ForkServer::default(),
        places: Places::new(usize::from(config.parallel)),
    });
    server.try_jail()?;
    tracing::info!(
        socket = %config.socket.display(),
        plugins = config.plugins.join(", "),
        "plugins are executed for running pods"
    );
    for connection in listener.incoming() {
        let connection = match connection {
            Ok(connection) => connection,
            // Chains run: an error such as too many open files must not end them.
            Err(error) => {
                tracing::warn!("cannot accept a connection, trying again: {error}");
                thread::sleep(TO_ACCEPT);
                continue;
            }
        };
        let server = server.clone();
        if Arc::strong_count(&server) > MOST_CONNECTIONS {
            tracing::warn!("closed a connection: there are too many");
            continue;
        }
        let thread = thread::Builder::new().stack_size(STACK);
        let started = thread.spawn(move || server.serve(&connection));
        if let Err(error) = started {
            tracing::warn!("closed a connection: cannot start a thread: {error}");
        }
    }
    Ok(())
}

/// A socket that an earlier runner has left is replaced.
fn listen(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

impl Server {
    /// Whether this node lets the runner build a jail. Without that it is not ready, and says why.
    fn try_jail(&self) -> io::Result<()> {
        process::try_jail(&self.fork_server, &self.layout).map_err(io::Error::other)
    }

    fn serve(&self, connection: &UnixStream) {
        let received = is_of_root(connection).and_then(|()| {
            connection.set_read_timeout(Some(TO_SEND))?;
            connection.set_write_timeout(Some(TO_SEND))?;
            wire::receive::<Incoming>(connection)
        });
        let (request, netns) = match received {
            Ok(Some(received)) => received,
            Ok(None) => return,
            Err(error) => {
                tracing::warn!("refused a connection: {error}");
                return;
            }
        };
        let request = match request {
            Incoming::Chain(request) => *request,
            Incoming::File(request) => return self.serve_file(connection, &request),
        };
        let (response, held) = match self.answer(connection, request, netns) {
            Ok(answer) => (Response::Ran(answer.executed), answer.held),
            Err(NotExecuted::Refused(refusal)) => (Response::Refused(refusal), None),
            Err(NotExecuted::Unknown(what)) => (Response::Unknown(what), None),
        };
        if let Err(error) = wire::send(connection, &response, None) {
            tracing::warn!("cannot respond to the daemon: {error}");
        }
        drop(held);
    }

    fn serve_file(&self, connection: &UnixStream, request: &FileRequest) {
        let response = self.files.answer(request);
        if let FileResponse::Refused(why) = &response {
            tracing::warn!("refused a file: {why}");
        }
        if let Err(error) = wire::send(connection, &response, None) {
            tracing::warn!("cannot respond to the daemon: {error}");
        }
    }

    fn answer(
        &self,
        connection: &UnixStream,
        request: Request,
        netns: Option<OwnedFd>,
    ) -> Result<Answer<'_>, NotExecuted> {
        let invalid = |message: String| Refusal::new(RefusalKind::Invalid, message);
        let netns = verify_netns(&request, netns)?;
        let mut chain = request.chain;
        chain.check().map_err(|error| invalid(error.to_string()))?;
        if matches!(request.operation, Operation::Preflight) {
            // What is there now is what is frozen.
            chain.digests.clear();
        }
        let chosen = self.binaries.of_chain(&chain)?;
        let is_preflight = matches!(request.operation, Operation::Preflight);
        let mut known_versions = KnownVersions::new();
        if is_preflight {
            known_versions = self.binaries.known_versions(&chosen);
            if let Some(mut executed) = known_preflight(&chain, &known_versions) {
                executed.digests = chosen.digests;
                return Ok(Answer {
                    executed,
                    held: None,
                });
            }
        }
        let order = Order {
            operation: request.operation,
            cni_path: self.binaries.cni_path(),
            binaries: chosen.paths.clone(),
            known_versions,
            layout: self.layout.clone(),
            limits: self.limits,
            chain,
        };
        let place = self.places.take(&order.chain.container_id);
        let netns = netns.as_ref().map(AsFd::as_fd);
        let (mut executed, jail) = process::execute(&self.fork_server, &order, netns, connection)?;
        if is_preflight {
            self.keep_versions(&order.chain, &chosen, &executed.versions);
            executed.digests = chosen.digests;
        }
        for (step, fault) in executed
            .steps
            .iter()
            .filter_map(|s| Some((s, s.fault.as_ref()?)))
        {
            tracing::warn!(
                network = order.chain.network,
                ifname = order.chain.ifname,
                container = order.chain.container_id,
                plugin = step.plugin_type,
                command = %step.command,
                "a plugin failed: {fault:?}"
            );
        }
        Ok(Answer {
            executed,
            held: Some((jail, place)),
        })
    }

    /// Binaries that were replaced meanwhile may not be those that answered.
    fn keep_versions(&self, chain: &FrozenChain, chosen: &Chosen, answered: &KnownVersions) {
        let after = self.binaries.of_chain(chain);
        if after.is_ok_and(|after| after.digests == chosen.digests) {
            self.binaries.keep_versions(chosen, answered);
        }
    }
}

fn is_of_root(connection: &UnixStream) -> io::Result<()> {
    match getsockopt(connection, PeerCredentials)?.uid() {
        0 => Ok(()),
        uid => Err(io::Error::other(format!(
            "it is of user {uid}, and only root may ask"
        ))),
    }
}

/// A pod's namespace comes with each operation that needs one: the one of this cookie, and never the node's own.
fn verify_netns(request: &Request, fd: Option<OwnedFd>) -> Result<Option<Netns>, Refusal> {
    let invalid = |message: String| Refusal::new(RefusalKind::Invalid, message);
    let needs = matches!(request.operation, Operation::Add | Operation::Check { .. });
    let Some(fd) = fd else {
        return match needs {
            true => Err(invalid("the pod's network namespace is missing".to_owned())),
            false => Ok(None),
        };
    };
    let netns = Netns::from_fd(fd).map_err(|error| invalid(error.to_string()))?;
    match request.cookie == Some(netns.identity().cookie) {
        true => Ok(Some(netns)),
        false => Err(invalid(
            "the network namespace is not that of the cookie".to_owned(),
        )),
    }
}

/// Places for chains: so many at a time, and one for each container.
struct Places {
    most: usize,
    taken: Mutex<HashSet<String>>,
    changed: Condvar,
}

/// A place, until it is dropped.
struct Place<'a>(&'a Places, String);

impl Places {
    fn new(most: usize) -> Self {
        Self {
            most,
            taken: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    fn take(&self, container: &str) -> Place<'_> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        while taken.len() >= self.most || taken.contains(container) {
            taken = self
                .changed
                .wait(taken)
                .unwrap_or_else(PoisonError::into_inner);
        }
        taken.insert(container.to_owned());
        Place(self, container.to_owned())
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.remove(&self.1);
        self.0.changed.notify_all();
    }
}

//! The runner, as the engine of attachments calls it.

use std::{
    collections::BTreeSet,
    os::fd::{AsFd, BorrowedFd},
    path::PathBuf,
    time::Duration,
};

use attachments::{
    entry::{Entry, MultusFile, Slot},
    ports::{AddOutcome, CheckOutcome, DelOutcome, NetnsFd, Ready, Runner},
    status::{Failure, FailureReason},
};
use cni::{Command, FrozenChain, Secrets, plugin_error, request::ValidAttachment};
use runner::{
    client::{Client, FileError, Unanswered},
    protocol::{Executed, Fault, Operation, Refusal, RefusalKind, Request, Response, Step},
};
use telemetry::metrics::Metrics;

pub struct Executor {
    client: Client,
    metrics: Metrics,
}

/// Why there is nothing that was executed.
enum NotExecuted {
    /// No plugin has run.
    Refused(Failure),
    /// Plugins may have run.
    Unknown(Failure),
}

impl NotExecuted {
    /// For what may be asked again in either case.
    fn failure(self) -> Failure {
        match self {
            Self::Refused(failure) | Self::Unknown(failure) => failure,
        }
    }
}

impl Executor {
    pub fn new(socket: PathBuf, metrics: Metrics) -> Self {
        Self {
            client: Client::new(socket),
            metrics,
        }
    }

    fn count(&self, executed: &Executed) {
        for step in &executed.steps {
            let (command, took) = (step.command.as_str(), Duration::from_micros(step.micros));
            let done = step.fault.is_none();
            self.metrics
                .plugin_ran(command, &step.plugin_type, done, took);
        }
    }

    fn execute(&self, request: &Request, netns: &NetnsFd) -> Result<Executed, NotExecuted> {
        let fd: Option<BorrowedFd<'_>> = netns.as_ref().map(|fd| fd.as_fd());
        match self.client.ask(request, fd) {
            Ok(Response::Ran(executed)) => {
                self.count(&executed);
                Ok(executed)
            }
            Ok(Response::Unknown(why)) => Err(NotExecuted::Unknown(Failure::new(
                FailureReason::RunnerUnavailable,
                why,
            ))),
            Ok(Response::Refused(refusal)) => Err(NotExecuted::Refused(refused(refusal))),
            Err(error @ Unanswered::NotSent(_)) => Err(NotExecuted::Refused(unavailable(&error))),
            Err(error @ Unanswered::Broken(_)) => Err(NotExecuted::Unknown(unavailable(&error))),
        }
    }
}

impl Runner for Executor {
    fn preflight(&self, chain: &FrozenChain) -> Result<Ready, Failure> {
        let request = Request {
            operation: Operation::Preflight,
            chain: chain.clone(),
            cookie: None,
        };
        let executed = self
            .execute(&request, &None)
            .map_err(NotExecuted::failure)?;
        match executed.first_fault() {
            None => Ok(Ready {
                digests: executed.digests,
            }),
            Some((step, fault)) => Err(not_ready(failure(chain, step, fault), fault)),
        }
    }

    fn add(&self, entry: &Entry, netns: NetnsFd) -> AddOutcome {
        let executed = match self.execute(&request(entry, Operation::Add), &netns) {
            Ok(executed) => executed,
            Err(NotExecuted::Refused(failure)) => return AddOutcome::NotRun(failure),
            Err(NotExecuted::Unknown(failure)) => return AddOutcome::Unknown(failure),
        };
        match (executed.first_fault(), executed.result.clone()) {
            (Some((step, fault)), _) => {
                let failure = failure(&entry.chain, step, fault);
                AddOutcome::Failed(failure, executed.partial.clone())
            }
            (None, Some(result)) => AddOutcome::Added(result),
            (None, None) => {
                let why = "the chain has no result";
                AddOutcome::Failed(Failure::new(FailureReason::ResultInvalid, why), None)
            }
        }
    }

    fn del(&self, entry: &Entry, netns: NetnsFd) -> DelOutcome {
        let deletion = entry.deletion();
        let which = deletion.and_then(|deletion| deletion.remaining.clone());
        let all = deletion.is_some_and(|deletion| deletion.failures > 0);
        let operation = Operation::Del {
            prev_result: entry.result.clone(),
            which: which.clone(),
            all,
        };
        let executed = match self.execute(&request(entry, operation), &netns) {
            Ok(executed) => executed,
            Err(NotExecuted::Refused(failure)) => return DelOutcome::NotRun(failure),
            Err(NotExecuted::Unknown(failure)) => return DelOutcome::Unknown(failure),
        };
        let Some((step, fault)) = executed.first_fault() else {
            return DelOutcome::Deleted;
        };
        let succeeded = executed.steps.iter().filter(|step| step.fault.is_none());
        let succeeded: BTreeSet<usize> = succeeded.map(|step| step.index).collect();
        let mut remaining = which.unwrap_or_else(|| (0..entry.chain.plugins.len()).collect());
        remaining.retain(|index| !succeeded.contains(index));
        DelOutcome::Failed(remaining, failure(&entry.chain, step, fault))
    }

    fn check(
        &self,
        entry: &Entry,
        which: Option<&BTreeSet<usize>>,
        netns: NetnsFd,
    ) -> CheckOutcome {
        let operation = Operation::Check {
            prev_result: entry.result.clone().unwrap_or_default(),
            which: which.cloned(),
        };
        match self.execute(&request(entry, operation), &netns) {
            Ok(executed) => {
                let passed = executed.steps.iter().filter(|step| step.fault.is_none());
                CheckOutcome {
                    passed: passed.map(|step| step.index).collect(),
                    failure: executed
                        .first_fault()
                        .map(|(step, fault)| failure(&entry.chain, step, fault)),
                    is_complete: true,
                }
            }
            Err(not_executed) => CheckOutcome {
                passed: BTreeSet::new(),
                failure: Some(not_executed.failure()),
                is_complete: false,
            },
        }
    }

    fn collect(
        &self,
        chain: &FrozenChain,
        valid: &BTreeSet<ValidAttachment>,
    ) -> Result<(), Failure> {
        let request = Request {
            operation: Operation::Gc {
                valid: valid.iter().cloned().collect(),
            },
            chain: chain.clone(),
            cookie: None,
        };
        let executed = self
            .execute(&request, &None)
            .map_err(NotExecuted::failure)?;
        match executed.first_fault() {
            None => Ok(()),
            Some((step, fault)) => Err(failure(chain, step, fault)),
        }
    }

    fn read_multus(&self, slot: &Slot) -> Result<Option<MultusFile>, Failure> {
        let found = self
            .client
            .multus_attachment(&slot.container_id, &slot.ifname);
        let Some((name, text)) = found.map_err(multus_unread)? else {
            return Ok(None);
        };
        let file = MultusFile::decode(&name, text.as_bytes(), slot);
        file.map(Some)
            .map_err(|error| of_multus(format!("{name} {error}")))
    }

    fn remove_multus(&self, entry: &Entry) -> Result<(), Failure> {
        let chain = &entry.chain;
        let removed = self.client.remove_multus_attachment(
            &chain.network,
            &chain.container_id,
            &chain.ifname,
        );
        removed.map_err(multus_unread)
    }
}

fn multus_unread(error: FileError) -> Failure {
    match error {
        FileError::Unanswered(error) => unavailable(&error),
        error => of_multus(error),
    }
}

fn unavailable(error: &Unanswered) -> Failure {
    Failure::new(FailureReason::RunnerUnavailable, error.to_string())
}

fn of_multus(what: impl std::fmt::Display) -> Failure {
    let message = format!("what Multus has stored of this interface cannot be used: {what}");
    Failure::new(FailureReason::DetachIncomplete, message)
}

fn request(entry: &Entry, operation: Operation) -> Request {
    Request {
        operation,
        chain: entry.chain.clone(),
        cookie: Some(entry.netns.cookie),
    }
}

/// STATUS may say that it is a matter of time, and what it means for links that are attached already.
fn not_ready(failure: Failure, fault: &Fault) -> Failure {
    let unavailable = |more: &str| {
        let message = format!("{}{more}", failure.message);
        Failure::new(FailureReason::PluginNotAvailable, message)
    };
    match fault {
        Fault::Plugin(error) if error.is_limited_connectivity() => {
            unavailable("; attached links of the network may have no connection")
        }
        Fault::Plugin(error) if error.is_not_available() => unavailable(""),
        _ => failure,
    }
}

fn refused(refusal: Refusal) -> Failure {
    let reason = match refusal.kind {
        RefusalKind::Plugin => FailureReason::PluginNotFound,
        RefusalKind::Invalid | RefusalKind::Jail => FailureReason::RunnerUnavailable,
    };
    Failure::new(reason, refusal.message)
}

/// A fault in the words of a report.
fn failure(chain: &FrozenChain, step: &Step, fault: &Fault) -> Failure {
    let Step {
        command,
        plugin_type,
        ..
    } = step;
    let of_step = |what: String| format!("{command} of {plugin_type}: {what}");
    let secrets = Secrets::of(chain);
    let said = |before: String, what: &str| plugin_error::shown(before, what, &secrets);
    match fault {
        Fault::Plugin(error) => Failure::new(
            match command {
                Command::Check => FailureReason::Drifted,
                _ => FailureReason::PluginFailed,
            },
            error.message(*command, plugin_type, &secrets),
        ),
        Fault::TimedOut(seconds) => Failure::new(
            FailureReason::PluginTimeout,
            of_step(format!(
                "it did not end within {seconds} seconds, and was ended"
            )),
        ),
        Fault::TooMuchOutput(bytes) => Failure::new(
            FailureReason::PluginFailed,
            of_step(format!("it printed more than {bytes} bytes, and was ended")),
        ),
        Fault::TooMuchMemory(mebibytes) => Failure::new(
            FailureReason::PluginFailed,
            of_step(format!(
                "the processes of its chain took more than {mebibytes} MiB of memory, and were ended"
            )),
        ),
        Fault::TooManyProcesses(number) => Failure::new(
            FailureReason::PluginFailed,
            of_step(format!(
                "its chain had more than {number} processes and threads, and was ended"
            )),
        ),
        Fault::Result(what) => Failure::new(
            FailureReason::ResultInvalid,
            said(of_step(String::new()), what),
        ),
        Fault::NotRun(what) => Failure::new(
            FailureReason::PluginFailed,
            of_step(format!("it could not be executed: {what}")),
        ),
        Fault::Left(what) => Failure::new(
            FailureReason::DetachIncomplete,
            of_step(format!("rules that it left cannot be deleted: {what}")),
        ),
    }
}

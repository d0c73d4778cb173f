//! A worker thread: takes one operation at a time, and carries out its requests one after the other.

use std::{os::fd::OwnedFd, sync::Arc, time::Instant};

use super::Shared;
use crate::{
    entry::Entry,
    operation::{Ending, Opened, Operation, Progress, Request, Response},
    ports::{Netns, Remains, Verdict},
    state::Work,
    status::{Failure, FailureReason},
};

/// The namespace of the current operation.
type Visit = Option<Arc<OwnedFd>>;

impl Shared {
    /// Works until the engine is dropped.
    pub(super) fn work(&self) {
        while let Some(Work { uid, operation }) = self.wait_for_work() {
            let Some(ending) = self.carry_out(operation) else {
                return;
            };
            let events = {
                let mut inner = self.lock();
                let now = Instant::now();
                let events = inner.attachments.complete(&uid, ending, now);
                inner.release(now);
                events
            };
            // What may begin now is not only this thread's.
            self.changed.notify_all();
            events.into_iter().for_each(|event| (self.on_event)(event));
        }
    }

    /// The next operation; none: the engine was dropped.
    fn wait_for_work(&self) -> Option<Work> {
        let mut inner = self.lock();
        loop {
            if inner.is_stopping {
                return None;
            }
            let now = Instant::now();
            if let Some(work) = inner.attachments.next(now) {
                return Some(work);
            }
            let due = [inner.release(now), inner.attachments.next_due()];
            let due = due.into_iter().flatten().min();
            inner = match due {
                Some(at) => {
                    let wait = at.saturating_duration_since(now);
                    let waited = self.changed.wait_timeout(inner, wait);
                    waited.unwrap_or_else(std::sync::PoisonError::into_inner).0
                }
                None => {
                    let waited = self.changed.wait(inner);
                    waited.unwrap_or_else(std::sync::PoisonError::into_inner)
                }
            };
        }
    }

    /// Runs an operation to its end; none: the engine was dropped meanwhile.
    fn carry_out(&self, mut operation: Operation) -> Option<Ending> {
        let mut visit = None;
        loop {
            if self.lock().is_stopping {
                return None;
            }
            let response = self.perform(operation.request(), &mut visit);
            match operation.respond(response) {
                Progress::Next(next) => operation = *next,
                Progress::End(ending) => return Some(ending),
            }
        }
    }

    fn perform(&self, request: Request, visit: &mut Visit) -> Response {
        match request {
            Request::Open(entry) => Response::Opened(self.open(&entry, visit)),
            Request::Preflight(chain) => Response::Preflight(self.runner.preflight(&chain)),
            Request::Create(entry) => Response::Stored(text(self.folder.create(&entry))),
            Request::Save(entry) => Response::Stored(text(self.folder.replace(&entry))),
            Request::Remove(id) => Response::Stored(text(self.folder.remove(&id))),
            Request::Lose(id) => Response::Stored(text(self.folder.lose(&id))),
            Request::Add(entry) => Response::Add(self.runner.add(&entry, visit.clone())),
            Request::Del(entry) => Response::Del(self.runner.del(&entry, visit.clone())),
            Request::Check(entry, which) => {
                let mut outcome = self.runner.check(&entry, which.as_ref(), visit.clone());
                let netns = visit.as_ref().filter(|_| !entry.gateways.is_empty());
                let routes = netns.and_then(|netns| self.host.check_default_routes(&entry, netns));
                outcome.failure = outcome.failure.or(routes);
                Response::Check(outcome)
            }
            Request::ReadMultus(slot) => Response::ReadMultus(self.runner.read_multus(&slot)),
            Request::RemoveMultus(entry) => {
                Response::RemoveMultus(self.runner.remove_multus(&entry))
            }
            Request::Look(entry) => Response::Look(match visit {
                Some(netns) => self.host.look(&entry, netns),
                None => Err(closed()),
            }),
            Request::BeforeAdd(entry) => Response::BeforeAdd(match visit {
                Some(netns) => self.host.before_add(&entry, netns),
                None => Err(closed()),
            }),
            Request::Judge(entry) => Response::Judge(match visit {
                Some(netns) => self.host.judge(&entry, netns),
                None => Verdict::Later(closed().message),
            }),
            Request::SetRoutes(entry) => Response::SetRoutes(match visit {
                Some(netns) => self.host.set_default_routes(&entry, netns),
                None => Err(closed()),
            }),
            Request::BeforeDel(entry) => Response::BeforeDel(match visit {
                Some(netns) => self.host.before_del(&entry, netns),
                None => Err(closed()),
            }),
            Request::AfterDel(entry) => Response::AfterDel(match visit {
                Some(netns) => self.host.after_del(&entry, netns),
                None => Remains::Link(closed()),
            }),
        }
    }

    /// A namespace that is held is the one: its path may be gone already.
    fn open(&self, entry: &Entry, visit: &mut Visit) -> Opened {
        let held = self.lock().held.get(&entry.chain.container_id).cloned();
        let netns = match held {
            Some((netns, _)) => Netns::Open(netns),
            None => self.host.open(entry),
        };
        match netns {
            Netns::Open(netns) => {
                *visit = Some(netns);
                Opened::Alive
            }
            Netns::Gone => Opened::Gone,
            Netns::Unknown(failure) => Opened::Unknown(failure),
        }
    }
}

fn text<E: std::error::Error>(result: Result<(), E>) -> Result<(), String> {
    result.map_err(|error| error.to_string())
}

/// The operation asks for a namespace only after it was opened.
fn closed() -> Failure {
    let message = "the pod's network namespace is not open";
    Failure::new(FailureReason::SandboxUnknown, message)
}

//! Who has which address, and how a link comes by one. Whoever asks never waits: what is missing is asked
//! for behind his back, and he is told when the answer has changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crds::{AddressClaim, Reason};
use ipnetwork::IpNetwork;
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::range::Range;
use crate::source::Trigger;

/// Pure: what this node holds, asks for and gives back.
mod book;
/// Pure: whether a claim, or its pod, is still there.
mod doubt;
/// Pure: what is asked of the place where claims are kept.
pub mod errand;
/// Pure: a claim is given back.
mod farewell;
/// Pure: which pod takes an address over from which.
pub mod lineage;
/// Pure: what a claim says.
pub mod paper;
/// Pure: how a link comes by one address.
pub mod wish;

pub use self::book::{Book, Counts, Now, Ticket};
use self::errand::{Ask, End, Errand, Told};
use self::lineage::Lineage;
use self::paper::Name;

/// So many errands are begun at once.
const AT_ONCE: usize = 64;

/// A link of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    pub namespace: String,
    pub pod: String,
    pub uid: String,
    pub link: String,
}

/// The addresses that a link is to have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    pub domain: String,
    /// Each of these.
    pub addresses: Vec<IpAddr>,
    /// One of each of these.
    pub ranges: Vec<Range>,
    /// What of the ranges others have: none of it is chosen anew.
    pub barred: Vec<IpNetwork>,
    /// Why nothing new is claimed; what is held stays.
    pub refusal: Option<(Reason, String)>,
    /// A pod of this name may have held addresses before: what it had is looked for first.
    pub may_return: bool,
    /// Whom the pod succeeds, and who succeeds it.
    pub lineage: Lineage,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// One address for each range, in order.
    Held(Vec<IpAddr>),
    Pending(String),
    Refused(Reason, String),
}

/// The claims of this node. Cheap to clone.
#[derive(Clone)]
pub struct Claims(Arc<Shared>);

struct Shared {
    book: Mutex<Book>,
    door: Door,
    /// What went wrong last.
    trouble: Mutex<String>,
    /// Held by who does what is due, on the spot.
    at_work: Mutex<()>,
}

/// Does what is asked, and says what came of it.
pub type OnTheSpot = Box<dyn Fn(&Ask) -> Told + Send + Sync>;

/// How the place is reached where claims are kept.
pub struct Door {
    /// Answers on the spot; without it, whoever rings is served by a thread of the source's own.
    pub on_the_spot: Option<OnTheSpot>,
    /// There may be something to do, or to do sooner.
    pub ring: Box<dyn Fn() + Send + Sync>,
    pub notify: Box<dyn Fn(Trigger) + Send + Sync>,
}

impl Claims {
    pub fn new(book: Book, door: Door) -> Self {
        Self(Arc::new(Shared {
            book: Mutex::new(book),
            door,
            trouble: Mutex::default(),
            at_work: Mutex::default(),
        }))
    }

    /// Of a program that gives out no addresses.
    pub fn of_nobody() -> Self {
        let door = Door {
            on_the_spot: None,
            ring: Box::new(|| ()),
            notify: Box::new(|_| ()),
        };
        Self::new(Book::new("", "", Duration::ZERO), door)
    }

    /// Which addresses the link has, or why it has none yet. When the answer has changed,
    /// [`Trigger::Claims`] is told.
    pub fn ask(&self, asker: &Asker, demand: &Demand) -> Answer {
        let answer = self.book().ask(asker, demand, &now());
        if !matches!(answer, Answer::Pending(_)) {
            return answer;
        }
        if self.0.door.on_the_spot.is_none() {
            (self.0.door.ring)();
            return answer;
        }
        self.work(Some(&asker.uid));
        self.book().ask(asker, demand, &now())
    }

    /// The link is to have no address, or none any more.
    pub fn want_nothing(&self, asker: &Asker) {
        self.book().want_nothing(asker);
    }

    /// The links of a pod that are there or wanted, with the addresses that they have: everything else that it
    /// holds is given back. Called when the links are gone.
    pub fn keep(&self, uid: &str, kept: &BTreeMap<String, BTreeSet<IpAddr>>) {
        self.book().keep(uid, kept, &now());
        self.go_on();
    }

    /// Of a pod that nobody can look into these links are there: what its other links held is given back.
    pub fn keep_links(&self, uid: &str, links: &BTreeSet<String>) {
        self.book().keep_links(uid, links, &now());
        self.go_on();
    }

    /// The pod and its links are proved gone from this node.
    pub fn let_go(&self, uid: &str) {
        self.book().let_go(uid, &now());
        self.go_on();
    }

    /// Links that stand have these addresses: should the claim be gone, that very address is asked for.
    pub fn recall(&self, uid: &str, link: &str, addresses: &BTreeSet<IpAddr>) {
        self.book().recall(uid, link, addresses);
    }

    /// Gives back what is held for pods that are not there. `there` has all with a record, a link or a namespace.
    pub fn sweep(&self, there: &BTreeSet<String>) {
        let is_proof = self.0.door.on_the_spot.is_some();
        self.book().sweep(there, is_proof, &now());
        self.go_on();
    }

    /// The pods that have unreleased claims here.
    pub fn holders(&self) -> BTreeSet<String> {
        self.book().holders()
    }

    pub fn counts(&self) -> Counts {
        self.book().counts()
    }

    /// All claims of this node have been heard once.
    pub fn are_known(&self) {
        let concerned = self.book().are_known();
        self.tell(concerned, None);
    }

    /// A claim of this node is as this.
    pub fn came(&self, claim: impl Into<Arc<AddressClaim>>) {
        let concerned = self.book().came(claim.into(), &now());
        self.tell(concerned, None);
        (self.0.door.ring)();
    }

    /// A claim is said to be gone from this node.
    pub fn went(&self, name: &Name) {
        let concerned = self.book().went(name, &now());
        self.tell(concerned, None);
        (self.0.door.ring)();
    }

    /// The names of all that are known of.
    pub fn names(&self) -> Vec<Name> {
        self.book().names()
    }

    /// What is due, at most so many.
    pub fn take(&self, most: usize) -> Vec<(Ticket, Errand)> {
        self.book().take(Instant::now(), most)
    }

    pub fn end(&self, ticket: Ticket, errand: Errand, end: End) {
        self.end_for(ticket, errand, end, None);
    }

    pub fn next_due(&self) -> Option<Instant> {
        self.book().next_due()
    }

    /// Does what is due, on the spot; `asker` needs not be told.
    pub fn work(&self, asker: Option<&str>) {
        let Some(tell) = &self.0.door.on_the_spot else {
            return;
        };
        // Whoever comes while another does it has it done when he returns.
        let _at_work = self.0.at_work.lock();
        loop {
            let due = self.take(AT_ONCE);
            if due.is_empty() {
                return;
            }
            for (ticket, mut errand) in due {
                let end = loop {
                    if let Some(end) = errand.heard(tell(&errand.next())) {
                        break end;
                    }
                };
                self.end_for(ticket, errand, end, asker);
            }
        }
    }

    fn end_for(&self, ticket: Ticket, errand: Errand, end: End, asker: Option<&str>) {
        if let End::Failed(why) = &end {
            self.complain(&errand, why);
        }
        let concerned = self.book().end(ticket, errand, end, &now());
        self.tell(concerned, asker);
    }

    /// The same trouble with many addresses is told once.
    fn complain(&self, errand: &Errand, why: &str) {
        let mut last = self
            .0
            .trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if *last != why {
            tracing::warn!("{}: {why}; it is tried again", errand.what());
            why.clone_into(&mut last);
        }
    }

    fn go_on(&self) {
        match self.0.door.on_the_spot {
            Some(_) => self.work(None),
            None => (self.0.door.ring)(),
        }
    }

    fn tell(&self, concerned: BTreeSet<String>, asker: Option<&str>) {
        for uid in concerned {
            if asker != Some(uid.as_str()) {
                (self.0.door.notify)(Trigger::Claims { uid });
            }
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // A panic has been told by the panic hook; what the book says is looked up again in any case.
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now() -> Now {
    Now {
        instant: Instant::now(),
        time: Time(Timestamp::now()),
    }
}

#[cfg(test)]
mod tests;

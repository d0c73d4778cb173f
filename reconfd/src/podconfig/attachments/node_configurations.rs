//! Configurations of networks that definitions only name. The runner alone sees the node's files, and no pass may wait for
//! it: a thread reads them, again and again as long as passes ask, and has the pods visited when one has changed.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use crds::Reason;
use policy::bounded;
use runner::client::{Client, FileError};
use store::{Trigger, kinds::ObjectKind};

use super::lock;
use crate::podconfig::{EventSender, cause::Cause};

/// Between two looks at the files: an edited one is followed after this at the latest.
const REREAD: Duration = Duration::from_secs(5);
/// Each pod is visited more often than this, so what no pass has asked for is used by none.
const FORGET_AFTER: Duration = Duration::from_secs(600);

/// Namespace and name of a definition.
type Definition = (String, String);

/// The newest configurations, by definition.
type Known = Arc<Mutex<HashMap<Definition, Configuration>>>;

struct Configuration {
    asked: Instant,
    found: Found,
}

#[derive(Clone, Debug, PartialEq)]
enum Found {
    /// It has not been read yet.
    Unread,
    Text(Arc<str>),
    Missing,
    /// Files that cannot be used.
    Refused(String),
    /// Nothing is known, because the runner does not respond.
    Unavailable(String),
}

/// What passes ask.
pub struct NodeConfigurations {
    known: Known,
    /// Wakes the thread, which ends with the sender.
    wake: Sender<()>,
}

impl NodeConfigurations {
    pub fn start(runner: Client, events: EventSender) -> io::Result<Self> {
        let (wake, woken) = channel();
        let known = Known::default();
        let reader = Reader {
            known: known.clone(),
            runner,
            events,
        };
        let thread = thread::Builder::new().name("node-configs".to_owned());
        thread.spawn(move || reader.run(&woken))?;
        Ok(Self { known, wake })
    }

    /// The newest text, or why there is none.
    pub fn of(&self, definition: Definition) -> Result<Arc<str>, Cause> {
        let mut known = lock(&self.known);
        let now = Instant::now();
        let configuration = known.entry(definition.clone()).or_insert_with(|| {
            // A reader that has ended leaves it unread.
            let _ = self.wake.send(());
            Configuration {
                asked: now,
                found: Found::Unread,
            }
        });
        configuration.asked = now;
        text(&configuration.found, &definition)
    }
}

fn text(found: &Found, (namespace, name): &Definition) -> Result<Arc<str>, Cause> {
    let of = format!("the configuration of NetworkAttachmentDefinition {namespace}/{name}");
    let (reason, why) = match found {
        Found::Text(text) => return Ok(text.clone()),
        Found::Unread => (
            Reason::Reconciling,
            format!("{of} is read from the node's files"),
        ),
        Found::Missing => (
            Reason::DefinitionNotFound,
            format!(
                "{of} is empty, and no file in the node's folder of Multus, --multus-conf-dir, has the network name {name}"
            ),
        ),
        Found::Refused(why) => (Reason::DefinitionInvalid, format!("{of}: {why}")),
        Found::Unavailable(why) => (
            Reason::PluginNotAvailable,
            format!("{of} cannot be read from the node's files: {why}"),
        ),
    };
    Err((reason, bounded(why)))
}

struct Reader {
    known: Known,
    runner: Client,
    events: EventSender,
}

impl Reader {
    fn run(&self, woken: &Receiver<()>) {
        loop {
            match woken.recv_timeout(REREAD) {
                Ok(()) | Err(RecvTimeoutError::Timeout) => self.read_all(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn read_all(&self) {
        let now = Instant::now();
        let definitions: Vec<Definition> = {
            let mut known = lock(&self.known);
            known.retain(|_, one| now.duration_since(one.asked) < FORGET_AFTER);
            known.keys().cloned().collect()
        };
        for definition in definitions {
            let found = self.read(&definition.1);
            if self.learn(&definition, found) {
                let kind = ObjectKind::NetworkAttachmentDefinition;
                self.events.send(Trigger::Object(kind, definition));
            }
        }
    }

    fn read(&self, name: &str) -> Found {
        match self.runner.node_configuration(name) {
            Ok(Some(text)) => Found::Text(text.into()),
            Ok(None) => Found::Missing,
            Err(FileError::Refused(why)) => Found::Refused(why),
            Err(error) => Found::Unavailable(error.to_string()),
        }
    }

    /// Whether it is news. A runner that does not respond has changed no file.
    fn learn(&self, definition: &Definition, found: Found) -> bool {
        let mut known = lock(&self.known);
        let Some(configuration) = known.get_mut(definition) else {
            return false;
        };
        let is_known = !matches!(configuration.found, Found::Unread | Found::Unavailable(_));
        if configuration.found == found || (is_known && matches!(found, Found::Unavailable(_))) {
            return false;
        }
        configuration.found = found;
        true
    }
}

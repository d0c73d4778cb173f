//! The watches of all sources that there are, each as one stream of words. They come and go with the kinds.

use std::future::ready;

use futures::{
    StreamExt as _,
    stream::{self, BoxStream, SelectAll},
};
use kube::{
    Api, Client,
    core::{ApiResource, DynamicObject},
    runtime::watcher::{Config, Event},
};
use serde_json::json;
use tokio::sync::oneshot;

use super::book::Word;
use crate::{
    address::sources::{ALL, Asked, Said, Which, read},
    controller::hear::{code_of, told, watched},
    source::cluster::watch::{Key, Ledger, News, Said as Event_, key},
};

/// A watch that goes on does not tell that it may no longer be had: it begins anew after so many seconds.
const ANEW: u32 = 20;

/// What the source of this number says.
pub type Heard = (usize, Word);

/// The watches that are open.
pub struct Watches {
    client: Client,
    open: Vec<Option<Open>>,
    pub heard: SelectAll<BoxStream<'static, Heard>>,
}

struct Open {
    resource: ApiResource,
    /// Dropped, it ends the watch.
    _stop: oneshot::Sender<()>,
}

impl Watches {
    pub fn new(client: &Client) -> Self {
        let mut heard = SelectAll::new();
        // One that never says anything: without a single watch there is nothing to hear, and not an end.
        heard.push(stream::pending().boxed());
        Self {
            client: client.clone(),
            open: ALL.iter().map(|_| None).collect(),
            heard,
        }
    }

    /// Begins a watch, unless it is open already.
    pub fn open(&mut self, at: usize, resource: &ApiResource) {
        let is_open = self.open[at]
            .as_ref()
            .is_some_and(|open| open.resource == *resource);
        if is_open {
            return;
        }
        let (stop, stopped) = oneshot::channel();
        let words = words(&self.client, &ALL[at], resource);
        let heard = words.map(move |word| (at, word)).take_until(stopped);
        self.heard.push(heard.boxed());
        self.open[at] = Some(Open {
            resource: resource.clone(),
            _stop: stop,
        });
    }

    /// From a list on, if it is open.
    pub fn begin_anew(&mut self, at: usize) {
        if let Some(open) = self.open[at].take() {
            self.open(at, &open.resource);
        }
    }

    pub fn close(&mut self, at: usize) {
        self.open[at] = None;
    }
}

fn words(
    client: &Client,
    asked: &'static Asked,
    resource: &ApiResource,
) -> BoxStream<'static, Word> {
    let (api, selection) = selection(client, asked, resource);
    let words = watched(api, selection)
        .scan(Ledger::default(), move |ledger, said| {
            ready(Some(stream::iter(take(asked, ledger, said))))
        })
        .flatten();
    stream::iter([Word::Begun]).chain(words).boxed()
}

fn selection(
    client: &Client,
    asked: &Asked,
    resource: &ApiResource,
) -> (Api<DynamicObject>, Config) {
    let client = client.clone();
    let (all, whole) = (
        |client| Api::all_with(client, resource),
        Config::default().timeout(ANEW),
    );
    let named = |name: &str| whole.clone().fields(&format!("metadata.name={name}"));
    match asked.which {
        Which::All => (all(client), whole),
        Which::Named("", name) => (all(client), named(name)),
        Which::Named(namespace, name) => (
            Api::namespaced_with(client, namespace, resource),
            named(name),
        ),
        Which::Labelled(namespace, label) => (
            Api::namespaced_with(client, namespace, resource),
            whole.labels(label),
        ),
    }
}

fn take(asked: &Asked, ledger: &mut Ledger, said: Event_<DynamicObject>) -> Vec<Word> {
    let event = match said {
        Ok(event) => event,
        Err(error) => {
            let code = code_of(&error);
            return vec![Word::Failed {
                why: why(asked, &told(&error), code),
                code,
            }];
        }
    };
    let is_whole = matches!(event, Event::InitDone);
    let news = ledger.take(event).into_iter();
    let objects = news.map(|news| match news {
        News::Came(object) => {
            let (key, said) = heard(asked, *object);
            Word::Object(key, Some(said))
        }
        News::Went(key) => Word::Object(key, None),
    });
    objects.chain(is_whole.then_some(Word::Listed)).collect()
}

/// What an object says, without the rest of it.
fn heard(asked: &Asked, object: DynamicObject) -> (Key, Said) {
    let key = key(&object);
    let mut value = object.data;
    if let Some(fields) = value.as_object_mut() {
        let metadata = json!({"namespace": key.0, "name": key.1});
        fields.insert("metadata".into(), metadata);
    }
    let said = read(asked, &value);
    (key, said)
}

/// What cannot be read, and what is to be granted so that it can.
fn why(asked: &Asked, told: &str, code: u16) -> String {
    let place = match asked.which {
        Which::Named(namespace, _) | Which::Labelled(namespace, _) if !namespace.is_empty() => {
            format!(" in namespace {namespace}")
        }
        _ => String::new(),
    };
    let resource = match asked.group {
        "" => asked.plural.to_owned(),
        group => format!("{}.{group}", asked.plural),
    };
    let grant = match code {
        401 | 403 => format!("; grant the controller list and watch of {resource}{place}"),
        _ => String::new(),
    };
    format!("list and watch {resource}{place}: {told}{grant}")
}

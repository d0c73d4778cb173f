//! The watches of the controller as one stream of what was heard.

use std::{fmt::Debug, time::Duration};

use crds::{
    AddressClaim, PeerSlice, PodConfig, PodConfigAllowance, PodConfigPolicy, PodReport,
    ReservedNetworks,
};
use futures::{
    Stream, StreamExt as _,
    stream::{self, BoxStream, SelectAll},
};
use kube::{
    Api, Client, Resource,
    core::{DeserializeGuard, NamespaceResourceScope},
    runtime::watcher::{Config, Error, Event},
};
use serde::de::DeserializeOwned;
use tokio::time::sleep;

use super::{
    job::Kind,
    known::Source,
    picture::{Fact, Read, What},
    seen::Node,
};
use crate::{
    scope::Scope,
    source::{
        NamespaceMeta, Pod,
        cluster::{
            client::words,
            watch::{Ledger, News, Said, key, objects},
        },
    },
};

/// A kind that may no longer be read is listed anew after so long.
const PAUSE: Duration = Duration::from_secs(5);

/// What one watch says.
#[derive(Debug)]
pub struct Heard {
    pub source: Source,
    pub word: Word,
}

#[derive(Debug)]
pub enum Word {
    Fact(Box<Fact>),
    /// All objects of the watch have been told.
    Listed,
    /// What is lost is not known any more.
    Failed {
        why: String,
        is_lost: bool,
    },
}

/// One watch of each kind over the cluster, or one in each of the namespaces that are served.
pub fn watches(
    client: &Client,
    scope: &Scope,
) -> (Vec<Source>, SelectAll<BoxStream<'static, Heard>>) {
    let mut watches = Watches {
        client: client.clone(),
        scope: scope.clone(),
        sources: Vec::new(),
        streams: SelectAll::new(),
    };
    watches.of_cluster(Kind::Namespace, |namespace: Option<NamespaceMeta>| {
        let alive = namespace.filter(|n| n.metadata.deletion_timestamp.is_none());
        What::Namespace(alive.map(|n| n.metadata.labels.unwrap_or_default()))
    });
    watches.of_cluster(Kind::Node, |node: Option<Node>| {
        What::Node(node.map(Into::into))
    });
    watches.of_cluster(
        Kind::PodConfigPolicy,
        |policy: Option<Guarded<PodConfigPolicy>>| {
            What::Policy(policy.map(|policy| Box::new(read(policy))))
        },
    );
    watches.of_namespaces(Kind::Pod, |pod: Option<Pod>| What::Pod(pod.map(Into::into)));
    watches.of_namespaces(Kind::PodConfig, |config: Option<Guarded<PodConfig>>| {
        What::PodConfig(config.map(|config| Box::new(read(config))))
    });
    watches.of_namespaces(Kind::PodReport, |report: Option<Guarded<PodReport>>| {
        What::PodReport(report.and_then(|report| read(report).ok()).map(Into::into))
    });
    watches.of_namespaces(
        Kind::PodConfigAllowance,
        |allowance: Option<Guarded<PodConfigAllowance>>| {
            What::Allowance(allowance.map(|allowance| Box::new(read(allowance).map(|a| a.spec))))
        },
    );
    watches.of_namespaces(Kind::PeerSlice, |slice: Option<Guarded<PeerSlice>>| {
        What::PeerSlice(slice.map(|slice| read(slice).map(|slice| slice.spec)))
    });
    watches.of_cluster(
        Kind::AddressClaim,
        |claim: Option<Guarded<AddressClaim>>| {
            What::Claim(claim.and_then(|claim| read(claim).ok()).map(Into::into))
        },
    );
    watches.of_cluster(
        Kind::ReservedNetworks,
        |networks: Option<Guarded<ReservedNetworks>>| {
            let spec = networks.and_then(|networks| read(networks).ok());
            What::Networks(spec.map(|networks| Box::new(networks.spec)))
        },
    );
    (watches.sources, watches.streams)
}

/// One object that cannot be read does not take the others with it.
type Guarded<K> = DeserializeGuard<K>;

fn read<K: Resource<DynamicType = ()>>(guarded: Guarded<K>) -> Read<K> {
    if let Err(invalid) = &guarded.0 {
        let (namespace, name) = key(&guarded);
        let kind = K::kind(&());
        tracing::warn!(%kind, namespace, name, "cannot be read: {invalid}");
    }
    guarded.0.map_err(Box::new)
}

struct Watches {
    client: Client,
    scope: Scope,
    sources: Vec<Source>,
    streams: SelectAll<BoxStream<'static, Heard>>,
}

impl Watches {
    fn of_cluster<K>(&mut self, kind: Kind, what: fn(Option<K>) -> What)
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    {
        self.add(Api::all(self.client.clone()), kind, None, what);
    }

    fn of_namespaces<K>(&mut self, kind: Kind, what: fn(Option<K>) -> What)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    {
        if !self.scope.is_limited() {
            return self.of_cluster(kind, what);
        }
        for namespace in self.scope.namespaces.clone() {
            let api = Api::namespaced(self.client.clone(), &namespace);
            self.add(api, kind, Some(namespace), what);
        }
    }

    fn add<K>(
        &mut self,
        api: Api<K>,
        kind: Kind,
        namespace: Option<String>,
        what: fn(Option<K>) -> What,
    ) where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    {
        let source = Source { kind, namespace };
        self.sources.push(source.clone());
        let words = watched(api, Config::default())
            .scan(Ledger::default(), move |ledger, said| {
                let words = take(ledger, said, what);
                std::future::ready(Some(stream::iter(words)))
            })
            .flatten();
        let heard = words.map(move |word| Heard {
            source: source.clone(),
            word,
        });
        self.streams.push(heard.boxed());
    }
}

/// Watched for good. What may no longer be read, or is no longer there, is listed anew: only a list says that
/// it is known again.
pub(super) fn watched<K>(api: Api<K>, selection: Config) -> impl Stream<Item = Said<K>> + Send
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let begin = move |pause: Duration| {
        let (api, selection) = (api.clone(), selection.clone());
        stream::once(async move {
            sleep(pause).await;
            objects(api, selection)
        })
        .flatten()
        .boxed()
    };
    let first = begin(Duration::ZERO);
    stream::unfold((first, begin), |(mut watch, begin)| async move {
        let said = watch.next().await?;
        let is_over = said
            .as_ref()
            .is_err_and(|error| is_lost(error) && !matches!(error, Error::InitialListFailed(_)));
        if is_over {
            watch = begin(PAUSE);
        }
        Some((said, (watch, begin)))
    })
}

fn take<K>(ledger: &mut Ledger, said: Said<K>, what: fn(Option<K>) -> What) -> Vec<Word>
where
    K: Resource,
{
    let event = match said {
        Ok(event) => event,
        Err(error) => {
            return vec![Word::Failed {
                why: advised(&error),
                is_lost: is_lost(&error),
            }];
        }
    };
    let is_whole = matches!(event, Event::InitDone);
    let facts = ledger.take(event).into_iter().map(|news| {
        let ((namespace, name), object) = match news {
            News::Came(object) => (key(object.as_ref()), Some(*object)),
            News::Went(key) => (key, None),
        };
        let what = what(object);
        Word::Fact(Box::new(Fact {
            namespace,
            name,
            what,
        }))
    });
    facts.chain(is_whole.then_some(Word::Listed)).collect()
}

/// Whether it may not be read, or there is no such kind: what is known of it is worth nothing any more.
fn is_lost(error: &Error) -> bool {
    matches!(code_of(error), 403 | 404)
}

/// What the API server calls it; 0 if it did not answer.
pub(super) fn code_of(error: &Error) -> u16 {
    match error {
        Error::InitialListFailed(kube::Error::Api(status))
        | Error::WatchStartFailed(kube::Error::Api(status))
        | Error::WatchFailed(kube::Error::Api(status))
        | Error::WatchError(status) => status.code,
        _ => 0,
    }
}

/// The error in the server's words.
pub(super) fn told(error: &Error) -> String {
    match error {
        Error::InitialListFailed(error)
        | Error::WatchStartFailed(error)
        | Error::WatchFailed(error) => words(error),
        Error::WatchError(status) => status.message.clone(),
        Error::NoResourceVersion => error.to_string(),
    }
}

/// The same, with what to do about it where that is known.
fn advised(error: &Error) -> String {
    let told = told(error);
    let code = match error {
        Error::InitialListFailed(kube::Error::Api(status))
        | Error::WatchStartFailed(kube::Error::Api(status)) => status.code,
        _ => 0,
    };
    match code {
        404 => format!("{told}; are the definitions of podconfig.dev installed?"),
        403 => format!("{told}; the account needs the role podconfig-controller"),
        _ => told,
    }
}

#[cfg(test)]
mod tests;

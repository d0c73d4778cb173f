//! What sees more than one node of a cluster: the status of PodConfigs, what each namespace may use, where
//! tunnels lead, and what nobody stands for any more. It holds nothing that it could not hear again, and
//! nothing on a node waits for it.

use std::{
    collections::BTreeMap,
    future::pending,
    pin::Pin,
    time::{Duration, Instant, SystemTime},
};

use anyhow::Context as _;
use crds::Reason;
use futures::{
    FutureExt as _, StreamExt as _,
    future::BoxFuture,
    stream::{BoxStream, FuturesUnordered, SelectAll},
};
use kube::Client;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    time::{sleep_until, timeout},
};

use crate::{
    cli::ControllerConfig,
    config::Listen,
    http,
    source::cluster::client::{check_version, connect},
};

/// Deeds done.
pub mod act;
/// What is to be done when.
mod agenda;
/// What the PodConfigs of a namespace may use.
mod allowance;
/// What is to be written.
mod deed;
/// The watches.
mod hear;
/// What there is to do.
mod job;
/// Which lists are known.
mod known;
/// What the controller counts.
pub mod metrics;
/// The networks of the cluster that no link may overlap.
mod networks;
/// Entries into objects of a bounded size.
mod packing;
/// The nodes that tunnels lead to.
mod peers;
/// Everything that was heard.
mod picture;
/// Which pods have their links.
mod rollup;
/// Pods and reports.
mod seen;
/// Reports that nobody stands for.
mod sweep;
/// How the controller is.
mod vital;
use act::{Done, perform};
use agenda::{Agenda, Ended};
use deed::Deed;
use hear::{Heard, Word, watches};
use job::{Job, Kind, Mark, Wait};
use known::Known;
use metrics::Metrics;
use picture::{Picture, What};
use vital::Health;

/// So many writes are under way at once.
const AT_ONCE: usize = 16;
/// At least so often it is said that the controller goes on.
const BEAT: Duration = Duration::from_secs(5);
/// Writes that are under way when the controller ends get so long to end.
const FINISH_WITHIN: Duration = Duration::from_secs(5);

/// Runs until SIGTERM or SIGINT. What is written stays.
pub fn run(config: &ControllerConfig) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (metrics, health) = (Metrics::default(), Health::new("no API server yet"));
        let stop = std::pin::pin!(stop()?);
        answer(config.listen, health.clone(), metrics.clone()).await?;
        tracing::info!(installation = config.installation, scope = %config.scope, "the controller");
        control(config, health, metrics, stop).await
    })
}

fn stop() -> anyhow::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: ending"),
            _ = interrupt.recv() => tracing::info!("SIGINT: ending"),
        }
    })
}

/// Answers probes for as long as the program runs.
async fn answer(listen: Listen, health: Health, metrics: Metrics) -> anyhow::Result<()> {
    if let Listen::At(address) = listen {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("listen on {address}"))?;
        tokio::spawn(http::serve(listener, health, metrics, pending()));
    }
    Ok(())
}

async fn control(
    config: &ControllerConfig,
    health: Health,
    metrics: Metrics,
    mut stop: Pin<&mut impl Future<Output = ()>>,
) -> anyhow::Result<()> {
    let client = connect().await?;
    let mut last = String::new();
    let waiting = |why: &str| {
        if why != last {
            tracing::warn!("{why}");
            last = why.to_owned();
        }
        health.beat(Some(why.to_owned()));
    };
    tokio::select! {
        checked = check_version(&client, waiting) => checked?,
        () = &mut stop => return Ok(()),
    }
    let (installation, scope) = (&config.installation, &config.scope);
    let networks = networks::publish(client.clone(), installation, scope, metrics.clone());
    let controller = Controller::new(client, config, health, metrics);
    tokio::select! {
        () = controller.run(stop) => (),
        () = networks => (),
    }
    Ok(())
}

struct Controller {
    client: Client,
    heard: SelectAll<BoxStream<'static, Heard>>,
    known: Known,
    picture: Picture,
    agenda: Agenda,
    under_way: FuturesUnordered<BoxFuture<'static, Attempt>>,
    health: Health,
    metrics: Metrics,
    /// Namespaces that an earlier installation serves as well, and why they are left to it.
    left: BTreeMap<String, String>,
    /// When it was last said that the controller goes on.
    beaten: Instant,
}

/// A deed, tried.
struct Attempt {
    job: Job,
    deed: Deed,
    done: Done,
    took: Duration,
}

impl Controller {
    fn new(client: Client, config: &ControllerConfig, health: Health, metrics: Metrics) -> Self {
        let (sources, heard) = watches(&client, &config.scope);
        Self {
            client,
            heard,
            known: Known::new(sources),
            picture: Picture::new(config.scope.clone(), &config.installation),
            agenda: Agenda::default(),
            under_way: FuturesUnordered::new(),
            health,
            metrics,
            left: BTreeMap::new(),
            beaten: Instant::now(),
        }
    }

    async fn run(mut self, mut stop: Pin<&mut impl Future<Output = ()>>) {
        loop {
            let next = self.next();
            tokio::select! {
                Some(heard) = self.heard.next() => self.take(heard),
                Some(attempt) = self.under_way.next() => self.ended(attempt),
                () = sleep_until(next.into()) => (),
                () = &mut stop => break,
            }
            if self.beaten.elapsed() >= BEAT {
                self.beat();
            }
            self.begin();
        }
        let finish = async { while self.under_way.next().await.is_some() {} };
        let _ = timeout(FINISH_WITHIN, finish).await;
    }

    /// When there is something to do, whatever is heard until then.
    fn next(&self) -> Instant {
        let beat = self.beaten + BEAT;
        let next = self.agenda.next().filter(|_| self.has_room());
        next.map_or(beat, |next| next.min(beat))
    }

    fn has_room(&self) -> bool {
        self.under_way.len() < AT_ONCE
    }

    fn beat(&mut self) {
        self.beaten = Instant::now();
        self.agenda.tidy(Instant::now());
        for (kind, objects) in self.picture.counts() {
            self.metrics
                .set_kind(kind, objects, self.known.has(&[kind]));
        }
        self.metrics.set_jobs(self.agenda.len());
        self.tell_of_others();
        self.health.beat(self.known.missing());
    }

    /// Says once which namespaces are left to another installation.
    fn tell_of_others(&mut self) {
        let left = self.picture.left_to_others();
        self.metrics.set_left_to_others(left.len());
        for (namespace, why) in left
            .iter()
            .filter(|(name, _)| !self.left.contains_key(*name))
        {
            tracing::warn!(reason = %Reason::ServedTwice, namespace, "{why}");
        }
        for namespace in self.left.keys().filter(|name| !left.contains_key(*name)) {
            tracing::info!(
                namespace,
                "no earlier installation serves the namespace now"
            );
        }
        self.left = left;
    }

    fn take(&mut self, Heard { source, word }: Heard) {
        match word {
            Word::Fact(fact) => {
                self.known.heard(&source);
                if let What::PodConfig(None) = fact.what {
                    let status = Job::status(&fact.namespace, &fact.name);
                    self.agenda.forget(&status);
                }
                let marks = self.picture.take(*fact);
                self.mark(marks);
            }
            Word::Listed => {
                let was_missing = self.known.missing();
                self.known.listed(&source);
                let missing = self.known.missing();
                if was_missing.is_some() && missing.is_none() {
                    tracing::info!("all lists are known");
                }
                let marks = self.picture.all();
                self.mark(marks);
                self.beat();
            }
            Word::Failed { why, is_lost } => {
                if self.known.failed(&source, &why, is_lost) {
                    tracing::warn!(is_lost, "watch {source}: {why}");
                }
                self.beat();
            }
        }
    }

    fn mark(&mut self, marks: Vec<Mark>) {
        let now = Instant::now();
        for mark in marks {
            self.agenda.mark(mark, now);
        }
    }

    /// Begins what is due. What cannot be decided now, for want of a list, is marked again with that list.
    fn begin(&mut self) {
        let now = Instant::now();
        while self.has_room()
            && let Some(job) = self.agenda.take(now)
        {
            let knows_nodes = self.known.has(&[Kind::Node]);
            let deed = match self.known.has(job.needs()) {
                true => self.picture.decide(&job, knows_nodes, SystemTime::now()),
                false => None,
            };
            match deed {
                Some(deed) => self
                    .under_way
                    .push(attempt(self.client.clone(), job, deed).boxed()),
                None => self.agenda.ended(&job, Ended::Unneeded, now),
            }
        }
    }

    fn ended(&mut self, attempt: Attempt) {
        let Attempt {
            job,
            deed,
            done,
            took,
        } = attempt;
        let ended = match &done {
            Ok(true) => Ended::Written,
            Ok(false) => Ended::Unneeded,
            Err(failure) => {
                tracing::warn!("{job}: {failure}");
                Ended::Failed(failure.wait)
            }
        };
        if done.is_ok() {
            self.picture.written(&deed);
        }
        let is_done = !matches!(ended, Ended::Failed(_));
        self.metrics.wrote(job.kind().as_str(), is_done, took);
        self.agenda.ended(&job, ended, Instant::now());
        if matches!(job, Job::Sweep { .. } | Job::SweepClaim { .. }) {
            // What still seems so is looked at again.
            self.mark(vec![job.after(Wait::Grace)]);
        }
    }
}

async fn attempt(client: Client, job: Job, deed: Deed) -> Attempt {
    let begun = Instant::now();
    let done = perform(&client, &deed).await;
    Attempt {
        job,
        deed,
        done,
        took: begun.elapsed(),
    }
}

//! One node's share of the work of giving out addresses, without a node: the daemon's own engine and its way to
//! the API server, as the daemon of that node.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use crds::{AddressClaim, Reason};
use hyper::header::{HeaderName, HeaderValue};
use kube::{Api, Client, Config, api::ListParams};
use reconfd::{
    address::{
        claims::{Answer, Asker, Book, Claims, Demand, Door},
        range::Range,
    },
    http::Encode as _,
    metrics::Metrics,
    source::cluster::claims::Driver,
};
use tokio::{sync::Notify, time::timeout};

/// No daemon sweeps what another installation has claimed.
const INSTALLATION: &str = "allocator";
const DAEMON: &str = "system:serviceaccount:podconfig-system:podconfig-daemon";
/// On a machine that does much else an API server is slow.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct Allocator {
    node: String,
    claims: Claims,
    driver: Driver,
    /// What there is to do, and that there is news.
    bell: Arc<Notify>,
    news: Arc<Notify>,
    metrics: Metrics,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    pub held: Vec<IpAddr>,
    /// How many have heard that the range is full, and what one of them heard.
    pub full: usize,
    pub words: String,
    pub requests: u64,
    pub took: Duration,
}

impl Allocator {
    /// With what this node has claimed already, as after a restart.
    pub async fn start(node: &str) -> Result<Self> {
        let client = client_of(node).await?;
        let (bell, news) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (ring, tell) = (bell.clone(), news.clone());
        let door = Door {
            on_the_spot: None,
            ring: Box::new(move || ring.notify_one()),
            notify: Box::new(move |_| tell.notify_one()),
        };
        let book = Book::new(node, INSTALLATION, Duration::from_secs(30));
        let (claims, metrics) = (Claims::new(book, door), Metrics::default());
        let own = ListParams::default().fields(&format!("spec.node={node}"));
        let all: Api<AddressClaim> = Api::all(client.clone());
        let own = all.list(&own).await.context("list the node's claims")?;
        own.items.into_iter().for_each(|claim| claims.came(claim));
        claims.are_known();
        let driver = Driver::new(client, claims.clone(), metrics.clone());
        Ok(Self {
            node: node.to_owned(),
            claims,
            driver,
            bell,
            news,
            metrics,
        })
    }

    /// An address for each of so many pods; until each has one or knows that there is none.
    pub async fn hold(&self, pods: usize, domain: &str, range: &Range) -> Result<Outcome> {
        let demand = Demand {
            domain: domain.to_owned(),
            ranges: vec![range.clone()],
            ..Demand::default()
        };
        let start = Instant::now();
        let asking = async {
            loop {
                let mut outcome = self.ask_for_all(pods, &demand);
                if outcome.held.len() + outcome.full == pods {
                    (outcome.requests, outcome.took) = (self.requests(), start.elapsed());
                    return outcome;
                }
                self.news.notified().await;
            }
        };
        let asking = timeout(PATIENCE, asking);
        tokio::select! {
            outcome = asking => outcome.map_err(|_| {
                let outcome = self.ask_for_all(pods, &demand);
                let requests = self.requests();
                anyhow::anyhow!("{requests} requests, and yet not every pod has an answer: {outcome:?}")
            }),
            () = self.driver.run(&self.bell) => bail!("the driver has ended"),
        }
    }

    fn ask_for_all(&self, pods: usize, demand: &Demand) -> Outcome {
        let mut outcome = Outcome::default();
        for number in 0..pods {
            let pod = format!("{}-{}-{number}", self.node, demand.domain);
            let asker = Asker {
                namespace: "bench".into(),
                uid: format!("uid-{pod}"),
                pod,
                link: "data0".into(),
            };
            match self.claims.ask(&asker, demand) {
                Answer::Held(addresses) => outcome.held.extend(addresses),
                Answer::Refused(Reason::RangeFull, words) => {
                    outcome.full += 1;
                    outcome.words = words;
                }
                Answer::Refused(_, words) | Answer::Pending(words) => outcome.words = words,
            }
        }
        outcome
    }

    /// How much was asked of the API server so far.
    fn requests(&self) -> u64 {
        let text = self.metrics.encode();
        let lines = text.lines();
        let counts = lines.filter(|line| line.starts_with("reconfd_claim_requests_total"));
        let counts = counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        counts.sum()
    }
}

/// Who asks is the daemon of that node: what admission holds it to counts here as well.
pub async fn client_of(node: &str) -> Result<Client> {
    let mut config = Config::infer().await.context("find the API server")?;
    let words = [
        ("impersonate-user", DAEMON),
        (
            "impersonate-extra-authentication.kubernetes.io%2fnode-name",
            node,
        ),
    ];
    for (name, value) in words {
        let (name, value) = (HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
        config.headers.push((name, value));
    }
    Client::try_from(config).context("prepare the connection to the API server")
}

pub fn range(cidr: &str) -> Result<Range> {
    let value = serde_json::json!({"cidr": cidr});
    Range::new(&serde_json::from_value(value)?).map_err(anyhow::Error::msg)
}

//! One node's share of the work of giving out addresses, without a node: the daemon's own engine and its way to
//! the API server, as the daemon of that node.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use address::{
    claims::{AddressRequest, Allocation, AllocatorState, Backend, ClaimAllocator, LinkKey},
    range::Range,
};
use anyhow::{Context as _, Result, bail};
use cluster::claims::Driver;
use crds::{AddressClaim, Reason};
use hyper::header::{HeaderName, HeaderValue};
use kube::{Api, Client, Config, api::ListParams};
use telemetry::{http::Encode as _, metrics::Metrics};
use tokio::{
    sync::{
        Mutex, Notify,
        mpsc::{UnboundedReceiver, unbounded_channel},
    },
    time::{sleep, timeout},
};

/// No daemon sweeps what another installation has claimed.
const INSTALLATION: &str = "allocator";
const DAEMON: &str = "system:serviceaccount:podconfig-system:podconfig-daemon";
/// So many pods are looked at before it is heard whether there is more news.
const MANY: usize = 1024;
/// On a machine that does much else an API server is slow.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct Allocator {
    node: String,
    claims: ClaimAllocator,
    all: Api<AddressClaim>,
    driver: Driver,
    /// That there is something to do.
    wakeup: Arc<Notify>,
    /// The pods that there is news for.
    news: Mutex<UnboundedReceiver<String>>,
    metrics: Metrics,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    pub held: Vec<IpAddr>,
    /// How many have heard that the range is full.
    pub full: usize,
    pub requests: u64,
    pub took: Duration,
}

impl Allocator {
    /// With what this node has claimed already, as after a restart.
    pub async fn start(node: &str) -> Result<Self> {
        let client = client_of(node).await?;
        let (tell, news) = unbounded_channel();
        let wakeup = Arc::new(Notify::new());
        let wake = wakeup.clone();
        let backend = Backend {
            sync: None,
            wake: Box::new(move || wake.notify_one()),
            // A receiver that has ended needs no more news.
            notify: Box::new(move |uid| drop(tell.send(uid))),
        };
        let state = AllocatorState::new(node, INSTALLATION, Duration::from_secs(30));
        let (claims, metrics) = (ClaimAllocator::new(state, backend), Metrics::default());
        let all = Api::all(client.clone());
        let driver = Driver::new(client, claims.clone(), metrics.clone());
        let allocator = Self {
            node: node.to_owned(),
            claims,
            all,
            driver,
            wakeup,
            news: Mutex::new(news),
            metrics,
        };
        let own = allocator.own().await?;
        own.into_iter()
            .for_each(|claim| allocator.claims.applied(claim));
        allocator.claims.set_synced();
        Ok(allocator)
    }

    /// The claims of the node as the API has them.
    async fn own(&self) -> Result<Vec<AddressClaim>> {
        let own = ListParams::default().fields(&format!("spec.node={}", self.node));
        let own = self
            .all
            .list(&own)
            .await
            .context("list the node's claims")?;
        Ok(own.items)
    }

    /// What was begun before a kill and came through behind it is heard of and given back, as a daemon does it
    /// by its watch.
    pub async fn give_back(&self, pods: usize, domain: &str, range: &Range) -> Result<()> {
        let own = self.own().await?;
        own.into_iter().for_each(|claim| self.claims.applied(claim));
        let request = request(domain, range);
        for key in (0..pods).map(|number| self.link_key(number, domain)) {
            if let Allocation::Held(addresses) = self.claims.allocate(&key, &request) {
                let kept = BTreeMap::from([(key.link, addresses.into_iter().collect())]);
                self.claims.retain(&key.uid, &kept);
            }
        }
        let is_done = async {
            loop {
                let own = self.own().await?.into_iter();
                if own.filter(|claim| claim.spec.released.is_none()).count() <= pods {
                    return Ok(());
                }
                sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::select! {
            done = timeout(PATIENCE, is_done) => done.context("what is too much is not given back")?,
            () = self.driver.run(&self.wakeup) => bail!("the driver has ended"),
        }
    }

    /// An address for each of so many pods; until each has one or knows that there is none.
    pub async fn hold(&self, pods: usize, domain: &str, range: &Range) -> Result<Outcome> {
        let request = request(domain, range);
        let start = Instant::now();
        let keys = (0..pods).map(|number| self.link_key(number, domain));
        let mut waiting: BTreeMap<String, LinkKey> =
            keys.map(|key| (key.uid.clone(), key)).collect();
        let mut outcome = Outcome::default();
        for key in waiting.values() {
            self.claims.allocate(key, &request);
        }
        let asking = async {
            let mut news = self.news.lock().await;
            let mut uids: Vec<String> = waiting.keys().cloned().collect();
            while !waiting.is_empty() {
                for uid in uids.drain(..) {
                    let allocation = waiting
                        .get(&uid)
                        .map(|key| self.claims.allocate(key, &request));
                    if allocation.is_some_and(|allocation| outcome.take(allocation)) {
                        waiting.remove(&uid);
                    }
                }
                if !waiting.is_empty() {
                    news.recv_many(&mut uids, MANY).await;
                }
            }
        };
        tokio::select! {
            done = timeout(PATIENCE, asking) => done.ok(),
            () = self.driver.run(&self.wakeup) => None,
        };
        if let Some(key) = waiting.values().next() {
            let (left, allocation) = (waiting.len(), self.claims.allocate(key, &request));
            bail!("{left} of {pods} pods have no answer; one of them: {allocation:?}");
        }
        (outcome.requests, outcome.took) = (self.requests(), start.elapsed());
        Ok(outcome)
    }

    fn link_key(&self, number: usize, domain: &str) -> LinkKey {
        let pod = format!("{}-{domain}-{number}", self.node);
        LinkKey {
            namespace: "bench".into(),
            uid: format!("uid-{pod}"),
            pod,
            link: "data0".into(),
        }
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

impl Outcome {
    /// Whether that is an answer.
    fn take(&mut self, allocation: Allocation) -> bool {
        match allocation {
            Allocation::Held(addresses) => self.held.extend(addresses),
            Allocation::Refused(Reason::RangeFull, _) => self.full += 1,
            Allocation::Refused(..) | Allocation::Pending(_) => return false,
        }
        true
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

fn request(domain: &str, range: &Range) -> AddressRequest {
    AddressRequest {
        domain: domain.to_owned(),
        ranges: vec![range.clone()],
        ..AddressRequest::default()
    }
}

pub fn range(cidr: &str) -> Result<Range> {
    let value = serde_json::json!({"cidr": cidr});
    Range::new(&serde_json::from_value(value)?).map_err(anyhow::Error::msg)
}

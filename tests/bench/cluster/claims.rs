//! Addresses given out by twenty daemons at once: as fast as the API server makes objects, or nearly so; and a range
//! that is given out to its last address.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use address::claims::{
    LinkKey,
    claim_meta::{ClaimName, Claimant},
    lineage::Lineage,
};
use anyhow::{Context as _, Result};
use crds::AddressClaim;
use futures::{StreamExt as _, TryStreamExt as _, future::try_join_all, stream};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, PostParams},
};
use tokio::{runtime::Runtime, time::sleep};

use crate::table::Table;
use allocator::{Allocator, client_of, range};

#[path = "../../support/allocator.rs"]
// What stories need beside.
#[allow(dead_code)]
mod allocator;

const NODES: usize = 20;
const PODS: usize = 100;
/// As a daemon has under way.
const AT_ONCE: usize = 16;
const ROUNDS: usize = 3;
/// To the rate of bare creates.
const RATE: f64 = 0.7;
const REQUESTS: f64 = 3.0;

pub fn run(table: &mut Table) -> Result<()> {
    let runtime = Runtime::new()?;
    runtime.block_on(async {
        rate(table).await?;
        full(table).await
    })
}

async fn rate(table: &mut Table) -> Result<()> {
    let all = NODES * PODS;
    table.title(&format!(
        "{all} addresses of a /20 by {NODES} daemons at once, {ROUNDS} rounds by turns with bare creates"
    ));
    let (mut bare, mut ours) = (Duration::MAX, Duration::MAX);
    for round in 0..ROUNDS {
        bare = bare.min(creates(&format!("bench-bare-{round}")).await?);
        let domain = format!("bench-claims-{round}");
        let (took, requests, _) = claims(&domain, "10.240.0.0/20", PODS).await?;
        ours = ours.min(took);
        table.note(format!(
            "round {round}: {} ms; {:.2} requests for each",
            took.as_millis(),
            requests as f64 / all as f64
        ));
    }
    let per_second = |took: Duration| all as f64 / took.as_secs_f64();
    let (bare, ours) = (per_second(bare), per_second(ours));
    table.note(format!(
        "the best rounds: {ours:.0} claims a second, {bare:.0} bare creates a second"
    ));
    table.note(
        "for comparison, whereabouts has published 1000 pods in 2529 s: 0.4 addresses a second",
    );
    let ratio = ours / bare;
    let figures = format!("{ratio:.2} (bar: at least {RATE})");
    table.judge(
        "claims a second, to bare creates of the same objects",
        &figures,
        ratio >= RATE,
    );
    Ok(())
}

async fn full(table: &mut Table) -> Result<()> {
    table.title(&format!(
        "A /24 given out to its last address by {NODES} daemons at once"
    ));
    let (took, requests, held) = claims("bench-full", "10.241.7.0/24", 13).await?;
    table.note(format!(
        "{held} claims in {} ms; {requests} requests",
        took.as_millis()
    ));
    let per_claim = requests as f64 / held as f64;
    table.bar_on(
        "requests for a claim of a /24 that gets full",
        REQUESTS,
        per_claim,
        "",
    );
    Ok(())
}

/// How long it took, the requests, and how many addresses were had.
async fn claims(domain: &str, cidr: &str, pods: usize) -> Result<(Duration, u64, usize)> {
    let range = range(cidr)?;
    let nodes = (0..NODES).map(|number| format!("{domain}-{number}"));
    let nodes: Vec<String> = nodes.collect();
    let daemons = try_join_all(nodes.iter().map(|node| Allocator::start(node))).await?;
    let start = Instant::now();
    let work = daemons
        .iter()
        .map(|daemon| daemon.hold(pods, domain, &range));
    let outcomes = try_join_all(work).await?;
    let took = start.elapsed();
    clear(domain).await?;
    let requests = outcomes.iter().map(|outcome| outcome.requests).sum();
    let held = outcomes.iter().map(|outcome| outcome.held.len()).sum();
    Ok((took, requests, held))
}

/// The same objects, by whoever knows that nobody else wants them.
async fn creates(domain: &str) -> Result<Duration> {
    let nodes = (0..NODES).map(|number| format!("{domain}-{number}"));
    let nodes: Vec<String> = nodes.collect();
    let clients = try_join_all(nodes.iter().map(|node| client_of(node))).await?;
    // Both have their connections when it begins.
    for client in &clients {
        client.apiserver_version().await?;
    }
    let start = Instant::now();
    let work = clients.iter().zip(&nodes).enumerate();
    try_join_all(work.map(|(at, (client, node))| creates_of(client, node, domain, at))).await?;
    let took = start.elapsed();
    clear(domain).await?;
    Ok(took)
}

async fn creates_of(client: &Client, node: &str, domain: &str, at: usize) -> Result<()> {
    let api: Api<AddressClaim> = Api::all(client.clone());
    let objects = (0..PODS).map(|number| claim_of(node, domain, at * PODS + number));
    let made = stream::iter(objects).map(|claim| {
        let api = api.clone();
        async move { api.create(&PostParams::default(), &claim).await.map(drop) }
    });
    let made = made.buffer_unordered(AT_ONCE);
    made.try_collect::<()>().await.context("create a claim")
}

fn claim_of(node: &str, domain: &str, number: usize) -> AddressClaim {
    let pod = format!("{node}-{number}");
    let key = LinkKey {
        namespace: "bench".into(),
        uid: format!("uid-{pod}"),
        pod,
        link: "data0".into(),
    };
    let claimant = Claimant {
        lineage: Lineage::default(),
        key,
        node: node.to_owned(),
        installation: "allocator".into(),
    };
    let base = u32::from(Ipv4Addr::new(10, 242, 0, 0));
    let offset = u32::try_from(number).unwrap_or(u32::MAX);
    claimant.claim(&ClaimName {
        domain: domain.to_owned(),
        address: IpAddr::V4(Ipv4Addr::from(base.saturating_add(offset))),
    })
}

/// Nothing of the bench stays; and what goes does not disturb what is measured next.
async fn clear(domain: &str) -> Result<()> {
    let api: Api<AddressClaim> = Api::all(Client::try_default().await?);
    let of_domain = ListParams::default().labels(&format!("podconfig.dev/domain={domain}"));
    api.delete_collection(&DeleteParams::default(), &of_domain)
        .await?;
    sleep(Duration::from_secs(2)).await;
    Ok(())
}

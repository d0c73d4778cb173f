//! Links of CNI plugins to running pods, from the PodConfig and from the annotation on, on an installation with a
//! runner. The figures of the peer, multus-dynamic-networks-controller with thick Multus, were measured on such a
//! cluster, for links of the plugin `bridge`.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};

use super::{api::Api, links::Listener, pods, spans::Spans};
use crate::{node::NAMESPACE, table::Table};

const ROUNDS: usize = 20;
const PODS: usize = 50;
const MANY_ROUNDS: usize = 2;
const LINK: &str = "cni0";
/// Milliseconds of the peer: one link at the median, and the last of 50.
const PEER_ONE: f64 = 34.0;
const PEER_MANY: f64 = 27_300.0;
/// So many times faster than the peer.
const MANY_TIMES: f64 = 10.0;
/// Until nothing of the last round is still to be written, and more may be attached at once in a namespace.
const CALM: Duration = Duration::from_millis(600);
const CALM_OF_MANY: Duration = Duration::from_secs(30);

/// Both definitions, by name: their plugins need nothing of the node but its eth0.
fn definitions() -> [(&'static str, Value); 2] {
    let list = |plugin: Value| json!({"cniVersion": "1.0.0", "plugins": [plugin]});
    [
        (
            "bridge",
            list(json!({"type": "bridge", "bridge": "bench0"})),
        ),
        (
            "macvlan",
            list(json!({"type": "macvlan", "master": "eth0", "mode": "bridge"})),
        ),
    ]
}

fn config(name: &str, label: &str, definition: &str) -> Value {
    let cni = json!({"networkAttachmentDefinition": format!("{NAMESPACE}/{definition}")});
    json!({
        "apiVersion": "podconfig.dev/v1alpha1", "kind": "PodConfig", "metadata": {"name": name},
        "spec": {"podSelector": {"matchLabels": {"app": label}}, "links": [{"name": LINK, "cni": cni}]},
    })
}

pub fn run(api: &Api, table: &mut Table) -> Result<()> {
    for (name, config) in definitions() {
        api.define(name, &config)?;
    }
    pods::start(api, "plug", 1)?;
    pods::name_node("node")?;
    let mut listener = Listener::at("node")?;
    table.title(&format!(
        "One link of a CNI plugin to one running pod, {ROUNDS} rounds, until it is up in the pod"
    ));
    for (definition, _) in definitions() {
        one(api, &mut listener, definition, table)?;
    }
    table.note(format!("for comparison, multus-dynamic-networks-controller with thick Multus on such a cluster: {PEER_ONE} ms to add one link of bridge (p50)"));
    many(api, table)
}

fn one(api: &Api, listener: &mut Listener, definition: &str, table: &mut Table) -> Result<()> {
    let [mut by_config, mut by_annotation, mut gone] = [const { Spans::empty() }; 3];
    for round in 0..ROUNDS {
        let name = format!("plug-{definition}-{round}");
        let start = api.apply(&config(&name, "plug", definition))?;
        by_config.push(up(listener, 1, start)?);
        std::thread::sleep(CALM);
        let start = api.withdraw(&name)?;
        gone.push(listener.until_gone(start)?);
        std::thread::sleep(CALM);
        let element = json!([{"name": definition, "interface": LINK}]);
        let start = api.annotate("plug", &element.to_string())?;
        by_annotation.push(up(listener, 1, start)?);
        std::thread::sleep(CALM);
        let start = api.annotate("plug", "[]")?;
        gone.push(listener.until_gone(start)?);
        std::thread::sleep(CALM);
    }
    for (from, spans) in [("PodConfig", &by_config), ("annotation", &by_annotation)] {
        table.note(format!("{definition}, from the {from}: {}", spans.shown()));
    }
    table.note(format!("{definition}, link gone: {}", gone.shown()));
    table.bar_on(
        &format!("{definition}, one pod, link up from the annotation, p50, to the peer's"),
        PEER_ONE,
        by_annotation.percentile(50),
        " ms",
    );
    Ok(())
}

fn up(listener: &mut Listener, count: usize, start: Instant) -> Result<Duration> {
    let spans = listener.until_up(LINK, count, start)?;
    Ok(Duration::from_secs_f64(spans.percentile(100) / 1e3))
}

fn many(api: &Api, table: &mut Table) -> Result<()> {
    pods::start(api, "plugs", PODS)?;
    let mut listener = Listener::at("node")?;
    table.title(&format!(
        "One link of a CNI plugin to each of {PODS} pods of one node, {MANY_ROUNDS} rounds, until all are up"
    ));
    for (definition, _) in definitions() {
        let [mut last, mut gone] = [const { Spans::empty() }; 2];
        for round in 0..MANY_ROUNDS {
            std::thread::sleep(CALM_OF_MANY);
            let name = format!("plugs-{definition}-{round}");
            let start = api.apply(&config(&name, "plugs", definition))?;
            last.push(up(&mut listener, PODS, start)?);
            std::thread::sleep(CALM);
            let start = api.withdraw(&name)?;
            gone.push(listener.until_gone(start)?);
        }
        table.note(format!(
            "{definition}, all up: {}; all gone: {}",
            last.shown(),
            gone.shown()
        ));
        table.bar_on(
            &format!("{definition}, {PODS} pods, all up, to a {MANY_TIMES:.0}th of the peer's"),
            PEER_MANY / MANY_TIMES,
            last.percentile(50),
            " ms",
        );
    }
    table.note(format!("for comparison, multus-dynamic-networks-controller with thick Multus on such a cluster: {PEER_MANY} ms for {PODS} pods"));
    Ok(())
}

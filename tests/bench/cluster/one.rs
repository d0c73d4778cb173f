//! One link to one running pod, from the PodConfig on.

use std::time::Duration;

use anyhow::Result;

use super::{
    api::Api,
    links::Listener,
    pods::{self, SWITCH},
    spans::Spans,
    writes::{LATE, Writes, of},
};
use crate::table::Table;

const ROUNDS: usize = 30;
/// The daemon may be slower than the API server's own watch by this, in milliseconds.
const BAR: f64 = 10.0;

pub fn run(api: &Api, table: &mut Table) -> Result<()> {
    pods::start(api, "one", 1)?;
    pods::find_switch()?;
    let (mut listener, watch) = (Listener::at(SWITCH)?, api.watch()?);
    let mut spans = [const { Spans::empty() }; 5];
    let [watched, up, beyond, ready, gone] = &mut spans;
    for round in 0..ROUNDS {
        let name = format!("one-{round}");
        let wish = pods::config(&name, ("app", "one"), &["data0"]);
        let start = api.apply(&wish)?;
        let link = listener.until_up("data0", 1, start)?;
        let (heard, is_ready) = watch.of(&name)?;
        let at = Duration::from_secs_f64(link.percentile(50) / 1e3);
        watched.push(heard - start);
        up.push(at);
        beyond.push((start + at).saturating_duration_since(heard));
        ready.push(is_ready - start);
        // Until nothing of the last round is still to be written.
        std::thread::sleep(Duration::from_millis(300));
        let start = api.withdraw(&name)?;
        gone.push(listener.until_gone(start)?);
    }
    table.title(&format!(
        "One link to one running pod, {ROUNDS} rounds, from when the PodConfig is sent"
    ));
    for (what, spans) in [
        ("heard by the bench's own watch", &*watched),
        ("link up in the pod", up),
        ("Ready=True heard", ready),
        ("deleted: link gone", gone),
    ] {
        table.note(format!("{what}: {}", spans.shown()));
    }
    table.note("for comparison, multus-dynamic-networks-controller with thick Multus on such a cluster: 34 ms to add (p50), 22 ms to remove");
    table.bar_on(
        "one pod, link up behind the watch, p50",
        BAR,
        beyond.percentile(50),
        " ms",
    );
    table.bar_on(
        "one pod, link up behind the watch, p95",
        BAR,
        beyond.percentile(95),
        " ms",
    );
    count_writes(api, &mut listener, table)
}

fn count_writes(api: &Api, listener: &mut Listener, table: &mut Table) -> Result<()> {
    // What the last round wrote late is not counted.
    std::thread::sleep(LATE);
    let writes = Writes::from_now()?;
    let start = api.apply(&pods::config("counted", ("app", "one"), &["data0"]))?;
    listener.until_up("data0", 1, start)?;
    let counts = writes.count()?;
    table.note(format!("written for one link: {counts:?}"));
    let by_daemon = of(&counts, &["daemon: "]) - of(&counts, &["daemon: ", "pods/status"]);
    table.bar_on(
        "one link, writes of the daemon (report, Event on the pod, Event on the PodConfig)",
        3.0,
        by_daemon as f64,
        "",
    );
    let start = api.withdraw("counted")?;
    listener.until_gone(start)?;
    Ok(())
}

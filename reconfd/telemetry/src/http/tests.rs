#![allow(clippy::unwrap_used)]

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream as Client},
};

use tokio::{
    sync::oneshot,
    task::{JoinHandle, spawn_blocking},
};

use super::*;
use crate::metrics::Metrics;

struct Probes {
    at: SocketAddr,
    health: DaemonHealth,
    metrics: Metrics,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

/// Real probes on a real socket.
async fn probes() -> Probes {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (at, health, metrics) = (
        listener.local_addr().unwrap(),
        DaemonHealth::default(),
        Metrics::default(),
    );
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async { _ = stopped.await };
    let served = tokio::spawn(serve(listener, health.clone(), metrics.clone(), shutdown));
    Probes {
        at,
        health,
        metrics,
        stop,
        served,
    }
}

impl Probes {
    /// Sends the text as it is and reads until the daemon closes.
    async fn say(&self, text: impl Into<Vec<u8>>) -> String {
        let (at, text) = (self.at, text.into());
        spawn_blocking(move || {
            let mut client = Client::connect(at).unwrap();
            client
                .set_read_timeout(Some(Duration::from_secs(20)))
                .unwrap();
            // The daemon may close before it has read all of it.
            let _ = client.write_all(&text);
            let mut answer = Vec::new();
            let _ = client.read_to_end(&mut answer);
            String::from_utf8_lossy(&answer).into_owned()
        })
        .await
        .unwrap()
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let answer = self
            .say(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
            .await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), body.to_owned())
    }
}

#[tokio::test]
async fn a_daemon_that_beats_is_alive() {
    let probes = probes().await;
    probes.health.beat();
    assert_eq!(probes.get("/livez").await, (200, "ok\n".to_owned()));
}

#[test]
fn a_controller_that_hangs_is_told_after_thirty_seconds() {
    let health = DaemonHealth::default();
    health.beat();
    let after = |seconds| health.live_at(Instant::now() + Duration::from_secs(seconds));
    assert_eq!(after(29), Ok(()));
    assert_eq!(
        after(31),
        Err("no heartbeat of the controller for 31 s".to_owned())
    );
}

#[tokio::test]
async fn the_daemon_is_ready_after_its_first_pass_and_while_the_switch_is_pinned() {
    let probes = probes().await;
    let (code, why) = probes.get("/readyz").await;
    assert_eq!((code, why.matches("not").count()), (503, 2), "{why}");
    probes.health.first_pass_done();
    assert_eq!(
        probes.get("/readyz").await,
        (
            503,
            "the switch is not pinned where it should be\n".to_owned()
        )
    );
    probes.health.set_switch_pinned(true);
    assert_eq!(probes.get("/readyz").await, (200, "ok\n".to_owned()));
    probes.health.set_switch_pinned(false);
    assert_eq!(probes.get("/readyz").await.0, 503);
}

#[tokio::test]
async fn metrics_are_openmetrics() {
    let probes = probes().await;
    probes.metrics.netlink_changes(3);
    let answer = probes.say("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(
        answer.contains(
            "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"
        ),
        "{answer}"
    );
    assert!(
        answer.contains("\nreconfd_netlink_changes_total 3\n") && answer.ends_with("# EOF\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn the_index_names_the_pages_and_nothing_else_is_there() {
    let probes = probes().await;
    let (code, body) = probes.get("/").await;
    assert!(code == 200 && body.contains("/readyz"), "{body}");
    for path in [
        "/healthz",
        "/livez/",
        "/metrics/../livez",
        "//",
        "/%2e%2e/etc/passwd",
    ] {
        assert_eq!(probes.get(path).await.0, 404, "{path}");
    }
    assert_eq!(probes.get("/livez?verbose").await.0, 200);
}

#[tokio::test]
async fn only_reading_is_allowed() {
    let probes = probes().await;
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "BREW"] {
        let answer = probes
            .say(format!("{method} /livez HTTP/1.1\r\nHost: x\r\n\r\n"))
            .await;
        assert!(
            answer.starts_with("HTTP/1.1 405") || answer.starts_with("HTTP/1.1 400"),
            "{method}: {answer}"
        );
    }
    let answer = probes.say("HEAD /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_connection_gets_one_answer_and_is_closed() {
    let probes = probes().await;
    let twice = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2);
    assert_eq!(probes.say(twice).await.matches("HTTP/1.1").count(), 1);
}

#[tokio::test]
async fn nonsense_is_refused_and_harms_nobody() {
    let probes = probes().await;
    let endless = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    for nonsense in [
        b"\x16\x03\x01\x02\x00\x01\x00".to_vec(),
        b"\0\0\0\0\r\n\r\n".to_vec(),
        endless.into_bytes(),
    ] {
        let answer = probes.say(nonsense).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{answer}"
        );
    }
    assert_eq!(probes.get("/livez").await.0, 200);
}

#[tokio::test]
async fn a_hundred_that_say_nothing_keep_a_probe_out_for_no_longer_than_the_header_time() {
    let probes = probes().await;
    let at = probes.at;
    let silent = spawn_blocking(move || {
        (0..100)
            .map(|_| Client::connect(at).unwrap())
            .collect::<Vec<_>>()
    })
    .await
    .unwrap();
    let before = Instant::now();
    assert_eq!(probes.get("/livez").await.0, 200);
    // The first 64 sit until their time is up, then the other 36 are let in, and the probe with them.
    assert!(
        before.elapsed() >= Duration::from_secs(3),
        "more than {CONNECTIONS} were let in at once"
    );
    assert!(before.elapsed() < HEADERS_WITHIN + Duration::from_secs(4));
    drop(silent);
}

#[tokio::test]
async fn it_ends_at_once_and_lets_go_of_the_port() {
    let Probes {
        at, stop, served, ..
    } = probes().await;
    let idle = spawn_blocking(move || Client::connect(at).unwrap())
        .await
        .unwrap();
    sleep(Duration::from_millis(50)).await;
    let before = Instant::now();
    stop.send(()).unwrap();
    served.await.unwrap();
    assert!(before.elapsed() < Duration::from_secs(2));
    drop(idle);
    TcpListener::bind(at).await.unwrap();
}

//! The watchdog: whatever never comes, the runtime has its answer in about a second.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::process::Child;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::harness::{Call, Node};
use crate::outcome::Outcome;

/// Writes `text` to the plugin and keeps its stdin open until it ends.
fn with_open_stdin(call: &Call, text: &[u8]) -> (Outcome, Duration) {
    let started = Instant::now();
    let mut child = call.command().spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(text).unwrap();
    let outcome = Outcome::from(child.wait_with_output().unwrap());
    drop(stdin);
    (outcome, started.elapsed())
}

#[track_caller]
fn about(seconds: u64, took: Duration) {
    let least = Duration::from_millis(seconds * 1000 - 200);
    assert!(
        took > least && took < Duration::from_secs(seconds + 2),
        "{took:?}"
    );
}

#[test]
fn an_add_whose_request_never_comes_may_be_tried_again() {
    let node = Node::new();
    for text in ["", "{\"cniVersion\":\"1.1.0\",\"prevResult\":{}"] {
        let (outcome, took) = with_open_stdin(&node.call("ADD"), text.as_bytes());
        outcome.fails_with(11);
        about(1, took);
    }
}

#[test]
fn an_add_whose_request_is_whole_but_never_ends_goes_through() {
    let node = Node::new();
    let call = node.call("ADD");
    let (outcome, took) = with_open_stdin(&call, &call.text());
    outcome.passes_through();
    about(1, took);
    assert!(node.record().is_some());
}

#[test]
fn the_others_end_well_without_a_request() {
    let node = Node::with_record();
    for command in ["CHECK", "GC", "STATUS", "DEL"] {
        let (outcome, took) = with_open_stdin(&node.call(command), b"{");
        outcome.prints_nothing();
        about(1, took);
    }
    let (outcome, _) = with_open_stdin(&node.call("VERSION"), b"{");
    assert!(outcome.stdout.contains("supportedVersions"));
}

/// A pipe that takes nothing more.
fn full_pipe() -> (OwnedFd, OwnedFd) {
    let (reader, writer) = nix::unistd::pipe().unwrap();
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    let mut file = File::from(writer.try_clone().unwrap());
    while file.write(&[b'x'; 4096]).is_ok() {}
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    (reader, writer)
}

fn send(call: &Call, child: &mut Child) {
    child.stdin.take().unwrap().write_all(&call.text()).unwrap();
}

#[test]
fn a_log_that_nobody_reads_stops_no_pod() {
    let node = Node::new();
    let call = node.call("ADD").env("CNI_ARGS", "");
    let (_reader, writer) = full_pipe();
    let started = Instant::now();
    let mut child = call.command().stderr(writer).spawn().unwrap();
    send(&call, &mut child);
    Outcome::from(child.wait_with_output().unwrap()).passes_through();
    about(1, started.elapsed());
}

#[test]
fn a_log_that_nobody_reads_stops_no_end() {
    let node = Node::new();
    let call = node.call("DEL").env("CNI_CONTAINERID", "../x");
    let (_reader, writer) = full_pipe();
    let started = Instant::now();
    let mut child = call.command().stderr(writer).spawn().unwrap();
    send(&call, &mut child);
    Outcome::from(child.wait_with_output().unwrap()).prints_nothing();
    about(1, started.elapsed());
}

#[test]
fn an_answer_that_nobody_reads_ends_as_a_failure() {
    let node = Node::new();
    let call = node.call("ADD");
    let (_reader, writer) = full_pipe();
    let mut child = call.command().stdout(writer).spawn().unwrap();
    send(&call, &mut child);
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn a_slow_reader_gets_a_large_answer_once() {
    let node = Node::new();
    let result = format!("{{\"x\":\"{}\"}}", "x".repeat(1 << 20));
    let call = node.call("ADD").config("prevResult", &result);
    let mut child = call.command().spawn().unwrap();
    send(&call, &mut child);
    std::thread::sleep(Duration::from_millis(500));
    let outcome = Outcome::from(child.wait_with_output().unwrap());
    outcome.prints(&result);
}

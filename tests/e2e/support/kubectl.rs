//! `kubectl`, as a person uses it.

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

use super::eventually;
use crate::wait::seen;

/// As long as anything may take that a story waits for.
pub const TIMEOUT: &str = "--timeout=60s";

/// What lets a policy that is in use, or a definition, be deleted.
pub const ALLOW_DELETION: &str = "podconfig.dev/allow-deletion=true";

/// Must succeed; what it prints.
pub fn kubectl(words: &[&str]) -> String {
    succeeded("kubectl", words, try_kubectl(words))
}

pub fn try_kubectl(words: &[&str]) -> Output {
    command(words).output().expect("kubectl is in PATH")
}

/// Waits until the namespace of a run before, which is deleted as a test ends, is gone.
pub fn wait_for_deletion(namespace: &str) {
    eventually(&format!("the old {namespace} is gone"), || {
        let left = object(&["namespace", namespace]).unwrap_or_default();
        seen(left["metadata"]["deletionTimestamp"].is_null(), &left)
    });
}

/// With the words, and a manifest on its standard input; what it prints.
pub fn with_input(words: &[&str], input: &str) -> String {
    succeeded("kubectl", words, try_with_input(words, input))
}

pub fn try_with_input(words: &[&str], input: &str) -> Output {
    let mut child = command(words)
        .stdin(Stdio::piped())
        .spawn()
        .expect("kubectl is in PATH");
    let mut pipe = child.stdin.take().expect("stdin is piped");
    pipe.write_all(input.as_bytes()).expect("kubectl reads");
    drop(pipe);
    child.wait_with_output().expect("kubectl ends")
}

pub fn apply(manifest: &str) -> String {
    with_input(&["apply", "-f", "-"], manifest)
}

/// What a refusal says; that it is one is a part of the story.
pub fn refusal(output: Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success(),
        "this was to be refused, and was not: {}{said}",
        String::from_utf8_lossy(&output.stdout)
    );
    said
}

/// An object, if it is there. Any other trouble than that ends the story.
pub fn object(words: &[&str]) -> Option<Value> {
    let words = [&["get", "--ignore-not-found", "-o", "json"], words].concat();
    let text = kubectl(&words);
    (!text.trim().is_empty()).then(|| serde_json::from_str(&text).expect("kubectl prints JSON"))
}

/// The objects of a list.
pub fn list(words: &[&str]) -> Vec<Value> {
    let list = object(words).unwrap_or_default();
    list["items"].as_array().cloned().unwrap_or_default()
}

pub fn name_of(object: &Value) -> String {
    object["metadata"]["name"]
        .as_str()
        .unwrap_or_else(|| panic!("an object has a name: {object}"))
        .to_owned()
}

fn command(words: &[&str]) -> Command {
    let mut command = Command::new("kubectl");
    command
        .args(words)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What a program printed that had to succeed.
pub fn succeeded(program: &str, words: &[&str], output: Output) -> String {
    assert!(
        output.status.success(),
        "{program} {}: {}\n{}{}",
        words.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

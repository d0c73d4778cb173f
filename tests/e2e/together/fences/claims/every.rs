//! Every change of a claim by either of two daemons, as far as the claim stays one to the same address and pod by
//! name: what may be is said here once more, in other words than the fence has, and both must agree.

use serde_json::{Value, json};

use super::{Claims, name_of, succeeds, with};
use crate::together::fences::yard::{ELSEWHERE, HERE, Someone};

const RELEASED: &str = "2026-01-31T12:00:00Z";

/// What of a claim may differ.
#[derive(Clone, Copy, Debug)]
struct State {
    node: &'static str,
    is_next_pod: bool,
    rests: bool,
    is_other_copy: bool,
    is_other_link: bool,
}

/// A daemon finds the one and writes the other.
#[derive(Debug)]
struct Change {
    by: &'static str,
    found: State,
    written: State,
}

impl Change {
    fn may_be(&self) -> bool {
        let Self { by, found, written } = self;
        let is_mine = found.node == *by;
        let comes_back = written.is_next_pod && !written.rests && !written.is_other_link;
        let is_same_pod = !written.is_next_pod && !written.is_other_copy;
        let is_one_change = !(written.rests && written.is_other_link);
        written.node == *by && (comes_back || is_mine && is_same_pod && is_one_change)
    }

    fn every() -> Vec<Self> {
        let yes_or_no = [false, true];
        let mut all = Vec::new();
        for number in 0..256_u32 {
            let bit = |n: u32| yes_or_no[usize::from(number >> n & 1 == 1)];
            let node = |n: u32| if bit(n) { ELSEWHERE } else { HERE };
            let found = State {
                node: node(0),
                is_next_pod: false,
                rests: bit(1),
                is_other_copy: false,
                is_other_link: false,
            };
            let written = State {
                node: node(2),
                is_next_pod: bit(3),
                rests: bit(4),
                is_other_copy: bit(5),
                is_other_link: bit(6),
            };
            let by = node(7);
            all.push(Self { by, found, written });
        }
        all
    }
}

impl Claims {
    fn in_state(&self, number: usize, state: &State) -> Value {
        let uid = if state.is_next_pod { "2" } else { "1" };
        let mut claim = self.of(&format!("10.9.3.{number}"), state.node, uid);
        if state.rests {
            claim = with(claim, "/spec/released", json!(RELEASED));
        }
        if state.is_other_copy {
            claim = with(claim, "/spec/installation", json!("edge"));
        }
        if state.is_other_link {
            claim = with(claim, "/spec/link", json!("data1"));
        }
        claim
    }

    /// All of them as they are found, each made by the daemon of its node.
    fn are_found(&self, changes: &[Change]) {
        for (who, node) in [(&self.here, HERE), (&self.there, ELSEWHERE)] {
            let of_node = changes.iter().enumerate();
            let of_node = of_node.filter(|(_, change)| change.found.node == node);
            let held = |(number, change): (usize, &Change)| {
                let found = State {
                    rests: false,
                    ..change.found
                };
                self.in_state(number, &found)
            };
            succeeds(who.makes(&list(of_node.clone().map(held).collect())));
            let resting = of_node.filter(|(_, change)| change.found.rests);
            let rests = |(number, change): (usize, &Change)| self.in_state(number, &change.found);
            succeeds(who.replaces(&list(resting.map(rests).collect())));
        }
    }

    /// What is said to all that one daemon writes; nothing is changed.
    fn said_to(&self, who: &Someone, written: Vec<Value>) -> String {
        let output = who.would_replace(&list(written));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        text(&output.stdout) + &text(&output.stderr)
    }
}

fn list(items: Vec<Value>) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

#[test]
fn of_every_change_that_there_is_those_are_let_through_that_may_be() {
    let claims = Claims::new("claim-every");
    let changes = Change::every();
    claims.are_found(&changes);
    let mut let_through = 0;
    for (who, node) in [(&claims.here, HERE), (&claims.there, ELSEWHERE)] {
        let by_it: Vec<(usize, &Change)> = changes
            .iter()
            .enumerate()
            .filter(|(_, change)| change.by == node)
            .collect();
        let written = by_it
            .iter()
            .map(|(n, change)| claims.in_state(*n, &change.written));
        let written: Vec<Value> = written.collect();
        let names: Vec<String> = written.iter().map(name_of).collect();
        let said = claims.said_to(who, written);
        for ((_, change), name) in by_it.iter().zip(&names) {
            let replaced = said.contains(&format!("addressclaim.podconfig.dev/{name} replaced"));
            let refused = said
                .lines()
                .any(|line| line.contains(&format!("\"{name}\" is ")));
            assert!(replaced != refused, "{change:?}: {said}");
            assert_eq!(replaced, change.may_be(), "{change:?}");
            let_through += usize::from(replaced);
        }
    }
    assert_eq!(let_through, 28, "of all {}", changes.len());
}

//! An address that goes from one pod to another of its controller: who waits is written by its daemon, and the
//! daemon of the pod that has it hands it over to just that one.

use serde_json::{Value, json};

use super::{Claims, is_refused, succeeds, with};
use crate::together::fences::yard::{ELSEWHERE, HERE};

const RELEASED: &str = "2026-01-31T12:00:00Z";
const TAKEN_OVER: &str = "taken over";

/// The claim of the pod `near` here, which is of a Deployment.
fn held(claims: &Claims, address: &str) -> Value {
    let claim = claims.of(address, HERE, "1");
    with(claim, "/spec/controller", json!("Deployment/web"))
}

fn successor(claims: &Claims, node: &str) -> Value {
    json!({"pod": {"namespace": claims.yard.0, "name": "next", "uid": "2"}, "link": "data1", "node": node,
        "revision": "web-2", "waits": true})
}

/// As it is when the successor has it.
fn theirs(mut claim: Value) -> Value {
    let next = claim["spec"]["successor"].take();
    for field in ["pod", "link", "node"] {
        claim["spec"][field] = next[field].clone();
    }
    let spec = claim["spec"].as_object_mut().expect("it has a spec");
    spec.remove("successor");
    spec.remove("released");
    claim
}

#[test]
fn who_waits_is_written_by_its_own_daemon_and_nothing_else_with_it() {
    let claims = Claims::new("claim-waits");
    let claim = held(&claims, "10.9.0.1");
    succeeds(claims.here.makes(&claim.to_string()));
    let announced = with(
        claim.clone(),
        "/spec/successor",
        successor(&claims, ELSEWHERE),
    );
    is_refused(
        claims.here.replaces(&announced.to_string()),
        "is written by the daemon of its node",
    );
    for (pointer, value) in [
        ("/spec/node", json!(ELSEWHERE)),
        ("/spec/link", json!("data9")),
        ("/spec/released", json!(RELEASED)),
        ("/spec/successor/pod/namespace", json!("default")),
        ("/spec/controller", json!("Deployment/other")),
    ] {
        let more = with(announced.clone(), pointer, value).to_string();
        let said = crate::support::kubectl::refusal(claims.there.replaces(&more));
        assert!(
            said.contains("forbidden") || said.contains("invalid"),
            "{pointer}: {said}"
        );
    }
    succeeds(claims.there.replaces(&announced.to_string()));
    let made = with(
        held(&claims, "10.9.0.2"),
        "/spec/successor",
        successor(&claims, HERE),
    );
    is_refused(
        claims.here.makes(&made.to_string()),
        "is written by the daemon of its node",
    );
    let of_none = claims.of("10.9.0.3", HERE, "1");
    succeeds(claims.here.makes(&of_none.to_string()));
    let announced = with(of_none, "/spec/successor", successor(&claims, ELSEWHERE));
    is_refused(
        claims.there.replaces(&announced.to_string()),
        "in the name of node",
    );
}

#[test]
fn an_address_is_handed_over_to_the_pod_that_waits_by_the_daemon_that_has_it() {
    let claims = Claims::new("claim-hands");
    let claim = held(&claims, "10.9.0.1");
    succeeds(claims.here.makes(&claim.to_string()));
    let announced = with(claim, "/spec/successor", successor(&claims, ELSEWHERE));
    let after = theirs(announced.clone());
    is_refused(claims.here.replaces(&after.to_string()), TAKEN_OVER);
    succeeds(claims.there.replaces(&announced.to_string()));
    is_refused(claims.there.replaces(&after.to_string()), TAKEN_OVER);
    for (pointer, value) in [
        ("/spec/pod/uid", json!("3")),
        ("/spec/pod/name", json!("far")),
        ("/spec/pod/namespace", json!("default")),
        ("/spec/link", json!("data0")),
        ("/spec/node", json!("third")),
        ("/spec/controller", json!("Deployment/other")),
        ("/spec/installation", json!("edge")),
        ("/spec/released", json!(RELEASED)),
    ] {
        let other = with(after.clone(), pointer, value).to_string();
        let said = crate::support::kubectl::refusal(claims.here.replaces(&other));
        assert!(
            said.contains("forbidden") || said.contains("invalid"),
            "{pointer}: {said}"
        );
    }
    succeeds(claims.here.replaces(&after.to_string()));
}

#[test]
fn what_was_given_back_is_taken_by_a_pod_of_the_same_controller_and_by_no_other() {
    let claims = Claims::new("claim-next");
    let claim = held(&claims, "10.9.0.1");
    succeeds(claims.here.makes(&claim.to_string()));
    let next = with(
        claim.clone(),
        "/spec/successor",
        successor(&claims, ELSEWHERE),
    );
    let after = theirs(next);
    is_refused(claims.there.replaces(&after.to_string()), TAKEN_OVER);
    let rests = with(claim, "/spec/released", json!(RELEASED));
    succeeds(claims.here.replaces(&rests.to_string()));
    let other = with(after.clone(), "/spec/controller", json!("Deployment/other"));
    is_refused(claims.there.replaces(&other.to_string()), TAKEN_OVER);
    is_refused(
        claims.here.replaces(&after.to_string()),
        "in the name of node",
    );
    succeeds(claims.there.replaces(&after.to_string()));
}

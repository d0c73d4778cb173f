//! Whose claims a daemon changes, and what of them.

use serde_json::json;

use super::{Claims, is_refused, name_of, succeeds, with};
use crate::support::kubectl::{kubectl, object};
use crate::together::fences::yard::{ELSEWHERE, HERE};

const RELEASED: &str = "2026-01-31T12:00:00Z";

#[test]
fn a_claim_rests_and_is_taken_again_by_the_pod_that_had_it() {
    let claims = Claims::new("claim-rests");
    let held = claims.of("10.9.0.1", HERE, "1");
    let rests = with(held.clone(), "/spec/released", json!(RELEASED));
    succeeds(claims.here.makes(&held.to_string()));
    is_refused(
        claims.there.replaces(&rests.to_string()),
        "in the name of node",
    );
    succeeds(claims.here.replaces(&rests.to_string()));
    let found = object(&["addressclaim", &name_of(&held)]).expect("it is there");
    assert_eq!(found["spec"]["released"], RELEASED);
    succeeds(claims.here.replaces(&held.to_string()));
    // Of the pod that has it, nothing else changes.
    let other = with(held, "/spec/installation", json!("edge"));
    is_refused(
        claims.here.replaces(&other.to_string()),
        "the time of its release alone",
    );
}

#[test]
fn the_same_pod_may_call_its_link_otherwise_and_labels_of_others_stay() {
    let claims = Claims::new("claim-link");
    let held = claims.of("10.9.0.1", HERE, "1");
    let name = name_of(&held);
    succeeds(claims.here.makes(&held.to_string()));
    kubectl(&["label", "addressclaim", &name, "note=looked-at"]);
    let labelled = with(held, "/metadata/labels", json!({"note": "looked-at"}));
    let rests = with(labelled.clone(), "/spec/released", json!(RELEASED));
    succeeds(claims.here.replaces(&rests.to_string()));
    let other = with(labelled.clone(), "/spec/link", json!("data1"));
    succeeds(claims.here.replaces(&other.to_string()));
    let both = with(rests, "/spec/link", json!("data0"));
    is_refused(
        claims.here.replaces(&both.to_string()),
        "a claim that is taken is held, not released",
    );
    let forged = with(other, "/metadata/labels", json!({"note": "mine"}));
    is_refused(
        claims.here.replaces(&forged.to_string()),
        "no labels of a claim but those of podconfig.dev",
    );
}

#[test]
fn a_claim_of_another_node_is_taken_over_by_the_pod_that_came_back_here_and_by_nobody_else() {
    let claims = Claims::new("claim-moved");
    let (old, new) = (
        claims.of("10.9.0.1", ELSEWHERE, "1"),
        claims.of("10.9.0.1", HERE, "2"),
    );
    succeeds(claims.there.makes(&old.to_string()));
    let living = with(old.clone(), "/spec/node", json!(HERE));
    is_refused(
        claims.here.replaces(&living.to_string()),
        "neither changes nor deletes a claim of node",
    );
    let rests = with(living, "/spec/released", json!(RELEASED));
    is_refused(
        claims.here.replaces(&rests.to_string()),
        "neither changes nor deletes a claim of node",
    );
    let for_the_other = with(new.clone(), "/spec/node", json!(ELSEWHERE));
    is_refused(
        claims.here.replaces(&for_the_other.to_string()),
        "in the name of node",
    );
    let at_rest = with(new.clone(), "/spec/released", json!(RELEASED));
    is_refused(
        claims.here.replaces(&at_rest.to_string()),
        "a claim that is taken is held, not released",
    );
    let held = with(
        new.clone(),
        "/metadata/finalizers",
        json!(["podconfig.dev/never"]),
    );
    is_refused(
        claims.here.replaces(&held.to_string()),
        "no finalizers, owners or annotations",
    );

    succeeds(claims.here.replaces(&new.to_string()));
    let found = object(&["addressclaim", &name_of(&new)]).expect("it is there");
    assert_eq!(
        (&found["spec"]["node"], &found["spec"]["pod"]["uid"]),
        (&json!(HERE), &json!("2"))
    );
    is_refused(
        claims
            .there
            .replaces(&with(old, "/spec/pod/uid", json!("2")).to_string()),
        "neither changes nor deletes",
    );
}

#[test]
fn who_takes_a_claim_over_is_of_the_same_name() {
    let claims = Claims::new("claim-same");
    succeeds(
        claims
            .there
            .makes(&claims.of("10.9.0.1", ELSEWHERE, "1").to_string()),
    );
    succeeds(
        claims
            .here
            .makes(&claims.of("10.9.0.2", HERE, "1").to_string()),
    );
    for address in ["10.9.0.1", "10.9.0.2"] {
        let new = claims.of(address, HERE, "2");
        for (pointer, value) in [
            ("/spec/pod/name", "far"),
            ("/spec/pod/namespace", "default"),
            ("/spec/link", "data1"),
            ("/spec/address", "10.9.0.3"),
            ("/spec/domain", "another"),
        ] {
            let other = with(new.clone(), pointer, json!(value));
            let said = crate::support::kubectl::refusal(claims.here.replaces(&other.to_string()));
            let is_told = [
                "a claim is taken over by",
                "a claim is to one address for good",
            ];
            assert!(
                is_told.iter().any(|words| said.contains(words)),
                "{pointer}: {said}"
            );
        }
    }
}

#[test]
fn of_two_that_take_a_claim_over_at_once_one_has_it() {
    let claims = Claims::new("claim-swap");
    succeeds(
        claims
            .there
            .makes(&claims.of("10.9.0.1", ELSEWHERE, "1").to_string()),
    );
    let new = claims.of("10.9.0.1", HERE, "2");
    let found = object(&["addressclaim", &name_of(&new)]).expect("it is there");
    let seen = found["metadata"]["resourceVersion"].clone();
    let by_version = |uid: &str| {
        let claim = with(new.clone(), "/spec/pod/uid", json!(uid));
        with(claim, "/metadata/resourceVersion", seen.clone()).to_string()
    };
    succeeds(claims.here.replaces(&by_version("2")));
    is_refused(
        claims.here.replaces(&by_version("3")),
        "the object has been modified",
    );
}

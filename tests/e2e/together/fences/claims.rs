//! Who may claim an address, and free it.

/// Every change of a claim that there is.
mod every;
/// A claim is called as its address.
mod names;
/// Whose claims a daemon changes, and what of them.
mod owners;
/// Pods that succeed others of their controller.
mod successors;

use std::process::Output;

use serde_json::{Value, json};

use super::yard::{ELSEWHERE, HERE, Someone, Yard};
use crate::support::{
    eventually,
    kubectl::{kubectl, list, name_of, refusal, try_kubectl},
};
use crate::wait::seen;

/// The daemons of two nodes, and a routing domain of this story's own: claims belong to no namespace.
struct Claims {
    domain: String,
    yard: Yard,
    here: Someone,
    there: Someone,
}

impl Claims {
    fn new(name: &str) -> Self {
        let yard = Yard::new(name);
        let claims = Self {
            domain: yard.0.clone(),
            here: yard.on(HERE),
            there: yard.on(ELSEWHERE),
            yard,
        };
        eventually("the fence of claims is up", || {
            let nobody = claims.yard.on("");
            let said = refusal(nobody.makes(&claims.of("10.9.9.9", HERE, "1").to_string()));
            seen(said.contains("does not say on which node"), said)
        });
        claims
    }

    /// The claim of the pod `near` of that uid, for its link `data0`.
    fn of(&self, address: &str, node: &str, uid: &str) -> Value {
        let ip = address.parse().expect("an address");
        json!({"apiVersion": "podconfig.dev/v1alpha1", "kind": "AddressClaim",
            "metadata": {"name": crds::claim::claim_name(&self.domain, ip)},
            "spec": {"domain": self.domain, "address": address, "link": "data0", "node": node, "installation": "default",
                "pod": {"namespace": self.yard.0, "name": "near", "uid": uid}}})
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        let all = list(&["addressclaims"]);
        let ours = all
            .iter()
            .filter(|claim| claim["spec"]["domain"] == self.domain.as_str());
        let names: Vec<String> = ours.map(name_of).collect();
        let words = ["delete", "addressclaims", "--wait=false"].into_iter();
        let words: Vec<&str> = words.chain(names.iter().map(String::as_str)).collect();
        if !names.is_empty() {
            let _ = try_kubectl(&words);
        }
    }
}

/// With this value in the place of whatever is there.
fn with(mut claim: Value, pointer: &str, value: Value) -> Value {
    let (parent, field) = pointer.rsplit_once('/').expect("a pointer");
    claim.pointer_mut(parent).expect("it has such a part")[field] = value;
    claim
}

fn succeeds(output: Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

fn is_refused(output: Output, why: &str) {
    let said = refusal(output);
    assert!(said.contains(why), "this says not {why:?}: {said}");
}

#[test]
fn a_daemon_claims_addresses_for_its_own_node_alone() {
    let claims = Claims::new("claim-node");
    let near = claims.of("10.9.0.1", HERE, "1").to_string();
    succeeds(claims.here.makes(&near));
    is_refused(claims.here.makes(&near), "already exists");
    is_refused(claims.there.makes(&near), "in the name of node");
    let forged = claims.of("10.9.0.2", ELSEWHERE, "1").to_string();
    is_refused(claims.here.makes(&forged), "in the name of node");
    let resting = with(
        claims.of("10.9.0.2", HERE, "1"),
        "/spec/released",
        json!("2026-01-31T12:00:00Z"),
    );
    is_refused(
        claims.here.makes(&resting.to_string()),
        "a claim that is taken is held, not released",
    );
}

#[test]
fn a_daemon_frees_addresses_of_its_own_node_alone() {
    let claims = Claims::new("claim-free");
    let claim = claims.of("10.9.0.1", HERE, "1");
    succeeds(claims.here.makes(&claim.to_string()));
    let name = name_of(&claim);
    let delete = ["delete", "addressclaim", name.as_str()];
    claims
        .there
        .may_not(&delete, "neither changes nor deletes a claim of node");
    claims
        .yard
        .on("")
        .may_not(&delete, "does not say on which node");
    let all = "/apis/podconfig.dev/v1alpha1/addressclaims?fieldSelector=spec.node=fence-here";
    claims
        .here
        .may_not(&["delete", "--raw", all], "deletecollection");
    let own = [
        "get",
        "addressclaims",
        "--field-selector=spec.node=fence-here",
        "-o=name",
    ];
    let found = claims.here.tries(&own);
    assert!(String::from_utf8_lossy(&found.stdout).contains(&name));
    claims.here.may(&delete);
}

#[test]
fn nothing_holds_a_claim_and_nobody_elses_words_are_on_it() {
    let claims = Claims::new("claim-head");
    let claim = claims.of("10.9.0.1", HERE, "1");
    let uid = "11111111-2222-3333-4444-555555555555";
    let owner = json!([{"apiVersion": "v1", "kind": "Pod", "name": "near", "uid": uid}]);
    let wrong = [
        ("/metadata/finalizers", json!(["podconfig.dev/never"])),
        ("/metadata/ownerReferences", owner),
        ("/metadata/annotations", json!({"note": "x"})),
    ];
    for (pointer, value) in &wrong {
        let held = with(claim.clone(), pointer, value.clone()).to_string();
        let why = "no finalizers, owners or annotations";
        is_refused(claims.here.makes(&held), why);
    }
    let labels = |labels: Value| with(claim.clone(), "/metadata/labels", labels).to_string();
    let why = "no labels of a claim but those of podconfig.dev";
    is_refused(claims.here.makes(&labels(json!({"app": "web"}))), why);
    succeeds(
        claims
            .here
            .makes(&labels(json!({"podconfig.dev/range": "10.9.0.0-24"}))),
    );
    for (pointer, value) in wrong {
        let held = with(claim.clone(), pointer, value).to_string();
        let why = "no finalizers, owners or annotations";
        is_refused(claims.here.replaces(&held), why);
    }
}

#[test]
fn nobody_else_makes_or_changes_a_claim_and_an_administrator_may_free_the_address() {
    let claims = Claims::new("claim-others");
    let claim = claims.of("10.9.0.1", HERE, "1");
    let why = "by the daemons of podconfig alone";
    let administrator = |verb: &str, claim: &Value| {
        crate::support::kubectl::try_with_input(&[verb, "-f", "-"], &claim.to_string())
    };
    is_refused(administrator("create", &claim), why);
    succeeds(claims.here.makes(&claim.to_string()));
    let other = with(claim.clone(), "/spec/pod/uid", json!("2"));
    is_refused(administrator("replace", &other), why);
    let name = name_of(&claim);
    kubectl(&["label", "addressclaim", &name, "note=looked-at"]);

    let namesake = Someone::new(&claims.yard.0, &claims.yard.0, "podconfig-daemon", HERE);
    is_refused(namesake.makes(&claim.to_string()), "forbidden");
    namesake.may_not(&["delete", "addressclaim", &name], "forbidden");
    let home = "podconfig-system";
    let controller = Someone::new(&claims.yard.0, home, "podconfig-controller", HERE);
    is_refused(controller.makes(&claim.to_string()), "forbidden");
    controller.may(&["delete", "addressclaim", &name]);
    succeeds(claims.here.makes(&claim.to_string()));
    kubectl(&["delete", "addressclaim", &name]);
}

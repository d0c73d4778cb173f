//! What is never right about addresses, from the table that the daemon's own judgement is held to: an API server
//! refuses the same in the same words, and lets through what is unusual and right.

#[path = "../../../reconfd/manifests/src/schema/tests/bad/ipam/policies.rs"]
mod policies;
#[path = "../../../reconfd/manifests/src/schema/tests/bad/ipam/table.rs"]
mod table;

use serde_json::{Value, json};

use super::tenant::{Tenant, said_of};
use table::{BY_NODES, BY_RULE, BY_SHAPE, BY_WORD, RIGHT, Row};

fn link(fields: &str) -> Value {
    let text = format!("{{name: a, veth: {{bridge: b}}, {fields}}}");
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{fields}: {error}"))
}

fn tenant(name: &str) -> Tenant {
    let everything = json!(["0.0.0.0/0", "::/0"]);
    let allow = json!([{"veth": {"bridges": "Own"}, "addresses": everything, "routes": everything, "domains": ["cluster", "blue", "0-9"]}]);
    Tenant::new(name, &allow, None)
}

/// Whether some line says this of this field, in these words at its end.
fn is_told(said: &str, field: &str, words: &str) -> bool {
    let at = format!("{field}: ");
    said.lines()
        .any(|line| line.contains(&at) && line.trim_end().ends_with(words))
}

/// All of it is said, and where the words are the same, nothing else.
fn are_told(rows: &[Row], at: &str, in_the_same_words: bool, says: impl Fn(&str) -> String) {
    for (fields, faults) in rows {
        let said = says(fields);
        for (place, words) in *faults {
            let field = format!("{at}{}{place}", if place.is_empty() { "" } else { "." });
            let words = if in_the_same_words { words } else { "" };
            assert!(
                is_told(&said, &field, words),
                "{fields}: {field}: {words} is not said: {said}"
            );
        }
        let more =
            said.matches(&format!("{at}.")).count() + said.matches(&format!("{at}: ")).count();
        assert!(
            !in_the_same_words || more == faults.len(),
            "{fields}: more is said: {said}"
        );
    }
}

#[test]
fn an_api_server_refuses_addresses_in_the_daemons_words() {
    let tenant = tenant("adm-ipam-rules");
    let says = |fields: &str| tenant.is_refused(&[link(fields)]);
    are_told(BY_RULE, "spec.links[0]", true, says);
}

#[test]
fn an_api_server_refuses_ipam_of_another_shape() {
    let tenant = tenant("adm-ipam-shape");
    let says = |fields: &str| tenant.is_refused(&[link(fields)]);
    are_told(BY_SHAPE, "spec.links[0]", false, says);
}

/// It takes away what the daemon refuses in a manifest: a word that nobody knows, and null.
#[test]
fn what_an_api_server_does_not_know_it_takes_away() {
    let tenant = tenant("adm-ipam-words");
    let links: Vec<(String, Vec<Value>)> = (0..)
        .zip(BY_WORD.iter().take(4))
        .map(|(number, (fields, _))| (format!("w{number}"), vec![link(fields)]))
        .collect();
    for (name, said) in tenant.says_of_all(&links) {
        assert_eq!(said, Ok(()), "{name}");
    }
    let said = tenant.is_refused(&[link(BY_WORD[4].0)]);
    assert!(
        is_told(&said, "spec.links[0].ipam.ranges[0].cidr", "Required value"),
        "{said}"
    );
}

#[test]
fn what_is_unusual_or_for_the_nodes_to_say_is_let_through() {
    let tenant = tenant("adm-ipam-right");
    let for_nodes = BY_NODES.iter().map(|(fields, _)| *fields);
    let links: Vec<(String, Vec<Value>)> = (0..)
        .zip(RIGHT.iter().copied().chain(for_nodes))
        .map(|(number, fields)| (format!("r{number}"), vec![link(fields)]))
        .collect();
    let said = tenant.says_of_all(&links);
    for (name, link) in &links {
        assert_eq!(said[name], Ok(()), "{link:?}");
    }
}

#[test]
fn a_policy_says_nothing_about_addresses_that_never_holds() {
    let made = |members: &str| {
        let text = format!("{{namespaceSelector: {{matchLabels: {{nobody: has}}}}, {members}}}");
        let spec: Value = serde_saphyr::from_str(&text).expect("a spec");
        said_of(
            &json!({"apiVersion": "podconfig.dev/v1alpha1", "kind": "PodConfigPolicy",
            "metadata": {"name": "adm-ipam-policy"}, "spec": spec}),
        )
    };
    let says = |members: &str| made(members).expect_err(members);
    are_told(policies::BY_RULE, "spec", true, says);
    are_told(policies::BY_SHAPE, "spec", false, says);
    for members in policies::RIGHT {
        assert_eq!(made(members), Ok(()), "{members}");
    }
}

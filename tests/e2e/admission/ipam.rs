//! What is never right about addresses, from the table that the daemon's own judgement is held to: an API server
//! refuses the same in the same words, and lets through what is unusual and right.

#[path = "../../../reconfd/src/source/schema/tests/bad/ipam/table.rs"]
mod table;

use serde_json::{Value, json};

use super::tenant::Tenant;
use table::{BY_RULE, BY_SHAPE, BY_WORD, RIGHT, Row};

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
fn is_told(said: &str, place: &str, words: &str) -> bool {
    let dot = if place.is_empty() { "" } else { "." };
    let at = format!("spec.links[0]{dot}{place}: ");
    said.lines()
        .any(|line| line.contains(&at) && line.trim_end().ends_with(words))
}

fn are_refused(tenant: &Tenant, rows: &[Row], in_the_same_words: bool) {
    for (fields, faults) in rows {
        let said = tenant.is_refused(&[link(fields)]);
        for (place, words) in *faults {
            let words = if in_the_same_words { words } else { "" };
            assert!(
                is_told(&said, place, words),
                "{fields}: {place}: {words} is not said: {said}"
            );
        }
        let more = said.matches("spec.links[0]").count();
        assert!(
            !in_the_same_words || more == faults.len(),
            "{fields}: more is said: {said}"
        );
    }
}

#[test]
fn an_api_server_refuses_addresses_in_the_daemons_words() {
    let tenant = tenant("adm-ipam-rules");
    are_refused(&tenant, BY_RULE, true);
}

#[test]
fn an_api_server_refuses_ipam_of_another_shape() {
    let tenant = tenant("adm-ipam-shape");
    are_refused(&tenant, BY_SHAPE, false);
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
        is_told(&said, "ipam.ranges[0].cidr", "Required value"),
        "{said}"
    );
}

#[test]
fn unusual_addresses_are_let_through() {
    let tenant = tenant("adm-ipam-right");
    let links: Vec<(String, Vec<Value>)> = (0..)
        .zip(RIGHT)
        .map(|(number, fields)| (format!("r{number}"), vec![link(fields)]))
        .collect();
    for ((name, said), fields) in tenant.says_of_all(&links).iter().zip(&links) {
        assert_eq!(said, &Ok(()), "{name} {fields:?}");
    }
}

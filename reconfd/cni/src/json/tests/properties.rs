//! What is accepted has one reading, whatever the reader does about the case of keys.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::parse;

/// A value with keys that often fold onto each other, written with duplicates, which `Value` cannot hold.
#[derive(Clone, Debug)]
enum Written {
    Leaf(String),
    List(Vec<Written>),
    Object(Vec<(String, Written)>),
}

impl Written {
    fn text(&self) -> String {
        match self {
            Self::Leaf(text) => text.clone(),
            Self::List(items) => {
                let items: Vec<_> = items.iter().map(Self::text).collect();
                format!("[{}]", items.join(","))
            }
            Self::Object(members) => {
                let members: Vec<_> = members
                    .iter()
                    .map(|(key, value)| format!("{}:{}", json!(key), value.text()))
                    .collect();
                format!("{{{}}}", members.join(","))
            }
        }
    }

    fn has_one_reading(&self) -> bool {
        match self {
            Self::Leaf(_) => true,
            Self::List(items) => items.iter().all(Self::has_one_reading),
            Self::Object(members) => {
                let mut folded: Vec<_> = members.iter().map(|(key, _)| fold(key)).collect();
                folded.sort();
                folded.dedup();
                folded.len() == members.len()
                    && members.iter().all(|(_, value)| value.has_one_reading())
            }
        }
    }
}

/// As `encoding/json` folds a key: the smallest character of each orbit of simple folding.
fn fold(key: &str) -> String {
    key.chars()
        .map(|character| match character {
            'ſ' => 'S',
            '\u{212a}' => 'K',
            other => other.to_ascii_uppercase(),
        })
        .collect()
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        "[tT][yY][pP][eE]",
        "[mM][aA][sſS][tT][eE][rR]",
        "[kK\u{212a}][eE]",
        "[a-cA-C]{1,2}",
        any::<String>(),
    ]
}

fn leaf() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        any::<u64>().prop_map(|value| value.to_string()),
        any::<f64>().prop_map(|value| value.to_string()),
        any::<String>().prop_map(|value| json!(value).to_string()),
    ]
}

fn written() -> impl Strategy<Value = Written> {
    leaf()
        .prop_map(Written::Leaf)
        .prop_recursive(5, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Written::List),
                prop::collection::vec((key(), inner), 0..5).prop_map(Written::Object),
            ]
        })
}

/// The value as a reader sees it that folds keys and takes the last of equal ones.
fn folded(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(folded).collect(),
        Value::Object(members) => {
            let read: BTreeMap<_, _> = members
                .iter()
                .map(|(key, value)| (fold(key), folded(value)))
                .collect();
            json!(read)
        }
        other => other.clone(),
    }
}

/// How many keys there are, at any depth.
fn keys(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(keys).sum(),
        Value::Object(members) => members.len() + members.values().map(keys).sum::<usize>(),
        _ => 0,
    }
}

proptest! {
    #[test]
    fn what_is_accepted_has_one_reading(written in written()) {
        if let Ok(value) = parse(&written.text()) {
            prop_assert!(written.has_one_reading());
            prop_assert_eq!(keys(&folded(&value)), keys(&value));
        }
    }

    #[test]
    fn what_is_accepted_comes_back_the_same_from_its_rendering(written in written()) {
        if let Ok(value) = parse(&written.text()) {
            let rendering = value.to_string();
            prop_assert_eq!(&parse(&rendering).unwrap(), &value);
            prop_assert_eq!(&serde_json::from_str::<Value>(&rendering).unwrap(), &value);
        }
    }

    #[test]
    fn no_text_ends_the_parser(text in any::<String>()) {
        let _ = parse(&text);
    }
}

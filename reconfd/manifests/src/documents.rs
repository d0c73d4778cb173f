//! Splits a manifest into YAML documents and parses each to plain values. A broken document does not affect the
//! others, and the cost of each is bounded.

use std::collections::BTreeMap;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;
use serde_saphyr::{Error, Options, Spanned, budget::BudgetBreach};

const MAX_DEPTH: usize = 64;
const MAX_VALUES: usize = 50_000;
const MAX_BYTES: usize = 2 << 20;

/// One document of a file, as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Document<'a> {
    /// Counted from 1, without empty documents.
    pub number: usize,
    /// The number of lines of the file before it.
    before: u64,
    text: &'a str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    pub line: Option<u64>,
    pub message: String,
}

/// Splits at document separators, as kubectl does, so that each document is parsed on its own.
pub fn split(text: &str) -> Vec<Document<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut documents = Vec::new();
    let (mut start, mut before, mut at, mut line) = (0, 0, 0, 0);
    for piece in text.split_inclusive('\n') {
        if is_separator(piece) {
            add(&mut documents, before, &text[start..at]);
            (start, before) = (at, line);
        }
        at += piece.len();
        line += 1;
    }
    add(&mut documents, before, &text[start..]);
    documents
}

fn add<'a>(documents: &mut Vec<Document<'a>>, before: u64, text: &'a str) {
    if !text.lines().all(is_blank) {
        documents.push(Document {
            number: documents.len() + 1,
            before,
            text,
        });
    }
}

fn is_separator(line: &str) -> bool {
    let rest = line.strip_prefix("---");
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
}

fn is_blank(line: &str) -> bool {
    let line = line.strip_prefix("---").unwrap_or(line).trim();
    line.is_empty() || line.starts_with(['#', '%']) || line == "..."
}

impl Document<'_> {
    /// The line of the file where the document begins.
    pub fn line(&self) -> u64 {
        let empty = self.text.lines().take_while(|line| is_blank(line)).count();
        self.before + empty as u64 + 1
    }

    pub fn parse(&self) -> Result<Value, ParseError> {
        serde_saphyr::from_str_with_options(self.text, options())
            .map_err(|error| self.parse_error(&error))
    }

    /// The position of each value. Parses the document again, so it is used for invalid documents only.
    pub fn lines(&self) -> Lines {
        let root = serde_saphyr::from_str_with_options(self.text, options()).ok();
        Lines {
            before: self.before,
            root,
        }
    }

    fn parse_error(&self, error: &Error) -> ParseError {
        let line = error
            .location()
            .map(|location| location.line())
            .filter(|line| *line > 0);
        ParseError {
            line: line.map(|line| self.before + line),
            message: message(error),
        }
    }
}

fn options() -> Options {
    serde_saphyr::options! {
        with_snippet: false,
        emit_comments: false,
        leading_zero_numbers_as_strings: true,
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_nodes: MAX_VALUES,
            max_events: 4 * MAX_VALUES,
            max_recorded_anchor_events: 4 * MAX_VALUES,
            max_recorded_anchor_bytes: MAX_BYTES,
            max_total_scalar_bytes: MAX_BYTES,
            max_documents: 2,
        },
    }
}

fn message(error: &Error) -> String {
    match error {
        Error::AliasError { error, .. } => message(error),
        Error::Budget { breach, .. } => format!("is not a valid manifest: {}", excess(breach)),
        Error::MultipleDocuments { .. } => "a second document begins without a line ---".into(),
        Error::DuplicateMappingKey { key: Some(key), .. } => format!("duplicate key {key}"),
        error => {
            let text = error.to_string();
            // The line is reported apart from the message, counted from the top of the file.
            let text = text.split(" at line ").next().unwrap_or_default();
            match text {
                "recursion limit exceeded" => format!(
                    "is not a valid manifest: {}",
                    excess(&BudgetBreach::Depth { depth: MAX_DEPTH })
                ),
                text => format!("is not YAML: {text}"),
            }
        }
    }
}

fn excess(breach: &BudgetBreach) -> String {
    match breach {
        BudgetBreach::Depth { .. } => format!("it is nested deeper than {MAX_DEPTH} levels"),
        BudgetBreach::Nodes { .. } | BudgetBreach::Events { .. } => {
            format!("it has more than {MAX_VALUES} values once its aliases are written out")
        }
        BudgetBreach::ScalarBytes { .. } => {
            format!(
                "it has more than {} KiB of text once its aliases are written out",
                MAX_BYTES >> 10
            )
        }
        BudgetBreach::AliasAnchorRatio { .. } | BudgetBreach::Aliases { .. } => {
            "it has far too many aliases".into()
        }
        other => format!("it takes more than a manifest may ({other:?})"),
    }
}

pub struct Lines {
    before: u64,
    root: Option<Place>,
}

impl Lines {
    /// The line of a field such as `spec.links[0].mtu`, or of its nearest ancestor.
    pub fn of(&self, field: &str) -> Option<u64> {
        let line = self.root.as_ref()?.follow(field);
        (line > 0).then_some(self.before + line)
    }
}

/// The lines of a document's values, in the shape of the document.
#[derive(Deserialize)]
#[serde(transparent)]
struct Place(Spanned<Shape>);

enum Shape {
    Map(BTreeMap<String, (u64, Place)>),
    List(Vec<Place>),
    Leaf,
}

impl Place {
    fn follow(&self, field: &str) -> u64 {
        let (mut line, mut place) = (self.0.referenced.line(), self);
        for step in field
            .split(['.', '['])
            .map(|step| step.trim_end_matches(']'))
        {
            let next = match &place.0.value {
                Shape::Map(members) => members.get(step).map(|(line, place)| (*line, place)),
                Shape::List(items) => {
                    let item = step
                        .parse::<usize>()
                        .ok()
                        .and_then(|index| items.get(index));
                    item.map(|item| (item.0.referenced.line(), item))
                }
                Shape::Leaf => None,
            };
            let Some(next) = next else { break };
            (line, place) = next;
        }
        line
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Shapes)
    }
}

struct Shapes;

impl<'de> Visitor<'de> for Shapes {
    type Value = Shape;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any value")
    }
    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::Leaf)
    }
    fn visit_none<E>(self) -> Result<Shape, E> {
        Ok(Shape::Leaf)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Shape, E> {
        Ok(Shape::Leaf)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Shape, E> {
        Ok(Shape::Leaf)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Shape, E> {
        Ok(Shape::Leaf)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Shape, E> {
        Ok(Shape::Leaf)
    }
    fn visit_str<E>(self, _: &str) -> Result<Shape, E> {
        Ok(Shape::Leaf)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
        let mut members = BTreeMap::new();
        while let Some((key, value)) = map.next_entry::<Spanned<String>, Place>()? {
            members.insert(key.value, (key.referenced.line(), value));
        }
        Ok(Shape::Map(members))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Shape, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Shape::List(items))
    }
}

#[cfg(test)]
mod tests;

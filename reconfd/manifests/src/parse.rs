//! Parses a manifest's text to its objects and errors. Pure: no file access, and no state of earlier versions.

use std::{cell::OnceCell, collections::BTreeMap, sync::Arc};

use serde_json::Value;
use store::{
    Refusal,
    kinds::{FieldMessages, ObjectKind},
};

use super::{
    documents::{self, Document, Lines},
    key::{ManifestKey, key_of, text},
    object::{self, ManifestObject},
};

/// Validation of an object of a kind, as by an API server: the object with its defaults filled in, or its errors
/// as (field, message).
pub type Admit = dyn Fn(&str, Value) -> Result<Value, Vec<(String, String)>> + Send;

const MAX_DOCUMENTS: usize = 2000;
/// Errors reported per object.
const MAX_OBJECT_ERRORS: usize = 20;
/// Errors reported per file.
const MAX_FILE_ERRORS: usize = 200;
const MAX_MESSAGE_CHARS: usize = 1000;

#[derive(Clone, Debug)]
pub struct ParsedObject {
    pub key: ManifestKey,
    pub document: usize,
    pub line: u64,
    pub object: Arc<ManifestObject>,
}

/// The content of one file.
#[derive(Debug, Default)]
pub struct ParsedFile {
    pub objects: Vec<ParsedObject>,
    pub refused: Vec<(Option<ManifestKey>, Refusal)>,
    /// A part could not be recognised, and may contain objects that are not listed here.
    pub incomplete: bool,
}

pub fn parse(file: &str, text: &str, admit: &Admit) -> ParsedFile {
    let documents = documents::split(text);
    let mut parser = Parser {
        file,
        admit,
        seen: BTreeMap::new(),
        lines: OnceCell::new(),
        more: 0,
        parsed: ParsedFile::default(),
    };
    if documents.len() > MAX_DOCUMENTS {
        let message = format!(
            "has {} documents; more than {MAX_DOCUMENTS} are not read",
            documents.len()
        );
        return ParsedFile {
            refused: vec![(None, Refusal::of_file(file, message))],
            incomplete: true,
            ..ParsedFile::default()
        };
    }
    for document in documents {
        parser.document(document);
    }
    parser.finish()
}

struct Parser<'a> {
    file: &'a str,
    admit: &'a Admit,
    /// The document of each object.
    seen: BTreeMap<ManifestKey, usize>,
    /// Positions in the current document, parsed at its first error.
    lines: OnceCell<Lines>,
    /// Number of errors beyond the limit.
    more: usize,
    parsed: ParsedFile,
}

/// The position of an object: a document, or an item of a `List` in one.
#[derive(Clone, Copy)]
struct At<'a> {
    document: Document<'a>,
    item: Option<usize>,
}

impl Parser<'_> {
    fn document(&mut self, document: Document<'_>) {
        let at = At {
            document,
            item: None,
        };
        match document.parse() {
            Ok(Value::Null) => {}
            Ok(value) if is_list(&value) => self.list(document, value),
            Ok(value) => self.object(at, value),
            Err(error) => {
                self.parsed.incomplete = true;
                self.refuse(at, None, error.line, "", error.message);
            }
        }
    }

    fn list(&mut self, document: Document<'_>, mut value: Value) {
        let Some(Value::Array(items)) = value.get_mut("items").map(Value::take) else {
            self.parsed.incomplete = true;
            let at = At {
                document,
                item: None,
            };
            return self.refuse(at, None, None, "items", "is not a list of objects".into());
        };
        for (index, item) in items.into_iter().enumerate() {
            self.object(
                At {
                    document,
                    item: Some(index),
                },
                item,
            );
        }
    }

    fn object(&mut self, at: At<'_>, mut value: Value) {
        let key = match key_of(&mut value) {
            Ok(key) => key,
            Err(error) => {
                self.parsed.incomplete |= error.may_be_supported;
                return self.refuse(at, None, None, error.field, error.message);
            }
        };
        if let Some(first) = self.seen.get(&key) {
            let message = format!("duplicate of document {first} of this file, which is in force");
            return self.refuse(at, Some(&key), None, "", message);
        }
        match typed(&key, value, self.admit) {
            Ok(object) => {
                let (document, line) = (at.document.number, at.document.line());
                self.seen.insert(key.clone(), document);
                self.parsed.objects.push(ParsedObject {
                    key,
                    document,
                    line,
                    object,
                });
            }
            Err(errors) => self.errors(at, &key, errors),
        }
    }

    fn errors(&mut self, at: At<'_>, key: &ManifestKey, errors: Vec<(String, String)>) {
        let more = errors.len().saturating_sub(MAX_OBJECT_ERRORS);
        for (field, message) in errors.into_iter().take(MAX_OBJECT_ERRORS) {
            self.refuse(at, Some(key), None, &field, message);
        }
        if more > 0 {
            self.refuse(at, Some(key), None, "", format!("and {more} more errors"));
        }
    }

    fn finish(mut self) -> ParsedFile {
        if self.more > 0 {
            let message = format!("and {} more errors in this file", self.more);
            let refusal = Refusal::of_file(self.file, message);
            self.parsed.refused.push((None, refusal));
        }
        self.parsed
    }

    fn refuse(
        &mut self,
        at: At<'_>,
        key: Option<&ManifestKey>,
        line: Option<u64>,
        field: &str,
        message: String,
    ) {
        if self.parsed.refused.len() >= MAX_FILE_ERRORS {
            // The objects of these errors are not recorded, so none may be taken for deleted.
            self.parsed.incomplete = true;
            self.more += 1;
            return;
        }
        let field = match at.item {
            Some(index) if field.is_empty() => format!("items[{index}]"),
            Some(index) => format!("items[{index}].{field}"),
            None => field.to_owned(),
        };
        let line = line
            .or_else(|| self.lines.get_or_init(|| at.document.lines()).of(&field))
            .unwrap_or_else(|| at.document.line());
        let refusal = Refusal {
            file: self.file.to_owned(),
            document: Some(at.document.number),
            line: Some(line),
            object: key.map(ManifestKey::to_string),
            field: Some(field).filter(|field| !field.is_empty()),
            message: bounded(message),
        };
        self.parsed.refused.push((key.cloned(), refusal));
    }
}

fn is_list(value: &Value) -> bool {
    text(value, "apiVersion") == Some("v1") && text(value, "kind") == Some("List")
}

fn bounded(message: String) -> String {
    if message.len() <= MAX_MESSAGE_CHARS {
        return message;
    }
    message
        .chars()
        .take(MAX_MESSAGE_CHARS)
        .chain("…".chars())
        .collect()
}

fn typed(
    key: &ManifestKey,
    mut value: Value,
    admit: &Admit,
) -> Result<Arc<ManifestObject>, FieldMessages> {
    // A pod's status has its addresses; the status of every other kind is written by us.
    if let (Some(members), true) = (value.as_object_mut(), key.kind != ObjectKind::Pod) {
        members.remove("status");
    }
    let value = admit(key.kind.as_str(), value)?;
    object::parse(key.kind, value)
}

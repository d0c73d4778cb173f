//! A manifest's text to the objects in it, each with what is wrong with it. Pure: no folder, no
//! memory of what was there before.

use std::{cell::OnceCell, collections::BTreeMap};

use crds::{PeerSlice, PodConfig, PodConfigPolicy};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    documents::{self, Document, Lines},
    key::{Key, Kind, key_of, text},
};
use crate::source::{Pod, Refusal};

/// What the API server would say of an object of this kind: itself with its defaults filled in, or
/// every (field, message) that is wrong.
pub type Admit = dyn Fn(&str, Value) -> Result<Value, Vec<(String, String)>> + Send;

const MOST_DOCUMENTS: usize = 2000;
/// Of one document; what is more is not worth a person's time.
const MOST_FAULTS: usize = 20;
/// Of one file.
const MOST_REFUSALS: usize = 200;
const LONGEST_MESSAGE: usize = 1000;

#[derive(Clone, Debug)]
pub enum Object {
    PodConfig(Box<PodConfig>),
    Policy(Box<PodConfigPolicy>),
    PeerSlice(Box<PeerSlice>),
    Pod(Box<Pod>),
    Namespace(Box<ObjectMeta>),
}

#[derive(Clone, Debug)]
pub struct Found {
    pub key: Key,
    pub document: usize,
    pub line: u64,
    pub object: Object,
}

/// What one file says.
#[derive(Debug, Default)]
pub struct Contents {
    pub found: Vec<Found>,
    pub refused: Vec<(Option<Key>, Refusal)>,
    /// Some part could not be recognised, so an object that is not among these may be in it.
    pub obscure: bool,
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::PodConfig(a), Self::PodConfig(b)) => {
                a.metadata == b.metadata && a.spec == b.spec
            }
            (Self::Policy(a), Self::Policy(b)) => a.metadata == b.metadata && a.spec == b.spec,
            (Self::PeerSlice(a), Self::PeerSlice(b)) => {
                a.metadata == b.metadata && a.spec == b.spec
            }
            (Self::Pod(a), Self::Pod(b)) => a == b,
            (Self::Namespace(a), Self::Namespace(b)) => a == b,
            _ => false,
        }
    }
}

pub fn contents(file: &str, text: &str, admit: &Admit) -> Contents {
    let documents = documents::split(text);
    let mut reader = Reader {
        file,
        admit,
        seen: BTreeMap::new(),
        lines: OnceCell::new(),
        more: 0,
        contents: Contents::default(),
    };
    if documents.len() > MOST_DOCUMENTS {
        let message = format!(
            "has {} documents; more than {MOST_DOCUMENTS} are not read",
            documents.len()
        );
        let refusal = Refusal {
            file: file.into(),
            message,
            ..Refusal::default()
        };
        return Contents {
            refused: vec![(None, refusal)],
            obscure: true,
            ..Contents::default()
        };
    }
    for document in documents {
        reader.document(document);
    }
    reader.finish()
}

struct Reader<'a> {
    file: &'a str,
    admit: &'a Admit,
    /// The document that each object is in.
    seen: BTreeMap<Key, usize>,
    /// Of the document at hand, once something in it is wrong.
    lines: OnceCell<Lines>,
    /// Refusals beyond those that are told.
    more: usize,
    contents: Contents,
}

/// The place of an object: a document, or an item of a `List` in one.
#[derive(Clone, Copy)]
struct At<'a> {
    document: Document<'a>,
    item: Option<usize>,
}

impl Reader<'_> {
    fn document(&mut self, document: Document<'_>) {
        let at = At {
            document,
            item: None,
        };
        match document.parse() {
            Ok(Value::Null) => {}
            Ok(value) if is_list(&value) => self.list(document, value),
            Ok(value) => self.object(at, value),
            Err(flaw) => {
                self.contents.obscure = true;
                self.refuse(at, None, flaw.line, "", flaw.message);
            }
        }
    }

    fn list(&mut self, document: Document<'_>, mut value: Value) {
        let Some(Value::Array(items)) = value.get_mut("items").map(Value::take) else {
            self.contents.obscure = true;
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
            Err(stranger) => {
                self.contents.obscure |= stranger.obscure;
                return self.refuse(at, None, None, stranger.field, stranger.message);
            }
        };
        if let Some(twin) = self.seen.get(&key) {
            let message = format!("is already in document {twin} of this file, which counts");
            return self.refuse(at, Some(&key), None, "", message);
        }
        match typed(&key, value, self.admit) {
            Ok(object) => {
                let (document, line) = (at.document.number, at.document.line());
                self.seen.insert(key.clone(), document);
                self.contents.found.push(Found {
                    key,
                    document,
                    line,
                    object,
                });
            }
            Err(faults) => self.faults(at, &key, faults),
        }
    }

    fn faults(&mut self, at: At<'_>, key: &Key, faults: Vec<(String, String)>) {
        let more = faults.len().saturating_sub(MOST_FAULTS);
        for (field, message) in faults.into_iter().take(MOST_FAULTS) {
            self.refuse(at, Some(key), None, &field, message);
        }
        if more > 0 {
            self.refuse(
                at,
                Some(key),
                None,
                "",
                format!("and {more} more of the kind"),
            );
        }
    }

    fn finish(mut self) -> Contents {
        if self.more > 0 {
            let message = format!("and {} more faults in this file", self.more);
            let refusal = Refusal {
                file: self.file.into(),
                message,
                ..Refusal::default()
            };
            self.contents.refused.push((None, refusal));
        }
        self.contents
    }

    fn refuse(
        &mut self,
        at: At<'_>,
        key: Option<&Key>,
        line: Option<u64>,
        field: &str,
        message: String,
    ) {
        if self.contents.refused.len() >= MOST_REFUSALS {
            // Which objects these are is not kept, so none may be taken for gone.
            self.contents.obscure = true;
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
            object: key.map(Key::to_string),
            field: Some(field).filter(|field| !field.is_empty()),
            message: bounded(message),
        };
        self.contents.refused.push((key.cloned(), refusal));
    }
}

fn is_list(value: &Value) -> bool {
    text(value, "apiVersion") == Some("v1") && text(value, "kind") == Some("List")
}

fn bounded(message: String) -> String {
    if message.len() <= LONGEST_MESSAGE {
        return message;
    }
    message
        .chars()
        .take(LONGEST_MESSAGE)
        .chain("…".chars())
        .collect()
}

fn typed(key: &Key, mut value: Value, admit: &Admit) -> Result<Object, Vec<(String, String)>> {
    // The status of a pod says where it is; that of any other object is for us to say.
    if let (Some(members), true) = (value.as_object_mut(), key.kind != Kind::Pod) {
        members.remove("status");
    }
    let mut value = admit(key.kind.as_str(), value)?;
    Ok(match key.kind {
        Kind::PodConfig => Object::PodConfig(Box::new(whole(value)?)),
        Kind::PodConfigPolicy => Object::Policy(Box::new(whole(value)?)),
        Kind::PeerSlice => Object::PeerSlice(Box::new(whole(value)?)),
        Kind::Pod => {
            let metadata = metadata(&mut value)?;
            Object::Pod(Box::new(Pod {
                metadata,
                spec: member(&mut value, "spec")?,
                status: member(&mut value, "status")?,
            }))
        }
        Kind::Namespace => Object::Namespace(Box::new(metadata(&mut value)?)),
    })
}

fn whole<T: DeserializeOwned>(value: Value) -> Result<T, Vec<(String, String)>> {
    serde_json::from_value(value).map_err(|error| vec![(String::new(), error.to_string())])
}

/// A member of the object, as empty as it gets where it is not there.
fn member<T: DeserializeOwned + Default>(
    value: &mut Value,
    name: &str,
) -> Result<T, Vec<(String, String)>> {
    match value.get_mut(name).map(Value::take) {
        None | Some(Value::Null) => Ok(T::default()),
        Some(member) => serde_json::from_value(member)
            .map_err(|error| vec![(name.to_owned(), error.to_string())]),
    }
}

/// The members that anybody here looks at.
fn metadata(value: &mut Value) -> Result<ObjectMeta, Vec<(String, String)>> {
    let metadata = value
        .get_mut("metadata")
        .map(Value::take)
        .unwrap_or_default();
    let whole: ObjectMeta = serde_json::from_value(metadata)
        .map_err(|error| vec![("metadata".into(), error.to_string())])?;
    Ok(ObjectMeta {
        name: whole.name,
        namespace: whole.namespace,
        uid: whole.uid,
        labels: whole.labels,
        creation_timestamp: whole.creation_timestamp,
        ..ObjectMeta::default()
    })
}

//! What an operation asks the engine for, and what it gets back.

use std::collections::BTreeSet;

use cni::FrozenChain;
use serde_json::Value;

use crate::{
    entry::{Entry, Facts, MultusFile, Slot},
    ports::{AddOutcome, CheckOutcome, DelOutcome, Ready, Remains, Verdict},
    status::Failure,
};

/// What the engine is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    Preflight(Box<FrozenChain>),
    /// Opens the namespace for the requests that follow.
    Open(Box<Entry>),
    BeforeAdd(Box<Entry>),
    /// Writes an entry that has no file.
    Create(Box<Entry>),
    Add(Box<Entry>),
    /// Replaces an entry's file.
    Save(Box<Entry>),
    Judge(Box<Entry>),
    SetRoutes(Box<Entry>),
    BeforeDel(Box<Entry>),
    Del(Box<Entry>),
    AfterDel(Box<Entry>),
    Remove(String),
    Lose(String),
    Check(Box<Entry>, Option<BTreeSet<usize>>),
    /// Reads what Multus has stored of a slot.
    ReadMultus(Slot),
    /// Reads what the kernel shows of it.
    Look(Box<Entry>),
    /// Removes what Multus has stored.
    RemoveMultus(Box<Entry>),
}

/// What came of a request, in the order of [`Request`].
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    Preflight(Result<Ready, Failure>),
    Opened(Opened),
    BeforeAdd(Result<Option<Value>, Failure>),
    Add(AddOutcome),
    /// Of `Create`, `Save`, `Remove` and `Lose`.
    Stored(Result<(), String>),
    Judge(Verdict),
    SetRoutes(Result<(), Failure>),
    BeforeDel(Result<Option<Value>, Failure>),
    Del(DelOutcome),
    AfterDel(Remains),
    Check(CheckOutcome),
    ReadMultus(Result<Option<MultusFile>, Failure>),
    Look(Result<Facts, Failure>),
    RemoveMultus(Result<(), Failure>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    Alive,
    Gone,
    Unknown(Failure),
}

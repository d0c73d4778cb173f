//! The nftables table as the kernel has it.

use std::collections::{BTreeMap, BTreeSet};

use super::source::Element;

#[derive(Debug, Default)]
pub struct FoundTable {
    /// The whole table was switched off (dormant).
    pub is_dormant: bool,
    pub chains: BTreeMap<String, FoundChain>,
    pub sets: BTreeMap<String, FoundSet>,
}

#[derive(Debug, Default)]
pub struct FoundChain {
    pub described: Vec<u8>,
    /// The expressions of each rule.
    pub rules: Vec<Vec<u8>>,
}

#[derive(Debug, Default)]
pub struct FoundSet {
    pub described: Vec<u8>,
    pub elements: BTreeSet<Element>,
}

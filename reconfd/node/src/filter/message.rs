//! The table's netlink messages, and the comparison of the kernel's dump with the wanted layout. Pure.

use std::collections::BTreeSet;

use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL};

use crate::netlink::{Body, Request};

use super::{
    attribute::{Attribute, each, find, find_number},
    expression,
    found::{FoundChain, FoundSet, FoundTable},
    layout::{Layout, NftChain, NftRule, NftSet, SetKind},
    source::{Element, Family},
};

pub const SUBSYSTEM: u8 = 10;
pub const NEWTABLE: u16 = 0;
const DELTABLE: u16 = 2;
const NEWCHAIN: u16 = 3;
const NEWRULE: u16 = 6;
const NEWSET: u16 = 9;
const NEWSETELEM: u16 = 12;
const NFPROTO_INET: u8 = 1;

/// An attribute holds at most 64 KiB.
const MOST_ELEMENTS: usize = 1000;

/// One message of nf_tables.
pub fn body(kind: u16, attributes: &[Attribute]) -> Body {
    let mut body = vec![NFPROTO_INET, 0, 0, 0];
    for attribute in attributes {
        attribute.append(&mut body);
    }
    Body::Raw(u16::from(SUBSYSTEM) << 8 | kind, body)
}

/// Replaces the table, whatever its content. Without chains the table is deleted.
pub fn replacement(table: &str, layout: &Layout) -> Vec<Request> {
    let mut requests = removal(table);
    if layout.chains.is_empty() {
        return requests;
    }
    let request = |op: String, flags, kind, attributes: &[Attribute]| {
        Request::of_body(op, NLM_F_CREATE | flags, body(kind, attributes))
    };
    let op = format!("create nft table {table}");
    let comment = comment(6, "podconfig: who may send into a tunnel");
    let attributes = [Attribute::text(1, table), comment];
    requests.push(request(op, NLM_F_EXCL, NEWTABLE, &attributes));
    for chain in &layout.chains {
        let op = format!("create nft chain {} in {table}", chain.name);
        let attributes = [table_and(table, 3, &chain.name), of_chain(chain)].concat();
        requests.push(request(op, NLM_F_EXCL, NEWCHAIN, &attributes));
    }
    for (number, set) in (1..).zip(&layout.sets) {
        let op = format!("create nft set {} in {table}", set.name);
        let mut attributes = [table_and(table, 2, &set.name), of_set(set)].concat();
        attributes.extend([Attribute::number(10, number), note_of_set(set)]);
        requests.push(request(op, NLM_F_EXCL, NEWSET, &attributes));
    }
    for (set, part) in layout.sets.iter().flat_map(parts) {
        let op = format!("fill nft set {} in {table}", set.name);
        let mut attributes = table_and(table, 2, &set.name);
        attributes.push(part);
        requests.push(request(op, 0, NEWSETELEM, &attributes));
    }
    for (chain, rule) in layout.chains.iter().flat_map(rules) {
        let op = format!("add a rule to nft chain {} in {table}", chain.name);
        let attributes = [table_and(table, 2, &chain.name), of_rule(rule)].concat();
        requests.push(request(op, NLM_F_APPEND, NEWRULE, &attributes));
    }
    requests
}

/// Deletes the table, which need not exist: it is created first.
fn removal(table: &str) -> Vec<Request> {
    let name = [Attribute::text(1, table)];
    let (make, delete) = (body(NEWTABLE, &name), body(DELTABLE, &name));
    vec![
        Request::of_body(format!("find nft table {table}"), NLM_F_CREATE, make),
        Request::of_body(format!("delete nft table {table}"), 0, delete),
    ]
}

impl Layout {
    pub fn is(&self, found: Option<&FoundTable>) -> bool {
        let Some(found) = found else {
            return self.chains.is_empty();
        };
        !self.chains.is_empty()
            && !found.is_dormant
            && self.chains.len() == found.chains.len()
            && self.sets.len() == found.sets.len()
            && self.chains.iter().all(|chain| {
                let found = found.chains.get(&chain.name);
                found.is_some_and(|found| chain.is(found))
            })
            && self.sets.iter().all(|set| {
                let found = found.sets.get(&set.name);
                found.is_some_and(|found| set.is(found))
            })
    }
}

impl NftChain {
    fn is(&self, found: &FoundChain) -> bool {
        let described = of_chain(self)
            .iter()
            .all(|attribute| attribute.is_in(&found.described));
        let rules = || self.rules.iter().zip(&found.rules);
        described
            && self.rules.len() == found.rules.len()
            && rules().all(|(rule, found)| expression::are(&rule.expressions, found))
    }
}

impl NftSet {
    fn is(&self, found: &FoundSet) -> bool {
        let described = of_set(self)
            .iter()
            .all(|attribute| attribute.is_in(&found.described));
        described && self.elements == found.elements
    }
}

fn table_and(table: &str, kind: u16, name: &str) -> Vec<Attribute> {
    vec![Attribute::text(1, table), Attribute::text(kind, name)]
}

fn of_chain(chain: &NftChain) -> Vec<Attribute> {
    const NF_ACCEPT: u32 = 1;
    let Some(hook) = chain.hook else {
        return Vec::new();
    };
    let place = vec![
        Attribute::number(1, hook.number),
        Attribute::number(2, hook.priority as u32),
    ];
    vec![
        Attribute::Nest(4, place),
        Attribute::number(5, NF_ACCEPT),
        Attribute::text(7, "filter"),
    ]
}

/// Flags, key type (a number that only nft uses) and key length.
fn of_set(set: &NftSet) -> Vec<Attribute> {
    const NFT_SET_INTERVAL: u32 = 4;
    let (kind, length) = match set.kind {
        SetKind::Sources(Family::V4) => (7, 4),
        SetKind::Sources(Family::V6) => (8, 16),
        SetKind::Links => (20, 4),
    };
    let flags = (set.kind != SetKind::Links).then(|| Attribute::number(3, NFT_SET_INTERVAL));
    let key = [Attribute::number(4, kind), Attribute::number(5, length)];
    flags.into_iter().chain(key).collect()
}

/// nft's user data of a set: whether keys are in host or network byte order.
fn note_of_set(set: &NftSet) -> Attribute {
    let order: u32 = if set.kind == SetKind::Links { 1 } else { 2 };
    Attribute::Leaf(13, note(0, &order.to_ne_bytes()))
}

fn parts(set: &NftSet) -> impl Iterator<Item = (&NftSet, Attribute)> {
    let last = set.elements.last();
    let ends_open = last.filter(|last| set.kind != SetKind::Links && !last.is_end);
    let all: Vec<&Element> = set.elements.iter().collect();
    let parts: Vec<Attribute> = all
        .chunks(MOST_ELEMENTS)
        .map(|part| {
            let each = part.iter();
            let each = each.map(|element| of_element(element, Some(*element) == ends_open));
            Attribute::Nest(3, each.collect())
        })
        .collect();
    parts.into_iter().map(move |part| (set, part))
}

fn of_element(element: &Element, is_open: bool) -> Attribute {
    const NFT_SET_ELEM_INTERVAL_END: u32 = 1;
    let mut inner = vec![Attribute::Nest(
        1,
        vec![Attribute::Leaf(1, element.key.clone())],
    )];
    if element.is_end {
        inner.push(Attribute::number(3, NFT_SET_ELEM_INTERVAL_END));
    }
    if is_open {
        // nft's user data of a range up to the last address.
        inner.push(Attribute::Leaf(6, note(1, &1u32.to_ne_bytes())));
    }
    Attribute::Nest(1, inner)
}

fn rules(chain: &NftChain) -> impl Iterator<Item = (&NftChain, &NftRule)> {
    chain.rules.iter().map(move |rule| (chain, rule))
}

fn of_rule(rule: &NftRule) -> Vec<Attribute> {
    let expressions = rule.expressions.iter().map(|each| each.encode());
    let mut attributes = vec![Attribute::Nest(4, expressions.collect())];
    attributes.extend(rule.comment.map(|text| comment(7, text)));
    attributes
}

fn comment(kind: u16, text: &str) -> Attribute {
    Attribute::Leaf(kind, note(0, &[text.as_bytes(), b"\0"].concat()))
}

/// nft's user data of an object: type, length, value.
fn note(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind, value.len() as u8], value].concat()
}

/// The elements of one message of a dump.
pub fn read_elements(message: &[u8]) -> BTreeSet<Element> {
    let read = |(_, element)| {
        let key = find(find(element, 1)?, 1)?.to_vec();
        let is_end = find_number(element, 3).is_some_and(|flags| flags & 1 == 1);
        Some(Element { key, is_end })
    };
    each(find(message, 3).unwrap_or_default())
        .filter_map(read)
        .collect()
}

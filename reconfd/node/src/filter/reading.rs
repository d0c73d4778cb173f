//! Reads the table from the kernel.

use std::collections::{BTreeMap, BTreeSet};

use nix::errno::Errno;

use crate::netlink::{Error, Socket};

use super::{
    attribute::{Attribute, find, find_number, find_text},
    found::{FoundChain, FoundSet, FoundTable},
    message::{body, read_elements},
};

const GETTABLE: u16 = 1;
const GETCHAIN: u16 = 4;
const GETRULE: u16 = 7;
const GETSET: u16 = 10;
const GETSETELEM: u16 = 13;
const GETGEN: u16 = 16;
/// `struct nfgenmsg`.
const HEADER: usize = 4;

/// The kernel's generation id of all tables of the namespace.
pub fn generation(socket: &mut Socket) -> Result<Option<u32>, Error> {
    let read = |message: &[u8]| find_number(attributes(message), 1);
    socket.get("get the nft generation", &body(GETGEN, &[]), read)
}

/// Reads the table, if it exists.
pub fn read(socket: &mut Socket, table: &str) -> Result<Option<FoundTable>, Error> {
    let op = format!("read nft table {table}");
    match read_all(socket, table, &op) {
        // It was deleted meanwhile.
        Err(error) if error.errno == Errno::ENOENT => Ok(None),
        found => found,
    }
}

fn read_all(socket: &mut Socket, table: &str, op: &str) -> Result<Option<FoundTable>, Error> {
    let name = [Attribute::text(1, table)];
    let flags = |message: &[u8]| Some(find_number(attributes(message), 2).unwrap_or(0));
    let Some(flags) = socket.get(op, &body(GETTABLE, &name), flags)? else {
        return Ok(None);
    };
    let mut found = FoundTable {
        is_dormant: flags != 0,
        chains: read_chains(socket, table, op)?,
        sets: read_sets(socket, table, op)?,
    };
    for (name, set) in &mut found.sets {
        let request = [Attribute::text(1, table), Attribute::text(2, name)];
        set.elements = socket.dump(
            op,
            &body(GETSETELEM, &request),
            |all: &mut BTreeSet<_>, _, message| all.extend(read_elements(attributes(message))),
        )?;
    }
    Ok(Some(found))
}

fn read_chains(
    socket: &mut Socket,
    table: &str,
    op: &str,
) -> Result<BTreeMap<String, FoundChain>, Error> {
    let mut chains: BTreeMap<String, FoundChain> =
        named(socket, table, op, GETCHAIN, 3, |described| FoundChain {
            described,
            rules: Vec::new(),
        })?;
    let request = body(GETRULE, &[Attribute::text(1, table)]);
    let rules = socket.dump(op, &request, |all: &mut Vec<_>, _, message| {
        let rule = attributes(message);
        if is_of(rule, table) {
            let expressions = find(rule, 4).unwrap_or_default().to_vec();
            all.extend(find_text(rule, 2).map(|chain| (chain, expressions)));
        }
    })?;
    for (chain, rule) in rules {
        chains.entry(chain).or_default().rules.push(rule);
    }
    Ok(chains)
}

fn read_sets(
    socket: &mut Socket,
    table: &str,
    op: &str,
) -> Result<BTreeMap<String, FoundSet>, Error> {
    named(socket, table, op, GETSET, 2, |described| FoundSet {
        described,
        elements: BTreeSet::new(),
    })
}

/// All objects of a kind in the table, by name. Some kernels return those of other tables too.
fn named<T>(
    socket: &mut Socket,
    table: &str,
    op: &str,
    request: u16,
    name: u16,
    make: impl Fn(Vec<u8>) -> T,
) -> Result<BTreeMap<String, T>, Error> {
    let request = body(request, &[Attribute::text(1, table)]);
    let described = socket.dump(op, &request, |all: &mut Vec<Vec<u8>>, _, message| {
        all.extend(is_of(attributes(message), table).then(|| attributes(message).to_vec()));
    })?;
    let named = described.into_iter();
    Ok(named
        .filter_map(|bytes| Some((find_text(&bytes, name)?, make(bytes))))
        .collect())
}

fn is_of(object: &[u8], table: &str) -> bool {
    find_text(object, 1).as_deref() == Some(table)
}

fn attributes(message: &[u8]) -> &[u8] {
    message.get(HEADER..).unwrap_or_default()
}

//! The expressions of nf_tables rules. Pure.
//!
//! Every expression loads into one register or evaluates it. If a load fails (the header is missing or in
//! another fragment), the rule does not match.

use super::{
    attribute::{Attribute, each, find, find_text},
    source::Family,
};

const NFTA_LIST_ELEM: u16 = 1;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_DATA_VERDICT: u16 = 2;
const NFT_REG_1: u32 = 1;

#[derive(Clone, Copy, Debug)]
pub enum Header {
    Network = 1,
    Transport = 2,
}

#[derive(Clone, Copy, Debug)]
pub enum Compare {
    Equal = 0,
    Unequal = 1,
    AtLeast = 5,
}

#[derive(Clone, Debug)]
pub struct Expression {
    name: &'static str,
    data: Vec<Attribute>,
}

impl Expression {
    fn new(name: &'static str, data: Vec<Attribute>) -> Self {
        Self { name, data }
    }

    pub fn encode(&self) -> Attribute {
        let name = Attribute::text(NFTA_EXPR_NAME, self.name);
        let data = Attribute::Nest(NFTA_EXPR_DATA, self.data.clone());
        Attribute::Nest(NFTA_LIST_ELEM, vec![name, data])
    }

    fn is(&self, dumped: &[u8]) -> bool {
        let name = find_text(dumped, NFTA_EXPR_NAME);
        let data = find(dumped, NFTA_EXPR_DATA).unwrap_or_default();
        name.as_deref() == Some(self.name) && self.data.iter().all(|part| part.is_in(data))
    }
}

/// Whether a dumped rule has exactly these expressions.
pub fn are(expressions: &[Expression], dumped: &[u8]) -> bool {
    let found: Vec<&[u8]> = each(dumped).map(|(_, expression)| expression).collect();
    found.len() == expressions.len()
        && expressions
            .iter()
            .zip(found)
            .all(|(expression, found)| expression.is(found))
}

/// Loads `length` bytes from an offset into a header.
pub fn load(header: Header, offset: u32, length: u32) -> Expression {
    let numbers = [NFT_REG_1, header as u32, offset, length];
    Expression::new("payload", numbered(&numbers))
}

pub fn compare(how: Compare, value: &[u8]) -> Expression {
    let mut data = numbered(&[NFT_REG_1, how as u32]);
    data.push(value_of(3, value));
    Expression::new("cmp", data)
}

/// Applies a bit mask.
pub fn mask(bits: [u8; 2]) -> Expression {
    let mut data = numbered(&[NFT_REG_1, NFT_REG_1, bits.len() as u32]);
    data.extend([value_of(4, &bits), value_of(5, &[0; 2])]);
    Expression::new("bitwise", data)
}

pub fn is_udp() -> [Expression; 2] {
    const NFT_META_L4PROTO: u32 = 16;
    const UDP: u8 = 17;
    [meta(NFT_META_L4PROTO), compare(Compare::Equal, &[UDP])]
}

pub fn is_of(family: Family) -> [Expression; 2] {
    const NFT_META_NFPROTO: u32 = 15;
    let number = match family {
        Family::V4 => 2,
        Family::V6 => 10,
    };
    [meta(NFT_META_NFPROTO), compare(Compare::Equal, &[number])]
}

/// Loads the ifindex of the input link.
pub fn link() -> Expression {
    const NFT_META_IIF: u32 = 4;
    meta(NFT_META_IIF)
}

/// The packet has an output link. In `input` the kernel loads 0, an older one nothing.
pub fn goes_on() -> [Expression; 2] {
    const NFT_META_OIF: u32 = 5;
    [meta(NFT_META_OIF), compare(Compare::Unequal, &[0; 4])]
}

/// The packet's source is in the set.
pub fn comes_from(family: Family, set: &str) -> [Expression; 2] {
    let (offset, length) = match family {
        Family::V4 => (12, 4),
        Family::V6 => (8, 16),
    };
    [load(Header::Network, offset, length), is_in(set, true)]
}

/// The packet's destination is in the set, or is not.
pub fn goes_to(family: Family, set: &str, wanted: bool) -> [Expression; 2] {
    let (offset, length) = match family {
        Family::V4 => (16, 4),
        Family::V6 => (24, 16),
    };
    [load(Header::Network, offset, length), is_in(set, wanted)]
}

/// The loaded value is in the set, or is not.
pub fn is_in(set: &str, wanted: bool) -> Expression {
    let data = vec![
        Attribute::text(1, set),
        Attribute::number(2, NFT_REG_1),
        Attribute::number(5, u32::from(!wanted)),
    ];
    Expression::new("lookup", data)
}

/// Loads from the IPv6 fragment header, or whether there is one.
pub fn fragment_header(offset: u32, length: u32, present: bool) -> Expression {
    const FRAGMENT: u8 = 44;
    let data = vec![
        Attribute::number(1, NFT_REG_1),
        Attribute::Leaf(2, vec![FRAGMENT]),
        Attribute::number(3, offset),
        Attribute::number(4, length),
        Attribute::number(5, u32::from(present)),
    ];
    Expression::new("exthdr", data)
}

pub fn drop() -> Expression {
    verdict(0, None)
}

pub fn accept() -> Expression {
    verdict(1, None)
}

/// Returns to the calling chain.
pub fn back() -> Expression {
    verdict(-5, None)
}

pub fn jump(chain: &str) -> Expression {
    verdict(-3, Some(chain))
}

/// A jump without return.
pub fn goto(chain: &str) -> Expression {
    verdict(-4, Some(chain))
}

fn verdict(code: i32, chain: Option<&str>) -> Expression {
    const NFT_REG_VERDICT: u32 = 0;
    let mut verdict = vec![Attribute::number(1, code as u32)];
    verdict.extend(chain.map(|chain| Attribute::text(2, chain)));
    let data = Attribute::Nest(2, vec![Attribute::Nest(NFTA_DATA_VERDICT, verdict)]);
    Expression::new(
        "immediate",
        vec![Attribute::number(1, NFT_REG_VERDICT), data],
    )
}

fn meta(key: u32) -> Expression {
    Expression::new("meta", numbered(&[NFT_REG_1, key]))
}

/// Attributes 1, 2, … of these values.
fn numbered(values: &[u32]) -> Vec<Attribute> {
    (1..)
        .zip(values)
        .map(|(kind, value)| Attribute::number(kind, *value))
        .collect()
}

fn value_of(kind: u16, value: &[u8]) -> Attribute {
    let value = Attribute::Leaf(NFTA_DATA_VALUE, value.into());
    Attribute::Nest(kind, vec![value])
}

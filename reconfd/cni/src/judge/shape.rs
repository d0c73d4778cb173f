//! The form of a value that harms nobody but the pod that has it.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde_json::Value;

use crate::names;

/// As many as a result may have.
const MOST_ITEMS: usize = 64;
const LONGEST_DOMAIN: usize = 253;

#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// A switch, in both positions.
    Bool,
    /// A switch that only harms when it is on.
    Off,
    /// A switch that only harms when it is off.
    On,
    Int(u64, u64),
    /// The first is the default.
    OneOf(&'static [&'static str]),
    /// A name within the pod.
    Interface,
    /// A network or an address. What is in use elsewhere is found in the result.
    Address,
    Network,
    Networks,
    Routes,
    /// `[{address, gateway}]`
    Addresses,
    /// Sets of ranges of host-local.
    Ranges,
    Dns,
    /// `{ips: true}`
    Capabilities,
}

impl Shape {
    /// Whether a rule that lists the key allows only what it lists.
    pub(super) fn narrows(self) -> bool {
        matches!(
            self,
            Self::Int(..) | Self::OneOf(_) | Self::Interface | Self::Address | Self::Network
        )
    }

    pub(super) fn matches(self, value: &Value) -> bool {
        match self {
            Self::Bool => value.is_boolean(),
            Self::Off => value == &Value::Bool(false),
            Self::On => value == &Value::Bool(true),
            Self::Int(least, most) => value
                .as_u64()
                .is_some_and(|number| (least..=most).contains(&number)),
            Self::OneOf(texts) => is_text(value, |text| text.is_empty() || texts.contains(&text)),
            Self::Interface => is_text(value, |name| names::interface(name).is_ok()),
            Self::Address => is_text(value, is_address),
            Self::Network => is_text(value, is_network),
            Self::Networks => is_list(value, |item| is_text(item, is_network)),
            Self::Routes => is_list(value, is_route),
            Self::Addresses => is_list(value, |item| {
                has(item, &["address"], |key, value| match key {
                    "address" => is_text(value, is_network),
                    "gateway" => is_text(value, is_address),
                    _ => false,
                })
            }),
            Self::Ranges => is_list(value, |set| is_list(set, is_range)),
            Self::Dns => has(value, &[], |key, value| match key {
                "nameservers" => is_list(value, |item| is_text(item, is_address)),
                "domain" => is_text(value, is_domain),
                "search" | "options" => is_list(value, |item| is_text(item, is_domain)),
                _ => false,
            }),
            Self::Capabilities => has(value, &[], |_, value| value.is_boolean()),
        }
    }
}

fn is_text(value: &Value, test: impl Fn(&str) -> bool) -> bool {
    value.as_str().is_some_and(test)
}

fn is_list(value: &Value, test: impl Fn(&Value) -> bool) -> bool {
    value
        .as_array()
        .is_some_and(|items| items.len() <= MOST_ITEMS && items.iter().all(test))
}

/// An object with the needed members, each of which passes.
fn has(value: &Value, needed: &[&str], test: impl Fn(&str, &Value) -> bool) -> bool {
    value.as_object().is_some_and(|members| {
        needed.iter().all(|key| members.contains_key(*key))
            && members.iter().all(|(key, value)| test(key, value))
    })
}

/// An IPv4 address in the form of IPv6 is another text for the same address.
fn is_plain(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => true,
        IpAddr::V6(address) => address.to_ipv4_mapped().is_none(),
    }
}

fn is_address(text: &str) -> bool {
    text.parse().is_ok_and(is_plain)
}

fn is_network(text: &str) -> bool {
    let has_prefix = text
        .split_once('/')
        .is_some_and(|(_, prefix)| prefix.bytes().all(|byte| byte.is_ascii_digit()));
    has_prefix
        && text
            .parse::<IpNetwork>()
            .is_ok_and(|network| is_plain(network.ip()))
}

fn is_domain(text: &str) -> bool {
    text.len() <= LONGEST_DOMAIN
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-:".contains(&byte))
}

fn is_route(value: &Value) -> bool {
    has(value, &["dst"], |key, value| match key {
        "dst" => is_text(value, is_network),
        "gw" => is_text(value, is_address),
        "mtu" | "advmss" => Shape::Int(0, 65_535).matches(value),
        "priority" => Shape::Int(0, u32::MAX.into()).matches(value),
        _ => false,
    })
}

pub(super) fn is_range(value: &Value) -> bool {
    has(value, &["subnet"], |key, value| match key {
        "subnet" => is_text(value, is_network),
        "rangeStart" | "rangeEnd" | "gateway" => is_text(value, is_address),
        _ => false,
    })
}

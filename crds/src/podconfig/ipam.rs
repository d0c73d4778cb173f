//! `ipam`: address allocation, one address per pod and range.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Cidr, claim::DEFAULT_DOMAIN, shape};

// The API server's cost estimate knows `==` of networks, but treats `!=` as unbounded: hence `!(a == b)`.

/// Address allocation, in addition to `addresses`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = shape::rules(&[
    (
        "has(self.domain) || has(self.ranges) && size(self.ranges) > 0",
        "ipam without ranges gives no address; add ranges, or the domain of the addresses that are listed",
    ),
    (
        "!has(self.ranges) || self.ranges.all(a, !isCIDR(a.cidr) || self.ranges.exists_one(b, isCIDR(b.cidr) \
         && (cidr(a.cidr).containsCIDR(b.cidr) || cidr(b.cidr).containsCIDR(a.cidr))))",
        "a pod gets an address of each range, so the ranges of a link do not overlap; write one, and what it leaves out under exclude",
    ),
])))]
pub struct Ipam {
    /// Routing domain in which addresses are unique: 1 to 63 lower-case letters, digits and `-`; the policy must list
    /// it. Pods that may be connected must use the same domain. Default: `cluster`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shape::domain")]
    pub domain: Option<String>,
    /// Each pod gets one free address from each range: at most 4, IPv4, IPv6 or both, not overlapping. Default: none,
    /// only `addresses`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4), extend("x-kubernetes-list-type" = "atomic"))]
    pub ranges: Vec<Range>,
}

/// A range of addresses, from which each pod gets a free one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = shape::rules(&[
    (
        "!has(self.start) || !isIP(self.start) || !isCIDR(self.cidr) || cidr(self.cidr).containsIP(self.start)",
        "start is an address of cidr",
    ),
    (
        "!has(self.end) || !isIP(self.end) || !isCIDR(self.cidr) || cidr(self.cidr).containsIP(self.end)",
        "end is an address of cidr",
    ),
    // CEL cannot compare addresses. IPv4 is converted to numbers; the nodes check IPv6.
    (
        "!has(self.start) || !has(self.end) || !isIP(self.start) || !isIP(self.end) || self.start.contains(':') || self.end.contains(':') \
         || [[self.start, self.end].map(a, a.split('.').map(n, int(n))).map(n, n[0] * 16777216 + n[1] * 65536 + n[2] * 256 + n[3])] \
         .all(ends, ends[0] <= ends[1])",
        "start is after end; write the lower address as start",
    ),
    (
        "!has(self.gateway) || !isIP(self.gateway) || !isCIDR(self.cidr) || cidr(self.cidr).containsIP(self.gateway) \
         || ip(self.gateway).isLinkLocalUnicast() && self.gateway.contains(':') && self.cidr.contains(':')",
        "the gateway is an address of cidr; routes through others name theirs in via",
    ),
    (
        "!has(self.gateway) || !isIP(self.gateway) || !isCIDR(self.cidr) || !(ip(self.gateway) == cidr(self.cidr).ip()) \
         || cidr(self.cidr).prefixLength() >= (self.cidr.contains(':') ? 127 : 31)",
        "the gateway is the network itself; write the address that its router has",
    ),
    (
        "!has(self.exclude) || !isCIDR(self.cidr) || self.exclude.all(n, !isCIDR(n) || cidr(self.cidr).containsCIDR(n))",
        "what is excluded lies in cidr; leave out what does not",
    ),
    (
        "!has(self.exclude) || !isCIDR(self.cidr) || self.exclude.all(n, !isCIDR(n) || !(cidr(self.cidr) == cidr(n)))",
        "what is excluded is all of cidr; no address is left to give out",
    ),
])))]
pub struct Range {
    /// Network of the addresses without host bits, such as `192.168.100.0/24` or `fd99:9::/64`; the pods' addresses have
    /// its prefix length. Its first address and, in IPv4, its last are not allocated.
    #[schemars(schema_with = "shape::range_network")]
    pub cidr: Cidr,
    /// First address to allocate. Default: the first of the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shape::range_address")]
    pub start: Option<IpAddr>,
    /// Last address to allocate. Default: the last of the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shape::range_address")]
    pub end: Option<IpAddr>,
    /// Router of the network: never allocated, and the gateway of routes of this family without `via`. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shape::gateway")]
    pub gateway: Option<IpAddr>,
    /// Networks inside cidr that are not allocated, at most 16, such as `192.168.100.0/28`; a single address is a `/32` or
    /// `/128`. Networks of the cluster are excluded automatically. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub exclude: Vec<Cidr>,
}

impl super::Link {
    /// The routing domain of the link's addresses.
    pub fn domain(&self) -> &str {
        let named = self.ipam.as_ref().and_then(|ipam| ipam.domain.as_deref());
        named.unwrap_or(DEFAULT_DOMAIN)
    }

    pub fn ranges(&self) -> &[Range] {
        self.ipam.as_ref().map_or(&[], |ipam| &ipam.ranges)
    }
}

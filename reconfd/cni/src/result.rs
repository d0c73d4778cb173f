//! Results of plugins: read in any supported version, held to bounds, and rendered in any other. Only what the
//! specification names survives, so the next plugin sees nothing that was not read here.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::{Version, json};

mod shape;
mod wire;

/// Of a plugin's standard output, in bytes.
pub const LARGEST_RESULT: usize = 256 << 10;
/// Of interfaces and of addresses.
const MOST_ENTRIES: usize = 64;
const MOST_ROUTES: usize = 256;
const MOST_DNS: usize = 32;
const LONGEST_TEXT: usize = 255;
const LONGEST_PATH: usize = 4096;

/// What ADD has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CniResult {
    /// The version that it was written in.
    pub version: Version,
    pub interfaces: Vec<Interface>,
    pub ips: Vec<IpConfig>,
    pub routes: Vec<Route>,
    pub dns: Dns,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    pub name: String,
    pub mac: Option<String>,
    /// Never in a version before 1.0.0.
    pub mtu: Option<u32>,
    /// The network namespace. The interface is one of the node without it.
    pub sandbox: Option<String>,
    pub socket_path: Option<String>,
    pub pci_id: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpConfig {
    pub address: IpNetwork,
    pub gateway: Option<IpAddr>,
    /// The place in the list of interfaces.
    pub interface: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub dst: IpNetwork,
    pub gw: Option<IpAddr>,
    pub mtu: Option<u32>,
    pub advmss: Option<u32>,
    pub priority: Option<u32>,
    pub table: Option<u32>,
    pub scope: Option<u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dns {
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "wire::or_default"
    )]
    pub nameservers: Vec<String>,
    #[serde(
        skip_serializing_if = "String::is_empty",
        deserialize_with = "wire::or_default"
    )]
    pub domain: String,
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "wire::or_default"
    )]
    pub search: Vec<String>,
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "wire::or_default"
    )]
    pub options: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResultError {
    #[error("the plugin printed no result")]
    Empty,
    #[error("the result is no text in UTF-8")]
    Encoding,
    #[error("the result is no valid JSON: {0}")]
    Json(#[from] json::JsonError),
    #[error("the result does not follow the specification: {0}")]
    Form(String),
    #[error(transparent)]
    Version(#[from] crate::version::VersionError),
    #[error("the result has {0} {1}, which is more than {2}")]
    TooMany(usize, &'static str, usize),
    #[error("{0} of the result is too long or has control characters")]
    Text(&'static str),
    #[error("address {0} of the result refers to interface {1}, which is not there")]
    NoInterface(IpNetwork, usize),
    #[error("{0} of the result is an IPv4 address in the form of IPv6")]
    Mapped(IpAddr),
}

impl CniResult {
    pub fn empty(version: Version) -> Self {
        Self {
            version,
            interfaces: vec![],
            ips: vec![],
            routes: vec![],
            dns: Dns::default(),
        }
    }

    /// Reads what a plugin printed. Without a version it is of the configuration's; `null` is an empty result.
    pub fn parse(stdout: &[u8], of_configuration: Version) -> Result<Self, ResultError> {
        let text = std::str::from_utf8(stdout).map_err(|_| ResultError::Encoding)?;
        if text.trim().is_empty() {
            return Err(ResultError::Empty);
        }
        let value = json::parse_within(text, LARGEST_RESULT)?;
        Self::of(value, Some(of_configuration))
    }

    /// Reads a result that was rendered before.
    pub fn from_value(value: Value) -> Result<Self, ResultError> {
        Self::of(value, None)
    }

    fn of(value: Value, of_configuration: Option<Version>) -> Result<Self, ResultError> {
        if let (Value::Null, Some(version)) = (&value, of_configuration) {
            return Ok(Self::empty(version));
        }
        shape::check(&value)?;
        let result = wire::read(value, of_configuration)?;
        result.check()?;
        Ok(result)
    }

    /// The result in a version.
    pub fn render(&self, version: Version) -> Value {
        wire::write(self, version)
    }

    /// The interfaces within a network namespace, in order: those of the pod.
    pub fn of_pod(&self) -> impl Iterator<Item = (usize, &Interface)> {
        let interfaces = self.interfaces.iter().enumerate();
        interfaces.filter(|(_, interface)| interface.sandbox.is_some())
    }

    fn check(&self) -> Result<(), ResultError> {
        self.check_counts()?;
        self.check_texts()?;
        let mapped = |address: IpAddr| match address {
            IpAddr::V6(v6) => v6.to_ipv4_mapped().is_some(),
            IpAddr::V4(_) => false,
        };
        let of_ips = self.ips.iter().map(|ip| (ip.address.ip(), ip.gateway));
        let of_routes = self.routes.iter().map(|route| (route.dst.ip(), route.gw));
        for (address, gateway) in of_ips.chain(of_routes) {
            let found = [Some(address), gateway]
                .into_iter()
                .flatten()
                .find(|&address| mapped(address));
            found.map_or(Ok(()), |address| Err(ResultError::Mapped(address)))?;
        }
        for ip in &self.ips {
            let out = ip.interface.filter(|&index| index >= self.interfaces.len());
            out.map_or(Ok(()), |index| {
                Err(ResultError::NoInterface(ip.address, index))
            })?;
        }
        Ok(())
    }

    fn check_counts(&self) -> Result<(), ResultError> {
        let dns = &self.dns;
        let counts = [
            (self.interfaces.len(), "interfaces", MOST_ENTRIES),
            (self.ips.len(), "addresses", MOST_ENTRIES),
            (self.routes.len(), "routes", MOST_ROUTES),
            (dns.nameservers.len(), "nameservers", MOST_DNS),
            (dns.search.len(), "search domains", MOST_DNS),
            (dns.options.len(), "resolver options", MOST_DNS),
        ];
        let excess = counts.into_iter().find(|(count, _, most)| count > most);
        excess.map_or(Ok(()), |(count, what, most)| {
            Err(ResultError::TooMany(count, what, most))
        })
    }

    fn check_texts(&self) -> Result<(), ResultError> {
        let short = |text: &str| text.len() <= LONGEST_TEXT && !text.chars().any(char::is_control);
        let path = |text: &str| text.len() <= LONGEST_PATH && !text.chars().any(char::is_control);
        for interface in &self.interfaces {
            let texts = [
                Some(&interface.name),
                interface.mac.as_ref(),
                interface.pci_id.as_ref(),
            ];
            let paths = [interface.sandbox.as_ref(), interface.socket_path.as_ref()];
            let fits = texts.into_iter().flatten().all(|text| short(text))
                && paths.into_iter().flatten().all(|text| path(text));
            fits.then_some(())
                .ok_or(ResultError::Text("an interface"))?;
        }
        let dns = &self.dns;
        let mut texts = [&dns.nameservers, &dns.search, &dns.options]
            .into_iter()
            .flatten();
        let fits = short(&dns.domain) && texts.all(|text| short(text));
        fits.then_some(()).ok_or(ResultError::Text("dns"))
    }
}

impl Serialize for CniResult {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.render(self.version).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for CniResult {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::from_value(value).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

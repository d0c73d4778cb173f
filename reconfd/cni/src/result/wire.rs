//! Results as they are written. As in libcni, `null` is an absent member, an empty text no address, and 0 no MTU.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{CniResult, Dns, Interface, IpConfig, ResultError, Route};
use crate::Version;

const LONGEST_MESSAGE: usize = 200;

#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[derive(Default)]
struct ResultWire {
    #[serde(deserialize_with = "or_default")]
    cni_version: String,
    #[serde(deserialize_with = "or_default")]
    interfaces: Vec<InterfaceWire>,
    #[serde(deserialize_with = "or_default")]
    ips: Vec<IpWire>,
    #[serde(deserialize_with = "or_default")]
    routes: Vec<RouteWire>,
    #[serde(deserialize_with = "or_default")]
    dns: Dns,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RenderedResult<'a> {
    cni_version: Version,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    interfaces: Vec<InterfaceWire>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ips: Vec<IpWire>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    routes: Vec<RouteWire>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dns: Option<&'a Dns>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct InterfaceWire {
    #[serde(deserialize_with = "or_default")]
    name: String,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    mac: String,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    mtu: u32,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    sandbox: String,
    #[serde(
        rename = "socketPath",
        deserialize_with = "or_default",
        skip_serializing_if = "is_default"
    )]
    socket_path: String,
    #[serde(
        rename = "pciID",
        deserialize_with = "or_default",
        skip_serializing_if = "is_default"
    )]
    pci_id: String,
}

#[derive(Serialize, Deserialize)]
struct IpWire {
    /// The address has it already: read, and not believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    interface: Option<usize>,
    #[serde(deserialize_with = "network")]
    address: IpNetwork,
    #[serde(
        default,
        deserialize_with = "address",
        skip_serializing_if = "Option::is_none"
    )]
    gateway: Option<IpAddr>,
}

#[derive(Serialize, Deserialize)]
struct RouteWire {
    #[serde(deserialize_with = "network")]
    dst: IpNetwork,
    #[serde(
        default,
        deserialize_with = "address",
        skip_serializing_if = "Option::is_none"
    )]
    gw: Option<IpAddr>,
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "is_default"
    )]
    mtu: u32,
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "is_default"
    )]
    advmss: u32,
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "is_default"
    )]
    priority: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    table: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scope: Option<u32>,
}

pub(super) fn read(
    value: Value,
    of_configuration: Option<Version>,
) -> Result<CniResult, ResultError> {
    let wire: ResultWire = serde_json::from_value(value).map_err(form)?;
    let version = match (wire.cni_version.as_str(), of_configuration) {
        ("", Some(version)) => version,
        (text, _) => Version::highest(Some(text), &[])?,
    };
    let devices = version.interfaces_have_devices();
    Ok(CniResult {
        version,
        interfaces: wire
            .interfaces
            .into_iter()
            .map(|interface| interface.read(devices))
            .collect(),
        ips: wire.ips.into_iter().map(IpWire::read).collect(),
        routes: wire.routes.into_iter().map(RouteWire::read).collect(),
        dns: wire.dns,
    })
}

pub(super) fn write(result: &CniResult, version: Version) -> Value {
    let rendered = RenderedResult {
        cni_version: version,
        interfaces: result
            .interfaces
            .iter()
            .map(|interface| InterfaceWire::write(interface, version.interfaces_have_devices()))
            .collect(),
        ips: result
            .ips
            .iter()
            .map(|ip| IpWire::write(ip, version))
            .collect(),
        routes: result.routes.iter().map(RouteWire::write).collect(),
        // libcni leaves an empty one out from 1.0.0 on.
        dns: Some(&result.dns).filter(|dns| version < Version::V1_0_0 || !is_default(*dns)),
    };
    serde_json::to_value(rendered).unwrap_or_default()
}

impl InterfaceWire {
    fn read(self, devices: bool) -> Interface {
        let text = |text: String| Some(text).filter(|text| !text.is_empty());
        Interface {
            name: self.name,
            mac: text(self.mac),
            mtu: number(self.mtu).filter(|_| devices),
            sandbox: text(self.sandbox),
            socket_path: text(self.socket_path).filter(|_| devices),
            pci_id: text(self.pci_id).filter(|_| devices),
        }
    }

    fn write(interface: &Interface, devices: bool) -> Self {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let device = |value: &Option<String>| if devices { text(value) } else { String::new() };
        Self {
            name: interface.name.clone(),
            mac: text(&interface.mac),
            mtu: interface.mtu.filter(|_| devices).unwrap_or_default(),
            sandbox: text(&interface.sandbox),
            socket_path: device(&interface.socket_path),
            pci_id: device(&interface.pci_id),
        }
    }
}

impl IpWire {
    fn read(self) -> IpConfig {
        IpConfig {
            address: self.address,
            gateway: self.gateway,
            interface: self.interface,
        }
    }

    fn write(ip: &IpConfig, version: Version) -> Self {
        let family = if ip.address.is_ipv4() { "4" } else { "6" };
        Self {
            version: version.addresses_have_family().then(|| family.to_owned()),
            interface: ip.interface,
            address: ip.address,
            gateway: ip.gateway,
        }
    }
}

impl RouteWire {
    fn read(self) -> Route {
        Route {
            dst: self.dst,
            gw: self.gw,
            mtu: number(self.mtu),
            advmss: number(self.advmss),
            priority: number(self.priority),
            table: self.table,
            scope: self.scope,
        }
    }

    fn write(route: &Route) -> Self {
        Self {
            dst: route.dst,
            gw: route.gw,
            mtu: route.mtu.unwrap_or_default(),
            advmss: route.advmss.unwrap_or_default(),
            priority: route.priority.unwrap_or_default(),
            table: route.table,
            scope: route.scope,
        }
    }
}

/// `null` as the default.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A network with its prefix: without one it would be read as a single address, which Go refuses.
fn network<'de, D: Deserializer<'de>>(deserializer: D) -> Result<IpNetwork, D::Error> {
    let text = String::deserialize(deserializer)?;
    let has_prefix = text.split_once('/').is_some_and(|(_, prefix)| {
        !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit())
    });
    let parsed = text.parse().ok().filter(|_| has_prefix);
    parsed.ok_or_else(|| {
        let shown = crate::json::shown(&text);
        serde::de::Error::custom(format_args!("{shown:?} is no network with a prefix"))
    })
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<IpAddr>, D::Error> {
    let text: String = or_default(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        let shown = crate::json::shown(&text);
        serde::de::Error::custom(format_args!("{shown:?} is no address"))
    })
}

fn number(value: u32) -> Option<u32> {
    Some(value).filter(|&value| value != 0)
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn form(error: serde_json::Error) -> ResultError {
    let message = error.to_string();
    ResultError::Form(message.chars().take(LONGEST_MESSAGE).collect())
}

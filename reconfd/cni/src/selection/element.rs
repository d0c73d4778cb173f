//! One element in JSON. Unknown keys are ignored, those that Go would take for known ones are refused.

use std::net::IpAddr;

use serde_json::{Map, Value};

use super::{
    Bandwidth, ElementError, NetworkSelection, PortMapping, RequestedAddress, check_object_name,
};
use crate::names;

/// Of each list in an element.
const MOST_ITEMS: usize = 64;

const KEYS: [&str; 13] = [
    "name",
    "namespace",
    "interface",
    "interfaceRequest",
    "ips",
    "mac",
    "infiniband-guid",
    "portMappings",
    "bandwidth",
    "cni-args",
    "deviceID",
    "default-route",
    "ipam-claim-reference",
];
const PORT_KEYS: [&str; 4] = ["hostPort", "containerPort", "protocol", "hostIP"];
const BANDWIDTH_KEYS: [&str; 4] = ["ingressRate", "ingressBurst", "egressRate", "egressBurst"];
const PROTOCOLS: [&str; 3] = ["tcp", "udp", "sctp"];

type Object = Map<String, Value>;

pub(super) fn read(
    element: &Object,
    own_namespace: &str,
) -> Result<NetworkSelection, ElementError> {
    check_case(element, &KEYS)?;
    if text(element, "deviceID")?.is_some() {
        return Err(ElementError::NotPossible("deviceID"));
    }
    let name = text(element, "name")?.ok_or(ElementError::Missing("name"))?;
    check_object_name(name, false)?;
    let namespace = text(element, "namespace")?.unwrap_or(own_namespace);
    check_object_name(namespace, true)?;
    let reference = text(element, "ipam-claim-reference")?;
    reference.map_or(Ok(()), |reference| check_object_name(reference, false))?;
    Ok(NetworkSelection {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        interface: interface(element)?,
        ips: list(element, "ips", "a list of addresses", requested_address)?,
        mac: text(element, "mac")?
            .map(|mac| hardware(mac, "mac", 6))
            .transpose()?,
        infiniband_guid: text(element, "infiniband-guid")?
            .map(|guid| hardware(guid, "infiniband-guid", 8))
            .transpose()?,
        port_mappings: list(
            element,
            "portMappings",
            "a list of port mappings",
            port_mapping,
        )?,
        bandwidth: bandwidth(element)?,
        cni_args: object(element, "cni-args")?.cloned().unwrap_or_default(),
        default_route: list(element, "default-route", "a list of addresses", |value| {
            value.as_str().and_then(address)
        })?,
        ipam_claim_reference: reference.map(str::to_owned),
    })
}

fn interface(element: &Object) -> Result<Option<String>, ElementError> {
    let (name, old) = (
        text(element, "interface")?,
        text(element, "interfaceRequest")?,
    );
    if name.is_some() && old.is_some_and(|old| Some(old) != name) {
        return Err(kind("interfaceRequest", "the same as interface"));
    }
    let name = name.or(old);
    name.map_or(Ok(()), names::attached_interface)?;
    Ok(name.map(str::to_owned))
}

fn check_case(object: &Object, keys: &[&'static str]) -> Result<(), ElementError> {
    for written in object.keys() {
        let meant = keys.iter().find(|key| key.eq_ignore_ascii_case(written));
        if let Some(key) = meant.filter(|key| *key != written) {
            return Err(ElementError::Case(written.clone(), key));
        }
    }
    Ok(())
}

/// Empty and `null` are absent.
fn text<'a>(object: &'a Object, key: &str) -> Result<Option<&'a str>, ElementError> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(_) => Err(kind(key, "a text")),
    }
}

fn object<'a>(element: &'a Object, key: &str) -> Result<Option<&'a Object>, ElementError> {
    match element.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(_) => Err(kind(key, "an object")),
    }
}

fn list<T>(
    element: &Object,
    key: &str,
    what: &'static str,
    read: impl Fn(&Value) -> Option<T>,
) -> Result<Vec<T>, ElementError> {
    let items = match element.get(key) {
        None | Some(Value::Null) => return Ok(vec![]),
        Some(Value::Array(items)) if items.len() <= MOST_ITEMS => items,
        Some(_) => return Err(kind(key, what)),
    };
    let read: Option<_> = items.iter().map(read).collect();
    read.ok_or_else(|| kind(key, what))
}

/// Neither an IPv4 address in the form of IPv6 nor anything but an address.
fn address(text: &str) -> Option<IpAddr> {
    let address: IpAddr = text.parse().ok()?;
    let is_mapped = matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
    (!is_mapped).then_some(address)
}

fn requested_address(value: &Value) -> Option<RequestedAddress> {
    let text = value.as_str()?;
    let (text, prefix) = match text.split_once('/') {
        Some((text, prefix)) => {
            let digits = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
            (
                text,
                Some(digits.then(|| prefix.parse::<u8>().ok()).flatten()?),
            )
        }
        None => (text, None),
    };
    let address = address(text)?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    prefix
        .is_none_or(|prefix| prefix <= longest)
        .then_some(RequestedAddress { address, prefix })
}

/// As Go's ParseMAC, of one length: octets with colons or hyphens between.
fn hardware(text: &str, key: &str, octets: usize) -> Result<String, ElementError> {
    let separator = if text.contains(':') { ':' } else { '-' };
    let parts: Vec<_> = text.split(separator).collect();
    let is_octet =
        |part: &&str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    match parts.len() == octets && parts.iter().all(is_octet) {
        true => Ok(parts.join(":").to_ascii_lowercase()),
        false => Err(kind(key, "octets in hexadecimal with colons between")),
    }
}

fn port_mapping(value: &Value) -> Option<PortMapping> {
    let mapping = value.as_object()?;
    check_case(mapping, &PORT_KEYS).ok()?;
    let port = |key: &str| {
        let port = u16::try_from(mapping.get(key)?.as_u64()?).ok()?;
        (port != 0).then_some(port)
    };
    let protocol = text(mapping, "protocol").ok()?.unwrap_or(PROTOCOLS[0]);
    let host_ip = text(mapping, "hostIP").ok()?;
    Some(PortMapping {
        host_port: port("hostPort")?,
        container_port: port("containerPort")?,
        protocol: PROTOCOLS
            .into_iter()
            .find(|known| known.eq_ignore_ascii_case(protocol))?,
        host_ip: match host_ip {
            Some(text) => Some(address(text)?),
            None => None,
        },
    })
}

fn bandwidth(element: &Object) -> Result<Option<Bandwidth>, ElementError> {
    let Some(bandwidth) = object(element, "bandwidth")? else {
        return Ok(None);
    };
    check_case(bandwidth, &BANDWIDTH_KEYS)?;
    let number = |key: &str| match bandwidth.get(key) {
        None | Some(Value::Null) => Ok(0),
        Some(value) => value
            .as_u64()
            .filter(|number| i64::try_from(*number).is_ok())
            .ok_or_else(|| kind(&format!("bandwidth.{key}"), "a number of bits")),
    };
    Ok(Some(Bandwidth {
        ingress_rate: number("ingressRate")?,
        ingress_burst: number("ingressBurst")?,
        egress_rate: number("egressRate")?,
        egress_burst: number("egressBurst")?,
    }))
}

fn kind(key: &str, kind: &'static str) -> ElementError {
    ElementError::Kind {
        key: key.to_owned(),
        kind,
    }
}

//! The annotation `k8s.v1.cni.cncf.io/networks`: which networks a pod asks for. A tenant writes it, so each value is
//! parsed here and printed anew. One bad element makes all of it void, as in Multus.

use std::{fmt, net::IpAddr};

use serde_json::{Map, Value};

use crate::{
    json::{self, JsonError},
    names::{self, NameError},
};

mod element;
mod short;

/// Of a pod.
pub const MOST_ELEMENTS: usize = 32;
/// The characters by which Multus tells JSON from the short form.
const OF_JSON: [char; 3] = ['[', '{', '"'];

/// One element of the annotation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NetworkSelection {
    /// The pod's own, if the element has none.
    pub namespace: String,
    /// The NetworkAttachmentDefinition.
    pub name: String,
    pub interface: Option<String>,
    pub ips: Vec<RequestedAddress>,
    /// In lower case, with colons.
    pub mac: Option<String>,
    pub infiniband_guid: Option<String>,
    pub port_mappings: Vec<PortMapping>,
    pub bandwidth: Option<Bandwidth>,
    pub cni_args: Map<String, Value>,
    /// Gateways of the pod's default routes.
    pub default_route: Vec<IpAddr>,
    pub ipam_claim_reference: Option<String>,
}

/// An address, with a prefix or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestedAddress {
    pub address: IpAddr,
    pub prefix: Option<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortMapping {
    pub host_port: u16,
    pub container_port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: &'static str,
    pub host_ip: Option<IpAddr>,
}

/// In bits per second, and bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bandwidth {
    pub ingress_rate: u64,
    pub ingress_burst: u64,
    pub egress_rate: u64,
    pub egress_burst: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    #[error("the annotation is no valid JSON: {0}")]
    Json(#[from] JsonError),
    #[error("the annotation is no list of objects")]
    NoList,
    #[error("the annotation has {0} elements, and may have {MOST_ELEMENTS}")]
    TooMany(usize),
    #[error("element {index}: {problem}")]
    Element { index: usize, problem: ElementError },
    #[error("{first} and {second} ask for the interface {interface}")]
    Twice {
        first: usize,
        second: usize,
        interface: String,
    },
}

/// What is wrong with an element.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ElementError {
    #[error("it has a form other than [namespace/]name[@interface]")]
    Form,
    #[error("{key} must be {kind}")]
    Kind { key: String, kind: &'static str },
    #[error("{0} must be written {1}")]
    Case(String, &'static str),
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{0} is not possible in a running pod")]
    NotPossible(&'static str),
    #[error(transparent)]
    Name(#[from] NameError),
}

/// Reads the annotation of a pod in this namespace.
pub fn parse(annotation: &str, namespace: &str) -> Result<Vec<NetworkSelection>, SelectionError> {
    let elements = match annotation.contains(OF_JSON) {
        true => of_json(annotation, namespace)?,
        false if annotation.trim().is_empty() => vec![],
        false => short::parse(annotation, namespace)?,
    };
    for (second, element) in elements.iter().enumerate() {
        let taken = |other: &NetworkSelection| {
            element.interface.is_some() && other.interface == element.interface
        };
        if let Some(first) = elements[..second].iter().position(taken) {
            let interface = element.interface.clone().unwrap_or_default();
            return Err(SelectionError::Twice {
                first,
                second,
                interface,
            });
        }
    }
    Ok(elements)
}

fn of_json(annotation: &str, namespace: &str) -> Result<Vec<NetworkSelection>, SelectionError> {
    let Value::Array(items) = json::parse(annotation)? else {
        return Err(SelectionError::NoList);
    };
    check_count(items.len())?;
    let read = |(index, item): (usize, &Value)| {
        let object = item.as_object().ok_or(SelectionError::NoList)?;
        element::read(object, namespace)
            .map_err(|problem| SelectionError::Element { index, problem })
    };
    items.iter().enumerate().map(read).collect()
}

fn check_count(count: usize) -> Result<(), SelectionError> {
    match count > MOST_ELEMENTS {
        true => Err(SelectionError::TooMany(count)),
        false => Ok(()),
    }
}

/// A name of an object in Kubernetes, or with `is_label` one without dots.
fn check_object_name(name: &str, is_label: bool) -> Result<(), ElementError> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_word = |part: &str| {
        !part.is_empty()
            && part.bytes().all(allowed)
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    let fits = match is_label {
        true => is_word(name),
        false => name.split('.').all(is_word),
    };
    names::network(name)?;
    fits.then_some(()).ok_or(ElementError::Kind {
        key: json::shown(name),
        kind: "a name in lower case letters, digits and hyphens",
    })
}

impl NetworkSelection {
    /// The values of capabilities that the element asks for.
    pub fn runtime_config(&self) -> Map<String, Value> {
        let mut config = Map::new();
        let mut say = |key: &str, value: Option<Value>| {
            config.extend(value.map(|value| (key.to_owned(), value)))
        };
        let texts = |addresses: &[RequestedAddress]| {
            addresses.iter().map(ToString::to_string).collect::<Value>()
        };
        say("ips", (!self.ips.is_empty()).then(|| texts(&self.ips)));
        say("mac", self.mac.clone().map(Value::from));
        say(
            "infinibandGUID",
            self.infiniband_guid.clone().map(Value::from),
        );
        let mappings = self.port_mappings.iter().map(PortMapping::render);
        say(
            "portMappings",
            (!self.port_mappings.is_empty()).then(|| mappings.collect()),
        );
        say("bandwidth", self.bandwidth.map(Bandwidth::render));
        config
    }

    /// The pairs of `CNI_ARGS` for plugins without these capabilities.
    pub fn args(&self) -> Vec<(String, String)> {
        let mac = self.mac.clone().map(|mac| ("MAC".to_owned(), mac));
        let ips: Vec<_> = self.ips.iter().map(ToString::to_string).collect();
        let ips = (!ips.is_empty()).then(|| ("IP".to_owned(), ips.join(",")));
        mac.into_iter().chain(ips).collect()
    }
}

impl PortMapping {
    fn render(&self) -> Value {
        let mut mapping = serde_json::json!({
            "hostPort": self.host_port, "containerPort": self.container_port, "protocol": self.protocol,
        });
        if let Some(address) = self.host_ip {
            mapping["hostIP"] = address.to_string().into();
        }
        mapping
    }
}

impl Bandwidth {
    fn render(self) -> Value {
        serde_json::json!({
            "ingressRate": self.ingress_rate, "ingressBurst": self.ingress_burst,
            "egressRate": self.egress_rate, "egressBurst": self.egress_burst,
        })
    }
}

impl fmt::Display for RequestedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix {
            Some(prefix) => write!(f, "{}/{prefix}", self.address),
            None => write!(f, "{}", self.address),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

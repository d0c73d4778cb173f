//! Pure: an element of the annotation as a link of a PodConfig, for the policies.

use std::net::IpAddr;

use cni::selection::{self, NetworkSelection};
use crds::{
    Cidr, InterfaceAddress, PodConfig,
    podconfig::{
        Cni, Link, PodConfigSpec, Route,
        cni::{Bandwidth, PortMapping, Protocol},
    },
};
use kube::core::ObjectMeta;
use serde_json::Value;

use super::{ANNOTATION, definition};

/// The annotation as a PodConfig of its pod. Its uid distinguishes it from every object.
pub fn podconfig(namespace: &str, links: Vec<Link>) -> PodConfig {
    PodConfig {
        metadata: ObjectMeta {
            name: Some(ANNOTATION.to_owned()),
            namespace: Some(namespace.to_owned()),
            uid: Some(ANNOTATION.to_owned()),
            ..ObjectMeta::default()
        },
        spec: PodConfigSpec {
            pod_selector: Default::default(),
            links,
        },
        status: None,
    }
}

/// An element as a link, or what is invalid in it.
pub fn of(interface: &str, element: &NetworkSelection) -> Result<Link, String> {
    let addresses = element.ips.iter().map(|ip| {
        let prefix = ip
            .prefix
            .unwrap_or(if ip.address.is_ipv4() { 32 } else { 128 });
        format!("{}/{prefix}", ip.address).parse::<InterfaceAddress>()
    });
    let mac = element.mac.as_deref().map(str::parse).transpose();
    Ok(Link {
        name: interface.to_owned(),
        veth: None,
        vlan: None,
        vxlan: None,
        cni: Some(cni(element)),
        mtu: None,
        mac: mac.map_err(|why| format!("mac: {why}"))?,
        addresses: addresses
            .collect::<Result<_, _>>()
            .map_err(|why| format!("ips: {why}"))?,
        ipam: None,
        routes: default_routes(&element.default_route)?,
        slaac: None,
    })
}

/// The policies judge them as those of other links.
fn default_routes(gateways: &[IpAddr]) -> Result<Vec<Route>, String> {
    let of_family = |ipv6: bool| gateways.iter().filter(move |via| via.is_ipv6() == ipv6);
    if of_family(true).count() > 1 || of_family(false).count() > 1 {
        return Err("default-route has several gateways of one family".to_owned());
    }
    let route = |via: &IpAddr| {
        let to = if via.is_ipv6() { "::/0" } else { "0.0.0.0/0" };
        Ok(Route {
            to: to.parse::<Cidr>()?,
            via: Some(*via),
            metric: None,
            table: None,
        })
    };
    gateways.iter().map(route).collect()
}

/// The link, if no earlier one of the annotation has a default route of the same family.
pub fn with_own_routes(link: Link, earlier: &[Link]) -> Result<Link, String> {
    let has_one = |other: &&Link| {
        let mut routes = other.routes.iter();
        routes.any(|route| link.routes.iter().any(|own| own.to == route.to))
    };
    match earlier.iter().find(has_one) {
        Some(other) => Err(format!(
            "default-route: the element of interface {} has one of this family already",
            other.name
        )),
        None => Ok(link),
    }
}

fn cni(element: &NetworkSelection) -> Cni {
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let args = element.cni_args.iter();
    Cni {
        network_attachment_definition: Some(definition(element)),
        config: None,
        args: args
            .map(|(key, value)| (key.clone(), text(value)))
            .collect(),
        port_mappings: element.port_mappings.iter().map(port_mapping).collect(),
        bandwidth: element.bandwidth.map(bandwidth),
        check: None,
    }
}

fn port_mapping(mapping: &selection::PortMapping) -> PortMapping {
    PortMapping {
        host_port: mapping.host_port.into(),
        container_port: mapping.container_port.into(),
        protocol: Some(match mapping.protocol {
            "udp" => Protocol::Udp,
            "sctp" => Protocol::Sctp,
            _ => Protocol::Tcp,
        }),
        host_ip: mapping.host_ip,
    }
}

/// 0 is none.
fn bandwidth(bandwidth: selection::Bandwidth) -> Bandwidth {
    let given = |number: u64| i64::try_from(number).ok().filter(|number| *number > 0);
    Bandwidth {
        ingress_rate: given(bandwidth.ingress_rate),
        ingress_burst: given(bandwidth.ingress_burst),
        egress_rate: given(bandwidth.egress_rate),
        egress_burst: given(bandwidth.egress_burst),
    }
}

//! Elements of the annotation `k8s.v1.cni.cncf.io/network-status`, as Multus makes them from a result: readers compare
//! whole elements, so nothing is there that Multus would not write.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{
    CniResult,
    result::{Dns, Interface},
};

/// One element.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkStatus {
    /// `namespace/name` of the definition.
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub interface: String,
    /// Without a prefix.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ips: Vec<IpAddr>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mac: String,
    /// That of the result, never the kernel's.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub mtu: u32,
    /// Of the pod's own network. podconfig writes no such element.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub default: bool,
    #[serde(default)]
    pub dns: Dns,
    /// The gateways of default routes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gateway: Vec<IpAddr>,
}

/// The elements of a result: one for each interface in the pod. A single interface has an element also if it is none of
/// the pod, without its name.
pub fn of_result(name: &str, result: &CniResult) -> Vec<NetworkStatus> {
    let base = NetworkStatus {
        name: name.to_owned(),
        dns: result.dns.clone(),
        gateway: gateways(result),
        ..NetworkStatus::default()
    };
    if let [only] = result.interfaces.as_slice() {
        let interface = Some(only).filter(|only| only.sandbox.is_some());
        let ips = result.ips.iter().map(|ip| ip.address.ip()).collect();
        return vec![
            interface
                .map_or_else(|| base.clone(), |interface| base.with(interface))
                .with_ips(ips),
        ];
    }
    let last = result.of_pod().map(|(index, _)| index).last();
    let of_interface = |index: usize| {
        let is_of = |ip: &&crate::result::IpConfig| ip.interface.or(last) == Some(index);
        result
            .ips
            .iter()
            .filter(is_of)
            .map(|ip| ip.address.ip())
            .collect()
    };
    result
        .of_pod()
        .map(|(index, interface)| base.with(interface).with_ips(of_interface(index)))
        .collect()
}

impl NetworkStatus {
    fn with(&self, interface: &Interface) -> Self {
        Self {
            interface: interface.name.clone(),
            mac: interface.mac.clone().unwrap_or_default(),
            mtu: interface.mtu.unwrap_or_default(),
            ..self.clone()
        }
    }

    fn with_ips(self, ips: Vec<IpAddr>) -> Self {
        Self { ips, ..self }
    }
}

/// As Multus: a route is the default one by its address alone.
fn gateways(result: &CniResult) -> Vec<IpAddr> {
    let default = result
        .routes
        .iter()
        .filter(|route| route.dst.ip().is_unspecified());
    default.filter_map(|route| route.gw).collect()
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

//! A present link, as observed or just created: compared with later events, and the source of the
//! report.

use ipnetwork::IpNetwork;
use node::{
    apply::Made,
    links::{HostEnd, HostNetns, LinkKind, OwnershipMark, PodSide, Present, Want, veth},
};

use crate::podconfig::{desired::DesiredLink, outcome::PresentFacts};

/// A present link.
#[derive(Clone, Debug)]
pub struct PresentLink {
    /// Place and index of the host end; `None`: the link is a device inside the pod.
    pub host: Option<(HostNetns, u32)>,
    pub host_name: Option<String>,
    pub master: Option<u32>,
    pub host_mtu: u32,
    pub pod_index: Option<u32>,
    pub mac: [u8; 6],
    pub mtu: u32,
    pub has_routes: bool,
    pub addresses: Vec<IpNetwork>,
    /// The spec hash that it was created with.
    pub spec_hash: String,
}

pub fn present_link(present: &Present) -> PresentLink {
    let host = &present.host;
    let pod = present.pod.as_ref();
    PresentLink {
        host: Some((present.place, host.index)),
        host_name: Some(host.name.clone()),
        master: host.master,
        host_mtu: host.mtu,
        pod_index: pod.map(|pod| pod.index),
        mac: host.mac.unwrap_or_default(),
        mtu: pod.map_or(host.mtu, |pod| pod.mtu),
        has_routes: pod.is_some_and(|pod| !pod.routes.is_empty()),
        addresses: pod.map(addresses).unwrap_or_default(),
        spec_hash: present
            .mark
            .as_ref()
            .map(|mark| mark.spec_hash.clone())
            .unwrap_or_default(),
    }
}

/// For a device inside the pod.
pub(super) fn present_device(pod: &PodSide, mark: &OwnershipMark) -> PresentLink {
    PresentLink {
        host: None,
        host_name: None,
        master: None,
        host_mtu: pod.mtu,
        pod_index: Some(pod.index),
        mac: pod.mac.unwrap_or_default(),
        mtu: pod.mtu,
        has_routes: !pod.routes.is_empty(),
        addresses: addresses(pod),
        spec_hash: mark.spec_hash.clone(),
    }
}

fn addresses(pod: &PodSide) -> Vec<IpNetwork> {
    let ours = pod.addresses.iter().filter(|address| address.ours);
    ours.map(|address| address.network).collect()
}

pub(super) fn made_link(want: &Want, made: &Made) -> PresentLink {
    PresentLink {
        host: made.host,
        host_name: made.host.map(|_| want.host_name.clone()),
        master: made.bridge,
        host_mtu: want.host_mtu,
        pod_index: Some(made.pod),
        mac: made.mac,
        mtu: want.mtu,
        has_routes: !veth::pod_routes(&want.link).is_empty(),
        addresses: want.link.addresses.clone(),
        spec_hash: want.mark.spec_hash.clone(),
    }
}

pub(super) fn facts(present: &PresentLink, granted: &DesiredLink) -> PresentFacts {
    let bridge = match &granted.link.kind {
        LinkKind::Veth(veth) => match &veth.host_end {
            HostEnd::HostBridge(name) => Some(name.as_str()),
            host_end => host_end.switch_bridge(),
        },
        LinkKind::Device(_) => None,
    };
    PresentFacts {
        mac: present.mac,
        mtu: present.mtu,
        addresses: present.addresses.clone(),
        host_interface: present.host_name.clone(),
        bridge: bridge.map(str::to_owned),
    }
}

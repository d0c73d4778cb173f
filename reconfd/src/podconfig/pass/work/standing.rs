//! A link that is there, as found or as just made: what the next events are compared with, and what
//! the report tells of it.

use crate::{
    node::{
        act::Made,
        links::{HostEnd, Kind, Place, Present, Want, veth},
    },
    podconfig::{outcome::PresentFacts, wanted::Granted},
};

/// A link that is there.
#[derive(Clone, Debug)]
pub struct Standing {
    pub place: Place,
    pub host_index: u32,
    pub host_name: String,
    pub master: Option<u32>,
    pub host_mtu: u32,
    pub pod_index: Option<u32>,
    pub mac: [u8; 6],
    pub mtu: u32,
    pub has_routes: bool,
    pub addresses: Vec<ipnetwork::IpNetwork>,
}

pub(super) fn standing(present: &Present) -> Standing {
    let host = &present.host;
    let pod = present.pod.as_ref();
    Standing {
        place: present.place,
        host_index: host.index,
        host_name: host.name.clone(),
        master: host.master,
        host_mtu: host.mtu,
        pod_index: pod.map(|pod| pod.index),
        mac: host.mac,
        mtu: pod.map_or(host.mtu, |pod| pod.mtu),
        has_routes: pod.is_some_and(|pod| !pod.routes.is_empty()),
        addresses: pod
            .map(|pod| {
                pod.addresses
                    .iter()
                    .filter(|a| a.ours)
                    .map(|a| a.network)
                    .collect()
            })
            .unwrap_or_default(),
    }
}

pub(super) fn stands(want: &Want, made: &Made) -> Standing {
    Standing {
        place: want.link.kind.place(),
        host_index: made.host,
        host_name: want.host_name.clone(),
        master: made.bridge,
        host_mtu: want.host_mtu,
        pod_index: Some(made.pod),
        mac: made.mac,
        mtu: want.link.mtu,
        has_routes: !veth::pod_routes(&want.link).is_empty(),
        addresses: want.link.addresses.clone(),
    }
}

pub(super) fn facts(standing: &Standing, granted: &Granted) -> PresentFacts {
    let bridge = match &granted.link.kind {
        Kind::Veth(veth) => match &veth.host_end {
            HostEnd::Bridge { name, .. } | HostEnd::HostBridge(name) => Some(name.clone()),
            HostEnd::Routed => None,
        },
    };
    PresentFacts {
        mac: standing.mac,
        mtu: standing.mtu,
        addresses: standing.addresses.clone(),
        host_interface: Some(standing.host_name.clone()),
        bridge,
    }
}

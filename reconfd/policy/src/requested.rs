//! Pure: the requested kind and place of a link: exactly one of each.

use std::net::IpAddr;

use crds::podconfig::{Cni, Link, Mode, Veth, Vlan, Vxlan};

/// The one kind that a link specifies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RequestedLink<'a> {
    Veth(VethPlace<'a>),
    Vlan(&'a Vlan, ParentRef<'a>),
    Vxlan(&'a Vxlan, ParentRef<'a>, RequestedPeers<'a>),
    Cni(&'a Cni, CniSource<'a>),
}

/// The requested configuration of CNI plugins: exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CniSource<'a> {
    /// A NetworkAttachmentDefinition; without a namespace one of the PodConfig's own.
    Definition {
        namespace: Option<&'a str>,
        name: &'a str,
    },
    /// The text of a configuration.
    Inline(&'a str),
}

/// The requested place of a veth's host end: exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum VethPlace<'a> {
    Bridge(&'a str),
    HostBridge(&'a str),
    Routed,
}

/// The requested parent of a vlan or a vxlan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParentRef<'a> {
    /// A device of the node, with the requested mode.
    Node(&'a str, Mode),
    /// A link of the pod.
    Pod(&'a str),
}

/// The requested peers of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestedPeers<'a> {
    Addresses(&'a [IpAddr]),
    Group(IpAddr),
    /// The nodes that have pods on the tunnel, discovered by the cluster controller.
    Auto,
}

impl<'a> RequestedLink<'a> {
    /// The kind of a link, or what is invalid in it.
    pub fn of(link: &'a Link) -> Result<Self, String> {
        match (&link.veth, &link.vlan, &link.vxlan, &link.cni) {
            (Some(veth), None, None, None) => place(veth)
                .map(Self::Veth)
                .map_err(|why| format!("veth {why}")),
            (None, Some(vlan), None, None) => {
                let carrier = carrier(&vlan.parent, &vlan.parent_link, vlan.mode);
                let carrier = carrier.ok_or("vlan needs one of parent and parentLink")?;
                Ok(Self::Vlan(vlan, carrier))
            }
            (None, None, Some(vxlan), None) => {
                let carrier = carrier(&vxlan.underlay, &vxlan.underlay_link, vxlan.mode);
                let carrier = carrier.ok_or("vxlan needs one of underlay and underlayLink")?;
                Ok(Self::Vxlan(vxlan, carrier, ends(vxlan, carrier)?))
            }
            (None, None, None, Some(cni)) => Ok(Self::Cni(cni, source(cni)?)),
            (None, None, None, None) => {
                Err("the link has no kind; it needs veth, vlan, vxlan or cni".to_owned())
            }
            _ => Err("the link names more than one of veth, vlan, vxlan and cni".to_owned()),
        }
    }
}

/// The one configuration of a cni link, or what is invalid in it.
fn source(cni: &Cni) -> Result<CniSource<'_>, &'static str> {
    match (&cni.network_attachment_definition, &cni.config) {
        (Some(reference), None) => Ok(match reference.split_once('/') {
            Some((namespace, name)) => CniSource::Definition {
                namespace: Some(namespace),
                name,
            },
            None => CniSource::Definition {
                namespace: None,
                name: reference,
            },
        }),
        (None, Some(config)) => Ok(CniSource::Inline(config)),
        _ => Err("cni needs one of networkAttachmentDefinition and config"),
    }
}

/// The one place of a veth, or what is invalid in it.
fn place(veth: &Veth) -> Result<VethPlace<'_>, &'static str> {
    match (&veth.bridge, &veth.host_bridge, &veth.routed) {
        (Some(name), None, None) => Ok(VethPlace::Bridge(name)),
        (None, Some(name), None) => Ok(VethPlace::HostBridge(name)),
        (None, None, Some(_)) => Ok(VethPlace::Routed),
        (None, None, None) => Err("names no place; it needs bridge, hostBridge or routed"),
        _ => Err("names more than one of bridge, hostBridge and routed"),
    }
}

fn carrier<'a>(
    node: &'a Option<String>,
    pod: &'a Option<String>,
    mode: Option<Mode>,
) -> Option<ParentRef<'a>> {
    match (node, pod) {
        (Some(name), None) => Some(ParentRef::Node(name, mode.unwrap_or(Mode::Shared))),
        (None, Some(name)) => Some(ParentRef::Pod(name)),
        _ => None,
    }
}

fn ends<'a>(vxlan: &'a Vxlan, carrier: ParentRef<'_>) -> Result<RequestedPeers<'a>, &'static str> {
    let peers = &vxlan.peers;
    match (&peers.auto, &peers.addresses, peers.group) {
        (Some(_), None, None) => match carrier {
            ParentRef::Node(..) => Ok(RequestedPeers::Auto),
            ParentRef::Pod(_) => Err(
                "vxlan.peers.auto finds nodes; a vxlan on an underlayLink needs addresses or a group",
            ),
        },
        (None, Some(addresses), None) => Ok(RequestedPeers::Addresses(addresses)),
        (None, None, Some(group)) => Ok(RequestedPeers::Group(group)),
        _ => Err("vxlan.peers needs one of auto, addresses and group"),
    }
}

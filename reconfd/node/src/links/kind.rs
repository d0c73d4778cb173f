//! The kinds of links, and the places of host ends.

use std::net::IpAddr;

use super::{
    device::{Data, Device, Segment, VLAN, VXLAN},
    ownership_mark::{PORT_OF_NODE, other_end},
};

/// The kernel's name of the veth kind; every link with a host end is one.
pub const VETH: &str = "veth";

/// The kind of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// A pair: one end in the pod, the other out of the tenant's reach.
    Veth(Veth),
    /// A vlan or vxlan device in the pod itself.
    Device(Device),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Veth {
    pub host_end: HostEnd,
    /// Whether the bridge learns addresses behind this link (`macs: Any`).
    pub learning: bool,
}

/// The place of the host end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostEnd {
    /// On a bridge in the switch; its name and what it represents, `<namespace>/<bridge>`.
    Bridge { name: String, stands_for: String },
    /// On a bridge of the node, by name or altname.
    HostBridge(String),
    /// In the node's namespace, with the gateway addresses on it.
    Routed,
    /// On the bridge of a segment in the switch.
    Segment(Segment),
}

impl HostEnd {
    /// The MAC address of the host end of a link whose pod end has this one.
    pub fn own_mac(&self, of_pod: [u8; 6]) -> [u8; 6] {
        match self {
            Self::HostBridge(_) => PORT_OF_NODE,
            Self::Bridge { .. } | Self::Segment(_) | Self::Routed => other_end(of_pod),
        }
    }
}

/// The namespace of a host end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostNetns {
    Switch,
    Node,
}

impl LinkKind {
    /// The names of all kinds.
    pub const NAMES: [&'static str; 3] = [VETH, VLAN, VXLAN];

    /// The requested kind, which may differ from the kernel's kind.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Veth(veth) => match &veth.host_end {
                HostEnd::Segment(segment) => segment.data.kind(),
                HostEnd::Bridge { .. } | HostEnd::HostBridge(_) | HostEnd::Routed => VETH,
            },
            Self::Device(device) => device.data().kind(),
        }
    }

    /// The segment of the link, shared or exclusive.
    pub fn segment(&self) -> Option<&Segment> {
        match self {
            Self::Veth(veth) => match &veth.host_end {
                HostEnd::Segment(segment) => Some(segment),
                HostEnd::Bridge { .. } | HostEnd::HostBridge(_) | HostEnd::Routed => None,
            },
            Self::Device(Device::Exclusive(segment)) => Some(segment),
            Self::Device(Device::Inside { .. }) => None,
        }
    }

    /// Sets the local VTEP address of a tunnel with discovered peers.
    pub fn starts_at(&mut self, own: Option<IpAddr>) {
        let segment = match self {
            Self::Veth(Veth {
                host_end: HostEnd::Segment(segment),
                ..
            })
            | Self::Device(Device::Exclusive(segment)) => segment,
            Self::Veth(_) | Self::Device(_) => return,
        };
        segment.data.starts_at(own);
    }

    /// The vlan or vxlan of the link.
    pub fn data(&self) -> Option<&Data> {
        match self {
            Self::Device(device) => Some(device.data()),
            Self::Veth(_) => self.segment().map(|segment| &segment.data),
        }
    }

    /// The link of the pod that this one is on.
    pub fn carrier(&self) -> Option<&str> {
        match self {
            Self::Device(Device::Inside { carrier, .. }) => Some(carrier),
            Self::Device(Device::Exclusive(_)) | Self::Veth(_) => None,
        }
    }

    /// Whether the link may have neighbours on other nodes.
    pub fn reaches_beyond(&self) -> bool {
        match self {
            Self::Veth(veth) => match veth.host_end {
                HostEnd::Segment(_) | HostEnd::HostBridge(_) => true,
                HostEnd::Bridge { .. } | HostEnd::Routed => false,
            },
            Self::Device(_) => true,
        }
    }

    /// Whether it is a device in the pod, without a host end.
    pub fn is_device(&self) -> bool {
        matches!(self, Self::Device(_))
    }

    /// The link of the node that this one is on, by name or altname.
    pub fn node_link(&self) -> Option<&str> {
        match self {
            Self::Veth(Veth {
                host_end: HostEnd::HostBridge(name),
                ..
            }) => Some(name),
            _ => self.segment().map(|segment| segment.parent.as_str()),
        }
    }

    /// The bridge in the switch that the host end is on.
    pub fn switch_bridge(&self) -> Option<&str> {
        match self {
            Self::Veth(veth) => veth.host_end.switch_bridge(),
            Self::Device(_) => None,
        }
    }
}

impl Veth {
    /// Whether the pod's frames may leave the node unencapsulated: a tag in them would select a vlan there.
    pub fn leads_to_vlans(&self) -> bool {
        match &self.host_end {
            HostEnd::HostBridge(_) => true,
            HostEnd::Segment(segment) => matches!(segment.data, Data::Vlan(_)),
            HostEnd::Bridge { .. } | HostEnd::Routed => false,
        }
    }
}

impl HostEnd {
    pub fn place(&self) -> HostNetns {
        match self {
            Self::Bridge { .. } | Self::Segment(_) => HostNetns::Switch,
            Self::HostBridge(_) | Self::Routed => HostNetns::Node,
        }
    }

    /// The bridge in the switch that it is on.
    pub fn switch_bridge(&self) -> Option<&str> {
        match self {
            Self::Bridge { name, .. } => Some(name),
            Self::Segment(segment) => Some(&segment.name),
            Self::HostBridge(_) | Self::Routed => None,
        }
    }
}

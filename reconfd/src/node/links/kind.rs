//! The kinds of links, and where the ends are that are in no pod.

use std::net::IpAddr;

use super::{
    device::{Data, Device, Remotes, Segment, VLAN, VXLAN},
    ownership_mark::{PORT_OF_NODE, other_end},
};

/// What the kernel and people call a veth; every link that has a host end is one.
pub const VETH: &str = "veth";

/// The closed set of link kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// A pair: one end in the pod, the other out of the tenant's reach.
    Veth(Veth),
    /// A vlan or a vxlan in the pod itself.
    Device(Device),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Veth {
    pub host_end: HostEnd,
    /// Whether the bridge learns addresses behind this link (`macs: Any`).
    pub learning: bool,
}

/// Where the end that is not in the pod is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostEnd {
    /// On a bridge in the switch; the name on the node and what it stands for, `<namespace>/<bridge>`.
    Bridge { name: String, stands_for: String },
    /// On a bridge of the node, by name or altname.
    HostBridge(String),
    /// In the node's namespace, with the gateway addresses on it.
    Routed,
    /// On the bridge in the switch that a vlan or a vxlan is on as well.
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

/// The two namespaces that a host end can be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HostNetns {
    Switch,
    Node,
}

impl LinkKind {
    /// The names of all kinds.
    pub const NAMES: [&'static str; 3] = [VETH, VLAN, VXLAN];

    /// The kind that was asked for, whatever the kernel makes of it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Veth(veth) => match &veth.host_end {
                HostEnd::Segment(segment) => segment.data.kind(),
                HostEnd::Bridge { .. } | HostEnd::HostBridge(_) | HostEnd::Routed => VETH,
            },
            Self::Device(device) => device.data().kind(),
        }
    }

    /// What the link reaches beyond the node, shared or for itself.
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

    /// Of a tunnel whose ends are found: the end here is this.
    pub fn starts_at(&mut self, own: Option<IpAddr>) {
        let segment = match self {
            Self::Veth(Veth {
                host_end: HostEnd::Segment(segment),
                ..
            })
            | Self::Device(Device::Exclusive(segment)) => segment,
            Self::Veth(_) | Self::Device(_) => return,
        };
        if let Data::Vxlan(vxlan) = &mut segment.data
            && let Remotes::Discovered(end) = &mut vxlan.remotes
        {
            *end = own;
        }
    }

    /// The device that the link is, or is on.
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

    /// Whether it is in the pod as a whole, without a host end.
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
    /// Whether what the pod sends may leave the node as it is: a tag in it would choose a vlan there.
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

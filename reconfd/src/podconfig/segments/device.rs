//! Pure: the device and the peer filter that a segment should have on this node, or why it can have
//! none now.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crds::Reason;
use ipnetwork::IpNetwork;
use node::{
    filter::PeerFilter,
    link_info::LinkInfo,
    links::{
        DevicePolicy, Segment, WantDevice,
        device::{Data, Remotes},
    },
};

use crate::podconfig::{cause::Cause, node_view::NodeView};

/// A segment as its users configure it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentSpec {
    /// With its local endpoint, where that is discovered.
    pub segment: Segment,
    /// The namespace that owns it.
    pub owner: String,
    /// The peers, without the node's own addresses.
    pub peers: BTreeSet<IpAddr>,
    /// Allowed sources of a tunnel whose peers are not listed.
    pub sources: Vec<IpNetwork>,
}

/// A segment as it should be on this node. What a rule must permit is apart, because each link has
/// its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentTarget {
    pub segment: Segment,
    /// The device would take the traffic of a bridge's or bond's port.
    pub on_port: bool,
    /// The tunnel has no peer filter: every host could send into it.
    pub unfiltered: bool,
    /// The device, or why there can be none whatever a rule permits.
    pub device: Result<WantDevice, Cause>,
}

/// What links on a segment can rely on: when it changes, they are planned again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    on_port: bool,
    unfiltered: bool,
    /// The local endpoint, which is reported.
    own: Option<IpAddr>,
    /// The MTU, and whether the parent is up; or why there is no device.
    device: Result<(u32, bool), Cause>,
}

/// Evaluates a segment with the node's links and filter as they are.
pub fn target<S: NodeView>(spec: SegmentSpec, node: &S) -> SegmentTarget {
    let is_vlan = matches!(spec.segment.data, Data::Vlan(_));
    let (on_port, device) = match parent(&spec.segment, node) {
        Err(why) => (false, Err(why)),
        Ok(parent) => (is_vlan && parent.is_port(), device_on(parent, &spec, node)),
    };
    SegmentTarget {
        on_port,
        unfiltered: !is_vlan && !node.has_filter(),
        device,
        segment: spec.segment,
    }
}

impl SegmentTarget {
    pub fn readiness(&self) -> Readiness {
        let device = self.device.as_ref();
        Readiness {
            on_port: self.on_port,
            unfiltered: self.unfiltered,
            own: self.segment.data.own(),
            device: device
                .map(|device| (device.mtu, device.up))
                .map_err(Clone::clone),
        }
    }

    /// The device, for a link whose rule permits what the device needs.
    pub fn permitted(&self, policy: &DevicePolicy) -> Result<&WantDevice, Cause> {
        if self.on_port && !policy.on_port {
            let message = format!(
                "{:?} is a port of a bridge or a bond, which would lose {} to this link; the rule must name it in portParents",
                self.segment.parent, self.segment.data
            );
            return Err((Reason::ParentIsPort, message));
        }
        let device = self.device.as_ref().map_err(Clone::clone)?;
        if self.unfiltered && !policy.unfiltered {
            let message = "the kernel has no nf_tables to limit the tunnel to its peers; the rule must say unfiltered: Allowed";
            return Err((Reason::NoPeerFilter, message.to_owned()));
        }
        Ok(device)
    }
}

fn parent<'a, S: NodeView>(segment: &Segment, node: &'a S) -> Result<&'a LinkInfo, Cause> {
    let name = &segment.parent;
    node.of_node(name).ok_or_else(|| match node.is_elsewhere(name) {
        true => (
            Reason::ParentMoved,
            format!(
                "{name:?} has left the node's network namespace; the link follows when it is back"
            ),
        ),
        false => (
            Reason::ParentNotFound,
            format!("the node has no link {name:?}; the link follows when it appears"),
        ),
    })
}

fn device_on<S: NodeView>(
    parent: &LinkInfo,
    spec: &SegmentSpec,
    node: &S,
) -> Result<WantDevice, Cause> {
    let segment = &spec.segment;
    let data = segment.data.as_link_data(parent.index);
    if let Some(conflicting) = node.conflicting(parent.index, &data) {
        let message = format!(
            "the node itself has {} as {}",
            segment.data, conflicting.name
        );
        return Err((Reason::SegmentInUse, message));
    }
    if segment.data.found().is_some() && segment.data.own().is_none() {
        return Err(without_endpoint(spec));
    }
    Ok(WantDevice {
        parent_mac: None,
        parent: parent.index,
        mtu: segment.data.mtu_on(parent.mtu),
        up: parent.up,
        owner: spec.owner.clone(),
        peers: spec.peers.clone(),
        peer_filter: peer_filter(spec, parent.index, node),
    })
}

/// A tunnel whose local endpoint the other nodes could not identify.
fn without_endpoint(spec: &SegmentSpec) -> Cause {
    let networks: Vec<String> = spec.sources.iter().map(ToString::to_string).collect();
    let message = format!(
        "{:?} of this node has no address in the rule's peers ({}), by which the other nodes could identify it; \
         give it one, or let the rule list its network; the link follows by itself",
        spec.segment.parent,
        networks.join(", ")
    );
    (Reason::NoTunnelAddress, message)
}

/// The peers that may send into a tunnel; `None`: it is no tunnel, or the kernel has no filter.
fn peer_filter<S: NodeView>(spec: &SegmentSpec, underlay: u32, node: &S) -> Option<PeerFilter> {
    let Data::Vxlan(vxlan) = &spec.segment.data else {
        return None;
    };
    let sources = match &vxlan.remotes {
        Remotes::Peers(_) | Remotes::Discovered(_) => {
            spec.peers.iter().copied().map(IpNetwork::from).collect()
        }
        Remotes::Group(group) => {
            let sources = spec.sources.iter().copied();
            sources
                .filter(|source| source.is_ipv4() == group.is_ipv4())
                .collect()
        }
    };
    let filter = PeerFilter { underlay, sources };
    node.has_filter().then(|| filter.normalized())
}

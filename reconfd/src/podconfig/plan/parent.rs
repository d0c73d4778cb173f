//! Pure: the parent device of a link that reaches beyond the node, or why it cannot be used.

use crds::Reason;
use ipnetwork::IpNetwork;

use super::{Cause, NodeView};
use crate::node::{
    filter::PeerFilter,
    link_info::LinkInfo,
    links::{
        DevicePolicy, Segment, Want, WantDevice,
        device::{Data, Remotes},
    },
};

/// Fills in the parameters of the segment's device and the MTU of the link; returns a note if the
/// parent is down.
pub(super) fn resolve<S: NodeView>(
    want: &mut Want,
    segment: &Segment,
    node: &S,
) -> Result<Option<Cause>, Cause> {
    let ground = want.policy.clone().unwrap_or_default();
    let parent = parent(segment, &ground, node)?;
    let data = segment.data.as_link_data(parent.index);
    if let Some(conflicting) = node.conflicting(parent.index, &data) {
        let message = format!(
            "the node itself has {} as {}",
            segment.data, conflicting.name
        );
        return Err((Reason::SegmentInUse, message));
    }
    if segment.data.found().is_some() && segment.data.own().is_none() {
        return Err(without_end(segment, &ground));
    }
    let peer_filter = peer_filter(segment, &ground, parent.index, node)?;
    let carries = segment.data.mtu_on(parent.mtu);
    want.host_mtu = carries;
    want.device = Some(WantDevice {
        parent_mac: None,
        parent: parent.index,
        mtu: carries,
        up: parent.up,
        owner: ground.owner,
        peers: ground.peers,
        peer_filter,
    });
    carry(want, carries, &segment.parent)?;
    Ok((!parent.up).then(|| down(&segment.parent)))
}

fn parent<'a, S: NodeView>(
    segment: &Segment,
    ground: &DevicePolicy,
    node: &'a S,
) -> Result<&'a LinkInfo, Cause> {
    let name = &segment.parent;
    let Some(parent) = node.of_node(name) else {
        return Err(match node.is_elsewhere(name) {
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
        });
    };
    let is_vlan = matches!(segment.data, Data::Vlan(_));
    if is_vlan && parent.is_port() && !ground.on_port {
        let message = format!(
            "{name:?} is a port of a bridge or a bond, which would lose {} to this link; the rule must name it in portParents",
            segment.data
        );
        return Err((Reason::ParentIsPort, message));
    }
    Ok(parent)
}

/// A tunnel whose local endpoint the other nodes could not identify.
fn without_end(segment: &Segment, ground: &DevicePolicy) -> Cause {
    let networks: Vec<String> = ground.sources.iter().map(ToString::to_string).collect();
    let message = format!(
        "{:?} of this node has no address in the rule's peers ({}), by which the other nodes could identify it; \
         give it one, or let the rule list its network; the link follows by itself",
        segment.parent,
        networks.join(", ")
    );
    (Reason::NoTunnelAddress, message)
}

/// The peers that may send into a tunnel. Without a filter every host could.
fn peer_filter<S: NodeView>(
    segment: &Segment,
    ground: &DevicePolicy,
    underlay: u32,
    node: &S,
) -> Result<Option<PeerFilter>, Cause> {
    let Data::Vxlan(vxlan) = &segment.data else {
        return Ok(None);
    };
    if !node.has_filter() {
        let message = "the kernel has no nf_tables to limit the tunnel to its peers; the rule must say unfiltered: Allowed";
        return match ground.unfiltered {
            true => Ok(None),
            false => Err((Reason::NoPeerFilter, message.to_owned())),
        };
    }
    let sources = match &vxlan.remotes {
        Remotes::Peers(_) | Remotes::Discovered(_) => {
            ground.peers.iter().copied().map(IpNetwork::from).collect()
        }
        Remotes::Group(group) => ground
            .sources
            .iter()
            .filter(|source| source.is_ipv4() == group.is_ipv4())
            .copied()
            .collect(),
    };
    Ok(Some(PeerFilter { underlay, sources }.normalized()))
}

/// The MTU of a link above a device: the requested one, if the device can carry it.
pub(super) fn carry(want: &mut Want, carries: u32, below: &str) -> Result<(), Cause> {
    match want.link.mtu {
        Some(mtu) if mtu > carries => Err((
            Reason::MTUTooLarge,
            format!("mtu {mtu} is more than the {carries} that a link on {below:?} can carry"),
        )),
        requested => {
            want.mtu = requested.unwrap_or(carries);
            Ok(())
        }
    }
}

pub(super) fn down(parent: &str) -> Cause {
    (
        Reason::ParentDown,
        format!("{parent:?} is down; the link works when it is up again"),
    )
}

/// Whether a segment must be deleted for this reason: nothing may continue under its name.
pub fn must_go(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::ParentNotFound
            | Reason::ParentMoved
            | Reason::ParentIsPort
            | Reason::SegmentInUse
            | Reason::NoPeerFilter
            | Reason::NoTunnelAddress
    )
}

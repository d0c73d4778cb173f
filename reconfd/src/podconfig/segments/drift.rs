//! Pure: whether a segment's device in the switch is as it should be.

use node::links::{
    Segment, WantDevice,
    device::{
        Data,
        shared::{self, PresentSegment},
    },
};

use super::device::SegmentTarget;
use crate::podconfig::node_view::NodeView;

/// The ifindex of a device that must not continue under the segment's name. The pods keep their
/// ends and lose only the uplink.
pub fn outdated_device(
    target: &SegmentTarget,
    is_permitted: bool,
    present: PresentSegment<'_>,
) -> Option<u32> {
    let stays = is_permitted && target.device.is_ok();
    let device = present.device.filter(|_| !stays);
    device.map(|device| device.index)
}

/// Whether the bridge, the device or the peer filter is missing or differs.
pub fn has_drifted<S: NodeView>(segment: &Segment, device: &WantDevice, node: &S) -> bool {
    let edits = shared::edits(node.shared(segment), segment, device, node.installation());
    let is_right = edits.is_some_and(|edits| edits.is_empty());
    !is_right || !is_guarded(&segment.data, device, node)
}

/// Whether only the peers can send into the device.
pub fn is_guarded<S: NodeView>(data: &Data, want: &WantDevice, node: &S) -> bool {
    match (data, &want.peer_filter) {
        (Data::Vxlan(vxlan), Some(peer_filter)) => {
            node.peer_filter(vxlan.tunnel()) == Some(peer_filter)
        }
        _ => true,
    }
}

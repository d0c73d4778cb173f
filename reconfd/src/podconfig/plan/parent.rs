//! Pure: the device that a link is on, and what it can carry.

use crds::Reason;
use node::links::Want;

use super::Cause;
use crate::podconfig::segments::device::SegmentTarget;

/// Fills in the segment's device and the MTU of the link; returns a note if the parent is down.
pub(super) fn resolve(
    want: &mut Want,
    target: Option<&SegmentTarget>,
) -> Result<Option<Cause>, Cause> {
    // Every segment is evaluated before its links are planned.
    let target = target.ok_or_else(|| (Reason::Reconciling, String::new()))?;
    let policy = want.policy.clone().unwrap_or_default();
    let device = target.permitted(&policy)?;
    let (carries, is_up) = (device.mtu, device.up);
    want.host_mtu = carries;
    want.device = Some(device.clone());
    let parent = &target.segment.parent;
    carry(want, carries, parent)?;
    Ok((!is_up).then(|| down(parent)))
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

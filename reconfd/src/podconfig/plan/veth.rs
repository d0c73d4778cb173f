//! Pure: the steps for links with a host end.

use std::collections::BTreeSet;

use crds::Reason;
use node::links::{
    HostEnd, Present, Veth, Want,
    device::Data,
    edit::{Edit, edits},
};

use super::{Blocked, Cause, NodeView, Plan, PodDevices, SegmentTarget, Step, Target, parent};

impl Plan {
    pub(super) fn veth<S: NodeView>(
        &mut self,
        mut want: Want,
        (veth, now): (&Veth, Option<Present>),
        (duplicate, target): (Option<Cause>, Option<&SegmentTarget>),
        (inside, node): (&PodDevices<'_>, &S),
    ) {
        let resolved = match duplicate {
            Some(why) => Err(why),
            None => check_parent(&mut want, (veth, target), now.as_ref(), (inside, node)),
        };
        let link = want.link.name.clone();
        self.targets.insert(link.clone(), Target::of(&want));
        let (note, blocked) = match resolved {
            Ok(note) => (note, false),
            Err(why) => (Some(why), true),
        };
        if let (HostEnd::Segment(_), true, Some((reason, _))) = (&veth.host_end, blocked, &note) {
            self.leave(&want, *reason, now.as_ref());
        }
        match (now, blocked) {
            (now, false) => self.towards(want, veth, now, node),
            (Some(present), true) => self.keep_up(want, veth, present, node),
            (None, true) => (),
        }
        self.blocked.extend(note.map(|(reason, message)| Blocked {
            link,
            reason,
            message,
        }));
    }

    /// If the device depends on the rule, and others have the segment by rules of their own, this pod
    /// loses its link. A segment that has no device any more leaves it the link without an uplink.
    fn leave(&mut self, want: &Want, reason: Reason, now: Option<&Present>) {
        let is_shared = want.policy.as_ref().is_some_and(|policy| policy.is_shared);
        let is_own = matches!(reason, Reason::ParentIsPort | Reason::NoPeerFilter);
        let lost = now.filter(|_| is_shared && is_own);
        self.steps.extend(lost.map(|now| Step::Remove {
            place: now.place,
            index: now.host.index,
            link: want.link.name.clone(),
        }));
    }

    /// A link that cannot be as requested still follows the current rules: revoked addresses must
    /// not stay because of a request that cannot be met.
    fn keep_up<S: NodeView>(&mut self, mut want: Want, veth: &Veth, present: Present, node: &S) {
        let Some(pod) = &present.pod else {
            return;
        };
        if matches!(veth.host_end, HostEnd::Segment(_)) && want.device.is_none() {
            return;
        }
        want.mtu = pod.mtu;
        want.host_mtu = present.host.mtu;
        let bridge = bridge_number(veth, node);
        let is_routed = veth.host_end == HostEnd::Routed;
        let is_where_it_belongs = present.place == veth.host_end.place()
            && present.host.master == bridge
            && (is_routed || bridge.is_some());
        let mut edits = edits(&present, &want, veth, bridge).unwrap_or_default();
        // Its place is missing or not suitable; the link is not finished.
        edits
            .retain(|edit| !matches!(edit, Edit::Move(_) | Edit::Join | Edit::Rename | Edit::Mark));
        if is_where_it_belongs && !edits.is_empty() {
            self.steps.push(Step::Change {
                present: Box::new(present),
                want: Box::new(want),
                edits,
            });
        }
    }

    fn towards<S: NodeView>(&mut self, want: Want, veth: &Veth, now: Option<Present>, node: &S) {
        let Some(present) = now else {
            self.steps.push(Step::Create(Box::new(want)));
            return;
        };
        match edits(&present, &want, veth, bridge_number(veth, node)) {
            Some(edits) if edits.is_empty() => (),
            Some(edits) => self.steps.push(Step::Change {
                present: Box::new(present),
                want: Box::new(want),
                edits,
            }),
            None => {
                self.steps.push(Step::Remove {
                    place: present.place,
                    index: present.host.index,
                    link: want.link.name.clone(),
                });
                self.steps.push(Step::Create(Box::new(want)));
            }
        }
    }
}

/// Two names may refer to one bridge or parent of the node: a pod with two ports on it could create
/// a loop.
pub(super) fn second_port<S: NodeView>(
    veth: &Veth,
    node: &S,
    joined: &mut BTreeSet<(u32, Option<u16>)>,
) -> Option<Cause> {
    let (place, what) = match &veth.host_end {
        HostEnd::HostBridge(name) => {
            let bridge = node.of_node(name)?.index;
            ((bridge, None), format!("the bridge {name:?}"))
        }
        HostEnd::Segment(segment) => match segment.data {
            Data::Vlan(id) => {
                let parent = node.of_node(&segment.parent)?.index;
                ((parent, Some(id)), segment.to_string())
            }
            Data::Vxlan(_) => return None,
        },
        HostEnd::Bridge { .. } | HostEnd::Routed => return None,
    };
    let message = || format!("the pod has another link on {what}");
    (!joined.insert(place)).then(|| (Reason::SameSegment, message()))
}

/// What prevents a granted link from being created or repaired now. A present link stays as it is.
fn check_parent<S: NodeView>(
    want: &mut Want,
    (veth, target): (&Veth, Option<&SegmentTarget>),
    now: Option<&Present>,
    (inside, node): (&PodDevices<'_>, &S),
) -> Result<Option<Cause>, Cause> {
    let note = match &veth.host_end {
        HostEnd::HostBridge(name) => {
            on_host_bridge(want, name, node)?;
            None
        }
        HostEnd::Segment(_) => parent::resolve(want, target)?,
        HostEnd::Bridge { .. } | HostEnd::Routed => None,
    };
    let own = now
        .and_then(|present| present.pod.as_ref())
        .map(|pod| pod.index);
    match inside.foreign(&want.link.name, own) {
        Some(why) => Err(why),
        None => Ok(note),
    }
}

fn on_host_bridge<S: NodeView>(want: &mut Want, name: &str, node: &S) -> Result<(), Cause> {
    let Some(row) = node.of_node(name) else {
        return Err((
            Reason::BridgeNotFound,
            format!("the node has no bridge {name:?}; the link follows when it appears"),
        ));
    };
    if !row.is_kind("bridge") {
        let kind = row.kind.as_deref().unwrap_or("link without a kind");
        return Err((
            Reason::NotABridge,
            format!("{name:?} is a {kind} on the node, not a bridge"),
        ));
    }
    if want.mtu > row.mtu {
        let message = format!(
            "mtu {} is more than the {} of the bridge {name:?}",
            want.mtu, row.mtu
        );
        return Err((Reason::MTUTooLarge, message));
    }
    want.host_mtu = row.mtu;
    Ok(())
}

fn bridge_number<S: NodeView>(veth: &Veth, node: &S) -> Option<u32> {
    match &veth.host_end {
        HostEnd::HostBridge(name) => node.of_node(name).map(|row| row.index),
        host_end => node.of_switch(host_end.switch_bridge()?),
    }
}

//! Pure: the steps for links with a host end.

use std::collections::BTreeSet;

use crds::Reason;

use super::{Aim, Hindered, Inside, Plan, Step, Surroundings, Why, ground, is_guarded};
use crate::node::links::{
    HostEnd, Place, Present, Segment, Veth, Want,
    device::{Data, shared},
    edit::{Edit, edits},
};

impl Plan {
    pub(super) fn veth<S: Surroundings>(
        &mut self,
        mut want: Want,
        (veth, now): (&Veth, Option<Present>),
        twice: Option<Why>,
        (inside, around): (&Inside<'_>, &S),
    ) {
        let stands = match twice {
            Some(why) => Err(why),
            None => hindrance(&mut want, veth, now.as_ref(), inside, around),
        };
        let link = want.link.name.clone();
        self.aims.insert(link.clone(), Aim::of(&want));
        let (note, hindered) = match stands {
            Ok(note) => (note, false),
            Err(why) => (Some(why), true),
        };
        if let HostEnd::Segment(segment) = &veth.host_end {
            match &note {
                Some((reason, _)) if hindered && ground::must_go(*reason) => {
                    self.leave(&want, segment, *reason, (now.as_ref(), around));
                }
                _ => self.segment(&want, segment, now.is_some(), around),
            }
        }
        match (now, hindered) {
            (now, false) => self.towards(want, veth, now, around),
            (Some(present), true) => self.keep_up(want, veth, present, around),
            (None, true) => (),
        }
        self.hindered.extend(note.map(|(reason, message)| Hindered {
            link,
            reason,
            message,
        }));
    }

    /// A segment whose parent is no longer the one that was allowed must not go on in its name. The pod
    /// keeps its end, and loses nothing but the way out. Where it is for a rule to allow, and others have
    /// the segment by rules of their own, the pod alone loses it.
    fn leave<S: Surroundings>(
        &mut self,
        want: &Want,
        segment: &Segment,
        reason: Reason,
        (now, around): (Option<&Present>, &S),
    ) {
        let is_shared = want.ground.as_ref().is_some_and(|ground| ground.is_shared);
        let is_own = matches!(reason, Reason::ParentIsPort | Reason::NoPeerFilter);
        let goes = match (is_shared && is_own, now) {
            (true, now) => now.map(|now| (now.place, now.host.index, want.link.name.clone())),
            (false, _) => {
                let device = around.shared(segment).device;
                device.map(|device| (Place::Switch, device.index, String::new()))
            }
        };
        let step = goes.map(|(place, index, link)| Step::Remove { place, index, link });
        self.steps.extend(step);
    }

    /// A link that can not be all that is wanted is for the rest what the rules say now: what was taken
    /// back must not stay behind a wish that can not come true.
    fn keep_up<S: Surroundings>(
        &mut self,
        mut want: Want,
        veth: &Veth,
        present: Present,
        around: &S,
    ) {
        let Some(pod) = &present.pod else {
            return;
        };
        if matches!(veth.host_end, HostEnd::Segment(_)) && want.device.is_none() {
            return;
        }
        want.mtu = pod.mtu;
        want.host_mtu = present.host.mtu;
        let bridge = bridge_number(veth, around);
        let is_routed = veth.host_end == HostEnd::Routed;
        let is_where_it_belongs = present.place == veth.host_end.place()
            && present.host.master == bridge
            && (is_routed || bridge.is_some());
        let mut edits = edits(&present, &want, veth, bridge).unwrap_or_default();
        // Where it belongs is not there, or not fit; and it is not done.
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

    /// With the first link of a segment its device comes; for one that is there it is looked after.
    fn segment<S: Surroundings>(
        &mut self,
        want: &Want,
        segment: &Segment,
        stands: bool,
        around: &S,
    ) {
        let Some(device) = want.device.as_ref().filter(|_| stands) else {
            return;
        };
        let edits = shared::edits(
            around.shared(segment),
            segment,
            device,
            around.installation(),
        );
        let is_right = edits.is_some_and(|edits| edits.is_empty())
            && is_guarded(&segment.data, device, around);
        if !is_right {
            self.steps.push(Step::Segment(Box::new(want.clone())));
        }
    }

    fn towards<S: Surroundings>(
        &mut self,
        want: Want,
        veth: &Veth,
        now: Option<Present>,
        around: &S,
    ) {
        let Some(present) = now else {
            self.steps.push(Step::Create(Box::new(want)));
            return;
        };
        match edits(&present, &want, veth, bridge_number(veth, around)) {
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

/// Two names may lead to one bridge or one parent of the node: a pod with two ports on it could make a loop.
pub(super) fn second_port<S: Surroundings>(
    veth: &Veth,
    around: &S,
    joined: &mut BTreeSet<(u32, Option<u16>)>,
) -> Option<Why> {
    let (place, what) = match &veth.host_end {
        HostEnd::HostBridge(name) => {
            let bridge = around.of_node(name)?.index;
            ((bridge, None), format!("the bridge {name:?}"))
        }
        HostEnd::Segment(segment) => match segment.data {
            Data::Vlan(id) => {
                let parent = around.of_node(&segment.parent)?.index;
                ((parent, Some(id)), segment.to_string())
            }
            Data::Vxlan(_) => return None,
        },
        HostEnd::Bridge { .. } | HostEnd::Routed => return None,
    };
    let message = || format!("the pod has another link on {what}");
    (!joined.insert(place)).then(|| (Reason::SameSegment, message()))
}

/// What keeps a granted link from being made or mended now. A link that is there stays as it is.
fn hindrance<S: Surroundings>(
    want: &mut Want,
    veth: &Veth,
    now: Option<&Present>,
    inside: &Inside<'_>,
    around: &S,
) -> Result<Option<Why>, Why> {
    let note = match &veth.host_end {
        HostEnd::HostBridge(name) => {
            on_host_bridge(want, name, around)?;
            None
        }
        HostEnd::Segment(segment) => ground::stand(want, segment, around)?,
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

fn on_host_bridge<S: Surroundings>(want: &mut Want, name: &str, around: &S) -> Result<(), Why> {
    let Some(row) = around.of_node(name) else {
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

fn bridge_number<S: Surroundings>(veth: &Veth, around: &S) -> Option<u32> {
    match &veth.host_end {
        HostEnd::HostBridge(name) => around.of_node(name).map(|row| row.index),
        host_end => around.of_switch(host_end.switch_bridge()?),
    }
}

//! Pure: the steps for vlans and vxlans inside the pod.

use std::collections::{HashMap, HashSet};

use crds::Reason;
use node::{
    link_info::LinkInfo,
    links::{
        Device, LinkKind, Present, Want, WantDevice,
        device::Data,
        edit::{Edit, device_edits},
    },
    present::{Candidate, Stranded},
};

use super::{Blocked, Cause, NodeView, Plan, SegmentTarget, Step, Target, parent};
use crate::podconfig::segments::drift::is_guarded;

/// State of the devices inside the pod.
pub struct PodDevices<'a> {
    /// All links in the pod.
    pub links: &'a HashMap<u32, LinkInfo>,
    pub candidates: Vec<Candidate>,
    /// Indexes of links that this daemon has made or observed before.
    pub known: &'a HashSet<u32>,
    /// Links of the pod that accept no VLAN tags from the pod.
    pub untaggable: HashSet<String>,
    /// The kernel has IPv6.
    pub has_ipv6: bool,
    /// Pod ends without a host end.
    pub stranded: Vec<Stranded>,
    /// Indexes of own links that will be deleted, so that their names become free.
    going: HashSet<u32>,
}

impl<'a> PodDevices<'a> {
    pub fn new(
        links: &'a HashMap<u32, LinkInfo>,
        candidates: Vec<Candidate>,
        known: &'a HashSet<u32>,
        granted: &[Want],
    ) -> Self {
        let is_walled = |want: &&Want| match &want.link.kind {
            LinkKind::Veth(veth) => veth.leads_to_vlans(),
            LinkKind::Device(_) => false,
        };
        let untaggable = granted.iter().filter(is_walled);
        Self {
            links,
            candidates,
            known,
            untaggable: untaggable.map(|want| want.link.name.clone()).collect(),
            has_ipv6: true,
            stranded: Vec::new(),
            going: HashSet::new(),
        }
    }

    /// Determines the links that are deleted in any case: stranded ones, veths that are no longer
    /// requested as veths, and devices that are to become veths.
    pub(super) fn make_place(&mut self, granted: &[Want], present: &[Present]) {
        let is_veth = |link: &str| {
            let mut veths = granted.iter().filter(|want| !want.link.kind.is_device());
            veths.any(|want| want.link.name == link)
        };
        let stranded = self.stranded.iter().map(|stranded| stranded.index);
        let veths = present.iter().filter_map(|present| {
            let stays = present
                .mark
                .as_ref()
                .is_some_and(|mark| is_veth(&mark.link));
            present.pod.as_ref().filter(|_| !stays).map(|pod| pod.index)
        });
        let devices = self.candidates.iter().filter(|candidate| {
            let mark = candidate.info.mark();
            self.is_ours(candidate) && mark.is_some_and(|mark| is_veth(&mark.link))
        });
        let devices = devices.map(|candidate| candidate.info.index);
        self.going = stranded.chain(veths).chain(devices).collect();
    }

    /// Refuses if a foreign link of the pod has the name.
    pub(super) fn foreign(&self, name: &str, own: Option<u32>) -> Option<Cause> {
        let is_other = |row: &&LinkInfo| Some(row.index) != own && !self.going.contains(&row.index);
        let mut others = self.links.values().filter(is_other);
        let other = others.find(|row| row.is_called(name))?;
        let kind = other.kind.as_deref().unwrap_or("network");
        let message = format!(
            "the pod has a {kind} link {name:?} that is not podconfig's; rename one of the two"
        );
        Some((Reason::ForeignLink, message))
    }

    fn is_ours(&self, candidate: &Candidate) -> bool {
        let half_made = candidate.grouped && candidate.info.alias.is_none();
        candidate.marked || half_made || self.known.contains(&candidate.info.index)
    }

    /// The device that was this link and cannot be reused: it is deleted before the new one is
    /// created.
    fn replaced(&self, link: &str) -> Option<u32> {
        let was = |candidate: &&Candidate| {
            let mark = candidate.info.mark();
            let is_this = mark.is_some_and(|mark| mark.link == link);
            is_this && candidate.info.is_called(link) && self.is_ours(candidate)
        };
        let was = self.candidates.iter().find(was);
        was.map(|candidate| candidate.info.index)
    }

    /// The device that is this link, by what the kernel shows: what the tenant can write is not
    /// enough.
    fn take(&mut self, device: &Device, want: &WantDevice) -> Result<Option<Candidate>, Cause> {
        let place = self
            .candidates
            .iter()
            .position(|candidate| is_same(candidate, device, want));
        let Some(place) = place else {
            return Ok(None);
        };
        let candidate = &self.candidates[place];
        let is_ours = candidate.on_node
            || candidate.grouped
            || candidate.present.mark.is_some()
            || self.known.contains(&candidate.info.index);
        match is_ours {
            true => Ok(Some(self.candidates.swap_remove(place))),
            false => Err((
                Reason::ForeignLink,
                format!(
                    "the pod has {} already, as {:?}, which is not podconfig's",
                    device.data(),
                    candidate.info.name
                ),
            )),
        }
    }
}

fn is_same(candidate: &Candidate, device: &Device, want: &WantDevice) -> bool {
    let row = &candidate.info;
    let is_at_home = match device {
        Device::Exclusive(_) => candidate.on_node,
        Device::Inside { .. } => row.peer_netns.is_none(),
    };
    let is_on_parent = match device.data() {
        Data::Vlan(_) => row.peer == Some(want.parent),
        Data::Vxlan(_) => true,
    };
    let is_of_family = device.data().suits(&candidate.present.peers);
    is_at_home
        && is_on_parent
        && is_of_family
        && row.data == Some(device.data().as_link_data(want.parent))
}

impl Plan {
    pub(super) fn device<S: NodeView>(
        &mut self,
        mut want: Want,
        (device, target): (&Device, Option<&SegmentTarget>),
        inside: &mut PodDevices<'_>,
        node: &S,
    ) {
        let resolved = resolve(&mut want, (device, target), inside);
        let found = match (&resolved, &want.device) {
            (Ok(_), Some(wanted)) => inside.take(device, wanted),
            // An existing device that cannot be as requested stays.
            (Err(why), Some(wanted)) => {
                if let Ok(Some(found)) = inside.take(device, wanted) {
                    self.keep_device_up(&want, device, found, node);
                }
                Err(why.clone())
            }
            (Err(why), None) => Err(why.clone()),
            (Ok(_), None) => Ok(None),
        };
        let link = want.link.name.clone();
        self.targets.insert(link.clone(), Target::of(&want));
        let hinder = |(reason, message): Cause| Blocked {
            link: link.clone(),
            reason,
            message,
        };
        match found {
            Err(why) => self.blocked.push(hinder(why)),
            Ok(found) => {
                let own = found.as_ref().map(|candidate| candidate.info.index);
                let own = own.or_else(|| inside.replaced(&want.link.name));
                if let Some(why) = inside.foreign(&want.link.name, own) {
                    self.blocked.push(hinder(why));
                    // It stays, under any name.
                    if let Some(found) = found {
                        self.keep_device_up(&want, device, found, node);
                    }
                    return;
                }
                self.blocked.extend(resolved.ok().flatten().map(hinder));
                self.towards_device(want, device, found, node);
            }
        }
    }

    /// A device that cannot be as requested still follows the current rules.
    fn keep_device_up<S: NodeView>(
        &mut self,
        want: &Want,
        device: &Device,
        found: Candidate,
        node: &S,
    ) {
        let mut want = want.clone();
        want.mtu = found.present.pod.mtu;
        let mut edits = device_edits(&found.present, &want);
        edits.retain(|edit| !matches!(edit, Edit::Rename | Edit::Mark));
        self.change_device((want, device), found, edits, node);
    }

    fn towards_device<S: NodeView>(
        &mut self,
        want: Want,
        device: &Device,
        found: Option<Candidate>,
        node: &S,
    ) {
        let Some(found) = found else {
            self.steps.push(Step::Create(Box::new(want)));
            return;
        };
        let edits: Vec<Edit> = device_edits(&found.present, &want);
        self.change_device((want, device), found, edits, node);
    }

    fn change_device<S: NodeView>(
        &mut self,
        (want, device): (Want, &Device),
        found: Candidate,
        edits: Vec<Edit>,
        node: &S,
    ) {
        let is_guarded = match (device, &want.device) {
            (Device::Exclusive(segment), Some(wanted)) => is_guarded(&segment.data, wanted, node),
            _ => true,
        };
        if edits.is_empty() && is_guarded {
            return;
        }
        self.steps.push(Step::ChangeDevice {
            present: Box::new(found.present),
            want: Box::new(want),
            edits,
        });
    }

    /// Deletes own devices that are no longer requested or were never finished. First, so that they
    /// do not block what is created.
    pub(super) fn without(&mut self, inside: PodDevices<'_>) {
        let gone = inside.candidates.iter().filter(|c| inside.is_ours(c));
        let steps = gone.map(|candidate| Step::RemoveDevice {
            index: candidate.info.index,
            name: candidate.info.name.clone(),
            link: candidate
                .info
                .mark()
                .map_or_else(String::new, |mark| mark.link),
        });
        let stranded = inside.stranded.iter().cloned();
        let steps = steps.chain(
            stranded.map(|Stranded { index, name, link }| Step::RemoveDevice { index, name, link }),
        );
        let steps: Vec<Step> = steps.collect();
        self.steps.splice(0..0, steps);
    }
}

/// Fills in the parameters of the device; returns a note if its parent is down.
fn resolve(
    want: &mut Want,
    (device, target): (&Device, Option<&SegmentTarget>),
    inside: &PodDevices<'_>,
) -> Result<Option<Cause>, Cause> {
    match device {
        Device::Exclusive(_) => parent::resolve(want, target),
        Device::Inside { carrier, data, .. } => inside_of(want, carrier, data, inside),
    }
}

/// A carrier is a link of the pod only: its name never resolves to a link of the node.
fn inside_of(
    want: &mut Want,
    carrier: &str,
    data: &Data,
    inside: &PodDevices<'_>,
) -> Result<Option<Cause>, Cause> {
    let row = inside.links.values().find(|row| row.is_called(carrier));
    let Some(row) = row else {
        let message = format!("the pod has no link {carrier:?}; the link follows when it appears");
        return Err((Reason::ParentNotFound, message));
    };
    if matches!(data, Data::Vlan(_)) && inside.untaggable.contains(carrier) {
        let message =
            format!("{carrier:?} reaches beyond the node and accepts no VLAN tags from the pod");
        return Err((Reason::NotAllowed, message));
    }
    let carries = data.mtu_on(row.mtu);
    let ground = want.policy.clone().unwrap_or_default();
    want.device = Some(WantDevice {
        parent: row.index,
        // The bridge behind a link of the pod forwards to the link's MAC address only.
        parent_mac: row.mac.filter(|_| matches!(data, Data::Vlan(_))),
        mtu: carries,
        up: row.up,
        owner: String::new(),
        peers: ground.peers,
        peer_filter: None,
    });
    parent::carry(want, carries, carrier)?;
    Ok((!row.up).then(|| parent::down(carrier)))
}

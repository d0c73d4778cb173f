//! Addresses of links: checked against known networks, claimed before the link is created, checked
//! again right before they are assigned, released when the link is gone.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use address::{
    claims::{AddressRequest, Allocation, LinkKey, lineage::Lineage},
    kernel,
    overlap::{LinkNetworks, OverlapResult, check_overlap},
    reserved::Reserved,
};
use crds::{Mac, Reason, claim::DEFAULT_DOMAIN};
use ipnetwork::IpNetwork;
use node::{
    links::mac,
    netlink::Error,
    sandbox::{Depth, Unreachable},
};

use super::{
    claims::refuse, observe::Reading, outcomes, pod_links::PodLinks, present::present_link,
};
use crate::podconfig::{
    Addressing, NodeReconciler,
    cause::Cause,
    desired::{Desired, DesiredLink, spec_hash},
    objects::Objects,
    outcome::LocalPod,
    pods::RecordedPod,
};

impl DesiredLink {
    /// The networks, addresses and routes of the link.
    fn reach(&self) -> LinkNetworks {
        let link = &self.link;
        let ranges = self.ranges.iter().map(|range| range.cidr());
        LinkNetworks {
            namespace: self.member.namespace.clone(),
            networks: link.addresses.iter().copied().chain(ranges).collect(),
            addresses: link.addresses.iter().map(IpNetwork::ip).collect(),
            routes: link.routes.iter().map(|route| route.to).collect(),
            ..LinkNetworks::default()
        }
    }

    fn has_addresses(&self) -> bool {
        !self.link.addresses.is_empty() || !self.ranges.is_empty()
    }

    /// Adds the addresses allocated from its ranges; returns whether there are any.
    fn take(&mut self, given: &[IpAddr]) -> bool {
        let given = self.ranges.iter().zip(given);
        let given = given.filter_map(|(range, ip)| IpNetwork::new(*ip, range.cidr().prefix()).ok());
        let given: Vec<IpNetwork> = given.collect();
        let is_given = !given.is_empty();
        if is_given {
            self.link.addresses.extend(given);
            self.mark.spec_hash = spec_hash(&self.link);
        }
        is_given
    }
}

impl NodeReconciler {
    /// After a restart: a present link needs the addresses that it has, even if its claims were
    /// deleted meanwhile.
    pub(in crate::podconfig) fn restore_addresses(&mut self) {
        for uid in self.machine.pods_with_links() {
            let Some(known) = self.objects.recorded(&uid) else {
                continue;
            };
            // A listed address is claimed as it is.
            let configs = self.objects.stores.podconfigs_of(&known.pod.namespace);
            let mut links = configs.iter().flat_map(|config| &config.spec.links);
            if known.trouble.is_some() || links.all(|link| link.ranges().is_empty()) {
                continue;
            }
            // A pod that cannot be observed now is observed and reported later.
            if let Ok(present) = self.addresses_in(&uid, &known) {
                for (link, addresses) in present {
                    self.addressing.claims.restore(&uid, &link, &addresses);
                }
            }
        }
    }

    fn addresses_in(
        &mut self,
        uid: &str,
        known: &RecordedPod,
    ) -> Result<BTreeMap<String, BTreeSet<IpAddr>>, Unreachable> {
        let mut sandbox = self.machine.visit(&known.record)?;
        let inside = sandbox.read(Depth {
            addresses: true,
            ..Depth::default()
        })?;
        let (present, _) = self
            .machine
            .present(&sandbox, &known.pod.sandbox, uid, &inside)?;
        let ours = present.iter().filter_map(|link| {
            let addresses = present_link(link).addresses;
            let addresses = addresses.iter().map(IpNetwork::ip).collect();
            Some((link.mark.as_ref()?.link.clone(), addresses))
        });
        Ok(ours.collect())
    }

    /// Releases the addresses of deleted links of pods without a record.
    pub(super) fn release_addresses_of_orphans(&self, uids: &[String]) {
        for uid in uids {
            let ends = self.machine.ends_of(uid).into_iter();
            let mut links: BTreeSet<String> = ends.map(|(.., mark)| mark.link).collect();
            let attached = self.attachments.results(uid).into_iter();
            links.extend(attached.map(|attached| attached.slot.ifname));
            // A device inside the pod has no host end to tell whether it exists.
            if self.devices_of(uid).next().is_none() {
                self.addressing.claims.retain_links(uid, &links);
            }
        }
    }

    /// A pod that is gone holds nothing once its links are gone.
    pub(super) fn release_addresses_of(&self, uid: &str) {
        let has_links =
            !self.machine.ends_of(uid).is_empty() || self.devices_of(uid).next().is_some();
        let has_links = has_links || self.attachments.has(uid);
        if !has_links {
            self.addressing.claims.release_pod(uid);
        }
    }
}

impl Objects {
    /// Without the object it is unknown which pod this one succeeds.
    pub(super) fn lineage(&self, pod: &LocalPod) -> Lineage {
        let object = self.stores.pod(&pod.namespace, &pod.name);
        let object = object.filter(|object| object.metadata.uid.as_deref() == Some(&pod.uid));
        object
            .map(|object| Lineage::of(&object.metadata, object.waits_for_links()))
            .unwrap_or_default()
    }
}

impl Addressing {
    /// Refuses links that cannot have their addresses or networks; links that may get them later
    /// are suspended until then.
    pub fn claim(&self, pod: &LocalPod, desired: &mut Desired, lineage: &Lineage) {
        let mut refused = Vec::new();
        for mut granted in std::mem::take(&mut desired.granted) {
            match self.claim_link(pod, &mut granted, desired, lineage) {
                Ok(()) => desired.granted.push(granted),
                Err((reason, message)) => {
                    desired.networks_unknown |= reason == Reason::ClusterNetworksUnknown;
                    let refusal = outcomes::refused(&granted, reason, message);
                    refused.push((granted.order, refusal));
                }
            }
        }
        refuse(desired, refused);
    }

    fn claim_link(
        &self,
        pod: &LocalPod,
        granted: &mut DesiredLink,
        desired: &mut Desired,
        lineage: &Lineage,
    ) -> Result<(), Cause> {
        let reach = granted.reach();
        desired.reach.extend(&reach);
        desired.requesting.insert(granted.link.name.clone());
        let OverlapResult {
            collision,
            excluded,
        } = self.collides(granted, &reach, &desired.reserved);
        granted.conflict = collision;
        if granted.has_addresses() {
            let refusal = granted.conflict.clone();
            let refusal = refusal.map(|why| (Reason::NetworkReserved, why));
            let unknown = self.networks.unknown();
            let unknown = unknown.map(|why| (Reason::ClusterNetworksUnknown, why.to_owned()));
            let request = AddressRequest {
                domain: granted.domain.clone(),
                addresses: reach.addresses,
                ranges: granted.ranges.clone(),
                excluded,
                refusal: refusal.or(unknown),
                may_return: lineage.may_return(),
                lineage: lineage.clone(),
            };
            match self.claims.allocate(&link_key(pod, granted), &request) {
                // An allocated address may belong to another link meanwhile.
                Allocation::Held(given) if granted.take(&given) => {
                    let reach = granted.reach();
                    let desired = self.collides(granted, &reach, &desired.reserved);
                    granted.conflict = desired.collision;
                }
                Allocation::Held(_) => (),
                Allocation::Pending(why) => granted.suspended = Some((Reason::ClaimPending, why)),
                Allocation::Refused(reason, why) => return Err((reason, why)),
            }
        } else {
            self.claims.drop_link(&link_key(pod, granted));
        }
        let foreign = check_mac(granted);
        granted.suspended = granted.suspended.take().or(foreign);
        match &granted.conflict {
            Some(why) if desired.detaches => Err((Reason::AddressConflict, why.clone())),
            _ => Ok(()),
        }
    }

    fn collides(
        &self,
        granted: &DesiredLink,
        reach: &LinkNetworks,
        of_policies: &Reserved,
    ) -> OverlapResult {
        let reserved = [self.networks.reserved(), of_policies];
        check_overlap(reach, &reserved, &granted.permit.overlaps)
    }

    /// Releases addresses that the pod's links neither have nor should have.
    pub fn release(&self, links: &PodLinks) {
        // A link that was refused an address waits for it.
        let requesting = links.desired.requesting.iter();
        let mut kept: BTreeMap<String, BTreeSet<IpAddr>> = requesting
            .map(|link| (link.clone(), BTreeSet::new()))
            .collect();
        let wanted = links.desired.granted.iter();
        let wanted = wanted.map(|granted| (&granted.link.name, &granted.link.addresses));
        let present = links.present.iter();
        let present = present.map(|(name, link)| (name, &link.addresses));
        for (name, addresses) in wanted.chain(present) {
            let of_link = kept.entry(name.clone()).or_default();
            of_link.extend(addresses.iter().map(IpNetwork::ip));
        }
        // The next holder of an address gets its MAC address as well: no other link may have it by
        // then.
        for (name, link) in &links.present {
            let of_mac = mac::address_of(link.mac).map(IpAddr::V4);
            kept.entry(name.clone()).or_default().extend(of_mac);
        }
        for (name, addresses) in &links.desired.attached.addresses {
            kept.entry(name.clone()).or_default().extend(addresses);
        }
        self.claims.retain(links.uid(), &kept);
    }
}

/// The last check before the kernel is changed. A link that is present as specified stays,
/// whatever has appeared since; a new or changed link must not overlap any network, including
/// the pod's other networks.
pub(super) fn suspend_overlapping(
    links: &mut PodLinks,
    reading: &mut Reading,
) -> Result<(), Error> {
    let mut of_pod = None;
    for at in 0..links.desired.granted.len() {
        let granted = &links.desired.granted[at];
        if granted.suspended.is_some() || links.is_as_specified(granted) {
            continue;
        }
        let mut collision = granted.conflict.clone();
        let reach = granted.reach();
        if collision.is_none() && !reach.is_empty() {
            if of_pod.is_none() {
                of_pod = Some(networks_of_pod(reading)?);
            }
            let reserved: Vec<&Reserved> = of_pod.iter().collect();
            collision = check_overlap(&reach, &reserved, &granted.permit.overlaps).collision;
            links.overlaps_in_pod |= collision.is_some();
        }
        links.desired.granted[at].suspended = collision.map(|why| (Reason::NetworkReserved, why));
    }
    Ok(())
}

/// A MAC address derived from an address that another link may hold, on this or another node: both
/// links would be unreachable for each other's neighbours. A link that already has it stays.
fn check_mac(granted: &DesiredLink) -> Option<Cause> {
    let mac = granted.link.mac?;
    let address = mac::address_of(mac).map(IpAddr::V4)?;
    let is_own = granted.domain == DEFAULT_DOMAIN
        && granted.link.addresses.iter().any(|own| own.ip() == address);
    let message = || {
        format!(
            "mac {} is derived from the address {address}, which this link does not have; choose another mac, or none",
            Mac(mac)
        )
    };
    (granted.link.kind.reaches_beyond() && !is_own).then(|| (Reason::Invalid, message()))
}

/// The pod's networks that are not ours.
fn networks_of_pod(reading: &mut Reading) -> Result<Reserved, Error> {
    let ours = reading.own_indexes();
    let is_ours = |index| ours.contains(&index);
    let links = &reading.inside.links;
    let sandbox = &mut reading.sandbox;
    let networks = sandbox.networks(links, is_ours, kernel::matters_in_pod)?;
    Ok(Reserved::new(kernel::of_pod(&networks)))
}

fn link_key(pod: &LocalPod, granted: &DesiredLink) -> LinkKey {
    LinkKey {
        namespace: pod.namespace.clone(),
        pod: pod.name.clone(),
        uid: pod.uid.clone(),
        link: granted.link.name.clone(),
    }
}

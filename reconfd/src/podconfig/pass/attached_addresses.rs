//! Addresses that CNI plugins have given to a pod: claimed as those of other links are.

use std::net::IpAddr;

use address::{
    claims::{AddressRequest, Allocation, LinkKey, lineage::Lineage},
    kernel,
    overlap::{Definitions, LinkNetworks, PluginPools, check_overlap},
    reserved::Reserved,
};
use crds::Reason;
use node::networks::{By, KernelNetwork};
use policy::{AttachmentGrant, Permit};

use crate::podconfig::{
    Addressing,
    attachments::{Addresses, AttachedResult, Attachments},
    desired::{Desired, DesiredAttachment},
    outcome::LocalPod,
};

impl Addressing {
    /// Claims the addresses that plugins have given, so that no range gives them to another link. What cannot be claimed
    /// is detached.
    pub fn claim_attached(
        &self,
        pod: &LocalPod,
        desired: &mut Desired,
        lineage: &Lineage,
        attachments: &Attachments,
    ) {
        for attached in attachments.results(&pod.uid) {
            let link = attached.slot.ifname.clone();
            let of_link = desired.attached.addresses.entry(link.clone()).or_default();
            of_link.extend(attached.addresses());
            let mut requests = desired.attachments.iter();
            let Some(request) = requests.find(|request| request.name == link) else {
                continue;
            };
            let wanted = self.address_request((pod, lineage), desired, request, &attached);
            let key = LinkKey {
                namespace: pod.namespace.clone(),
                pod: pod.name.clone(),
                uid: pod.uid.clone(),
                link: link.clone(),
            };
            desired.requesting.insert(link);
            let ruling = match self.claims.allocate(&key, &wanted) {
                Allocation::Held(_) => Addresses::Held(attached.addresses().collect()),
                Allocation::Pending(why)
                | Allocation::Refused(Reason::ClusterNetworksUnknown, why) => {
                    Addresses::Pending(why)
                }
                Allocation::Refused(reason, why) => Addresses::Refused(reason, why),
            };
            attachments.rule_on_addresses(&pod.uid, &attached.slot, ruling);
        }
    }

    fn address_request(
        &self,
        (pod, lineage): (&LocalPod, &Lineage),
        desired: &Desired,
        request: &DesiredAttachment,
        attached: &AttachedResult,
    ) -> AddressRequest {
        let addresses: Vec<IpAddr> = attached.addresses().collect();
        let ips = attached.result.ips.iter().map(|ip| ip.address);
        let routes = attached.result.routes.iter().map(|route| route.dst);
        let reach = LinkNetworks {
            namespace: pod.namespace.clone(),
            networks: ips.collect(),
            addresses: addresses.clone(),
            routes: routes.collect(),
            on_node: attached.on_node.clone(),
            pools: PluginPools {
                definitions: definitions(&request.permit),
                whereabouts: attached.by_whereabouts,
            },
        };
        // What the kernel reports of the plugins' work may come later than this pass.
        let made = Reserved::new(kernel::of_node(&made_on_node(&reach)));
        let reserved = [self.networks.reserved(), &desired.reserved, &made];
        let overlap = check_overlap(&reach, &reserved, &request.permit.overlaps);
        let refusal = overlap.collision.map(|why| (Reason::NetworkReserved, why));
        let unknown = self.networks.unknown();
        let unknown = unknown.map(|why| (Reason::ClusterNetworksUnknown, why.to_owned()));
        AddressRequest {
            domain: request.domain.clone(),
            addresses,
            ranges: Vec::new(),
            excluded: overlap.excluded,
            refusal: refusal.or(unknown),
            may_return: lineage.may_return(),
            lineage: lineage.clone(),
        }
    }
}

/// A tenant's definition may give out addresses of no other namespace.
fn definitions(permit: &Permit) -> Definitions {
    if AttachmentGrant::any_trusted(&permit.attachments) {
        Definitions::All
    } else {
        Definitions::Own
    }
}

/// What plugins have given to the node for a link, as the kernel reports it.
fn made_on_node(reach: &LinkNetworks) -> Vec<KernelNetwork> {
    let made = reach.on_node.iter().map(|made| KernelNetwork {
        prefix: made.network,
        by: By::Address,
        link: made.link.clone(),
    });
    made.collect()
}

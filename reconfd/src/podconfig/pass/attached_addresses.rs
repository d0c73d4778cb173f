//! Addresses that CNI plugins have given to a pod: claimed as those of other links are.

use address::{
    claims::{AddressRequest, Allocation, LinkKey, lineage::Lineage},
    kernel,
    overlap::{Definitions, LinkNetworks, OverlapResult, PluginPools, check_overlap},
    reserved::Reserved,
};
use crds::{Reason, report::LinkState};
use node::networks::{By, KernelNetwork};
use policy::{AttachmentGrant, Permit, bounded};

use crate::podconfig::{
    Addressing,
    attachments::{Addresses, AttachedResult, Attachments},
    cause::Cause,
    desired::{Desired, DesiredAttachment},
    outcome::LocalPod,
};

impl Addressing {
    /// Claims the addresses that plugins have given, so that no range gives them to another link. What cannot be claimed,
    /// and what the rules of today do not allow, is detached.
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
            let reach = reach(pod, request, &attached);
            let overlap = self.overlap(&reach, desired, request);
            let conflict = overlap.collision.clone();
            let wanted = self.address_request(lineage, request, (&reach, overlap));
            let key = LinkKey {
                namespace: pod.namespace.clone(),
                pod: pod.name.clone(),
                uid: pod.uid.clone(),
                link: link.clone(),
            };
            let order = request.order;
            desired.reach.extend(&reach);
            desired.requesting.insert(link);
            let ruling = match self.claims.allocate(&key, &wanted) {
                Allocation::Held(_) => Addresses::Held(attached.addresses().collect()),
                Allocation::Pending(why)
                | Allocation::Refused(Reason::ClusterNetworksUnknown, why) => {
                    Addresses::Pending(why)
                }
                Allocation::Refused(reason, why) => Addresses::Refused(reason, why),
            };
            if attached.was_accepted {
                let objection = attachments.objection(&attached);
                let refusal = refusal(objection, &ruling, (conflict.as_ref(), desired.detaches));
                attachments.judge_attached(&pod.uid, &attached, refusal.as_ref());
                desired.judge_attached(order, refusal, conflict);
            }
            attachments.rule_on_addresses(&pod.uid, &attached.slot, ruling);
        }
        self.judge_refused(pod, desired, attachments);
    }

    /// Links whose newest result was refused are tried again when the rules have changed.
    fn judge_refused(&self, pod: &LocalPod, desired: &mut Desired, attachments: &Attachments) {
        let judged = desired.attachments.iter().filter_map(|request| {
            let refused = attachments.refused(pod, &request.name)?;
            let reach = reach(pod, request, &refused);
            let is_refused = attachments.objection(&refused).is_some()
                || self.overlap(&reach, desired, request).collision.is_some();
            Some((refused.slot, reach, is_refused))
        });
        for (slot, reach, is_refused) in judged.collect::<Vec<_>>() {
            desired.reach.extend(&reach);
            if !is_refused {
                attachments.allow_refused(&pod.uid, &slot);
            }
        }
    }

    fn overlap(
        &self,
        reach: &LinkNetworks,
        desired: &Desired,
        request: &DesiredAttachment,
    ) -> OverlapResult {
        // What the kernel reports of the plugins' work may come later than this pass.
        let made = Reserved::new(kernel::of_node(&made_on_node(reach)));
        let reserved = [self.networks.reserved(), &desired.reserved, &made];
        check_overlap(reach, &reserved, &request.permit.overlaps)
    }

    fn address_request(
        &self,
        lineage: &Lineage,
        request: &DesiredAttachment,
        (reach, overlap): (&LinkNetworks, OverlapResult),
    ) -> AddressRequest {
        let refusal = overlap.collision.map(|why| (Reason::NetworkReserved, why));
        let unknown = self.networks.unknown();
        let unknown = unknown.map(|why| (Reason::ClusterNetworksUnknown, why.to_owned()));
        AddressRequest {
            domain: request.domain.clone(),
            addresses: reach.addresses.clone(),
            ranges: Vec::new(),
            excluded: overlap.excluded,
            refusal: refusal.or(unknown),
            may_return: lineage.may_return(),
            lineage: lineage.clone(),
        }
    }
}

/// Why an accepted result may not stay. A network that has appeared since is treated as with any other link: the link
/// stays, unless a policy says `onConflict: Detach`. What is not known detaches nothing.
fn refusal(
    objection: Option<String>,
    ruling: &Addresses,
    (conflict, detaches): (Option<&String>, bool),
) -> Option<Cause> {
    if let Some(objection) = objection {
        return Some((Reason::NotAllowed, objection));
    }
    match (ruling, conflict) {
        (Addresses::Refused(reason, why), _) => Some((*reason, why.clone())),
        (Addresses::Held(_), Some(why)) if detaches => Some((Reason::AddressConflict, why.clone())),
        _ => None,
    }
}

impl Desired {
    /// Corrects the outcome of what is attached: why it is detached, or the network that it overlaps.
    fn judge_attached(&mut self, order: usize, refusal: Option<Cause>, conflict: Option<String>) {
        let mut outcomes = self.attached.outcomes.iter_mut();
        let Some((_, outcome)) = outcomes.find(|(at, _)| *at == order) else {
            return;
        };
        match refusal {
            // A DEL that fails is more urgent than its reason.
            Some(_) if outcome.reason == Reason::DetachIncomplete => {}
            Some((reason, message)) => {
                outcome.state = LinkState::Failed;
                (outcome.reason, outcome.message) = (reason, bounded(message));
                (outcome.present, outcome.domain) = (None, None);
            }
            None if outcome.present.is_some() => outcome.conflict = conflict,
            None => {}
        }
    }
}

/// The networks, addresses and routes of a result.
fn reach(pod: &LocalPod, request: &DesiredAttachment, attached: &AttachedResult) -> LinkNetworks {
    let ips = attached.result.ips.iter().map(|ip| ip.address);
    let routes = attached.result.routes.iter().map(|route| route.dst);
    LinkNetworks {
        namespace: pod.namespace.clone(),
        networks: ips.collect(),
        addresses: attached.addresses().collect(),
        routes: routes.collect(),
        on_node: attached.on_node.clone(),
        pools: PluginPools {
            definitions: definitions(&request.permit),
            whereabouts: attached.by_whereabouts,
        },
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

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    const OVERLAP: &str = "10.1.0.5/24 overlaps 10.1.0.0/16";

    fn held() -> Addresses {
        Addresses::Held([IpAddr::V4(Ipv4Addr::new(10, 1, 0, 5))].into())
    }

    fn reason(
        objection: Option<&str>,
        ruling: &Addresses,
        conflict: Option<&str>,
        detaches: bool,
    ) -> Option<Reason> {
        let conflict = conflict.map(str::to_owned);
        let refusal = refusal(
            objection.map(str::to_owned),
            ruling,
            (conflict.as_ref(), detaches),
        );
        refusal.map(|(reason, _)| reason)
    }

    #[test]
    fn a_result_that_no_rule_allows_is_refused_whatever_its_claims_are() {
        for ruling in [Addresses::Unknown, Addresses::Pending("x".into()), held()] {
            let refused = reason(Some("outside"), &ruling, None, false);
            assert_eq!(refused, Some(Reason::NotAllowed));
        }
    }

    /// As other links are.
    #[test]
    fn a_network_that_appears_later_is_a_reason_where_a_policy_says_so() {
        assert_eq!(reason(None, &held(), Some(OVERLAP), false), None);
        let refused = reason(None, &held(), Some(OVERLAP), true);
        assert_eq!(refused, Some(Reason::AddressConflict));
    }

    #[test]
    fn what_is_not_known_detaches_nothing() {
        for ruling in [Addresses::Unknown, Addresses::Pending("x".into())] {
            for detaches in [false, true] {
                assert_eq!(reason(None, &ruling, None, detaches), None);
                assert_eq!(reason(None, &ruling, Some(OVERLAP), detaches), None);
            }
        }
    }

    #[test]
    fn an_address_that_another_has_is_refused() {
        let taken = Addresses::Refused(Reason::AddressTaken, "tenant-b/web has it".into());
        let refused = reason(None, &taken, None, false);
        assert_eq!(refused, Some(Reason::AddressTaken));
    }
}

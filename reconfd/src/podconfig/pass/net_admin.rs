//! Whether a pod may administer the node's network: its object checked against the kernel.

use std::sync::Arc;

use crds::PodConfigPolicy;
use node::Machine;
use store::pod::NetAdmin;

use crate::podconfig::pods::RecordedPod;

/// Checks what the pod's object says, or does not say, of a user namespace against the kernel.
/// A namespace that cannot be opened gets no links in any case.
pub(super) fn prove_net_admin(
    machine: &Machine,
    known: &mut RecordedPod,
    policies: &[Arc<PodConfigPolicy>],
) {
    let is_asked = match known.pod.net_admin {
        NetAdmin::Claimed(_) => true,
        NetAdmin::Unknown => {
            let policies: Vec<&PodConfigPolicy> = policies.iter().map(Arc::as_ref).collect();
            policy::contains(&policies).is_some()
        }
        NetAdmin::Yes(_) | NetAdmin::No => false,
    };
    if !is_asked || known.trouble.is_some() {
        return;
    }
    if let Ok(is_of_node) = machine.owns(&known.record) {
        let pod = Arc::make_mut(&mut known.pod);
        pod.net_admin = std::mem::take(&mut pod.net_admin).proved(is_of_node);
    }
}

//! Pure: links that are requested and not granted.

use crds::{PodConfig, Reason, podconfig, report::LinkState};
use node::links::{
    VETH,
    device::{VLAN, VXLAN},
};
use store::pod::NetAdmin;

use super::{
    super::outcome::{LinkOutcome, LocalPod},
    CNI, Rejection, Revision, name_of, refuse,
};

/// Refuses a pod that may administer the node's network, if the named policy excludes such pods.
pub fn contained(pod: &LocalPod, policy: Option<&str>) -> Result<(), Rejection> {
    let (Some(policy), Some(how)) = (policy, uncontained(&pod.net_admin)) else {
        return Ok(());
    };
    refuse(
        Reason::NetAdminPod,
        format!(
            "{how}: without a user namespace it may administer the node's network. Policy {policy} gives links to \
             such pods only with hostUsers: false"
        ),
    )
}

/// How a pod may administer the node's network, if that is so or cannot be excluded.
fn uncontained(net_admin: &NetAdmin) -> Option<&str> {
    match net_admin {
        NetAdmin::Yes(how) => Some(how),
        NetAdmin::Unknown => {
            Some("the pod's object names no containers, so it may have the capability NET_ADMIN")
        }
        NetAdmin::No | NetAdmin::Claimed(_) => None,
    }
}

/// The outcome of a refused link.
pub fn outcome(config: &PodConfig, request: &podconfig::Link, rejection: Rejection) -> LinkOutcome {
    LinkOutcome::absent(
        &request.name,
        (name_of(config), Revision::of(config)),
        kind_of(request),
        LinkState::Failed,
        (rejection.reason, rejection.message),
    )
}

/// The kind that is requested, as far as it can be determined.
fn kind_of(request: &podconfig::Link) -> &'static str {
    match (&request.vlan, &request.vxlan, &request.cni) {
        (Some(_), ..) => VLAN,
        (_, Some(_), _) => VXLAN,
        (.., Some(_)) => CNI,
        (None, None, None) => VETH,
    }
}

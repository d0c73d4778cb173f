//! "net1" is attached at the pod's start, not by podconfig.

use super::super::*;
use crate::support::kubectl::object;

const FIRST: &str = "net1";

fn provisioned(name: &str, node: &str) -> (Tenant, Pod) {
    let tenant = tenant(name);
    let pod = start(&tenant, node, &[element(&tenant, NETWORK, FIRST)]);
    // At once: it is written before the pod runs.
    let found = without_mac(secondary(&pod));
    assert_eq!(found, [entry(&tenant, NETWORK, FIRST)]);
    is_macvlan(&pod, FIRST);
    (tenant, pod)
}

#[test]
fn manages_to_add_a_new_interface_to_a_running_pod() {
    let (tenant, pod) = provisioned("multus-add", "n0");
    let before = is_macvlan(&pod, FIRST);
    let both = [FIRST, "ens58"];
    ask(&tenant, &both.map(|name| element(&tenant, NETWORK, name)));
    lists(&pod, &both.map(|name| entry(&tenant, NETWORK, name)));
    is_macvlan(&pod, "ens58");
    assert_eq!(is_macvlan(&pod, FIRST)["ifindex"], before["ifindex"]);
}

#[test]
fn manages_to_remove_an_interface_from_a_running_pod() {
    let (tenant, pod) = provisioned("multus-remove", "n1");
    assert!(!kept_by_multus(&pod, NETWORK).is_empty());
    ask(&tenant, &[]);
    lists(&pod, &[]);
    pod.lacks(FIRST);
    assert_eq!(kept_by_multus(&pod, NETWORK), "");
    // Multus' part runs its DEL once more.
    tenant.kubectl(&["delete", "pod", POD, TIMEOUT]);
    assert!(object(&["pod", "-n", &tenant.name, POD]).is_none());
}

#[test]
fn interfaces_can_be_added_and_removed_in_the_same_operation() {
    let (tenant, pod) = provisioned("multus-exchange", "n0");
    ask(&tenant, &[element(&tenant, NETWORK, "eth321")]);
    lists(&pod, &[entry(&tenant, NETWORK, "eth321")]);
    is_macvlan(&pod, "eth321");
    pod.lacks(FIRST);
}

/// Asks for an address and a MAC address, and waits until network-status has both.
fn hotplugged(tenant: &Tenant, pod: &Pod, address: &str, mac: &str) {
    let mut asked = element(tenant, IPAM_NETWORK, "ens202");
    asked["ips"] = json!([format!("{address}/24")]);
    asked["mac"] = json!(mac);
    ask(tenant, &[element(tenant, NETWORK, FIRST), asked]);
    let mut expected = entry(tenant, IPAM_NETWORK, "ens202");
    expected["ips"] = json!([address]);
    expected["mac"] = json!(mac);
    within(PUBLISHED, &format!("network-status has {expected}"), || {
        let found = secondary(pod);
        seen(found.contains(&expected), json!(found))
    });
    let link = is_macvlan(pod, "ens202");
    assert_eq!(link["address"], mac);
    assert!(link["addr_info"].to_string().contains(address), "{link}");
}

#[test]
fn a_network_with_ipam_can_be_hotplugged_into_a_running_pod() {
    let (tenant, pod) = provisioned("multus-plug", "n0");
    hotplugged(&tenant, &pod, "10.10.10.111", "02:03:04:05:06:07");
}

/// The published test removes an element of another network than it has added, which changes nothing, and passes if it
/// looks before the attachment is listed. Here the element that was added is removed.
#[test]
fn a_network_with_ipam_can_be_hot_unplugged_from_a_running_pod() {
    let (tenant, pod) = provisioned("multus-unplug", "n1");
    hotplugged(&tenant, &pod, "10.10.10.112", "02:03:04:05:06:08");
    ask(&tenant, &[element(&tenant, NETWORK, FIRST)]);
    lists(&pod, &[entry(&tenant, NETWORK, FIRST)]);
    pod.lacks("ens202");
    is_macvlan(&pod, FIRST);
}

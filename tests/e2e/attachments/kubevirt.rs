//! What virt-controller writes onto a running virt-launcher pod, replayed: names of interfaces are hashes of the
//! network's name, and the element of a binding plugin has none.

use super::*;

#[test]
fn what_virt_controller_writes_plugs_and_unplugs() {
    let tenant = tenant("multus-kubevirt");
    let mut binding = unnamed(&tenant, NETWORK);
    binding["cni-args"] = json!({"logicNetworkName": "passt"});
    let pod = start(&tenant, "n1", std::slice::from_ref(&binding));
    lists(&pod, &[entry(&tenant, NETWORK, "net1")]);
    let before = is_macvlan(&pod, "net1");

    let interface = "pod16477688c0e";
    let mut plugged = element(&tenant, IPAM_NETWORK, interface);
    plugged["mac"] = json!("02:7a:00:00:00:01");
    plugged["ips"] = json!(["10.10.10.113/24"]);
    ask(&tenant, &[binding.clone(), plugged.clone()]);
    let mut second = entry(&tenant, IPAM_NETWORK, interface);
    second["ips"] = json!(["10.10.10.113"]);
    let first = entry(&tenant, NETWORK, "net1");
    lists(&pod, &[first.clone(), second]);
    assert_eq!(is_macvlan(&pod, interface)["address"], "02:7a:00:00:00:01");

    // Another binding plugin's element is added while the machine runs, and gets the first free name.
    let mut other = binding.clone();
    other["cni-args"]["logicNetworkName"] = json!("other");
    ask(&tenant, &[binding.clone(), plugged, other]);
    within(PUBLISHED, "the element without a name is attached", || {
        let found = without_mac(secondary(&pod));
        seen(
            found.contains(&entry(&tenant, NETWORK, "net2")),
            json!(found),
        )
    });
    is_macvlan(&pod, "net2");

    ask(&tenant, &[binding]);
    lists(&pod, &[first]);
    pod.lacks(interface);
    pod.lacks("net2");
    assert_eq!(is_macvlan(&pod, "net1")["ifindex"], before["ifindex"]);
}

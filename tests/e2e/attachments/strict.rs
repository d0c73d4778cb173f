//! The published test of multus-dynamic-networks-controller that needs this mode, whole.

use super::*;
use crate::wait::stays;

mod a_provisioned_pod_whose_elements_do_not_feature_the_interface_name {
    use super::*;

    #[test]
    fn manages_to_add_a_new_interface_once_the_desired_state_features_the_interface_names() {
        let tenant = tenant("multus-strict");
        let first = unnamed(&tenant, NETWORK);
        let pod = start(&tenant, "n0", std::slice::from_ref(&first));
        let at_start = [entry(&tenant, NETWORK, "net1")];
        lists(&pod, &at_start);
        let before = is_macvlan(&pod, "net1");
        ask(&tenant, &[first, element(&tenant, NETWORK, "ens58")]);
        pod.reports("networks annotation", "InterfaceUnnamed");
        stays("network-status is as it was", PUBLISHED, || {
            let found = without_mac(secondary(&pod));
            seen(found == at_start, json!(found))
        });
        assert!(pod.link("ens58").is_none());
        let both = ["net1", "ens58"];
        ask(&tenant, &both.map(|name| element(&tenant, NETWORK, name)));
        lists(&pod, &both.map(|name| entry(&tenant, NETWORK, name)));
        is_macvlan(&pod, "ens58");
        assert_eq!(is_macvlan(&pod, "net1")["ifindex"], before["ifindex"]);
    }
}

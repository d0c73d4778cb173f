//! The published end-to-end tests of multus-dynamic-networks-controller, by their names. A macvlan on the node's eth0,
//! definitions of CNI 0.3.0 and without a name, entries of network-status compared whole.
//! Two of the same MAC address cannot be on one node, so tests that ask for one have a node each.

mod a_provisioned_pod_featuring_only_the_clusters_default_network;
mod a_provisioned_pod_having_network_selection_elements;
mod a_provisioned_pod_whose_elements_do_not_feature_the_interface_name;

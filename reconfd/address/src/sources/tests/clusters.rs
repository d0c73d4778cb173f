//! What Kubernetes and its distributions say.

use super::*;

#[test]
fn openshift_says_its_networks_and_those_that_have_defaults() {
    assert_says(
        "openshift",
        "
        172.31.0.0/18 Pods OpenShift Network.config.openshift.io cluster status.clusterNetwork[0].cidr
        fd01::/48 Pods OpenShift Network.config.openshift.io cluster status.clusterNetwork[1].cidr
        172.31.64.0/18 Services OpenShift Network.config.openshift.io cluster status.serviceNetwork[0]
        fd02::/112 Services OpenShift Network.config.openshift.io cluster status.serviceNetwork[1]
        198.18.20.0/28 Pool OpenShift Network.config.openshift.io cluster spec.externalIP.autoAssignCIDRs[0]
        198.18.20.0/24 Pool OpenShift Network.config.openshift.io cluster spec.externalIP.policy.allowedCIDRs[0]
        172.31.0.0/18 Pods OpenShift Network.operator.openshift.io cluster spec.clusterNetwork[0].cidr
        172.31.64.0/18 Services OpenShift Network.operator.openshift.io cluster spec.serviceNetwork[0]
        100.67.0.0/16 Internal OVNKubernetes Network.operator.openshift.io cluster spec.defaultNetwork.ovnKubernetesConfig.v4InternalSubnet
        fd98::/64 Internal OVNKubernetes Network.operator.openshift.io cluster spec.defaultNetwork.ovnKubernetesConfig.ipv6.internalJoinSubnet (its default)
        100.89.0.0/16 Internal OVNKubernetes Network.operator.openshift.io cluster spec.defaultNetwork.ovnKubernetesConfig.ipv4.internalTransitSwitchSubnet
        fd97::/64 Internal OVNKubernetes Network.operator.openshift.io cluster spec.defaultNetwork.ovnKubernetesConfig.ipv6.internalTransitSwitchSubnet (its default)
        169.254.0.0/17 Internal OVNKubernetes Network.operator.openshift.io cluster spec.defaultNetwork.ovnKubernetesConfig.gatewayConfig.ipv4.internalMasqueradeSubnet (its default)
        fd69::/112 Internal OVNKubernetes Network.operator.openshift.io cluster spec.defaultNetwork.ovnKubernetesConfig.gatewayConfig.ipv6.internalMasqueradeSubnet (its default)
        172.31.128.0/18 Pods OVNKubernetes Network.operator.openshift.io cluster spec.defaultNetwork.ovnKubernetesConfig.hybridOverlayConfig.hybridClusterNetwork[0].cidr
        198.18.21.0/24 Pool OpenShift Network.operator.openshift.io cluster spec.additionalNetworks[0].rawCNIConfig.ipam.subnet
        198.18.22.7/32 Address OpenShift Network.operator.openshift.io cluster spec.additionalNetworks[1].simpleMacvlanConfig.ipamConfig.staticIPAMConfig.addresses[0].address
        198.18.0.0/23 Machines MachineNetwork ConfigMap kube-system/cluster-config-v1 data.install-config.networking.machineNetwork[0].cidr
        172.31.0.0/18 Pods OpenShift ConfigMap kube-system/cluster-config-v1 data.install-config.networking.clusterNetwork[0].cidr
        172.31.64.0/18 Services OpenShift ConfigMap kube-system/cluster-config-v1 data.install-config.networking.serviceNetwork[0]",
    );
}

#[test]
fn kubernetes_says_its_service_networks_nodes_and_balancers() {
    assert_says(
        "kubernetes",
        "
        172.30.64.0/20 Services ServiceCIDR ServiceCIDR.networking.k8s.io more-services spec.cidrs[0]
        fd03::/112 Services ServiceCIDR ServiceCIDR.networking.k8s.io more-services spec.cidrs[1]
        172.30.0.0/24 Pods Nodes Node elsewhere spec.podCIDRs[0]
        fd04::/64 Pods Nodes Node elsewhere spec.podCIDRs[1]
        198.18.1.7/32 Address NodeAddresses Node elsewhere status.addresses[0].address
        203.0.113.7/32 Address NodeAddresses Node elsewhere status.addresses[1].address
        fd05::7/128 Address NodeAddresses Node elsewhere status.addresses[2].address
        172.30.0.0/18 Pods ControlPlane Pod kube-system/kube-controller-manager-cp0 spec.containers[0].command[2] --cluster-cidr
        fd04::/56 Pods ControlPlane Pod kube-system/kube-controller-manager-cp0 spec.containers[0].command[2] --cluster-cidr
        172.30.64.0/18 Services ControlPlane Pod kube-system/kube-controller-manager-cp0 spec.containers[0].command[4] --service-cluster-ip-range
        172.30.64.0/18 Services ControlPlane Pod kube-system/kube-apiserver-cp0 spec.containers[0].args[0] --service-cluster-ip-range
        198.18.24.5/32 Address LoadBalancers Service tenant-a/web status.loadBalancer.ingress[0].ip
        198.18.23.80/32 Address LoadBalancers Service tenant-a/web spec.externalIPs[0]
        198.18.23.81/32 Address LoadBalancers Service tenant-a/web spec.externalIPs[1]
        172.30.70.9/32 Services ServiceCIDR Service tenant-a/web spec.clusterIPs[0]
        198.18.25.6/32 Address LoadBalancers Gateway.gateway.networking.k8s.io tenant-a/door status.addresses[0].value
        fd06::6/128 Address LoadBalancers Gateway.gateway.networking.k8s.io tenant-a/door status.addresses[2].value",
    );
}

#[test]
fn config_maps_are_read_as_their_owners_write_them() {
    assert_says(
        "settings",
        "
        172.29.0.0/18 Pods Kubeadm ConfigMap kube-system/kubeadm-config data.ClusterConfiguration.networking.podSubnet
        fd07::/56 Pods Kubeadm ConfigMap kube-system/kubeadm-config data.ClusterConfiguration.networking.podSubnet
        172.29.64.0/18 Services Kubeadm ConfigMap kube-system/kubeadm-config data.ClusterConfiguration.networking.serviceSubnet
        172.29.0.0/18 Pods KubeProxy ConfigMap kube-system/kube-proxy data[config.conf].clusterCIDR
        172.29.128.0/19 Pods Cilium ConfigMap kube-system/cilium-config data.cluster-pool-ipv4-cidr
        172.29.160.0/19 Pods Cilium ConfigMap kube-system/cilium-config data.cluster-pool-ipv4-cidr
        fd08::/104 Pods Cilium ConfigMap kube-system/cilium-config data.cluster-pool-ipv6-cidr
        172.29.128.0/17 Internal Cilium ConfigMap kube-system/cilium-config data.ipv4-native-routing-cidr
        172.29.192.0/18 Pods Flannel ConfigMap kube-flannel/kube-flannel-cfg data[net-conf.json].Network
        fd09::/56 Pods Flannel ConfigMap kube-flannel/kube-flannel-cfg data[net-conf.json].IPv6Network",
    );
}

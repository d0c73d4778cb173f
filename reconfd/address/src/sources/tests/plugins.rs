//! What the plugins say.

use super::*;

#[test]
fn calico_says_its_pools_blocks_and_reservations() {
    assert_says(
        "calico",
        "
        172.28.0.0/18 Pods Calico IPPool.crd.projectcalico.org default-ipv4-ippool spec.cidr
        198.18.26.0/26 Pool Calico IPPool.crd.projectcalico.org balancers spec.cidr
        172.28.64.0/26 Pods Calico BlockAffinity.crd.projectcalico.org elsewhere-172-28-64-0-26 spec.cidr
        198.18.26.128/28 Pool Calico IPReservation.crd.projectcalico.org kept-free spec.reservedCIDRs[0]
        198.18.26.200/32 Pool Calico IPReservation.crd.projectcalico.org kept-free spec.reservedCIDRs[1]
        fd0a::/48 Pods Calico IPPool.projectcalico.org native spec.cidr",
    );
}

#[test]
fn cilium_says_its_pools() {
    assert_says(
        "cilium",
        "
        172.27.0.0/24 Pods Cilium CiliumNode.cilium.io elsewhere spec.ipam.podCIDRs[0]
        172.27.1.0/27 Pods Cilium CiliumNode.cilium.io elsewhere spec.ipam.pools.allocated[0].cidrs[0]
        172.27.64.0/20 Pods Cilium CiliumPodIPPool.cilium.io default spec.ipv4.cidrs[0]
        fd0b::/104 Pods Cilium CiliumPodIPPool.cilium.io default spec.ipv6.cidrs[0]
        198.18.27.0/28 Pool Cilium CiliumLoadBalancerIPPool.cilium.io blue spec.blocks[0].cidr
        198.18.27.20/31 Pool Cilium CiliumLoadBalancerIPPool.cilium.io blue spec.blocks[1].start
        198.18.27.33/32 Pool Cilium CiliumLoadBalancerIPPool.cilium.io blue spec.blocks[2].start",
    );
}

#[test]
fn ovn_kubernetes_says_its_networks() {
    assert_says(
        "ovn",
        "
        172.26.0.0/20 Pool OVNKubernetes UserDefinedNetwork.k8s.ovn.org tenant-a/blue spec.layer2.subnets[0]
        172.26.16.0/20 Pods OVNKubernetes ClusterUserDefinedNetwork.k8s.ovn.org red spec.network.layer3.subnets[0].cidr
        fd0c::/60 Pods OVNKubernetes ClusterUserDefinedNetwork.k8s.ovn.org red spec.network.layer3.subnets[1].cidr
        100.65.0.0/16 Internal OVNKubernetes ClusterUserDefinedNetwork.k8s.ovn.org red spec.network.layer3.joinSubnets (its default)
        fd99::/64 Internal OVNKubernetes ClusterUserDefinedNetwork.k8s.ovn.org red spec.network.layer3.joinSubnets (its default)
        198.18.28.0/24 Pool OVNKubernetes ClusterUserDefinedNetwork.k8s.ovn.org underlay spec.network.localnet.subnets[0]
        198.18.29.5/32 Address OVNKubernetes EgressIP.k8s.ovn.org way-out spec.egressIPs[0]
        fd0d::5/128 Address OVNKubernetes EgressIP.k8s.ovn.org way-out spec.egressIPs[1]",
    );
}

#[test]
fn kube_ovn_says_its_subnets() {
    assert_says(
        "kube-ovn",
        "
        172.25.0.0/18 Pods KubeOVN Subnet.kubeovn.io ovn-default spec.cidrBlock
        fd0e::/112 Pods KubeOVN Subnet.kubeovn.io ovn-default spec.cidrBlock
        100.68.0.0/16 Internal KubeOVN Subnet.kubeovn.io join spec.cidrBlock
        172.25.64.0/20 Internal KubeOVN Subnet.kubeovn.io other-vpc spec.cidrBlock
        198.18.30.0/24 Pool KubeOVN Subnet.kubeovn.io attached spec.cidrBlock
        198.18.30.40/32 Address KubeOVN Vip.kubeovn.io vip-1 status.v4ip
        198.18.30.41/32 Address KubeOVN IptablesEIP.kubeovn.io eip-1 spec.v4ip
        198.18.30.41/32 Address KubeOVN IptablesEIP.kubeovn.io eip-1 status.ip
        198.18.30.42/32 Address KubeOVN OvnEip.kubeovn.io eip-2 spec.v4Ip
        fd0f::42/128 Address KubeOVN OvnEip.kubeovn.io eip-2 spec.v6Ip",
    );
}

#[test]
fn those_who_give_addresses_out_say_which() {
    assert_says(
        "pools",
        "
        198.18.31.12/30 Pool Antrea IPPool.crd.antrea.io antrea-pool spec.ipRanges[0].start
        198.18.31.64/26 Pool Antrea IPPool.crd.antrea.io antrea-pool spec.ipRanges[1].cidr
        fd10::2/127 Pool Antrea ExternalIPPool.crd.antrea.io outside spec.ipRanges[0].start
        198.18.32.0/28 Pool MetalLB IPAddressPool.metallb.io metallb-system/first-pool spec.addresses[0]
        198.18.32.20/30 Pool MetalLB IPAddressPool.metallb.io metallb-system/first-pool spec.addresses[1]
        fd11::/124 Pool MetalLB IPAddressPool.metallb.io metallb-system/first-pool spec.addresses[2]
        198.18.33.0/24 Pool Whereabouts IPPool.whereabouts.cni.cncf.io kube-system/198.18.33.0-24 spec.range
        198.18.33.1/32 Address Whereabouts IPPool.whereabouts.cni.cncf.io kube-system/198.18.33.0-24 spec.allocations.1
        198.18.33.20/32 Address Whereabouts IPPool.whereabouts.cni.cncf.io kube-system/198.18.33.0-24 spec.allocations.20
        198.18.34.0/24 Pool Whereabouts NodeSlicePool.whereabouts.cni.cncf.io kube-system/sliced spec.range
        198.18.35.9/32 Address Whereabouts OverlappingRangeIPReservation.whereabouts.cni.cncf.io kube-system/198.18.35.9 metadata.name
        fd12::9/128 Address Whereabouts OverlappingRangeIPReservation.whereabouts.cni.cncf.io kube-system/blue-fd12--9 metadata.name",
    );
}

#[test]
fn attachments_say_what_their_plugins_give_out() {
    assert_says(
        "attachments",
        "
        198.18.36.0/25 Pool NetworkAttachments NetworkAttachmentDefinition.k8s.cni.cncf.io default/whereabouts spec.config.ipam.range
        198.18.36.130/31 Pool NetworkAttachments NetworkAttachmentDefinition.k8s.cni.cncf.io default/whereabouts spec.config.ipam.ipRanges[0].range
        fd13::/116 Pool NetworkAttachments NetworkAttachmentDefinition.k8s.cni.cncf.io default/whereabouts spec.config.ipam.ipRanges[1].range
        198.18.37.0/24 Pool NetworkAttachments NetworkAttachmentDefinition.k8s.cni.cncf.io tenant-a/chain spec.config.plugins[0].ipam.ranges[0][0].subnet
        fd14::/64 Pool NetworkAttachments NetworkAttachmentDefinition.k8s.cni.cncf.io tenant-a/chain spec.config.plugins[0].ipam.ranges[1][0].subnet
        198.18.38.7/32 Address NetworkAttachments NetworkAttachmentDefinition.k8s.cni.cncf.io tenant-a/fixed spec.config.ipam.addresses[0].address
        198.18.40.0/22 Pool NetworkAttachments NetworkAttachmentDefinition.k8s.cni.cncf.io tenant-a/ovn spec.config.subnets",
    );
}

//! All kinds of objects that describe networks. The version of a group is not listed here: it is discovered from the
//! API server.

use crds::reserved::Source;

use super::{
    Extractor, Writer, attachments, field::Field, kubernetes, openshift, plugins, pools, settings,
};

/// One kind of object, or one object of it.
#[derive(Clone, Copy, Debug)]
pub struct SourceKind {
    /// Empty for the core group.
    pub group: &'static str,
    pub kind: &'static str,
    /// The resource name, as in API paths and RBAC rules.
    pub plural: &'static str,
    pub selector: Selector,
    pub source: Source,
    pub writer: Writer,
    pub(super) read: fn(&Field<'_>, &mut Extractor),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selector {
    All,
    /// Namespace (empty for a cluster-scoped object) and name.
    Named(&'static str, &'static str),
    /// Objects of a namespace with this label.
    Labelled(&'static str, &'static str),
}

type Read = fn(&Field<'_>, &mut Extractor);

const fn all(
    source: Source,
    (group, kind, plural): (&'static str, &'static str, &'static str),
    read: Read,
) -> SourceKind {
    SourceKind {
        group,
        kind,
        plural,
        selector: Selector::All,
        source,
        writer: Writer::Administrator,
        read,
    }
}

const fn by(writer: Writer, kind: SourceKind) -> SourceKind {
    SourceKind { writer, ..kind }
}

const fn only(selector: Selector, kind: SourceKind) -> SourceKind {
    SourceKind { selector, ..kind }
}

const fn config_map(
    source: Source,
    namespace: &'static str,
    name: &'static str,
    read: Read,
) -> SourceKind {
    let kind = all(source, ("", "ConfigMap", "configmaps"), read);
    only(Selector::Named(namespace, name), kind)
}

const fn control_plane(label: &'static str) -> SourceKind {
    let kind = ("", "Pod", "pods");
    let kind = all(Source::ControlPlane, kind, kubernetes::control_plane);
    only(Selector::Labelled("kube-system", label), kind)
}

const CALICO: &str = "crd.projectcalico.org";
/// The same kinds, where Calico is served by an API server of its own, or keeps its objects under this name.
const CALICO_API: &str = "projectcalico.org";
const CILIUM: &str = "cilium.io";
const OVN: &str = "k8s.ovn.org";
const KUBE_OVN: &str = "kubeovn.io";
const ANTREA: &str = "crd.antrea.io";
const WHEREABOUTS: &str = "whereabouts.cni.cncf.io";

pub const ALL: &[SourceKind] = &[
    all(
        Source::ServiceCIDR,
        ("networking.k8s.io", "ServiceCIDR", "servicecidrs"),
        kubernetes::service_cidr,
    ),
    by(
        Writer::Node,
        all(Source::Nodes, ("", "Node", "nodes"), kubernetes::node),
    ),
    control_plane("component=kube-apiserver"),
    control_plane("component=kube-controller-manager"),
    by(
        Writer::Tenant,
        all(
            Source::LoadBalancers,
            ("", "Service", "services"),
            kubernetes::service,
        ),
    ),
    by(
        Writer::Tenant,
        all(
            Source::LoadBalancers,
            ("gateway.networking.k8s.io", "Gateway", "gateways"),
            kubernetes::gateway,
        ),
    ),
    config_map(
        Source::Kubeadm,
        "kube-system",
        "kubeadm-config",
        settings::kubeadm,
    ),
    config_map(
        Source::KubeProxy,
        "kube-system",
        "kube-proxy",
        settings::kube_proxy,
    ),
    config_map(
        Source::Cilium,
        "kube-system",
        "cilium-config",
        settings::cilium,
    ),
    config_map(
        Source::Flannel,
        "kube-flannel",
        "kube-flannel-cfg",
        settings::flannel,
    ),
    config_map(
        Source::Flannel,
        "kube-system",
        "kube-flannel-cfg",
        settings::flannel,
    ),
    config_map(
        Source::MachineNetwork,
        "kube-system",
        "cluster-config-v1",
        settings::openshift_install,
    ),
    only(
        Selector::Named("", "cluster"),
        all(
            Source::OpenShift,
            ("config.openshift.io", "Network", "networks"),
            openshift::cluster,
        ),
    ),
    only(
        Selector::Named("", "cluster"),
        all(
            Source::OpenShift,
            ("operator.openshift.io", "Network", "networks"),
            openshift::operator,
        ),
    ),
    all(
        Source::Calico,
        (CALICO, "IPPool", "ippools"),
        plugins::calico_pool,
    ),
    all(
        Source::Calico,
        (CALICO, "BlockAffinity", "blockaffinities"),
        plugins::calico_block,
    ),
    all(
        Source::Calico,
        (CALICO, "IPReservation", "ipreservations"),
        plugins::calico_reservation,
    ),
    all(
        Source::Calico,
        (CALICO_API, "IPPool", "ippools"),
        plugins::calico_pool,
    ),
    all(
        Source::Calico,
        (CALICO_API, "BlockAffinity", "blockaffinities"),
        plugins::calico_block,
    ),
    all(
        Source::Calico,
        (CALICO_API, "IPReservation", "ipreservations"),
        plugins::calico_reservation,
    ),
    all(
        Source::Cilium,
        (CILIUM, "CiliumNode", "ciliumnodes"),
        plugins::cilium_node,
    ),
    all(
        Source::Cilium,
        (CILIUM, "CiliumPodIPPool", "ciliumpodippools"),
        plugins::cilium_pool,
    ),
    all(
        Source::Cilium,
        (
            CILIUM,
            "CiliumLoadBalancerIPPool",
            "ciliumloadbalancerippools",
        ),
        plugins::cilium_balancer,
    ),
    by(
        Writer::Tenant,
        all(
            Source::OVNKubernetes,
            (OVN, "UserDefinedNetwork", "userdefinednetworks"),
            plugins::ovn_network,
        ),
    ),
    all(
        Source::OVNKubernetes,
        (
            OVN,
            "ClusterUserDefinedNetwork",
            "clusteruserdefinednetworks",
        ),
        plugins::ovn_cluster_network,
    ),
    all(
        Source::OVNKubernetes,
        (OVN, "EgressIP", "egressips"),
        plugins::egress_ip,
    ),
    all(
        Source::KubeOVN,
        (KUBE_OVN, "Subnet", "subnets"),
        plugins::kube_ovn_subnet,
    ),
    all(
        Source::KubeOVN,
        (KUBE_OVN, "Vip", "vips"),
        plugins::kube_ovn_address,
    ),
    all(
        Source::KubeOVN,
        (KUBE_OVN, "IptablesEIP", "iptables-eips"),
        plugins::kube_ovn_address,
    ),
    all(
        Source::KubeOVN,
        (KUBE_OVN, "OvnEip", "ovn-eips"),
        plugins::kube_ovn_address,
    ),
    all(Source::Antrea, (ANTREA, "IPPool", "ippools"), pools::antrea),
    all(
        Source::Antrea,
        (ANTREA, "ExternalIPPool", "externalippools"),
        pools::antrea,
    ),
    all(
        Source::MetalLB,
        ("metallb.io", "IPAddressPool", "ipaddresspools"),
        pools::metallb,
    ),
    all(
        Source::Whereabouts,
        (WHEREABOUTS, "IPPool", "ippools"),
        pools::whereabouts,
    ),
    all(
        Source::Whereabouts,
        (WHEREABOUTS, "NodeSlicePool", "nodeslicepools"),
        pools::whereabouts_slices,
    ),
    all(
        Source::Whereabouts,
        (
            WHEREABOUTS,
            "OverlappingRangeIPReservation",
            "overlappingrangeipreservations",
        ),
        pools::whereabouts_reservation,
    ),
    by(
        Writer::Tenant,
        all(
            Source::NetworkAttachments,
            (
                "k8s.cni.cncf.io",
                "NetworkAttachmentDefinition",
                "network-attachment-definitions",
            ),
            attachments::attachment,
        ),
    ),
];

//! The networks of the cluster: whoever says where some are is heard, in whatever shape, and what cannot be
//! read is said to be unknown. The plugins themselves are not here: their definitions are, without a schema,
//! and objects as their documents show them.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    support::{
        eventually,
        kubectl::{TIMEOUT, apply, kubectl, list, object, try_kubectl, try_with_input},
        product::{self, CONTROLLER, DAEMON, ours},
    },
    wait::{seen, within},
};

/// Definitions of others.
mod definitions;
/// What can no longer be read.
mod unknown;
use definitions::Definitions;

/// Longer than a watch that may no longer be had goes on.
const NOTICED_WITHIN: Duration = Duration::from_secs(60);

fn fixture(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/networks");
    fs::read_to_string(format!("{folder}/{name}.yaml")).expect("the fixture is there")
}

/// Every network that is published, in words: prefix, use, kind, object, field.
fn published() -> Vec<String> {
    let networks = list(&["reservednetworks"]).into_iter().flat_map(|object| {
        object["spec"]["networks"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    });
    let words = |network: Value| {
        let word = |field: &str| network[field].as_str().unwrap_or_default().to_owned();
        ["prefix", "use", "kind", "object", "field"]
            .map(word)
            .join(" ")
    };
    networks.map(words).collect()
}

fn is_published(network: &str) {
    eventually(&format!("{network} is published"), || {
        let all = published();
        seen(
            all.iter().any(|one| one.starts_with(network)),
            all.join("\n"),
        )
    });
}

fn is_not_published(network: &str) {
    eventually(&format!("{network} is not published"), || {
        let all = published();
        seen(
            !all.iter().any(|one| one.starts_with(network)),
            all.join("\n"),
        )
    });
}

/// What is said of a source: its state and the message.
fn state_of(asked: &str) -> (String, String) {
    let head = object(&["reservednetworks", "default"]).unwrap_or_default();
    let sources = head["spec"]["sources"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let source = sources
        .into_iter()
        .find(|source| source["asked"] == asked)
        .unwrap_or_default();
    let word = |field: &str| source[field].as_str().unwrap_or_default().to_owned();
    (word("state"), word("message"))
}

fn is_in_state(asked: &str, state: &str, message: &str) {
    within(NOTICED_WITHIN, &format!("{asked} is {state}"), || {
        let (is, why) = state_of(asked);
        seen(is == state && why.contains(message), format!("{is}: {why}"))
    });
}

/// Applied as soon as the API server knows its kinds.
fn applied(manifest: &str) {
    eventually("the objects are taken", || {
        let output = try_with_input(&["apply", "-f", "-"], manifest);
        seen(
            output.status.success(),
            String::from_utf8_lossy(&output.stderr),
        )
    });
}

/// One of each kind that is published, by its beginning.
const EVERYBODY: [&str; 34] = [
    "172.31.0.0/18 Pods Network.config.openshift.io cluster status.clusterNetwork[0].cidr",
    "172.31.64.0/18 Services Network.config.openshift.io cluster status.serviceNetwork[0]",
    "198.18.20.0/28 Pool Network.config.openshift.io cluster spec.externalIP.autoAssignCIDRs[0]",
    "100.67.0.0/16 Internal Network.operator.openshift.io cluster spec.defaultNetwork.ovnKubernetesConfig.v4InternalSubnet",
    "fd97::/64 Internal Network.operator.openshift.io cluster spec.defaultNetwork.ovnKubernetesConfig.ipv6.internalTransitSwitchSubnet (its default)",
    "198.18.0.0/23 Machines ConfigMap kube-system/cluster-config-v1",
    "172.30.64.0/20 Services ServiceCIDR.networking.k8s.io more-services spec.cidrs[0]",
    "10.96.0.0/16 Services ServiceCIDR.networking.k8s.io kubernetes spec.cidrs[0]",
    "172.30.0.0/18 Pods Pod kube-system/kube-controller-manager-cp0 spec.containers[0].command[2] --cluster-cidr",
    "172.30.64.0/18 Services Pod kube-system/kube-apiserver-cp0 spec.containers[0].args[0] --service-cluster-ip-range",
    "10.213.77.10/32 Address Node n0 status.addresses",
    "198.18.24.5/32 Address Service tenant-a/web status.loadBalancer.ingress[0].ip",
    "198.18.23.80/32 Address Service tenant-a/web spec.externalIPs[0]",
    "198.18.25.6/32 Address Gateway.gateway.networking.k8s.io tenant-a/door status.addresses[0].value",
    "172.29.0.0/18 Pods ConfigMap kube-system/kubeadm-config data.ClusterConfiguration.networking.podSubnet",
    "172.29.0.0/18 Pods ConfigMap kube-system/kube-proxy data[config.conf].clusterCIDR",
    "172.29.160.0/19 Pods ConfigMap kube-system/cilium-config data.cluster-pool-ipv4-cidr",
    "172.29.192.0/18 Pods ConfigMap kube-flannel/kube-flannel-cfg data[net-conf.json].Network",
    "172.28.0.0/18 Pods IPPool.crd.projectcalico.org default-ipv4-ippool spec.cidr",
    "172.28.64.0/26 Pods BlockAffinity.crd.projectcalico.org",
    "198.18.26.128/28 Pool IPReservation.crd.projectcalico.org",
    "fd0a::/48 Pods IPPool.projectcalico.org native spec.cidr",
    "172.27.1.0/27 Pods CiliumNode.cilium.io elsewhere spec.ipam.pools.allocated[0].cidrs[0]",
    "172.27.64.0/20 Pods CiliumPodIPPool.cilium.io default spec.ipv4.cidrs[0]",
    "198.18.27.20/31 Pool CiliumLoadBalancerIPPool.cilium.io blue spec.blocks[1].start",
    "172.26.0.0/20 Pool UserDefinedNetwork.k8s.ovn.org tenant-a/blue spec.layer2.subnets[0]",
    "172.26.16.0/20 Pods ClusterUserDefinedNetwork.k8s.ovn.org red spec.network.layer3.subnets[0].cidr",
    "198.18.29.5/32 Address EgressIP.k8s.ovn.org way-out spec.egressIPs[0]",
    "172.25.0.0/18 Pods Subnet.kubeovn.io ovn-default spec.cidrBlock",
    "198.18.30.41/32 Address IptablesEIP.kubeovn.io eip-1 spec.v4ip",
    "198.18.31.12/30 Pool IPPool.crd.antrea.io antrea-pool spec.ipRanges[0].start",
    "198.18.32.20/30 Pool IPAddressPool.metallb.io metallb-system/first-pool spec.addresses[1]",
    "198.18.33.20/32 Address IPPool.whereabouts.cni.cncf.io kube-system/198.18.33.0-24 spec.allocations.20",
    "198.18.36.0/25 Pool NetworkAttachmentDefinition.k8s.cni.cncf.io default/whereabouts spec.config.ipam.range",
];

const FIXTURES: [&str; 9] = [
    "openshift",
    "kubernetes",
    "settings",
    "calico",
    "cilium",
    "ovn",
    "kube-ovn",
    "pools",
    "attachments",
];

/// All objects of all, but a node that is none: what a cluster does with it is another story.
fn everything() -> String {
    let all = FIXTURES.map(fixture).join("\n---\n");
    let documents = all
        .split("\n---\n")
        .filter(|document| !document.contains("kind: Node\n"));
    documents.collect::<Vec<_>>().join("\n---\n")
}

/// Deleted with the end of this, also when the story fails.
struct Objects(String);

impl Drop for Objects {
    fn drop(&mut self) {
        let words = [
            "delete",
            "--ignore-not-found",
            "--wait=false",
            "--force",
            "--grace-period=0",
            "-f",
            "-",
        ];
        try_with_input(&words, &self.0);
    }
}

/// By the controller, and by a daemon that adds what its own node has.
fn are_printed() {
    let told = ours(&[
        "exec",
        CONTROLLER,
        "--",
        "/reconfd",
        "networks",
        "--cluster",
    ]);
    assert!(told.contains("172.31.0.0/18"), "{told}");
    // A daemon goes by the same, and by what its own node has.
    eventually("a daemon says what it goes by", || {
        let told = ours(&["exec", DAEMON, "-c", "daemon", "--", "/reconfd", "networks"]);
        let says = |network: &str| told.contains(network);
        seen(
            says("172.31.0.0/18") && says("Connected") && says("loopback"),
            told,
        )
    });
}

#[test]
fn everybody_who_says_where_networks_are_is_heard() {
    for namespace in ["tenant-a", "kube-flannel", "metallb-system"] {
        apply(&format!(
            "{{apiVersion: v1, kind: Namespace, metadata: {{name: {namespace}}}}}"
        ));
    }
    let _definitions = Definitions::all();
    let objects = Objects(everything());
    applied(&objects.0);
    // What `apply` does not write.
    let balancer = r#"{"status": {"loadBalancer": {"ingress": [{"ip": "198.18.24.5"}]}}}"#;
    kubectl(&[
        "-n",
        "tenant-a",
        "patch",
        "service",
        "web",
        "--subresource=status",
        "--type=merge",
        "-p",
        balancer,
    ]);
    for network in EVERYBODY {
        is_published(network);
    }
    // A tenant who would have everything has nothing, and rubbish is passed over.
    let all = published();
    assert!(
        !all.iter().any(|one| one.starts_with("0.0.0.0/0")),
        "{all:?}"
    );
    assert_eq!(
        state_of("NetworkAttachmentDefinition.k8s.cni.cncf.io").0,
        "Read"
    );
    // The addresses of services are in their networks already.
    assert!(
        !all.iter().any(|one| one.starts_with("172.30.70.9/32")),
        "{all:?}"
    );
    are_printed();
    drop(objects);
    for network in EVERYBODY
        .iter()
        .filter(|network| !network.starts_with("10."))
    {
        is_not_published(network);
    }
    kubectl(&[
        "delete",
        "namespace",
        "tenant-a",
        "kube-flannel",
        "metallb-system",
        "--wait=false",
    ]);
    product::is_ready();
}

#[test]
fn a_network_that_changes_is_told_within_a_second() {
    let _definitions = Definitions::of(&["IPPool.crd.projectcalico.org"]);
    let objects = Objects(
        fixture("calico")
            .split("\n---\n")
            .next()
            .unwrap_or_default()
            .to_owned(),
    );
    applied(&objects.0);
    is_published("172.28.0.0/18 Pods IPPool.crd.projectcalico.org default-ipv4-ippool");
    let begun = Instant::now();
    kubectl(&[
        "patch",
        "ippools.crd.projectcalico.org",
        "default-ipv4-ippool",
        "--type=merge",
        "-p",
        r#"{"spec": {"cidr": "172.28.128.0/18"}}"#,
    ]);
    is_published("172.28.128.0/18 Pods IPPool.crd.projectcalico.org default-ipv4-ippool");
    let took = begun.elapsed();
    is_not_published("172.28.0.0/18");
    println!("a changed network was published {took:?} after it was said to kubectl");
    assert!(took < Duration::from_secs(2), "{took:?}");
    drop(objects);
    is_not_published("172.28.128.0/18");
}

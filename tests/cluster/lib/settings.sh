# Sourced by every script of the cluster: where things are, what they are called, and how they complain.
# shellcheck shell=bash disable=SC2034

cluster=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")
build_folder=${CARGO_TARGET_DIR:-$cluster/../../target}
BIN=$(realpath -m "${CLUSTER_BIN:-$build_folder/cluster/bin}")
STATE=$(realpath -m "${CLUSTER_STATE:-$build_folder/cluster/state}")
export PATH=$PATH:/usr/sbin:/sbin

# Everything below STATE: pids, logs, keys, files to log in with, images, and a folder for each node.
RUN=$STATE/run LOG=$STATE/log PKI=$STATE/pki LOGIN=$STATE/login IMAGES=$STATE/images

# All addresses are in namespaces of the cluster's own: two clusters never meet.
CONTROL_PLANE=10.213.77.1
API_SERVER=https://$CONTROL_PLANE:6443
SERVICES=10.96.0.0/16 API_SERVICE=10.96.0.1 PODS=10.244.0.0/16
node_address() { printf '10.213.77.%s' $((10 + $1)); }
pods_of() { printf '10.244.%s.0/24' "$1"; }

# The cgroups of this cluster alone.
CGROUP=podconfig-$(sha256sum <<<"$STATE" | cut -c 1-8)

PROGRAMS=(kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl etcd
    containerd containerd-shim-runc-v2 ctr helm whereabouts-reconcile
    cni/{bridge,delegates,host-local,macvlan,portmap,static,tuning,whereabouts})

say() { printf '[%(%T)T] %s\n' -1 "$*" >&2; }
fail() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}
# The caller's environment is not passed on to the cluster's programs.
clean=(env -i PATH="$BIN:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" HOME="$STATE")
kubectl() { "${clean[@]}" nsenter --target "$(pid_of wire)" --net -- "$BIN/kubectl" --kubeconfig="$LOGIN/admin" "$@"; }
